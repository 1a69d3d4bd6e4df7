//! The person on the other side: their pinned identity, their devices, and which of these may be
//! trusted with a key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::identity::elapsed;
use crate::keys::{
    CheckedDevice, check_cross_signing_key, check_device, check_one_time_key, is_signed_by,
};
use crate::records::{Changes, kind};
use crate::{CryptoError, encoding};

/// Devices of one user beyond this are not looked at; a homeserver could invent any number.
const MAX_DEVICES: usize = 200;
/// A device list younger than this may stand behind a new outbound session.
const FRESH_MS: u64 = 60_000;
/// After so many failed claims the device is told that no session could be made.
const CLAIMS_BEFORE_WITHHELD: u32 = 3;
/// First pause between claims for one device; it doubles up to the longest.
const CLAIM_PAUSE_MS: u64 = 30_000;
const LONGEST_CLAIM_PAUSE_MS: u64 = 3_600_000;

/// A cross-signing identity: its master key, and the self-signing key if there is a valid one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CrossSigned {
    master: String,
    self_signing: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Device {
    pub(crate) ed25519: String,
    pub(crate) curve25519: String,
    capable: bool,
    cross_signed: bool,
}

/// What one `/keys/query` answer says, once its signatures are checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Snapshot {
    identity: Option<CrossSigned>,
    devices: BTreeMap<String, Device>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    failures: u32,
    failed_at: u64,
}

/// What a key query said about the identity, against what is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    First,
    Same,
    Changed,
    NoIdentity,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) user_id: String,
    /// The pinned state; `None` until the first answer.
    accepted: Option<Snapshot>,
    /// A state with another identity, which waits for the guest's word.
    candidate: Option<Snapshot>,
    queried_at: u64,
    outdated: bool,
    claims: BTreeMap<String, Claims>,
}

impl Host {
    pub(crate) fn new(user_id: &str) -> Self {
        Self {
            user_id: user_id.to_owned(),
            accepted: None,
            candidate: None,
            queried_at: 0,
            outdated: true,
            claims: BTreeMap::new(),
        }
    }

    pub(crate) fn save(&self, changes: &mut Changes) {
        changes.put(kind::HOST.to_owned(), self);
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
            self.claims
                .retain(|id, _| snapshot.devices.contains_key(id));
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
            self.claims.clear();
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
    pub(crate) fn trusted_devices(&self) -> impl Iterator<Item = (&String, &Device)> {
        self.devices(true)
    }

    /// The devices that are told that they get no key.
    pub(crate) fn untrusted_devices(&self) -> impl Iterator<Item = (&String, &Device)> {
        self.devices(false)
    }

    fn devices(&self, trusted: bool) -> impl Iterator<Item = (&String, &Device)> {
        self.accepted.iter().flat_map(move |state| {
            let all = state.identity.is_none();
            state
                .devices
                .iter()
                .filter(move |(_, d)| d.capable && (all || d.cross_signed) == trusted)
        })
    }

    pub(crate) fn trusted_device(&self, device_id: &str) -> Option<&Device> {
        self.trusted_devices()
            .find_map(|(id, device)| (id == device_id).then_some(device))
    }

    /// Whether a trusted device holds exactly these two keys.
    pub(crate) fn trusts_keys(&self, curve25519: &str, ed25519: &str) -> bool {
        self.trusted_devices()
            .any(|(_, d)| d.curve25519 == curve25519 && d.ed25519 == ed25519)
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
        self.claims.get(device_id).is_none_or(|claims| {
            let doubled = CLAIM_PAUSE_MS << claims.failures.saturating_sub(1).min(8);
            elapsed(claims.failed_at, now) >= doubled.min(LONGEST_CLAIM_PAUSE_MS)
        })
    }

    pub(crate) fn claim_failed(&mut self, device_id: &str, now: u64) {
        let claims = self.claims.entry(device_id.to_owned()).or_default();
        claims.failures = claims.failures.saturating_add(1);
        claims.failed_at = now;
    }

    pub(crate) fn claim_succeeded(&mut self, device_id: &str) {
        self.claims.remove(device_id);
    }

    pub(crate) fn claims_given_up(&self, device_id: &str) -> bool {
        self.claims
            .get(device_id)
            .is_some_and(|c| c.failures >= CLAIMS_BEFORE_WITHHELD)
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
        let mut devices = BTreeMap::new();
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
            devices.insert(device_id.clone(), Device::new(checked, cross_signed));
        }
        Ok(Self { identity, devices })
    }

    /// A device never changes its keys; one that seems to is another device under a known name, and
    /// counts only if its owner has signed it.
    fn keep_known_keys(&mut self, known: &Snapshot) {
        for (device_id, device) in &mut self.devices {
            if let Some(old) = known.devices.get(device_id)
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
}

impl Device {
    fn new(checked: CheckedDevice, cross_signed: bool) -> Self {
        Self {
            ed25519: checked.ed25519,
            curve25519: checked.curve25519,
            capable: checked.capable,
            cross_signed,
        }
    }
}
