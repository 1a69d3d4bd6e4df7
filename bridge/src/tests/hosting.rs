//! What the homeserver delivers of a host.

use serde_json::json;

use super::world::*;
use crate::frame::{HostEvent, InboxFrame, ToDeviceEvent};
use crate::id::{DeviceId, EventId};
use crate::input::{Input, Membership, RoomEvent, RoomEventKind, ToDevice};
use crate::portal::{EndReason, PortalState};
use crate::store::Facts;
use crate::testing::sample;
use crate::time::Timestamp;

fn room_event(id: &str, kind: RoomEventKind) -> RoomEvent {
    RoomEvent {
        room: sealed(1),
        event_id: EventId::new(id),
        sender: alice(),
        at: Timestamp(77),
        kind,
    }
}

#[test]
fn a_message_of_the_host_reaches_the_inbox() {
    let mut world = World::new();
    let portal = world.open(1);
    world.pass(DAY);
    world
        .submit(Input::Room(room_event("$1", encrypted())))
        .unwrap();
    let event = HostEvent {
        event_type: "m.room.encrypted".to_owned(),
        event_id: EventId::new("$1"),
        sender: alice(),
        origin_server_ts: Timestamp(77),
        content: megolm("AwgBEnACgAkL"),
        redacts: None,
        unencrypted: false,
        late: false,
    };
    let deadline = world.now + 10 * DAY;
    assert_eq!(
        world.frames(portal),
        [InboxFrame::Event { event, deadline }]
    );
    let stored = world.portal(portal);
    assert_eq!(
        (stored.last_message_at, stored.ends_at),
        (world.now, deadline)
    );
    assert_eq!(world.store.due(deadline, 1).unwrap(), [portal]);
}

#[test]
fn an_event_counts_once() {
    let mut world = World::new();
    let portal = world.open(1);
    world
        .submit(Input::Room(room_event("$1", encrypted())))
        .unwrap();
    let again = world
        .submit(Input::Room(room_event("$1", encrypted())))
        .unwrap();
    assert!(again.changes.is_empty());
    world
        .submit(Input::Room(room_event("$2", encrypted())))
        .unwrap();
    assert_eq!(world.frames(portal).len(), 2);
}

#[test]
fn what_is_no_message_keeps_the_deadline() {
    let mut world = World::new();
    let portal = world.open(1);
    let ends_at = world.portal(portal).ends_at;
    world.pass(DAY);
    let message = |msgtype: &str| RoomEventKind::Message {
        msgtype: msgtype.to_owned(),
        body: "in the clear".to_owned(),
        related: true,
        came: crate::input::Came::Plain,
    };
    let redacts = EventId::new("$gone");
    for kind in [
        message("m.text"),
        message("m.image"),
        RoomEventKind::Other,
        RoomEventKind::Redaction {
            redacts: redacts.clone(),
        },
    ] {
        world.room_event(&sealed(1), &alice(), kind);
    }
    let frames = world.frames(portal);
    assert_eq!(frames.len(), 4);
    for (place, frame) in frames.iter().enumerate() {
        let InboxFrame::Event { event, deadline } = frame else {
            panic!("{frame:?}")
        };
        assert_eq!((&event.content, *deadline), (&json!({}), ends_at));
        let is_redaction = place == 3;
        assert_eq!(event.unencrypted, !is_redaction);
        assert_eq!(event.redacts, is_redaction.then(|| redacts.clone()));
        assert_eq!(
            event.event_type,
            if is_redaction {
                "m.room.redaction"
            } else {
                "m.room.message"
            }
        );
    }
    assert_eq!(world.portal(portal).ends_at, ends_at);
    assert!(
        !serde_json::to_string(&frames)
            .unwrap()
            .contains("in the clear")
    );
}

#[test]
fn nobody_but_the_host_is_relayed() {
    let mut world = World::new();
    let portal = world.open(1);
    let ghost = world.portal(portal).ghost;
    let kinds = [
        encrypted(),
        text("hello"),
        RoomEventKind::Redaction {
            redacts: EventId::new("$x"),
        },
        RoomEventKind::Other,
    ];
    for sender in [ghost, bot(), sample::user("mallory")] {
        for kind in kinds.clone() {
            assert!(
                world
                    .room_event(&sealed(1), &sender, kind)
                    .changes
                    .is_empty()
            );
        }
    }
    assert_eq!(world.frames(portal), []);
}

#[test]
fn memberships_follow_their_table() {
    use Membership::{Ban, Invite, Join, Knock, Leave};
    let ghost_of = |world: &World, portal| world.portal(portal).ghost;
    let stranger = sample::user("mallory");
    let (host, third) = (Some(EndReason::Host), Some(EndReason::ThirdParty));
    let table = [
        (
            alice(),
            "alice",
            [
                (Join, None),
                (Leave, host),
                (Ban, host),
                (Invite, None),
                (Knock, None),
            ],
        ),
        (
            alice(),
            "ghost",
            [
                (Join, None),
                (Leave, host),
                (Ban, host),
                (Invite, None),
                (Knock, None),
            ],
        ),
        (
            alice(),
            "bot",
            [
                (Join, None),
                (Leave, None),
                (Ban, None),
                (Invite, None),
                (Knock, None),
            ],
        ),
        (
            alice(),
            "mallory",
            [
                (Join, third),
                (Leave, None),
                (Ban, None),
                (Invite, third),
                (Knock, third),
            ],
        ),
        (
            stranger,
            "mallory",
            [
                (Join, third),
                (Leave, None),
                (Ban, None),
                (Invite, third),
                (Knock, third),
            ],
        ),
    ];
    for (sender, target, rows) in table {
        for (membership, expected) in rows {
            let mut world = World::new();
            let portal = world.open(1);
            let target = if target == "ghost" {
                ghost_of(&world, portal)
            } else if target == "bot" {
                bot()
            } else {
                sample::user(target)
            };
            world.member(&sealed(1), &sender, &target, membership);
            let state = world.portal(portal).state;
            let reason = match state {
                PortalState::Closed { reason, .. } => Some(reason),
                _ => None,
            };
            assert_eq!(reason, expected, "{sender} makes {target} {membership:?}");
        }
    }
}

#[test]
fn the_ghosts_own_doings_change_nothing() {
    let mut world = World::new();
    let portal = world.open(1);
    let ghost = world.portal(portal).ghost;
    for (target, membership) in [(&ghost, Membership::Join), (&alice(), Membership::Invite)] {
        let stored = world.member(&sealed(1), &ghost, target, membership);
        assert!(stored.changes.is_empty());
    }
}

#[test]
fn the_page_is_told_once_that_the_host_joined() {
    let mut world = World::new();
    let portal = world.open(1);
    world.member(&sealed(1), &alice(), &alice(), Membership::Join);
    assert!(
        world
            .member(&sealed(1), &alice(), &alice(), Membership::Join)
            .changes
            .is_empty()
    );
    assert_eq!(world.frames(portal), [InboxFrame::Host { joined: true }]);
    assert_eq!(
        world.portal(portal).state,
        PortalState::Open {
            room: sealed(1),
            host_joined: true
        }
    );
}

#[test]
fn an_ended_chat_hears_nothing() {
    let mut world = World::new();
    let portal = world.open(1);
    world.submit(Input::Leave { portal }).unwrap();
    assert!(
        world
            .room_event(&sealed(1), &alice(), encrypted())
            .changes
            .is_empty()
    );
    assert!(
        world
            .member(&sealed(1), &alice(), &alice(), Membership::Leave)
            .changes
            .is_empty()
    );
    let olm = world.olm_from_alice(portal, "x");
    assert!(
        world
            .submit(Input::ToDevice(olm))
            .unwrap()
            .changes
            .is_empty()
    );
}

#[test]
fn an_olm_message_of_the_host_reaches_the_inbox_once() {
    let mut world = World::new();
    let portal = world.open(1);
    let first = world.olm_from_alice(portal, "one");
    world.submit(Input::ToDevice(first.clone())).unwrap();
    let event = ToDeviceEvent {
        event_type: "m.room.encrypted".to_owned(),
        sender: alice(),
        content: olm("one"),
    };
    assert_eq!(world.frames(portal), [InboxFrame::ToDevice { event }]);
    let ends_at = world.portal(portal).ends_at;

    // The truth path brings it again, with its keys in another order.
    let text = r#"{"sender_key":"RF3s+E7RkTQTGF2d8Deol0FkQvgII2aJDf3/Jp5mxVU",
        "ciphertext":{"7qZcfnBmbEGzxxaWfBjElJuvn7BZx+lSz/SvFrDF/z8":{"body":"one","type":0}},
        "algorithm":"m.olm.v1.curve25519-aes-sha2"}"#;
    let again = ToDevice {
        content: serde_json::from_str(text).unwrap(),
        ..first
    };
    assert!(
        world
            .submit(Input::ToDevice(again))
            .unwrap()
            .changes
            .is_empty()
    );

    let second = world.olm_from_alice(portal, "two");
    world.submit(Input::ToDevice(second)).unwrap();
    assert_eq!(world.frames(portal).len(), 2);
    assert_eq!(world.portal(portal).ends_at, ends_at);
}

#[test]
fn a_key_that_comes_while_the_room_is_made_is_kept() {
    let mut world = World::new();
    let portal = world.opening();
    let olm = world.olm_from_alice(portal, "early");
    world.submit(Input::ToDevice(olm)).unwrap();
    assert_eq!(world.frames(portal).len(), 1);
}

#[test]
fn to_device_events_of_others_or_for_others_are_dropped() {
    let mut world = World::new();
    let portal = world.open(1);
    let sound = world.olm_from_alice(portal, "x");
    let table = [
        ToDevice {
            sender: sample::user("mallory"),
            ..sound.clone()
        },
        ToDevice {
            device: DeviceId::new("OTHER"),
            ..sound.clone()
        },
        ToDevice {
            ghost: sample::ghost(9),
            ..sound.clone()
        },
        ToDevice {
            event_type: "m.room_key".to_owned(),
            ..sound.clone()
        },
        ToDevice {
            event_type: "m.room_key_request".to_owned(),
            ..sound.clone()
        },
    ];
    for event in table {
        assert!(
            world
                .submit(Input::ToDevice(event))
                .unwrap()
                .changes
                .is_empty()
        );
    }
    assert_eq!(world.frames(portal), []);
}

#[test]
fn what_is_found_in_the_past_is_marked_and_counts_once() {
    let mut world = World::new();
    let portal = world.open(1);
    world
        .submit(Input::Room(room_event("$2", encrypted())))
        .unwrap();
    for _ in 0..2 {
        for id in ["$1", "$2"] {
            world
                .submit(Input::Past(room_event(id, encrypted())))
                .unwrap();
        }
        world
            .submit(Input::Room(room_event("$1", encrypted())))
            .unwrap();
    }
    let came = world.frames(portal).into_iter().map(|frame| match frame {
        InboxFrame::Event { event, .. } => (event.event_id.to_string(), event.late),
        other => panic!("{other:?}"),
    });
    let expected = [("$2", false), ("$1", true)];
    assert!(came.eq(expected.map(|(id, late)| (id.to_owned(), late))));
}

#[test]
fn an_old_command_is_not_carried_out() {
    let mut world = World::new();
    let command = RoomEvent {
        room: management(),
        ..room_event("$old", text("invite"))
    };
    assert!(
        world
            .submit(Input::Past(command))
            .unwrap()
            .changes
            .is_empty()
    );
}
