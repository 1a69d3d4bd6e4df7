//! The domain said no: not an error, but an answer with words for the person.

use std::time::Duration;

/// Why an input was not accepted. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No link has this token.
    #[error("This link is not known here. Please check that it was copied as a whole.")]
    LinkUnknown,
    /// Another browser used the link.
    #[error("This link was already used. Please ask for a new one.")]
    LinkUsed,
    /// The link's time is over.
    #[error("This link has expired. Please ask for a new one.")]
    LinkExpired,
    /// The host took the link back.
    #[error("This link was withdrawn. Please ask for a new one.")]
    LinkRevoked,
    /// The host, or the whole bridge, has as many open chats as the policy allows.
    #[error("Your host has too many open chats at the moment. Please try again later.")]
    HostBusy,
    /// An admin lets nobody in at the moment.
    #[error("Chats can't be started here at the moment. Please try again later.")]
    Paused,
    /// The link asks for a passcode, and none came.
    #[error("This link needs the passcode of six digits. Please ask the person who invited you.")]
    PasscodeNeeded,
    /// It was the wrong one.
    #[error("That passcode is not right. Tries left: {left}.")]
    PasscodeWrong {
        /// How many more may be tried; at least 1.
        left: u32,
    },
    /// It was the wrong one, and the last that could be tried.
    #[error("Too many wrong passcodes were tried. Please ask for a new link.")]
    PasscodeSpent,
    /// The name is empty, too long, or shows nothing.
    #[error("Please type a name of 1 to 40 visible characters.")]
    BadName,
    /// The name is that of the host, or looks like it.
    #[error("This is the name of the person who invited you. Please type your own.")]
    NameOfHost,
    /// The keys are not those of this link's ghost.
    #[error("The keys of this browser don't belong to this link. Please reload the page.")]
    BadKeys,
    /// No portal has this id, or this device is not its visit.
    #[error("This chat is not known here.")]
    UnknownChat,
    /// The room is still being made.
    #[error("The chat is still being prepared.")]
    NotOpen,
    /// The chat is over.
    #[error("This chat has ended.")]
    Ended,
    /// A frame's number is not the next one.
    #[error("A frame before this one is missing.")]
    Gap {
        /// The number that is expected.
        expected: u64,
    },
    /// The content is larger than the policy allows.
    #[error("This message is too long.")]
    TooLarge,
    /// The content is not a Megolm or Olm message.
    #[error("Only encrypted messages are accepted here.")]
    NotEncrypted,
    /// A frame addresses a device wrongly, or lacks something.
    #[error("This request is not understood.")]
    BadRequest,
    /// A row of this chat or link can't be read any more.
    #[error("This chat can't go on: part of it can't be read any more. Please ask for a new link.")]
    Damaged,
    /// The guest writes faster than the policy allows.
    #[error("That was a little fast. The message will be sent in a moment.")]
    RateLimited {
        /// How long until one more is accepted.
        retry_after: Duration,
    },
}

impl Refusal {
    /// The stable code that programs read; `docs/protocol.md` lists them.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::LinkUnknown => "link_unknown",
            Self::LinkUsed => "link_used",
            Self::LinkExpired => "link_expired",
            Self::LinkRevoked => "link_revoked",
            Self::HostBusy => "host_busy",
            Self::Paused => "paused",
            Self::PasscodeNeeded => "passcode_needed",
            Self::PasscodeWrong { .. } => "passcode_wrong",
            Self::PasscodeSpent => "passcode_spent",
            Self::BadName | Self::NameOfHost => "bad_name",
            Self::BadKeys => "bad_keys",
            Self::UnknownChat => "unknown_chat",
            Self::NotOpen => "not_open",
            Self::Ended => "ended",
            Self::Gap { .. } => "gap",
            Self::TooLarge => "too_large",
            Self::NotEncrypted => "not_encrypted",
            Self::BadRequest => "bad_request",
            Self::Damaged => "damaged",
            Self::RateLimited { .. } => "rate_limited",
        }
    }

    /// After a wrong passcode, how many more may be tried.
    #[must_use]
    pub fn tries_left(&self) -> Option<u32> {
        match self {
            Self::PasscodeWrong { left } => Some(*left),
            _ => None,
        }
    }

    /// When trying again can help, how long to wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}
