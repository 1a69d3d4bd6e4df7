//! What is left of what is over, and how it goes.

use std::time::Duration;

use super::alarms::{HOUR, pass, put, ring, tell};
use super::world::*;
use crate::alarm::Subject;
use crate::effect::Effect;
use crate::id::{LinkId, PortalId};
use crate::input::{Input, Membership, Outcome};
use crate::portal::Portal;
use crate::refusal::Refusal;
use crate::store::{Change, Facts};
use crate::time::Timestamp;

/// Everything that is left of all links and portals.
fn is_forgotten(world: &World, portal: &Portal) -> bool {
    let store = &world.store;
    let frames = store.frames(portal.id, 0, 1).unwrap();
    let by_room = portal
        .room()
        .map(|room| store.portal_by_room(room).unwrap());
    store.portal(portal.id).unwrap().is_none()
        && by_room.flatten().is_none()
        && store.portal_by_ghost(&portal.ghost).unwrap().is_none()
        && store.portals_of_host(&alice()).unwrap().is_empty()
        && frames.is_empty()
}

#[test]
fn an_end_that_the_browser_knows_is_forgotten_after_a_day() {
    let mut world = World::new();
    let portal = world.open(1);
    world.room_event(&sealed(1), &alice(), encrypted());
    world.submit(Input::Leave { portal }).unwrap();
    let left = world.portal(portal);
    world.pass(3 * HOUR);
    world.submit(Input::Ack { portal, seq: 2 }).unwrap();
    let again = world.submit(Input::Ack { portal, seq: 2 }).unwrap();
    assert!(again.changes.is_empty());
    pass(&mut world, 21 * HOUR - Duration::from_millis(1));
    assert!(!is_forgotten(&world, &left));
    pass(&mut world, Duration::from_millis(1));
    assert!(is_forgotten(&world, &left));
    assert_eq!(world.send(portal, 1), Err(Refusal::UnknownChat));
    // The link's label stays a while longer, for `renew`.
    assert_eq!(world.store.links_of_host(&alice()).unwrap().len(), 1);
    pass(&mut world, 29 * DAY - Duration::from_millis(1));
    assert_eq!(world.store.links_of_host(&alice()).unwrap().len(), 1);
    pass(&mut world, Duration::from_millis(1));
    assert_eq!(world.store.links_of_host(&alice()).unwrap().len(), 0);
    assert_eq!(ring(&world), []);
}

#[test]
fn an_end_that_nobody_heard_of_is_forgotten_after_a_week() {
    let mut world = World::new();
    let portal = world.open(1);
    world.submit(Input::Leave { portal }).unwrap();
    let left = world.portal(portal);
    pass(&mut world, 7 * DAY - HOUR);
    assert!(!is_forgotten(&world, &left));
    assert_eq!(world.frames(portal).len(), 1);
    pass(&mut world, HOUR);
    assert!(is_forgotten(&world, &left));
}

#[test]
fn who_hears_of_the_end_late_hastens_the_forgetting() {
    let mut world = World::new();
    let portal = world.open(1);
    world.submit(Input::Leave { portal }).unwrap();
    let left = world.portal(portal);
    pass(&mut world, 2 * DAY);
    assert!(!is_forgotten(&world, &left));
    world.submit(Input::Ack { portal, seq: 1 }).unwrap();
    tell(&mut world);
    assert!(is_forgotten(&world, &left));
}

#[test]
fn what_is_done_for_a_forgotten_portal_hurts_nothing() {
    let mut world = World::new();
    let portal = world.opening();
    world.submit(Input::Leave { portal }).unwrap();
    pass(&mut world, 8 * DAY);
    assert_eq!(world.store.portal(portal).unwrap(), None);
    // The homeserver was away all the time, and now does what was asked of it.
    for step in ["register_ghost", "name_ghost", "put_device", "upload_keys"] {
        world.perform(step, Outcome::Done);
    }
    world.perform("upload_cross_signing", refused());
    world.perform("upload_signatures", Outcome::Done);
    world.perform("create_room", Outcome::RoomCreated(sealed(1)));
    let last = world.effects().pop().unwrap().1;
    let room = sealed(1);
    assert_eq!(last, Effect::BotLeavesUnused { portal, room });
    for step in ["delete_device", "deactivate", "bot_leaves_unused"] {
        world.perform(step, refused());
    }
    assert!(world.waiting().is_empty());
    let event = world.member(&sealed(1), &bot(), &bot(), Membership::Leave);
    assert!(event.changes.is_empty());
}

#[test]
fn a_tick_does_a_bounded_part() {
    let mut world = World::new();
    world.policy.open_links = usize::MAX;
    world.policy.limits.links_a_day = usize::MAX;
    for _ in 0..120 {
        world.invite();
    }
    world.pass(8 * DAY);
    let open = |world: &World| world.store.counts().unwrap().open_links;
    for expected in [70, 20, 0] {
        world.submit(tick()).unwrap();
        assert_eq!(open(&world), expected);
    }
    assert_eq!(world.said().len(), 120);
}

#[test]
fn an_alarm_that_nobody_set_is_put_away() {
    let mut world = World::new();
    let portal = world.open(1);
    let token = world.invite();
    let strays = [
        Subject::Portal(portal),
        Subject::Link(world.link(&token).id),
        Subject::Portal(PortalId::from_u128(7)),
        Subject::Link(LinkId::from_u128(7)),
    ];
    let before = ring(&world);
    for subject in strays {
        let at = Some(Timestamp(5));
        put(
            &world,
            Change::SetAlarm {
                subject,
                was: None,
                at,
            },
        );
    }
    assert_eq!(ring(&world).len(), before.len() + 4);
    assert!(tell(&mut world).is_empty());
    assert_eq!(ring(&world), before);
}
