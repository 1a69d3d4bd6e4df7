//! What happens when its time has come.

use std::collections::BTreeSet;
use std::time::Duration;

use super::world::*;
use crate::alarm::Subject;
use crate::frame::InboxFrame;
use crate::id::PortalId;
use crate::input::Input;
use crate::link::LinkState;
use crate::portal::{Portal, Told};
use crate::refusal::Refusal;
use crate::store::{Change, Changes, Facts, Store, StoreTransaction};
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
