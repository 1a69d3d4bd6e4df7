//! The machine: one device of one user, and the person it talks with.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::content::Item;
use crate::error::{CryptoError, OpenError, Refused};
use crate::healing::Healing;
use crate::host::Host;
use crate::identity::Identity;
use crate::inbound::Inbound;
use crate::olm::OlmSessions;
use crate::outbound::OutboundRooms;
use crate::records::{Changes, Step, kind};

mod heal;
mod host_keys;
mod own_keys;
mod receive;
mod send;

/// One device of one Matrix user, talking with one other person, who is called the host here
/// whichever side this is. Rooms are named in each call.
pub struct Machine {
    me: Identity,
    host: Host,
    olm: OlmSessions,
    inbound: Inbound,
    outbound: OutboundRooms,
    healing: Healing,
    /// Devices that the last [`Prepare::KeysClaim`] named.
    claiming: Vec<String>,
    changes: Changes,
}

/// What to do before the next message can be encrypted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Prepare {
    /// Ask `/keys/query` for the host and pass the answer to [`Machine::receive_keys`].
    KeysQuery,
    /// Ask `/keys/claim` for one key of each of these devices of the host and pass the answer to
    /// [`Machine::receive_claim`].
    KeysClaim {
        /// Device ids.
        devices: Vec<String>,
    },
    /// Send these to devices of the host, and call [`Machine::to_device_stored`] with the id once
    /// they are sure to be delivered. Until then the same comes again, also after a restart.
    ToDevice {
        /// Names this set of messages.
        id: String,
        /// `m.room.encrypted` or `m.room_key.withheld`.
        event_type: String,
        /// Device id to content.
        messages: Map<String, Value>,
    },
    /// [`Machine::encrypt`] may be called.
    Ready,
    /// Nothing can be sent now.
    Blocked {
        /// Why.
        reason: Blocked,
    },
}

/// Why nothing can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocked {
    /// The host's identity changed; [`Machine::accept_identity`] goes on.
    IdentityChanged,
    /// The host has no device that may get a key, or none that one could be made for.
    NoDevices,
}

/// What is known of the host's cross-signing identity after a key query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostIdentity {
    /// Seen for the first time, and pinned.
    First,
    /// The pinned one.
    Same,
    /// Another than the pinned one, or suddenly none: sending stops until it is accepted.
    Changed,
    /// The host has no cross-signing.
    None,
}

/// Outcome of [`Machine::receive_keys`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeysReceived {
    /// The identity against the pinned one.
    pub identity: HostIdentity,
    /// How many devices of the host count, signed by their owner or not.
    pub devices: usize,
    /// Events that can be read now, because the device that sent their key is known now.
    pub items: Vec<Item>,
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
    /// Makes a device with all its keys. `user_id` and `device_id` are its own, `host_id` is the
    /// user it will talk with; `now` is in milliseconds since the Unix epoch, here and everywhere.
    ///
    /// # Errors
    /// [`CryptoError::Unencodable`] if the state couldn't be written down.
    pub fn create(
        user_id: &str,
        device_id: &str,
        host_id: &str,
        now: u64,
    ) -> Result<(Self, Changes), CryptoError> {
        let mut changes = Changes::default();
        let me = Identity::create(user_id, device_id, now, &mut changes)?;
        let host = Host::new(host_id);
        host.save(&mut changes);
        let changes = changes.take()?;
        let machine = Self {
            me,
            host,
            olm: OlmSessions::default(),
            inbound: Inbound::default(),
            outbound: OutboundRooms::default(),
            healing: Healing::default(),
            claiming: Vec::new(),
            changes: Changes::default(),
        };
        Ok((machine, changes))
    }

    /// Opens the machine from all its stored records, in any order.
    ///
    /// # Errors
    /// [`OpenError`] if a record is missing, damaged or of a later version.
    pub fn open(stored: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self, OpenError> {
        let mut account = None;
        let mut cross_signing = None;
        let mut host = None;
        let mut olm = OlmSessions::default();
        let mut inbound = Inbound::default();
        let mut outbound = OutboundRooms::default();
        let mut healing = Healing::default();
        for (key, bytes) in stored {
            let bytes = zeroize::Zeroizing::new(bytes);
            match key.split_once(':').map_or(key.as_str(), |(kind, _)| kind) {
                kind::ACCOUNT => account = Some(bytes),
                kind::CROSS_SIGNING => cross_signing = Some(bytes),
                kind::HOST => host = Some(Host::open(&bytes)?),
                kind::OLM => olm.open_record(&bytes)?,
                kind::INBOUND => inbound.open_session(&bytes)?,
                kind::WAITING => inbound.open_waiting(&bytes)?,
                kind::HELD => inbound.open_held(&bytes)?,
                kind::OUTBOUND => outbound.open_record(&bytes)?,
                kind::HEALING => healing = Healing::open(&bytes)?,
                _ => return Err(OpenError::Unknown),
            }
        }
        let account = account.ok_or(OpenError::Missing(kind::ACCOUNT))?;
        let cross_signing = cross_signing.ok_or(OpenError::Missing(kind::CROSS_SIGNING))?;
        Ok(Self {
            me: Identity::open(&account, &cross_signing)?,
            host: host.ok_or(OpenError::Missing(kind::HOST))?,
            olm,
            inbound,
            outbound,
            healing,
            claiming: Vec::new(),
            changes: Changes::default(),
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

    /// The user this machine talks with.
    #[must_use]
    pub fn host_id(&self) -> &str {
        &self.host.user_id
    }

    /// Closes a call: everything that changed so far goes with its output.
    fn step<T>(&mut self, output: T) -> Result<Step<T>, CryptoError> {
        Ok(Step {
            changes: self.changes.take()?,
            output,
        })
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("user_id", &self.me.user_id)
            .field("device_id", &self.me.device_id)
            .field("host_id", &self.host.user_id)
            .finish_non_exhaustive()
    }
}
