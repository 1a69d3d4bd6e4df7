//! Room keys that came in, and the events that wait for one (Matrix specification,
//! "m.megolm.v1.aes-sha2").

use serde_json::{Map, Value};
use vodozemac::megolm::{
    DecryptionError, InboundGroupSession, MegolmMessage, SessionConfig, SessionOrdering,
};
use zeroize::Zeroizing;

use crate::content::{Envelope, Item, Undecryptable};
use crate::encoding;
use crate::error::{OpenError, Refused};
use crate::identity::elapsed;
use crate::object::text;
use crate::records::Changes;

mod early;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use early::RoomKey;
use early::{Held, Waiting};
use session::{Owner, RoomSession};

/// How long a session is kept after the next one of its device came: messages may wait at the bridge
/// and come after a key that was sent later.
const GRACE_MS: u64 = 8 * 24 * 3_600_000;
/// Sessions kept of one sender; the one that came first gives way. Anybody whom this device talks
/// with can make any number, and none is used up by a hundred messages a day in eight days.
const MAX_SESSIONS: usize = 500;
/// Events of one sender that wait for a key; the oldest gives way.
const MAX_WAITING: usize = 200;
/// Room keys of one sender's devices not yet trusted; the oldest gives way.
const MAX_HELD: usize = 16;

#[derive(Default)]
pub(crate) struct Inbound {
    sessions: Vec<RoomSession>,
    /// In order of arrival.
    waiting: Vec<Waiting>,
    /// In order of arrival.
    held: Vec<Held>,
}

impl Inbound {
    pub(crate) fn open_session(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        self.sessions.push(RoomSession::open(bytes)?);
        Ok(())
    }

    pub(crate) fn open_waiting(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        let waiting = Waiting::open(bytes)?;
        let later = self
            .waiting
            .iter()
            .position(|w| w.arrival > waiting.arrival);
        self.waiting
            .insert(later.unwrap_or(self.waiting.len()), waiting);
        Ok(())
    }

    pub(crate) fn open_held(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        let held = Held::open(bytes)?;
        let later = self.held.iter().position(|h| h.arrival > held.arrival);
        self.held.insert(later.unwrap_or(self.held.len()), held);
        Ok(())
    }

    /// Keeps a key until its device is known.
    pub(crate) fn hold(&mut self, key: RoomKey, changes: &mut Changes) {
        let arrival = self
            .held
            .last()
            .map_or(0, |last| last.arrival.saturating_add(1));
        let held = Held { arrival, key };
        held.save(changes);
        self.held.push(held);
        let sender = self.held.last().map(|held| held.key.sender.clone());
        let same = |held: &Held| sender.as_ref() == Some(&held.key.sender);
        if self.held.iter().filter(|held| same(held)).count() > MAX_HELD
            && let Some(oldest) = self.held.iter().position(same)
        {
            changes.delete(self.held.remove(oldest).record_key());
        }
    }

    /// Whether a key of that user waits until its device is known.
    pub(crate) fn has_held(&self, user_id: &str) -> bool {
        self.held.iter().any(|held| held.key.sender == user_id)
    }

    /// Whether the key of that session waits until its device is known.
    #[cfg(feature = "bot")]
    pub(crate) fn holds(&self, room_id: &str, session_id: &str) -> bool {
        let of = |held: &&Held| held.key.room_id == room_id && held.key.session_id == session_id;
        self.held.iter().any(|held| of(&held))
    }

    /// Deletes all that came from that user.
    pub(crate) fn forget(&mut self, user_id: &str, changes: &mut Changes) {
        self.sessions.retain(|session| {
            let theirs = session.owner.sender == user_id;
            if theirs {
                changes.delete(session.record_key());
            }
            !theirs
        });
        self.waiting.retain(|waiting| {
            let theirs = waiting.envelope.sender == user_id;
            if theirs {
                changes.delete(waiting.record_key());
            }
            !theirs
        });
        self.held.retain(|held| {
            let theirs = held.key.sender == user_id;
            if theirs {
                changes.delete(held.record_key());
            }
            !theirs
        });
    }

    /// Takes out the held keys whose device is trusted by now.
    pub(crate) fn release(
        &mut self,
        trusted: impl Fn(&RoomKey) -> bool,
        changes: &mut Changes,
    ) -> Vec<RoomKey> {
        let mut released = Vec::new();
        for held in std::mem::take(&mut self.held) {
            if trusted(&held.key) {
                changes.delete(held.record_key());
                released.push(held.key);
            } else {
                self.held.push(held);
            }
        }
        released
    }

    /// Adds a room key of a trusted device, and gives the waiting events that it decrypts.
    pub(crate) fn add(
        &mut self,
        key: &RoomKey,
        now: u64,
        changes: &mut Changes,
    ) -> Result<Vec<Item>, Refused> {
        let mut session = InboundGroupSession::new(&key.session_key, SessionConfig::version_1());
        if session.session_id() != key.session_id {
            return Err(Refused::Mismatch);
        }
        let known = self.position(&key.room_id, &key.session_id);
        let owner = match known.and_then(|position| self.sessions.get_mut(position)) {
            None => Owner::of(key, now),
            // The session stays with the device it came from first.
            Some(known)
                if known.owner.sender != key.sender
                    || known.owner.sender_curve25519 != key.sender_curve25519 =>
            {
                return Err(Refused::Conflict);
            }
            Some(known) => match session.compare(&mut known.session) {
                SessionOrdering::Better => known.owner.clone(),
                SessionOrdering::Equal | SessionOrdering::Worse => return Ok(Vec::new()),
                SessionOrdering::Unconnected => return Err(Refused::Conflict),
            },
        };
        if let Some(known) = known {
            self.sessions.remove(known);
        }
        self.drop_old(&owner, now, changes);
        self.make_room(&owner.sender, changes);
        let added = RoomSession { owner, session };
        added.save(changes);
        self.sessions.push(added);
        Ok(self.decrypt_waiting(&key.room_id, &key.session_id, changes))
    }

    fn make_room(&mut self, sender: &str, changes: &mut Changes) {
        let theirs = || self.sessions.iter().enumerate();
        let theirs = || theirs().filter(|(_, session)| session.owner.sender == sender);
        let first = theirs().min_by_key(|(_, session)| session.owner.received_at);
        if let Some((first, _)) = first.filter(|_| theirs().count() >= MAX_SESSIONS) {
            changes.delete(self.sessions.remove(first).record_key());
        }
    }

    fn position(&self, room_id: &str, session_id: &str) -> Option<usize> {
        self.sessions
            .iter()
            .position(|s| s.owner.room_id == room_id && s.session.session_id() == session_id)
    }

    /// Decrypts the content of an `m.room.encrypted` event; one whose key is missing waits.
    pub(crate) fn receive(
        &mut self,
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
        match self.decrypt(session_id, ciphertext, &envelope, changes) {
            Ok(item) => item,
            Err(reason) => {
                if reason == Undecryptable::NoKey {
                    self.wait(session_id, ciphertext, &envelope, changes);
                }
                envelope.undecryptable(reason)
            }
        }
    }

    fn decrypt(
        &mut self,
        session_id: &str,
        ciphertext: &str,
        envelope: &Envelope,
        changes: &mut Changes,
    ) -> Result<Item, Undecryptable> {
        let room_id = &envelope.room_id;
        let bytes = encoding::decode_base64(ciphertext).ok_or(Undecryptable::Malformed)?;
        let message = MegolmMessage::from_bytes(&bytes).map_err(|_| Undecryptable::Malformed)?;
        // Only the parts that were understood are authenticated; there must be no others.
        if message.to_bytes() != bytes {
            return Err(Undecryptable::Malformed);
        }
        let position = self
            .position(room_id, session_id)
            .ok_or(Undecryptable::NoKey)?;
        let session = self
            .sessions
            .get_mut(position)
            .ok_or(Undecryptable::NoKey)?;
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
        let index = decrypted.message_index;
        let new = session.owner.see(index, &envelope.event_id);
        if new.ok_or(Undecryptable::Replay)? {
            session.save(changes);
        }
        let payload: Value =
            serde_json::from_slice(&plaintext).map_err(|_| Undecryptable::Malformed)?;
        let payload = payload.as_object().ok_or(Undecryptable::Malformed)?;
        if text(payload, "room_id") != Some(room_id.as_str()) {
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
        session_id: &str,
        ciphertext: &str,
        envelope: &Envelope,
        changes: &mut Changes,
    ) {
        let known = |w: &Waiting| {
            w.envelope.event_id == envelope.event_id && w.envelope.room_id == envelope.room_id
        };
        if self.waiting.iter().any(known) {
            return;
        }
        let waiting = Waiting {
            arrival: self
                .waiting
                .last()
                .map_or(0, |last| last.arrival.saturating_add(1)),
            session_id: session_id.to_owned(),
            ciphertext: ciphertext.to_owned(),
            envelope: envelope.clone(),
        };
        waiting.save(changes);
        self.waiting.push(waiting);
        let same = |w: &Waiting| w.envelope.sender == envelope.sender;
        if self.waiting.iter().filter(|w| same(w)).count() > MAX_WAITING
            && let Some(oldest) = self.waiting.iter().position(same)
        {
            changes.delete(self.waiting.remove(oldest).record_key());
        }
    }

    fn decrypt_waiting(
        &mut self,
        room_id: &str,
        session_id: &str,
        changes: &mut Changes,
    ) -> Vec<Item> {
        let mut items = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.envelope.room_id != room_id || waiting.session_id != session_id {
                self.waiting.push(waiting);
                continue;
            }
            let Waiting {
                ciphertext,
                envelope,
                ..
            } = &waiting;
            let item = match self.decrypt(session_id, ciphertext, envelope, changes) {
                // The key only reads later messages; the event goes on waiting.
                Err(Undecryptable::NoKey) => {
                    self.waiting.push(waiting);
                    continue;
                }
                Err(reason) => envelope.clone().undecryptable(reason),
                Ok(item) => item,
            };
            changes.delete(waiting.record_key());
            items.push(item);
        }
        items
    }

    /// Drops sessions of the same device and room that its owner has long replaced. What they
    /// decrypted is in the history; keeping them would only widen what a thief of the store reads.
    fn drop_old(&mut self, new: &Owner, now: u64, changes: &mut Changes) {
        let alike = |owner: &Owner| {
            owner.room_id == new.room_id
                && owner.sender == new.sender
                && owner.sender_curve25519 == new.sender_curve25519
        };
        let settled = self
            .sessions
            .iter()
            .map(|session| &session.owner)
            .filter(|owner| alike(owner) && elapsed(owner.received_at, now) > GRACE_MS)
            .map(|owner| owner.received_at)
            .max();
        let Some(settled) = settled else { return };
        self.sessions.retain(|old| {
            let replaced = alike(&old.owner) && old.owner.received_at < settled;
            if replaced {
                changes.delete(old.record_key());
            }
            !replaced
        });
    }
}
