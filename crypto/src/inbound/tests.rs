//! Whose session it is, where what was checked before doesn't count.
#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::object::Object;
use crate::records::kind;
use vodozemac::megolm::GroupSession;

fn key_of(group: &GroupSession, sender: &str) -> RoomKey {
    RoomKey {
        sender: sender.to_owned(),
        sender_curve25519: "c".to_owned(),
        sender_ed25519: "e".to_owned(),
        room_id: "!r".to_owned(),
        session_id: group.session_id(),
        session_key: group.session_key(),
    }
}

fn envelope(event_id: &str, sender: &str) -> Envelope {
    Envelope {
        room_id: "!r".to_owned(),
        event_id: event_id.to_owned(),
        sender: sender.to_owned(),
        ts: 0,
    }
}

/// The content of an encrypted event.
fn text_by(group: &mut GroupSession) -> Map<String, Value> {
    let payload =
        r#"{"type":"m.room.message","room_id":"!r","content":{"msgtype":"m.text","body":"x"}}"#;
    Object::default()
        .text("algorithm", crate::MEGOLM)
        .text("session_id", &group.session_id())
        .text("ciphertext", &group.encrypt(payload).to_base64())
        .into_map()
}

#[test]
fn a_session_decrypts_only_for_its_owner() {
    let mut group = GroupSession::new(SessionConfig::version_1());
    let mut inbound = Inbound::default();
    let mut changes = Changes::default();
    let key = key_of(&group, "@alice:example.org");
    inbound.add(&key, 0, &mut changes).unwrap();
    let content = text_by(&mut group);
    let mut receive =
        |sender: &str| inbound.receive(envelope("$1", sender), &content, &mut changes);
    assert!(matches!(
        receive("@bob:example.org"),
        Item::Undecryptable {
            reason: Undecryptable::Mismatch,
            ..
        }
    ));
    assert!(matches!(receive("@alice:example.org"), Item::Text { .. }));
}

#[test]
fn a_session_stays_with_the_user_it_came_from_whatever_key_they_name() {
    let group = GroupSession::new(SessionConfig::version_1());
    let mut inbound = Inbound::default();
    let mut changes = Changes::default();
    let key = |sender: &str| key_of(&group, sender);
    inbound.add(&key("@alice:b"), 0, &mut changes).unwrap();
    let taken = inbound.add(&key("@mallory:b"), 0, &mut changes);
    assert_eq!(taken.unwrap_err(), Refused::Conflict);
}

/// A store gives its records by their keys, in which `held:10` stands before `held:2`.
#[test]
fn keys_that_wait_stay_in_the_order_they_came_in() {
    let mut inbound = Inbound::default();
    let mut changes = Changes::default();
    let keys: Vec<String> = (0..12)
        .map(|_| {
            let key = key_of(&GroupSession::new(SessionConfig::version_1()), "@alice:b");
            let session_id = key.session_id.clone();
            inbound.hold(key, &mut changes);
            session_id
        })
        .collect();
    let mut opened = Inbound::default();
    for bytes in changes.into_records().into_values() {
        opened.open_held(&bytes.unwrap()).unwrap();
    }
    for mut inbound in [inbound, opened] {
        let released = inbound.release(|_| true, &mut Changes::default());
        let released: Vec<String> = released.into_iter().map(|key| key.session_id).collect();
        assert_eq!(released, keys);
    }
}

#[test]
fn of_who_is_forgotten_nothing_stays_and_of_others_everything() {
    let mut inbound = Inbound::default();
    let mut changes = Changes::default();
    let people = ["@alice:b", "@bob:b"];
    let new_group = || GroupSession::new(SessionConfig::version_1());
    let mut groups = people.map(|sender| {
        let [group, early, held] = [new_group(), new_group(), new_group()];
        inbound
            .add(&key_of(&group, sender), 0, &mut changes)
            .unwrap();
        let early = text_by(&mut { early });
        inbound.receive(
            envelope(&format!("${sender}"), sender),
            &early,
            &mut changes,
        );
        inbound.hold(key_of(&held, sender), &mut changes);
        group
    });
    let mut records = changes.into_records();
    assert_eq!(records.len(), 6);
    let mut changes = Changes::default();
    inbound.forget("@alice:b", &mut changes);
    for (key, value) in changes.into_records() {
        assert_eq!(value, None);
        assert!(records.remove(&key).is_some());
    }
    let mut opened = Inbound::default();
    for (key, bytes) in records {
        let bytes = bytes.unwrap();
        match key.split_once(':').unwrap().0 {
            kind::INBOUND => opened.open_session(&bytes).unwrap(),
            kind::WAITING => opened.open_waiting(&bytes).unwrap(),
            _ => opened.open_held(&bytes).unwrap(),
        }
    }
    for mut inbound in [inbound, opened] {
        for (group, sender) in groups.iter_mut().zip(people) {
            let theirs = sender == "@bob:b";
            let waits = |waiting: &Waiting| waiting.envelope.sender == sender;
            assert_eq!(inbound.waiting.iter().any(waits), theirs);
            assert_eq!(inbound.has_held(sender), theirs);
            let event = envelope("$new", sender);
            let item = inbound.receive(event, &text_by(group), &mut Changes::default());
            assert_eq!(matches!(item, Item::Text { .. }), theirs);
        }
    }
}

#[test]
fn a_new_session_drops_an_old_one_of_its_own_room_and_device_alone() {
    let mut inbound = Inbound::default();
    let owned_by = |room_id: &str, sender: &str, curve25519: &str| RoomKey {
        room_id: room_id.to_owned(),
        sender_curve25519: curve25519.to_owned(),
        ..key_of(&GroupSession::new(SessionConfig::version_1()), sender)
    };
    let mut add = |key: RoomKey, now| {
        let mut changes = Changes::default();
        inbound.add(&key, now, &mut changes).unwrap();
        let gone = changes.into_records().into_iter();
        let gone = gone.filter_map(|(key, value)| value.is_none().then_some(key));
        (key.session_id, gone.collect::<Vec<_>>())
    };
    let (first, _) = add(owned_by("!r", "@alice:b", "c"), 0);
    for (room_id, sender, curve25519) in [
        ("!other", "@alice:b", "c"),
        ("!r", "@bob:b", "c"),
        ("!r", "@alice:b", "other"),
        ("!other", "@bob:b", "c"),
        ("!r", "@bob:b", "other"),
        ("!other", "@alice:b", "other"),
    ] {
        for now in [0, 1] {
            add(owned_by(room_id, sender, curve25519), now);
        }
    }
    assert_eq!(add(owned_by("!r", "@alice:b", "c"), 1).1, [""; 0]);
    // The last moment of the grace, and the one after.
    let grace = 8 * 24 * 3_600_000;
    let (_, gone) = add(owned_by("!r", "@alice:b", "c"), grace + 1);
    assert_eq!(gone, [""; 0]);
    let (_, gone) = add(owned_by("!r", "@alice:b", "c"), grace + 2);
    assert_eq!(gone, [format!("inbound:!r|{first}")]);
}
