//! What happens when its time has come.

use std::collections::BTreeSet;
use std::time::Duration;

use super::world::*;
use crate::alarm::Subject;
use crate::frame::InboxFrame;
use crate::host::ManagementRoom;
use crate::id::PortalId;
use crate::input::{Input, Membership};
use crate::link::{LinkState, Token};
use crate::portal::{Portal, Told};
use crate::refusal::Refusal;
use crate::store::{Change, Changes, Facts, Store, StoreTransaction};
use crate::testing::sample;
use crate::time::Timestamp;

pub const HOUR: Duration = Duration::from_secs(60 * 60);
const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Ticks until nothing is left to do now; what the bot says of it.
pub fn tell(world: &mut World) -> Vec<String> {
    world.settle();
    let said = world.said();
    said.into_iter().map(|words| words.plain).collect()
}

pub fn pass(world: &mut World, time: Duration) -> Vec<String> {
    world.pass(time);
    tell(world)
}

/// The deadlines that the page was warned of.
fn warnings(world: &World, portal: PortalId) -> Vec<Timestamp> {
    let frames = world.frames(portal).into_iter();
    frames
        .filter_map(|frame| match frame {
            InboxFrame::Deadline { deadline } => Some(deadline),
            _ => None,
        })
        .collect()
}

pub fn put(world: &World, change: Change) {
    let mut transaction = world.store.begin();
    transaction.apply(&Changes(vec![change])).unwrap();
    transaction.commit().unwrap();
}

pub fn ring(world: &World) -> Vec<(Timestamp, Subject)> {
    world.store.alarms(Timestamp(u64::MAX), usize::MAX).unwrap()
}

#[test]
fn an_unused_link_expires_with_one_line() {
    let mut world = World::new();
    let token = world.invite();
    assert!(pass(&mut world, 7 * DAY - Duration::from_millis(1)).is_empty());
    assert_eq!(world.link(&token).state, LinkState::Open);
    let said = pass(&mut world, Duration::from_millis(1));
    assert_eq!(
        said,
        [
            "Your link for Bob (number 1) has expired; nobody used it. Write `renew 1` for a new one."
        ]
    );
    assert_eq!(
        world.link(&token).state,
        LinkState::Expired { at: world.now }
    );
    assert_eq!(world.join(&token), Err(Refusal::LinkExpired));
    assert!(pass(&mut world, DAY).is_empty());
    // The clock was wrong, as it turns out: the link stays as it was told.
    world.now = START;
    assert!(tell(&mut world).is_empty());
    assert_eq!(world.join(&token), Err(Refusal::LinkExpired));
}

#[test]
fn a_link_that_was_used_or_taken_back_does_not_expire() {
    let mut world = World::new();
    let token = world.invite();
    world.open(1);
    world.write("revoke 1");
    assert!(pass(&mut world, 8 * DAY).is_empty());
    assert!(matches!(
        world.link(&token).state,
        LinkState::Revoked { .. }
    ));
}

#[test]
fn both_are_warned_once_before_each_deadline() {
    let mut world = World::new();
    let portal = world.open(1);
    let first = world.portal(portal).ends_at;
    assert!(pass(&mut world, 9 * DAY - Duration::from_millis(1)).is_empty());
    let said = pass(&mut world, Duration::from_millis(1));
    assert_eq!(
        said,
        ["The chat with Bob (number 1) ends in 24 hours unless one of you writes."]
    );
    assert_eq!(warnings(&world, portal), [first]);
    for _ in 0..3 {
        assert!(pass(&mut world, HOUR).is_empty());
    }
    // A message gives ten days more, and a warning of their own.
    world.send(portal, 1).unwrap();
    let second = world.portal(portal).ends_at;
    assert!(pass(&mut world, 9 * DAY - HOUR).is_empty());
    assert_eq!(pass(&mut world, HOUR).len(), 1);
    assert_eq!(warnings(&world, portal), [first, second]);
    let said = pass(&mut world, DAY);
    assert_eq!(
        said,
        [
            "The chat with Bob (number 1) is over: nobody wrote for 10 days. Write `renew 1` for a new link."
        ]
    );
    assert_eq!(warnings(&world, portal).len(), 2);
}

#[test]
fn a_warning_that_comes_late_says_how_much_is_left() {
    let mut world = World::new();
    world.open(1);
    let said = pass(&mut world, 10 * DAY - 4 * HOUR);
    assert!(said[0].contains("ends in 4 hours"), "{said:?}");
}

#[test]
fn a_message_in_the_last_hours_leaves_the_next_warning_where_it_belongs() {
    let mut world = World::new();
    let portal = world.open(1);
    for n in 1..=5 {
        assert!(pass(&mut world, 8 * DAY).is_empty());
        world.send(portal, n).unwrap();
    }
    assert!(warnings(&world, portal).is_empty());
    assert_eq!(ring(&world).len(), 1);
    assert_eq!(pass(&mut world, 9 * DAY).len(), 1);
}

#[test]
fn a_short_limit_is_warned_of_at_its_half() {
    let mut world = World::new();
    world.policy.idle_limit = Duration::from_secs(10);
    world.open(1);
    assert!(pass(&mut world, Duration::from_secs(4)).is_empty());
    let said = pass(&mut world, Duration::from_secs(1));
    assert!(said[0].contains("less than a minute"), "{said:?}");
}

#[test]
fn a_limit_that_became_shorter_is_warned_of_in_time() {
    let mut world = World::new();
    let portal = world.open(1);
    world.policy.idle_limit = 4 * DAY;
    world.send(portal, 1).unwrap();
    assert!(pass(&mut world, 3 * DAY - HOUR).is_empty());
    assert_eq!(pass(&mut world, HOUR).len(), 1);
}

#[test]
fn a_chat_that_is_being_set_up_has_no_warning() {
    let mut world = World::new();
    let portal = world.opening();
    assert!(pass(&mut world, 10 * DAY - HOUR).is_empty());
    assert_eq!(world.frames(portal), []);
    assert_eq!(pass(&mut world, HOUR).len(), 1);
}

#[test]
fn a_portal_from_before_there_were_alarms_gets_one_with_its_next_message() {
    let mut world = World::new();
    let portal = world.open(1);
    let alarm = world.portal(portal).alarm_at;
    let subject = Subject::Portal(portal);
    let old = Portal {
        alarm_at: None,
        told: Told::default(),
        ..world.portal(portal)
    };
    let due = old.deadline();
    put(
        &world,
        Change::SetAlarm {
            subject,
            was: alarm,
            at: None,
        },
    );
    put(
        &world,
        Change::PutPortal {
            portal: Box::new(old),
            was_due: due,
            due,
        },
    );
    world.send(portal, 1).unwrap();
    assert_eq!(pass(&mut world, 9 * DAY).len(), 1);
    assert_eq!(warnings(&world, portal).len(), 1);
}

#[test]
fn years_forward_end_nothing_whose_inbox_was_not_read() {
    let mut world = World::new();
    let portal = world.open(1);
    let before = world.now;
    world.pass(30 * YEAR);
    let unread = || Input::Tick {
        unread: BTreeSet::from([portal]),
    };
    for _ in 0..3 {
        world.submit(unread()).unwrap();
    }
    assert!(!world.portal(portal).is_closed());
    assert!(world.said().is_empty() && world.frames(portal).is_empty());
    // The clock is right again, and somebody writes: all is as ever.
    world.now = before + DAY;
    assert!(tell(&mut world).is_empty());
    world.send(portal, 1).unwrap();
    assert!(pass(&mut world, 9 * DAY - HOUR).is_empty());
    assert_eq!(pass(&mut world, HOUR).len(), 1);
    assert_eq!(pass(&mut world, DAY).len(), 1);
    assert!(world.portal(portal).is_closed());
}

#[test]
fn years_backward_end_and_say_nothing_twice() {
    let mut world = World::new();
    let (first, second) = (world.open(1), world.open(2));
    assert_eq!(pass(&mut world, 9 * DAY).len(), 2);
    let warned = world.now;
    world.now = Timestamp(1000);
    assert!(tell(&mut world).is_empty());
    assert!(pass(&mut world, YEAR).is_empty());
    assert!(!world.portal(first).is_closed());
    // A message by the wrong clock counts by the wrong clock.
    world.send(second, 1).unwrap();
    assert_eq!(pass(&mut world, 9 * DAY).len(), 1);
    assert_eq!(pass(&mut world, DAY).len(), 1);
    assert!(world.portal(second).is_closed() && !world.portal(first).is_closed());
    world.now = warned;
    assert!(tell(&mut world).is_empty());
    assert_eq!(warnings(&world, first).len(), 1);
}

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
