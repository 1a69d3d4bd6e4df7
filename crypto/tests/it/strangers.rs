//! Those who were never met, and those who pretend to be somebody else.

use crate::common::raw::*;
use crate::common::several::*;
use crate::common::*;
use serde_json::json;
use vestibule_crypto::{CryptoError, Prepare, Refused, Undecryptable};

#[test]
fn who_was_never_met_has_no_effect_and_gets_nothing() {
    let (mut server, mut bot, _, _) = three();
    let mut mallory = Device::new(MALLORY, "DEVICE", BOT, NOW);
    mallory.publish(&mut server);
    mallory.receive_keys(&server.query(BOT), NOW);
    let event = send(&mut server, &mut mallory, "$1", "hello", NOW);
    let before = bot.records.clone();
    let received = deliver(&mut server, &mut bot, NOW);
    assert_eq!(received[0].refused, Some(Refused::Stranger));
    let step = bot.machine.receive_event(ROOM, &event).unwrap();
    assert_eq!(bot.step(step), []);
    let keys = bot.machine.receive_keys(&server.query(MALLORY), NOW);
    assert_eq!(keys.unwrap_err(), CryptoError::NoKeys);
    let prepared = bot.machine.prepare(ROOM, &[HOST, MALLORY], NOW);
    assert_eq!(prepared.unwrap_err(), CryptoError::Stranger);
    let content = bot.machine.encrypt_text(ROOM, &[MALLORY], "x", NOW);
    assert_eq!(content.unwrap_err(), CryptoError::Stranger);
    assert_eq!(bot.machine.safety_code(MALLORY), None);
    assert_eq!(bot.machine.meet(BOT).unwrap_err(), CryptoError::BadInput);
    assert_eq!(bot.records, before);
    assert_eq!(bot.peers(), [HOST, BOB]);
}

/// Mallory, a peer too, publishes Alice's Curve25519 key as that of a device of his own.
fn with_stolen_key() -> (Server, Device, RawDevice, RawDevice) {
    let mut server = Server::default();
    let mut bot = Device::alone(BOT, "BOTDEV", NOW);
    bot.publish(&mut server);
    let mut devices = [HOST, MALLORY].map(|user| {
        let identity = Identity::new();
        identity.publish_for(&mut server, user);
        bot.meet(user);
        (
            RawDevice::owned_by(user, "DEVICE", Some(&identity)),
            identity,
        )
    });
    let key = devices[0].0.account.curve25519_key().to_base64();
    let (mallory, identity) = &mut devices[1];
    mallory.device_keys["keys"]["curve25519:DEVICE"] = json!(key);
    mallory.device_keys["signatures"] = json!({});
    let mut keys = mallory.device_keys.clone();
    sign(&mut keys, MALLORY, "DEVICE", |b| mallory.account.sign(b));
    let signer = &identity.self_signing;
    sign(&mut keys, MALLORY, &signer.public_key().to_base64(), |b| {
        signer.sign(b)
    });
    mallory.device_keys = keys;
    let [(mut alice, _), (mut mallory, _)] = devices;
    alice.publish(&mut server);
    mallory.publish(&mut server);
    let users = [HOST.to_owned(), MALLORY.to_owned()];
    let step = bot
        .machine
        .receive_keys(&server.query_all(&users), NOW)
        .unwrap();
    let devices: usize = bot.step(step).peers.iter().map(|peer| peer.devices).sum();
    assert_eq!(devices, 2, "the stolen key is well signed by the thief");
    alice.connect(&mut server, &bot);
    (server, bot, alice, mallory)
}

#[test]
fn a_message_sent_on_in_another_name_takes_nothing_from_its_writer() {
    let (_, mut bot, mut alice, _) = with_stolen_key();
    alice.share(&mut bot);
    let payload = alice.room_key(&bot);
    let event = alice.olm(&bot, &payload);
    let mut sent_on = event.clone();
    sent_on["sender"] = json!(MALLORY);
    let before = bot.records.clone();
    assert!(bot.receive_olm(&sent_on, NOW).refused.is_some());
    bot.records.remove("healing");
    assert_eq!(bot.records, before, "Alice's session took no step");
    assert_eq!(bot.receive_olm(&event, NOW).refused, None);
}

#[test]
fn a_pre_key_message_over_the_fallback_key_makes_no_second_session_in_another_name() {
    let (mut server, mut bot, mut alice, _) = with_stolen_key();
    server
        .one_time_keys
        .remove(&(BOT.to_owned(), "BOTDEV".to_owned()));
    alice.connect(&mut server, &bot);
    let payload = alice.room_key(&bot);
    let event = alice.olm(&bot, &payload);
    assert_eq!(bot.receive_olm(&event, NOW).refused, None);
    let before = bot.records.clone();
    let mut sent_on = event.clone();
    sent_on["sender"] = json!(MALLORY);
    assert_eq!(
        bot.receive_olm(&sent_on, NOW).refused,
        Some(Refused::Mismatch)
    );
    assert_eq!(bot.records, before);
    bot.restart();
    let event = alice.olm(&bot, &payload);
    assert_eq!(bot.receive_olm(&event, NOW).refused, None);
}

#[test]
fn a_key_for_the_thief_does_not_go_over_the_session_of_the_robbed() {
    let (mut server, mut bot, mut alice, _) = with_stolen_key();
    alice.share(&mut bot);
    // Alice's session is there; for Mallory's device one must be claimed.
    let prepared = bot.prepare_for(&[HOST, MALLORY], NOW);
    let devices = just(MALLORY, "DEVICE");
    assert_eq!(
        prepared,
        Prepare::KeysClaim {
            devices: devices.clone()
        }
    );
    let answer = server.claim_all(&devices);
    bot.receive_claim(&answer, NOW);
    let Prepare::ToDevice { messages, .. } = bot.prepare_for(&[HOST, MALLORY], NOW) else {
        panic!()
    };
    let session_type = |user: &str| {
        let ciphertext = &messages[user]["DEVICE"]["ciphertext"];
        ciphertext.as_object().unwrap().values().next().unwrap()["type"].clone()
    };
    assert_eq!(session_type(HOST), json!(1), "by the session she began");
    assert_eq!(session_type(MALLORY), json!(0), "by one of its own");
}

#[test]
fn a_session_of_one_reads_nothing_of_another() {
    let (mut server, mut bot, mut alice, mut bob) = three();
    bot.receive_keys(&server.query(HOST), NOW);
    bot.receive_keys(&server.query(BOB), NOW);
    let mut event = send(&mut server, &mut alice, "$1", "hers", NOW);
    deliver(&mut server, &mut bot, NOW);
    event["sender"] = json!(BOB);
    assert_eq!(reason(&bot.event(&event)), Undecryptable::Mismatch);
    event["sender"] = json!(HOST);
    assert_eq!(body(&bot.event(&event)), "hers");
    let event = send(&mut server, &mut bob, "$2", "his", NOW);
    deliver(&mut server, &mut bot, NOW);
    assert_eq!(body(&bot.event(&event)), "his");
}

#[test]
fn nobody_takes_over_the_session_of_another() {
    let (mut server, mut bot, mut alice, mut mallory) = with_stolen_key();
    alice.share(&mut bot);
    mallory.connect(&mut server, &bot);
    mallory.device_keys = RawDevice::owned_by(MALLORY, "X", None).device_keys;
    let mut payload = mallory.room_key(&bot);
    payload
        .as_object_mut()
        .unwrap()
        .remove("sender_device_keys");
    payload["content"] = alice.room_key(&bot)["content"].clone();
    // Well trusted: a device with his true keys, signed by him.
    let identity = Identity::new();
    let mut server = Server::default();
    identity.publish_for(&mut server, MALLORY);
    let step = bot.machine.forget(MALLORY).unwrap();
    bot.step(step);
    bot.meet(MALLORY);
    let mut keys = json!({"user_id": MALLORY, "device_id": "X",
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": {"curve25519:X": mallory.account.curve25519_key().to_base64(),
            "ed25519:X": mallory.account.ed25519_key().to_base64()}});
    sign(&mut keys, MALLORY, "X", |b| mallory.account.sign(b));
    let signer = &identity.self_signing;
    sign(&mut keys, MALLORY, &signer.public_key().to_base64(), |b| {
        signer.sign(b)
    });
    server
        .device_keys
        .entry(MALLORY.to_owned())
        .or_default()
        .insert("X".to_owned(), keys);
    assert_eq!(bot.receive_keys(&server.query(MALLORY), NOW).devices, 1);
    let event = mallory.olm(&bot, &payload);
    assert_eq!(
        bot.receive_olm(&event, NOW).refused,
        Some(Refused::Conflict)
    );
    let event = alice.text("$1", "hers");
    assert_eq!(body(&bot.event(&event)), "hers");
}

#[test]
fn what_waits_of_one_pushes_out_nothing_of_another() {
    let (_, mut bot, _, _) = three();
    let mut hers = RawDevice::owned_by(HOST, "X", None);
    let mut his = RawDevice::owned_by(BOB, "X", None);
    bot.event(&hers.text("$hers", "x"));
    for n in 0..210 {
        bot.event(&his.text(&format!("$his{n}"), "x"));
    }
    let waiting = |sender: &str| {
        let records = bot
            .records
            .iter()
            .filter(|(key, _)| key.starts_with("waiting"));
        let texts = records.map(|(_, record)| String::from_utf8_lossy(record).into_owned());
        texts.filter(|text| text.contains(sender)).count()
    };
    assert_eq!((waiting(HOST), waiting(BOB)), (1, 200));
}

/// Nobody fills the store of somebody who talks with them.
#[test]
fn what_is_kept_of_one_is_bounded() {
    let (mut server, mut bot, mut alice, _) = with_stolen_key();
    let place = (BOT.to_owned(), "BOTDEV".to_owned());
    server.one_time_keys.remove(&place);
    let kept = |bot: &Device, kind: &str| {
        let kinds = bot.records.keys().filter(|key| key.starts_with(kind));
        kinds.count()
    };
    alice.share(&mut bot);
    let first = alice.text("$first", "of the first session");
    for _ in 0..510 {
        alice.group = vodozemac::megolm::GroupSession::new(Default::default());
        alice.share(&mut bot);
    }
    assert_eq!(kept(&bot, "inbound"), 500);
    let latest = alice.text("$latest", "of the latest session");
    assert_eq!(body(&bot.event(&latest)), "of the latest session");
    assert_eq!(reason(&bot.event(&first)), Undecryptable::NoKey);
    // Each pre-key message over the fallback key may name another sender key.
    for n in 0..210 {
        let mut other = RawDevice::owned_by(HOST, &format!("D{n}"), None);
        other.connect(&mut server, &bot);
        let payload = other.room_key(&bot);
        let event = other.olm(&bot, &payload);
        bot.receive_olm(&event, NOW);
    }
    assert_eq!(kept(&bot, "olm"), 200);
    bot.restart();
    assert_eq!(kept(&bot, "olm"), 200);
}
