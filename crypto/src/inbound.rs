//! Room keys that came in, and the events that wait for one (Matrix specification,
//! "m.megolm.v1.aes-sha2").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use vodozemac::megolm::{
    DecryptionError, InboundGroupSession, InboundGroupSessionPickle, MegolmMessage, SessionConfig,
    SessionKey, SessionOrdering,
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::content::{Envelope, Item, Undecryptable};
use crate::error::{OpenError, Refused};
use crate::identity::elapsed;
use crate::keys::text;
use crate::records::{self, Changes, kind};

/// A sender makes a new session after at most a week; a day more for what is still on its way.
const GRACE_MS: u64 = 8 * 24 * 3_600_000;
/// Events that wait for a key; the oldest gives way.
const MAX_WAITING: usize = 200;
/// Room keys of devices not yet trusted; the oldest gives way.
const MAX_HELD: usize = 16;

#[derive(Default)]
pub(crate) struct Inbound {
    /// By room and session id.
    sessions: BTreeMap<(String, String), RoomSession>,
    /// By arrival.
    waiting: BTreeMap<u64, Waiting>,
    held: BTreeMap<u64, RoomKey>,
}

/// A room key as it came, with the keys of the device that sent it.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(crate) struct RoomKey {
    pub(crate) sender: String,
    pub(crate) sender_curve25519: String,
    pub(crate) sender_ed25519: String,
    pub(crate) room_id: String,
    pub(crate) session_id: String,
    pub(crate) session_key: String,
}

struct RoomSession {
    owner: Owner,
    session: InboundGroupSession,
}

#[derive(Clone, Serialize, Deserialize)]
struct Owner {
    room_id: String,
    sender: String,
    sender_curve25519: String,
    received_at: u64,
    /// Message index to the event that carried it.
    seen: BTreeMap<u32, String>,
}

#[derive(Serialize)]
struct SessionRecordRef<'a> {
    owner: &'a Owner,
    pickle: InboundGroupSessionPickle,
}

#[derive(Deserialize)]
struct SessionRecord {
    owner: Owner,
    pickle: InboundGroupSessionPickle,
}

/// An event whose key hasn't come.
#[derive(Serialize, Deserialize)]
struct Waiting {
    arrival: u64,
    room_id: String,
    session_id: String,
    ciphertext: String,
    envelope: Envelope,
}

#[derive(Serialize)]
struct HeldRef<'a> {
    arrival: u64,
    key: &'a RoomKey,
}

#[derive(Deserialize)]
struct Held {
    arrival: u64,
    key: RoomKey,
}

impl Inbound {
    pub(crate) fn open_session(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        let record: SessionRecord = records::decode(kind::INBOUND, bytes)?;
        let session = InboundGroupSession::from_pickle(record.pickle);
        let id = (record.owner.room_id.clone(), session.session_id());
        self.sessions.insert(
            id,
            RoomSession {
                owner: record.owner,
                session,
            },
        );
        Ok(())
    }

    pub(crate) fn open_waiting(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        let waiting: Waiting = records::decode(kind::WAITING, bytes)?;
        self.waiting.insert(waiting.arrival, waiting);
        Ok(())
    }

    pub(crate) fn open_held(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        let held: Held = records::decode(kind::HELD, bytes)?;
        self.held.insert(held.arrival, held.key);
        Ok(())
    }

    /// Keeps a key until its device is known.
    pub(crate) fn hold(&mut self, key: RoomKey, changes: &mut Changes) {
        let arrival = next_arrival(&self.held);
        changes.put(
            numbered(kind::HELD, arrival),
            &HeldRef { arrival, key: &key },
        );
        self.held.insert(arrival, key);
        if self.held.len() > MAX_HELD
            && let Some((oldest, _)) = self.held.pop_first()
        {
            changes.delete(numbered(kind::HELD, oldest));
        }
    }

    pub(crate) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Takes out the held keys whose device is trusted by now.
    pub(crate) fn release(
        &mut self,
        trusted: impl Fn(&RoomKey) -> bool,
        changes: &mut Changes,
    ) -> Vec<RoomKey> {
        let (released, held): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|(_, key)| trusted(key));
        self.held = held;
        for arrival in released.keys() {
            changes.delete(numbered(kind::HELD, *arrival));
        }
        released.into_values().collect()
    }

    /// Adds a room key of a trusted device, and gives the waiting events that it decrypts.
    pub(crate) fn add(
        &mut self,
        key: &RoomKey,
        now: u64,
        changes: &mut Changes,
    ) -> Result<Vec<Item>, Refused> {
        let session_key =
            SessionKey::from_base64(&key.session_key).map_err(|_| Refused::Malformed)?;
        let mut session = InboundGroupSession::new(&session_key, SessionConfig::version_1());
        if session.session_id() != key.session_id {
            return Err(Refused::Mismatch);
        }
        let id = (key.room_id.clone(), key.session_id.clone());
        let owner = match self.sessions.get_mut(&id) {
            None => Owner {
                room_id: key.room_id.clone(),
                sender: key.sender.clone(),
                sender_curve25519: key.sender_curve25519.clone(),
                received_at: now,
                seen: BTreeMap::new(),
            },
            // The session stays with the device it came from first.
            Some(known) if known.owner.sender_curve25519 != key.sender_curve25519 => {
                return Err(Refused::Conflict);
            }
            Some(known) => match session.compare(&mut known.session) {
                SessionOrdering::Better => known.owner.clone(),
                SessionOrdering::Equal | SessionOrdering::Worse => return Ok(Vec::new()),
                SessionOrdering::Unconnected => return Err(Refused::Conflict),
            },
        };
        self.drop_old(&owner, now, changes);
        let added = RoomSession { owner, session };
        added.save(changes);
        self.sessions.insert(id, added);
        Ok(self.decrypt_waiting(&key.room_id, &key.session_id, changes))
    }

    /// Decrypts the content of an `m.room.encrypted` event; one whose key is missing waits.
    pub(crate) fn receive(
        &mut self,
        room_id: &str,
        envelope: Envelope,
        content: &Map<String, Value>,
        changes: &mut Changes,
    ) -> Item {
        let parts = (
            text(content, "algorithm"),
            text(content, "session_id"),
            text(content, "ciphertext"),
        );
        let (Some(crate::MEGOLM), Some(session_id), Some(ciphertext)) = parts else {
            return envelope.undecryptable(Undecryptable::Malformed);
        };
        match self.decrypt(room_id, session_id, ciphertext, &envelope, changes) {
            Ok(item) => item,
            Err(reason) => {
                if reason == Undecryptable::NoKey {
                    self.wait(room_id, session_id, ciphertext, &envelope, changes);
                }
                envelope.undecryptable(reason)
            }
        }
    }

    fn decrypt(
        &mut self,
        room_id: &str,
        session_id: &str,
        ciphertext: &str,
        envelope: &Envelope,
        changes: &mut Changes,
    ) -> Result<Item, Undecryptable> {
        let message =
            MegolmMessage::from_base64(ciphertext).map_err(|_| Undecryptable::Malformed)?;
        let id = (room_id.to_owned(), session_id.to_owned());
        let session = self.sessions.get_mut(&id).ok_or(Undecryptable::NoKey)?;
        if session.owner.sender != envelope.sender {
            return Err(Undecryptable::Mismatch);
        }
        let decrypted = session
            .session
            .decrypt(&message)
            .map_err(|error| match error {
                DecryptionError::UnknownMessageIndex(..) => Undecryptable::NoKey,
                _ => Undecryptable::Malformed,
            })?;
        let plaintext = Zeroizing::new(decrypted.plaintext);
        match session.owner.seen.get(&decrypted.message_index) {
            Some(event_id) if *event_id != envelope.event_id => return Err(Undecryptable::Replay),
            Some(_) => {}
            None => {
                let seen = &mut session.owner.seen;
                seen.insert(decrypted.message_index, envelope.event_id.clone());
                session.save(changes);
            }
        }
        let payload: Value =
            serde_json::from_slice(&plaintext).map_err(|_| Undecryptable::Malformed)?;
        let payload = payload.as_object().ok_or(Undecryptable::Malformed)?;
        if text(payload, "room_id") != Some(room_id) {
            return Err(Undecryptable::Mismatch);
        }
        let event_type = text(payload, "type").ok_or(Undecryptable::Malformed)?;
        let content = payload
            .get("content")
            .and_then(Value::as_object)
            .ok_or(Undecryptable::Malformed)?;
        Ok(envelope.clone().decrypted(event_type, content))
    }

    fn wait(
        &mut self,
        room_id: &str,
        session_id: &str,
        ciphertext: &str,
        envelope: &Envelope,
        changes: &mut Changes,
    ) {
        let known = |w: &Waiting| w.envelope.event_id == envelope.event_id && w.room_id == room_id;
        if self.waiting.values().any(known) {
            return;
        }
        let arrival = next_arrival(&self.waiting);
        let waiting = Waiting {
            arrival,
            room_id: room_id.to_owned(),
            session_id: session_id.to_owned(),
            ciphertext: ciphertext.to_owned(),
            envelope: envelope.clone(),
        };
        changes.put(numbered(kind::WAITING, arrival), &waiting);
        self.waiting.insert(arrival, waiting);
        if self.waiting.len() > MAX_WAITING
            && let Some((oldest, _)) = self.waiting.pop_first()
        {
            changes.delete(numbered(kind::WAITING, oldest));
        }
    }

    fn decrypt_waiting(
        &mut self,
        room_id: &str,
        session_id: &str,
        changes: &mut Changes,
    ) -> Vec<Item> {
        let arrivals: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(_, w)| w.room_id == room_id && w.session_id == session_id)
            .map(|(arrival, _)| *arrival)
            .collect();
        let mut items = Vec::new();
        for arrival in arrivals {
            let Some(waiting) = self.waiting.remove(&arrival) else {
                continue;
            };
            let result = self.decrypt(
                room_id,
                session_id,
                &waiting.ciphertext,
                &waiting.envelope,
                changes,
            );
            match result {
                // The key only reads later messages; the event goes on waiting.
                Err(Undecryptable::NoKey) => {
                    self.waiting.insert(arrival, waiting);
                    continue;
                }
                Err(reason) => items.push(waiting.envelope.undecryptable(reason)),
                Ok(item) => items.push(item),
            }
            changes.delete(numbered(kind::WAITING, arrival));
        }
        items
    }

    /// Drops sessions of the same device and room that its owner has long replaced. What they
    /// decrypted is in the history; keeping them would only widen what a thief of the store reads.
    fn drop_old(&mut self, new: &Owner, now: u64, changes: &mut Changes) {
        self.sessions.retain(|_, old| {
            let replaced = old.owner.room_id == new.room_id
                && old.owner.sender_curve25519 == new.sender_curve25519
                && elapsed(old.owner.received_at, now) > GRACE_MS;
            if replaced {
                changes.delete(old.record_key());
            }
            !replaced
        });
    }
}

impl RoomSession {
    fn record_key(&self) -> String {
        format!(
            "{}:{}|{}",
            kind::INBOUND,
            self.owner.room_id,
            self.session.session_id()
        )
    }

    fn save(&self, changes: &mut Changes) {
        changes.put(
            self.record_key(),
            &SessionRecordRef {
                owner: &self.owner,
                pickle: self.session.pickle(),
            },
        );
    }
}

fn next_arrival<T>(map: &BTreeMap<u64, T>) -> u64 {
    map.last_key_value()
        .map_or(0, |(last, _)| last.saturating_add(1))
}

fn numbered(kind: &str, number: u64) -> String {
    format!("{kind}:{number}")
}
