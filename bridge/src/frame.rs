//! Frames of the socket, as `docs/protocol.md` describes them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{DeviceId, EventId, PortalId, RoomId, UserId};
use crate::portal::EndReason;
use crate::time::Timestamp;

/// The version that `challenge` names. A page that knows another one asks to be reloaded.
pub const PROTOCOL: u32 = 1;

/// A frame that waits in a portal's inbox until the browser has stored it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum InboxFrame {
    /// A room event of the host.
    Event {
        /// The event.
        event: HostEvent,
        /// When the chat ends if nobody writes after it.
        deadline: Timestamp,
    },
    /// A to-device event for the visit's device.
    ToDevice {
        /// The event.
        event: ToDeviceEvent,
    },
    /// The homeserver has the message.
    Delivered {
        /// The number of the guest's frame.
        n: u64,
        /// The event it became.
        event_id: EventId,
    },
    /// The homeserver refused the message for good.
    Undelivered {
        /// The number of the guest's frame.
        n: u64,
        /// The homeserver's error code.
        code: String,
    },
    /// Whether the host is in the room.
    Host {
        /// They accepted the invitation.
        joined: bool,
    },
    /// The chat ends soon, unless somebody writes.
    Deadline {
        /// When.
        deadline: Timestamp,
    },
    /// The chat is over.
    Ended {
        /// Why.
        reason: EndReason,
    },
}

/// A room event of the host, as the page gets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostEvent {
    /// `m.room.encrypted`, `m.room.redaction`, or the type of what came without encryption.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its id.
    pub event_id: EventId,
    /// The host, as the homeserver says; the crypto machine compares it.
    pub sender: UserId,
    /// Milliseconds since the epoch, as the homeserver says.
    pub origin_server_ts: Timestamp,
    /// The ciphertext; empty for a redaction and for what came without encryption.
    pub content: Value,
    /// The event that a redaction takes away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redacts: Option<EventId>,
    /// It came without encryption, so its content was not relayed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unencrypted: bool,
    /// It was found in the room's past, so later ones may have come before it: its place among the
    /// host's events is by `origin_server_ts`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

/// A to-device event, as the page gets it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToDeviceEvent {
    /// `m.room.encrypted`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The host, as the homeserver says.
    pub sender: UserId,
    /// The Olm message.
    pub content: Value,
}

/// A frame from the bridge to the page.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// The first frame of a connection.
    Challenge {
        /// To be signed, used once.
        nonce: String,
        /// [`PROTOCOL`].
        protocol: u32,
        /// Which store the sequence numbers belong to: made at random with the store, and anew
        /// whenever it may have lost something of what it had committed.
        #[serde(skip_serializing_if = "Option::is_none")]
        store_id: Option<String>,
    },
    /// The room is being made.
    Opening,
    /// The chat is open.
    Welcome(Box<Welcome>),
    /// The answer to one frame of the page.
    Result(ResultFrame),
    /// The host's devices changed.
    KeysChanged,
    /// How many one-time keys the homeserver has.
    OneTimeKeys {
        /// Unclaimed one-time keys.
        count: u64,
        /// Whether the fallback key was not used yet.
        fallback_unused: bool,
    },
    /// The host began or stopped to type.
    Typing {
        /// Whether they are typing.
        typing: bool,
    },
    /// The host has read everything of the guest up to this event.
    Read {
        /// The event that their read receipt names.
        event_id: EventId,
    },
    /// The connection is closed after this.
    Error {
        /// A stable code.
        code: &'static str,
        /// Plain English for whoever reads the wire.
        message: String,
    },
}

/// The chat is open, and this is how it stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Welcome {
    /// The sealed room.
    pub room_id: RoomId,
    /// The guest's Matrix user.
    pub ghost: UserId,
    /// The guest's name with its label.
    pub name: String,
    /// With whom the guest talks.
    pub host: HostView,
    /// Whether the host accepted the invitation.
    pub host_joined: bool,
    /// The last numbered frame that was committed.
    pub last_n: u64,
    /// The highest sequence number that the browser acknowledged.
    pub acked_seq: u64,
    /// The highest sequence number there is.
    pub last_seq: u64,
    /// When the chat ends if nobody writes.
    pub deadline: Timestamp,
    /// After how many milliseconds without a message a chat ends.
    pub idle_limit_ms: u64,
    /// The answer of `/keys/query` for the host.
    pub keys: Value,
    /// Unclaimed one-time keys at the homeserver, if it said.
    pub one_time_keys: Option<u64>,
    /// Whether the fallback key was not used yet, if the homeserver said.
    pub fallback_unused: Option<bool>,
    /// The event up to which the host has read, if that is known and relayed.
    pub host_read: Option<EventId>,
    /// Whether it is relayed who is typing.
    pub typing: bool,
    /// Whether read marks are relayed.
    pub receipts: bool,
}

/// A host as a guest sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostView {
    /// Their Matrix id.
    pub user_id: UserId,
    /// Their name.
    pub display_name: String,
}

/// The answer to one frame of the page: `n` for numbered frames, `id` for the others.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ResultFrame {
    /// The number of a `send` or `to_device`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// The id of a `keys_…` frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Whether it was accepted.
    pub ok: bool,
    /// What was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// When the chat ends if nobody writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Why it was not accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

/// Why something was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// A stable code.
    pub code: &'static str,
    /// Plain English.
    pub message: String,
    /// How many milliseconds to wait, when that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// How many more passcodes may be tried, after a wrong one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries_left: Option<u32>,
}

/// A frame from the page to the bridge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientFrame {
    /// Proves which browser this is.
    Hello {
        /// The chat.
        portal: PortalId,
        /// The device.
        device: DeviceId,
        /// Ed25519 over the challenge, unpadded base64.
        signature: String,
        /// The highest sequence number the browser has stored; frames after it are sent.
        last_seq: u64,
        /// Only of a browser that was told of more than this store knows: it needs no frame up to
        /// this number any more, and goes on with the next one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_n: Option<u64>,
    },
    /// An encrypted message.
    Send {
        /// Its number.
        n: u64,
        /// The content of `m.room.encrypted`.
        content: Value,
    },
    /// To-device messages for the host's devices.
    ToDevice {
        /// Its number.
        n: u64,
        /// `m.room.encrypted` or `m.room_key.withheld`.
        event_type: String,
        /// The content for each device.
        messages: BTreeMap<DeviceId, Value>,
    },
    /// Take back a message of the guest's own.
    Redact {
        /// Its number.
        n: u64,
        /// The event that was told as delivered.
        event_id: EventId,
    },
    /// Ask for the host's keys.
    KeysQuery {
        /// Repeated in the result.
        id: u64,
    },
    /// Ask for one-time keys of the host's devices.
    KeysClaim {
        /// Repeated in the result.
        id: u64,
        /// The devices.
        devices: Vec<DeviceId>,
    },
    /// Publish new keys.
    KeysUpload {
        /// Repeated in the result.
        id: u64,
        /// `signed_curve25519:…` to signed key.
        #[serde(default)]
        one_time_keys: Value,
        /// The same, one key or none.
        #[serde(default)]
        fallback_keys: Value,
    },
    /// Everything up to here is stored in the browser.
    Ack {
        /// The sequence number.
        seq: u64,
    },
    /// The guest began or stopped to type.
    Typing {
        /// Whether they are typing.
        typing: bool,
    },
    /// The newest event of the host that the guest has seen.
    Read {
        /// The event.
        event_id: EventId,
    },
    /// End the chat.
    // With braces, because serde lets unknown fields pass a variant that has none.
    Leave {},
}
