//! Events of the room: which are shown, which wait, and which are not believed.

use crate::common::raw::*;
use crate::common::*;
use serde_json::json;
use vestibule_crypto::{Item, Undecryptable};

#[test]
fn the_room_inside_is_not_the_room_outside() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    raw.share(&mut guest);
    let mut payload = text_payload("hello");
    payload["room_id"] = json!("!other:example.org");
    let event = raw.megolm("$1", &payload);
    assert_eq!(reason(&guest.event(&event)), Undecryptable::Mismatch);
    payload.as_object_mut().unwrap().remove("room_id");
    let event = raw.megolm("$2", &payload);
    assert_eq!(reason(&guest.event(&event)), Undecryptable::Mismatch);
}

#[test]
fn a_key_for_another_room_opens_nothing_in_this_one() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    let mut payload = raw.room_key(&guest);
    payload["content"]["room_id"] = json!("!other:example.org");
    let event = raw.olm(&guest, &payload);
    guest.receive_olm(&event, NOW);
    let event = raw.text("$1", "hello");
    assert_eq!(reason(&guest.event(&event)), Undecryptable::NoKey);
}

#[test]
fn the_same_ciphertext_under_another_event_id_is_a_replay() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    raw.share(&mut guest);
    let mut event = raw.text("$1", "hello");
    assert_eq!(body(&guest.event(&event)), "hello");
    guest.restart();
    assert_eq!(
        body(&guest.event(&event)),
        "hello",
        "the same event again is no replay"
    );
    event["event_id"] = json!("$2");
    assert_eq!(reason(&guest.event(&event)), Undecryptable::Replay);
}

#[test]
fn a_better_key_of_the_same_device_replaces_the_later_one() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    let early = raw.room_key(&guest);
    let first = raw.text("$1", "one");
    raw.share(&mut guest);
    assert_eq!(reason(&guest.event(&first)), Undecryptable::NoKey);
    let event = raw.olm(&guest, &early);
    let received = guest.receive_olm(&event, NOW);
    assert_eq!(body(&received.items[0]), "one");
    let event = raw.text("$2", "two");
    assert_eq!(body(&guest.event(&event)), "two");
}

#[test]
fn an_unencrypted_message_is_named_and_its_content_not_shown() {
    let (_, mut guest, _, _) = guest_and_raw();
    let event = json!({"type": "m.room.message", "event_id": "$1", "sender": HOST,
        "origin_server_ts": NOW, "content": {"msgtype": "m.text", "body": "plain"}});
    let json = serde_json::to_string(&guest.event(&event)).unwrap();
    assert!(
        json.contains("unencrypted") && !json.contains("plain"),
        "{json}"
    );
}

/// The bridge says that an event came without encryption; whatever its type, it is nobody's word.
#[test]
fn what_came_unencrypted_is_neither_read_nor_obeyed() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    raw.share(&mut guest);
    let text = raw.text("$1", "hello");
    let redaction = json!({"type": "m.room.redaction", "event_id": "$2", "sender": HOST,
        "origin_server_ts": NOW, "redacts": "$1", "content": {}});
    for mut event in [text, redaction] {
        event["unencrypted"] = json!(true);
        let item = serde_json::to_value(guest.event(&event)).unwrap();
        assert_eq!(item["what"], "unencrypted", "{item}");
        event["unencrypted"] = json!(false);
        let item = serde_json::to_value(guest.event(&event)).unwrap();
        assert_ne!(item["kind"], "unsupported", "{item}");
    }
}

#[test]
fn a_redaction_names_what_it_takes_back() {
    let (_, mut guest, _, _) = guest_and_raw();
    let mut event = json!({"type": "m.room.redaction", "event_id": "$2", "sender": HOST,
        "origin_server_ts": NOW, "redacts": "$1", "content": {}});
    let expected = json!({"kind": "redaction", "event_id": "$2", "sender": HOST, "ts": NOW,
        "redacts": "$1"});
    assert_eq!(serde_json::to_value(guest.event(&event)).unwrap(), expected);
    event.as_object_mut().unwrap().remove("redacts");
    event["content"]["redacts"] = json!("$1");
    assert_eq!(serde_json::to_value(guest.event(&event)).unwrap(), expected);
}

#[test]
fn old_sessions_are_dropped_once_their_device_made_a_new_one() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    raw.share(&mut guest);
    let old = raw.text("$1", "old");
    let rotated = vodozemac::megolm::GroupSession::new(Default::default());
    let mut former = std::mem::replace(&mut raw.group, rotated);
    let payload = raw.room_key(&guest);
    let event = raw.olm(&guest, &payload);
    assert_eq!(guest.receive_olm(&event, NOW + 7 * DAY).refused, None);
    assert_eq!(body(&guest.event(&old)), "old", "within the grace");
    let payload = {
        raw.group = vodozemac::megolm::GroupSession::new(Default::default());
        raw.room_key(&guest)
    };
    let event = raw.olm(&guest, &payload);
    guest.receive_olm(&event, NOW + 15 * DAY + 1);
    std::mem::swap(&mut former, &mut raw.group);
    let late = raw.text("$2", "late");
    assert_eq!(reason(&guest.event(&late)), Undecryptable::NoKey);
    assert_eq!(
        guest
            .records
            .keys()
            .filter(|k| k.starts_with("inbound"))
            .count(),
        2
    );
}

#[test]
fn what_waits_is_bounded() {
    let (mut server, mut guest, _, mut raw) = guest_and_raw();
    for n in 0..250 {
        let event = raw.text(&format!("$w{n}"), "x");
        guest.event(&event);
    }
    assert_eq!(
        guest
            .records
            .keys()
            .filter(|k| k.starts_with("waiting"))
            .count(),
        200
    );
    let mut unknown = RawDevice::new("UNKNOWN", None);
    unknown.connect(&mut server, &guest);
    for _ in 0..30 {
        unknown.group = vodozemac::megolm::GroupSession::new(Default::default());
        let payload = unknown.room_key(&guest);
        let event = unknown.olm(&guest, &payload);
        guest.receive_olm(&event, NOW);
    }
    assert_eq!(
        guest
            .records
            .keys()
            .filter(|k| k.starts_with("held"))
            .count(),
        16
    );
    for _ in 0..6 {
        raw.connect(&mut server, &guest);
        let payload = raw.room_key(&guest);
        let event = raw.olm(&guest, &payload);
        guest.receive_olm(&event, NOW);
    }
    // Four with this device, one with the unknown one.
    assert_eq!(
        guest
            .records
            .keys()
            .filter(|k| k.starts_with("olm"))
            .count(),
        5
    );
}

/// A store gives its records by their keys, in which `waiting:10` stands before `waiting:2`.
#[test]
fn what_waits_is_shown_in_the_order_it_came_in() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    let payload = raw.room_key(&guest);
    let key = raw.olm(&guest, &payload);
    let texts: Vec<String> = (0..12).map(|n| format!("text {n}")).collect();
    for text in &texts {
        let event = raw.text(&format!("${text}"), text);
        assert_eq!(reason(&guest.event(&event)), Undecryptable::NoKey);
    }
    guest.restart();
    let items = guest.receive_olm(&key, NOW).items;
    assert_eq!(items.iter().map(body).collect::<Vec<_>>(), texts);
}

#[test]
fn what_was_taken_back_before_it_came_is_a_removal() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    raw.share(&mut guest);
    let mut event = raw.text("$1", "hello");
    event["content"] = json!({});
    let item = guest.event(&event);
    assert!(
        matches!(&item, Item::Redaction { event_id, redacts, .. } if event_id == "$1" && redacts == "$1"),
        "{item:?}"
    );
    event["event_id"] = json!("$2");
    event["content"] = json!({"algorithm": "m.megolm.v1.aes-sha2"});
    assert_eq!(reason(&guest.event(&event)), Undecryptable::Malformed);
}

/// A client that never begins another session makes no record without end.
#[test]
fn of_a_long_session_the_latest_messages_are_remembered() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    raw.share(&mut guest);
    let mut first = raw.text("$0", "first");
    assert_eq!(body(&guest.event(&first)), "first");
    let second = raw.text("$1", "second");
    for n in 2..1003 {
        let event = raw.text(&format!("${n}"), "x");
        assert_eq!(body(&guest.event(&event)), "x");
    }
    let (_, record) = guest
        .records
        .iter()
        .find(|(key, _)| key.starts_with("inbound"))
        .unwrap();
    let seen = String::from_utf8_lossy(record).matches("event_id").count();
    assert_eq!(seen, 1000);
    guest.restart();
    first["event_id"] = json!("$again");
    assert_eq!(reason(&guest.event(&first)), Undecryptable::Replay);
    // What comes so late can't be told from a repetition either.
    assert_eq!(reason(&guest.event(&second)), Undecryptable::Replay);
    let mut last = raw.text("$last", "last");
    assert_eq!(body(&guest.event(&last)), "last");
    last["event_id"] = json!("$again");
    assert_eq!(reason(&guest.event(&last)), Undecryptable::Replay);
}
