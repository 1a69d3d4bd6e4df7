//! What came too early: an event before its key, a key before its device.

use serde_json::{Map, Value};
use vodozemac::megolm::SessionKey;

use crate::content::Envelope;
use crate::error::OpenError;
use crate::object::{Object, number, owned, text};
use crate::records::{Changes, Record, kind};

/// A room key as it came, with the keys of the device that sent it.
pub(crate) struct RoomKey {
    pub(crate) sender: String,
    pub(crate) sender_curve25519: String,
    pub(crate) sender_ed25519: String,
    pub(crate) room_id: String,
    pub(crate) session_id: String,
    pub(crate) session_key: SessionKey,
}

/// An event whose key hasn't come.
pub(super) struct Waiting {
    pub(super) arrival: u64,
    pub(super) session_id: String,
    pub(super) ciphertext: String,
    pub(super) envelope: Envelope,
}

/// A key whose device isn't trusted.
pub(super) struct Held {
    pub(super) arrival: u64,
    pub(super) key: RoomKey,
}

impl Waiting {
    pub(super) fn open(bytes: &[u8]) -> Result<Self, OpenError> {
        Record::read(kind::WAITING, bytes)?.parse(Self::from_object)
    }

    pub(super) fn record_key(&self) -> String {
        format!("{}:{}", kind::WAITING, self.arrival)
    }

    pub(super) fn save(&self, changes: &mut Changes) {
        let object = Object::default()
            .number("arrival", self.arrival)
            .text("room_id", &self.envelope.room_id)
            .text("session_id", &self.session_id)
            .text("ciphertext", &self.ciphertext)
            .text("event_id", &self.envelope.event_id)
            .text("sender", &self.envelope.sender)
            .number("origin_server_ts", self.envelope.ts);
        changes.put(self.record_key(), object);
    }

    fn from_object(object: &Map<String, Value>) -> Option<Self> {
        Some(Self {
            arrival: number(object, "arrival")?,
            session_id: owned(object, "session_id")?,
            ciphertext: owned(object, "ciphertext")?,
            envelope: Envelope::read(text(object, "room_id")?, object)?,
        })
    }
}

impl Held {
    pub(super) fn open(bytes: &[u8]) -> Result<Self, OpenError> {
        let record = Record::read(kind::HELD, bytes)?;
        let session_key = record.unpickle()?;
        record.parse(|object| Self::from_object(object, session_key))
    }

    pub(super) fn record_key(&self) -> String {
        format!("{}:{}", kind::HELD, self.arrival)
    }

    pub(super) fn save(&self, changes: &mut Changes) {
        let object = Object::default()
            .number("arrival", self.arrival)
            .text("sender", &self.key.sender)
            .text("sender_curve25519", &self.key.sender_curve25519)
            .text("sender_ed25519", &self.key.sender_ed25519)
            .text("room_id", &self.key.room_id)
            .text("session_id", &self.key.session_id);
        changes.put_pickle(self.record_key(), object, &self.key.session_key);
    }

    fn from_object(object: &Map<String, Value>, session_key: SessionKey) -> Option<Self> {
        Some(Self {
            arrival: number(object, "arrival")?,
            key: RoomKey {
                sender: owned(object, "sender")?,
                sender_curve25519: owned(object, "sender_curve25519")?,
                sender_ed25519: owned(object, "sender_ed25519")?,
                room_id: owned(object, "room_id")?,
                session_id: owned(object, "session_id")?,
                session_key,
            },
        })
    }
}
