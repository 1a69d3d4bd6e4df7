//! The host's keys: what a query says, and what a claim brings.

use serde_json::Value;

use super::{HostIdentity, KeysReceived, Machine};
use crate::content::Item;
use crate::error::CryptoError;
use crate::host::Seen;
use crate::inbound::RoomKey;
use crate::records::Step;

impl Machine {
    /// Takes in a `/keys/query` answer for the host. Devices whose signatures or ids are wrong are
    /// left out as if they weren't there.
    ///
    /// # Errors
    /// [`CryptoError::NoKeys`] if the answer has no entry for the host, or an identity that can't
    /// be valid; what was known stays.
    pub fn receive_keys(
        &mut self,
        response: &Value,
        now: u64,
    ) -> Result<Step<KeysReceived>, CryptoError> {
        let identity = match self.host.receive_keys(response, now)? {
            Seen::First => HostIdentity::First,
            Seen::Same => HostIdentity::Same,
            Seen::Changed => HostIdentity::Changed,
            Seen::NoIdentity => HostIdentity::None,
        };
        self.host.save(&mut self.changes);
        let items = self.release_held(now);
        let devices = self.host.device_count();
        self.step(KeysReceived {
            identity,
            devices,
            items,
        })
    }

    /// The guest accepted the host's changed identity. Gives the events that can be read now.
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if the state couldn't be written down.
    pub fn accept_identity(&mut self) -> Result<Step<Vec<Item>>, CryptoError> {
        let seen_at = self.host.accept_identity();
        self.host.save(&mut self.changes);
        let items = self.release_held(seen_at);
        self.step(items)
    }

    /// The host's device list changed: [`Machine::prepare`] will ask for it first.
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if the state couldn't be written down.
    pub fn keys_changed(&mut self) -> Result<Step<()>, CryptoError> {
        self.host.mark_outdated();
        self.host.save(&mut self.changes);
        self.step(())
    }

    /// Whether a room key waits for a `/keys/query` answer: it came from a device that isn't known,
    /// so asking at once may make messages readable.
    #[must_use]
    pub fn wants_keys(&self) -> bool {
        self.inbound.has_held() && self.host.is_outdated()
    }

    /// Takes in the answer to the last [`Prepare::KeysClaim`]. A device without a valid key in it
    /// is tried again later.
    ///
    /// [`Prepare::KeysClaim`]: super::Prepare::KeysClaim
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if the state couldn't be written down, [`CryptoError::BadKey`] if
    /// a new session can't encrypt.
    pub fn receive_claim(&mut self, response: &Value, now: u64) -> Result<Step<()>, CryptoError> {
        for device_id in std::mem::take(&mut self.claiming) {
            if self.make_session(response, &device_id, now) {
                self.host.claim_succeeded(&device_id);
                self.greet_healed(&device_id, now)?;
            } else {
                self.host.claim_failed(&device_id, now);
            }
        }
        self.host.save(&mut self.changes);
        self.step(())
    }

    fn make_session(&mut self, response: &Value, device_id: &str, now: u64) -> bool {
        let Some((device_key, one_time_key)) = self.host.claimed_key(response, device_id) else {
            return false;
        };
        let device = device_key.to_base64();
        // With a wedged device there is a session, which is of no use to it.
        self.olm.has(&device) && !self.healing.is_wedged(device_id)
            || self.olm.create(
                &self.me.account,
                device_key,
                one_time_key,
                now,
                &mut self.changes,
            )
    }

    /// Uses the held room keys whose device is trusted by now.
    fn release_held(&mut self, now: u64) -> Vec<Item> {
        let trusted = |key: &RoomKey| {
            self.host
                .trusts_keys(&key.sender_curve25519, &key.sender_ed25519)
        };
        let keys = self.inbound.release(trusted, &mut self.changes);
        keys.iter()
            .filter_map(|key| self.inbound.add(key, now, &mut self.changes).ok())
            .flatten()
            .collect()
    }
}
