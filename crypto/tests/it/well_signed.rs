//! A guest that holds its own keys can sign anything; what it signs must still be usable.

use crate::common::raw::{Identity, RawDevice, sign};
use crate::common::*;
use crate::publishing::{published, verify};
use serde_json::{Value, json};
use vestibule_crypto::{KeyError, verify_one_time_keys};

#[test]
fn well_signed_nonsense_does_not_pass() {
    let ed25519 = vodozemac::Ed25519SecretKey::new();
    let public = ed25519.public_key().to_base64();
    let check = |key: Value| {
        let mut object = key;
        sign(&mut object, GUEST, "GUESTDEV", |b| ed25519.sign(b));
        let keys = json!({"signed_curve25519:AAAAAQ": object});
        verify_one_time_keys(&public, GUEST, "GUESTDEV", &keys, &json!({})).map(|_| ())
    };
    let good = vodozemac::Curve25519SecretKey::new();
    let good = vodozemac::Curve25519PublicKey::from(&good).to_base64();
    assert_eq!(check(json!({"key": good})), Ok(()));
    let small_order = vodozemac::base64_encode([0; 32]);
    assert!(check(json!({"key": small_order})).is_err());
    assert!(check(json!({"key": "AAAA"})).is_err());
    assert!(check(json!({"key": format!("{good}=")})).is_err());
    assert!(check(json!({"key": good, "n": 1})).is_err());
    assert!(check(json!({"key": good, "fallback": false})).is_err());
}

/// All the keys of a join, with those of the device altered before they are signed.
fn signed_with(change: impl Fn(&mut Value)) -> Result<(), KeyError> {
    let identity = Identity::new();
    let mut server = Server::default();
    identity.publish_for(&mut server, GUEST);
    let mut device = RawDevice::owned_by(GUEST, "GUESTDEV", None);
    let keys = &mut device.device_keys;
    change(keys);
    keys["signatures"] = json!({});
    sign(keys, GUEST, "GUESTDEV", |b| device.account.sign(b));
    let signer = &identity.self_signing;
    let signer_id = signer.public_key().to_base64();
    sign(keys, GUEST, &signer_id, |b| signer.sign(b));
    device.publish(&mut server);
    let mut user_signing = server.self_signing_keys[GUEST].clone();
    user_signing["usage"] = json!(["user_signing"]);
    user_signing["signatures"] = json!({});
    let master_id = identity.master.public_key().to_base64();
    sign(&mut user_signing, GUEST, &master_id, |b| {
        identity.master.sign(b)
    });
    let one_time_keys = server.one_time_keys.into_values().next().unwrap();
    let mut fallback = one_time_keys.values().next().unwrap().clone();
    fallback["fallback"] = json!(true);
    fallback["signatures"] = json!({});
    sign(&mut fallback, GUEST, "GUESTDEV", |b| device.account.sign(b));
    verify(&json!({
        "device_keys": device.device_keys,
        "master_key": server.master_keys[GUEST],
        "self_signing_key": server.self_signing_keys[GUEST],
        "user_signing_key": user_signing,
        "one_time_keys": one_time_keys,
        "fallback_keys": {"signed_curve25519:FALLBACK": fallback},
    }))
}

#[test]
fn a_device_has_two_keys_and_speaks_two_algorithms() {
    let (olm, megolm) = ("m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2");
    assert_eq!(signed_with(|_| ()), Ok(()));
    assert_eq!(
        signed_with(|keys| keys["algorithms"] = json!([megolm, olm])),
        Ok(())
    );
    let malformed = Err(KeyError::Malformed("device_keys"));
    for algorithms in [
        json!([olm, megolm, "m.olm.v2"]),
        json!([olm, "m.olm.v2"]),
        json!([olm]),
    ] {
        let changed = signed_with(|keys| keys["algorithms"] = algorithms.clone());
        assert_eq!(changed, malformed, "{algorithms}");
    }
    let more = signed_with(|keys| keys["keys"]["ed25519:MORE"] = json!("x"));
    assert_eq!(more, malformed);
}

#[test]
fn a_key_is_named_and_signed_by_its_device_alone() {
    let (_, keys) = published();
    let ed25519 = keys["device_keys"]["keys"]["ed25519:GUESTDEV"]
        .as_str()
        .unwrap();
    let own = keys["one_time_keys"].as_object().unwrap();
    let own = own.values().next().unwrap();
    let check = |id: &str, key: &Value| {
        let keys = json!({format!("signed_curve25519:{id}"): key});
        verify_one_time_keys(ed25519, GUEST, "GUESTDEV", &keys, &json!({})).map(|_| ())
    };
    for id in ["A", &"A".repeat(64), "Aa0+/=_-."] {
        assert_eq!(check(id, own), Ok(()), "{id}");
    }
    for id in ["", &"A".repeat(65), "A A", "ä", "A\"", "A\0"] {
        assert_eq!(
            check(id, own),
            Err(KeyError::Malformed("one_time_keys")),
            "{id}"
        );
    }
    for (user, signer) in [(GUEST, "ed25519:OTHER"), (HOST, "ed25519:GUESTDEV")] {
        let mut more = own.clone();
        more["signatures"][user][signer] = own["signatures"][GUEST]["ed25519:GUESTDEV"].clone();
        assert_eq!(check("A", &more), Err(KeyError::Signature("one_time_keys")));
    }
}
