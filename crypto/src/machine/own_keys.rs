//! This device's own public keys, and what it signs.

use super::{Machine, Upload};
use crate::error::CryptoError;
use crate::identity::PublicKeys;
use crate::published::hello_text;
use crate::records::Step;

impl Machine {
    /// Makes up to `most` of the one-time keys that a device which was just begun publishes. Whether
    /// some are still missing.
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if a key couldn't be signed or the state couldn't be written down.
    pub fn make_one_time_keys(&mut self, most: u64) -> Result<Step<bool>, CryptoError> {
        let missing = self.me.make_one_time_keys(most, &mut self.changes);
        self.step(missing.ok_or(CryptoError::Unencodable)?)
    }

    /// Everything that must be published for this device, each part signed. The same again until
    /// [`Machine::mark_published`].
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if the keys couldn't be signed.
    pub fn public_keys(&self) -> Result<PublicKeys, CryptoError> {
        self.me.public_keys().ok_or(CryptoError::Unencodable)
    }

    /// The homeserver, or a bridge that has stored them for it, accepted the keys of
    /// [`Machine::public_keys`] or [`Machine::one_time_keys`].
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if the state couldn't be written down.
    pub fn mark_published(&mut self) -> Result<Step<()>, CryptoError> {
        self.me.mark_published(&mut self.changes);
        self.step(())
    }

    /// Keys to upload when the homeserver holds `count` one-time keys and, with `fallback_unused`
    /// false, has handed out the fallback key; `None` if nothing is needed or it was done moments
    /// ago. The same keys come again until [`Machine::mark_published`].
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if the state couldn't be written down.
    pub fn one_time_keys(
        &mut self,
        count: u64,
        fallback_unused: bool,
        now: u64,
    ) -> Result<Step<Option<Upload>>, CryptoError> {
        let needed = self
            .me
            .refill(count, fallback_unused, now, &mut self.changes);
        let upload = if needed {
            Some(self.upload().ok_or(CryptoError::Unencodable)?)
        } else {
            None
        };
        self.step(upload)
    }

    /// When [`Machine::one_time_keys`] would give keys that it doesn't give now because others were
    /// made moments ago, in milliseconds since the Unix epoch; `None` if none are needed.
    #[must_use]
    pub fn one_time_keys_at(&self, count: u64, fallback_unused: bool) -> Option<u64> {
        self.me.refill_at(count, fallback_unused)
    }

    fn upload(&self) -> Option<Upload> {
        Some(Upload {
            one_time_keys: self.me.unpublished_one_time_keys()?,
            fallback_keys: self.me.unpublished_fallback_keys()?,
        })
    }

    /// The signature that greets the bridge on a new connection, unpadded base64. It binds the
    /// origin, so that a page elsewhere can't pass a nonce on.
    #[must_use]
    pub fn sign_hello(&self, origin: &str, portal: &str, nonce: &str) -> String {
        let text = hello_text(origin, portal, &self.me.device_id, nonce);
        self.me.account.sign(text).to_base64()
    }
}
