//! Who this machine is: one device's account and the cross-signing keys of its user.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use vodozemac::olm::{Account, AccountPickle};
use vodozemac::{Curve25519PublicKey, Ed25519SecretKey, KeyId};

use crate::error::{CryptoError, OpenError};
use crate::keys::{SIGNED_CURVE25519, device_key_id};
use crate::records::{self, Changes, kind};
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
    refilled_at: u64,
    fallback_at: u64,
}

struct CrossSigning {
    master: Ed25519SecretKey,
    self_signing: Ed25519SecretKey,
    user_signing: Ed25519SecretKey,
}

#[derive(Serialize)]
struct AccountRecordRef<'a> {
    user_id: &'a str,
    device_id: &'a str,
    refilled_at: u64,
    fallback_at: u64,
    pickle: AccountPickle,
}

#[derive(Deserialize)]
struct AccountRecord {
    user_id: String,
    device_id: String,
    refilled_at: u64,
    fallback_at: u64,
    pickle: AccountPickle,
}

/// The three seeds as vodozemac writes them.
#[derive(Serialize, Deserialize)]
struct CrossSigningRecord<T> {
    master: T,
    self_signing: T,
    user_signing: T,
}

impl Identity {
    /// New keys, with one-time keys and a fallback key to publish.
    pub(crate) fn create(
        user_id: &str,
        device_id: &str,
        now: u64,
        changes: &mut Changes,
    ) -> Result<Self, CryptoError> {
        let mut account = Account::new();
        account.generate_one_time_keys(ONE_TIME_KEYS as usize);
        account.generate_fallback_key();
        let cross_signing = CrossSigning {
            master: Ed25519SecretKey::new(),
            self_signing: Ed25519SecretKey::new(),
            user_signing: Ed25519SecretKey::new(),
        };
        let device_keys = device_keys(user_id, device_id, &account, &cross_signing)
            .ok_or(CryptoError::BadInput)?;
        let identity = Self {
            user_id: user_id.to_owned(),
            device_id: device_id.to_owned(),
            account,
            cross_signing,
            device_keys,
            refilled_at: now,
            fallback_at: now,
        };
        identity.save(changes);
        changes.put(
            kind::CROSS_SIGNING.to_owned(),
            &CrossSigningRecord {
                master: &identity.cross_signing.master,
                self_signing: &identity.cross_signing.self_signing,
                user_signing: &identity.cross_signing.user_signing,
            },
        );
        Ok(identity)
    }

    pub(crate) fn open(account: &[u8], cross_signing: &[u8]) -> Result<Self, OpenError> {
        let record: AccountRecord = records::decode(kind::ACCOUNT, account)?;
        let seeds: CrossSigningRecord<Ed25519SecretKey> =
            records::decode(kind::CROSS_SIGNING, cross_signing)?;
        let account = Account::from_pickle(record.pickle);
        let cross_signing = CrossSigning {
            master: seeds.master,
            self_signing: seeds.self_signing,
            user_signing: seeds.user_signing,
        };
        let device_keys = device_keys(&record.user_id, &record.device_id, &account, &cross_signing)
            .ok_or(OpenError::Damaged(kind::ACCOUNT))?;
        Ok(Self {
            user_id: record.user_id,
            device_id: record.device_id,
            account,
            cross_signing,
            device_keys,
            refilled_at: record.refilled_at,
            fallback_at: record.fallback_at,
        })
    }

    /// Writes the account down; needed after each use of it that changes it.
    pub(crate) fn save(&self, changes: &mut Changes) {
        changes.put(
            kind::ACCOUNT.to_owned(),
            &AccountRecordRef {
                user_id: &self.user_id,
                device_id: &self.device_id,
                refilled_at: self.refilled_at,
                fallback_at: self.fallback_at,
                pickle: self.account.pickle(),
            },
        );
    }

    pub(crate) fn curve25519(&self) -> String {
        self.account.curve25519_key().to_base64()
    }

    pub(crate) fn ed25519(&self) -> String {
        self.account.ed25519_key().to_base64()
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
        Some(PublicKeys {
            device_keys: self.device_keys.clone(),
            master_key: cross_signing_key(&self.user_id, "master", master)?,
            self_signing_key: sign(cross_signing_key(
                &self.user_id,
                "self_signing",
                self_signing,
            )?)?,
            user_signing_key: sign(cross_signing_key(
                &self.user_id,
                "user_signing",
                user_signing,
            )?)?,
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
            if count < ENOUGH_ONE_TIME_KEYS && elapsed(self.refilled_at, now) >= REFILL_EVERY_MS {
                self.account
                    .generate_one_time_keys(ONE_TIME_KEYS.saturating_sub(count) as usize);
                self.refilled_at = now;
                account_changed = true;
            }
            if !fallback_unused && elapsed(self.fallback_at, now) >= NEW_FALLBACK_EVERY_MS {
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

    pub(crate) fn mark_published(&mut self, changes: &mut Changes) {
        self.account.mark_keys_as_published();
        self.save(changes);
    }

    pub(crate) fn unpublished_one_time_keys(&self) -> Option<Map<String, Value>> {
        self.account
            .one_time_keys()
            .into_iter()
            .map(|(id, key)| self.signed_one_time_key(id, key, false))
            .collect()
    }

    pub(crate) fn unpublished_fallback_keys(&self) -> Option<Map<String, Value>> {
        self.account
            .fallback_key()
            .into_iter()
            .map(|(id, key)| self.signed_one_time_key(id, key, true))
            .collect()
    }

    fn signed_one_time_key(
        &self,
        id: KeyId,
        key: Curve25519PublicKey,
        fallback: bool,
    ) -> Option<(String, Value)> {
        let mut object = Map::new();
        object.insert("key".to_owned(), Value::String(key.to_base64()));
        if fallback {
            object.insert("fallback".to_owned(), Value::Bool(true));
        }
        signing::sign(
            &mut object,
            &self.user_id,
            &device_key_id(&self.device_id),
            |b| self.account.sign(b),
        )?;
        Some((
            format!("{SIGNED_CURVE25519}:{}", id.to_base64()),
            Value::Object(object),
        ))
    }
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
    let mut object = object(json!({
        "user_id": user_id,
        "device_id": device_id,
        "algorithms": [OLM, MEGOLM],
        "keys": {
            format!("curve25519:{device_id}"): account.curve25519_key().to_base64(),
            device_key_id(device_id): account.ed25519_key().to_base64(),
        },
    }))?;
    signing::sign(&mut object, user_id, &device_key_id(device_id), |b| {
        account.sign(b)
    })?;
    let owner = &cross_signing.self_signing;
    let owner_id = device_key_id(&owner.public_key().to_base64());
    signing::sign(&mut object, user_id, &owner_id, |b| owner.sign(b))?;
    Some(object)
}

fn cross_signing_key(
    user_id: &str,
    usage: &str,
    key: &Ed25519SecretKey,
) -> Option<Map<String, Value>> {
    let public = key.public_key().to_base64();
    object(json!({
        "user_id": user_id,
        "usage": [usage],
        "keys": { device_key_id(&public): public },
    }))
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}
