//! What a guest's browser sends once it is in.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::world::*;
use crate::bridge::Answer;
use crate::effect::Effect;
use crate::frame::InboxFrame;
use crate::id::{DeviceId, EventId, PortalId, RoomId};
use crate::input::{Input, Outcome};
use crate::refusal::Refusal;
use crate::store::Facts;

#[test]
fn a_message_is_counted_and_moves_the_deadline() {
    let mut world = World::new();
    let portal = world.open(1);
    world.pass(DAY);
    let deadline = world.now + 10 * DAY;
    assert_eq!(
        world.send(portal, 1),
        Ok(Answer::Counted {
            deadline: Some(deadline)
        })
    );
    let stored = world.portal(portal);
    assert_eq!(
        (stored.visit.last_n, stored.last_message_at, stored.ends_at),
        (1, world.now, deadline)
    );
    let expected = Effect::SendEvent {
        portal,
        ghost: stored.ghost,
        device: DeviceId::new(DEVICE),
        room: sealed(1),
        n: 1,
        content: megolm("AwgAEnACgAkL"),
    };
    assert_eq!(world.effects().pop().unwrap().1, expected);
    assert_eq!(world.store.due(deadline, 1).unwrap(), [portal]);
}

#[test]
fn the_browser_hears_what_became_of_its_message() {
    let mut world = World::new();
    let portal = world.open(1);
    world.send(portal, 1).unwrap();
    world.send(portal, 2).unwrap();
    let event_id = EventId::new("$sent");
    world.perform("send_event", Outcome::Sent(event_id.clone()));
    world.perform("send_event", refused());
    assert_eq!(
        world.frames(portal),
        [
            InboxFrame::Delivered { n: 1, event_id },
            InboxFrame::Undelivered {
                n: 2,
                code: "M_FORBIDDEN".to_owned()
            }
        ]
    );
    assert!(!world.portal(portal).is_closed());
}

#[test]
fn a_message_that_arrives_after_the_end_is_not_reported() {
    let mut world = World::new();
    let portal = world.open(1);
    world.send(portal, 1).unwrap();
    world.submit(Input::Leave { portal }).unwrap();
    world.perform("send_event", Outcome::Sent(EventId::new("$sent")));
    assert_eq!(world.frames(portal).len(), 1);
}

#[test]
fn a_number_counts_once_and_without_gaps() {
    let mut world = World::new();
    let portal = world.open(1);
    assert_eq!(world.send(portal, 0), Err(Refusal::BadRequest));
    assert_eq!(world.send(portal, 2), Err(Refusal::Gap { expected: 1 }));
    let first = world.send(portal, 1).unwrap();
    world.pass(DAY);
    let again = world
        .submit(Input::Send {
            portal,
            n: 1,
            content: megolm("other"),
        })
        .unwrap();
    assert!(again.changes.is_empty());
    assert_eq!(again.answer, first);
    // To-device frames are counted by the same numbers.
    let again = world
        .send_to_device(portal, 1, "m.room.encrypted", olm("x"))
        .unwrap();
    assert_eq!(again, first);
    assert_eq!(
        world.send_to_device(portal, 3, "m.room.encrypted", olm("x")),
        Err(Refusal::Gap { expected: 2 })
    );
    assert_eq!(
        world.send(portal, u64::MAX),
        Err(Refusal::Gap { expected: 2 })
    );
    assert_eq!(world.waiting(), ["send_event"]);
}

#[test]
fn each_state_answers_as_its_table_says() {
    let mut world = World::new();
    let unknown = PortalId::from_u128(7);
    assert_eq!(world.send(unknown, 1), Err(Refusal::UnknownChat));
    assert_eq!(
        world.send_to_device(unknown, 1, "m.room.encrypted", olm("x")),
        Err(Refusal::UnknownChat)
    );
    for input in [
        Input::Ack {
            portal: unknown,
            seq: 0,
        },
        Input::Leave { portal: unknown },
    ] {
        assert_eq!(world.submit(input).unwrap_err(), Refusal::UnknownChat);
    }

    let opening = world.opening();
    assert_eq!(world.send(opening, 1), Err(Refusal::NotOpen));
    assert_eq!(
        world.send_to_device(opening, 1, "m.room.encrypted", olm("x")),
        Err(Refusal::NotOpen)
    );

    let mut world = World::new();
    let open = world.open(1);
    world.send(open, 1).unwrap();
    world.submit(Input::Leave { portal: open }).unwrap();
    assert_eq!(world.send(open, 1), Ok(Answer::Counted { deadline: None }));
    assert_eq!(world.send(open, 2), Err(Refusal::Ended));
    assert_eq!(
        world.send_to_device(open, 2, "m.room.encrypted", olm("x")),
        Err(Refusal::Ended)
    );
}

#[test]
fn a_refused_frame_leaves_its_number_free() {
    let mut world = World::new();
    let portal = world.open(1);
    assert_eq!(
        world.send_content(portal, 1, json!({})),
        Err(Refusal::NotEncrypted)
    );
    assert!(world.send(portal, 1).is_ok());
}

/// `content` with another value at `key`, or without it.
fn with(mut content: Value, key: &str, value: Option<Value>) -> Value {
    let object = content.as_object_mut().unwrap();
    match value {
        Some(value) => object.insert(key.to_owned(), value),
        None => object.remove(key),
    };
    content
}

#[test]
fn only_megolm_leaves_as_a_message() {
    let mut world = World::new();
    let portal = world.open(1);
    let table = [
        json!("text"),
        json!([]),
        json!({"msgtype": "m.text", "body": "hello"}),
        olm("x"),
        with(megolm("x"), "algorithm", Some(json!("m.megolm.v2"))),
        with(megolm("x"), "ciphertext", None),
        with(megolm("x"), "ciphertext", Some(json!({"body": "x"}))),
        with(megolm("x"), "session_id", None),
        with(megolm("x"), "session_id", Some(json!(1))),
        with(megolm("x"), "body", Some(json!("hello in the clear"))),
        with(
            megolm("x"),
            "m.relates_to",
            Some(json!({"rel_type": "m.replace"})),
        ),
        with(megolm("x"), "device_id", Some(json!({"body": "x"}))),
    ];
    for content in table {
        assert_eq!(
            world.send_content(portal, 1, content.clone()),
            Err(Refusal::NotEncrypted),
            "{content}"
        );
    }
    for optional in ["device_id", "sender_key"] {
        let n = world.portal(portal).visit.last_n + 1;
        assert!(
            world
                .send_content(portal, n, with(megolm("x"), optional, None))
                .is_ok()
        );
    }
}

#[test]
fn a_message_is_at_most_as_long_as_the_policy_says() {
    let mut world = World::new();
    let portal = world.open(1);
    let rest = megolm("").to_string().len();
    let longest = "x".repeat(16 * 1024 - rest);
    assert_eq!(
        world.send_content(portal, 1, megolm(&format!("{longest}x"))),
        Err(Refusal::TooLarge)
    );
    assert!(world.send_content(portal, 1, megolm(&longest)).is_ok());
}

#[test]
fn keys_go_to_the_hosts_devices_and_are_no_message() {
    let mut world = World::new();
    let portal = world.open(1);
    let ends_at = world.portal(portal).ends_at;
    world.pass(DAY);
    let answer = world
        .send_to_device(portal, 1, "m.room.encrypted", olm("key"))
        .unwrap();
    assert_eq!(
        answer,
        Answer::Counted {
            deadline: Some(ends_at)
        }
    );
    let expected = Effect::SendToDevice {
        portal,
        ghost: world.portal(portal).ghost,
        device: DeviceId::new(DEVICE),
        host: alice(),
        event_type: "m.room.encrypted".to_owned(),
        n: Some(1),
        messages: BTreeMap::from([(DeviceId::new("HOSTDEVICE"), olm("key"))]),
    };
    assert_eq!(world.effects().pop().unwrap().1, expected);
    assert_eq!(world.portal(portal).ends_at, ends_at);

    assert!(
        world
            .send_to_device(portal, 2, "m.room_key.withheld", withheld(&sealed(1)))
            .is_ok()
    );
    world.perform("send_to_device", Outcome::Done);
    world.perform("send_to_device", refused());
    assert_eq!(world.frames(portal), []);
}

#[test]
fn only_olm_and_withheld_notes_leave_to_devices() {
    let mut world = World::new();
    let portal = world.open(1);
    let (encrypted, note) = ("m.room.encrypted", "m.room_key.withheld");
    let other_room = RoomId::new("!other:example.org");
    let table = [
        ("m.room_key", olm("x"), Refusal::BadRequest),
        ("m.room.message", olm("x"), Refusal::BadRequest),
        ("m.room_key_request", json!({}), Refusal::BadRequest),
        (encrypted, json!(null), Refusal::NotEncrypted),
        (encrypted, megolm("x"), Refusal::NotEncrypted),
        (
            encrypted,
            with(olm("x"), "sender_key", None),
            Refusal::NotEncrypted,
        ),
        (
            encrypted,
            with(olm("x"), "body", Some(json!("clear"))),
            Refusal::NotEncrypted,
        ),
        (
            encrypted,
            with(olm("x"), "ciphertext", Some(json!("x"))),
            Refusal::NotEncrypted,
        ),
        (
            encrypted,
            with(olm("x"), "ciphertext", Some(json!({}))),
            Refusal::NotEncrypted,
        ),
        (
            encrypted,
            with(
                olm("x"),
                "ciphertext",
                Some(json!({"k": {"type": 2, "body": "x"}})),
            ),
            Refusal::NotEncrypted,
        ),
        (
            encrypted,
            with(
                olm("x"),
                "ciphertext",
                Some(json!({"k": {"type": 0, "text": "x"}})),
            ),
            Refusal::NotEncrypted,
        ),
        (
            encrypted,
            with(olm("x"), "org.matrix.msgid", Some(json!({}))),
            Refusal::NotEncrypted,
        ),
        (note, olm("x"), Refusal::NotEncrypted),
        (note, withheld(&other_room), Refusal::NotEncrypted),
        (
            note,
            with(withheld(&sealed(1)), "code", Some(json!("hello"))),
            Refusal::NotEncrypted,
        ),
        (
            note,
            with(
                withheld(&sealed(1)),
                "reason",
                Some(json!("hello in the clear")),
            ),
            Refusal::NotEncrypted,
        ),
    ];
    for (event_type, content, expected) in table {
        let result = world.send_to_device(portal, 1, event_type, content.clone());
        assert_eq!(result, Err(expected), "{event_type} {content}");
    }
    let traced = with(olm("x"), "org.matrix.msgid", Some(json!("id")));
    assert!(world.send_to_device(portal, 1, encrypted, traced).is_ok());
    let no_olm = with(
        with(withheld(&sealed(1)), "room_id", None),
        "code",
        Some(json!("m.no_olm")),
    );
    assert!(
        world
            .send_to_device(portal, 2, note, with(no_olm, "session_id", None))
            .is_ok()
    );
}

#[test]
fn to_device_frames_have_bounds() {
    let mut world = World::new();
    let portal = world.open(1);
    let to = |devices: Vec<String>, body: &str| Input::SendToDevice {
        portal,
        n: 1,
        event_type: "m.room.encrypted".to_owned(),
        messages: devices
            .into_iter()
            .map(|device| (DeviceId::new(device), olm(body)))
            .collect(),
    };
    let many = |count: usize| {
        (0..count)
            .map(|number| format!("D{number}"))
            .collect::<Vec<_>>()
    };
    let table = [
        (to(vec![], "x"), Refusal::BadRequest),
        (to(many(101), "x"), Refusal::BadRequest),
        (to(vec!["*".to_owned()], "x"), Refusal::BadRequest),
        (to(vec![String::new()], "x"), Refusal::BadRequest),
        (to(many(1), &"x".repeat(64 * 1024)), Refusal::TooLarge),
        (to(many(8), &"x".repeat(8 * 1024)), Refusal::TooLarge),
    ];
    for (input, expected) in table {
        assert_eq!(world.submit(input).unwrap_err(), expected);
    }
    assert!(world.submit(to(many(100), "x")).is_ok());
}

#[test]
fn a_guest_writes_no_faster_than_allowed() {
    let mut world = World::new();
    let portal = world.open(1);
    for n in 1..=10 {
        assert!(world.send(portal, n).is_ok());
    }
    let wait = Duration::from_secs(1);
    assert_eq!(
        world.send(portal, 11),
        Err(Refusal::RateLimited { retry_after: wait })
    );
    let limited = world.send_to_device(portal, 11, "m.room.encrypted", olm("x"));
    assert_eq!(limited, Err(Refusal::RateLimited { retry_after: wait }));
    world.pass(wait);
    assert!(world.send(portal, 11).is_ok());
    assert!(world.send(portal, 12).is_err());
    // A frame that was counted costs nothing the second time.
    assert!(world.send(portal, 11).is_ok());
}

/// As after a restore from a backup: the browser knows of more than the store does.
#[test]
fn a_browser_may_move_the_count_on_but_never_back() {
    let mut world = World::new();
    let portal = world.open(1);
    world.send(portal, 1).unwrap();
    let recount = |world: &mut World, last_n| world.submit(Input::Recount { portal, last_n });
    assert!(recount(&mut world, 0).unwrap().changes.is_empty());
    assert!(recount(&mut world, 1).unwrap().changes.is_empty());
    assert!(!recount(&mut world, 6).unwrap().changes.is_empty());
    assert_eq!(world.portal(portal).visit.last_n, 6);
    assert_eq!(
        world.send(portal, 8).unwrap_err(),
        Refusal::Gap { expected: 7 }
    );
    world.send(portal, 7).unwrap();
    assert!(recount(&mut world, 2).unwrap().changes.is_empty());
    assert_eq!(world.portal(portal).visit.last_n, 7);

    world.submit(Input::Leave { portal }).unwrap();
    assert!(recount(&mut world, 9).unwrap().changes.is_empty());
    let unknown = PortalId::from_u128(77);
    let nowhere = Input::Recount {
        portal: unknown,
        last_n: 1,
    };
    assert_eq!(world.submit(nowhere).unwrap_err(), Refusal::UnknownChat);
}

#[test]
fn acknowledged_frames_are_deleted() {
    let mut world = World::new();
    let portal = world.open(1);
    for _ in 0..3 {
        world.room_event(&sealed(1), &alice(), encrypted());
    }
    let ack = |world: &mut World, seq| world.submit(Input::Ack { portal, seq });
    assert_eq!(ack(&mut world, 4).unwrap_err(), Refusal::BadRequest);
    assert!(ack(&mut world, 0).unwrap().changes.is_empty());
    assert!(!ack(&mut world, 2).unwrap().changes.is_empty());
    assert_eq!(world.frames(portal).len(), 1);
    assert!(ack(&mut world, 2).unwrap().changes.is_empty());
    assert!(ack(&mut world, 1).unwrap().changes.is_empty());

    world.submit(Input::Leave { portal }).unwrap();
    ack(&mut world, 4).unwrap();
    assert_eq!(world.frames(portal), []);
    assert_eq!(world.portal(portal).last_seq, 4);
}
