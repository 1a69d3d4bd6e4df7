//! Signed JSON objects (Matrix specification, appendices, "Signing JSON").

use serde_json::{Map, Value};
use vodozemac::{Ed25519PublicKey, Ed25519Signature};

use crate::{canonical, encoding};

/// Adds `sign`'s signature under `key_id`, for example `ed25519:ABCDEFGHIJ`. Objects made here hold
/// no numbers, so that they always have a canonical form; `None` would say otherwise.
pub(crate) fn sign(
    object: &mut Map<String, Value>,
    user_id: &str,
    key_id: &str,
    sign: impl Fn(&[u8]) -> Ed25519Signature,
) -> Option<()> {
    let signature = sign(canonical::for_signing(object)?.as_bytes()).to_base64();
    object
        .entry("signatures")
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()?
        .entry(user_id)
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()?
        .insert(key_id.to_owned(), Value::String(signature));
    Some(())
}

/// Whether the object carries a valid signature of `key`, stored under that user and key id.
pub(crate) fn verify(
    object: &Map<String, Value>,
    user_id: &str,
    key_id: &str,
    key: &Ed25519PublicKey,
) -> bool {
    let signature = object
        .get("signatures")
        .and_then(|s| s.get(user_id))
        .and_then(|s| s.get(key_id))
        .and_then(Value::as_str)
        .and_then(encoding::signature);
    match (signature, canonical::for_signing(object)) {
        (Some(signature), Some(text)) => key.verify(text.as_bytes(), &signature).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use serde_json::json;
    use vodozemac::Ed25519SecretKey;

    /// Test vectors of the specification's appendix, made with the seed it names.
    #[test]
    fn known_answers_of_the_specification() {
        // The specification writes the last character as 1, whose spare bits are not zero.
        let seed = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA0";
        let key = Ed25519SecretKey::from_base64(seed).unwrap();
        for (object, expected) in [
            (
                json!({}),
                "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ",
            ),
            (
                json!({"one": 1, "two": "Two"}),
                "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw",
            ),
        ] {
            let mut object = object.as_object().unwrap().clone();
            sign(&mut object, "domain", "ed25519:1", |b| key.sign(b)).unwrap();
            assert_eq!(object["signatures"]["domain"]["ed25519:1"], json!(expected));
            assert!(verify(&object, "domain", "ed25519:1", &key.public_key()));
            assert!(!verify(&object, "other", "ed25519:1", &key.public_key()));
            assert!(!verify(&object, "domain", "ed25519:2", &key.public_key()));
            object.insert("three".to_owned(), json!(3));
            assert!(!verify(&object, "domain", "ed25519:1", &key.public_key()));
        }
    }
}
