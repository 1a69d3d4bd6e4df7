//! The person on the other side: their pinned identity, their devices, and which of these may be
//! trusted with a key.

use serde_json::{Map, Value};

use crate::identity::elapsed;
use crate::keys::{
    CheckedDevice, check_cross_signing_key, check_device, check_one_time_key, is_signed_by,
};
use crate::object::{Object, flag, list, number, owned};
use crate::records::{Changes, Record, kind};
use crate::{CryptoError, OpenError, encoding};

/// Devices of one user beyond this are not looked at; a homeserver could invent any number.
const MAX_DEVICES: usize = 200;
/// A device list younger than this may stand behind a new outbound session.
const FRESH_MS: u64 = 60_000;
/// After so many failed claims the device is told that no session could be made.
const CLAIMS_BEFORE_WITHHELD: u64 = 3;
/// First pause between claims for one device; it doubles up to the longest.
const CLAIM_PAUSE_MS: u64 = 30_000;
const LONGEST_CLAIM_PAUSE_MS: u64 = 3_600_000;

/// A cross-signing identity: its master key, and the self-signing key if there is a valid one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CrossSigned {
    master: String,
    self_signing: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) ed25519: String,
    pub(crate) curve25519: String,
    capable: bool,
    cross_signed: bool,
}

/// What one `/keys/query` answer says, once its signatures are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Snapshot {
    identity: Option<CrossSigned>,
    devices: Vec<Device>,
}

/// Claims of a one-time key that brought none.
#[derive(Debug)]
struct FailedClaims {
    device_id: String,
    count: u64,
    last_at: u64,
}

/// What a key query said about the identity, against what is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    First,
    Same,
    Changed,
    NoIdentity,
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) user_id: String,
    /// The pinned state; `None` until the first answer.
    accepted: Option<Snapshot>,
    /// A state with another identity, which waits for the guest's word.
    candidate: Option<Snapshot>,
    queried_at: u64,
    outdated: bool,
    failed_claims: Vec<FailedClaims>,
}

impl Host {
    pub(crate) fn new(user_id: &str) -> Self {
        Self {
            user_id: user_id.to_owned(),
            accepted: None,
            candidate: None,
            queried_at: 0,
            outdated: true,
            failed_claims: Vec::new(),
        }
    }

    pub(crate) fn save(&self, changes: &mut Changes) {
        let snapshot = |s: &Option<Snapshot>| {
            s.as_ref()
                .map_or(Value::Null, |s| s.to_object().into_value())
        };
        let object = Object::default()
            .text("user_id", &self.user_id)
            .value("accepted", snapshot(&self.accepted))
            .value("candidate", snapshot(&self.candidate))
            .number("queried_at", self.queried_at)
            .flag("outdated", self.outdated)
            .list(
                "failed_claims",
                &self.failed_claims,
                FailedClaims::to_object,
            );
        changes.put(kind::HOST.to_owned(), object);
    }

    pub(crate) fn open(bytes: &[u8]) -> Result<Self, OpenError> {
        Record::read(kind::HOST, bytes)?.parse(|object| {
            let snapshot = |name: &str| match object.get(name)? {
                Value::Null => Some(None),
                value => Snapshot::from_object(value.as_object()?).map(Some),
            };
            Some(Self {
                user_id: owned(object, "user_id")?,
                accepted: snapshot("accepted")?,
                candidate: snapshot("candidate")?,
                queried_at: number(object, "queried_at")?,
                outdated: flag(object, "outdated")?,
                failed_claims: list(object, "failed_claims", FailedClaims::from_object)?,
            })
        })
    }

    /// Takes in a `/keys/query` answer.
    pub(crate) fn receive_keys(&mut self, response: &Value, now: u64) -> Result<Seen, CryptoError> {
        let mut snapshot = Snapshot::read(response, &self.user_id)?;
        let seen = match self.accepted.as_ref().map(|a| a.identity.as_ref()) {
            None | Some(None) if snapshot.identity.is_none() => Seen::NoIdentity,
            None | Some(None) => Seen::First,
            Some(Some(pinned)) => match &snapshot.identity {
                Some(new) if new.master == pinned.master => Seen::Same,
                // An identity that vanished is a change as well: otherwise a homeserver could hide
                // it, and any device it invents would count as one of a host without cross-signing.
                _ => Seen::Changed,
            },
        };
        if seen == Seen::Changed {
            self.candidate = Some(snapshot);
        } else {
            if let Some(accepted) = &self.accepted {
                snapshot.keep_known_keys(accepted);
            }
            self.failed_claims
                .retain(|c| snapshot.device(&c.device_id).is_some());
            self.accepted = Some(snapshot);
            self.candidate = None;
        }
        self.queried_at = now;
        self.outdated = false;
        Ok(seen)
    }

    /// The guest accepted the changed identity. Gives the time it was seen.
    pub(crate) fn accept_identity(&mut self) -> u64 {
        if let Some(candidate) = self.candidate.take() {
            self.accepted = Some(candidate);
            self.failed_claims.clear();
        }
        self.queried_at
    }

    pub(crate) fn identity_changed(&self) -> bool {
        self.candidate.is_some()
    }

    pub(crate) fn mark_outdated(&mut self) {
        self.outdated = true;
    }

    pub(crate) fn is_outdated(&self) -> bool {
        self.outdated || self.accepted.is_none()
    }

    /// Whether the list is recent enough for a new outbound session.
    pub(crate) fn is_fresh(&self, now: u64) -> bool {
        !self.is_outdated() && elapsed(self.queried_at, now) <= FRESH_MS
    }

    /// Devices that count, trusted or not.
    pub(crate) fn device_count(&self) -> usize {
        self.accepted.as_ref().map_or(0, |a| a.devices.len())
    }

    /// The devices a key may go to: those their owner has signed, or all where the owner has no
    /// cross-signing at all.
    pub(crate) fn trusted_devices(&self) -> impl Iterator<Item = &Device> {
        self.devices(true)
    }

    /// The devices that are told that they get no key.
    pub(crate) fn untrusted_devices(&self) -> impl Iterator<Item = &Device> {
        self.devices(false)
    }

    fn devices(&self, trusted: bool) -> impl Iterator<Item = &Device> {
        self.accepted.iter().flat_map(move |state| {
            let all = state.identity.is_none();
            state
                .devices
                .iter()
                .filter(move |device| device.capable && (all || device.cross_signed) == trusted)
        })
    }

    pub(crate) fn trusted_device(&self, device_id: &str) -> Option<&Device> {
        self.trusted_devices().find(|device| device.id == device_id)
    }

    /// Whether a trusted device holds exactly these two keys.
    pub(crate) fn trusts_keys(&self, curve25519: &str, ed25519: &str) -> bool {
        self.trusted_devices()
            .any(|d| d.curve25519 == curve25519 && d.ed25519 == ed25519)
    }

    /// Whether the pinned identity has signed this device-keys object.
    pub(crate) fn has_signed(&self, device_keys: &Map<String, Value>) -> bool {
        self.accepted
            .as_ref()
            .and_then(|a| a.identity.as_ref())
            .and_then(|i| i.self_signing.as_ref())
            .is_some_and(|key| is_signed_by(device_keys, &self.user_id, key))
    }

    pub(crate) fn may_claim(&self, device_id: &str, now: u64) -> bool {
        self.failed_claims(device_id).is_none_or(|failed| {
            let doubled = CLAIM_PAUSE_MS << failed.count.saturating_sub(1).min(8);
            elapsed(failed.last_at, now) >= doubled.min(LONGEST_CLAIM_PAUSE_MS)
        })
    }

    pub(crate) fn claims_given_up(&self, device_id: &str) -> bool {
        self.failed_claims(device_id)
            .is_some_and(|f| f.count >= CLAIMS_BEFORE_WITHHELD)
    }

    fn failed_claims(&self, device_id: &str) -> Option<&FailedClaims> {
        self.failed_claims.iter().find(|f| f.device_id == device_id)
    }

    pub(crate) fn claim_failed(&mut self, device_id: &str, now: u64) {
        let count = self
            .failed_claims(device_id)
            .map_or(0, |f| f.count)
            .saturating_add(1);
        self.claim_succeeded(device_id);
        let device_id = device_id.to_owned();
        self.failed_claims.push(FailedClaims {
            device_id,
            count,
            last_at: now,
        });
    }

    pub(crate) fn claim_succeeded(&mut self, device_id: &str) {
        self.failed_claims.retain(|f| f.device_id != device_id);
    }

    /// The one-time key that a `/keys/claim` answer holds for a trusted device, if its signature
    /// is right.
    pub(crate) fn claimed_key(
        &self,
        response: &Value,
        device_id: &str,
    ) -> Option<(
        vodozemac::Curve25519PublicKey,
        vodozemac::Curve25519PublicKey,
    )> {
        let device = self.trusted_device(device_id)?;
        let keys = response
            .get("one_time_keys")?
            .get(&self.user_id)?
            .get(device_id)?
            .as_object()?;
        let (name, key) = keys.iter().next()?;
        if keys.len() != 1 || !name.starts_with("signed_curve25519:") {
            return None;
        }
        let signer = encoding::ed25519(&device.ed25519)?;
        let key = check_one_time_key(key.as_object()?, &self.user_id, device_id, &signer)?;
        Some((
            encoding::curve25519(&device.curve25519)?,
            encoding::curve25519(key)?,
        ))
    }
}

impl Snapshot {
    fn read(response: &Value, user_id: &str) -> Result<Self, CryptoError> {
        let of_user = |name: &str| response.get(name)?.get(user_id)?.as_object();
        let identity = of_user("master_keys").and_then(|object| {
            Some(CrossSigned {
                master: check_cross_signing_key(object, user_id, "master")?.to_owned(),
                self_signing: None,
            })
        });
        // A master key that is there but not valid must not read like none at all.
        if identity.is_none() && of_user("master_keys").is_some() {
            return Err(CryptoError::NoKeys);
        }
        let identity = identity.map(|identity| CrossSigned {
            self_signing: of_user("self_signing_keys").and_then(|object| {
                let key = check_cross_signing_key(object, user_id, "self_signing")?;
                is_signed_by(object, user_id, &identity.master).then(|| key.to_owned())
            }),
            ..identity
        });
        let signer = identity.as_ref().and_then(|i| i.self_signing.as_deref());
        // Without an entry for the user the homeserver didn't know, or didn't reach the user's own.
        let listed = of_user("device_keys").ok_or(CryptoError::NoKeys)?;
        let mut devices = Vec::new();
        for (device_id, object) in listed.iter().take(MAX_DEVICES) {
            let Some(object) = object.as_object() else {
                continue;
            };
            let Some(checked) = check_device(object, user_id) else {
                continue;
            };
            if checked.device_id != *device_id {
                continue;
            }
            let cross_signed = signer.is_some_and(|key| is_signed_by(object, user_id, key));
            devices.push(Device::new(checked, cross_signed));
        }
        Ok(Self { identity, devices })
    }

    /// A device never changes its keys; one that seems to is another device under a known name, and
    /// counts only if its owner has signed it.
    fn keep_known_keys(&mut self, known: &Snapshot) {
        for device in &mut self.devices {
            if let Some(old) = known.device(&device.id)
                && !device.cross_signed
                && (old.ed25519 != device.ed25519 || old.curve25519 != device.curve25519)
            {
                *device = Device {
                    cross_signed: false,
                    ..old.clone()
                };
            }
        }
    }

    fn device(&self, id: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.id == id)
    }

    fn to_object(&self) -> Object {
        let devices = Object::default().list("devices", &self.devices, Device::to_object);
        let Some(identity) = &self.identity else {
            return devices;
        };
        let with_master = devices.text("master", &identity.master);
        match &identity.self_signing {
            Some(key) => with_master.text("self_signing", key),
            None => with_master,
        }
    }

    fn from_object(object: &Map<String, Value>) -> Option<Self> {
        let self_signing = owned(object, "self_signing");
        Some(Self {
            identity: owned(object, "master").map(|master| CrossSigned {
                master,
                self_signing,
            }),
            devices: list(object, "devices", Device::from_object)?,
        })
    }
}

impl Device {
    fn new(checked: CheckedDevice, cross_signed: bool) -> Self {
        Self {
            id: checked.device_id,
            ed25519: checked.ed25519,
            curve25519: checked.curve25519,
            capable: checked.capable,
            cross_signed,
        }
    }

    fn to_object(&self) -> Object {
        Object::default()
            .text("id", &self.id)
            .text("ed25519", &self.ed25519)
            .text("curve25519", &self.curve25519)
            .flag("capable", self.capable)
            .flag("cross_signed", self.cross_signed)
    }

    fn from_object(object: &Map<String, Value>) -> Option<Self> {
        Some(Self {
            id: owned(object, "id")?,
            ed25519: owned(object, "ed25519")?,
            curve25519: owned(object, "curve25519")?,
            capable: flag(object, "capable")?,
            cross_signed: flag(object, "cross_signed")?,
        })
    }
}

impl FailedClaims {
    fn to_object(&self) -> Object {
        Object::default()
            .text("device_id", &self.device_id)
            .number("count", self.count)
            .number("last_at", self.last_at)
    }

    fn from_object(object: &Map<String, Value>) -> Option<Self> {
        Some(Self {
            device_id: owned(object, "device_id")?,
            count: number(object, "count")?,
            last_at: number(object, "last_at")?,
        })
    }
}
