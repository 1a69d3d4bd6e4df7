//! The scenarios of the public suite complement-crypto, for a device that talks through a bridge;
//! those in which a room key is cycled are in `cycling.rs`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vestibule_crypto::{
    Blocked, CryptoError, HostIdentity, Machine, Prepare, Refused, Undecryptable,
};
use vodozemac::megolm::MegolmMessage;

use crate::common::raw::*;
use crate::common::*;

pub const BOB: &str = "@bob:example.org";

fn place() -> (String, String) {
    (GUEST.to_owned(), "GUESTDEV".to_owned())
}

pub fn membership_changed(device: &mut Device, user: &str) {
    let step = device.machine.membership_changed(ROOM, user).unwrap();
    device.step(step);
}

/// A guest, the host, and somebody else whom the guest has met.
pub fn three() -> (Server, Device, Device, Device) {
    let (mut server, mut guest, host) = pair();
    let mut bob = Device::new(BOB, "BOBDEV", GUEST, NOW);
    bob.publish(&mut server);
    bob.receive_keys(&server.query(GUEST), NOW);
    guest.meet(BOB);
    (server, guest, host, bob)
}

/// What is sent to these members, as the event that they get.
pub fn send_to(
    server: &mut Server,
    from: &mut Device,
    to: &[&str],
    event_id: &str,
    text: &str,
) -> Value {
    for _ in 0..20 {
        match from.prepare_for(to, NOW) {
            Prepare::KeysQuery { users } => {
                let step = from.machine.receive_keys(&server.query_all(&users), NOW);
                from.step(step.unwrap());
            }
            Prepare::KeysClaim { devices } => {
                let answer = server.claim_all(&devices);
                from.receive_claim(&answer, NOW);
            }
            Prepare::ToDevice {
                id,
                event_type,
                messages,
            } => {
                server.send(&from.user(), &event_type, &messages);
                from.stored(&id);
            }
            Prepare::Ready => break,
            blocked => panic!("{blocked:?}"),
        }
    }
    let step = from.machine.encrypt_text(ROOM, to, text, NOW).unwrap();
    let content = from.step(step);
    room_event(&from.user(), event_id, &content)
}

/// Who is invited gets the keys and reads, once there, what was written before. From their joining
/// on another key is used, and their devices are asked for anew.
#[test]
fn messages_before_join() {
    let (mut server, mut guest, mut host) = pair();
    let before = send(&mut server, &mut guest, "$1", "are you there?", NOW);
    membership_changed(&mut guest, HOST);
    assert_eq!(
        guest.prepare(NOW),
        Prepare::KeysQuery {
            users: vec![HOST.to_owned()]
        }
    );
    let after = send(&mut server, &mut guest, "$2", "hello", NOW);
    assert_ne!(
        session_of(&before["content"]),
        session_of(&after["content"])
    );
    deliver(&mut server, &mut host, NOW);
    assert_eq!(body(&host.event(&before)), "are you there?");
    assert_eq!(body(&host.event(&after)), "hello");
}

/// History is not shared: whoever comes later reads what is written later.
#[test]
fn messages_before_join_of_somebody_who_was_not_invited() {
    let (mut server, mut guest, mut host, mut bob) = three();
    let before = send_to(&mut server, &mut guest, &[HOST], "$1", "for Alice");
    membership_changed(&mut guest, BOB);
    let after = send_to(&mut server, &mut guest, &[HOST, BOB], "$2", "for both");
    assert_ne!(
        session_of(&before["content"]),
        session_of(&after["content"])
    );
    deliver(&mut server, &mut host, NOW);
    deliver(&mut server, &mut bob, NOW);
    assert_eq!(body(&host.event(&before)), "for Alice");
    assert_eq!(body(&host.event(&after)), "for both");
    assert_eq!(reason(&bob.event(&before)), Undecryptable::NoKey);
    assert_eq!(body(&bob.event(&after)), "for both");
}

/// Anybody may claim keys: fifty claims later there is only the fallback key, which serves several
/// devices, and is replaced.
#[test]
fn fallback_key_when_one_time_keys_run_out() {
    let (mut server, mut guest, identity, mut raw) = guest_and_raw();
    let mut second = RawDevice::new("SECOND", Some(&identity));
    second.publish(&mut server);
    guest.receive_keys(&server.query(HOST), NOW);
    while !server.one_time_keys[&place()].is_empty() {
        server.claim(GUEST, &["GUESTDEV".to_owned()]);
    }
    for (device, event_id) in [(&mut raw, "$1"), (&mut second, "$2")] {
        device.connect(&mut server, &guest);
        device.share(&mut guest);
        guest.restart();
        let event = device.text(event_id, "over the fallback key");
        assert_eq!(body(&guest.event(&event)), "over the fallback key");
    }
    let step = guest.machine.one_time_keys(0, false, NOW + HOUR).unwrap();
    let upload = guest.step(step).unwrap();
    assert_eq!(upload.one_time_keys.len(), 50);
    assert_eq!(upload.fallback_keys.len(), 1);
    let old = server.fallback_keys[&place()].keys().next().unwrap();
    assert!(!upload.fallback_keys.contains_key(old));
}

#[test]
fn failed_upload_retried() {
    let (mut server, _, mut host) = pair();
    let mut guest = Device::new(GUEST, "GUESTDEV", HOST, NOW);
    let keys = serde_json::to_value(guest.machine.public_keys().unwrap()).unwrap();
    for minute in 0..3 {
        // It doesn't arrive, and the page is closed and opened.
        guest.restart();
        let now = NOW + minute * 60 * SECOND;
        let step = guest.machine.one_time_keys(0, false, now).unwrap();
        let again = guest.step(step).unwrap();
        assert_eq!(json!(again.one_time_keys), keys["one_time_keys"]);
        assert_eq!(json!(again.fallback_keys), keys["fallback_keys"]);
    }
    server.one_time_keys.clear();
    server.publish(GUEST, "GUESTDEV", &keys);
    let step = guest.machine.mark_published().unwrap();
    guest.step(step);
    let step = guest.machine.one_time_keys(50, true, NOW + HOUR).unwrap();
    assert_eq!(guest.step(step), None);
    host.accept(GUEST);
    host.receive_keys(&server.query(GUEST), NOW);
    host.accept(GUEST);
    guest.receive_keys(&server.query(HOST), NOW);
    let event = send(&mut server, &mut host, "$1", "at last", NOW);
    deliver(&mut server, &mut guest, NOW);
    assert_eq!(body(&guest.event(&event)), "at last");
}

#[test]
fn failed_claim_retried() {
    let (mut server, mut guest, mut host) = pair();
    let claim = Prepare::KeysClaim {
        devices: just(HOST, "HOSTDEV"),
    };
    assert_eq!(guest.prepare(NOW), claim);
    // No answer came: the same is asked for at once.
    assert_eq!(guest.prepare(NOW), claim);
    // One came, without a key: nobody can read, so nothing is sent; later it is tried again.
    guest.receive_claim(
        &json!({"one_time_keys": {}, "failures": {"example.org": {}}}),
        NOW,
    );
    let blocked = guest.prepare(NOW);
    let no_devices =
        matches!(&blocked, Prepare::Blocked { reason, .. } if *reason == Blocked::NoDevices);
    assert!(no_devices, "{blocked:?}");
    assert_eq!(guest.try_encrypt("x", NOW), Err(CryptoError::NotReady));
    guest.restart();
    let later = NOW + 30 * SECOND;
    assert_eq!(guest.prepare(later), claim);
    let event = send(&mut server, &mut guest, "$1", "hello", later);
    deliver(&mut server, &mut host, later);
    assert_eq!(body(&host.event(&event)), "hello");
}

/// What somebody else wrote is not shown as the host's, whoever claims it: the event's sender is the
/// homeserver's word, the session's owner is not.
#[test]
fn spoofed_sender() {
    let (mut server, mut guest, _, mut bob) = three();
    let step = guest.machine.receive_keys(&server.query(BOB), NOW);
    guest.step(step.unwrap());
    let mut event = send(&mut server, &mut bob, "$1", "I am Alice", NOW);
    let mut key = server.take(GUEST, "GUESTDEV").remove(0);
    // Both the key and the message as Alice's.
    key["sender"] = json!(HOST);
    assert_eq!(
        guest.receive_olm(&key, NOW).refused,
        Some(Refused::Mismatch)
    );
    event["sender"] = json!(HOST);
    assert_eq!(reason(&guest.event(&event)), Undecryptable::NoKey);
}

/// The same with an honest key: only the message is given out as Alice's.
#[test]
fn spoofed_sender_of_a_message_alone() {
    let (mut server, mut guest, _, mut bob) = three();
    let step = guest.machine.receive_keys(&server.query(BOB), NOW);
    guest.step(step.unwrap());
    let mut event = send(&mut server, &mut bob, "$1", "I am Alice", NOW);
    assert_eq!(deliver(&mut server, &mut guest, NOW)[0].refused, None);
    event["sender"] = json!(HOST);
    assert_eq!(reason(&guest.event(&event)), Undecryptable::Mismatch);
    event["sender"] = json!(BOB);
    assert_eq!(body(&guest.event(&event)), "I am Alice");
}

/// The homeserver took the keys, the answer never came: what is uploaded again are the same keys,
/// which a homeserver takes, and refuses when they differ.
#[test]
fn killed_before_the_uploads_response() {
    let (mut server, mut guest, mut host) = pair();
    server.one_time_keys.get_mut(&place()).unwrap().clear();
    let upload = |guest: &mut Device| {
        let step = guest.machine.one_time_keys(0, true, NOW + HOUR).unwrap();
        serde_json::to_value(guest.step(step).unwrap()).unwrap()
    };
    let first = upload(&mut guest);
    server.upload(place(), &first);
    guest.restart();
    let second = upload(&mut guest);
    assert_eq!(first, second);
    server.upload(place(), &second);
    assert_eq!(server.one_time_keys[&place()].len(), 50);
    let step = guest.machine.mark_published().unwrap();
    guest.step(step);
    let event = send(&mut server, &mut host, "$1", "hello", NOW);
    deliver(&mut server, &mut guest, NOW);
    assert_eq!(body(&guest.event(&event)), "hello");
}

/// Killed between a to-device event and the moment when what it changed is stored: the event comes
/// again, because it was not acknowledged, and is read as if for the first time.
#[test]
fn unprocessed_to_device_not_lost_on_restart() {
    let (mut server, mut guest, mut host) = pair();
    let mut texts = Vec::new();
    for n in 0..3 {
        texts.push(send(
            &mut server,
            &mut host,
            &format!("$a{n}"),
            "first",
            NOW,
        ));
        host.records.retain(|key, _| !key.starts_with("outbound"));
        host.restart();
    }
    for event in server.take(GUEST, "GUESTDEV") {
        let unstored = guest.machine.receive_to_device(&event, NOW).unwrap();
        assert_eq!(unstored.output.refused, None);
        drop(unstored);
        guest.restart();
        assert_eq!(guest.receive_olm(&event, NOW).refused, None);
    }
    for event in &texts {
        assert_eq!(body(&guest.event(event)), "first");
    }
}

/// Thirty keys by one Olm session, read in several goes with restarts between: each step of the
/// ratchet finds the one before.
#[test]
fn processed_in_order() {
    let (mut server, mut guest, mut host) = pair();
    let mut events = Vec::new();
    for n in 0..30 {
        events.push(send(
            &mut server,
            &mut host,
            &format!("${n}"),
            &n.to_string(),
            NOW,
        ));
        host.records.retain(|key, _| !key.starts_with("outbound"));
        host.restart();
    }
    let waiting = server.take(GUEST, "GUESTDEV");
    assert_eq!(waiting.len(), 30);
    for batch in waiting.chunks(7) {
        for event in batch {
            assert_eq!(guest.receive_olm(event, NOW).refused, None);
        }
        guest.restart();
    }
    for (n, event) in events.iter().enumerate() {
        assert_eq!(body(&guest.event(event)), n.to_string());
    }
}

#[test]
fn failed_device_key_download_retried() {
    let (mut server, mut host) = (Server::default(), Device::new(HOST, "HOSTDEV", GUEST, NOW));
    let mut guest = Device::new(GUEST, "GUESTDEV", HOST, NOW);
    guest.publish(&mut server);
    host.publish(&mut server);
    host.receive_keys(&server.query(GUEST), NOW);
    let query = Prepare::KeysQuery {
        users: vec![HOST.to_owned()],
    };
    for minute in 0..5 {
        let now = NOW + minute * 60 * SECOND;
        assert_eq!(guest.prepare(now), query);
        assert_eq!(guest.try_encrypt("x", now), Err(CryptoError::NotReady));
        // The host's homeserver could not be reached.
        let answer = json!({"device_keys": {}, "failures": {"example.org": {"status": 503}}});
        let error = guest.machine.receive_keys(&answer, now).unwrap_err();
        assert_eq!(error, CryptoError::NoKeys);
        guest.restart();
    }
    let received = guest.receive_keys(&server.query(HOST), NOW);
    assert_eq!(received.identity, HostIdentity::First);
    let event = send(&mut server, &mut guest, "$1", "hello", NOW);
    deliver(&mut server, &mut host, NOW);
    assert_eq!(body(&host.event(&event)), "hello");
    // A change of the list that is not heard of in full stops the session that is there as well.
    guest.keys_changed(HOST);
    for _ in 0..2 {
        assert_eq!(guest.prepare(NOW), query);
        assert_eq!(guest.try_encrypt("x", NOW), Err(CryptoError::NotReady));
        let error = guest.machine.receive_keys(&json!({}), NOW).unwrap_err();
        assert_eq!(error, CryptoError::NoKeys);
        guest.restart();
    }
    let event = send(&mut server, &mut guest, "$2", "again", NOW);
    assert_eq!(body(&host.event(&event)), "again");
}

/// Two machines opened of the same records know nothing of each other, and would use the same index
/// twice. That both step is prevented outside: by the page's lock on its chat, by the bridge's lock
/// on its store. What the machine gives them is the count of steps, by which the second is seen to
/// stand on an older state than is stored, before it writes.
#[test]
fn two_processes_on_one_store() {
    let (mut server, mut first, _) = pair();
    settle(&mut server, &mut first, NOW);
    let mut second = Device {
        machine: Machine::open(first.records.clone()).unwrap(),
        records: BTreeMap::new(),
    };
    assert_eq!(second.machine.steps(), first.machine.steps());
    let index = |content: &Value| {
        let message = MegolmMessage::from_base64(content["ciphertext"].as_str().unwrap()).unwrap();
        (session_of(content), message.message_index())
    };
    let one = first.encrypt("one", NOW);
    let stored = Machine::open(first.records.clone()).unwrap().steps();
    assert!(second.machine.steps() < stored);
    let other = second.encrypt("another", NOW);
    assert_eq!(index(&one), index(&other), "what must never leave");
    assert!(second.machine.steps() <= stored, "and is seen by its count");
    // Opened of what is stored now, it goes on after the first.
    first.restart();
    let next = first.encrypt("next", NOW);
    assert_eq!(index(&next), (index(&one).0, index(&one).1 + 1));
    assert!(first.machine.steps() > stored);
}
