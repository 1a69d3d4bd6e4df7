//! How chats end.

use std::collections::BTreeSet;
use std::time::Duration;

use super::world::*;
use crate::effect::Effect;
use crate::frame::InboxFrame;
use crate::id::PortalId;
use crate::input::{Input, Membership, Outcome};
use crate::portal::{EndReason, PortalState};
use crate::store::{Change, Changes, Facts, Store, StoreTransaction};
use crate::testing::sample;

fn reason_for_the_host(world: &World) -> Option<String> {
    world
        .effects()
        .into_iter()
        .find_map(|(_, effect)| match effect {
            Effect::GhostLeaves { reason, .. } => Some(reason),
            _ => None,
        })
}

#[test]
fn an_end_is_told_and_cleaned_up_after() {
    let mut world = World::new();
    let portal = world.open(1);
    world.room_event(&sealed(1), &alice(), encrypted());
    world.pass(DAY);
    world.submit(Input::Leave { portal }).unwrap();
    assert_eq!(
        world.portal(portal).state,
        PortalState::Closed {
            room: Some(sealed(1)),
            at: world.now,
            reason: EndReason::Guest
        }
    );
    let frames = world.frames(portal);
    assert_eq!(frames.len(), 2, "what was not stored yet stays");
    assert_eq!(
        frames[1],
        InboxFrame::Ended {
            reason: EndReason::Guest
        }
    );
    assert_eq!(
        world.waiting(),
        ["ghost_leaves", "delete_device", "deactivate", "notice"]
    );
    assert_eq!(
        world
            .store
            .due(crate::time::Timestamp(u64::MAX), 10)
            .unwrap(),
        []
    );
    assert!(
        world
            .submit(Input::Leave { portal })
            .unwrap()
            .changes
            .is_empty()
    );

    // A homeserver that can't deactivate changes nothing any more.
    for step in ["ghost_leaves", "delete_device", "deactivate", "notice"] {
        world.perform(step, refused());
    }
    assert!(world.waiting().is_empty());
    assert_eq!(world.portal(portal).last_seq, 2);
}

#[test]
fn every_end_has_words() {
    type End = fn(&mut World, PortalId);
    let ends: [(End, &str); 5] = [
        (
            |world, portal| drop(world.submit(Input::Leave { portal })),
            "The guest ended the chat.",
        ),
        (
            |world, _| drop(world.member(&sealed(1), &alice(), &alice(), Membership::Leave)),
            "The chat was ended.",
        ),
        (
            |world, _| {
                drop(world.member(&sealed(1), &alice(), &sample::user("eve"), Membership::Join))
            },
            "The chat ended because somebody else came into the room.",
        ),
        (
            |world, _| {
                world.pass(10 * DAY);
                world.submit(tick()).unwrap();
            },
            "The chat ended after 10 days without a message.",
        ),
        (
            |world, _| {
                world.sealing(2);
                world.perform("verify_seal", Outcome::SealBroken);
            },
            "The chat could not be set up safely.",
        ),
    ];
    for (end, words) in ends {
        let mut world = World::new();
        let portal = world.open(1);
        end(&mut world, portal);
        assert_eq!(reason_for_the_host(&world).as_deref(), Some(words));
    }
}

#[test]
fn a_chat_whose_inbox_could_not_be_read_does_not_end_yet() {
    let mut world = World::new();
    let portal = world.open(1);
    world.pass(10 * DAY);
    let unread = Input::Tick {
        unread: BTreeSet::from([portal]),
    };
    world.submit(unread.clone()).unwrap();
    assert!(!world.portal(portal).is_closed());
    // Nothing is said of it, however often it is tried.
    assert!(world.submit(unread).unwrap().changes.is_empty());
    assert!(world.said().is_empty());
    world.submit(tick()).unwrap();
    assert!(world.portal(portal).is_closed());
}

#[test]
fn a_chat_ends_exactly_at_its_deadline() {
    let mut world = World::new();
    let portal = world.open(1);
    world.pass(10 * DAY - Duration::from_millis(1));
    world.submit(tick()).unwrap();
    assert!(!world.portal(portal).is_closed());
    world.pass(Duration::from_millis(1));
    world.submit(tick()).unwrap();
    let reason = EndReason::Expired;
    assert_eq!(
        world.portal(portal).state,
        PortalState::Closed {
            room: Some(sealed(1)),
            at: world.now,
            reason
        }
    );
    world.settle();
    assert!(world.submit(tick()).unwrap().changes.is_empty());
}

#[test]
fn a_room_that_is_never_made_expires_too() {
    let mut world = World::new();
    let portal = world.opening();
    world.pass(10 * DAY);
    world.submit(tick()).unwrap();
    assert!(world.portal(portal).is_closed());
}

#[test]
fn a_message_of_either_side_gives_ten_days_more() {
    let mut world = World::new();
    let portal = world.open(1);
    world.pass(9 * DAY);
    world.send(portal, 1).unwrap();
    world.pass(9 * DAY);
    world.room_event(&sealed(1), &alice(), encrypted());
    world.pass(9 * DAY);
    world.submit(tick()).unwrap();
    assert!(!world.portal(portal).is_closed());
    world.pass(DAY);
    world.submit(tick()).unwrap();
    assert!(world.portal(portal).is_closed());
}

#[test]
fn a_changed_limit_counts_from_the_next_message() {
    let mut world = World::new();
    let (first, second) = (world.open(1), world.open(2));
    world.policy.idle_limit = DAY;
    world.pass(2 * DAY);
    world.submit(tick()).unwrap();
    assert!(!world.portal(first).is_closed() && !world.portal(second).is_closed());
    world.send(second, 1).unwrap();
    world.pass(DAY);
    world.submit(tick()).unwrap();
    assert!(world.portal(second).is_closed());
    assert!(!world.portal(first).is_closed());
    world.pass(10 * DAY);
    world.submit(tick()).unwrap();
    assert!(world.portal(first).is_closed());
}

#[test]
fn many_ends_take_several_ticks() {
    let mut world = World::new();
    world.policy.open_links = usize::MAX;
    world.policy.open_chats = usize::MAX;
    world.policy.limits.links_a_day = usize::MAX;
    for _ in 0..60 {
        world.opening();
    }
    world.pass(10 * DAY);
    let open = |world: &World| {
        world
            .store
            .portals_of_host(&alice())
            .unwrap()
            .iter()
            .filter(|portal| !portal.is_closed())
            .count()
    };
    world.submit(tick()).unwrap();
    assert_eq!(open(&world), 10);
    world.submit(tick()).unwrap();
    assert_eq!(open(&world), 0);
}

#[test]
fn a_chat_that_cannot_be_read_keeps_no_other_from_its_end() {
    let mut world = World::new();
    let (damaged, sound) = (world.open(1), world.open(2));
    let due = world.portal(damaged).deadline();
    let portal = Box::new(world.portal(damaged));
    // Set aside, and due again in spite of it, as a row that went bad by itself is.
    let changes = vec![
        Change::SetAside {
            portal: damaged,
            at: world.now,
        },
        Change::PutPortal {
            portal,
            was_due: None,
            due,
        },
    ];
    let mut round = world.store.begin();
    round.apply(&Changes(changes)).unwrap();
    round.commit().unwrap();
    world.pass(10 * DAY);
    world.submit(tick()).unwrap();
    assert!(world.portal(sound).is_closed());
    let never = crate::time::Timestamp(u64::MAX);
    assert_eq!(world.store.due(never, 10).unwrap(), []);
}

/// Nobody can ask for it any more, and nobody is to find it on the disk for ever.
#[test]
fn a_chat_that_cannot_be_read_is_forgotten_in_time_with_its_link() {
    let mut world = World::new();
    let (damaged, sound) = (world.open(1), world.open(2));
    let link = world.portal(damaged).link;
    let mut round = world.store.begin();
    let set_aside = Change::SetAside {
        portal: damaged,
        at: world.now,
    };
    round.apply(&Changes(vec![set_aside])).unwrap();
    round.commit().unwrap();
    world.pass(DAY * 7 - Duration::from_millis(1));
    world.submit(tick()).unwrap();
    assert!(world.store.is_set_aside(damaged).unwrap());
    world.pass(Duration::from_millis(1));
    world.submit(tick()).unwrap();
    assert!(!world.store.is_set_aside(damaged).unwrap());
    assert_eq!(world.store.portal(damaged).unwrap(), None);
    assert!(world.store.portal(sound).unwrap().is_some());
    let ended = world.store.link(link).unwrap().unwrap().chat_ended_at;
    assert_eq!(ended, Some(world.now.before(DAY * 7)));
    world.pass(DAY * 30);
    world.submit(tick()).unwrap();
    assert_eq!(world.store.link(link).unwrap(), None);
}
