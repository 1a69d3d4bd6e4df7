//! A new Olm session with a device whose messages can't be read any more.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::receive::Payload;
use super::{Machine, Prepare};
use crate::error::CryptoError;
use crate::place::Place;
use crate::records::Step;

impl Machine {
    /// Whether [`Machine::heal`] has something to do that can be done now.
    #[must_use]
    pub fn wants_healing(&self, now: u64) -> bool {
        self.healing.pending().is_some() || !self.to_heal(now).is_empty()
    }

    /// What must happen so that devices of peers whose messages this one can't read begin again
    /// with a new session. To be asked until it says [`Prepare::Ready`]; no message waits for it.
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if the state couldn't be written down.
    pub fn heal(&mut self, now: u64) -> Result<Step<Prepare>, CryptoError> {
        let need = if let Some((id, messages)) = self.healing.pending() {
            Prepare::ToDevice {
                id,
                event_type: "m.room.encrypted".to_owned(),
                messages: messages.clone(),
            }
        } else {
            let devices = self.to_heal(now);
            if devices.is_empty() {
                Prepare::Ready
            } else {
                self.claim(devices)
            }
        };
        self.step(need)
    }

    /// Asks for one key of each of these devices.
    pub(super) fn claim(&mut self, places: Vec<Place>) -> Prepare {
        let mut devices: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for place in &places {
            let of_user = devices.entry(place.user_id.clone()).or_default();
            of_user.push(place.device_id.clone());
        }
        self.claiming = places;
        Prepare::KeysClaim { devices }
    }

    fn to_heal(&self, now: u64) -> Vec<Place> {
        let mut devices = Vec::new();
        for device in self.healing.wedged() {
            // Nothing leaves for an identity that was not accepted.
            let peer = self.peers.get(&device.user_id);
            if peer.is_some_and(|peer| {
                !peer.identity_changed()
                    && peer.trusted_device(&device.device_id).is_some()
                    && peer.may_claim(&device.device_id, now)
            }) {
                devices.push(device.clone());
            }
        }
        devices
    }

    /// An Olm message of that user under that Curve25519 key could not be read, and is no
    /// repetition.
    pub(super) fn notice_wedged(&mut self, user_id: &str, sender_key: &str, now: u64) {
        let device = self.peers.get(user_id).and_then(|peer| {
            let mut devices = peer.trusted_devices();
            devices.find(|device| device.curve25519 == sender_key)
        });
        if let Some(device) = device
            && self.healing.notice(Place::new(user_id, &device.id), now)
        {
            self.healing.save(&mut self.changes);
        }
    }

    /// A device began a session of its own, perhaps because it could not read what came by the one
    /// before. Room keys may have been in that, so it gets them again.
    pub(super) fn share_again(&mut self, payload: &Payload<'_>) {
        let device = self.peers.get(payload.sender).and_then(|peer| {
            peer.trusted_devices().find(|device| {
                device.curve25519 == payload.sender_curve25519
                    && device.ed25519 == payload.sender_ed25519
            })
        });
        if let Some(device) = device {
            let place = Place::new(payload.sender, &device.id);
            self.outbound.unshare(&place, &mut self.changes);
        }
    }

    /// The claim brought a new session for a wedged device: it hears of it by an empty message.
    pub(super) fn greet_healed(&mut self, device: &Place, now: u64) -> Result<(), CryptoError> {
        if !self.healing.is_wedged(device) {
            return Ok(());
        }
        let (_, greeting) = self.encrypt_olm(device, "m.dummy", &Map::<String, Value>::new())?;
        self.healing.healed(device, greeting, now);
        self.healing.save(&mut self.changes);
        Ok(())
    }
}
