//! Keys and signatures that only look like some.

use serde_json::{Map, Value, json};
use vestibule_crypto::{
    Blocked, Machine, Prepare, Refused, decode_base64, encode_base64, verify_hello,
    verify_one_time_keys, verify_public_keys,
};
use vodozemac::Ed25519PublicKey;

use crate::common::raw::*;
use crate::common::*;
use crate::vectors::bytes;

/// All encodings of Curve25519 keys with which every exchange yields zero: those of cr.yp.to/ecdh.html
/// and of libsodium's list, with and without the highest bit.
const SMALL_ORDER_CURVE25519: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// All encodings of Ed25519 points of small order: eight points, and six other spellings of them
/// (Chalkias, Garillot, Nikolaenko, "Taming the many EdDSAs", table 1, and libsodium's list).
const SMALL_ORDER_ED25519: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

/// The order of Ed25519's base point, least byte first (RFC 8032, section 5.1).
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

/// A signature that a lax verifier takes under a key of small order, for one text in eight at least:
/// R is the neutral point and S is zero.
fn forged() -> String {
    encode_base64(&[&[1u8][..], &[0; 63]].concat())
}

/// The same signature with the order added to S: the same number to whoever doesn't look closely.
fn malleated(signature: &str) -> String {
    let mut signature = decode_base64(signature).unwrap();
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(bytes(ORDER)) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(carry, 0);
    encode_base64(&signature)
}

/// Replaces the signature of that key by what `change` makes of it.
fn altered(object: &Value, user: &str, key_id: &str, change: impl Fn(&str) -> String) -> Value {
    let mut object = object.clone();
    let signature = &mut object["signatures"][user][format!("ed25519:{key_id}")];
    *signature = json!(change(signature.as_str().unwrap()));
    object
}

/// Each of them, and each with its highest bit set, as the key of a device, as a one-time key that is
/// claimed or uploaded, and as the key that an Olm message says it comes from.
#[test]
fn curve25519_keys_of_small_order_are_refused_everywhere() {
    for hex in SMALL_ORDER_CURVE25519 {
        let plain = bytes(hex);
        let mut high = plain.clone();
        high[31] |= 0x80;
        for key in [plain, high] {
            curve25519_key_is_refused(&encode_base64(&key));
        }
    }
}

fn curve25519_key_is_refused(key: &str) {
    let (mut server, mut guest, identity, mut raw) = guest_and_raw();
    let own = &identity.self_signing;
    let own_id = own.public_key().to_base64();

    let mut rogue = RawDevice::new("ROGUE", None);
    rogue.device_keys["keys"]["curve25519:ROGUE"] = json!(key);
    rogue.device_keys["signatures"] = json!({});
    sign(&mut rogue.device_keys, HOST, "ROGUE", |b| {
        rogue.account.sign(b)
    });
    sign(&mut rogue.device_keys, HOST, &own_id, |b| own.sign(b));
    rogue.publish(&mut server);
    assert_eq!(
        guest.receive_keys(&server.query(HOST), NOW).devices,
        1,
        "{key}"
    );

    let mut one_time = json!({"key": key});
    sign(&mut one_time, HOST, "RAW", |b| raw.account.sign(b));
    let upload = json!({"signed_curve25519:AAAAAQ": one_time});
    let ed25519 = raw.account.ed25519_key().to_base64();
    assert!(
        verify_one_time_keys(&ed25519, HOST, "RAW", &upload, &json!({})).is_err(),
        "{key}"
    );
    assert!(matches!(guest.prepare(NOW), Prepare::KeysClaim { .. }));
    let answer = json!({"one_time_keys": {HOST: {"RAW": upload}}, "failures": {}});
    guest.receive_claim(&answer, NOW);
    assert!(no_devices(&guest.prepare(NOW)), "{key}");

    let payload = raw.room_key(&guest);
    let mut event = raw.olm(&guest, &payload);
    event["content"]["sender_key"] = json!(key);
    let refused = guest.receive_olm(&event, NOW).refused;
    assert_eq!(refused, Some(Refused::Malformed), "{key}");

    let mut keys = join_keys();
    keys["device_keys"]["keys"]["curve25519:GUESTDEV"] = json!(key);
    assert!(verify_public_keys(&keys, GUEST, "GUESTDEV").is_err());
}

fn no_devices(need: &Prepare) -> bool {
    matches!(need, Prepare::Blocked { reason, .. } if *reason == Blocked::NoDevices)
}

fn join_keys() -> Value {
    let device = Device::new(GUEST, "GUESTDEV", HOST, NOW);
    serde_json::to_value(device.machine.public_keys().unwrap()).unwrap()
}

/// A key of small order has signed nearly anything. As a device's own key, as the key that signs
/// devices, as a master key, and as the key of a greeting it signs nothing here, over so many texts
/// that a lax verifier would take one.
#[test]
fn ed25519_keys_of_small_order_sign_nothing() {
    let mut guest = Device::alone(GUEST, "GUESTDEV", NOW);
    for hex in SMALL_ORDER_ED25519 {
        let key: [u8; 32] = bytes(hex).try_into().unwrap();
        assert!(
            Ed25519PublicKey::from_slice(&key).is_ok(),
            "{hex} is a point"
        );
        let key = encode_base64(&key);
        for text in 0..32 {
            small_order_key_is_refused(&mut guest, &key, text);
        }
    }
}

fn small_order_key_is_refused(guest: &mut Device, key: &str, text: u32) {
    let mut server = Server::default();
    let identity = Identity::new();
    identity.publish(&mut server);
    guest.meet_anew(HOST);

    // A device whose own key it is, signed by its owner.
    let mut device = RawDevice::new("ROGUE", None);
    device.device_keys["keys"]["ed25519:ROGUE"] = json!(key);
    device.device_keys["n"] = json!(text);
    let own = &identity.self_signing;
    let own_id = own.public_key().to_base64();
    device.device_keys["signatures"] = json!({HOST: {"ed25519:ROGUE": forged()}});
    sign(&mut device.device_keys, HOST, &own_id, |b| own.sign(b));
    device.publish(&mut server);
    assert_eq!(
        guest.receive_keys(&server.query(HOST), NOW).devices,
        0,
        "{key} {text}"
    );

    // The key that signs devices, itself well signed.
    let mut server = Server::default();
    identity.publish(&mut server);
    let signer = &mut server.self_signing_keys[HOST];
    *signer = json!({"user_id": HOST, "usage": ["self_signing"], "keys": {format!("ed25519:{key}"): key}});
    let master_id = identity.master.public_key().to_base64();
    sign(signer, HOST, &master_id, |b| identity.master.sign(b));
    let mut device = RawDevice::new("ROGUE", None);
    device.device_keys["n"] = json!(text);
    device.device_keys["signatures"] = json!({});
    sign(&mut device.device_keys, HOST, "ROGUE", |b| {
        device.account.sign(b)
    });
    device.device_keys["signatures"][HOST][format!("ed25519:{key}")] = json!(forged());
    device.publish(&mut server);
    guest.meet_anew(HOST);
    assert_eq!(guest.receive_keys(&server.query(HOST), NOW).devices, 1);
    assert!(no_devices(&guest.prepare(NOW)), "{key} {text}");

    // The master key.
    let mut server = Server::default();
    identity.publish(&mut server);
    server.master_keys[HOST] =
        json!({"user_id": HOST, "usage": ["master"], "keys": {format!("ed25519:{key}"): key}});
    let signer = &mut server.self_signing_keys[HOST];
    signer["n"] = json!(text);
    signer["signatures"] = json!({HOST: {format!("ed25519:{key}"): forged()}});
    RawDevice::new("ROGUE", Some(&identity)).publish(&mut server);
    guest.meet_anew(HOST);
    assert_eq!(guest.receive_keys(&server.query(HOST), NOW).devices, 1);
    assert!(no_devices(&guest.prepare(NOW)), "{key} {text}");

    // A browser's greeting, and its one-time keys.
    let nonce = text.to_string();
    let hello = verify_hello(
        key,
        "https://a.example",
        "01k",
        "GUESTDEV",
        &nonce,
        &forged(),
    );
    assert!(hello.is_err(), "{key} {text}");
    let one_time = json!({"key": encode_base64(&[9; 32]), "signatures": {GUEST: {"ed25519:GUESTDEV": forged()}}});
    let upload = json!({format!("signed_curve25519:{text}"): one_time});
    assert!(verify_one_time_keys(key, GUEST, "GUESTDEV", &upload, &json!({})).is_err());
}

/// A signature has one form: with the order added to S it is none, wherever it stands.
#[test]
fn signatures_that_are_not_canonical_are_refused() {
    let (mut server, mut guest, identity, raw) = guest_and_raw();
    let own_id = identity.self_signing.public_key().to_base64();
    let devices = server.device_keys.get_mut(HOST).unwrap();
    devices["RAW"] = altered(&raw.device_keys, HOST, "RAW", malleated);
    assert_eq!(guest.receive_keys(&server.query(HOST), NOW).devices, 0);
    let devices = server.device_keys.get_mut(HOST).unwrap();
    devices["RAW"] = altered(&raw.device_keys, HOST, &own_id, malleated);
    assert_eq!(guest.receive_keys(&server.query(HOST), NOW).devices, 1);
    assert!(no_devices(&guest.prepare(NOW)));
    let devices = server.device_keys.get_mut(HOST).unwrap();
    devices["RAW"] = raw.device_keys.clone();
    let master_id = identity.master.public_key().to_base64();
    let signer = &mut server.self_signing_keys[HOST];
    *signer = altered(signer, HOST, &master_id, malleated);
    guest.receive_keys(&server.query(HOST), NOW);
    assert!(no_devices(&guest.prepare(NOW)));

    let keys = join_keys();
    assert!(verify_public_keys(&keys, GUEST, "GUESTDEV").is_ok());
    let parts = ["device_keys", "self_signing_key", "user_signing_key"];
    for part in parts {
        for id in keys[part]["signatures"][GUEST].as_object().unwrap().keys() {
            let mut keys = keys.clone();
            let id = id.strip_prefix("ed25519:").unwrap();
            keys[part] = altered(&keys[part], GUEST, id, malleated);
            assert!(
                verify_public_keys(&keys, GUEST, "GUESTDEV").is_err(),
                "{part} {id}"
            );
        }
    }
    for part in ["one_time_keys", "fallback_keys"] {
        let mut keys = keys.clone();
        let list: &mut Map<String, Value> = keys[part].as_object_mut().unwrap();
        let key = list.values_mut().next().unwrap();
        *key = altered(key, GUEST, "GUESTDEV", malleated);
        assert!(
            verify_public_keys(&keys, GUEST, "GUESTDEV").is_err(),
            "{part}"
        );
    }

    let machine: &Machine = &guest.machine;
    let signature = machine.sign_hello("https://a.example", "01k", "nonce");
    let key = ed25519(&guest);
    let check = |s: &str| verify_hello(&key, "https://a.example", "01k", "GUESTDEV", "nonce", s);
    assert!(check(&signature).is_ok());
    assert!(check(&malleated(&signature)).is_err());
}
