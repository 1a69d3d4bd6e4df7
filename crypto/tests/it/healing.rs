//! Olm sessions that one side lost, and how the two find together again.

use crate::common::raw::{RawDevice, guest_and_raw};
use crate::common::*;
use serde_json::{Value, json};
use vestibule_crypto::{Prepare, Refused, Undecryptable};

/// Host and guest have talked, and then the guest's browser lost its Olm sessions.
fn wedged() -> (Server, Device, Device) {
    let (mut server, mut guest, mut host) = pair();
    let first = send(&mut server, &mut host, "$1", "first", NOW);
    deliver(&mut server, &mut guest, NOW);
    assert_eq!(body(&guest.event(&first)), "first");
    guest.records.retain(|key, _| !key.starts_with("olm"));
    guest.restart();
    (server, guest, host)
}

/// The next message begins a new Megolm session. A restart alone rotates nothing.
fn rotate(device: &mut Device) {
    device.records.retain(|key, _| !key.starts_with("outbound"));
    device.restart();
}

/// A message of the host under a new Megolm session, whose key the guest can't read.
fn unreadable(server: &mut Server, guest: &mut Device, host: &mut Device, now: u64) -> Value {
    rotate(host);
    let message = send(server, host, "$2", "second", now);
    let received = deliver(server, guest, now);
    assert_eq!(received[0].refused, Some(Refused::Olm));
    message
}

fn heal(guest: &mut Device, now: u64) -> Prepare {
    let step = guest.machine.heal(now).unwrap();
    guest.step(step)
}

fn claim(server: &mut Server, guest: &mut Device, now: u64) {
    let Prepare::KeysClaim { devices } = heal(guest, now) else {
        panic!("no claim");
    };
    assert_eq!(devices, just(HOST, "HOSTDEV"));
    let answer = server.claim_all(&devices);
    guest.receive_claim(&answer, now);
}

/// The first message of the new session, as the guest hands it out.
fn greeting(guest: &mut Device, now: u64) -> (String, serde_json::Map<String, Value>) {
    let Prepare::ToDevice {
        id,
        event_type,
        messages,
    } = heal(guest, now)
    else {
        panic!("no message");
    };
    assert_eq!(event_type, "m.room.encrypted");
    (id, messages)
}

#[test]
fn a_lost_session_is_replaced_and_the_room_key_comes_again() {
    let (mut server, mut guest, mut host) = wedged();
    let second = unreadable(&mut server, &mut guest, &mut host, NOW);
    assert_eq!(reason(&guest.event(&second)), Undecryptable::NoKey);
    assert!(guest.machine.wants_healing(NOW));
    claim(&mut server, &mut guest, NOW);
    let (id, messages) = greeting(&mut guest, NOW);
    server.send(GUEST, "m.room.encrypted", &messages);
    guest.stored(&id);
    assert_eq!(heal(&mut guest, NOW), Prepare::Ready);
    assert!(!guest.machine.wants_healing(NOW));

    assert_eq!(deliver(&mut server, &mut host, NOW)[0].refused, None);
    let third = send(&mut server, &mut host, "$3", "third", NOW);
    let received = deliver(&mut server, &mut guest, NOW);
    assert_eq!(received[0].refused, None);
    assert_eq!(body(&guest.event(&third)), "third");
    // And the other way, by the same session.
    let answer = send(&mut server, &mut guest, "$4", "fourth", NOW);
    deliver(&mut server, &mut host, NOW);
    assert_eq!(body(&host.event(&answer)), "fourth");
}

#[test]
fn what_was_handed_out_comes_again_until_it_is_stored() {
    let (mut server, mut guest, mut host) = wedged();
    unreadable(&mut server, &mut guest, &mut host, NOW);
    guest.restart();
    claim(&mut server, &mut guest, NOW);
    let first = greeting(&mut guest, NOW);
    guest.restart();
    assert_eq!(greeting(&mut guest, NOW), first);
    guest.stored("another");
    assert_eq!(greeting(&mut guest, NOW), first);
    guest.stored(&first.0);
    assert_eq!(heal(&mut guest, NOW), Prepare::Ready);
}

#[test]
fn a_device_gets_one_new_session_an_hour() {
    let (mut server, mut guest, mut host) = wedged();
    unreadable(&mut server, &mut guest, &mut host, NOW);
    claim(&mut server, &mut guest, NOW);
    let (id, _) = greeting(&mut guest, NOW);
    guest.stored(&id);
    // The greeting was lost, so the host goes on with the old session.
    let soon = NOW + HOUR - SECOND;
    unreadable(&mut server, &mut guest, &mut host, soon);
    assert!(!guest.machine.wants_healing(soon));
    guest.restart();
    assert_eq!(heal(&mut guest, soon), Prepare::Ready);
    let later = NOW + HOUR;
    unreadable(&mut server, &mut guest, &mut host, later);
    claim(&mut server, &mut guest, later);
    assert_ne!(greeting(&mut guest, later).0, id);
}

#[test]
fn a_claim_that_brings_no_key_is_tried_again_later() {
    let (mut server, mut guest, mut host) = wedged();
    unreadable(&mut server, &mut guest, &mut host, NOW);
    let Prepare::KeysClaim { .. } = heal(&mut guest, NOW) else {
        panic!("no claim");
    };
    guest.receive_claim(&serde_json::json!({"one_time_keys": {}}), NOW);
    assert_eq!(heal(&mut guest, NOW), Prepare::Ready);
    claim(&mut server, &mut guest, NOW + HOUR);
    greeting(&mut guest, NOW + HOUR);
}

/// A host's client that was restored from a backup writes by an old state of its session: those
/// messages look like repeated ones.
#[test]
fn a_host_that_was_set_back_gets_a_new_session() {
    let (mut server, mut guest, mut host) = pair();
    send(&mut server, &mut host, "$1", "first", NOW);
    deliver(&mut server, &mut guest, NOW);
    let backup = host.records.clone();
    rotate(&mut host);
    send(&mut server, &mut host, "$2", "second", NOW);
    assert_eq!(deliver(&mut server, &mut guest, NOW)[0].refused, None);
    host.records = backup;
    unreadable(&mut server, &mut guest, &mut host, NOW);
    assert!(guest.machine.wants_healing(NOW));
}

#[test]
fn a_key_that_belongs_to_no_device_of_the_host_asks_for_nothing() {
    let (mut server, mut guest, mut host) = wedged();
    rotate(&mut host);
    assert_eq!(settle(&mut server, &mut host, NOW), Prepare::Ready);
    let mut event = server.take(GUEST, "GUESTDEV").remove(0);
    event["content"]["sender_key"] = "RF3s+E7RkTQTGF2d8Deol0FkQvgII2aJDf3/Jp5mxVU".into();
    assert_eq!(guest.receive_olm(&event, NOW).refused, Some(Refused::Olm));
    assert!(!guest.machine.wants_healing(NOW));
}

/// A new identity of the host gets nothing before the guest accepted it, not even an empty message.
#[test]
fn nothing_leaves_for_an_identity_that_was_not_accepted() {
    let (mut server, mut guest, mut host) = wedged();
    unreadable(&mut server, &mut guest, &mut host, NOW);
    let mut other = Device::new(HOST, "OTHERDEV", GUEST, NOW);
    other.publish(&mut server);
    guest.receive_keys(&server.query(HOST), NOW);
    assert!(!guest.machine.wants_healing(NOW));
    assert_eq!(heal(&mut guest, NOW), Prepare::Ready);
}

/// Both began at once, and the room key that the guest sent by its own session was lost.
#[test]
fn a_device_that_begins_a_session_gets_the_room_key_again() {
    let (mut server, mut guest, mut host) = pair();
    let first = send(&mut server, &mut guest, "$1", "first", NOW);
    assert_eq!(server.take(HOST, "HOSTDEV").len(), 1);
    send(&mut server, &mut host, "$2", "second", NOW);
    deliver(&mut server, &mut guest, NOW);
    guest.restart();
    let third = send(&mut server, &mut guest, "$3", "third", NOW);
    assert_eq!(session_of(&first["content"]), session_of(&third["content"]));
    deliver(&mut server, &mut host, NOW);
    assert_eq!(body(&host.event(&third)), "third");
    // Once is enough.
    send(&mut server, &mut guest, "$4", "fourth", NOW);
    assert!(server.take(HOST, "HOSTDEV").is_empty());
}

/// The same while the key was on its way: that it was stored says nothing of whether it can be read.
#[test]
fn a_room_key_on_its_way_to_a_device_that_begins_a_session_comes_again() {
    let (mut server, mut guest, mut host) = pair();
    let Prepare::KeysClaim { devices } = guest.prepare(NOW) else {
        panic!("no claim");
    };
    guest.receive_claim(&server.claim_all(&devices), NOW);
    let Prepare::ToDevice { id, .. } = guest.prepare(NOW) else {
        panic!("no key");
    };
    send(&mut server, &mut host, "$1", "first", NOW);
    deliver(&mut server, &mut guest, NOW);
    guest.restart();
    guest.stored(&id);
    let second = send(&mut server, &mut guest, "$2", "second", NOW);
    deliver(&mut server, &mut host, NOW);
    assert_eq!(body(&host.event(&second)), "second");
}

/// It is the two keys together that name a device.
#[test]
fn a_session_that_no_device_can_have_begun_brings_no_key_again() {
    let (mut server, mut guest, identity, mut raw) = guest_and_raw();
    let second = RawDevice::new("SECOND", Some(&identity));
    server
        .device_keys
        .get_mut(HOST)
        .unwrap()
        .insert("SECOND".to_owned(), second.device_keys.clone());
    guest.receive_keys(&server.query(HOST), NOW);
    assert_eq!(settle(&mut server, &mut guest, NOW), Prepare::Ready);
    server.take(HOST, "RAW");
    let mut payload = raw.room_key(&guest);
    payload["type"] = json!("m.dummy");
    payload["keys"]["ed25519"] = json!(second.account.ed25519_key().to_base64());
    payload
        .as_object_mut()
        .unwrap()
        .remove("sender_device_keys");
    for (payload, keys) in [(payload, 0), (raw.room_key(&guest), 1)] {
        raw.connect(&mut server, &guest);
        let event = raw.olm(&guest, &payload);
        assert_eq!(guest.receive_olm(&event, NOW).refused, None);
        settle(&mut server, &mut guest, NOW);
        assert_eq!(server.take(HOST, "RAW").len(), keys);
    }
}

/// The host has two devices, and the second one begins a session while a room key is on its way to
/// it: it has the key all the same, so when it goes the session ends.
#[test]
fn a_device_that_goes_before_it_gets_the_key_again_ends_the_session() {
    let mut server = Server::default();
    let mut guest = Device::new(GUEST, "GUESTDEV", HOST, NOW);
    let mut host = Device::new(HOST, "HOSTDEV", GUEST, NOW);
    let mut second = Device::new(HOST, "SECOND", GUEST, NOW);
    for device in [&mut guest, &mut host, &mut second] {
        device.publish(&mut server);
    }
    server.without_cross_signing(HOST);
    let first = send(&mut server, &mut guest, "$1", "first", NOW);
    server.take(HOST, "SECOND");
    send(&mut server, &mut second, "$2", "second", NOW);
    deliver(&mut server, &mut guest, NOW);
    server.device_keys.get_mut(HOST).unwrap().remove("SECOND");
    guest.keys_changed(HOST);
    guest.restart();
    let third = send(&mut server, &mut guest, "$3", "third", NOW);
    assert_ne!(session_of(&first["content"]), session_of(&third["content"]));
}
