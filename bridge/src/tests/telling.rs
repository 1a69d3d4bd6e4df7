//! What a host is told unasked, and where.

use std::time::Duration;

use super::alarms::{HOUR, pass, ring, tell};
use super::world::*;
use crate::host::ManagementRoom;
use crate::id::PortalId;
use crate::input::{Input, Membership};
use crate::link::Token;
use crate::refusal::Refusal;
use crate::store::Facts;
use crate::testing::sample;

#[test]
fn an_absence_is_told_once_while_something_waits() {
    let mut world = World::new();
    let portal = world.open(1);
    world.room_event(&sealed(1), &alice(), encrypted());
    assert!(pass(&mut world, 3 * DAY - HOUR).is_empty());
    let said = pass(&mut world, HOUR);
    assert_eq!(
        said,
        [
            "Bob (number 1) hasn't opened the chat for 3 days. What you wrote waits for them; the chat ends in 7 days \
          unless one of you writes."
        ]
    );
    assert!(pass(&mut world, 2 * DAY).is_empty());
    // They were there, read it, and went away again.
    world.submit(Input::Seen { portal }).unwrap();
    world.submit(Input::Ack { portal, seq: 1 }).unwrap();
    assert!(pass(&mut world, 3 * DAY).is_empty());
    // What is written after three days of absence is told of within a day.
    world.room_event(&sealed(1), &alice(), encrypted());
    assert!(tell(&mut world).is_empty());
    let said = pass(&mut world, DAY);
    assert!(
        said.len() == 1 && said[0].contains("for 4 days"),
        "{said:?}"
    );
    assert!(pass(&mut world, DAY).is_empty());
}

#[test]
fn an_absence_is_noise_when_nothing_waits() {
    let mut world = World::new();
    let portal = world.open(1);
    // Keys and the host's joining are no message.
    world.member(&sealed(1), &alice(), &alice(), Membership::Join);
    let olm = world.olm_from_alice(portal, "key");
    world.submit(Input::ToDevice(olm)).unwrap();
    for _ in 0..8 {
        assert!(pass(&mut world, DAY).is_empty());
    }
    assert_eq!(ring(&world).len(), 1);
}

#[test]
fn the_guests_signs_are_kept_to_the_hour() {
    let mut world = World::new();
    let portal = world.open(1);
    let seen = |world: &mut World| world.submit(Input::Seen { portal }).unwrap().changes;
    assert!(seen(&mut world).is_empty());
    world.pass(HOUR - Duration::from_millis(1));
    assert!(seen(&mut world).is_empty());
    world.pass(Duration::from_millis(1));
    assert!(!seen(&mut world).is_empty());
    assert_eq!(world.portal(portal).visit.seen_at, world.now);
    world.pass(HOUR);
    world.submit(Input::Ack { portal, seq: 0 }).unwrap();
    assert_eq!(world.portal(portal).visit.seen_at, world.now);
    world.pass(Duration::from_secs(1));
    world.send(portal, 1).unwrap();
    assert_eq!(world.portal(portal).visit.seen_at, world.now);
    // The clock was set back.
    world.now = START;
    assert!(!seen(&mut world).is_empty());
    assert!(seen(&mut world).is_empty());
    world.submit(Input::Leave { portal }).unwrap();
    world.pass(DAY);
    assert!(seen(&mut world).is_empty());
    let unknown = Input::Seen {
        portal: PortalId::from_u128(1),
    };
    assert_eq!(world.submit(unknown).unwrap_err(), Refusal::UnknownChat);
}

#[test]
fn a_link_that_is_opened_is_told_once() {
    let mut world = World::new();
    let token = world.invite();
    let look = |world: &mut World, token: &Token| {
        let token_hash = token.hash();
        world.submit(Input::Looked { token_hash }).unwrap();
        let said = world.said();
        said.into_iter()
            .map(|words| words.plain)
            .collect::<Vec<_>>()
    };
    let opened = |world: &World, token: &Token| {
        let view = crate::link::look(&world.store, &token.hash(), &world.policy, world.now);
        view.unwrap().opened
    };
    assert!(!opened(&world, &token));
    assert_eq!(
        look(&mut world, &token),
        [
            "Your link for Bob (number 1) was opened in a browser. You get an invitation as soon as they start."
        ]
    );
    assert!(opened(&world, &token));
    assert!(look(&mut world, &token).is_empty());
    let used = world.invite();
    world.join(&used).unwrap();
    assert!(look(&mut world, &used).is_empty());
    let unknown = Token::parse("00000000000000000000000000").unwrap();
    assert!(look(&mut world, &unknown).is_empty());
}

/// Alice's room with the bot, as far as it is encrypted and one for admins.
fn room(encrypted: bool, admin: bool) -> ManagementRoom {
    ManagementRoom {
        room: management(),
        host: alice(),
        direct: true,
        encrypted,
        admin,
        looked: true,
        advised: true,
        unread_told: None,
    }
}

#[test]
fn nothing_is_told_where_it_does_not_belong() {
    type Change = fn(&mut World);
    let changes: [Change; 2] = [
        |world| world.put_room(room(false, true)),
        |world| {
            let bot = bot();
            world.member(&management(), &alice(), &bot, Membership::Leave);
        },
    ];
    for change in changes {
        let mut world = World::new();
        world.open(1);
        world.invite();
        change(&mut world);
        assert!(pass(&mut world, 30 * DAY).is_empty());
        let counts = world.store.counts().unwrap();
        assert_eq!((counts.open_links, counts.open_chats), (0, 0));
    }
    // In a bigger room with the prefix.
    let mut world = World::new();
    world.invite();
    world.member(
        &management(),
        &alice(),
        &sample::user("bob"),
        Membership::Join,
    );
    let said = pass(&mut world, 7 * DAY);
    assert!(said[0].contains("`!guest renew 1`"), "{said:?}");
}

/// The shell encrypts what the bot says there.
#[test]
fn in_an_encrypted_room_the_same_is_told() {
    let told = |encrypted| {
        let mut world = World::new();
        world.open(1);
        let token = world.invite();
        world.put_room(room(encrypted, false));
        let token_hash = token.hash();
        world.submit(Input::Looked { token_hash }).unwrap();
        world.room_event(&sealed(1), &alice(), text("in the clear"));
        let mut said = tell(&mut world);
        for _ in 0..11 {
            said.extend(pass(&mut world, DAY));
        }
        said
    };
    let plain = told(false);
    let parts = [
        "was opened in a browser",
        "was not encrypted",
        "hasn't opened the chat",
        "has expired",
        "unless one of you writes",
        "is over: nobody wrote",
    ];
    for (part, said) in parts.iter().zip(&plain) {
        assert!(said.contains(part), "{part}: {plain:?}");
    }
    assert_eq!(plain.len(), parts.len(), "{plain:?}");
    assert_eq!(told(true), plain);
}

#[test]
fn each_end_is_told_as_its_table_says() {
    type End = fn(&mut World, PortalId);
    let ends: [(End, Option<&str>); 4] = [
        (
            |world, portal| drop(world.submit(Input::Leave { portal })),
            Some("the guest ended it"),
        ),
        (
            |world, _| world.pass(10 * DAY),
            Some("nobody wrote for 10 days"),
        ),
        (
            |world, _| {
                drop(world.member(&sealed(1), &alice(), &sample::user("eve"), Membership::Join))
            },
            Some("somebody else came into the room"),
        ),
        (
            |world, _| drop(world.member(&sealed(1), &alice(), &alice(), Membership::Leave)),
            None,
        ),
    ];
    for (end, why) in ends {
        let mut world = World::new();
        let portal = world.open(1);
        end(&mut world, portal);
        let said = tell(&mut world);
        assert!(world.portal(portal).is_closed());
        let expected = why.map(|why| {
            format!("The chat with Bob (number 1) is over: {why}. Write `renew 1` for a new link.")
        });
        assert_eq!(said, Vec::from_iter(expected));
    }
}
