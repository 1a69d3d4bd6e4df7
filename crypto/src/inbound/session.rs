//! One inbound Megolm session, and whose it is.

use serde_json::{Map, Value};
use vodozemac::megolm::InboundGroupSession;

use crate::error::OpenError;
use crate::object::{Object, list, number, owned};
use crate::records::{Changes, Record, kind};

pub(super) struct RoomSession {
    pub(super) owner: Owner,
    pub(super) session: InboundGroupSession,
}

/// Whose session it is, and which of its messages were seen.
#[derive(Clone)]
pub(super) struct Owner {
    pub(super) room_id: String,
    pub(super) sender: String,
    pub(super) sender_curve25519: String,
    pub(super) received_at: u64,
    pub(super) seen: Vec<Seen>,
}

/// A message index and the event that carried it.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) index: u32,
    pub(super) event_id: String,
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
    fn to_object(&self) -> Object {
        Object::default()
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
        Some(Self {
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
