//! Whom this device talks with.

use super::Machine;
use crate::error::CryptoError;
use crate::peer::Peer;
use crate::records::Step;
use crate::safety::safety_code;

impl Machine {
    /// From now on this user is a peer; one who is already stays as they are. Their keys are asked
    /// for before anything is sent to them.
    ///
    /// # Errors
    /// [`CryptoError::BadInput`] if it is the machine's own user.
    pub fn meet(&mut self, user_id: &str) -> Result<Step<()>, CryptoError> {
        if user_id == self.me.user_id {
            return Err(CryptoError::BadInput);
        }
        if self.peers.get(user_id).is_none() {
            let peer = Peer::new(user_id);
            peer.save(&mut self.changes);
            self.peers.add(peer);
        }
        self.step(())
    }

    /// Deletes all that is kept of a peer: their pinned identity, the Olm sessions with their
    /// devices, their room keys, and the rooms' outbound sessions of which they have the key. Met
    /// again, they are somebody new.
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if the state couldn't be written down.
    pub fn forget(&mut self, user_id: &str) -> Result<Step<()>, CryptoError> {
        if self.peers.get(user_id).is_some() {
            self.peers.remove(user_id);
            self.changes.delete(Peer::record_key(user_id));
            self.olm.forget(user_id, &mut self.changes);
            self.inbound.forget(user_id, &mut self.changes);
            self.healing.forget(user_id, &mut self.changes);
            self.outbound
                .end(|outbound| outbound.concerns(user_id), &mut self.changes);
        }
        self.step(())
    }

    /// Everybody this device has met and not forgotten.
    pub fn peers(&self) -> impl Iterator<Item = &str> {
        self.peers.iter().map(|peer| peer.user_id.as_str())
    }

    /// Somebody joined, left or was invited: the room's outbound session ends, so that nobody reads
    /// what was written when they weren't there, and if it is a peer, their keys are asked for
    /// before the next message.
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if the state couldn't be written down.
    pub fn membership_changed(
        &mut self,
        room_id: &str,
        user_id: &str,
    ) -> Result<Step<()>, CryptoError> {
        self.outbound
            .end(|outbound| outbound.is_of(room_id), &mut self.changes);
        self.keys_changed(user_id)
    }

    /// A short code of the own identity and that peer's, the same on both sides: see
    /// [`safety_code`](crate::safety_code). While a changed identity waits to be accepted, the code
    /// is of that one, so that it can be compared before. `None` if they have no identity.
    #[must_use]
    pub fn safety_code(&self, user_id: &str) -> Option<String> {
        let theirs = self.peers.get(user_id)?.master_key()?;
        safety_code((&self.me.user_id, &self.me.master_key()), (user_id, theirs))
    }
}
