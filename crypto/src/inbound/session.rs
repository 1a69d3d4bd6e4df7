//! One inbound Megolm session, and whose it is.

use serde_json::{Map, Value};
use vodozemac::megolm::InboundGroupSession;

use super::RoomKey;
use crate::error::OpenError;
use crate::object::{Object, list, number, owned};
use crate::records::{Changes, Record, kind};

pub(super) struct RoomSession {
    pub(super) owner: Owner,
    pub(super) session: InboundGroupSession,
}

/// Messages of one session that are remembered. Clients begin a new one after a hundred; one that
/// never does must not make this record grow without end.
const MAX_SEEN: usize = 1000;

/// Whose session it is, and which of its messages were seen.
#[derive(Clone)]
pub(super) struct Owner {
    pub(super) room_id: String,
    pub(super) sender: String,
    pub(super) sender_curve25519: String,
    pub(super) received_at: u64,
    seen: Vec<Seen>,
    /// Below this index nothing is remembered, so nothing is believed.
    floor: u32,
}

/// A message index and the event that carried it.
#[derive(Clone)]
struct Seen {
    index: u32,
    event_id: String,
}

impl RoomSession {
    pub(super) fn open(bytes: &[u8]) -> Result<Self, OpenError> {
        let record = Record::read(kind::INBOUND, bytes)?;
        let session = InboundGroupSession::from_pickle(record.unpickle()?);
        let owner = record.parse(Owner::from_object)?;
        Ok(Self { owner, session })
    }

    pub(super) fn record_key(&self) -> String {
        format!(
            "{}:{}|{}",
            kind::INBOUND,
            self.owner.room_id,
            self.session.session_id()
        )
    }

    pub(super) fn save(&self, changes: &mut Changes) {
        changes.put_pickle(
            self.record_key(),
            self.owner.to_object(),
            &self.session.pickle(),
        );
    }
}

impl Owner {
    /// The session of that key, of which nothing was seen yet.
    pub(super) fn of(key: &RoomKey, now: u64) -> Self {
        Self {
            room_id: key.room_id.clone(),
            sender: key.sender.clone(),
            sender_curve25519: key.sender_curve25519.clone(),
            received_at: now,
            seen: Vec::new(),
            floor: 0,
        }
    }

    /// Remembers which event carried that index. Whether that is new, or `None` if it was another
    /// event, or may have been.
    pub(super) fn see(&mut self, index: u32, event_id: &str) -> Option<bool> {
        if let Some(seen) = self.seen.iter().find(|seen| seen.index == index) {
            return (seen.event_id == event_id).then_some(false);
        }
        if index < self.floor {
            return None;
        }
        let event_id = event_id.to_owned();
        self.seen.push(Seen { index, event_id });
        if self.seen.len() > MAX_SEEN {
            let lowest = self.seen.iter().map(|seen| seen.index).min();
            self.floor = lowest.unwrap_or_default().saturating_add(1);
            self.seen.retain(|seen| seen.index >= self.floor);
        }
        Some(true)
    }

    fn to_object(&self) -> Object {
        Object::default()
            .number("floor", self.floor.into())
            .text("room_id", &self.room_id)
            .text("sender", &self.sender)
            .text("sender_curve25519", &self.sender_curve25519)
            .number("received_at", self.received_at)
            .list("seen", &self.seen, |seen| {
                Object::default()
                    .number("index", seen.index.into())
                    .text("event_id", &seen.event_id)
            })
    }

    fn from_object(object: &Map<String, Value>) -> Option<Self> {
        // Records of before have none.
        let floor = number(object, "floor").unwrap_or_default();
        Some(Self {
            floor: u32::try_from(floor).ok()?,
            room_id: owned(object, "room_id")?,
            sender: owned(object, "sender")?,
            sender_curve25519: owned(object, "sender_curve25519")?,
            received_at: number(object, "received_at")?,
            seen: list(object, "seen", |seen| {
                Some(Seen {
                    index: u32::try_from(number(seen, "index")?).ok()?,
                    event_id: owned(seen, "event_id")?,
                })
            })?,
        })
    }
}
