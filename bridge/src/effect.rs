//! What is to be done at the homeserver. An effect is stored in the commit that decided it, and
//! performed afterwards, in order within its lane, until it is done or refused for good.
//!
//! Each may be repeated without harm, because an answer can be lost and the program torn away at
//! any time, and each for a reason of its own:
//!
//! | effect | why once more does nothing |
//! |---|---|
//! | `RegisterGhost` | the name is ours alone; "in use" counts as done |
//! | `NameGhost`, `RestoreProfile`, `PutDevice` | they put what is there already |
//! | `UploadKeys`, `UploadCrossSigning`, `UploadSignatures` | the same keys again are accepted; nobody could claim one, as nobody was told of the ghost yet |
//! | `CreateRoom` | the bot's rooms are searched for the portal's id first; one that appears too late is closed by the reaper |
//! | `GhostJoins`, `BotJoins` | who is in a room may join it |
//! | `BotLeaves`, `BotLeavesUnused`, `BotDeclines`, `GhostLeaves` | who has left is refused, which counts as done; the seal is read back anyway |
//! | `InviteHost` | not repeated once the host has any membership, so that nobody who declined is invited again |
//! | `GiveUpPower` | compared first with what is there |
//! | `VerifySeal`, `FetchHostName` | they only read |
//! | `SendEvent`, `Redact`, `Notice`, `Report` | its [`Effect::transaction`], which Synapse remembers for a day |
//! | `SendToDevice` | the same, but Synapse forgets it with a restart; then a device gets an Olm message twice and ignores the second |
//! | `SendEncrypted` | the same; what is sent is the stored ciphertext, never a second one |
//! | `ShareLink` | like `Notice`; after a restart its words are gone, and the host is told which of two links works |
//! | `DeleteDevice`, `Deactivate` | what is gone is gone |

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::guest::GuestName;
use crate::id::{DeviceId, EffectId, EventId, LinkId, PortalId, RoomId, UserId};
use crate::input::JoinKeys;
use crate::report::Report;

/// One call to the homeserver, with all it needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Register the ghost, without a device.
    RegisterGhost {
        /// Its portal.
        portal: PortalId,
        /// The ghost.
        ghost: UserId,
    },
    /// Give the ghost its name, label included.
    NameGhost {
        /// Its portal.
        portal: PortalId,
        /// The ghost.
        ghost: UserId,
        /// The guest's name, to which the label is added.
        name: GuestName,
    },
    /// Give the ghost its name back and take its picture away, after somebody else changed them.
    RestoreProfile {
        /// Its portal.
        portal: PortalId,
        /// The ghost.
        ghost: UserId,
        /// The guest's name, to which the label is added.
        name: GuestName,
    },
    /// Make the ghost's device.
    PutDevice {
        /// Its portal.
        portal: PortalId,
        /// The ghost.
        ghost: UserId,
        /// The device.
        device: DeviceId,
    },
    /// Upload device keys, one-time keys and the fallback key.
    UploadKeys {
        /// Its portal.
        portal: PortalId,
        /// The ghost.
        ghost: UserId,
        /// The device.
        device: DeviceId,
        /// All keys of the browser.
        keys: Box<JoinKeys>,
    },
    /// Upload the cross-signing keys.
    UploadCrossSigning {
        /// Its portal.
        portal: PortalId,
        /// The ghost.
        ghost: UserId,
        /// All keys of the browser.
        keys: Box<JoinKeys>,
    },
    /// Upload the self-signing key's signature of the device.
    UploadSignatures {
        /// Its portal.
        portal: PortalId,
        /// The ghost.
        ghost: UserId,
        /// The device.
        device: DeviceId,
        /// The device keys with both signatures.
        device_keys: Value,
    },
    /// Make the room as the bot, the ghost being invited and all-powerful for a moment. The
    /// portal's id is written into `m.room.create`, so that a room whose making was not answered
    /// is found again.
    CreateRoom {
        /// The portal.
        portal: PortalId,
        /// Gets power 50, to put the guest out.
        host: UserId,
        /// Gets power 100, until it gives it up.
        ghost: UserId,
    },
    /// The ghost joins.
    GhostJoins(InRoom),
    /// The bot leaves; as creator of a version 12 room it could do everything while it stayed.
    BotLeaves(InRoom),
    /// The ghost invites the host, as a direct chat.
    InviteHost(InRoom),
    /// The ghost gives up its power.
    GiveUpPower(InRoom),
    /// Read the room's state back and compare.
    VerifySeal(InRoom),
    /// Send an `m.room.encrypted` event as the ghost.
    SendEvent {
        /// The portal.
        portal: PortalId,
        /// The sender.
        ghost: UserId,
        /// Its device.
        device: DeviceId,
        /// Where to.
        room: RoomId,
        /// The number of the guest's frame.
        n: u64,
        /// The content.
        content: Value,
    },
    /// Redact a message of the ghost's own.
    Redact {
        /// The portal.
        portal: PortalId,
        /// The sender of both.
        ghost: UserId,
        /// Where.
        room: RoomId,
        /// The number of the guest's frame.
        n: u64,
        /// The message.
        event: EventId,
    },
    /// Send to-device messages as the ghost to devices of the host.
    SendToDevice {
        /// The portal.
        portal: PortalId,
        /// The sender.
        ghost: UserId,
        /// Its device.
        device: DeviceId,
        /// The receiver.
        host: UserId,
        /// The type.
        event_type: String,
        /// The number of the guest's frame; none in rows that were written before it was kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        n: Option<u64>,
        /// The content for each device.
        messages: BTreeMap<DeviceId, Value>,
    },
    /// The ghost leaves the room, with words that the host's client shows.
    GhostLeaves {
        /// The portal.
        portal: PortalId,
        /// The ghost.
        ghost: UserId,
        /// The room.
        room: RoomId,
        /// The words.
        reason: String,
    },
    /// The bot leaves a portal's room that it made and that will not be used.
    BotLeavesUnused {
        /// The portal.
        portal: PortalId,
        /// The room.
        room: RoomId,
    },
    /// Delete the ghost's device, and what waits for it at the homeserver.
    DeleteDevice {
        /// The portal.
        portal: PortalId,
        /// The ghost.
        ghost: UserId,
        /// The device.
        device: DeviceId,
    },
    /// Deactivate the ghost, where the homeserver allows.
    Deactivate {
        /// The portal.
        portal: PortalId,
        /// The ghost.
        ghost: UserId,
    },
    /// The bot accepts an invitation, and looks what kind of room it is.
    BotJoins {
        /// The room.
        room: RoomId,
        /// Who invited.
        host: UserId,
    },
    /// The bot leaves a room, or declines.
    BotDeclines {
        /// The room.
        room: RoomId,
    },
    /// Ask for a host's display name.
    FetchHostName {
        /// The room whose link is waiting for it.
        room: RoomId,
        /// The host.
        host: UserId,
    },
    /// The bot says something in a management room.
    Notice {
        /// The room.
        room: RoomId,
        /// What it says.
        text: Words,
    },
    /// The bot tells an admin or a host what they asked for. It is worked out when the effect is
    /// performed.
    Report {
        /// The room.
        room: RoomId,
        /// What they asked for.
        report: Report,
    },
    /// The bot tells a new link. The words hold the link's token, which is never stored: they come
    /// beside the effect in [`Decision::unstored`](crate::bridge::Decision::unstored) and stay in
    /// memory. Without them the outcome is
    /// [`Outcome::WordsLost`](crate::input::Outcome::WordsLost), and the link gets a new token.
    ShareLink {
        /// The room.
        room: RoomId,
        /// The link.
        link: LinkId,
    },
    /// What the bot says in an encrypted room. It stands in the row of what it was before, from the
    /// moment on in which the bot's device encrypted it.
    SendEncrypted {
        /// The room.
        room: RoomId,
        /// The contents of `m.room.encrypted` events, in order.
        contents: Vec<Value>,
    },
}

/// A step on a portal's room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InRoom {
    /// The portal.
    pub portal: PortalId,
    /// The room.
    pub room: RoomId,
    /// The ghost.
    pub ghost: UserId,
    /// The host.
    pub host: UserId,
}

/// What the bot says, twice: plain and as the HTML that Matrix allows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// Plain text.
    pub plain: String,
    /// `formatted_body`.
    pub html: String,
}

/// A link or a label can stand in these words, so they stay out of logs.
impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Words(…)")
    }
}

/// What must be done one after the other. Lanes go on beside each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// All of one portal.
    Portal(PortalId),
    /// All of one management room.
    Room(RoomId),
}

/// How soon an effect is to be performed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Somebody waits for it.
    Wanted,
    /// A chat is over, and the room is to show it. Its browser and its host know already.
    Leaving,
    /// Nobody notices whether it is done now or in an hour.
    Tidying,
}

impl Urgency {
    /// Whether it only cleans up after a chat, and so must not slow down those that go on.
    #[must_use]
    pub fn cleans(self) -> bool {
        self != Self::Wanted
    }
}

/// An effect that waits, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Which.
    pub id: EffectId,
    /// What it has to wait for.
    pub lane: Lane,
    /// How soon it is to be performed.
    pub urgency: Urgency,
}

impl Queued {
    /// This effect.
    #[must_use]
    pub fn new(id: EffectId, effect: &Effect) -> Self {
        Self {
            id,
            lane: effect.lane(),
            urgency: effect.urgency(),
        }
    }
}

impl Effect {
    /// How soon it is to be performed. The end of many chats at once costs the homeserver far more
    /// than their messages did.
    #[must_use]
    pub fn urgency(&self) -> Urgency {
        match self {
            Self::GhostLeaves { .. } | Self::BotLeavesUnused { .. } => Urgency::Leaving,
            Self::DeleteDevice { .. } | Self::Deactivate { .. } => Urgency::Tidying,
            _ => Urgency::Wanted,
        }
    }

    /// The host whose own server the homeserver may have to ask during the call, and wait for. All
    /// other calls are answered by our homeserver alone.
    #[must_use]
    pub fn asks(&self) -> Option<&UserId> {
        match self {
            Self::InviteHost(step) => Some(&step.host),
            Self::BotJoins { host, .. } | Self::FetchHostName { host, .. } => Some(host),
            _ => None,
        }
    }

    /// The Matrix transaction id of its call. What came in a frame of the guest has that frame's
    /// number in it: a bridge whose store was set back to a backup gets the frame again, under
    /// another effect, and the homeserver must know the two for one.
    #[must_use]
    pub fn transaction(&self, id: EffectId) -> String {
        match self {
            Self::SendEvent { portal, n, .. }
            | Self::Redact { portal, n, .. }
            | Self::SendToDevice {
                portal, n: Some(n), ..
            } => format!("{portal}-{n}"),
            _ => id.to_string(),
        }
    }

    /// The lane this effect waits in.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::GhostJoins(step)
            | Self::BotLeaves(step)
            | Self::InviteHost(step)
            | Self::GiveUpPower(step)
            | Self::VerifySeal(step) => Lane::Portal(step.portal),
            Self::RegisterGhost { portal, .. }
            | Self::NameGhost { portal, .. }
            | Self::RestoreProfile { portal, .. }
            | Self::PutDevice { portal, .. }
            | Self::UploadKeys { portal, .. }
            | Self::UploadCrossSigning { portal, .. }
            | Self::UploadSignatures { portal, .. }
            | Self::CreateRoom { portal, .. }
            | Self::SendEvent { portal, .. }
            | Self::Redact { portal, .. }
            | Self::SendToDevice { portal, .. }
            | Self::GhostLeaves { portal, .. }
            | Self::BotLeavesUnused { portal, .. }
            | Self::DeleteDevice { portal, .. }
            | Self::Deactivate { portal, .. } => Lane::Portal(*portal),
            Self::BotJoins { room, .. }
            | Self::BotDeclines { room }
            | Self::FetchHostName { room, .. }
            | Self::Notice { room, .. }
            | Self::Report { room, .. }
            | Self::SendEncrypted { room, .. }
            | Self::ShareLink { room, .. } => Lane::Room(room.clone()),
        }
    }

    /// The name for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::RegisterGhost { .. } => "register_ghost",
            Self::NameGhost { .. } => "name_ghost",
            Self::RestoreProfile { .. } => "restore_profile",
            Self::PutDevice { .. } => "put_device",
            Self::UploadKeys { .. } => "upload_keys",
            Self::UploadCrossSigning { .. } => "upload_cross_signing",
            Self::UploadSignatures { .. } => "upload_signatures",
            Self::CreateRoom { .. } => "create_room",
            Self::GhostJoins(_) => "ghost_joins",
            Self::BotLeaves(_) => "bot_leaves",
            Self::InviteHost(_) => "invite_host",
            Self::GiveUpPower(_) => "give_up_power",
            Self::VerifySeal(_) => "verify_seal",
            Self::SendEvent { .. } => "send_event",
            Self::Redact { .. } => "redact",
            Self::SendToDevice { .. } => "send_to_device",
            Self::GhostLeaves { .. } => "ghost_leaves",
            Self::BotLeavesUnused { .. } => "bot_leaves_unused",
            Self::DeleteDevice { .. } => "delete_device",
            Self::Deactivate { .. } => "deactivate",
            Self::BotJoins { .. } => "bot_joins",
            Self::BotDeclines { .. } => "bot_declines",
            Self::FetchHostName { .. } => "fetch_host_name",
            Self::Notice { .. } => "notice",
            Self::Report { .. } => "report",
            Self::ShareLink { .. } => "share_link",
            Self::SendEncrypted { .. } => "send_encrypted",
        }
    }
}

#[cfg(test)]
mod tests;
