//! The keys of peers: what a query says, and what a claim brings.

#[cfg(feature = "bot")]
use std::collections::BTreeMap;

use serde_json::Value;

use super::{HostIdentity, KeysReceived, Machine, PeerKeys};
use crate::content::Item;
use crate::error::CryptoError;
use crate::inbound::RoomKey;
use crate::peer::Seen;
use crate::place::Place;
use crate::records::Step;

/// A question for users' keys that is on its way.
#[cfg(feature = "bot")]
#[derive(Debug, Clone)]
pub struct Asked(Vec<(String, u64)>);

impl Machine {
    /// Takes in a `/keys/query` answer. Users that were never met, and devices whose signatures or
    /// ids are wrong, are left out as if they weren't there. A peer whom [`Prepare::KeysQuery`]
    /// named and of whom the answer holds nothing, while it has keys of others, gets no room key
    /// for a minute and is then asked for again: a homeserver that is away stops no room. A peer
    /// whose list changed while it was asked for stays outdated: the answer may be older.
    ///
    /// [`Prepare::KeysQuery`]: super::Prepare::KeysQuery
    ///
    /// # Errors
    /// [`CryptoError::NoKeys`] if the answer has no entry for any peer, or only identities that
    /// can't be valid; what was known stays.
    pub fn receive_keys(
        &mut self,
        response: &Value,
        now: u64,
    ) -> Result<Step<KeysReceived>, CryptoError> {
        let mut peers = Vec::new();
        for peer in self.peers.iter_mut() {
            let Some(seen) = peer.receive_keys(response, now) else {
                continue;
            };
            peer.save(&mut self.changes);
            peers.push(PeerKeys {
                user_id: peer.user_id.clone(),
                identity: match seen {
                    Seen::First => HostIdentity::First,
                    Seen::Same => HostIdentity::Same,
                    Seen::Changed => HostIdentity::Changed,
                    Seen::NoIdentity => HostIdentity::None,
                },
                devices: peer.device_count(),
            });
        }
        if peers.is_empty() {
            return Err(CryptoError::NoKeys);
        }
        for (user_id, news) in std::mem::take(&mut self.querying) {
            let answered = peers.iter().any(|peer| peer.user_id == user_id);
            if let Some(peer) = self.peers.get_mut(&user_id) {
                if answered {
                    peer.answered(news);
                } else {
                    peer.missed(now);
                }
                peer.save(&mut self.changes);
            }
        }
        let items = self.release_held(now);
        self.step(KeysReceived { peers, items })
    }

    /// Those who are asked for, each with what stands for what is known of their devices now.
    pub(super) fn asking(&self, users: &[String]) -> Vec<(String, u64)> {
        let peers = users.iter().filter_map(|user_id| self.peers.get(user_id));
        peers
            .map(|peer| (peer.user_id.clone(), peer.news()))
            .collect()
    }

    /// To be called when these users are asked for, where several questions are on their way at
    /// once; for [`Machine::receive_keys_of`].
    #[cfg(feature = "bot")]
    #[must_use]
    pub fn asked(&self, users: &[String]) -> Asked {
        Asked(self.asking(users))
    }

    /// [`Machine::receive_keys`] of the answer to that question. What was said of a user's devices
    /// after the question may be newer than the answer, so they are asked for again before anything is
    /// sent.
    ///
    /// # Errors
    /// As [`Machine::receive_keys`].
    #[cfg(feature = "bot")]
    pub fn receive_keys_of(
        &mut self,
        asked: Asked,
        response: &Value,
        now: u64,
    ) -> Result<Step<KeysReceived>, CryptoError> {
        self.querying = asked.0;
        self.receive_keys(response, now)
    }

    /// The changed identity of that peer was accepted. Gives the events that can be read now.
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if the state couldn't be written down.
    pub fn accept_identity(&mut self, user_id: &str) -> Result<Step<Vec<Item>>, CryptoError> {
        let mut items = Vec::new();
        if let Some(peer) = self.peers.get_mut(user_id) {
            let seen_at = peer.accept_identity();
            peer.save(&mut self.changes);
            items = self.release_held(seen_at);
        }
        self.step(items)
    }

    /// That peer's device list changed: [`Machine::prepare`] will ask for it first.
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if the state couldn't be written down.
    pub fn keys_changed(&mut self, user_id: &str) -> Result<Step<()>, CryptoError> {
        if let Some(peer) = self.peers.get_mut(user_id) {
            peer.mark_outdated();
            peer.save(&mut self.changes);
        }
        self.step(())
    }

    /// The peers of whom a room key waits for a `/keys/query` answer: it came from a device that
    /// isn't known, so asking at once may make messages readable.
    #[must_use]
    pub fn wants_keys(&self) -> Vec<String> {
        let mut users = Vec::new();
        for peer in self.peers.iter() {
            if peer.is_outdated() && self.inbound.has_held(&peer.user_id) {
                users.push(peer.user_id.clone());
            }
        }
        users
    }

    /// Whether the key of this Megolm session came, and waits because the device that sent it is not
    /// known or not signed by its owner.
    #[cfg(feature = "bot")]
    #[must_use]
    pub fn holds_key(&self, room_id: &str, session_id: &str) -> bool {
        self.inbound.holds(room_id, session_id)
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
        for device in std::mem::take(&mut self.claiming) {
            let made = self.make_session(response, &device, now);
            if made {
                self.greet_healed(&device, now)?;
            }
            if let Some(peer) = self.peers.get_mut(&device.user_id) {
                if made {
                    peer.claim_succeeded(&device.device_id);
                } else {
                    peer.claim_failed(&device.device_id, now);
                }
                peer.save(&mut self.changes);
            }
        }
        self.step(())
    }

    /// [`Machine::receive_claim`] where several questions are on their way at once: `devices` are
    /// those that the [`Prepare::KeysClaim`] named that this is the answer to.
    ///
    /// [`Prepare::KeysClaim`]: super::Prepare::KeysClaim
    ///
    /// # Errors
    /// As [`Machine::receive_claim`].
    #[cfg(feature = "bot")]
    pub fn receive_claim_of(
        &mut self,
        devices: &BTreeMap<String, Vec<String>>,
        response: &Value,
        now: u64,
    ) -> Result<Step<()>, CryptoError> {
        let places = devices.iter().flat_map(|(user_id, ids)| {
            let of_user = ids.iter();
            of_user.map(|device_id| Place::new(user_id, device_id))
        });
        self.claiming = places.collect();
        self.receive_claim(response, now)
    }

    fn make_session(&mut self, response: &Value, device: &Place, now: u64) -> bool {
        let peer = self.peers.get(&device.user_id);
        let claimed = peer.and_then(|peer| peer.claimed_key(response, &device.device_id));
        let Some((device_key, one_time_key)) = claimed else {
            return false;
        };
        let known = self.olm.has(&device.user_id, &device_key.to_base64());
        // With a wedged device there is a session, which is of no use to it.
        known && !self.healing.is_wedged(device)
            || self.olm.create(
                &self.me.account,
                &device.user_id,
                device_key,
                one_time_key,
                now,
                &mut self.changes,
            )
    }

    /// Uses the held room keys whose device is trusted by now.
    fn release_held(&mut self, now: u64) -> Vec<Item> {
        let trusted = |key: &RoomKey| {
            let sender = self.peers.get(&key.sender);
            sender.is_some_and(|s| s.trusts_keys(&key.sender_curve25519, &key.sender_ed25519))
        };
        let keys = self.inbound.release(trusted, &mut self.changes);
        keys.iter()
            .filter_map(|key| self.inbound.add(key, now, &mut self.changes).ok())
            .flatten()
            .collect()
    }
}
