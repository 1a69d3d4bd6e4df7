//! What the domain is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{DeviceId, EffectId, EventId, PortalId, RoomId, UserId};
use crate::link::TokenHash;
use crate::passcode::PasscodeHash;
use crate::permission::Rule;
use crate::portal::HostRead;
use crate::time::Timestamp;

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The homeserver delivered a room event.
    Room(RoomEvent),
    /// A room event was found in the room's past, which the homeserver may never have delivered.
    Past(RoomEvent),
    /// The homeserver delivered a to-device event, by push or by the truth path.
    ToDevice(ToDevice),
    /// The homeserver told how far a portal's host has read, by push or by the truth path.
    HostRead {
        /// The portal.
        portal: PortalId,
        /// How far.
        read: HostRead,
    },
    /// The homeserver shows a ghost in its room with this name, and perhaps a picture.
    GhostShown {
        /// The ghost.
        ghost: UserId,
        /// Its display name, if it has one.
        name: Option<String>,
        /// Whether it has a picture.
        pictured: bool,
    },
    /// Something speaks against the portal's room being as it must be: it is to be looked at.
    Doubted {
        /// The portal.
        portal: PortalId,
    },
    /// The homeserver says that the ghost's device is gone.
    CutOff {
        /// The portal.
        portal: PortalId,
    },
    /// A guest uses a link.
    Join(Box<Join>),
    /// A guest's browser sent an encrypted message.
    Send {
        /// The portal, which the socket's hello proved.
        portal: PortalId,
        /// The frame's number.
        n: u64,
        /// The content of an `m.room.encrypted` event.
        content: Value,
    },
    /// A guest's browser sent to-device messages for the host's devices.
    SendToDevice {
        /// The portal.
        portal: PortalId,
        /// The frame's number.
        n: u64,
        /// `m.room.encrypted` or `m.room_key.withheld`.
        event_type: String,
        /// The content for each device of the host.
        messages: BTreeMap<DeviceId, Value>,
    },
    /// The guest takes back a message of their own.
    Redact {
        /// The portal.
        portal: PortalId,
        /// The frame's number.
        n: u64,
        /// The message.
        event: EventId,
    },
    /// The browser stored all frames up to this sequence number.
    Ack {
        /// The portal.
        portal: PortalId,
        /// The last stored sequence number.
        seq: u64,
    },
    /// The guest's page is there: its socket said hello, or is about to close.
    Seen {
        /// The portal.
        portal: PortalId,
    },
    /// A browser looked at a link that nobody had looked at before.
    Looked {
        /// The hash of the token that came.
        token_hash: TokenHash,
    },
    /// The browser knows that numbered frames up to this one were counted, which a store that was
    /// restored from a backup may have forgotten.
    Recount {
        /// The portal.
        portal: PortalId,
        /// The number.
        last_n: u64,
    },
    /// The guest ends the chat.
    Leave {
        /// The portal.
        portal: PortalId,
    },
    /// A management room's state says whether it is encrypted.
    RoomSeen {
        /// The room.
        room: RoomId,
        /// Whether it is.
        encrypted: bool,
    },
    /// Somebody in management rooms has other cross-signing keys than before. The bot uses the new
    /// ones from now on.
    IdentityReset {
        /// Who.
        user: UserId,
        /// Where the bot says so. Where it said so with an answer already, nothing is named here.
        rooms: Vec<RoomId>,
    },
    /// The outbox performed an effect.
    Done {
        /// Which one.
        effect: EffectId,
        /// How it went.
        outcome: Outcome,
    },
    /// The homeserver asked the outbox to wait before it tries an effect again. What it waits for
    /// goes on by itself; this is for telling the host.
    Delayed {
        /// Which one.
        effect: EffectId,
        /// How long it asked to wait.
        retry_after: Duration,
    },
    /// A policy-list room was read as a whole.
    ListRead {
        /// The room.
        room: RoomId,
        /// Whether the configuration names it; one that it names no more is forgotten.
        followed: bool,
        /// All rules in it that count.
        rules: Vec<Rule>,
    },
    /// Time went by: deadlines are looked at.
    Tick {
        /// Portals whose inbox at the homeserver could not be read just now. A message may wait
        /// there, so they don't end yet.
        unread: BTreeSet<PortalId>,
    },
}

/// A room event, reduced to what the domain decides over.
#[derive(Clone, Debug)]
pub struct RoomEvent {
    /// Where.
    pub room: RoomId,
    /// Its id.
    pub event_id: EventId,
    /// Who sent it, as the homeserver says.
    pub sender: UserId,
    /// `origin_server_ts`.
    pub at: Timestamp,
    /// What it is.
    pub kind: RoomEventKind,
}

/// What a room event is.
#[derive(Clone, Debug)]
pub enum RoomEventKind {
    /// `m.room.encrypted`, content as it came.
    Encrypted {
        /// The content.
        content: Value,
    },
    /// `m.room.message`.
    Message {
        /// `msgtype`.
        msgtype: String,
        /// `body`.
        body: String,
        /// Whether it edits, answers or threads onto another event.
        related: bool,
        /// Whether it was encrypted.
        came: Came,
    },
    /// An encrypted message that the bot's device can't read, and not for want of a key that may
    /// still come.
    Unread {
        /// Why.
        why: Unread,
    },
    /// `m.room.encryption`: from now on the room is encrypted.
    Encryption,
    /// `m.room.redaction`.
    Redaction {
        /// The event that is to go.
        redacts: EventId,
    },
    /// `m.room.member`.
    Member {
        /// Whose membership.
        target: UserId,
        /// The new membership.
        membership: Membership,
    },
    /// Any other message-like event, without encryption.
    Other,
    /// Any other state event.
    State,
}

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// In the clear.
    Plain,
    /// Encrypted, from a device that its owner signed.
    Encrypted,
    /// The same, but it could be read only after a while, when its key came.
    Late,
}

/// Why the bot can't read a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Its device is not signed by its owner.
    UnsignedDevice,
    /// Its key did not come.
    NoKey,
}

/// `membership` of an `m.room.member` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// Invited.
    Invite,
    /// In the room.
    Join,
    /// Left, declined or put out.
    Leave,
    /// Banned.
    Ban,
    /// Asked to be let in.
    Knock,
}

/// A to-device event for a ghost's device.
#[derive(Clone, Debug)]
pub struct ToDevice {
    /// The ghost.
    pub ghost: UserId,
    /// Its device.
    pub device: DeviceId,
    /// Who sent it, as the homeserver says.
    pub sender: UserId,
    /// Its type.
    pub event_type: String,
    /// Its content.
    pub content: Value,
}

/// A guest uses a link. The shell verified every signature before.
#[derive(Clone, Debug)]
pub struct Join {
    /// The hash of the token that came.
    pub token_hash: TokenHash,
    /// What the guest typed as name.
    pub name: String,
    /// The user id that the keys are signed with.
    pub ghost: UserId,
    /// The device id that the keys are signed with.
    pub device: DeviceId,
    /// The device's Ed25519 key, unpadded base64.
    pub ed25519: String,
    /// The public keys, ready for the homeserver.
    pub keys: JoinKeys,
    /// The hash of the passcode that came, if one did; see
    /// [`Passcode::parse`](crate::passcode::Passcode::parse).
    pub passcode: Option<PasscodeHash>,
}

/// A browser's public keys, in the shapes of `/keys/upload` and `/keys/device_signing/upload`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JoinKeys {
    /// The device keys, signed by the device and by the self-signing key.
    pub device_keys: Value,
    /// The master key.
    pub master_key: Value,
    /// The self-signing key, signed by the master key.
    pub self_signing_key: Value,
    /// The user-signing key, signed by the master key.
    pub user_signing_key: Value,
    /// `signed_curve25519:…` to signed key.
    pub one_time_keys: Value,
    /// The same, one key.
    pub fallback_keys: Value,
}

impl JoinKeys {
    /// The master key itself, unpadded base64.
    #[must_use]
    pub fn master(&self) -> Option<&str> {
        let keys = self.master_key.get("keys")?.as_object()?;
        keys.values().next()?.as_str()
    }
}

/// How an effect went. What can be tried again is tried again by the outbox and never comes here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// The homeserver made the room (or had made it before).
    RoomCreated(RoomId),
    /// The homeserver took the event.
    Sent(EventId),
    /// The room's state is what it must be.
    Sealed {
        /// Whether the host had joined by then.
        host_joined: bool,
    },
    /// The room's state is not what it must be.
    SealBroken,
    /// Somebody besides host and ghost is in the room.
    ThirdParty,
    /// The ghost is not in the room, or there is no such room any more.
    NotThere,
    /// The bot is in the room it was invited to.
    Joined {
        /// Whether the room is encrypted.
        encrypted: bool,
        /// How many are in it or invited, the bot included.
        members: usize,
    },
    /// The host's display name, if they have one.
    HostName(Option<String>),
    /// The words of an [`Effect::ShareLink`](crate::effect::Effect::ShareLink) are gone, because
    /// the program was started anew since they were handed over.
    WordsLost,
    /// The homeserver refused for good.
    Refused {
        /// `M_…`, or `HTTP_<status>` when there was none.
        errcode: String,
    },
}
