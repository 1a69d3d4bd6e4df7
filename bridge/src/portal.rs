//! The one sealed room of one host and one guest.

use serde::{Deserialize, Serialize};

use crate::guest::GuestName;
use crate::id::{EventId, LinkId, PortalId, RoomId, UserId};
use crate::time::Timestamp;
use crate::visit::Visit;

/// A portal as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Portal {
    /// Its name on the page and in logs.
    pub id: PortalId,
    /// The link it came from.
    pub link: LinkId,
    /// The Matrix user on one side.
    pub host: UserId,
    /// The guest on the other side, as the homeserver knows it.
    pub ghost: UserId,
    /// The name the guest typed.
    pub name: GuestName,
    /// The guest's browser.
    pub visit: Visit,
    /// Where in its life it is.
    pub state: PortalState,
    /// When the guest pressed *Start chat*.
    pub created_at: Timestamp,
    /// When either side last wrote; the start counts as the first time.
    pub last_message_at: Timestamp,
    /// When it ends if nobody writes, by the idle limit that held at the last message. Stored
    /// rather than computed, because the store keeps portals in its order and the limit can change
    /// between two runs.
    pub ends_at: Timestamp,
    /// The sequence number of the last frame put into the inbox.
    pub last_seq: u64,
    /// What both sides were told already.
    #[serde(default)]
    pub told: Told,
    /// When the tick looks at it next, besides the deadline; never later than there is something
    /// to do, often earlier. None only in rows from before there were alarms.
    #[serde(default)]
    pub alarm_at: Option<Timestamp>,
    /// How far the host has read, if they let anybody know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_read: Option<HostRead>,
    /// How often the ghost's profile had to be put back lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_back: Option<PutBack>,
}

/// How often a ghost's profile had to be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutBack {
    /// The first time.
    pub since: Timestamp,
    /// How often since then.
    pub times: u32,
}

/// A read receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRead {
    /// Everything up to this event was read.
    pub event: EventId,
    /// When, as the reader's homeserver says.
    pub at: Timestamp,
}

impl HostRead {
    /// Whether this is later news than what is known. Receipts come by two paths, so an older one
    /// may come after a younger one.
    #[must_use]
    pub fn is_after(&self, known: Option<&Self>) -> bool {
        known.is_none_or(|known| self.event != known.event && self.at >= known.at)
    }
}

/// What was told and must not be told twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// The deadline that both sides were warned of.
    pub deadline: Option<Timestamp>,
    /// The last sign of the guest before the absence that the host was told of.
    pub absence: Option<Timestamp>,
    /// When it was last looked whether a message waits for an absent guest, and none did.
    pub looked_at: Option<Timestamp>,
    /// When the host was last told that a message of theirs came without encryption.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unencrypted: Option<Timestamp>,
}

/// Where in its life a portal is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum PortalState {
    /// The ghost and the room are being made.
    Opening {
        /// The room, once the homeserver made it.
        room: Option<RoomId>,
        /// Whether the host accepted the invitation before the seal was read back.
        host_joined: bool,
    },
    /// The seal was read back; both may write.
    Open {
        /// The sealed room.
        room: RoomId,
        /// Whether the host accepted the invitation.
        host_joined: bool,
    },
    /// Over for good.
    Closed {
        /// The room, if there ever was one.
        room: Option<RoomId>,
        /// When it ended.
        at: Timestamp,
        /// Why.
        reason: EndReason,
    },
}

/// Why a portal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The host left, declined or put the guest out.
    Host,
    /// The guest ended it.
    Guest,
    /// Nobody wrote for the idle limit.
    Expired,
    /// The room could not be made, or its seal did not hold.
    Failed,
    /// Somebody besides host and ghost appeared in the room.
    ThirdParty,
    /// An admin of the bridge ended it.
    Admin,
}

impl EndReason {
    /// The name that programs read.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Guest => "guest",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::ThirdParty => "third_party",
            Self::Admin => "admin",
        }
    }
}

impl Portal {
    /// When it ends if nobody writes; none when it is over already.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        (!self.is_closed()).then_some(self.ends_at)
    }

    /// Whether both may write.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.state, PortalState::Open { .. })
    }

    /// The room, if it exists.
    #[must_use]
    pub fn room(&self) -> Option<&RoomId> {
        match &self.state {
            PortalState::Opening { room, .. } | PortalState::Closed { room, .. } => room.as_ref(),
            PortalState::Open { room, .. } => Some(room),
        }
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, PortalState::Closed { .. })
    }
}
