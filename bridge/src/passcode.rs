//! Six digits that a guest has to know beside the link, for a link that goes through many hands.

use std::fmt;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::link::Token;

/// How many digits a passcode has.
pub const PASSCODE_LENGTH: usize = 6;

/// How many wrong ones may be tried before the link is taken back: five of a million.
pub const PASSCODE_TRIES: u32 = 5;

/// A passcode. It exists while it is said and while a request that carries it is answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Passcode(String);

impl Passcode {
    /// A new passcode.
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        // 2^64 is no multiple of a million; what that prefers is one part in 10^13.
        Self(format!("{:06}", rng.next_u64() % 1_000_000))
    }

    /// Reads what a guest typed; spaces and hyphens between the digits don't count. What isn't six
    /// digits is none, and costs no try.
    #[must_use]
    pub fn parse(typed: &str) -> Option<Self> {
        // A bound before any work.
        if typed.len() > 64 {
            return None;
        }
        let digits: String = typed
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .collect();
        let sound =
            digits.len() == PASSCODE_LENGTH && digits.bytes().all(|byte| byte.is_ascii_digit());
        sound.then_some(Self(digits))
    }

    /// What is stored in its place, for the link with this token.
    #[must_use]
    pub fn hash(&self, token: &Token) -> PasscodeHash {
        let mut hasher = Sha256::new();
        hasher.update(b"vestibule-passcode-v1|");
        hasher.update(token.reveal().as_bytes());
        hasher.update(b"|");
        hasher.update(self.0.as_bytes());
        PasscodeHash(hasher.finalize().into())
    }

    /// The digits, to say them to the host.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Passcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passcode(…)")
    }
}

/// SHA-256 over a fixed prefix, the link's token and the passcode. A million passcodes are tried in
/// a second by whoever has the rest, however slow the hash; but the rest is the token, 130 random
/// bits that are stored nowhere, so whoever reads the store has nothing to try them with.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasscodeHash([u8; 32]);

impl PartialEq for PasscodeHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for PasscodeHash {}

impl fmt::Debug for PasscodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasscodeHash(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn passcodes_are_six_digits_and_read_back() {
        let mut rng = StdRng::seed_from_u64(1);
        let codes: Vec<Passcode> = (0..1000).map(|_| Passcode::random(&mut rng)).collect();
        let different: BTreeSet<&str> = codes.iter().map(Passcode::reveal).collect();
        // Of a thousand among a million, hardly any two are the same.
        assert!(different.len() > 990, "{}", different.len());
        assert!(different.iter().any(|code| code.starts_with('0')));
        for code in &codes {
            assert_eq!(Passcode::parse(code.reveal()).as_ref(), Some(code));
        }
    }

    #[test]
    fn what_a_guest_types_is_read_kindly() {
        let code = Passcode::parse("012345");
        assert!(code.is_some());
        for typed in [" 012 345 ", "012-345", "0 1 2 3 4 5", "012\u{a0}345"] {
            assert_eq!(Passcode::parse(typed), code, "{typed}");
        }
        // Up to 64 bytes are read, whatever of them counts.
        assert_eq!(Passcode::parse(&format!("012345{}", " ".repeat(58))), code);
        let endless = format!("012345{}", " ".repeat(59));
        for typed in ["", "12345", "1234567", "12345a", "١٢٣٤٥٦", &endless] {
            assert_eq!(Passcode::parse(typed), None, "{typed}");
        }
    }

    #[test]
    fn the_hash_depends_on_token_and_code_and_shows_neither() {
        let mut rng = StdRng::seed_from_u64(1);
        let (one, other) = (Token::random(&mut rng), Token::random(&mut rng));
        let code = Passcode::parse("012345").unwrap();
        let wrong = Passcode::parse("012346").unwrap();
        assert_eq!(code.hash(&one), code.hash(&one));
        assert_ne!(code.hash(&one), code.hash(&other));
        assert_ne!(code.hash(&one), wrong.hash(&one));
        let shown = format!("{code:?} {:?}", code.hash(&one));
        assert_eq!(shown, "Passcode(…) PasscodeHash(…)");
    }
}
