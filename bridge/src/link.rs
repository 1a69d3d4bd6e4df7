//! The capability URL: whoever holds the token of an open link may start one chat with its host.

use std::fmt;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::audit::{Act, Actor, Target};
use crate::bridge::Undecided;
use crate::draft::{Draft, host_view};
use crate::frame::HostView;
use crate::id::{ALPHABET, LinkId, PortalId, RoomId, UserId};
use crate::passcode::PasscodeHash;
use crate::policy::{Policy, Times};
use crate::refusal::Refusal;
use crate::steering;
use crate::store::Facts;
use crate::time::Timestamp;

/// How many characters a token has: 26 of 5 bits each are 130 random bits.
pub const TOKEN_LENGTH: usize = 26;

/// The secret in a link's fragment. It exists while the link is made and while a request that
/// carries it is answered; only its [`TokenHash`] is ever stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A new token. Letters and digits only, so that no messenger cuts the link short.
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = [0u8; TOKEN_LENGTH];
        rng.fill_bytes(&mut bytes);
        let characters = bytes
            .iter()
            .filter_map(|byte| ALPHABET.get(usize::from(byte & 31)))
            .map(|byte| char::from(*byte));
        Self(characters.collect())
    }

    /// Reads what the page sent. Capitals are read as small letters, because some keyboards write
    /// them.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let lower = text.to_ascii_lowercase();
        let known =
            lower.len() == TOKEN_LENGTH && lower.bytes().all(|byte| ALPHABET.contains(&byte));
        if known {
            Ok(Self(lower))
        } else {
            Err(Refusal::LinkUnknown)
        }
    }

    /// What is stored in its place.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        let mut hasher = Sha256::new();
        hasher.update(b"vestibule-link-v1|");
        hasher.update(self.0.as_bytes());
        TokenHash(hasher.finalize().into())
    }

    /// The characters, for the link itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// SHA-256 over a fixed prefix and the token. A plain hash is enough: nobody guesses 130 bits.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(pub [u8; 32]);

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// A link as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its name in logs and lists.
    pub id: LinkId,
    /// Who asked for it, and with whom the guest will talk.
    pub host: UserId,
    /// Where it was asked for, and where the host is told of it.
    pub room: RoomId,
    /// The host's reminder of whom it is for.
    pub label: Option<String>,
    /// The hash of its token.
    pub token_hash: TokenHash,
    /// The ghost that the guest will be: reserved here because the browser signs its keys
    /// together with this id, and never used for another link.
    pub ghost: UserId,
    /// When the host asked for it.
    pub created_at: Timestamp,
    /// When it stops being usable, unless it was used before.
    pub expires_at: Timestamp,
    /// Where in its life it is.
    pub state: LinkState,
    /// What the host calls it, and the chat that it becomes, by. 0 in rows from before there were
    /// numbers, until the host's links are listed.
    #[serde(default)]
    pub number: u32,
    /// What admins call it, and the chat that it becomes, by: one count for all hosts. 0 in rows from
    /// before there were serials.
    #[serde(default)]
    pub serial: u64,
    /// What a guest has to know beside the token.
    #[serde(default)]
    pub passcode: Option<PasscodeHash>,
    /// How many wrong passcodes were tried.
    #[serde(default)]
    pub wrong_passcodes: u32,
    /// When a browser first looked at it.
    #[serde(default)]
    pub opened_at: Option<Timestamp>,
    /// When the chat it became ended.
    #[serde(default)]
    pub chat_ended_at: Option<Timestamp>,
    /// When the tick looks at it next; never later than there is something to do.
    #[serde(default)]
    pub alarm_at: Option<Timestamp>,
}

/// Where in its life a link is. An open link whose time is over can't be used from that moment on;
/// the next tick makes it expired and tells its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LinkState {
    /// Nobody used it yet.
    Open,
    /// One guest used it; nobody else can.
    Used {
        /// The chat it became.
        portal: PortalId,
        /// When.
        at: Timestamp,
    },
    /// The host took it back, or too many wrong passcodes were tried.
    Revoked {
        /// When.
        at: Timestamp,
    },
    /// Nobody used it in time.
    Expired {
        /// When that was noticed.
        at: Timestamp,
    },
}

impl Link {
    /// Whether a guest may use it now.
    pub fn usable(&self, now: Timestamp) -> Result<(), Refusal> {
        match self.state {
            LinkState::Used { .. } => Err(Refusal::LinkUsed),
            LinkState::Revoked { .. } => Err(Refusal::LinkRevoked),
            LinkState::Expired { .. } => Err(Refusal::LinkExpired),
            LinkState::Open if now >= self.expires_at => Err(Refusal::LinkExpired),
            LinkState::Open => Ok(()),
        }
    }

    /// Whether nobody used it and nobody took it back; its time may be over.
    pub(crate) fn is_open(&self) -> bool {
        self.state == LinkState::Open
    }

    /// When the tick has to look at it: to expire it, or to forget it.
    pub(crate) fn next_look(&self, times: &Times) -> Option<Timestamp> {
        match self.state {
            LinkState::Open => Some(self.expires_at),
            LinkState::Used { .. } => self.chat_ended_at.map(|at| at + times.keep_link),
            LinkState::Revoked { at } | LinkState::Expired { at } => Some(at + times.keep_link),
        }
    }
}

/// Takes back a link that is open.
pub(crate) fn take_back(link: &Link, by: Actor, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    draft.audit(Act::LinkRevoked, by, Target::link(link))?;
    draft.counts()?.link_over();
    draft.put_link(Link {
        state: LinkState::Revoked { at: draft.now },
        ..link.clone()
    });
    Ok(())
}

/// A link as the landing page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkView {
    /// With whom the guest will talk.
    pub host: HostView,
    /// The Matrix user that the guest will be; the browser signs its keys with this id.
    pub ghost: UserId,
    /// When the link stops being usable.
    pub expires_at: Timestamp,
    /// After how many milliseconds without a message a chat ends.
    pub idle_limit_ms: u64,
    /// Whether the join must bring a passcode.
    #[serde(default)]
    pub passcode: bool,
    /// Whether a look at it was noted before; [`Input::Looked`](crate::input::Input::Looked) is for
    /// the first. Not for the page.
    #[serde(skip)]
    pub opened: bool,
}

/// Looks at a link without using it up.
///
/// Fails with [`Undecided::Refused`] when nobody can use it now, and with [`Undecided::Store`] when
/// it can't be read.
pub fn look(
    facts: &dyn Facts,
    hash: &TokenHash,
    policy: &Policy,
    now: Timestamp,
) -> Result<LinkView, Undecided> {
    let link = facts.link_by_token(hash)?.ok_or(Refusal::LinkUnknown)?;
    link.usable(now)?;
    steering::check_link(&link, facts, policy)?;
    steering::check_pause(facts)?;
    Ok(LinkView {
        host: host_view(facts, &link.host)?,
        passcode: link.passcode.is_some(),
        opened: link.opened_at.is_some(),
        ghost: link.ghost,
        expires_at: link.expires_at,
        idle_limit_ms: u64::try_from(policy.idle_limit.as_millis()).unwrap_or(u64::MAX),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn tokens_are_random_and_read_back() {
        let mut rng = StdRng::seed_from_u64(1);
        let tokens: Vec<Token> = (0..1000).map(|_| Token::random(&mut rng)).collect();
        let different: BTreeSet<&str> = tokens.iter().map(Token::reveal).collect();
        assert_eq!(different.len(), tokens.len());
        for token in &tokens {
            assert_eq!(token.reveal().len(), TOKEN_LENGTH);
            assert_eq!(Token::parse(token.reveal()).unwrap(), *token);
            assert_eq!(
                Token::parse(&token.reveal().to_uppercase()).unwrap().hash(),
                token.hash()
            );
        }
        // Every character of the alphabet serves: 5 bits each, 130 in all.
        let letters: BTreeSet<char> = tokens
            .iter()
            .flat_map(|token| token.reveal().chars())
            .collect();
        assert_eq!(letters.len(), 32);
    }

    #[test]
    fn what_is_no_token_is_an_unknown_link() {
        let table = [
            "",
            "x",
            "0000000000000000000000000",
            "000000000000000000000000000",
            "0000000000000000000000000i",
        ];
        for text in table
            .into_iter()
            .chain(["ä000000000000000000000000", "0000000000000 000000000000"])
        {
            assert_eq!(Token::parse(text), Err(Refusal::LinkUnknown), "{text}");
        }
    }

    #[test]
    fn neither_token_nor_hash_is_printed() {
        let token = Token::parse("0123456789abcdefghjkmnpqrs").unwrap();
        assert_eq!(
            format!("{token:?} {:?}", token.hash()),
            "Token(…) TokenHash(…)"
        );
    }

    #[test]
    fn the_hash_is_that_of_every_release() {
        // A link that was made before an update must be found after it.
        let hash = Token::parse("0123456789abcdefghjkmnpqrs").unwrap().hash();
        let mut hasher = Sha256::new();
        hasher.update(b"vestibule-link-v1|0123456789abcdefghjkmnpqrs");
        let expected: [u8; 32] = hasher.finalize().into();
        assert_eq!(hash, TokenHash(expected));
        assert_ne!(hash, TokenHash([0; 32]));
    }
}
