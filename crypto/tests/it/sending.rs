//! Who gets a room key, when a new one is made, and what stops sending.

use crate::common::raw::*;
use crate::common::*;
use serde_json::{Map, Value, json};
use vestibule_crypto::{Blocked, CryptoError, HostIdentity, Machine, Prepare};
use vodozemac::olm::Session;

fn blocked_no_devices() -> Prepare {
    let users = vec![HOST.to_owned()];
    Prepare::Blocked {
        reason: Blocked::NoDevices,
        users,
    }
}

#[test]
fn a_clock_set_back_does_no_harm() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    settle(&mut server, &mut guest, NOW);
    let first = session_of(&guest.encrypt("x", NOW));
    assert_eq!(settle(&mut server, &mut guest, 0), Prepare::Ready);
    assert_eq!(session_of(&guest.encrypt("x", 0)), first);
}

#[test]
fn a_new_session_when_a_device_loses_its_signature() {
    let (mut server, mut guest, _, raw) = guest_and_raw();
    settle(&mut server, &mut guest, NOW);
    let mut unsigned = raw.device_keys.clone();
    let signatures = unsigned["signatures"][HOST].as_object_mut().unwrap();
    signatures.retain(|key, _| key == "ed25519:RAW");
    server
        .device_keys
        .get_mut(HOST)
        .unwrap()
        .insert("RAW".to_owned(), unsigned);
    guest.receive_keys(&server.query(HOST), NOW);
    assert_eq!(settle(&mut server, &mut guest, NOW), blocked_no_devices());
    assert_eq!(
        guest.try_encrypt("x", NOW).unwrap_err(),
        CryptoError::NotReady
    );
}

#[test]
fn a_device_added_later_gets_the_same_session_from_then_on() {
    let (mut server, mut guest, identity, _) = guest_and_raw();
    settle(&mut server, &mut guest, NOW);
    let first = session_of(&guest.encrypt("before", NOW));
    let mut second = RawDevice::new("SECOND", Some(&identity));
    second.publish(&mut server);
    guest.keys_changed(HOST);
    settle(&mut server, &mut guest, NOW);
    assert_eq!(inbox(&server, "SECOND"), ["m.room.encrypted"]);
    assert_eq!(session_of(&guest.encrypt("after", NOW)), first);
}

/// The answer may have been given before the change.
#[test]
fn a_change_that_is_told_while_an_answer_is_on_its_way_is_not_forgotten() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    settle(&mut server, &mut guest, NOW);
    guest.keys_changed(HOST);
    let users = vec![HOST.to_owned()];
    let asks = Prepare::KeysQuery { users };
    assert_eq!(guest.prepare(NOW), asks);
    let answer = server.query(HOST);
    guest.keys_changed(HOST);
    guest.receive_keys(&answer, NOW);
    guest.restart();
    assert_eq!(guest.prepare(NOW), asks);
    guest.receive_keys(&answer, NOW);
    assert_eq!(guest.prepare(NOW), Prepare::Ready);
}

#[test]
fn an_unsigned_device_is_told_once_and_gets_no_key() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    let mut unsigned = RawDevice::new("UNSIGNED", None);
    unsigned.publish(&mut server);
    guest.receive_keys(&server.query(HOST), NOW);
    settle(&mut server, &mut guest, NOW);
    let content = guest.encrypt("x", NOW);
    settle(&mut server, &mut guest, NOW);
    assert_eq!(inbox(&server, "UNSIGNED"), ["m.room_key.withheld"]);
    let notice = server.take(HOST, "UNSIGNED").remove(0)["content"].clone();
    let own = curve25519(&guest).to_base64();
    let expected = json!({"algorithm": "m.megolm.v1.aes-sha2", "room_id": ROOM,
        "session_id": session_of(&content), "sender_key": own, "from_device": "GUESTDEV",
        "code": "m.unverified"});
    assert_eq!(notice, expected);
    assert_eq!(inbox(&server, "RAW"), ["m.room.encrypted"]);
}

#[test]
fn an_unsigned_device_that_comes_later_is_told_as_well() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    for id in ["ONE", "TWO"] {
        RawDevice::new(id, None).publish(&mut server);
        guest.keys_changed(HOST);
        assert_eq!(settle(&mut server, &mut guest, NOW), Prepare::Ready);
    }
    for id in ["ONE", "TWO"] {
        assert_eq!(inbox(&server, id), ["m.room_key.withheld"]);
    }
}

#[test]
fn all_devices_get_the_key_where_there_is_no_cross_signing() {
    let mut server = Server::default();
    let mut guest = Device::new(GUEST, "GUESTDEV", HOST, NOW);
    guest.publish(&mut server);
    for id in ["A", "B"] {
        RawDevice::new(id, None).publish(&mut server);
    }
    assert_eq!(
        guest.receive_keys(&server.query(HOST), NOW).identity,
        HostIdentity::None
    );
    assert_eq!(settle(&mut server, &mut guest, NOW), Prepare::Ready);
    assert_eq!(inbox(&server, "A"), ["m.room.encrypted"]);
    assert_eq!(inbox(&server, "B"), ["m.room.encrypted"]);
}

#[test]
fn a_stored_message_comes_again_until_it_is_confirmed() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    let Prepare::KeysClaim { devices } = guest.prepare(NOW) else {
        panic!()
    };
    guest.receive_claim(&server.claim_all(&devices), NOW);
    let first = guest.prepare(NOW);
    let Prepare::ToDevice { id, .. } = &first else {
        panic!("{first:?}")
    };
    for _ in 0..3 {
        guest.restart();
        assert_eq!(guest.prepare(NOW + HOUR), first);
    }
    guest.stored("another id");
    assert_eq!(guest.prepare(NOW), first);
    assert_eq!(
        guest.try_encrypt("x", NOW).unwrap_err(),
        CryptoError::NotReady
    );
    guest.stored(id);
    assert_eq!(guest.prepare(NOW), Prepare::Ready);
    guest.stored(id);
    assert_eq!(guest.prepare(NOW), Prepare::Ready);
}

#[test]
fn the_session_that_was_read_last_is_the_one_for_sending_after_a_restart_too() {
    let (mut server, mut guest, _, mut raw) = guest_and_raw();
    let payload = raw.room_key(&guest);
    let mut sessions = Vec::new();
    for _ in 0..3 {
        raw.connect(&mut server, &guest);
        let event = raw.olm(&guest, &payload);
        assert_eq!(guest.receive_olm(&event, NOW).refused, None);
        sessions.push(raw.session.take().unwrap());
    }
    // The first again, by a clock that was set back.
    raw.session = Some(sessions.remove(0));
    let event = raw.olm(&guest, &payload);
    assert_eq!(guest.receive_olm(&event, NOW - HOUR).refused, None);
    // A store may give its records in any order.
    let mut records: Vec<_> = guest.records.clone().into_iter().collect();
    for _ in 0..2 {
        records.reverse();
        let mut guest = Device {
            machine: Machine::open(records.clone()).unwrap(),
            records: guest.records.clone(),
        };
        settle(&mut server, &mut guest, NOW);
        let event = server.take(HOST, "RAW").remove(0);
        let pickle = raw.session.as_ref().unwrap().pickle();
        assert!(raw.read(&event).is_some());
        raw.session = Some(Session::from_pickle(pickle));
    }
}

#[test]
fn what_is_written_by_an_older_session_is_read() {
    let (mut server, mut guest, _, mut raw) = guest_and_raw();
    raw.share(&mut guest);
    assert_eq!(settle(&mut server, &mut guest, NOW), Prepare::Ready);
    // With the answer the session needs no pre-key messages any more, which would name it.
    let answer = server.take(HOST, "RAW").remove(0);
    assert!(raw.read(&answer).is_some());
    let older = raw.session.take();
    raw.connect(&mut server, &guest);
    raw.share(&mut guest);
    raw.session = older;
    raw.share(&mut guest);
}

#[test]
fn a_device_that_never_has_a_key_is_told() {
    let (mut server, mut guest, identity, _) = guest_and_raw();
    let mut silent = RawDevice::new("SILENT", Some(&identity));
    silent.publish(&mut server);
    server
        .one_time_keys
        .remove(&(HOST.to_owned(), "SILENT".to_owned()));
    guest.receive_keys(&server.query(HOST), NOW);
    for minutes in [0, 1, 3] {
        assert!(inbox(&server, "SILENT").is_empty());
        settle(&mut server, &mut guest, NOW + minutes * 60 * SECOND);
    }
    assert_eq!(inbox(&server, "SILENT"), ["m.room_key.withheld"]);
    let notice = server.take(HOST, "SILENT").remove(0)["content"].clone();
    assert_eq!(notice["code"], "m.no_olm");
    assert!(notice.get("session_id").is_none() && notice.get("room_id").is_none());
}

/// A device without keys is asked for less and less often, and never given up for good.
#[test]
fn the_pause_between_claims_doubles_up_to_an_hour() {
    let (_, mut guest, _, _) = guest_and_raw();
    let mut now = NOW;
    let pauses = [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600];
    for pause in pauses.map(|seconds| seconds * SECOND) {
        guest.restart();
        assert!(matches!(guest.prepare(now), Prepare::KeysClaim { .. }));
        guest.receive_claim(&json!({"one_time_keys": {}}), now);
        now += pause;
        let step = guest.machine.prepare(ROOM, &[HOST], now - 1).unwrap();
        let waits = guest.step(step);
        assert!(!matches!(waits, Prepare::KeysClaim { .. }), "{waits:?}");
        if let Prepare::ToDevice { id, .. } = waits {
            guest.stored(&id);
        }
    }
}

#[test]
fn what_a_claim_was_not_for_is_not_used() {
    let changes: [fn(&mut Map<String, Value>); 3] = [
        |keys| {
            let (name, key) = keys.iter().next().unwrap();
            let (name, key) = (name.replace("signed_", ""), key.clone());
            *keys = [(name, key)].into_iter().collect();
        },
        // Which of two it is would be the homeserver's choice, after it was asked for one.
        |keys| {
            let (name, key) = keys.iter().next().unwrap();
            let (name, key) = (format!("{name}A"), key.clone());
            keys.insert(name, key);
        },
        |keys| keys.clear(),
    ];
    for change in changes {
        let (mut server, mut guest, _, _) = guest_and_raw();
        let Prepare::KeysClaim { devices } = guest.prepare(NOW) else {
            panic!()
        };
        let mut answer = server.claim_all(&devices);
        let keys = answer["one_time_keys"][HOST]["RAW"].as_object_mut();
        change(keys.unwrap());
        guest.receive_claim(&answer, NOW);
        assert_eq!(guest.prepare(NOW), blocked_no_devices());
    }
}

#[test]
fn claimed_keys_with_a_wrong_signature_are_not_used() {
    let changes: [fn(&mut Value); 4] = [
        |key| key["key"] = json!(vodozemac::base64_encode([7; 32])),
        |key| key["signatures"] = json!({}),
        |key| key["key"] = json!("x"),
        |key| key["fallback"] = json!(true),
    ];
    for change in changes {
        let (mut server, mut guest, _, _) = guest_and_raw();
        let Prepare::KeysClaim { devices } = guest.prepare(NOW) else {
            panic!()
        };
        let mut answer = server.claim_all(&devices);
        let keys = answer["one_time_keys"][HOST]["RAW"]
            .as_object_mut()
            .unwrap();
        change(keys.values_mut().next().unwrap());
        guest.receive_claim(&answer, NOW);
        assert_eq!(guest.prepare(NOW), blocked_no_devices());
    }
}

/// The device wrote while its key was claimed. It is answered by its own session.
#[test]
fn a_claimed_key_makes_no_session_beside_one_that_came_meanwhile() {
    let (mut server, mut guest, _, mut raw) = guest_and_raw();
    let Prepare::KeysClaim { devices } = guest.prepare(NOW) else {
        panic!()
    };
    raw.share(&mut guest);
    guest.receive_claim(&server.claim_all(&devices), NOW);
    let sessions = guest.records.keys().filter(|key| key.starts_with("olm"));
    assert_eq!(sessions.count(), 1);
    assert_eq!(settle(&mut server, &mut guest, NOW), Prepare::Ready);
    let event = server.take(HOST, "RAW").remove(0);
    assert!(raw.read(&event).is_some());
}

#[test]
fn a_claim_that_was_not_asked_for_changes_nothing() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    let answer = server.claim(HOST, &["RAW".to_owned()]);
    guest.receive_claim(&answer, NOW);
    assert!(matches!(guest.prepare(NOW), Prepare::KeysClaim { .. }));
}

#[test]
fn a_long_text_is_refused_and_the_longest_fits() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    settle(&mut server, &mut guest, NOW);
    let long = "x".repeat(11_000);
    assert!(guest.encrypt(&long, NOW).to_string().len() <= 16 * 1024);
    assert!(guest.encrypt(&"ä".repeat(4000), NOW).to_string().len() <= 16 * 1024);
    let before = guest.records.clone();
    let error = guest.try_encrypt(&"x".repeat(12_000), NOW).unwrap_err();
    assert_eq!(error, CryptoError::TooLong);
    assert_eq!(guest.records, before);
}

#[test]
fn texts_of_similar_length_have_ciphertexts_of_one_length() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    settle(&mut server, &mut guest, NOW);
    let mut length = |n: usize| {
        guest.encrypt(&"x".repeat(n), NOW)["ciphertext"]
            .as_str()
            .unwrap()
            .len()
    };
    assert_eq!(length(0), length(60));
    assert_eq!(length(500), length(800));
    assert_ne!(length(60), length(500));
}

#[test]
fn the_payload_of_a_room_key_is_what_other_clients_accept() {
    let (mut server, mut guest, _, mut raw) = guest_and_raw();
    settle(&mut server, &mut guest, NOW);
    let event = server.take(HOST, "RAW").remove(0);
    let key = raw.account.curve25519_key().to_base64();
    let own = event["content"]["ciphertext"][&key].clone();
    let bytes = vodozemac::base64_decode(own["body"].as_str().unwrap()).unwrap();
    let message = vodozemac::olm::PreKeyMessage::from_bytes(&bytes).unwrap();
    let config = vodozemac::olm::SessionConfig::version_1();
    let created = raw
        .account
        .create_inbound_session(config, curve25519(&guest), &message)
        .unwrap();
    let payload: Value = serde_json::from_slice(&created.plaintext).unwrap();
    let members: Vec<&String> = payload.as_object().unwrap().keys().collect();
    // No `org.matrix.msc4147.device_keys`: with both, matrix-sdk-crypto refuses the message.
    let expected = [
        "content",
        "keys",
        "recipient",
        "recipient_keys",
        "sender",
        "sender_device_keys",
        "type",
    ];
    assert_eq!(members.len(), expected.len());
    assert!(expected.iter().all(|name| payload.get(name).is_some()));
    let published = serde_json::to_value(guest.machine.public_keys().unwrap()).unwrap();
    assert_eq!(payload["sender_device_keys"], published["device_keys"]);
}
