//! The host's identity and devices: what is pinned, what is a change, what doesn't count.

use crate::common::raw::*;
use crate::common::*;
use serde_json::{Value, json};
use vestibule_crypto::{Blocked, CryptoError, HostIdentity, Prepare};

fn blocked(reason: Blocked) -> Prepare {
    let users = vec![HOST.to_owned()];
    Prepare::Blocked { reason, users }
}

#[test]
fn a_changed_identity_stops_sending_until_it_is_accepted() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    settle(&mut server, &mut guest, NOW);
    let first = session_of(&guest.encrypt("x", NOW));
    let other = Identity::new();
    other.publish(&mut server);
    let mut new = RawDevice::new("NEW", Some(&other));
    new.publish(&mut server);
    new.connect(&mut server, &guest);
    let answer = guest.receive_keys(&server.query(HOST), NOW);
    assert_eq!(answer.identity, HostIdentity::Changed);
    assert_eq!(guest.prepare(NOW), blocked(Blocked::IdentityChanged));
    guest.restart();
    assert_eq!(guest.prepare(NOW), blocked(Blocked::IdentityChanged));
    assert_eq!(
        guest.try_encrypt("x", NOW).unwrap_err(),
        CryptoError::NotReady
    );
    let again = guest.receive_keys(&server.query(HOST), NOW);
    assert_eq!(again.identity, HostIdentity::Changed);
    // A message of the new identity waits as well.
    let payload = new.room_key(&guest);
    let event = new.olm(&guest, &payload);
    assert!(guest.receive_olm(&event, NOW).refused.is_some());
    let message = new.text("$1", "it is me");
    reason(&guest.event(&message));

    assert_eq!(body(&guest.accept(HOST)[0]), "it is me");
    server.inbox.clear();
    assert_eq!(settle(&mut server, &mut guest, NOW), Prepare::Ready);
    assert_ne!(session_of(&guest.encrypt("x", NOW)), first);
    assert_eq!(inbox(&server, "NEW"), ["m.room.encrypted"]);
    assert_eq!(inbox(&server, "RAW"), ["m.room_key.withheld"]);
}

#[test]
fn an_identity_that_comes_back_is_the_same() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    let (master, signing) = (server.master_keys.clone(), server.self_signing_keys.clone());
    Identity::new().publish(&mut server);
    assert_eq!(
        guest.receive_keys(&server.query(HOST), NOW).identity,
        HostIdentity::Changed
    );
    (server.master_keys, server.self_signing_keys) = (master, signing);
    assert_eq!(
        guest.receive_keys(&server.query(HOST), NOW).identity,
        HostIdentity::Same
    );
    assert_eq!(settle(&mut server, &mut guest, NOW), Prepare::Ready);
}

/// A homeserver that hides the identity must not make its own device count as signed.
#[test]
fn an_identity_that_vanishes_is_a_change() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    server.without_cross_signing(HOST);
    RawDevice::new("ROGUE", None).publish(&mut server);
    assert_eq!(
        guest.receive_keys(&server.query(HOST), NOW).identity,
        HostIdentity::Changed
    );
    assert_eq!(guest.prepare(NOW), blocked(Blocked::IdentityChanged));
}

#[test]
fn an_invalid_identity_is_no_answer() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    let before = guest.records.clone();
    server.master_keys[HOST]["usage"] = json!(["self_signing"]);
    let error = guest
        .machine
        .receive_keys(&server.query(HOST), NOW)
        .unwrap_err();
    assert_eq!(error, CryptoError::NoKeys);
    let error = guest
        .machine
        .receive_keys(&json!({"device_keys": {}}), NOW)
        .unwrap_err();
    assert_eq!(error, CryptoError::NoKeys);
    assert_eq!(guest.records, before);
}

#[test]
fn a_self_signing_key_that_the_master_key_has_not_signed_signs_nothing() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    let rogue = Identity::new();
    let master = server.master_keys.clone();
    rogue.publish(&mut server);
    server.master_keys = master;
    RawDevice::new("ROGUE", Some(&rogue)).publish(&mut server);
    assert_eq!(
        guest.receive_keys(&server.query(HOST), NOW).identity,
        HostIdentity::Same
    );
    assert_eq!(
        settle(&mut server, &mut guest, NOW),
        blocked(Blocked::NoDevices)
    );
}

/// Each of these devices is left out as if it weren't there: CVE-2022-39249 and its kin.
#[test]
fn devices_whose_keys_are_wrong_do_not_count() {
    let changes: [fn(&mut Value); 6] = [
        |d| d["user_id"] = json!("@mallory:example.org"),
        |d| d["device_id"] = json!("OTHER"),
        |d| d["keys"]["curve25519:ROGUE"] = json!("A".repeat(43)),
        |d| d["keys"]["ed25519:ROGUE"] = json!("A".repeat(44)),
        |d| d["signatures"] = json!({}),
        |d| *d = json!("x"),
    ];
    for change in changes {
        let (mut server, mut guest, identity, _) = guest_and_raw();
        let mut rogue = RawDevice::new("ROGUE", Some(&identity));
        change(&mut rogue.device_keys);
        rogue.publish(&mut server);
        assert_eq!(guest.receive_keys(&server.query(HOST), NOW).devices, 1);
        settle(&mut server, &mut guest, NOW);
        assert!(inbox(&server, "ROGUE").is_empty());
    }
    // A good device in the place of another.
    let (mut server, mut guest, identity, _) = guest_and_raw();
    let other = RawDevice::new("OTHER", Some(&identity));
    let devices = server.device_keys.get_mut(HOST).unwrap();
    devices.insert("ROGUE".to_owned(), other.device_keys);
    assert_eq!(guest.receive_keys(&server.query(HOST), NOW).devices, 1);
}

/// It couldn't read the key, nor a word about it.
#[test]
fn a_device_that_does_not_speak_both_algorithms_gets_nothing() {
    let (olm, megolm) = ("m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2");
    for algorithms in [
        vec![],
        vec![olm],
        vec![megolm],
        vec!["m.olm.v2", "m.megolm.v2"],
    ] {
        let (mut server, mut guest, identity, _) = guest_and_raw();
        let mut mute = RawDevice::new("MUTE", None);
        let keys = &mut mute.device_keys;
        keys["algorithms"] = json!(algorithms);
        keys["signatures"] = json!({});
        sign(keys, HOST, "MUTE", |b| mute.account.sign(b));
        let signer = &identity.self_signing;
        let signer_id = signer.public_key().to_base64();
        sign(keys, HOST, &signer_id, |b| signer.sign(b));
        mute.publish(&mut server);
        assert_eq!(guest.receive_keys(&server.query(HOST), NOW).devices, 2);
        assert_eq!(settle(&mut server, &mut guest, NOW), Prepare::Ready);
        assert!(inbox(&server, "MUTE").is_empty(), "{algorithms:?}");
    }
}

#[test]
fn a_known_device_id_with_new_unsigned_keys_keeps_its_old_ones() {
    let mut server = Server::default();
    let mut guest = Device::new(GUEST, "GUESTDEV", HOST, NOW);
    guest.publish(&mut server);
    let mut first = RawDevice::new("A", None);
    first.publish(&mut server);
    first.connect(&mut server, &guest);
    guest.receive_keys(&server.query(HOST), NOW);
    let mut second = RawDevice::new("A", None);
    second.publish(&mut server);
    second.connect(&mut server, &guest);
    guest.receive_keys(&server.query(HOST), NOW);
    let payload = second.room_key(&guest);
    let event = second.olm(&guest, &payload);
    assert!(guest.receive_olm(&event, NOW).refused.is_some());
    first.share(&mut guest);
}

/// Either key alone makes it another device.
#[test]
fn a_known_device_id_with_one_new_key_keeps_its_old_ones() {
    for name in ["ed25519:A", "curve25519:A"] {
        let mut server = Server::default();
        let mut guest = Device::new(GUEST, "GUESTDEV", HOST, NOW);
        guest.publish(&mut server);
        let mut first = RawDevice::new("A", None);
        first.publish(&mut server);
        first.connect(&mut server, &guest);
        guest.receive_keys(&server.query(HOST), NOW);
        let other = RawDevice::new("A", None);
        let mut keys = first.device_keys.clone();
        keys["keys"][name] = other.device_keys["keys"][name].clone();
        keys["signatures"] = json!({});
        let signer = if name == "ed25519:A" { &other } else { &first };
        sign(&mut keys, HOST, "A", |b| signer.account.sign(b));
        let devices = server.device_keys.get_mut(HOST).unwrap();
        devices.insert("A".to_owned(), keys);
        assert_eq!(guest.receive_keys(&server.query(HOST), NOW).devices, 1);
        guest.restart();
        first.share(&mut guest);
    }
}

/// The signature was for the keys that are not published any more.
#[test]
fn a_signed_device_that_seems_to_have_new_unsigned_keys_is_trusted_no_more() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    assert_eq!(settle(&mut server, &mut guest, NOW), Prepare::Ready);
    RawDevice::new("RAW", None).publish(&mut server);
    assert_eq!(guest.receive_keys(&server.query(HOST), NOW).devices, 1);
    let no_devices = blocked(Blocked::NoDevices);
    assert_eq!(settle(&mut server, &mut guest, NOW), no_devices);
}
