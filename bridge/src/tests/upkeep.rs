//! An open chat is kept as it must be.

use std::time::Duration;

use super::alarms::HOUR;
use super::world::*;
use crate::effect::Effect;
use crate::frame::InboxFrame;
use crate::id::{EventId, PortalId, UserId};
use crate::input::{Input, Membership, Outcome, RoomEvent, RoomEventKind};
use crate::portal::{EndReason, PortalState};
use crate::testing::sample;
use crate::time::Timestamp;

const NAME: &str = "Maya (Guest)";

fn shown(world: &mut World, ghost: &UserId, name: Option<&str>, pictured: bool) -> bool {
    let input = Input::GhostShown {
        ghost: ghost.clone(),
        name: name.map(str::to_owned),
        pictured,
    };
    world.submit(input).unwrap();
    let waits = world.waiting().contains(&"restore_profile");
    if waits {
        world.perform("restore_profile", Outcome::Done);
    }
    waits
}

fn end(world: &World, portal: PortalId) -> Option<EndReason> {
    match world.portal(portal).state {
        PortalState::Closed { reason, .. } => Some(reason),
        _ => None,
    }
}

#[test]
fn a_changed_profile_is_put_back() {
    let mut world = World::new();
    let portal = world.open(1);
    let ghost = world.portal(portal).ghost;
    let table = [
        (Some(NAME), false, false),
        (Some("Maya"), false, true),
        (None, false, true),
        (Some(NAME), true, true),
        (Some("Maya (Gu\u{0435}st)"), false, true),
    ];
    for (name, pictured, expected) in table {
        assert_eq!(
            shown(&mut world, &ghost, name, pictured),
            expected,
            "{name:?} {pictured}"
        );
    }
    assert!(!shown(&mut world, &sample::ghost(77), Some("x"), true));
    world.submit(Input::Leave { portal }).unwrap();
    assert!(!shown(&mut world, &ghost, Some("x"), false));
}

#[test]
fn what_is_put_back_is_the_name_with_its_label() {
    let mut world = World::new();
    let portal = world.open(1);
    let ghost = world.portal(portal).ghost;
    let input = Input::GhostShown {
        ghost: ghost.clone(),
        name: Some("Boss".to_owned()),
        pictured: false,
    };
    world.submit(input).unwrap();
    let (_, effect) = world.effects().remove(0);
    let Effect::RestoreProfile {
        name, ghost: of, ..
    } = effect
    else {
        panic!("{effect:?}")
    };
    assert_eq!((name.labelled().as_str(), of), (NAME, ghost));
}

#[test]
fn a_homeserver_that_changes_every_name_is_not_asked_for_ever() {
    let mut world = World::new();
    let portal = world.open(1);
    let ghost = world.portal(portal).ghost;
    let count = |world: &mut World| {
        (0..50)
            .filter(|_| shown(world, &ghost, Some("MAYA"), false))
            .count()
    };
    assert_eq!(count(&mut world), 5);
    world.pass(HOUR);
    assert_eq!(count(&mut world), 5);
}

#[test]
fn a_state_event_of_anybody_has_the_room_looked_at_once() {
    let mut world = World::new();
    let portal = world.open(1);
    let ghost = world.portal(portal).ghost;
    let event = |sender: &UserId, id: &str| {
        Input::Room(RoomEvent {
            room: sealed(1),
            event_id: EventId::new(id),
            sender: sender.clone(),
            at: Timestamp(1),
            kind: RoomEventKind::State,
        })
    };
    // They may come after the seal was read back.
    for own in [&ghost, &bot()] {
        world.submit(event(own, "$own")).unwrap();
        assert!(world.waiting().is_empty());
    }
    for sender in [alice(), sample::user("mallory")] {
        for _ in 0..2 {
            let id = format!("$of{sender}");
            world.submit(event(&sender, &id)).unwrap();
        }
        assert_eq!(world.waiting(), ["verify_seal"]);
        world.perform("verify_seal", Outcome::Sealed { host_joined: true });
        assert_eq!(end(&world, portal), None);
    }
    world.submit(event(&alice(), "$last")).unwrap();
    world.perform("verify_seal", Outcome::SealBroken);
    assert_eq!(end(&world, portal), Some(EndReason::Failed));
}

#[test]
fn what_a_look_finds_ends_the_chat_or_doesnt() {
    let table = [
        (Outcome::Sealed { host_joined: true }, None),
        (Outcome::SealBroken, Some(EndReason::Failed)),
        (Outcome::NotThere, Some(EndReason::Failed)),
        (Outcome::ThirdParty, Some(EndReason::ThirdParty)),
        // A homeserver that refuses to say proves nothing.
        (refused(), None),
    ];
    for (found, expected) in table {
        let mut world = World::new();
        let portal = world.open(1);
        world.submit(Input::Doubted { portal }).unwrap();
        world.perform("verify_seal", found.clone());
        assert_eq!(end(&world, portal), expected, "{found:?}");
    }
    // While it opens, each of them is the end of it.
    for found in [Outcome::NotThere, Outcome::ThirdParty] {
        let mut world = World::new();
        let portal = world.sealing(1);
        world.perform("verify_seal", found);
        assert_eq!(end(&world, portal), Some(EndReason::Failed));
    }
}

#[test]
fn a_refused_message_has_the_room_looked_at() {
    let mut world = World::new();
    let portal = world.open(1);
    world.send(portal, 1).unwrap();
    world.perform("send_event", refused());
    assert!(matches!(
        world.frames(portal).as_slice(),
        [InboxFrame::Undelivered { n: 1, .. }]
    ));
    assert_eq!(world.waiting(), ["verify_seal"]);
    world.perform("verify_seal", Outcome::NotThere);
    assert_eq!(end(&world, portal), Some(EndReason::Failed));
}

#[test]
fn a_ghost_that_leaves_by_another_hand_ends_the_chat() {
    let mut world = World::new();
    let portal = world.open(1);
    let ghost = world.portal(portal).ghost;
    world.member(&sealed(1), &ghost, &ghost, Membership::Leave);
    assert_eq!(end(&world, portal), Some(EndReason::Failed));
    let said = world.said();
    assert!(
        said[0]
            .plain
            .contains("the homeserver closed or changed its room")
    );
    // Its own leaving comes as an event too.
    assert!(
        world
            .member(&sealed(1), &ghost, &ghost, Membership::Leave)
            .changes
            .is_empty()
    );
}

#[test]
fn without_the_ghosts_device_an_open_chat_is_over() {
    let mut world = World::new();
    let opening = world.sealing(1);
    world.submit(Input::CutOff { portal: opening }).unwrap();
    assert_eq!(end(&world, opening), None, "it isn't made yet");
    let mut world = World::new();
    let portal = world.open(1);
    world.submit(Input::CutOff { portal }).unwrap();
    assert_eq!(end(&world, portal), Some(EndReason::Failed));
}

#[test]
fn a_host_who_writes_without_encryption_is_told_once_an_hour() {
    let mut world = World::new();
    world.open(1);
    let write = |world: &mut World| {
        world.room_event(&sealed(1), &alice(), text("in the clear"));
        let said = world.said();
        said.into_iter()
            .map(|words| words.plain)
            .collect::<Vec<_>>()
    };
    let words = "Your message in the chat with Bob (number 1) was not encrypted, so I did not pass it on. \
                 Please send it again with an app that encrypts.";
    assert_eq!(write(&mut world), [words]);
    for _ in 0..10 {
        assert!(write(&mut world).is_empty());
    }
    world.pass(HOUR - Duration::from_millis(1));
    assert!(write(&mut world).is_empty());
    world.pass(Duration::from_millis(1));
    assert_eq!(write(&mut world), [words]);
    // A clock that was set back by days makes no day of silence.
    world.now = Timestamp(world.now.0 - 3 * 24 * 3_600_000);
    assert_eq!(write(&mut world), [words]);
    // What nobody else sees is nobody's fault.
    let ghost = sample::ghost(1);
    world.room_event(&sealed(1), &ghost, text("in the clear"));
    assert!(world.said().is_empty());
}
