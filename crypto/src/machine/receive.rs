//! What arrives: to-device events with room keys, and the events of a room.

use serde_json::{Map, Value};
use vodozemac::megolm::SessionKey;
use vodozemac::olm::OlmMessage;

use super::{Machine, Received};
use crate::content::{Envelope, Item, Unsupported};
use crate::error::{CryptoError, Refused};
use crate::inbound::RoomKey;
use crate::keys::check_device;
use crate::object::{Secret, text};
use crate::olm::Decrypted;
use crate::records::Step;
use crate::{MEGOLM, OLM, encoding};

/// The parts of an Olm payload that are checked (Matrix specification,
/// "m.olm.v1.curve25519-aes-sha2").
pub(super) struct Payload<'a> {
    object: &'a Map<String, Value>,
    /// A peer.
    pub(super) sender: &'a str,
    pub(super) sender_curve25519: &'a str,
    pub(super) sender_ed25519: &'a str,
}

impl Machine {
    /// Takes in a to-device event: an object with `type`, `sender` and `content`. Only a room key
    /// that came over Olm has any effect.
    ///
    /// # Errors
    /// [`CryptoError::BadInput`] if `event` isn't an object; a bad event is no error but
    /// [`Received::refused`].
    pub fn receive_to_device(
        &mut self,
        event: &Value,
        now: u64,
    ) -> Result<Step<Received>, CryptoError> {
        let event = event.as_object().ok_or(CryptoError::BadInput)?;
        let received = match self.receive_olm(event, now) {
            Ok(items) => Received {
                items,
                refused: None,
            },
            Err(refused) => Received {
                items: Vec::new(),
                refused: Some(refused),
            },
        };
        self.step(received)
    }

    /// Takes in an event of the room: an object with `type`, `event_id`, `sender`,
    /// `origin_server_ts`, `content`, for a redaction `redacts`, and `unencrypted: true` for a
    /// message that came without encryption. Gives what to show, nothing if
    /// its sender was never met.
    ///
    /// # Errors
    /// [`CryptoError::BadInput`] if `event` isn't an event.
    pub fn receive_event(
        &mut self,
        room_id: &str,
        event: &Value,
    ) -> Result<Step<Vec<Item>>, CryptoError> {
        let event = event.as_object().ok_or(CryptoError::BadInput)?;
        let envelope = Envelope::read(room_id, event).ok_or(CryptoError::BadInput)?;
        let content = event.get("content").and_then(Value::as_object);
        let content = content.ok_or(CryptoError::BadInput)?;
        if self.peers.get(&envelope.sender).is_none() {
            return self.step(Vec::new());
        }
        let unencrypted = event.get("unencrypted").and_then(Value::as_bool) == Some(true);
        let item = match text(event, "type") {
            _ if unencrypted => envelope.unsupported(Unsupported::Unencrypted, None),
            // Taken back before it came here: of such an event the homeserver keeps the frame alone.
            Some("m.room.encrypted") if content.is_empty() => {
                let own = envelope.event_id.clone();
                envelope.redaction(own)
            }
            Some("m.room.encrypted") => self.inbound.receive(envelope, content, &mut self.changes),
            Some("m.room.redaction") => {
                // At the top up to room version 10, inside the content from 11 on.
                let redacts = text(event, "redacts").or_else(|| text(content, "redacts"));
                envelope.redaction(redacts.ok_or(CryptoError::BadInput)?.to_owned())
            }
            _ => envelope.unsupported(Unsupported::Unencrypted, None),
        };
        self.step(vec![item])
    }

    fn receive_olm(&mut self, event: &Map<String, Value>, now: u64) -> Result<Vec<Item>, Refused> {
        let sender = text(event, "sender").ok_or(Refused::Malformed)?;
        if self.peers.get(sender).is_none() {
            return Err(Refused::Stranger);
        }
        let content = event.get("content").and_then(Value::as_object);
        let content = content.ok_or(Refused::Malformed)?;
        // Room keys are taken over Olm only: a bare m.room_key, or one inside Megolm, would be the
        // homeserver's word and not the sender's.
        if text(event, "type") != Some("m.room.encrypted")
            || text(content, "algorithm") != Some(OLM)
        {
            return Err(Refused::Ignored);
        }
        let sender_key = text(content, "sender_key").ok_or(Refused::Malformed)?;
        let decrypted = self.decrypt_olm(content, sender, sender_key, now);
        if decrypted.as_ref().err() == Some(&Refused::Olm) {
            self.notice_wedged(sender, sender_key, now);
        }
        let decrypted = decrypted?;
        let payload =
            serde_json::from_slice(&decrypted.plaintext).map_err(|_| Refused::Malformed)?;
        let payload = Secret(payload);
        let object = payload.0.as_object().ok_or(Refused::Malformed)?;
        let payload = self.check_payload(object, sender, sender_key)?;
        if decrypted.new_session {
            self.share_again(&payload);
        }
        if text(object, "type") == Some("m.dummy") {
            return Ok(Vec::new());
        }
        self.receive_room_key(&payload, now)
    }

    fn decrypt_olm(
        &mut self,
        content: &Map<String, Value>,
        sender: &str,
        sender_key: &str,
        now: u64,
    ) -> Result<Decrypted, Refused> {
        let ciphertext = content.get("ciphertext").and_then(Value::as_object);
        let for_me = ciphertext
            .ok_or(Refused::Malformed)?
            .get(&self.me.curve25519())
            .and_then(Value::as_object)
            .ok_or(Refused::NotForMe)?;
        let message_type = for_me.get("type").and_then(Value::as_u64);
        let message_type = message_type.and_then(|t| usize::try_from(t).ok());
        let body = text(for_me, "body").and_then(encoding::decode_base64);
        let (Some(message_type), Some(body)) = (message_type, body) else {
            return Err(Refused::Malformed);
        };
        let message =
            OlmMessage::from_parts(message_type, &body).map_err(|_| Refused::Malformed)?;
        // Only the parts that were understood are authenticated; there must be no others.
        if message.to_parts() != (message_type, body) {
            return Err(Refused::Malformed);
        }
        let device_key = encoding::curve25519(sender_key).ok_or(Refused::Malformed)?;
        let decrypted = self.olm.decrypt(
            &mut self.me.account,
            sender,
            device_key,
            &message,
            now,
            &mut self.changes,
        )?;
        if decrypted.new_session {
            self.me.save(&mut self.changes);
        }
        Ok(decrypted)
    }

    /// Checks that the payload was written by whom it says, for this device: Olm proves only which
    /// Curve25519 key wrote it.
    fn check_payload<'a>(
        &self,
        object: &'a Map<String, Value>,
        sender: &'a str,
        sender_key: &'a str,
    ) -> Result<Payload<'a>, Refused> {
        let nested = |name: &str| object.get(name)?.get("ed25519")?.as_str();
        if text(object, "sender") != Some(sender)
            || text(object, "recipient") != Some(&self.me.user_id)
            || nested("recipient_keys") != Some(&self.me.ed25519())
        {
            return Err(Refused::Mismatch);
        }
        let sender_ed25519 = nested("keys").ok_or(Refused::Malformed)?;
        let payload = Payload {
            object,
            sender,
            sender_curve25519: sender_key,
            sender_ed25519,
        };
        if let Some(device_keys) = object.get("sender_device_keys") {
            check_sender_device(device_keys, &payload).ok_or(Refused::DeviceKeys)?;
        }
        Ok(payload)
    }

    fn receive_room_key(&mut self, payload: &Payload<'_>, now: u64) -> Result<Vec<Item>, Refused> {
        if text(payload.object, "type") != Some("m.room_key") {
            return Err(Refused::Ignored);
        }
        let key = read_room_key(payload).ok_or(Refused::Malformed)?;
        if self.is_trusted(payload) {
            return self.inbound.add(&key, now, &mut self.changes);
        }
        self.inbound.hold(key, &mut self.changes);
        if let Some(peer) = self.peers.get_mut(payload.sender) {
            peer.mark_outdated();
            peer.save(&mut self.changes);
        }
        Err(Refused::UnknownDevice)
    }

    /// Whether the sending device is a known one that may be trusted, or carries the signature of
    /// the pinned identity with it.
    fn is_trusted(&self, payload: &Payload<'_>) -> bool {
        let Some(peer) = self.peers.get(payload.sender) else {
            return false;
        };
        peer.trusts_keys(payload.sender_curve25519, payload.sender_ed25519)
            || payload
                .object
                .get("sender_device_keys")
                .and_then(Value::as_object)
                .is_some_and(|keys| peer.has_signed(keys))
    }
}

/// `sender_device_keys` (MSC4147) must be the sender's, signed by themselves, and hold the very keys
/// that wrote this message.
fn check_sender_device(device_keys: &Value, payload: &Payload<'_>) -> Option<()> {
    let device = check_device(device_keys.as_object()?, payload.sender)?;
    (device.curve25519 == payload.sender_curve25519 && device.ed25519 == payload.sender_ed25519)
        .then_some(())
}

fn read_room_key(payload: &Payload<'_>) -> Option<RoomKey> {
    let content = payload.object.get("content")?.as_object()?;
    if text(content, "algorithm") != Some(MEGOLM) {
        return None;
    }
    Some(RoomKey {
        sender: payload.sender.to_owned(),
        sender_curve25519: payload.sender_curve25519.to_owned(),
        sender_ed25519: payload.sender_ed25519.to_owned(),
        room_id: text(content, "room_id")?.to_owned(),
        session_id: text(content, "session_id")?.to_owned(),
        session_key: SessionKey::from_base64(text(content, "session_key")?).ok()?,
    })
}
