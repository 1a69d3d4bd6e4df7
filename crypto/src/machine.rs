//! The machine: one device of one user, and the people it talks with.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::content::Item;
use crate::error::{CryptoError, OpenError, Refused};
use crate::healing::Healing;
use crate::identity::Identity;
use crate::inbound::Inbound;
use crate::object::{Object, number};
use crate::olm::OlmSessions;
use crate::outbound::OutboundRooms;
use crate::peer::{Peer, Peers};
use crate::place::Place;
use crate::records::{Changes, Record, Step, kind};

#[cfg(feature = "bot")]
mod anew;
#[cfg(feature = "bot")]
pub use anew::AnewError;
mod heal;
mod own_keys;
mod peer_keys;
#[cfg(feature = "bot")]
pub use peer_keys::Asked;
mod peers;
mod receive;
mod send;
mod share;

/// One device of one Matrix user, talking with its peers: the users it has [met]. Nobody else's keys
/// and events have any effect. Rooms and who is in them are named in each call.
///
/// [met]: Machine::meet
pub struct Machine {
    me: Identity,
    peers: Peers,
    olm: OlmSessions,
    inbound: Inbound,
    outbound: OutboundRooms,
    healing: Healing,
    /// Devices that the last [`Prepare::KeysClaim`] named.
    claiming: Vec<Place>,
    /// Users that the last [`Prepare::KeysQuery`] named, and what stood for their device lists then.
    querying: Vec<(String, u64)>,
    steps: u64,
    changes: Changes,
}

/// What to do before the next message can be encrypted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Prepare {
    /// Ask `/keys/query` for these users and pass the answer to [`Machine::receive_keys`].
    KeysQuery {
        /// User ids.
        users: Vec<String>,
    },
    /// Ask `/keys/claim` for one key of each of these devices and pass the answer to
    /// [`Machine::receive_claim`], before the next [`Machine::prepare`] or [`Machine::heal`].
    KeysClaim {
        /// User id to device ids.
        devices: BTreeMap<String, Vec<String>>,
    },
    /// Send these, and call [`Machine::to_device_stored`] with the id once
    /// they are sure to be delivered. Until then the same comes again, also after a restart.
    ToDevice {
        /// Names this set of messages.
        id: String,
        /// `m.room.encrypted` or `m.room_key.withheld`.
        event_type: String,
        /// User id to device id to content.
        messages: Map<String, Value>,
    },
    /// [`Machine::encrypt`] may be called.
    Ready,
    /// Nothing can be sent now.
    Blocked {
        /// Why.
        reason: Blocked,
        /// Whose identity changed, or everybody of whom no device can get a key.
        users: Vec<String>,
    },
}

/// Why nothing can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocked {
    /// A peer's identity changed; [`Machine::accept_identity`] goes on.
    IdentityChanged,
    /// Nobody has a device that may get a key, or none that one could be made for.
    NoDevices,
}

/// What is known of a peer's cross-signing identity after a key query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostIdentity {
    /// Seen for the first time, and pinned.
    First,
    /// The pinned one.
    Same,
    /// Another than the pinned one, or suddenly none: sending stops until it is accepted.
    Changed,
    /// The peer has no cross-signing.
    None,
}

/// Outcome of [`Machine::receive_keys`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeysReceived {
    /// Each peer of whom the answer holds keys.
    pub peers: Vec<PeerKeys>,
    /// Events that can be read now, because the device that sent their key is known now.
    pub items: Vec<Item>,
}

/// What a key query said of one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerKeys {
    /// Who.
    pub user_id: String,
    /// The identity against the pinned one.
    pub identity: HostIdentity,
    /// How many devices count, signed by their owner or not.
    pub devices: usize,
}

/// Outcome of [`Machine::receive_to_device`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Events that the new key decrypts.
    pub items: Vec<Item>,
    /// Why the event was not used, if it wasn't. Nothing needs to be done about it.
    pub refused: Option<Refused>,
}

/// Keys to upload, see [`Machine::one_time_keys`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upload {
    /// By `signed_curve25519:ID`.
    pub one_time_keys: Map<String, Value>,
    /// One or none.
    pub fallback_keys: Map<String, Value>,
}

impl Machine {
    /// Makes a device with all its keys, which has met nobody yet. `user_id` and `device_id` are its
    /// own; `now` is in milliseconds since the Unix epoch, here and everywhere.
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if the state couldn't be written down.
    pub fn create(
        user_id: &str,
        device_id: &str,
        now: u64,
    ) -> Result<(Self, Changes), CryptoError> {
        let (mut machine, mut changes) = Self::begin(user_id, device_id, now)?;
        changes.merge(machine.make_one_time_keys(u64::MAX)?.changes);
        Ok((machine, changes))
    }

    /// The same without one-time keys, for where all of it at once would take too long: nothing of it
    /// may be published or stored before [`Machine::make_one_time_keys`] says that none is missing.
    ///
    /// # Errors
    /// As [`Machine::create`].
    pub fn begin(user_id: &str, device_id: &str, now: u64) -> Result<(Self, Changes), CryptoError> {
        let mut changes = Changes::default();
        let me = Identity::begin(user_id, device_id, now, &mut changes)?;
        Self::new(me, Peers::default(), changes)
    }

    /// A machine of nothing but this, and what must be stored of it.
    fn new(me: Identity, peers: Peers, changes: Changes) -> Result<(Self, Changes), CryptoError> {
        let mut machine = Self {
            me,
            peers,
            olm: OlmSessions::default(),
            inbound: Inbound::default(),
            outbound: OutboundRooms::default(),
            healing: Healing::default(),
            claiming: Vec::new(),
            querying: Vec::new(),
            steps: 0,
            changes,
        };
        let stored = machine.step(())?;
        Ok((machine, stored.changes))
    }

    /// Opens the machine from all its stored records, in any order.
    ///
    /// # Errors
    /// [`OpenError`] if a record is missing, damaged or of a later version.
    pub fn open(stored: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, OpenError> {
        let mut records = Vec::new();
        let mut peers = Peers::default();
        let mut host = None;
        for (key, bytes) in stored {
            let bytes = zeroize::Zeroizing::new(bytes);
            match kind_of(&key) {
                kind::PEER => peers.add(Peer::open(&bytes)?),
                kind::HOST => host = Some(Peer::open(&bytes)?),
                _ => records.push((key, bytes)),
            }
        }
        let host_id = host.as_ref().map(|host| host.user_id.clone());
        let host_id = host_id.as_deref();
        let mut account = None;
        let mut cross_signing = None;
        let mut olm = OlmSessions::default();
        let mut inbound = Inbound::default();
        let mut outbound = OutboundRooms::default();
        let mut healing = Healing::default();
        let mut steps = 0;
        for (key, bytes) in records {
            match kind_of(&key) {
                kind::ACCOUNT => account = Some(bytes),
                kind::CROSS_SIGNING => cross_signing = Some(bytes),
                kind::OLM => olm.open_record(&bytes, host_id)?,
                kind::INBOUND => inbound.open_session(&bytes)?,
                kind::WAITING => inbound.open_waiting(&bytes)?,
                kind::HELD => inbound.open_held(&bytes)?,
                kind::OUTBOUND => outbound.open_record(&bytes, host_id)?,
                kind::HEALING => healing = Healing::open(&bytes, host_id)?,
                kind::STEPS => steps = open_steps(&bytes)?,
                _ => return Err(OpenError::Unknown),
            }
        }
        let account = account.ok_or(OpenError::Missing(kind::ACCOUNT))?;
        let cross_signing = cross_signing.ok_or(OpenError::Missing(kind::CROSS_SIGNING))?;
        let mut changes = Changes::default();
        // Of the first format. What leaves the one host unnamed is written anew together, with the
        // first change: afterwards nothing would say who was meant.
        if let Some(host) = host {
            changes.delete(kind::HOST.to_owned());
            host.save(&mut changes);
            olm.save_all(&mut changes);
            outbound.save_all(&mut changes);
            healing.save(&mut changes);
            peers.add(host);
        }
        Ok(Self {
            me: Identity::open(&account, &cross_signing)?,
            peers,
            olm,
            inbound,
            outbound,
            healing,
            claiming: Vec::new(),
            querying: Vec::new(),
            steps,
            changes,
        })
    }

    /// The user this machine belongs to.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.me.user_id
    }

    /// The device this machine is.
    #[must_use]
    pub fn device_id(&self) -> &str {
        &self.me.device_id
    }

    /// How many ratchet steps and key changes this device ever made. It only grows: records that
    /// say less than was seen before are of an older state, which must not be used any more.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Closes a call: everything that changed so far goes with its output.
    fn step<T>(&mut self, output: T) -> Result<Step<T>, CryptoError> {
        let steps = self.changes.pickles();
        if steps > 0 {
            self.steps = self.steps.saturating_add(steps);
            let object = Object::default().number("count", self.steps);
            self.changes.put(kind::STEPS.to_owned(), object);
        }
        Ok(Step {
            changes: self.changes.take()?,
            output,
        })
    }
}

fn kind_of(key: &str) -> &str {
    key.split_once(':').map_or(key, |(kind, _)| kind)
}

fn open_steps(bytes: &[u8]) -> Result<u64, OpenError> {
    Record::read(kind::STEPS, bytes)?.parse(|object| number(object, "count"))
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("user_id", &self.me.user_id)
            .field("device_id", &self.me.device_id)
            .finish_non_exhaustive()
    }
}
