//! What leaves: room keys for the host's devices, and encrypted messages.

use serde::Serialize;
use serde_json::{Map, Value};
use vodozemac::olm::OlmMessage;
use zeroize::Zeroizing;

use super::{Blocked, Machine, Prepare};
use crate::error::CryptoError;
use crate::message::Message;
use crate::object::Object;
use crate::outbound::{Outbound, Shared, Withheld};
use crate::records::Step;
use crate::{MEGOLM, OLM, encoding};

/// Room keys in one frame: each takes up to 4 KiB of its 64 KiB.
const KEYS_PER_FRAME: usize = 10;
/// Withheld notices in one frame.
const NOTICES_PER_FRAME: usize = 50;
/// The largest content of an encrypted event that the bridge takes, as JSON.
const MAX_CONTENT_BYTES: usize = 16 * 1024;

/// The next thing to do for a room; found without changing anything.
enum Plan {
    Blocked(Blocked),
    QueryKeys,
    NewSession,
    AwaitStored,
    Claim(Vec<String>),
    Share(Vec<String>),
    Withhold(Withheld, Vec<String>),
    Ready,
}

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
    /// What must happen before the next message of that room can be encrypted. To be asked again
    /// after each step until it says [`Prepare::Ready`] or [`Prepare::Blocked`].
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if the state couldn't be written down.
    pub fn prepare(&mut self, room_id: &str, now: u64) -> Result<Step<Prepare>, CryptoError> {
        let prepare = loop {
            match self.plan(room_id, now) {
                Plan::Blocked(reason) => break Prepare::Blocked { reason },
                Plan::QueryKeys => break Prepare::KeysQuery,
                Plan::NewSession => self.outbound.begin(room_id, now, &mut self.changes),
                Plan::Claim(devices) => {
                    self.claiming.clone_from(&devices);
                    break Prepare::KeysClaim { devices };
                }
                Plan::Share(devices) => self.share(room_id, &devices)?,
                Plan::Withhold(why, devices) => self.withhold(room_id, why, &devices),
                Plan::AwaitStored => {
                    let pending = self.outbound.get(room_id).and_then(Outbound::pending);
                    let pending = pending.ok_or(CryptoError::NotReady)?.clone();
                    break Prepare::ToDevice {
                        event_type: pending.event_type().to_owned(),
                        id: pending.id,
                        messages: pending.messages,
                    };
                }
                Plan::Ready => break Prepare::Ready,
            }
        };
        self.step(prepare)
    }

    /// The messages of a [`Prepare::ToDevice`] are sure to be delivered. An id that isn't awaited
    /// is ignored.
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if the state couldn't be written down.
    pub fn to_device_stored(&mut self, id: &str) -> Result<Step<()>, CryptoError> {
        self.outbound.stored(id, &mut self.changes);
        if self.healing.stored(id) {
            self.healing.save(&mut self.changes);
        }
        self.step(())
    }

    /// Encrypts a message and gives the content of its `m.room.encrypted` event.
    ///
    /// # Errors
    /// [`CryptoError::NotReady`] unless [`Machine::prepare`] says ready; [`CryptoError::TooLong`]
    /// if the content would be larger than 16 KiB.
    pub fn encrypt(
        &mut self,
        room_id: &str,
        message: &Message<'_>,
        now: u64,
    ) -> Result<Step<Value>, CryptoError> {
        if !matches!(self.plan(room_id, now), Plan::Ready) {
            return Err(CryptoError::NotReady);
        }
        let outbound = self
            .outbound
            .get_mut(room_id)
            .ok_or(CryptoError::NotReady)?;
        let plaintext = message.payload(room_id, &self.me.device_id)?;
        // The envelope around the ciphertext stays below 512 bytes, base64 adds a third.
        if (plaintext.len() + 96) / 3 * 4 + 512 > MAX_CONTENT_BYTES {
            return Err(CryptoError::TooLong);
        }
        let ciphertext = outbound.session.encrypt(plaintext.as_slice()).to_base64();
        outbound.save(&mut self.changes);
        // Two of these are deprecated, but some clients refuse an event without them.
        let content = Object::default()
            .text("algorithm", MEGOLM)
            .text("ciphertext", &ciphertext)
            .text("session_id", &outbound.session.session_id())
            .text("sender_key", &self.me.curve25519())
            .text("device_id", &self.me.device_id)
            .into_value();
        self.step(content)
    }

    /// [`Machine::encrypt`] of a [`Message::Text`].
    ///
    /// # Errors
    /// As [`Machine::encrypt`].
    pub fn encrypt_text(
        &mut self,
        room_id: &str,
        body: &str,
        now: u64,
    ) -> Result<Step<Value>, CryptoError> {
        self.encrypt(room_id, &Message::Text { body }, now)
    }

    fn plan(&self, room_id: &str, now: u64) -> Plan {
        if self.host.identity_changed() {
            return Plan::Blocked(Blocked::IdentityChanged);
        }
        if self.host.is_outdated() {
            return Plan::QueryKeys;
        }
        let fresh = self.host.is_fresh(now);
        if self.host.trusted_devices().next().is_none() {
            return if fresh {
                Plan::Blocked(Blocked::NoDevices)
            } else {
                Plan::QueryKeys
            };
        }
        let outbound = match self.outbound.get(room_id) {
            Some(outbound) if !outbound.is_over(&self.host, now) => outbound,
            // A device that is gone must not get a new session because the list was old.
            _ => {
                return if fresh {
                    Plan::NewSession
                } else {
                    Plan::QueryKeys
                };
            }
        };
        if outbound.pending().is_some() {
            return Plan::AwaitStored;
        }
        self.plan_sharing(outbound, now)
    }

    fn plan_sharing(&self, outbound: &Outbound, now: u64) -> Plan {
        let mut claim = Vec::new();
        let mut share = Vec::new();
        let mut no_olm = Vec::new();
        for device in self.host.trusted_devices() {
            let device_id = &device.id;
            if outbound.is_shared_with(device_id) {
                continue;
            } else if self.olm.has(&device.curve25519) {
                share.push(device_id.clone());
            } else if self.host.may_claim(device_id, now) {
                claim.push(device_id.clone());
            } else if self.host.claims_given_up(device_id)
                && !outbound.is_withheld_from(device_id, Withheld::NoOlm)
            {
                no_olm.push(device_id.clone());
            }
        }
        let unverified: Vec<String> = self
            .host
            .untrusted_devices()
            .map(|device| &device.id)
            .filter(|device_id| !outbound.is_withheld_from(device_id, Withheld::Unverified))
            .cloned()
            .collect();
        if !claim.is_empty() {
            Plan::Claim(claim)
        } else if !share.is_empty() {
            share.truncate(KEYS_PER_FRAME);
            Plan::Share(share)
        } else if let Some((why, mut devices)) = [
            (Withheld::Unverified, unverified),
            (Withheld::NoOlm, no_olm),
        ]
        .into_iter()
        .find(|(_, devices)| !devices.is_empty())
        {
            devices.truncate(NOTICES_PER_FRAME);
            Plan::Withhold(why, devices)
        } else if outbound.is_shared_with_anyone() {
            Plan::Ready
        } else {
            Plan::Blocked(Blocked::NoDevices)
        }
    }

    /// Encrypts the room key for these devices, and keeps the ciphertexts until they are stored.
    fn share(&mut self, room_id: &str, device_ids: &[String]) -> Result<(), CryptoError> {
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
        for device_id in device_ids {
            let (curve25519, message) = self.encrypt_olm(device_id, "m.room_key", &room_key)?;
            messages.insert(device_id.clone(), message);
            shared_with.push(Shared {
                device_id: device_id.clone(),
                curve25519,
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

    /// Encrypts for a trusted device of the host with its newest Olm session. Gives the
    /// Curve25519 key of the device, and the content of the to-device event.
    pub(super) fn encrypt_olm(
        &mut self,
        device_id: &str,
        event_type: &str,
        content: &impl Serialize,
    ) -> Result<(String, Value), CryptoError> {
        let device = self
            .host
            .trusted_device(device_id)
            .ok_or(CryptoError::NotReady)?;
        let payload = OlmPayload {
            r#type: event_type,
            content,
            sender: &self.me.user_id,
            recipient: &self.host.user_id,
            recipient_keys: Ed25519Key {
                ed25519: &device.ed25519,
            },
            keys: Ed25519Key {
                ed25519: &self.me.ed25519(),
            },
            sender_device_keys: &self.me.device_keys,
        };
        let plaintext =
            Zeroizing::new(serde_json::to_vec(&payload).map_err(|_| CryptoError::Unencodable)?);
        let curve25519 = device.curve25519.clone();
        let message = self
            .olm
            .encrypt(&curve25519, &plaintext, &mut self.changes)
            .ok_or(CryptoError::NotReady)?
            .map_err(|_| CryptoError::BadKey)?;
        let content = olm_content(&self.me.curve25519(), &curve25519, &message);
        Ok((curve25519, content))
    }

    /// Tells devices that they get no key, and why.
    fn withhold(&mut self, room_id: &str, why: Withheld, device_ids: &[String]) {
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
        for device_id in device_ids {
            messages.insert(device_id.clone(), content.clone());
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
