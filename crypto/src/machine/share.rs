//! Room keys on their way to devices, and the word that there is none.

use serde::Serialize;
use serde_json::{Map, Value};
use vodozemac::olm::OlmMessage;
use zeroize::Zeroizing;

use super::Machine;
use crate::compact;
use crate::error::CryptoError;
use crate::object::Object;
use crate::outbound::{Shared, Withheld};
use crate::place::Place;
use crate::{MEGOLM, OLM, encoding};

#[derive(Serialize)]
struct OlmPayload<'a, C> {
    r#type: &'a str,
    content: &'a C,
    sender: &'a str,
    recipient: &'a str,
    recipient_keys: Ed25519Key<'a>,
    keys: Ed25519Key<'a>,
    // Only under this name: together with its unstable twin matrix-sdk-crypto refuses the message.
    sender_device_keys: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct RoomKeyContent<'a> {
    algorithm: &'a str,
    room_id: &'a str,
    session_id: &'a str,
    session_key: &'a str,
}

#[derive(Serialize)]
struct Ed25519Key<'a> {
    ed25519: &'a str,
}

impl Machine {
    /// Encrypts the room key for these devices, and keeps the ciphertexts until they are stored.
    pub(super) fn share(&mut self, room_id: &str, devices: &[Place]) -> Result<(), CryptoError> {
        let session = &self
            .outbound
            .get(room_id)
            .ok_or(CryptoError::NotReady)?
            .session;
        let session_id = session.session_id();
        let session_key = Zeroizing::new(session.session_key().to_base64());
        let room_key = RoomKeyContent {
            algorithm: MEGOLM,
            room_id,
            session_id: &session_id,
            session_key: &session_key,
        };
        let mut messages = Map::new();
        let mut shared_with = Vec::new();
        for device in devices {
            let (curve25519, message) = self.encrypt_olm(device, "m.room_key", &room_key)?;
            device.address(&mut messages, message);
            shared_with.push(Shared {
                device: device.clone(),
                curve25519,
                again: false,
            });
        }
        let outbound = self
            .outbound
            .get_mut(room_id)
            .ok_or(CryptoError::NotReady)?;
        outbound.share(messages, shared_with);
        outbound.save(&mut self.changes);
        Ok(())
    }

    /// Encrypts for a trusted device of a peer with its newest Olm session. Gives the
    /// Curve25519 key of the device, and the content of the to-device event.
    pub(super) fn encrypt_olm(
        &mut self,
        device: &Place,
        event_type: &str,
        content: &impl Serialize,
    ) -> Result<(String, Value), CryptoError> {
        let user_id = &device.user_id;
        let device = self
            .peers
            .get(user_id)
            .and_then(|peer| peer.trusted_device(&device.device_id))
            .ok_or(CryptoError::NotReady)?;
        let payload = OlmPayload {
            r#type: event_type,
            content,
            sender: &self.me.user_id,
            recipient: user_id,
            recipient_keys: Ed25519Key {
                ed25519: &device.ed25519,
            },
            keys: Ed25519Key {
                ed25519: &self.me.ed25519(),
            },
            sender_device_keys: &self.me.device_keys,
        };
        let mut plaintext = Zeroizing::new(Vec::new());
        compact::write(&payload, &mut plaintext).ok_or(CryptoError::Unencodable)?;
        let curve25519 = device.curve25519.clone();
        let message = self
            .olm
            .encrypt(user_id, &curve25519, &plaintext, &mut self.changes)
            .ok_or(CryptoError::NotReady)?
            .map_err(|_| CryptoError::BadKey)?;
        let content = olm_content(&self.me.curve25519(), &curve25519, &message);
        Ok((curve25519, content))
    }

    /// Tells devices that they get no key, and why.
    pub(super) fn withhold(&mut self, room_id: &str, why: Withheld, devices: &[Place]) {
        let Some(outbound) = self.outbound.get_mut(room_id) else {
            return;
        };
        let mut content = Object::default()
            .text("algorithm", MEGOLM)
            .text("sender_key", &self.me.curve25519())
            .text("from_device", &self.me.device_id)
            .text("code", why.code());
        // Without an Olm session the notice is about all sessions, so it names none.
        if why == Withheld::Unverified {
            content = content
                .text("room_id", room_id)
                .text("session_id", &outbound.session.session_id());
        }
        let content = content.into_value();
        let mut messages = Map::new();
        for device in devices {
            device.address(&mut messages, content.clone());
        }
        outbound.withhold(messages, why);
        outbound.save(&mut self.changes);
    }
}

fn olm_content(sender_key: &str, recipient_key: &str, message: &OlmMessage) -> Value {
    let (message_type, body) = message.to_parts();
    let for_device = Object::default()
        .number("type", message_type as u64)
        .text("body", &encoding::encode_base64(&body));
    Object::default()
        .text("algorithm", OLM)
        .text("sender_key", sender_key)
        .object(
            "ciphertext",
            Object::default().object(recipient_key, for_device),
        )
        .into_value()
}
