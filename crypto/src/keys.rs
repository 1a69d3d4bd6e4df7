//! Public keys of devices and cross-signing identities, as the client-server API writes them
//! (Matrix specification, "End-to-end encryption", "Key algorithms" and "Cross-signing").

use serde_json::{Map, Value};
use vodozemac::Ed25519PublicKey;

use crate::object::text;
use crate::{MEGOLM, OLM, encoding, signing};

/// The algorithm under which one-time and fallback keys are signed and claimed.
pub(crate) const SIGNED_CURVE25519: &str = "signed_curve25519";

/// A device whose keys are signed by itself and stand where they claim to belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckedDevice {
    pub(crate) device_id: String,
    pub(crate) ed25519: String,
    pub(crate) curve25519: String,
    /// Speaks Olm and Megolm.
    pub(crate) capable: bool,
}

/// Checks a device-keys object: its owner, its two keys, its own signature. The device id is taken
/// from the object; the caller compares it with the place where it found it.
pub(crate) fn check_device(object: &Map<String, Value>, user_id: &str) -> Option<CheckedDevice> {
    if text(object, "user_id")? != user_id {
        return None;
    }
    let device_id = text(object, "device_id")?;
    let keys = object.get("keys")?.as_object()?;
    let key_id = device_key_id(device_id);
    let ed25519 = text(keys, &key_id)?;
    let curve25519 = text(keys, &format!("curve25519:{device_id}"))?;
    encoding::curve25519(curve25519)?;
    if !signing::verify(object, user_id, &key_id, &encoding::ed25519(ed25519)?) {
        return None;
    }
    let algorithms = object.get("algorithms")?.as_array()?;
    let speaks = |name: &str| algorithms.iter().any(|a| a.as_str() == Some(name));
    Some(CheckedDevice {
        device_id: device_id.to_owned(),
        ed25519: ed25519.to_owned(),
        curve25519: curve25519.to_owned(),
        capable: speaks(OLM) && speaks(MEGOLM),
    })
}

/// Checks a cross-signing key object (owner, usage, exactly one key under its own name) and gives
/// the key back as base64.
pub(crate) fn check_cross_signing_key<'a>(
    object: &'a Map<String, Value>,
    user_id: &str,
    usage: &str,
) -> Option<&'a str> {
    if text(object, "user_id")? != user_id {
        return None;
    }
    let usages = object.get("usage")?.as_array()?;
    if !usages.iter().any(|u| u.as_str() == Some(usage)) {
        return None;
    }
    let keys = object.get("keys")?.as_object()?;
    let (key_id, key) = keys.iter().next()?;
    let key = key.as_str()?;
    encoding::ed25519(key)?;
    (keys.len() == 1 && *key_id == device_key_id(key)).then_some(key)
}

/// Whether the object is signed by the cross-signing key of that base64.
pub(crate) fn is_signed_by(object: &Map<String, Value>, user_id: &str, key: &str) -> bool {
    encoding::ed25519(key)
        .is_some_and(|public| signing::verify(object, user_id, &device_key_id(key), &public))
}

/// Checks a one-time or fallback key against its device, and gives the Curve25519 key back.
pub(crate) fn check_one_time_key<'a>(
    object: &'a Map<String, Value>,
    user_id: &str,
    device_id: &str,
    ed25519: &Ed25519PublicKey,
) -> Option<&'a str> {
    let key = text(object, "key")?;
    encoding::curve25519(key)?;
    signing::verify(object, user_id, &device_key_id(device_id), ed25519).then_some(key)
}

/// The name of an Ed25519 key: of a device by its id, of a cross-signing key by itself.
pub(crate) fn device_key_id(id: &str) -> String {
    format!("ed25519:{id}")
}
