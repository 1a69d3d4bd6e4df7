//! Somebody this device talks with: their pinned identity, their devices, and which of these may be
//! trusted with a key.

use serde_json::{Map, Value};

use crate::identity::elapsed;
use crate::keys::{check_one_time_key, is_signed_by};
use crate::object::{Object, flag, list, number, owned};
use crate::records::{Changes, Record, kind};
use crate::{OpenError, encoding};

mod snapshot;

pub(crate) use snapshot::Device;
use snapshot::Snapshot;

/// A device list younger than this may stand behind a new outbound session.
const FRESH_MS: u64 = 60_000;
/// After so many failed claims the device is told that no session could be made.
const CLAIMS_BEFORE_WITHHELD: u64 = 3;
/// First pause between claims for one device; it doubles up to the longest.
const CLAIM_PAUSE_MS: u64 = 30_000;
const LONGEST_CLAIM_PAUSE_MS: u64 = 3_600_000;
/// How long the others don't wait for somebody whose keys a query didn't bring.
const ABSENCE_MS: u64 = 60_000;

/// Everybody this device has met.
#[derive(Default)]
pub(crate) struct Peers(Vec<Peer>);

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
pub(crate) struct Peer {
    pub(crate) user_id: String,
    /// The pinned state; `None` until the first answer.
    accepted: Option<Snapshot>,
    /// A state with another identity, which waits for the guest's word.
    candidate: Option<Snapshot>,
    queried_at: u64,
    outdated: bool,
    failed_claims: Vec<FailedClaims>,
    /// When a query brought no keys of this peer although it brought those of others. Not stored:
    /// after a restart it is tried again.
    absent_since: Option<u64>,
    /// How often something was said of the device list, by a notice or an answer. Not stored: at
    /// worst a list is asked for once more.
    news: u64,
}

impl Peers {
    pub(crate) fn get(&self, user_id: &str) -> Option<&Peer> {
        self.iter().find(|peer| peer.user_id == user_id)
    }

    pub(crate) fn get_mut(&mut self, user_id: &str) -> Option<&mut Peer> {
        self.iter_mut().find(|peer| peer.user_id == user_id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.0.iter_mut()
    }

    #[cfg(feature = "bot")]
    pub(crate) fn into_iter(self) -> impl Iterator<Item = Peer> {
        self.0.into_iter()
    }

    pub(crate) fn add(&mut self, peer: Peer) {
        self.0.push(peer);
    }

    pub(crate) fn remove(&mut self, user_id: &str) {
        self.0.retain(|peer| peer.user_id != user_id);
    }
}

impl Peer {
    pub(crate) fn new(user_id: &str) -> Self {
        Self {
            user_id: user_id.to_owned(),
            accepted: None,
            candidate: None,
            queried_at: 0,
            outdated: true,
            failed_claims: Vec::new(),
            absent_since: None,
            news: 0,
        }
    }

    /// The same for another device of this machine's user: what is pinned stays, what was tried
    /// with the old device doesn't count.
    #[cfg(feature = "bot")]
    pub(crate) fn anew(self) -> Self {
        Self {
            outdated: true,
            failed_claims: Vec::new(),
            ..self
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
        changes.put(Self::record_key(&self.user_id), object);
    }

    pub(crate) fn record_key(user_id: &str) -> String {
        format!("{}:{user_id}", kind::PEER)
    }

    pub(crate) fn open(bytes: &[u8]) -> Result<Self, OpenError> {
        Record::read(kind::PEER, bytes)?.parse(|object| {
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
                absent_since: None,
                news: 0,
            })
        })
    }

    /// Takes in a `/keys/query` answer; `None`, and nothing changes, if it holds no keys of this
    /// peer or an identity that can't be valid.
    pub(crate) fn receive_keys(&mut self, response: &Value, now: u64) -> Option<Seen> {
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
        self.absent_since = None;
        self.news = self.news.wrapping_add(1);
        Some(seen)
    }

    /// A query brought no keys of this peer.
    pub(crate) fn missed(&mut self, now: u64) {
        self.outdated = true;
        self.absent_since = Some(now);
    }

    /// Whether the others need not wait for this peer's keys: a homeserver that is away must not
    /// stop a room.
    pub(crate) fn is_absent(&self, now: u64) -> bool {
        self.absent_since
            .is_some_and(|since| elapsed(since, now) < ABSENCE_MS)
    }

    /// The master key by which this peer is known; while a changed identity waits to be accepted,
    /// that of the changed one.
    pub(crate) fn master_key(&self) -> Option<&str> {
        let state = self.candidate.as_ref().or(self.accepted.as_ref())?;
        Some(&state.identity.as_ref()?.master)
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
        self.news = self.news.wrapping_add(1);
    }

    /// Stands for what is known of the device list, until something else is said of it.
    pub(crate) fn news(&self) -> u64 {
        self.news
    }

    /// The answer to a question that was asked when `news` was what it was then. If more was said
    /// meanwhile, the answer may be older than that.
    pub(crate) fn answered(&mut self, news: u64) {
        self.outdated |= self.news != news.wrapping_add(1);
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
