//! Several people in one room.

use std::collections::BTreeSet;

use crate::common::raw::*;
use crate::common::several::*;
use crate::common::*;
use serde_json::{Value, json};
use vestibule_crypto::{
    Blocked, CryptoError, HostIdentity, Machine, Prepare, Refused, Undecryptable,
};

#[test]
fn everybody_in_the_room_reads_and_is_read() {
    let (mut server, mut bot, mut alice, mut bob) = three();
    let event = say(&mut server, &mut bot, &[HOST, BOB], "$1");
    for person in [&mut alice, &mut bob] {
        assert_eq!(deliver(&mut server, person, NOW)[0].refused, None);
        assert_eq!(body(&person.event(&event)), "hello");
        let answer = send(&mut server, person, "$2", &person.user(), NOW);
        deliver(&mut server, &mut bot, NOW);
        bot.restart();
        assert_eq!(body(&bot.event(&answer)), person.user());
    }
}

#[test]
fn who_is_named_twice_gets_one_key() {
    let (mut server, mut bot, mut alice, _) = three();
    let event = say(&mut server, &mut bot, &[HOST, HOST], "$1");
    assert_eq!(deliver(&mut server, &mut alice, NOW).len(), 1);
    assert_eq!(body(&alice.event(&event)), "hello");
    let record = &bot.records[&format!("outbound:{ROOM}")];
    let shared = String::from_utf8_lossy(record).matches(HOST).count();
    assert_eq!(shared, 1);
}

#[test]
fn one_changed_identity_stops_the_room_and_no_other() {
    let (mut server, mut bot, _, mut bob) = three();
    say(&mut server, &mut bot, &[HOST, BOB], "$1");
    Device::new(HOST, "DEVICE", BOT, NOW).publish(&mut server);
    let users = [HOST.to_owned(), BOB.to_owned()];
    let step = bot.machine.receive_keys(&server.query_all(&users), NOW);
    let identities: Vec<_> = bot.step(step.unwrap()).peers;
    let identities: Vec<_> = identities.iter().map(|peer| peer.identity).collect();
    assert_eq!(identities, [HostIdentity::Changed, HostIdentity::Same]);
    let blocked = Prepare::Blocked {
        reason: Blocked::IdentityChanged,
        users: vec![HOST.to_owned()],
    };
    assert_eq!(bot.prepare_for(&[HOST, BOB], NOW), blocked);
    bot.restart();
    assert_eq!(bot.prepare_for(&[HOST, BOB], NOW), blocked);
    let content = bot.machine.encrypt_text(ROOM, &[HOST, BOB], "x", NOW);
    assert_eq!(content.unwrap_err(), CryptoError::NotReady);
    // Where Alice is not, everything goes on, with a key that she hasn't.
    server.inbox.clear();
    let event = say(&mut server, &mut bot, &[BOB], "$2");
    assert!(server.take(HOST, "DEVICE").is_empty());
    deliver(&mut server, &mut bob, NOW);
    assert_eq!(body(&bob.event(&event)), "hello");
    // To accept one is not to accept another.
    bot.accept(BOB);
    assert_eq!(bot.prepare_for(&[HOST, BOB], NOW), blocked);
    bot.accept(HOST);
    say(&mut server, &mut bot, &[HOST, BOB], "$3");
    assert_eq!(server.take(HOST, "DEVICE").len(), 1);
}

#[test]
fn who_left_reads_no_more_and_who_came_reads_from_then_on() {
    let (mut server, mut bot, mut alice, mut bob) = three();
    let first = say(&mut server, &mut bot, &[HOST], "$1");
    let step = bot.machine.membership_changed(ROOM, BOB).unwrap();
    bot.step(step);
    let second = say(&mut server, &mut bot, &[HOST, BOB], "$2");
    assert_ne!(
        session_of(&first["content"]),
        session_of(&second["content"])
    );
    deliver(&mut server, &mut bob, NOW);
    assert_eq!(reason(&bob.event(&first)), Undecryptable::NoKey);
    assert_eq!(body(&bob.event(&second)), "hello");
    // That Bob left is enough, heard of or not.
    let third = say(&mut server, &mut bot, &[HOST], "$3");
    assert!(server.take(BOB, "DEVICE").is_empty());
    assert_eq!(reason(&bob.event(&third)), Undecryptable::NoKey);
    deliver(&mut server, &mut alice, NOW);
    for event in [&first, &second, &third] {
        assert_eq!(body(&alice.event(event)), "hello");
    }
}

#[test]
fn a_change_of_membership_ends_the_session_of_that_room_alone() {
    let (mut server, mut bot, _, _) = three();
    say(&mut server, &mut bot, &[HOST, BOB], "$1");
    let step = bot
        .machine
        .membership_changed("!other:example.org", MALLORY);
    bot.step(step.unwrap());
    assert_eq!(bot.prepare_for(&[HOST, BOB], NOW), Prepare::Ready);
    let step = bot.machine.membership_changed(ROOM, BOB).unwrap();
    bot.step(step);
    bot.restart();
    let users = vec![BOB.to_owned()];
    let asked = bot.prepare_for(&[HOST, BOB], NOW);
    assert_eq!(asked, Prepare::KeysQuery { users }, "his keys, not hers");
    assert!(!bot.records.keys().any(|key| key.starts_with("outbound")));
}

#[test]
fn who_is_forgotten_leaves_nothing_and_is_somebody_new_when_met_again() {
    let (mut server, mut bot, mut alice, mut bob) = three();
    say(&mut server, &mut bot, &[HOST, BOB], "$1");
    for person in [&mut alice, &mut bob] {
        send(&mut server, person, "$2", "hello", NOW);
        // One event without its key waits.
        let mut early = room_event(
            &person.user(),
            "$3",
            &json!({"algorithm": "m.megolm.v1.aes-sha2"}),
        );
        let other = RawDevice::owned_by(&person.user(), "OTHER", None);
        early["content"]["session_id"] = json!(other.group.session_id());
        let ciphertext =
            RawDevice::owned_by(BOB, "X", None).text("$", "x")["content"]["ciphertext"].clone();
        early["content"]["ciphertext"] = ciphertext;
        assert_eq!(reason(&bot.event(&early)), Undecryptable::NoKey);
    }
    deliver(&mut server, &mut bot, NOW);
    // Her device needs a new session.
    alice.records.retain(|key, _| !key.starts_with("outbound"));
    alice.restart();
    send(&mut server, &mut alice, "$4", "x", NOW);
    let mut broken = server.take(BOT, "BOTDEV").remove(0);
    let own = broken["content"]["ciphertext"].as_object().unwrap();
    let own = own.keys().next().unwrap().clone();
    let body = &mut broken["content"]["ciphertext"][&own]["body"];
    let mut bytes = vestibule_crypto::decode_base64(body.as_str().unwrap()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    *body = json!(vestibule_crypto::encode_base64(&bytes));
    bot.receive_olm(&broken, NOW);
    assert!(bot.machine.wants_healing(NOW));
    let step = bot.machine.forget(HOST).unwrap();
    bot.step(step);
    let about = |user: &str| {
        let texts = bot
            .records
            .values()
            .map(|r| String::from_utf8_lossy(r).into_owned());
        texts.filter(|text| text.contains(user)).count()
    };
    assert_eq!(about(HOST), 0);
    assert!(about(BOB) >= 4, "{}", about(BOB));
    assert!(!bot.records.keys().any(|key| key.starts_with("outbound")));
    assert_eq!(bot.peers(), [BOB]);
    bot.restart();
    let event = send(&mut server, &mut alice, "$4", "hello", NOW);
    let step = bot.machine.receive_event(ROOM, &event).unwrap();
    assert_eq!(bot.step(step), []);
    Device::new(HOST, "NEWDEV", BOT, NOW).publish(&mut server);
    bot.meet(HOST);
    assert_eq!(
        bot.receive_keys(&server.query(HOST), NOW).identity,
        HostIdentity::First
    );
}

#[test]
fn with_who_is_forgotten_only_the_sessions_end_of_which_they_have_the_key() {
    let (mut server, mut bot, _, mut bob) = three();
    let first = say(&mut server, &mut bot, &[BOB], "$1");
    let step = bot.machine.forget(HOST).unwrap();
    bot.step(step);
    // What is in memory, and what is stored.
    for event_id in ["$2", "$3"] {
        let next = say(&mut server, &mut bot, &[BOB], event_id);
        assert_eq!(session_of(&next["content"]), session_of(&first["content"]));
        let answer = send(&mut server, &mut bob, event_id, "his", NOW);
        deliver(&mut server, &mut bot, NOW);
        assert_eq!(body(&bot.event(&answer)), "his");
        bob.records.retain(|key, _| !key.starts_with("outbound"));
        bob.restart();
        bot.restart();
    }
}

/// Nobody else is there who could read meanwhile.
#[test]
fn who_is_alone_in_a_room_is_waited_for() {
    let (server, mut bot, _, _) = three();
    let query = Prepare::KeysQuery {
        users: vec![HOST.to_owned()],
    };
    assert_eq!(bot.prepare_for(&[HOST], NOW), query);
    bot.receive_keys(&server.query(BOB), NOW);
    assert_eq!(bot.prepare_for(&[HOST], NOW), query);
}

#[test]
fn a_homeserver_that_is_away_stops_no_room() {
    let (mut server, mut bot, mut alice, mut bob) = three();
    say(&mut server, &mut bot, &[HOST, BOB], "$1");
    for user in [HOST, BOB] {
        bot.keys_changed(user);
    }
    let both = vec![HOST.to_owned(), BOB.to_owned()];
    assert_eq!(
        bot.prepare_for(&[HOST, BOB], NOW),
        Prepare::KeysQuery { users: both }
    );
    // Of Bob there is no answer: he gets no key, and not the one that he has for longer.
    let step = bot.machine.receive_keys(&server.query(HOST), NOW).unwrap();
    bot.step(step);
    server.inbox.clear();
    let event = say(&mut server, &mut bot, &[HOST, BOB], "$2");
    assert!(server.take(BOB, "DEVICE").is_empty());
    deliver(&mut server, &mut alice, NOW);
    assert_eq!(body(&alice.event(&event)), "hello");
    assert_eq!(
        bot.prepare_for(&[HOST, BOB], NOW + 59 * SECOND),
        Prepare::Ready
    );
    let users = vec![BOB.to_owned()];
    let later = NOW + 60 * SECOND;
    assert_eq!(
        bot.prepare_for(&[HOST, BOB], later),
        Prepare::KeysQuery { users }
    );
    bot.receive_keys(&server.query(BOB), later);
    let event = say(&mut server, &mut bot, &[HOST, BOB], "$3");
    deliver(&mut server, &mut bob, NOW);
    assert_eq!(body(&bob.event(&event)), "hello");
    // Of nobody: nothing can be said before somebody's keys come.
    bot.keys_changed(HOST);
    bot.keys_changed(BOB);
    assert!(matches!(
        bot.prepare_for(&[HOST, BOB], later),
        Prepare::KeysQuery { .. }
    ));
    let nothing = bot.machine.receive_keys(&json!({"device_keys": {}}), later);
    assert_eq!(nothing.unwrap_err(), CryptoError::NoKeys);
    assert!(matches!(
        bot.prepare_for(&[HOST, BOB], later),
        Prepare::KeysQuery { .. }
    ));
}

#[test]
fn a_frame_holds_few_room_keys_whoever_they_are_for() {
    let (mut server, mut bot, _, _) = three();
    for user in [HOST, BOB] {
        server.without_cross_signing(user);
        server.device_keys.remove(user);
        for n in 0..12 {
            RawDevice::owned_by(user, &format!("D{n}"), None).publish(&mut server);
        }
    }
    let mut frames = Vec::new();
    loop {
        match bot.prepare_for(&[HOST, BOB], NOW) {
            Prepare::KeysQuery { users } => {
                let step = bot.machine.receive_keys(&server.query_all(&users), NOW);
                bot.step(step.unwrap());
            }
            Prepare::KeysClaim { devices } => {
                let answer = server.claim_all(&devices);
                bot.receive_claim(&answer, NOW);
            }
            Prepare::ToDevice { id, messages, .. } => {
                let count = messages.values().map(|m| m.as_object().unwrap().len());
                frames.push(count.sum::<usize>());
                server.send(BOT, "m.room.encrypted", &messages);
                bot.stored(&id);
            }
            done => {
                assert_eq!(done, Prepare::Ready);
                break;
            }
        }
    }
    assert_eq!(frames, [10, 10, 4]);
    let got: BTreeSet<_> = server
        .inbox
        .iter()
        .map(|(user, device, _)| (user, device))
        .collect();
    assert_eq!(got.len(), 24);
}

/// Both have a device of the same id; only Alice's needs a new session.
#[test]
fn a_device_is_healed_by_its_user_and_its_id() {
    let (mut server, mut bot, mut alice, mut bob) = three();
    say(&mut server, &mut bot, &[HOST, BOB], "$1");
    deliver(&mut server, &mut alice, NOW);
    deliver(&mut server, &mut bob, NOW);
    // Alice's device greets with a session that she made with a key the bot has no more.
    let mut events = Vec::new();
    for person in [&mut alice, &mut bob] {
        send(&mut server, person, "$2", "x", NOW);
        events.extend(server.take(BOT, "BOTDEV"));
    }
    let key = events[0]["content"]["ciphertext"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap()
        .clone();
    let damaged = |event: &mut Value| {
        let place = &mut event["content"]["ciphertext"][&key]["body"];
        let mut bytes = vestibule_crypto::decode_base64(place.as_str().unwrap()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        *place = json!(vestibule_crypto::encode_base64(&bytes));
    };
    damaged(&mut events[0]);
    assert_eq!(bot.receive_olm(&events[0], NOW).refused, Some(Refused::Olm));
    assert_eq!(bot.receive_olm(&events[1], NOW).refused, None);
    bot.restart();
    assert!(bot.machine.wants_healing(NOW));
    let step = bot.machine.heal(NOW).unwrap();
    let asked = bot.step(step);
    let devices = just(HOST, "DEVICE");
    assert_eq!(
        asked,
        Prepare::KeysClaim {
            devices: devices.clone()
        }
    );
    let answer = server.claim_all(&devices);
    bot.receive_claim(&answer, NOW);
    bot.restart();
    let step = bot.machine.heal(NOW).unwrap();
    let Prepare::ToDevice { id, messages, .. } = bot.step(step) else {
        panic!()
    };
    assert_eq!(messages.keys().collect::<Vec<_>>(), [HOST]);
    server.send(BOT, "m.room.encrypted", &messages);
    bot.stored(&id);
    assert!(!bot.machine.wants_healing(NOW));
    assert_eq!(deliver(&mut server, &mut alice, NOW)[0].refused, None);
    let event = send(&mut server, &mut alice, "$3", "again", NOW);
    deliver(&mut server, &mut bot, NOW);
    assert_eq!(body(&bot.event(&event)), "again");
}

#[test]
fn steps_only_grow_and_an_older_state_has_fewer() {
    let (mut server, mut guest, mut host) = pair();
    let mut last = guest.machine.steps();
    assert!(last > 0);
    let backup = guest.records.clone();
    let mut grown = |guest: &mut Device, by: bool| {
        guest.restart();
        let steps = guest.machine.steps();
        assert_eq!(steps > last, by);
        assert!(steps >= last);
        last = steps;
    };
    settle(&mut server, &mut guest, NOW);
    grown(&mut guest, true);
    guest.encrypt("x", NOW);
    grown(&mut guest, true);
    let event = send(&mut server, &mut host, "$1", "x", NOW);
    deliver(&mut server, &mut guest, NOW);
    grown(&mut guest, true);
    guest.event(&event);
    grown(&mut guest, true);
    let step = guest
        .machine
        .one_time_keys(0, false, NOW + 2 * HOUR)
        .unwrap();
    assert!(guest.step(step).is_some());
    grown(&mut guest, true);
    guest.keys_changed(HOST);
    grown(&mut guest, false);
    assert!(Machine::open(backup).unwrap().steps() < last);
}

#[test]
fn what_changes_nothing_gives_nothing_to_store() {
    let (mut server, mut guest, _) = pair();
    settle(&mut server, &mut guest, NOW);
    let step = guest.machine.prepare(ROOM, &[HOST], NOW).unwrap();
    assert_eq!(step.output, Prepare::Ready);
    assert!(step.changes.is_empty(), "{:?}", step.changes);
    let step = guest.machine.keys_changed(HOST).unwrap();
    assert!(!step.changes.is_empty());
}

#[test]
fn both_sides_have_the_same_safety_code_until_one_changes() {
    let (mut server, mut guest, host) = pair();
    let code = guest.machine.safety_code(HOST).unwrap();
    assert_eq!(host.machine.safety_code(GUEST).unwrap(), code);
    assert_eq!(code.split(' ').map(str::len).collect::<Vec<_>>(), [4; 6]);
    guest.restart();
    assert_eq!(guest.machine.safety_code(HOST).unwrap(), code);
    // That of the changed identity, before it is accepted and after.
    let mut other = Device::new(HOST, "HOSTDEV", GUEST, NOW);
    other.publish(&mut server);
    other.receive_keys(&server.query(GUEST), NOW);
    guest.receive_keys(&server.query(HOST), NOW);
    let changed = other.machine.safety_code(GUEST);
    assert_ne!(changed.as_ref(), Some(&code));
    assert_eq!(guest.machine.safety_code(HOST), changed);
    guest.accept(HOST);
    assert_eq!(guest.machine.safety_code(HOST), changed);
    // Who has no identity has no code.
    let mut server = Server::default();
    RawDevice::new("A", None).publish(&mut server);
    let mut guest = Device::new(GUEST, "GUESTDEV", HOST, NOW);
    assert_eq!(guest.machine.safety_code(HOST), None);
    guest.receive_keys(&server.query(HOST), NOW);
    assert_eq!(guest.machine.safety_code(HOST), None);
}
