//! A new Olm session with a device whose messages can't be read any more.

use serde_json::{Map, Value};

use super::receive::Payload;
use super::{Machine, Prepare};
use crate::error::CryptoError;
use crate::records::Step;

impl Machine {
    /// Whether [`Machine::heal`] has something to do that can be done now.
    #[must_use]
    pub fn wants_healing(&self, now: u64) -> bool {
        self.healing.pending().is_some() || !self.to_heal(now).is_empty()
    }

    /// What must happen so that devices of the host whose messages this one can't read begin
    /// again with a new session. To be asked until it says [`Prepare::Ready`]; no message waits
    /// for it.
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
                self.claiming.clone_from(&devices);
                Prepare::KeysClaim { devices }
            }
        };
        self.step(need)
    }

    fn to_heal(&self, now: u64) -> Vec<String> {
        // Nothing leaves for an identity that the guest has not accepted.
        if self.host.identity_changed() {
            return Vec::new();
        }
        let wedged = self.healing.wedged();
        wedged
            .filter(|id| self.host.trusted_device(id).is_some() && self.host.may_claim(id, now))
            .map(str::to_owned)
            .collect()
    }

    /// An Olm message under that Curve25519 key could not be read, and is no repetition.
    pub(super) fn notice_wedged(&mut self, sender_key: &str, now: u64) {
        let mut devices = self.host.trusted_devices();
        let device = devices.find(|device| device.curve25519 == sender_key);
        if let Some(id) = device.map(|device| device.id.clone())
            && self.healing.notice(&id, now)
        {
            self.healing.save(&mut self.changes);
        }
    }

    /// A device begins again with a new session, because it could not read what came by the old
    /// one. Room keys may have been in that, so it gets them again.
    pub(super) fn share_again(&mut self, payload: &Payload<'_>) {
        let mut devices = self.host.trusted_devices();
        let device = devices.find(|device| {
            device.curve25519 == payload.sender_curve25519
                && device.ed25519 == payload.sender_ed25519
        });
        if let Some(device) = device {
            self.outbound.unshare(&device.id, &mut self.changes);
        }
    }

    /// The claim brought a new session for a wedged device: it hears of it by an empty message.
    pub(super) fn greet_healed(&mut self, device_id: &str, now: u64) -> Result<(), CryptoError> {
        if !self.healing.is_wedged(device_id) {
            return Ok(());
        }
        let (_, greeting) = self.encrypt_olm(device_id, "m.dummy", &Map::<String, Value>::new())?;
        self.healing.healed(device_id, greeting, now);
        self.healing.save(&mut self.changes);
        Ok(())
    }
}
