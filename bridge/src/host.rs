//! The Matrix user who owns links, and the rooms in which the bot listens to them.

use serde::{Deserialize, Serialize};

use crate::id::{RoomId, UserId};
use crate::time::Timestamp;

/// What is remembered of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Their Matrix id.
    pub user: UserId,
    /// Their name in Matrix, if they have one; what a guest reads on the landing page.
    pub display_name: Option<String>,
    /// The highest number that a link of theirs was given. It only grows, so that a number that
    /// stands in an old answer of the bot never means somebody else.
    #[serde(default)]
    pub last_number: u32,
    /// Since when and by whom they are blocked: no links and no chats.
    #[serde(default)]
    pub blocked: Option<HostBlock>,
    /// How many unused links and chats they may have, where it differs from the configuration.
    #[serde(default)]
    pub quota: Quota,
}

/// That an admin blocked a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostBlock {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: UserId,
}

/// Limits of one host's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quota {
    /// How many unused links.
    pub links: Option<usize>,
    /// How many chats at once.
    pub chats: Option<usize>,
}

impl Host {
    /// A host of whom nothing is known yet.
    #[must_use]
    pub fn new(user: UserId) -> Self {
        Self {
            user,
            display_name: None,
            last_number: 0,
            blocked: None,
            quota: Quota::default(),
        }
    }

    /// The name to show: the display name, or else the localpart.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        match self.display_name.as_deref().map(str::trim) {
            Some(name) if !name.is_empty() => name,
            _ => self.user.localpart(),
        }
    }
}

/// A room in which the bot takes commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagementRoom {
    /// The room.
    pub room: RoomId,
    /// Who invited the bot.
    pub host: UserId,
    /// Whether it is a chat of the two alone; elsewhere commands need the prefix `!guest`.
    pub direct: bool,
    /// Whether it is encrypted. Once it was, it stays so for us, whatever state the homeserver
    /// shows later: then nothing goes into it in the clear, and nothing in the clear is followed.
    pub encrypted: bool,
    /// Whether admins steer the bridge from here. Then nobody else is listened to.
    #[serde(default)]
    pub admin: bool,
    /// Whether its state was asked for encryption. Where it was not, that comes before the bot's
    /// next word.
    #[serde(default)]
    pub looked: bool,
    /// Whether was said here that an encrypted room is better.
    #[serde(default)]
    pub advised: bool,
    /// When was last said here that a message can't be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread_told: Option<Timestamp>,
}
