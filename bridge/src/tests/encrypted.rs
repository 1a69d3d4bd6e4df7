//! The bot in encrypted rooms: what is followed there, what is refused, and what it says then.

use std::time::Duration;

use super::world::*;
use crate::audit::Act;
use crate::host::ManagementRoom;
use crate::id::{EventId, RoomId, UserId};
use crate::input::{Came, Input, RoomEvent, RoomEventKind, Unread};
use crate::store::Facts;
use crate::testing::sample;
use crate::time::Timestamp;

fn stored(world: &World) -> ManagementRoom {
    world.store.management_room(&management()).unwrap().unwrap()
}

/// A message that came so.
fn came(body: &str, came: Came) -> RoomEventKind {
    RoomEventKind::Message {
        msgtype: "m.text".to_owned(),
        body: body.to_owned(),
        related: false,
        came,
    }
}

fn words(world: &mut World, kind: RoomEventKind) -> Vec<String> {
    world.room_event(&management(), &alice(), kind);
    world.said().into_iter().map(|words| words.plain).collect()
}

fn links(world: &World) -> usize {
    world.store.links_of_host(&alice()).unwrap().len()
}

#[test]
fn an_encrypted_command_is_followed_like_any_other() {
    let mut world = World::new();
    let said = words(&mut world, came("invite", Came::Encrypted));
    assert!(said[0].contains("/#"), "{said:?}");
    assert_eq!(said.len(), 1);
    assert!(stored(&world).encrypted, "it stays encrypted for us");
    let said = words(&mut world, came("invte", Came::Late));
    assert!(said[0].contains("Did you mean `invite`?"), "{said:?}");
}

#[test]
fn in_an_encrypted_room_nothing_in_the_clear_is_followed() {
    let tells: [fn(&mut World); 4] = [
        |world| {
            world.room_event(&management(), &alice(), encrypted());
        },
        |world| {
            world.room_event(&management(), &alice(), RoomEventKind::Encryption);
        },
        |world| {
            let seen = Input::RoomSeen {
                room: management(),
                encrypted: true,
            };
            world.submit(seen).unwrap();
        },
        |world| drop(words(world, came("help", Came::Encrypted))),
    ];
    for tell in tells {
        let mut world = World::new();
        tell(&mut world);
        assert!(world.waiting().is_empty());
        assert!(stored(&world).encrypted);
        // Whatever state the homeserver shows later.
        let seen = Input::RoomSeen {
            room: management(),
            encrypted: false,
        };
        world.submit(seen).unwrap();
        let said = words(&mut world, text("invite"));
        assert!(said[0].contains("came without encryption"), "{said:?}");
        assert_eq!((said.len(), links(&world)), (1, 0));
        // What is no command isn't spoken of.
        let quoted = words(&mut world, text("> invite"));
        assert_eq!(quoted, Vec::<String>::new());
    }
}

#[test]
fn who_may_not_command_the_bot_does_not_tell_it_how_a_room_is() {
    let mut world = World::new();
    let stranger = UserId::new("@eve:elsewhere.net");
    for kind in [
        encrypted(),
        came("invite", Came::Encrypted),
        RoomEventKind::Unread {
            why: Unread::UnsignedDevice,
        },
    ] {
        let decided = world.room_event(&management(), &stranger, kind);
        assert!(decided.changes.is_empty());
    }
    assert!(!stored(&world).encrypted);
}

/// The event is there before what stands in it, and is the same event.
#[test]
fn what_an_encrypted_event_says_counts_once_and_when_it_can_be_read() {
    let mut world = World::new();
    let event = |kind| {
        Input::Room(RoomEvent {
            room: management(),
            event_id: EventId::new("$late"),
            sender: alice(),
            at: Timestamp(world_start()),
            kind,
        })
    };
    world.submit(event(encrypted())).unwrap();
    assert!(world.said().is_empty());
    let read = event(came("invite", Came::Late));
    world.submit(read.clone()).unwrap();
    assert_eq!(world.said().len(), 1);
    world.submit(read).unwrap();
    assert!(world.said().is_empty());
    assert_eq!(links(&world), 1);
}

fn world_start() -> u64 {
    World::new().now.0
}

#[test]
fn a_command_whose_key_comes_too_late_is_asked_for_again() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    for (came_as, age, followed) in [
        (Came::Late, minutes(9), true),
        (Came::Late, minutes(11), false),
        // It was not the key that was late, but the homeserver: as with a plain one.
        (Came::Encrypted, minutes(11), true),
    ] {
        let mut world = World::new();
        let event = RoomEvent {
            room: management(),
            event_id: EventId::new("$late"),
            sender: alice(),
            at: Timestamp(world.now.0 - u64::try_from(age.as_millis()).unwrap()),
            kind: came("invite", came_as),
        };
        world.submit(Input::Room(event)).unwrap();
        let said = world.said();
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].plain.contains("/#"), followed, "{said:?}");
        let again = said[0].plain.contains("11 minutes after you wrote it");
        assert_eq!(again, !followed, "{}", said[0].plain);
        assert_eq!(links(&world), usize::from(followed));
    }
}

#[test]
fn an_unsigned_device_is_not_followed_and_its_owner_reads_what_to_do() {
    let mut world = World::new();
    for (why, what) in [
        (Unread::UnsignedDevice, "verify that device"),
        (Unread::NoKey, "please write it again"),
    ] {
        let said = words(&mut world, RoomEventKind::Unread { why });
        assert_eq!(said.len(), 1);
        assert!(said[0].contains(what), "{said:?}");
    }
}

/// In a room of many most messages are not for the bot.
#[test]
fn in_a_room_of_many_what_can_not_be_read_is_told_once_an_hour() {
    let mut world = World::new();
    world.put_room(ManagementRoom {
        direct: false,
        ..stored(&world)
    });
    let unread = || RoomEventKind::Unread { why: Unread::NoKey };
    assert_eq!(words(&mut world, unread()).len(), 1);
    assert_eq!(words(&mut world, unread()).len(), 0);
    world.pass(Duration::from_secs(60 * 60));
    assert_eq!(words(&mut world, unread()).len(), 1);
}

#[test]
fn an_unencrypted_room_is_told_once_that_an_encrypted_one_is_better() {
    let mut world = World::new();
    world.put_room(ManagementRoom {
        advised: false,
        ..stored(&world)
    });
    assert!(words(&mut world, text("> invite")).is_empty());
    let said = words(&mut world, text("help"));
    assert!(said[1].contains("this room is not encrypted"), "{said:?}");
    assert_eq!(words(&mut world, text("help")).len(), 1);
    // In an encrypted one there is nothing to advise.
    let mut world = World::new();
    world.put_room(ManagementRoom {
        advised: false,
        encrypted: true,
        ..stored(&world)
    });
    let said = words(&mut world, came("help", Came::Encrypted));
    assert_eq!(said.len(), 1);
}

#[test]
fn a_reset_identity_is_told_and_remembered() {
    let mut world = World::new();
    let reset = Input::IdentityReset {
        user: alice(),
        rooms: vec![management(), RoomId::new("!left:example.org")],
    };
    world.submit(reset).unwrap();
    let said = world.said();
    assert_eq!(said.len(), 1);
    assert!(
        said[0]
            .plain
            .starts_with("Your encryption identity was reset.")
    );
    let trail = world.store.audit(None, 10).unwrap();
    assert_eq!(trail[0].act, Act::IdentityReset);
    assert_eq!(trail[0].to.host, Some(alice()));
    let many = crate::reset_words(&sample::user("bob"), false);
    assert!(many.plain.contains(sample::user("bob").as_str()));
}
