//! Another device in the place of one whose state may be older than it was.

use thiserror::Error;

use super::Machine;
use crate::error::{CryptoError, OpenError};
use crate::peer::Peers;
use crate::records::Changes;

/// Stored records of which no new device could be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnewError {
    /// They don't make a machine.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new device couldn't be made or written down.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl Machine {
    /// Makes another device of the user whose records these are, under the same cross-signing
    /// identity, which has met the same peers. All Olm and Megolm state of the old device is
    /// deleted by the changes: after a restore from a backup, a ratchet that goes on would use keys
    /// a second time.
    ///
    /// # Errors
    /// [`AnewError::Open`] if the records can't be read, [`AnewError::Crypto`] with
    /// [`CryptoError::BadInput`] if `device_id` is the old device's.
    pub fn anew(
        stored: impl IntoIterator<Item = (String, Vec<u8>)>,
        device_id: &str,
        now: u64,
    ) -> Result<(Self, Changes), AnewError> {
        let stored: Vec<(String, Vec<u8>)> = stored.into_iter().collect();
        let mut changes = Changes::default();
        for (key, _) in &stored {
            changes.delete(key.clone());
        }
        let old = Self::open(stored)?;
        if old.me.device_id == device_id {
            return Err(CryptoError::BadInput.into());
        }
        let me = old.me.another(device_id, now, &mut changes)?;
        me.save_cross_signing(&mut changes);
        let mut peers = Peers::default();
        for peer in old.peers.into_iter() {
            let peer = peer.anew();
            peer.save(&mut changes);
            peers.add(peer);
        }
        Ok(Self::new(me, peers, changes)?)
    }
}
