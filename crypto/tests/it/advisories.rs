//! What the advisories of other clients teach, each under its number.

use serde_json::{Value, json};
use vestibule_crypto::{CryptoError, HostIdentity, Prepare, Refused, Undecryptable};

use crate::common::raw::*;
use crate::common::*;
use crate::receiving::refused;

const BOB: &str = "@bob:example.org";

/// matrix-js-sdk: ids of devices and of cross-signing keys were taken for each other. A homeserver
/// gives its device the name of the key that signs devices, and a device's key out as the master key.
#[test]
fn cve_2022_39250_ids_of_devices_and_of_cross_signing_keys_are_not_confused() {
    let (mut server, mut guest, identity, raw) = guest_and_raw();
    let signer = identity.self_signing.public_key().to_base64();
    let mut rogue = RawDevice::new(&signer, None);
    rogue.publish(&mut server);
    assert_eq!(guest.receive_keys(&server.query(HOST), NOW).devices, 2);
    assert_eq!(settle(&mut server, &mut guest, NOW), Prepare::Ready);
    assert_eq!(inbox(&server, &signer), ["m.room_key.withheld"]);

    let mut newcomer = Device::new(GUEST, "GUESTDEV", HOST, NOW);
    let key = raw.account.ed25519_key().to_base64();
    server.master_keys[HOST]["keys"] = json!({"ed25519:RAW": key});
    let answer = newcomer.machine.receive_keys(&server.query(HOST), NOW);
    assert_eq!(answer.unwrap_err(), CryptoError::NoKeys);
}

/// matrix-js-sdk: Megolm was taken where Olm must be, so that the homeserver could send keys. A room
/// key outside Olm is nobody's word but the homeserver's.
#[test]
fn cve_2022_39251_a_room_key_that_is_not_over_olm() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    let content = raw.room_key(&guest)["content"].clone();
    let bare = json!({"type": "m.room_key", "sender": HOST, "content": content});
    assert_eq!(
        guest.receive_olm(&bare, NOW).refused,
        Some(Refused::Ignored)
    );
    // Inside Megolm, as a to-device event and as a room event.
    raw.share(&mut guest);
    let other = RawDevice::new("RAW", None);
    let payload = other.room_key(&guest);
    let mut inside = raw.megolm(
        "$1",
        &json!({"type": "m.room_key", "room_id": ROOM,
        "content": payload["content"]}),
    );
    assert!(matches!(
        guest.event(&inside),
        vestibule_crypto::Item::Unsupported { .. }
    ));
    inside["event_id"] = json!("$2");
    assert_eq!(
        guest.receive_olm(&inside, NOW).refused,
        Some(Refused::Ignored)
    );
}

/// matrix-rust-sdk, and CVE-2022-39249 of matrix-js-sdk: forwarded keys were taken from anybody. Here
/// keys come only as `m.room_key`: never forwarded, asked for, or as a bundle of history.
#[test]
fn cve_2022_39252_keys_that_are_forwarded_asked_for_or_bundled_are_ignored() {
    for kind in [
        "m.forwarded_room_key",
        "m.room_key_request",
        "io.element.msc4268.room_key_bundle",
        "m.room_key.bundle",
        "m.secret.send",
    ] {
        refused(|p| p["type"] = json!(kind), Refused::Ignored);
    }
}

/// matrix-sdk-crypto: the sender of an event was not compared with the owner of its session.
#[test]
fn cve_2025_48937_the_sender_of_an_event_is_not_the_owner_of_its_session() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    raw.share(&mut guest);
    let mut event = raw.text("$1", "hello");
    guest.meet(BOB);
    event["sender"] = json!(BOB);
    assert_eq!(reason(&guest.event(&event)), Undecryptable::Mismatch);
    event["sender"] = json!("@stranger:example.org");
    let step = guest.machine.receive_event(ROOM, &event).unwrap();
    assert_eq!(guest.step(step), []);
    event["sender"] = json!(HOST);
    assert_eq!(body(&guest.event(&event)), "hello");
}

/// matrix-sdk-crypto: `sender_device_keys` of another user, or of another device.
#[test]
fn cve_2026_45056_sender_device_keys_of_another_user_or_device() {
    refused(
        |p| p["sender_device_keys"]["user_id"] = json!("@mallory:example.org"),
        Refused::DeviceKeys,
    );
    let other = RawDevice::new("RAW", None);
    refused(
        |p| p["sender_device_keys"] = other.device_keys.clone(),
        Refused::DeviceKeys,
    );
    // Well signed, by their own owner.
    let bob = Device::alone(BOB, "RAW", NOW);
    let bobs = serde_json::to_value(bob.machine.public_keys().unwrap()).unwrap();
    refused(
        |p| p["sender_device_keys"] = bobs["device_keys"].clone(),
        Refused::DeviceKeys,
    );
    refused(
        |p| p["sender_device_keys"] = json!("x"),
        Refused::DeviceKeys,
    );
    refused(
        |p| p["sender_device_keys"]["algorithms"] = json!(["m.olm.v1.curve25519-aes-sha2"]),
        Refused::DeviceKeys,
    );
}

/// mautrix/python #186: a device counted as one that has the key although its claim had failed.
#[test]
fn mautrix_python_186_a_device_without_a_claimed_key_is_not_shared_with_and_tried_again() {
    let (mut server, mut guest, identity, _) = guest_and_raw();
    let mut silent = RawDevice::new("SILENT", Some(&identity));
    silent.publish(&mut server);
    let keys = server
        .one_time_keys
        .remove(&(HOST.to_owned(), "SILENT".to_owned()))
        .unwrap();
    guest.receive_keys(&server.query(HOST), NOW);
    assert_eq!(settle(&mut server, &mut guest, NOW), Prepare::Ready);
    assert!(inbox(&server, "SILENT").is_empty());
    // Not at once, but after a while; meanwhile the other device can be written to.
    assert_eq!(guest.prepare(NOW + 29 * SECOND), Prepare::Ready);
    let again = Prepare::KeysClaim {
        devices: just(HOST, "SILENT"),
    };
    assert_eq!(guest.prepare(NOW + 30 * SECOND), again);
    server
        .one_time_keys
        .insert((HOST.to_owned(), "SILENT".to_owned()), keys);
    settle(&mut server, &mut guest, NOW + 30 * SECOND);
    assert_eq!(inbox(&server, "SILENT"), ["m.room.encrypted"]);
}

/// One-time keys that were made anew after a crash would leave the homeserver with keys whose secrets
/// are gone. Of an upload whose answer never came, each key still opens what was written to it, and
/// one that was used meanwhile is not offered a second time.
#[test]
fn one_time_keys_survive_a_crash_during_their_upload() {
    let (mut server, _, _, mut raw) = guest_and_raw();
    let mut guest = Device::new(GUEST, "GUESTDEV", HOST, NOW);
    let published = serde_json::to_value(guest.machine.public_keys().unwrap()).unwrap();
    server.one_time_keys.clear();
    server.publish(GUEST, "GUESTDEV", &published);
    guest.restart();
    guest.receive_keys(&server.query(HOST), NOW);
    let before = keys_to_upload(&mut guest);
    assert_eq!(before, published["one_time_keys"]);
    raw.connect(&mut server, &guest);
    raw.share(&mut guest);
    let event = raw.text("$1", "by a key that nobody said was published");
    body(&guest.event(&event));
    guest.restart();
    let after = keys_to_upload(&mut guest);
    let used: Vec<&String> = before
        .as_object()
        .unwrap()
        .keys()
        .filter(|id| after.get(id).is_none())
        .collect();
    assert_eq!(used.len(), 1);
    assert!(!server.one_time_keys[&place()].contains_key(used[0]));
    // None that the homeserver knows has changed: it would refuse it.
    server.upload(
        place(),
        &json!({"one_time_keys": after, "fallback_keys": {}}),
    );
}

fn place() -> (String, String) {
    (GUEST.to_owned(), "GUESTDEV".to_owned())
}

fn keys_to_upload(guest: &mut Device) -> Value {
    let step = guest.machine.one_time_keys(50, true, NOW).unwrap();
    let upload = guest.step(step).unwrap();
    Value::Object(upload.one_time_keys)
}

/// The homeserver says that Alice wrote what Bob's device encrypted.
#[test]
fn a_room_key_of_somebody_else_is_not_the_hosts() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    let mut bob = Device::new(BOB, "BOBDEV", GUEST, NOW);
    bob.publish(&mut server);
    guest.meet(BOB);
    let step = guest.machine.receive_keys(&server.query(BOB), NOW).unwrap();
    assert_eq!(guest.step(step).peers[0].identity, HostIdentity::First);
    settle(&mut server, &mut bob, NOW);
    let mut event = server.take(GUEST, "GUESTDEV").remove(0);
    event["sender"] = json!(HOST);
    assert_eq!(
        guest.receive_olm(&event, NOW).refused,
        Some(Refused::Mismatch)
    );
}
