//! Names of things. Matrix ids are opaque here: the shell parses them at the edge.

use std::fmt;

use rand_core::Rng;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

macro_rules! matrix_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the id as it came from the edge, where it was checked.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as Matrix writes it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

matrix_id!(
    /// A Matrix user, `@localpart:server`.
    UserId
);
matrix_id!(
    /// A Matrix room, `!opaque` or `!opaque:server`.
    RoomId
);
matrix_id!(
    /// A Matrix event, `$opaque`.
    EventId
);
matrix_id!(
    /// A Matrix device, unique for its user only.
    DeviceId
);

impl UserId {
    /// The part after the first colon, empty when there is none.
    #[must_use]
    pub fn server_name(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, server)| server)
    }

    /// The part between `@` and the first colon.
    #[must_use]
    pub fn localpart(&self) -> &str {
        let local = self
            .0
            .split_once(':')
            .map_or(self.0.as_str(), |(local, _)| local);
        local.strip_prefix('@').unwrap_or(local)
    }
}

/// Crockford's base32 in lower case: no letter that reads like another or like a digit.
pub(crate) const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn base32(value: u128) -> String {
    (0..26u32)
        .rev()
        .filter_map(|place| {
            let digit = (value >> (place * 5)) & 31;
            let index = usize::try_from(digit).ok()?;
            ALPHABET.get(index).map(|byte| char::from(*byte))
        })
        .collect()
}

fn from_base32(text: &str) -> Option<u128> {
    if text.len() != 26 || !text.starts_with(|first| ('0'..='7').contains(&first)) {
        return None;
    }
    text.bytes().try_fold(0u128, |value, byte| {
        let digit = ALPHABET.iter().position(|known| *known == byte)?;
        Some((value << 5) | u128::try_from(digit).ok()?)
    })
}

macro_rules! own_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// The id of these 128 bits.
            #[must_use]
            pub fn from_u128(bits: u128) -> Self {
                Self(bits)
            }

            /// Its 128 bits.
            #[must_use]
            pub fn as_u128(self) -> u128 {
                self.0
            }

            /// Reads the 26 characters that `Display` writes.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                from_base32(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&base32(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not 26 base32 characters"))
            }
        }
    };
}

own_id!(
    /// A link, as logs and lists name it. It says nothing about the token.
    LinkId
);
own_id!(
    /// A portal, as the page and the logs name it. Knowing it opens nothing.
    PortalId
);
own_id!(
    /// An effect. Ids of one store only grow, so that their order is the order of the decisions;
    /// the lower 80 bits are random, so that a store restored from a backup never repeats one. It
    /// is the Matrix transaction id of the effect's call.
    EffectId
);

impl LinkId {
    /// A random id.
    pub fn random(rng: &mut dyn Rng) -> Self {
        Self(random_u128(rng))
    }
}

impl PortalId {
    /// A random id.
    pub fn random(rng: &mut dyn Rng) -> Self {
        Self(random_u128(rng))
    }
}

impl EffectId {
    /// When it was given out, unless the clock was set back then.
    #[must_use]
    pub fn made_at(self) -> Timestamp {
        Timestamp(u64::try_from(self.0 >> 80).unwrap_or_default())
    }

    /// An id for `now` that is greater than `last`.
    pub fn after(last: Option<Self>, now: Timestamp, rng: &mut dyn Rng) -> Self {
        const RANDOM_BITS: u32 = 80;
        let random = random_u128(rng) & ((1 << RANDOM_BITS) - 1);
        let fresh = (u128::from(now.0) << RANDOM_BITS) | random;
        match last {
            // Within one millisecond, or after the clock was set back: keep the order, and leave a
            // random step so that the id stays unguessable and unrepeatable.
            Some(Self(last)) if fresh <= last => {
                Self(last.saturating_add(1 + u128::from(rng.next_u32())))
            }
            _ => Self(fresh),
        }
    }
}

pub(crate) fn random_u128(rng: &mut dyn Rng) -> u128 {
    (u128::from(rng.next_u64()) << 64) | u128::from(rng.next_u64())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn the_text_of_an_id_is_read_back() {
        for bits in [0, 1, 31, 32, u128::from(u64::MAX), u128::MAX - 1, u128::MAX] {
            let id = PortalId::from_u128(bits);
            assert_eq!(id.to_string().len(), 26);
            assert_eq!(PortalId::parse(&id.to_string()), Some(id));
            let json = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<PortalId>(&json).unwrap(), id);
        }
    }

    #[test]
    fn the_texts_of_ids_are_in_the_order_of_the_ids() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..1000 {
            let (one, other) = (LinkId::random(&mut rng), LinkId::random(&mut rng));
            assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()));
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let table = [
            "",
            "0000000000000000000000000",
            "000000000000000000000000000",
            "8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "0000000000000000000000000u",
            "0000000000000000000000000A",
            "ä0000000000000000000000000",
            "0000000000000000000000000ä",
        ];
        for text in table {
            assert_eq!(EffectId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn effect_ids_only_grow() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut last = None;
        // Forwards, within one millisecond, and after the clock was set back.
        for now in [1_000, 1_001, 1_001, 1_001, 500, 500, 0, 1_001, 1_002, 2_000] {
            let id = EffectId::after(last, Timestamp(now), &mut rng);
            assert!(Some(id) > last, "at {now}");
            last = Some(id);
        }
    }

    #[test]
    fn an_effect_id_begins_with_its_time_and_ends_at_random() {
        let mut rng = StdRng::seed_from_u64(1);
        let one = EffectId::after(None, Timestamp(7), &mut rng);
        let other = EffectId::after(None, Timestamp(7), &mut rng);
        assert_eq!(one.as_u128() >> 80, 7);
        assert_ne!(one, other);
    }

    /// Gives the same number for ever.
    struct Always(u64);

    impl rand_core::TryRng for Always {
        type Error = std::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(u32::try_from(self.0 & u64::from(u32::MAX)).unwrap())
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(self.0)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            let number = self.0.to_le_bytes();
            bytes
                .iter_mut()
                .zip(number.iter().cycle())
                .for_each(|(byte, random)| *byte = *random);
            Ok(())
        }
    }

    #[test]
    fn every_bit_of_an_id_is_random_and_of_an_effect_id_all_that_are_not_its_time() {
        let mut ones = Always(u64::MAX);
        assert_eq!(LinkId::random(&mut ones).as_u128(), u128::MAX);
        assert_eq!(PortalId::random(&mut ones).as_u128(), u128::MAX);
        let effect = EffectId::after(None, Timestamp(7), &mut ones);
        assert_eq!(effect.as_u128(), (8 << 80) - 1);
        assert_eq!(effect.made_at(), Timestamp(7));
    }

    #[test]
    fn an_effect_id_is_of_its_own_time_unless_the_last_one_is_later() {
        let mut zeros = Always(0);
        let first = EffectId::after(None, Timestamp(7), &mut zeros);
        let second = EffectId::after(Some(first), Timestamp(7), &mut zeros);
        assert_eq!(second.as_u128(), first.as_u128() + 1);
        let third = EffectId::after(Some(second), Timestamp(9), &mut zeros);
        assert_eq!(third.as_u128(), 9 << 80);
        let back = EffectId::after(Some(third), Timestamp(8), &mut Always(4));
        assert_eq!(back.as_u128(), third.as_u128() + 5);
    }

    #[test]
    fn users_are_taken_apart() {
        let table = [
            ("@alice:example.org", "alice", "example.org"),
            ("@alice:example.org:8448", "alice", "example.org:8448"),
            ("@alice:[::1]:8448", "alice", "[::1]:8448"),
            ("@alice", "alice", ""),
            ("", "", ""),
        ];
        for (id, localpart, server) in table {
            let user = UserId::new(id);
            assert_eq!((user.localpart(), user.server_name()), (localpart, server));
        }
    }
}
