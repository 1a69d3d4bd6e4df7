//! What only the bot's device may do.

use crate::common::raw::{Identity, RawDevice};
use crate::common::several::*;
use crate::common::*;
use serde_json::{Value, json};
use vestibule_crypto::{AnewError, Blocked, CryptoError, HostIdentity, Item, Machine, Prepare};

fn anew(bot: &mut Device, device: &str) {
    let (machine, changes) = Machine::anew(bot.records.clone(), device, NOW).unwrap();
    bot.machine = machine;
    bot.store(changes);
}

#[test]
fn another_device_keeps_whom_it_knows_and_nothing_of_the_old_ratchets() {
    let (mut server, mut bot, mut alice, mut bob) = three();
    say(&mut server, &mut bot, &[HOST, BOB], "$1");
    let early = send(&mut server, &mut bob, "$2", "unread", NOW);
    bot.event(&early);
    deliver(&mut server, &mut alice, NOW);
    let code = bot.machine.safety_code(HOST);
    assert!(code.is_some() && alice.machine.safety_code(BOT) == code);
    let master = |bot: &Device| bot.machine.public_keys().unwrap().master_key;
    let before = master(&bot);
    let old = serde_json::to_value(bot.machine.public_keys().unwrap()).unwrap();

    anew(&mut bot, "BOTDEV2");
    let check = |bot: &Device| {
        assert_eq!(bot.id(), "BOTDEV2");
        assert_eq!(master(bot), before);
        assert_eq!(bot.peers(), [HOST, BOB]);
        assert_eq!(bot.machine.safety_code(HOST), code);
        let new = serde_json::to_value(bot.machine.public_keys().unwrap()).unwrap();
        assert_eq!(new["one_time_keys"].as_object().unwrap().len(), 50);
        for list in ["one_time_keys", "fallback_keys"] {
            for key in new[list].as_object().unwrap().values() {
                assert!(!old.to_string().contains(key["key"].as_str().unwrap()));
            }
        }
    };
    check(&bot);
    bot.restart();
    check(&bot);
    let kinds: Vec<&str> = bot
        .records
        .keys()
        .map(|key| key.split(':').next().unwrap())
        .collect();
    assert_eq!(kinds, ["account", "cross_signing", "peer", "peer", "steps"]);

    // Everybody's keys are asked for first, and a new session begins.
    let users = vec![HOST.to_owned(), BOB.to_owned()];
    assert_eq!(
        bot.prepare_for(&[HOST, BOB], NOW),
        Prepare::KeysQuery { users }
    );
    server.device_keys.remove(BOT);
    bot.publish(&mut server);
    let event = say(&mut server, &mut bot, &[HOST, BOB], "$3");
    alice.receive_keys(&server.query(BOT), NOW);
    deliver(&mut server, &mut alice, NOW);
    assert_eq!(body(&alice.event(&event)), "hello");
    let answer = send(&mut server, &mut alice, "$4", "to the new one", NOW);
    deliver(&mut server, &mut bot, NOW);
    assert_eq!(body(&bot.event(&answer)), "to the new one");
}

#[test]
fn a_pinned_identity_stays_pinned_for_another_device() {
    let (mut server, mut bot, _, _) = three();
    bot.receive_keys(&server.query(HOST), NOW);
    anew(&mut bot, "BOTDEV2");
    Identity::new().publish(&mut server);
    let identity = bot.receive_keys(&server.query(HOST), NOW).identity;
    assert_eq!(identity, HostIdentity::Changed);
    // And a change that waits to be accepted goes on to wait.
    anew(&mut bot, "BOTDEV3");
    let users = vec![HOST.to_owned()];
    let reason = Blocked::IdentityChanged;
    assert_eq!(
        bot.prepare_for(&[HOST], NOW),
        Prepare::Blocked { reason, users }
    );
}

/// What could not be claimed for the old device was not refused to the new one.
#[test]
fn another_device_claims_at_once() {
    let (mut server, mut bot, _, _) = three();
    let place = (HOST.to_owned(), "DEVICE".to_owned());
    server.one_time_keys.remove(&place);
    server.fallback_keys.remove(&place);
    let blocked = |bot: &mut Device, server: &mut Server| {
        bot.receive_keys(&server.query(HOST), NOW);
        let Prepare::KeysClaim { devices } = bot.prepare_for(&[HOST], NOW) else {
            panic!("no claim");
        };
        bot.receive_claim(&server.claim_all(&devices), NOW);
        let next = bot.prepare_for(&[HOST], NOW);
        assert!(matches!(next, Prepare::Blocked { .. }), "{next:?}");
    };
    blocked(&mut bot, &mut server);
    anew(&mut bot, "BOTDEV2");
    blocked(&mut bot, &mut server);
}

#[test]
fn another_device_has_another_id_and_readable_records() {
    let (_, bot, _, _) = three();
    let error = Machine::anew(bot.records.clone(), "BOTDEV", NOW).unwrap_err();
    assert_eq!(error, AnewError::Crypto(CryptoError::BadInput));
    let mut records = bot.records.clone();
    records.remove("cross_signing");
    let error = Machine::anew(records, "BOTDEV2", NOW).unwrap_err();
    assert!(matches!(error, AnewError::Open(_)), "{error:?}");
}

#[test]
fn anything_can_be_said_and_its_relation_is_seen_by_the_homeserver() {
    let (mut server, mut bot, mut alice, _) = three();
    say(&mut server, &mut bot, &[HOST], "$1");
    let encrypt = |bot: &mut Device, content: Value| {
        let content = content.as_object().unwrap();
        let step = bot
            .machine
            .encrypt_content(ROOM, &[HOST], "m.room.message", content, NOW);
        step.map(|step| bot.step(step))
    };
    let relation =
        json!({"rel_type": "m.thread", "event_id": "$0", "m.in_reply_to": {"event_id": "$9"}});
    let notice = json!({"msgtype": "m.notice", "body": "a link", "m.relates_to": relation});
    let content = encrypt(&mut bot, notice).unwrap();
    assert_eq!(content["m.relates_to"], relation);
    assert!(!content.to_string().contains("a link"));
    deliver(&mut server, &mut alice, NOW);
    let item = alice.event(&room_event(BOT, "$2", &content));
    let Item::Text {
        room_id,
        body,
        reply_to,
        thread,
        ..
    } = item
    else {
        panic!("{item:?}")
    };
    assert_eq!((room_id.as_str(), body.as_str()), (ROOM, "a link"));
    assert_eq!(
        (reply_to.as_deref(), thread.as_deref()),
        (Some("$9"), Some("$0"))
    );
    let content = encrypt(&mut bot, json!({"msgtype": "m.text", "body": "x"})).unwrap();
    assert!(content.get("m.relates_to").is_none());

    let long = |length| json!({"msgtype": "m.text", "body": "x".repeat(length)});
    assert!(encrypt(&mut bot, long(40_000)).unwrap().to_string().len() <= 60 * 1024);
    let before = bot.records.clone();
    assert_eq!(
        encrypt(&mut bot, long(50_000)).unwrap_err(),
        CryptoError::TooLong
    );
    assert_eq!(bot.records, before);
    bot.keys_changed(HOST);
    assert_eq!(
        encrypt(&mut bot, long(1)).unwrap_err(),
        CryptoError::NotReady
    );
}

/// The answer to one question says nothing of those whom another one is about.
#[test]
fn questions_that_cross_are_answered_each_for_itself() {
    let (mut server, mut bot, _, _) = three();
    let ask = |bot: &mut Device, user: &str| {
        let Prepare::KeysQuery { users } = bot.prepare_for(&[user], NOW) else {
            panic!("no query");
        };
        (bot.machine.asked(&users), users)
    };
    let (about_alice, alice) = ask(&mut bot, HOST);
    let (about_bob, bob) = ask(&mut bot, BOB);
    for (asked, users) in [(about_alice, alice), (about_bob, bob)] {
        let answer = server.query_all(&users);
        let step = bot.machine.receive_keys_of(asked, &answer, NOW).unwrap();
        assert_eq!(bot.step(step).peers.len(), 1);
    }
    let claim = |bot: &mut Device, user: &str| match bot.prepare_for(&[user], NOW) {
        Prepare::KeysClaim { devices } => devices,
        other => panic!("{other:?}"),
    };
    let for_alice = claim(&mut bot, HOST);
    let for_bob = {
        let step = bot.machine.prepare("!other:example.org", &[BOB], NOW);
        match bot.step(step.unwrap()) {
            Prepare::KeysClaim { devices } => devices,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        (for_alice.clone(), for_bob.clone()),
        (just(HOST, "DEVICE"), just(BOB, "DEVICE"))
    );
    for devices in [for_alice, for_bob] {
        let answer = server.claim_all(&devices);
        let step = bot.machine.receive_claim_of(&devices, &answer, NOW);
        bot.step(step.unwrap());
    }
    for (room, user) in [(ROOM, HOST), ("!other:example.org", BOB)] {
        let step = bot.machine.prepare(room, &[user], NOW).unwrap();
        let next = bot.step(step);
        let Prepare::ToDevice { messages, .. } = next else {
            panic!("{next:?}");
        };
        assert!(messages.contains_key(user));
    }
}

/// Of two answers the one to the earlier question may be the older one.
#[test]
fn an_answer_that_others_overtook_is_asked_for_again() {
    let (server, mut bot, _, _) = three();
    let users = vec![HOST.to_owned()];
    assert!(matches!(
        bot.prepare_for(&[HOST], NOW),
        Prepare::KeysQuery { .. }
    ));
    let (early, late) = (bot.machine.asked(&users), bot.machine.asked(&users));
    let answer = server.query_all(&users);
    for (asked, outdated) in [(late, false), (early, true)] {
        let step = bot.machine.receive_keys_of(asked, &answer, NOW).unwrap();
        bot.step(step);
        let next = bot.prepare_for(&[HOST], NOW);
        assert_eq!(
            matches!(next, Prepare::KeysQuery { .. }),
            outdated,
            "{next:?}"
        );
    }
}

/// A message that can't be read yet may be one whose key is there and waits for its device.
#[test]
fn a_key_that_waits_is_known_by_its_room_and_its_session() {
    let (mut server, mut bot, _, _) = three();
    let mut unknown = RawDevice::owned_by(HOST, "UNKNOWN", None);
    unknown.connect(&mut server, &bot);
    let other = RawDevice::owned_by(HOST, "OTHER", None);
    let session = unknown.group.session_id();
    assert!(!bot.machine.holds_key(ROOM, &session));
    let payload = unknown.room_key(&bot);
    let event = unknown.olm(&bot, &payload);
    bot.receive_olm(&event, NOW);
    bot.restart();
    assert!(bot.machine.holds_key(ROOM, &session));
    assert!(!bot.machine.holds_key("!other:example.org", &session));
    assert!(!bot.machine.holds_key(ROOM, &other.group.session_id()));
}
