//! Keys that a device publishes, as a bridge checks them before it passes them on: whoever signs in
//! the name of a device must prove that it holds the device's keys, and may publish nothing else.

use serde_json::{Map, Value};
use thiserror::Error;

use crate::encoding;
use crate::error::KeyError;
use crate::keys::{
    SIGNED_CURVE25519, check_cross_signing_key, check_device, check_one_time_key, device_key_id,
    is_signed_by,
};

/// One-time keys in one upload.
const MAX_ONE_TIME_KEYS: usize = 100;
/// All keys of one device as JSON. A hundred one-time keys take about 25 KiB.
const MAX_BYTES: usize = 48 * 1024;

type Object = Map<String, Value>;

/// The keys of a join, checked. Each part is ready to upload as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedKeys {
    /// The device's Ed25519 key, unpadded base64: what the device signs with.
    pub ed25519: String,
    /// The device's Curve25519 key, unpadded base64.
    pub curve25519: String,
    /// For `/keys/upload`; with both signatures, so also for `/keys/signatures/upload`.
    pub device_keys: Value,
    /// For `/keys/device_signing/upload`.
    pub master_key: Value,
    /// For `/keys/device_signing/upload`.
    pub self_signing_key: Value,
    /// For `/keys/device_signing/upload`.
    pub user_signing_key: Value,
    /// For `/keys/upload`.
    pub one_time_keys: Value,
    /// For `/keys/upload`.
    pub fallback_keys: Value,
}

/// Later one-time keys, checked, ready for `/keys/upload`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedOneTimeKeys {
    /// By `signed_curve25519:ID`; may be empty.
    pub one_time_keys: Value,
    /// One or none.
    pub fallback_keys: Value,
}

/// A greeting that isn't signed by the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the greeting is not signed by the device")]
pub struct WrongHello;

/// Checks the `keys` object of a join for that user and device: all members and no others, ids,
/// algorithms, counts (1 to 100 one-time keys, one fallback key), size, and every signature: the
/// device's on its own and on its one-time keys, the self-signing key's on the device, the master
/// key's on the two others.
///
/// # Errors
/// [`KeyError`] names the first part that is wrong.
pub fn verify_public_keys(
    keys: &Value,
    user_id: &str,
    device_id: &str,
) -> Result<VerifiedKeys, KeyError> {
    check_size(keys)?;
    let keys = keys.as_object().ok_or(KeyError::Malformed("keys"))?;
    let members = [
        "device_keys",
        "fallback_keys",
        "master_key",
        "one_time_keys",
        "self_signing_key",
        "user_signing_key",
    ];
    only(keys, &members, "keys")?;
    let part = |name: &'static str| {
        keys.get(name)
            .and_then(Value::as_object)
            .ok_or(KeyError::Malformed(name))
    };

    let cross_signing = |name, usage| cross_signing_key(part(name)?, user_id, name, usage);
    let master = cross_signing("master_key", "master")?;
    let self_signing = cross_signing("self_signing_key", "self_signing")?;
    cross_signing("user_signing_key", "user_signing")?;
    signatures(part("master_key")?, user_id, &[], "master_key")?;
    for name in ["self_signing_key", "user_signing_key"] {
        signatures(part(name)?, user_id, &[master], name)?;
    }

    let device = part("device_keys")?;
    let members = ["algorithms", "device_id", "keys", "signatures", "user_id"];
    only(device, &members, "device_keys")?;
    let checked = check_device(device, user_id).ok_or(KeyError::Signature("device_keys"))?;
    if checked.device_id != device_id {
        return Err(KeyError::Mismatch("device_keys"));
    }
    let algorithms = device
        .get("algorithms")
        .and_then(Value::as_array)
        .map(Vec::as_slice);
    let speaks_both = algorithms.is_some_and(|a| a.len() == 2) && checked.capable;
    let key_count = device.get("keys").and_then(Value::as_object).map(Map::len);
    if !speaks_both || key_count != Some(2) {
        return Err(KeyError::Malformed("device_keys"));
    }
    signatures(device, user_id, &[device_id, self_signing], "device_keys")?;

    let ed25519 = &checked.ed25519;
    let one_time = part("one_time_keys")?;
    let fallback = part("fallback_keys")?;
    if one_time.is_empty() {
        return Err(KeyError::Count("one_time_keys"));
    }
    if fallback.len() != 1 {
        return Err(KeyError::Count("fallback_keys"));
    }
    check_one_time_keys(ed25519, user_id, device_id, one_time, fallback)?;

    let value = |name| part(name).cloned().map(Value::Object);
    Ok(VerifiedKeys {
        device_keys: value("device_keys")?,
        master_key: value("master_key")?,
        self_signing_key: value("self_signing_key")?,
        user_signing_key: value("user_signing_key")?,
        one_time_keys: value("one_time_keys")?,
        fallback_keys: value("fallback_keys")?,
        ed25519: checked.ed25519,
        curve25519: checked.curve25519,
    })
}

/// Checks keys that a known device uploads later: up to 100 one-time keys and at most one fallback
/// key, and not nothing. `device_ed25519` is the device's key, unpadded base64.
///
/// # Errors
/// [`KeyError`] names the first part that is wrong.
pub fn verify_one_time_keys(
    device_ed25519: &str,
    user_id: &str,
    device_id: &str,
    one_time_keys: &Value,
    fallback_keys: &Value,
) -> Result<VerifiedOneTimeKeys, KeyError> {
    check_size(one_time_keys)?;
    check_size(fallback_keys)?;
    let object = |value: &Value, name| value.as_object().cloned().ok_or(KeyError::Malformed(name));
    let one_time = object(one_time_keys, "one_time_keys")?;
    let fallback = object(fallback_keys, "fallback_keys")?;
    if one_time.is_empty() && fallback.is_empty() {
        return Err(KeyError::Count("one_time_keys"));
    }
    if fallback.len() > 1 {
        return Err(KeyError::Count("fallback_keys"));
    }
    check_one_time_keys(device_ed25519, user_id, device_id, &one_time, &fallback)?;
    Ok(VerifiedOneTimeKeys {
        one_time_keys: Value::Object(one_time),
        fallback_keys: Value::Object(fallback),
    })
}

/// Checks the signature of a `hello` frame against the device's Ed25519 key (both unpadded base64).
///
/// # Errors
/// [`WrongHello`] if the key or the signature can't be read or don't fit.
pub fn verify_hello(
    ed25519: &str,
    origin: &str,
    portal: &str,
    device_id: &str,
    nonce: &str,
    signature: &str,
) -> Result<(), WrongHello> {
    let key = encoding::ed25519(ed25519).ok_or(WrongHello)?;
    let signature = encoding::signature(signature).ok_or(WrongHello)?;
    let text = hello_text(origin, portal, device_id, nonce);
    key.verify(text.as_bytes(), &signature)
        .map_err(|_| WrongHello)
}

/// What a `hello` frame signs. None of the parts can hold the separator: an origin and the ids have
/// none, and the nonce is the bridge's own.
pub(crate) fn hello_text(origin: &str, portal: &str, device_id: &str, nonce: &str) -> String {
    ["vestibule-hello-v1", origin, portal, device_id, nonce].join("|")
}

fn cross_signing_key<'a>(
    object: &'a Object,
    user_id: &str,
    name: &'static str,
    usage: &str,
) -> Result<&'a str, KeyError> {
    only(object, &["keys", "signatures", "usage", "user_id"], name)?;
    let usages = object.get("usage").and_then(Value::as_array).map(Vec::len);
    if usages != Some(1) {
        return Err(KeyError::Malformed(name));
    }
    if object.get("user_id").and_then(Value::as_str) != Some(user_id) {
        return Err(KeyError::Mismatch(name));
    }
    check_cross_signing_key(object, user_id, usage).ok_or(KeyError::Malformed(name))
}

/// Checks that the object carries the signatures of exactly these: a device by its id, whose own
/// signature was checked before, or cross-signing keys.
fn signatures(
    object: &Object,
    user_id: &str,
    signers: &[&str],
    name: &'static str,
) -> Result<(), KeyError> {
    let wrong = KeyError::Signature(name);
    let Some(all) = object.get("signatures") else {
        return if signers.is_empty() {
            Ok(())
        } else {
            Err(wrong)
        };
    };
    let all = all.as_object().ok_or(wrong)?;
    let own = all.get(user_id).and_then(Value::as_object).ok_or(wrong)?;
    if all.len() != 1 || own.len() != signers.len() {
        return Err(wrong);
    }
    for signer in signers {
        if !own.contains_key(&device_key_id(signer)) {
            return Err(wrong);
        }
    }
    // The last one is the cross-signing key; a device's own signature was checked with its keys.
    match signers.last() {
        Some(key) if !is_signed_by(object, user_id, key) => Err(wrong),
        _ => Ok(()),
    }
}

fn check_one_time_keys(
    device_ed25519: &str,
    user_id: &str,
    device_id: &str,
    one_time: &Object,
    fallback: &Object,
) -> Result<(), KeyError> {
    if one_time.len() > MAX_ONE_TIME_KEYS {
        return Err(KeyError::Count("one_time_keys"));
    }
    let signer = encoding::ed25519(device_ed25519).ok_or(KeyError::Malformed("device_keys"))?;
    let lists = [
        ("one_time_keys", one_time, None),
        ("fallback_keys", fallback, Some(true)),
    ];
    for (list, keys, is_fallback) in lists {
        for (id, key) in keys {
            let malformed = KeyError::Malformed(list);
            let key_id = id
                .strip_prefix(SIGNED_CURVE25519)
                .and_then(|id| id.strip_prefix(':'));
            if !key_id.is_some_and(is_key_id) {
                return Err(malformed);
            }
            let key = key.as_object().ok_or(malformed)?;
            only(key, &["fallback", "key", "signatures"], list)?;
            if key.get("fallback").map(Value::as_bool) != is_fallback.map(Some) {
                return Err(malformed);
            }
            check_one_time_key(key, user_id, device_id, &signer)
                .ok_or(KeyError::Signature(list))?;
            let signatures = key.get("signatures").and_then(Value::as_object);
            let own = signatures
                .and_then(|s| s.get(user_id))
                .and_then(Value::as_object);
            if signatures.map(Map::len) != Some(1) || own.map(Map::len) != Some(1) {
                return Err(KeyError::Signature(list));
            }
        }
    }
    Ok(())
}

fn is_key_id(id: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+/=_-.".contains(&b);
    (1..=64).contains(&id.len()) && id.bytes().all(allowed)
}

/// Refuses members that nobody asked for: they would be published in the device's name.
fn only(object: &Object, members: &[&str], name: &'static str) -> Result<(), KeyError> {
    let known = object
        .keys()
        .all(|member| members.contains(&member.as_str()));
    known.then_some(()).ok_or(KeyError::Malformed(name))
}

fn check_size(value: &Value) -> Result<(), KeyError> {
    let bytes = serde_json::to_vec(value).map_err(|_| KeyError::TooLarge)?;
    if bytes.len() > MAX_BYTES {
        Err(KeyError::TooLarge)
    } else {
        Ok(())
    }
}
