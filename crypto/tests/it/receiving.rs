//! What a machine refuses to take in, one test for each check.

use std::collections::BTreeMap;

use crate::common::raw::*;
use crate::common::*;
use serde_json::{Value, json};
use vestibule_crypto::{Refused, Undecryptable};

/// An honest room key with one thing changed is refused for this reason, and opens nothing.
pub fn refused(change: impl Fn(&mut Value), expected: Refused) {
    let (mut server, mut guest, _, mut raw) = guest_and_raw();
    raw.connect(&mut server, &guest);
    let mut payload = raw.room_key(&guest);
    change(&mut payload);
    let event = raw.olm(&guest, &payload);
    assert_eq!(guest.receive_olm(&event, NOW).refused, Some(expected));
    let message = raw.text("$1", "hello");
    assert_eq!(reason(&guest.event(&message)), Undecryptable::NoKey);
}

#[test]
fn an_honest_room_key_is_taken() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    raw.share(&mut guest);
    let event = raw.text("$1", "hello");
    assert_eq!(body(&guest.event(&event)), "hello");
}

#[test]
fn the_payload_names_another_sender() {
    refused(
        |p| p["sender"] = json!("@mallory:example.org"),
        Refused::Mismatch,
    );
    refused(
        |p| drop(p.as_object_mut().unwrap().remove("sender")),
        Refused::Mismatch,
    );
}

#[test]
fn the_payload_is_for_another_recipient() {
    refused(
        |p| p["recipient"] = json!("@_vestibule_2:example.org"),
        Refused::Mismatch,
    );
}

#[test]
fn the_payload_is_for_another_device() {
    let other = vodozemac::Ed25519SecretKey::new().public_key().to_base64();
    refused(
        |p| p["recipient_keys"]["ed25519"] = json!(other),
        Refused::Mismatch,
    );
    refused(
        |p| drop(p.as_object_mut().unwrap().remove("recipient_keys")),
        Refused::Mismatch,
    );
}

#[test]
fn the_payload_names_other_keys_than_the_device_has() {
    let other = vodozemac::Ed25519SecretKey::new().public_key().to_base64();
    refused(|p| p["keys"]["ed25519"] = json!(other), Refused::DeviceKeys);
    refused(
        |p| {
            p["keys"]["ed25519"] = json!(other);
            p.as_object_mut().unwrap().remove("sender_device_keys");
        },
        Refused::UnknownDevice,
    );
}

#[test]
fn the_session_id_is_not_that_of_the_key() {
    refused(
        |p| p["content"]["session_id"] = json!("another"),
        Refused::Mismatch,
    );
}

#[test]
fn a_room_key_that_is_none() {
    refused(
        |p| p["content"]["session_key"] = json!("AAAA"),
        Refused::Malformed,
    );
    refused(
        |p| p["content"]["algorithm"] = json!("m.megolm.v2"),
        Refused::Malformed,
    );
    refused(|p| p["content"] = json!([]), Refused::Malformed);
    refused(|p| *p = json!([1]), Refused::Malformed);
}

#[test]
fn an_event_that_is_not_the_hosts_is_not_even_decrypted() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    let payload = raw.room_key(&guest);
    let mut event = raw.olm(&guest, &payload);
    let before = guest.records.clone();
    event["sender"] = json!("@mallory:example.org");
    assert_eq!(
        guest.receive_olm(&event, NOW).refused,
        Some(Refused::Stranger)
    );
    assert_eq!(guest.records, before);
    // The one-time key is still there for the host.
    event["sender"] = json!(HOST);
    assert_eq!(guest.receive_olm(&event, NOW).refused, None);
}

#[test]
fn a_message_for_another_device() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    let payload = raw.room_key(&guest);
    let mut event = raw.olm(&guest, &payload);
    let own = event["content"]["ciphertext"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap()
        .clone();
    event["content"]["ciphertext"] = json!({"another": own});
    assert_eq!(
        guest.receive_olm(&event, NOW).refused,
        Some(Refused::NotForMe)
    );
    assert!(!guest.machine.wants_healing(NOW));
}

/// That a device may need a new session is all that an unreadable message leaves.
fn without_healing(guest: &Device) -> BTreeMap<String, Vec<u8>> {
    let mut records = guest.records.clone();
    assert!(records.remove("healing").is_some());
    records
}

#[test]
fn a_broken_pre_key_message_does_not_burn_the_one_time_key() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    let payload = raw.room_key(&guest);
    let good = raw.olm(&guest, &payload);
    let mut broken = good.clone();
    let key = curve25519(&guest).to_base64();
    let text = good["content"]["ciphertext"][&key]["body"]
        .as_str()
        .unwrap();
    let mut bytes = vodozemac::base64_decode(text).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    broken["content"]["ciphertext"][&key]["body"] = json!(vodozemac::base64_encode(bytes));
    let before = guest.records.clone();
    assert_eq!(guest.receive_olm(&broken, NOW).refused, Some(Refused::Olm));
    assert_eq!(without_healing(&guest), before);
    assert_eq!(guest.receive_olm(&good, NOW).refused, None);
}

#[test]
fn a_replayed_pre_key_message_fails_and_leaves_the_session_working() {
    let (mut server, mut guest, _, mut raw) = guest_and_raw();
    let payload = raw.room_key(&guest);
    let first = raw.olm(&guest, &payload);
    assert_eq!(guest.receive_olm(&first, NOW).refused, None);
    assert_eq!(
        settle(&mut server, &mut guest, NOW),
        vestibule_crypto::Prepare::Ready
    );
    let before = guest.records.clone();
    assert_eq!(guest.receive_olm(&first, NOW).refused, Some(Refused::Olm));
    guest.restart();
    assert_eq!(guest.receive_olm(&first, NOW).refused, Some(Refused::Olm));
    assert_eq!(without_healing(&guest), before);
    let second = raw.olm(&guest, &payload);
    assert_eq!(guest.receive_olm(&second, NOW).refused, None);
}

#[test]
fn a_session_stays_with_the_device_it_came_from() {
    let (mut server, mut guest, identity, mut raw) = guest_and_raw();
    raw.share(&mut guest);
    let mut second = RawDevice::new("SECOND", Some(&identity));
    second.publish(&mut server);
    second.connect(&mut server, &guest);
    guest.receive_keys(&server.query(HOST), NOW);
    let mut payload = second.room_key(&guest);
    payload["content"] = raw.room_key(&guest)["content"].clone();
    let event = second.olm(&guest, &payload);
    assert_eq!(
        guest.receive_olm(&event, NOW).refused,
        Some(Refused::Conflict)
    );
    let event = raw.text("$1", "hello");
    assert_eq!(body(&guest.event(&event)), "hello");
}

#[test]
fn a_key_of_an_unsigned_device_waits_until_its_owner_signs_it() {
    let (mut server, mut guest, identity, _) = guest_and_raw();
    let mut raw = RawDevice::new("NEW", None);
    raw.publish(&mut server);
    raw.connect(&mut server, &guest);
    guest.keys_changed(HOST);
    assert!(
        guest.machine.wants_keys().is_empty(),
        "nothing waits for it"
    );
    guest.receive_keys(&server.query(HOST), NOW);
    let payload = raw.room_key(&guest);
    let event = raw.olm(&guest, &payload);
    assert_eq!(
        guest.receive_olm(&event, NOW).refused,
        Some(Refused::UnknownDevice)
    );
    assert_eq!(guest.machine.wants_keys(), [HOST]);
    let message = raw.text("$1", "hello");
    assert_eq!(reason(&guest.event(&message)), Undecryptable::NoKey);
    assert_eq!(guest.receive_keys(&server.query(HOST), NOW).items, []);

    let key = &identity.self_signing;
    let mut signed = raw.device_keys.clone();
    sign(&mut signed, HOST, &key.public_key().to_base64(), |b| {
        key.sign(b)
    });
    server
        .device_keys
        .get_mut(HOST)
        .unwrap()
        .insert("NEW".to_owned(), signed);
    guest.restart();
    let received = guest.receive_keys(&server.query(HOST), NOW);
    assert_eq!(body(&received.items[0]), "hello");
    assert!(guest.machine.wants_keys().is_empty());
}

/// A one-time key is gone after its first use, a fallback key isn't.
#[test]
fn a_pre_key_message_over_the_fallback_key_is_not_taken_twice() {
    let (mut server, mut guest, _, mut raw) = guest_and_raw();
    server
        .one_time_keys
        .remove(&(GUEST.to_owned(), "GUESTDEV".to_owned()));
    raw.connect(&mut server, &guest);
    let payload = raw.room_key(&guest);
    let event = raw.olm(&guest, &payload);
    assert_eq!(guest.receive_olm(&event, NOW).refused, None);
    let before = guest.records.clone();
    assert_eq!(guest.receive_olm(&event, NOW).refused, Some(Refused::Olm));
    assert_eq!(without_healing(&guest), before);
}

#[test]
fn a_new_device_that_brings_its_owners_signature_is_trusted_at_once() {
    let (mut server, mut guest, identity, _) = guest_and_raw();
    let mut raw = RawDevice::new("NEW", Some(&identity));
    raw.publish(&mut server);
    raw.connect(&mut server, &guest);
    raw.share(&mut guest);
    let event = raw.text("$1", "hello");
    assert_eq!(body(&guest.event(&event)), "hello");
}

#[test]
fn a_device_signed_by_another_identity_is_not_trusted() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    let mut raw = RawDevice::new("NEW", Some(&Identity::new()));
    raw.publish(&mut server);
    raw.connect(&mut server, &guest);
    let payload = raw.room_key(&guest);
    let event = raw.olm(&guest, &payload);
    assert_eq!(
        guest.receive_olm(&event, NOW).refused,
        Some(Refused::UnknownDevice)
    );
    guest.receive_keys(&server.query(HOST), NOW);
    let message = raw.text("$1", "hello");
    assert_eq!(reason(&guest.event(&message)), Undecryptable::NoKey);
}
