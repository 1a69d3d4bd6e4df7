//! Who this machine is: one device's account and the cross-signing keys of its user.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, Value};
use vodozemac::olm::Account;
use vodozemac::{Curve25519PublicKey, Ed25519SecretKey, KeyId};

use crate::error::{CryptoError, OpenError};
use crate::keys::{SIGNED_CURVE25519, device_key_id};
use crate::object::{Object, number, owned};
use crate::records::{Changes, Record, kind};
use crate::{MEGOLM, OLM, signing};

/// One-time keys that the homeserver should have.
pub(crate) const ONE_TIME_KEYS: u64 = 50;
/// At this count or above nothing is refilled.
const ENOUGH_ONE_TIME_KEYS: u64 = 25;
/// Any local user can drain one-time keys, so they are refilled at most this often.
const REFILL_EVERY_MS: u64 = 10_000;
/// A replaced fallback key is kept until the next replacement, because a message that used it may
/// still be on its way. The specification asks for an hour.
const NEW_FALLBACK_EVERY_MS: u64 = 3_600_000;

/// The `keys` object of a join: everything public that the homeserver must hold for this device
/// and its user, each part signed. See `/keys/upload` and `/keys/device_signing/upload`.
#[derive(Debug, Clone, Serialize)]
pub struct PublicKeys {
    /// Signed by the device and by the self-signing key.
    pub device_keys: Map<String, Value>,
    /// The user's master key.
    pub master_key: Map<String, Value>,
    /// Signed by the master key.
    pub self_signing_key: Map<String, Value>,
    /// Signed by the master key.
    pub user_signing_key: Map<String, Value>,
    /// Those not yet published, by `signed_curve25519:ID`.
    pub one_time_keys: Map<String, Value>,
    /// The one not yet published, or none.
    pub fallback_keys: Map<String, Value>,
}

pub(crate) struct Identity {
    pub(crate) user_id: String,
    pub(crate) device_id: String,
    pub(crate) account: Account,
    cross_signing: CrossSigning,
    /// The account's public device keys, which never change.
    pub(crate) device_keys: Map<String, Value>,
    /// Unpublished one-time keys that are signed already, by their names.
    signed: Map<String, Value>,
    refilled_at: u64,
    fallback_at: u64,
}

struct CrossSigning {
    master: Ed25519SecretKey,
    self_signing: Ed25519SecretKey,
    user_signing: Ed25519SecretKey,
}

impl Identity {
    /// New keys, with a fallback key to publish and no one-time keys yet.
    pub(crate) fn begin(
        user_id: &str,
        device_id: &str,
        now: u64,
        changes: &mut Changes,
    ) -> Result<Self, CryptoError> {
        let cross_signing = CrossSigning {
            master: Ed25519SecretKey::new(),
            self_signing: Ed25519SecretKey::new(),
            user_signing: Ed25519SecretKey::new(),
        };
        let identity = Self::with(user_id, device_id, cross_signing, now)?;
        identity.save(changes);
        identity.save_cross_signing(changes);
        Ok(identity)
    }

    /// Another device of the same user.
    #[cfg(feature = "bot")]
    pub(crate) fn another(
        self,
        device_id: &str,
        now: u64,
        changes: &mut Changes,
    ) -> Result<Self, CryptoError> {
        let mut identity = Self::with(&self.user_id, device_id, self.cross_signing, now)?;
        identity
            .make_one_time_keys(u64::MAX, changes)
            .ok_or(CryptoError::Unencodable)?;
        Ok(identity)
    }

    fn with(
        user_id: &str,
        device_id: &str,
        cross_signing: CrossSigning,
        now: u64,
    ) -> Result<Self, CryptoError> {
        let mut account = Account::new();
        account.generate_fallback_key();
        let device_keys = device_keys(user_id, device_id, &account, &cross_signing)
            .ok_or(CryptoError::BadInput)?;
        Ok(Self {
            user_id: user_id.to_owned(),
            device_id: device_id.to_owned(),
            account,
            cross_signing,
            device_keys,
            signed: Map::new(),
            refilled_at: now,
            fallback_at: now,
        })
    }

    pub(crate) fn save_cross_signing(&self, changes: &mut Changes) {
        let CrossSigning {
            master,
            self_signing,
            user_signing,
        } = &self.cross_signing;
        changes.put_pickle(
            kind::CROSS_SIGNING.to_owned(),
            Object::default(),
            &[master, self_signing, user_signing],
        );
    }

    pub(crate) fn open(account: &[u8], cross_signing: &[u8]) -> Result<Self, OpenError> {
        let seeds = Record::read(kind::CROSS_SIGNING, cross_signing)?;
        let [master, self_signing, user_signing]: [Ed25519SecretKey; 3] = seeds.unpickle()?;
        let cross_signing = CrossSigning {
            master,
            self_signing,
            user_signing,
        };
        let record = Record::read(kind::ACCOUNT, account)?;
        let account = Account::from_pickle(record.unpickle()?);
        let user_id = record.parse(|o| owned(o, "user_id"))?;
        let device_id = record.parse(|o| owned(o, "device_id"))?;
        let device_keys = device_keys(&user_id, &device_id, &account, &cross_signing)
            .ok_or(OpenError::Damaged(kind::ACCOUNT))?;
        Ok(Self {
            refilled_at: record.parse(|o| number(o, "refilled_at"))?,
            fallback_at: record.parse(|o| number(o, "fallback_at"))?,
            user_id,
            device_id,
            account,
            cross_signing,
            device_keys,
            signed: Map::new(),
        })
    }

    /// Makes and signs up to `most` of the one-time keys that a new device publishes; whether some are
    /// still missing.
    pub(crate) fn make_one_time_keys(&mut self, most: u64, changes: &mut Changes) -> Option<bool> {
        let made = self.account.one_time_keys().len() as u64;
        let missing = ONE_TIME_KEYS.saturating_sub(made);
        self.account
            .generate_one_time_keys(missing.min(most) as usize);
        self.signed = self.unpublished_one_time_keys()?;
        let is_missing = missing > most;
        if !is_missing {
            self.save(changes);
        }
        Some(is_missing)
    }

    /// Writes the account down; needed after each use of it that changes it.
    pub(crate) fn save(&self, changes: &mut Changes) {
        let object = Object::default()
            .text("user_id", &self.user_id)
            .text("device_id", &self.device_id)
            .number("refilled_at", self.refilled_at)
            .number("fallback_at", self.fallback_at);
        changes.put_pickle(kind::ACCOUNT.to_owned(), object, &self.account.pickle());
    }

    pub(crate) fn curve25519(&self) -> String {
        self.account.curve25519_key().to_base64()
    }

    pub(crate) fn ed25519(&self) -> String {
        self.account.ed25519_key().to_base64()
    }

    /// The user's master key, unpadded base64.
    pub(crate) fn master_key(&self) -> String {
        self.cross_signing.master.public_key().to_base64()
    }

    pub(crate) fn public_keys(&self) -> Option<PublicKeys> {
        let CrossSigning {
            master,
            self_signing,
            user_signing,
        } = &self.cross_signing;
        let master_id = device_key_id(&master.public_key().to_base64());
        let sign = |mut object: Map<String, Value>| {
            signing::sign(&mut object, &self.user_id, &master_id, |b| master.sign(b))?;
            Some(object)
        };
        let key = |usage, key| cross_signing_key(&self.user_id, usage, key);
        Some(PublicKeys {
            device_keys: self.device_keys.clone(),
            master_key: key("master", master),
            self_signing_key: sign(key("self_signing", self_signing))?,
            user_signing_key: sign(key("user_signing", user_signing))?,
            one_time_keys: self.unpublished_one_time_keys()?,
            fallback_keys: self.unpublished_fallback_keys()?,
        })
    }

    /// The unpublished keys, after making new ones if the homeserver runs short. The same keys come
    /// again until they are published: a key that was uploaded must not be forgotten because the
    /// answer got lost.
    pub(crate) fn refill(
        &mut self,
        count: u64,
        fallback_unused: bool,
        now: u64,
        changes: &mut Changes,
    ) -> bool {
        let mut account_changed = false;
        let pending =
            !self.account.one_time_keys().is_empty() || !self.account.fallback_key().is_empty();
        if !pending {
            if count < ENOUGH_ONE_TIME_KEYS && is_past(self.refilled_at, REFILL_EVERY_MS, now) {
                self.account
                    .generate_one_time_keys(ONE_TIME_KEYS.saturating_sub(count) as usize);
                self.refilled_at = now;
                account_changed = true;
            }
            if !fallback_unused && is_past(self.fallback_at, NEW_FALLBACK_EVERY_MS, now) {
                self.account.generate_fallback_key();
                self.fallback_at = now;
                account_changed = true;
            }
        }
        if account_changed {
            self.save(changes);
        }
        pending || account_changed
    }

    /// When a refill that is wanted now may be made, or nothing if none is wanted.
    pub(crate) fn refill_at(&self, count: u64, fallback_unused: bool) -> Option<u64> {
        let keys = (count < ENOUGH_ONE_TIME_KEYS).then_some((self.refilled_at, REFILL_EVERY_MS));
        let fallback = (!fallback_unused).then_some((self.fallback_at, NEW_FALLBACK_EVERY_MS));
        let times = [keys, fallback].into_iter().flatten();
        times.map(|(last, every)| last.saturating_add(every)).min()
    }

    pub(crate) fn mark_published(&mut self, changes: &mut Changes) {
        self.signed.clear();
        self.account.mark_keys_as_published();
        self.save(changes);
    }

    pub(crate) fn unpublished_one_time_keys(&self) -> Option<Map<String, Value>> {
        self.sign_one_time_keys(self.account.one_time_keys(), false)
    }

    pub(crate) fn unpublished_fallback_keys(&self) -> Option<Map<String, Value>> {
        self.sign_one_time_keys(self.account.fallback_key(), true)
    }

    fn sign_one_time_keys(
        &self,
        keys: HashMap<KeyId, Curve25519PublicKey>,
        fallback: bool,
    ) -> Option<Map<String, Value>> {
        let mut all = Map::new();
        for (id, key) in keys {
            let name = format!("{SIGNED_CURVE25519}:{}", id.to_base64());
            // Fallback keys are numbered apart, so that one may have the name of another key.
            let signed = self.signed.get(&name).filter(|_| !fallback);
            if let Some(signed) = signed {
                all.insert(name, signed.clone());
                continue;
            }
            let mut object = Object::default().text("key", &key.to_base64());
            if fallback {
                object = object.flag("fallback", true);
            }
            let mut object = object.into_map();
            signing::sign(
                &mut object,
                &self.user_id,
                &device_key_id(&self.device_id),
                |b| self.account.sign(b),
            )?;
            all.insert(name, Value::Object(object));
        }
        Some(all)
    }
}

/// Whether so much time passed. A time in the future is one of a clock that was wrong: to wait for
/// it again could take years, so it counts as past.
fn is_past(since: u64, period: u64, now: u64) -> bool {
    since > now || now - since >= period
}

/// Time passed, or none if the clock was set back.
pub(crate) fn elapsed(since: u64, now: u64) -> u64 {
    now.saturating_sub(since)
}

fn device_keys(
    user_id: &str,
    device_id: &str,
    account: &Account,
    cross_signing: &CrossSigning,
) -> Option<Map<String, Value>> {
    let algorithms = [OLM, MEGOLM].map(Value::from).to_vec();
    let keys = Object::default()
        .text(
            &format!("curve25519:{device_id}"),
            &account.curve25519_key().to_base64(),
        )
        .text(
            &device_key_id(device_id),
            &account.ed25519_key().to_base64(),
        );
    let mut object = Object::default()
        .text("user_id", user_id)
        .text("device_id", device_id)
        .value("algorithms", Value::Array(algorithms))
        .object("keys", keys)
        .into_map();
    signing::sign(&mut object, user_id, &device_key_id(device_id), |b| {
        account.sign(b)
    })?;
    let owner = &cross_signing.self_signing;
    let owner_id = device_key_id(&owner.public_key().to_base64());
    signing::sign(&mut object, user_id, &owner_id, |b| owner.sign(b))?;
    Some(object)
}

fn cross_signing_key(user_id: &str, usage: &str, key: &Ed25519SecretKey) -> Map<String, Value> {
    let public = key.public_key().to_base64();
    Object::default()
        .text("user_id", user_id)
        .value("usage", Value::Array(vec![Value::from(usage)]))
        .object(
            "keys",
            Object::default().text(&device_key_id(&public), &public),
        )
        .into_map()
}
