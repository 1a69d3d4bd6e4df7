//! What leaves: what must be done first, and encrypted messages.

#[cfg(feature = "bot")]
use serde_json::Map;
use serde_json::Value;

use super::{Blocked, Machine, Prepare};
use crate::MEGOLM;
use crate::error::CryptoError;
use crate::message::Message;
#[cfg(feature = "bot")]
use crate::message::padded;
use crate::object::Object;
use crate::outbound::{Outbound, Withheld};
use crate::peer::Peer;
use crate::place::Place;
use crate::records::Step;

/// Room keys in one frame: each takes up to 4 KiB of its 64 KiB.
const KEYS_PER_FRAME: usize = 10;
/// Withheld notices in one frame.
const NOTICES_PER_FRAME: usize = 50;
/// The largest content of an encrypted event that the bridge takes, as JSON.
const MAX_CONTENT_BYTES: usize = 16 * 1024;

/// The next thing to do for a room; found without changing anything.
enum Plan {
    Blocked(Blocked, Vec<String>),
    QueryKeys(Vec<String>),
    NewSession,
    AwaitStored,
    Claim(Vec<Place>),
    Share(Vec<Place>),
    Withhold(Withheld, Vec<Place>),
    Ready,
}

impl Machine {
    /// What must happen before the next message of that room can be encrypted. `members` are the
    /// peers who are in the room: their trusted devices get its key. To be asked again after each
    /// step until it says [`Prepare::Ready`] or [`Prepare::Blocked`].
    ///
    /// # Errors
    /// [`CryptoError::Stranger`] if one of them was never met, [`CryptoError::Unencodable`] if the
    /// state couldn't be written down.
    pub fn prepare(
        &mut self,
        room_id: &str,
        members: &[&str],
        now: u64,
    ) -> Result<Step<Prepare>, CryptoError> {
        let prepare = loop {
            match self.plan(room_id, members, now)? {
                Plan::Blocked(reason, users) => break Prepare::Blocked { reason, users },
                Plan::QueryKeys(users) => {
                    self.querying = self.asking(&users);
                    break Prepare::KeysQuery { users };
                }
                Plan::NewSession => self.outbound.begin(room_id, now, &mut self.changes),
                Plan::Claim(devices) => break self.claim(devices),
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

    /// Encrypts a message and gives the content of its `m.room.encrypted` event. `members` as for
    /// [`Machine::prepare`].
    ///
    /// # Errors
    /// [`CryptoError::NotReady`] unless [`Machine::prepare`] says ready; [`CryptoError::TooLong`]
    /// if the content would be larger than 16 KiB.
    pub fn encrypt(
        &mut self,
        room_id: &str,
        members: &[&str],
        message: &Message<'_>,
        now: u64,
    ) -> Result<Step<Value>, CryptoError> {
        let plaintext = message.payload(room_id, &self.me.device_id)?;
        let content = self.encrypt_payload(room_id, members, &plaintext, MAX_CONTENT_BYTES, now)?;
        self.step(content.into_value())
    }

    /// [`Machine::encrypt`] of a [`Message::Text`].
    ///
    /// # Errors
    /// As [`Machine::encrypt`].
    pub fn encrypt_text(
        &mut self,
        room_id: &str,
        members: &[&str],
        body: &str,
        now: u64,
    ) -> Result<Step<Value>, CryptoError> {
        self.encrypt(room_id, members, &Message::Text { body }, now)
    }

    /// Encrypts any event; `event_type` and `content` are what its readers get. A relation
    /// (`m.relates_to`) stands outside the encryption as well, where the homeserver looks for it.
    ///
    /// # Errors
    /// [`CryptoError::NotReady`] unless [`Machine::prepare`] says ready; [`CryptoError::TooLong`]
    /// if the encrypted content would be larger than 60 KiB, which leaves room for the rest of an
    /// event below the 64 KiB that Matrix allows.
    #[cfg(feature = "bot")]
    pub fn encrypt_content(
        &mut self,
        room_id: &str,
        members: &[&str],
        event_type: &str,
        content: &Map<String, Value>,
        now: u64,
    ) -> Result<Step<Value>, CryptoError> {
        const MAX_BYTES: usize = 60 * 1024;
        let relation = content.get("m.relates_to").cloned();
        let relation_bytes = relation.as_ref().map_or(0, |value| value.to_string().len());
        let limit = MAX_BYTES.saturating_sub(relation_bytes);
        let plaintext = padded(room_id, event_type, content.clone())?;
        let mut content = self.encrypt_payload(room_id, members, &plaintext, limit, now)?;
        if let Some(relation) = relation {
            content = content.value("m.relates_to", relation);
        }
        self.step(content.into_value())
    }

    fn encrypt_payload(
        &mut self,
        room_id: &str,
        members: &[&str],
        plaintext: &[u8],
        max_bytes: usize,
        now: u64,
    ) -> Result<Object, CryptoError> {
        if !matches!(self.plan(room_id, members, now)?, Plan::Ready) {
            return Err(CryptoError::NotReady);
        }
        let outbound = self
            .outbound
            .get_mut(room_id)
            .ok_or(CryptoError::NotReady)?;
        // The envelope around the ciphertext stays below 512 bytes, base64 adds a third.
        if (plaintext.len() + 96) / 3 * 4 + 512 > max_bytes {
            return Err(CryptoError::TooLong);
        }
        let ciphertext = outbound.session.encrypt(plaintext).to_base64();
        outbound.save(&mut self.changes);
        // Two of these are deprecated, but some clients refuse an event without them.
        Ok(Object::default()
            .text("algorithm", MEGOLM)
            .text("ciphertext", &ciphertext)
            .text("session_id", &outbound.session.session_id())
            .text("sender_key", &self.me.curve25519())
            .text("device_id", &self.me.device_id))
    }

    fn plan(&self, room_id: &str, members: &[&str], now: u64) -> Result<Plan, CryptoError> {
        let mut peers: Vec<&Peer> = Vec::new();
        for user_id in members {
            let peer = self.peers.get(user_id).ok_or(CryptoError::Stranger)?;
            // Named twice, they would get two messages in the place of one.
            if !peers.iter().any(|known| known.user_id == peer.user_id) {
                peers.push(peer);
            }
        }
        let changed = names(&peers, |peer| peer.identity_changed());
        if !changed.is_empty() {
            return Ok(Plan::Blocked(Blocked::IdentityChanged, changed));
        }
        if peers.iter().any(|peer| !peer.is_absent(now)) {
            peers.retain(|peer| !peer.is_absent(now));
        }
        let outdated = names(&peers, |peer| peer.is_outdated());
        if !outdated.is_empty() {
            return Ok(Plan::QueryKeys(outdated));
        }
        let present = names(&peers, |_| true);
        let present: Vec<&str> = present.iter().map(String::as_str).collect();
        let capable = peers.iter().any(|p| p.trusted_devices().next().is_some());
        let outbound = self.outbound.get(room_id);
        match outbound.filter(|o| capable && !o.is_over(&self.peers, &present, now)) {
            Some(outbound) if outbound.pending().is_some() => Ok(Plan::AwaitStored),
            Some(outbound) => Ok(self.plan_sharing(outbound, &peers, now)),
            None => {
                let stale = names(&peers, |peer| !peer.is_fresh(now));
                Ok(if !stale.is_empty() {
                    // A device that is gone must not get a new session because the list was old.
                    Plan::QueryKeys(stale)
                } else if capable {
                    Plan::NewSession
                } else {
                    Plan::Blocked(Blocked::NoDevices, names(&peers, |_| true))
                })
            }
        }
    }

    fn plan_sharing(&self, outbound: &Outbound, peers: &[&Peer], now: u64) -> Plan {
        let mut claim = Vec::new();
        let mut share = Vec::new();
        let mut no_olm = Vec::new();
        let mut unverified = Vec::new();
        for peer in peers {
            for device in peer.trusted_devices() {
                let place = Place::new(&peer.user_id, &device.id);
                if outbound.is_shared_with(&place) {
                    continue;
                } else if self.olm.has(&peer.user_id, &device.curve25519) {
                    share.push(place);
                } else if peer.may_claim(&device.id, now) {
                    claim.push(place);
                } else if peer.claims_given_up(&device.id)
                    && !outbound.is_withheld_from(&place, Withheld::NoOlm)
                {
                    no_olm.push(place);
                }
            }
            for device in peer.untrusted_devices() {
                let place = Place::new(&peer.user_id, &device.id);
                if !outbound.is_withheld_from(&place, Withheld::Unverified) {
                    unverified.push(place);
                }
            }
        }
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
            Plan::Blocked(Blocked::NoDevices, names(peers, |_| true))
        }
    }
}

/// The ids of the peers of whom that is so.
fn names(peers: &[&Peer], so: impl Fn(&Peer) -> bool) -> Vec<String> {
    let mut names = Vec::new();
    for peer in peers {
        if so(peer) {
            names.push(peer.user_id.clone());
        }
    }
    names
}
