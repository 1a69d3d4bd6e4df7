//! From the first step at the homeserver to the sealed room.

use super::world::*;
use crate::frame::InboxFrame;
use crate::id::EffectId;
use crate::input::{Input, Membership, Outcome};
use crate::portal::{EndReason, PortalState};
use crate::store::Change;

const BEFORE_ROOM: [&str; 7] = [
    "register_ghost",
    "name_ghost",
    "put_device",
    "upload_keys",
    "upload_cross_signing",
    "upload_signatures",
    "create_room",
];
const IN_ROOM: [&str; 5] = [
    "ghost_joins",
    "bot_leaves",
    "invite_host",
    "give_up_power",
    "verify_seal",
];

#[test]
fn a_room_is_sealed_in_the_measured_order() {
    let mut world = World::new();
    let portal = world.sealing(1);
    assert_eq!(world.waiting(), IN_ROOM);
    assert_eq!(
        world.portal(portal).state,
        PortalState::Opening {
            room: Some(sealed(1)),
            host_joined: false
        }
    );
    for step in ["ghost_joins", "bot_leaves", "invite_host", "give_up_power"] {
        let decision = world.perform(step, Outcome::Done);
        assert_eq!(decision.changes.0.len(), 1, "{step} only goes away");
        assert!(matches!(
            world.portal(portal).state,
            PortalState::Opening { .. }
        ));
    }
    world.perform("verify_seal", Outcome::Sealed { host_joined: false });
    assert_eq!(
        world.portal(portal).state,
        PortalState::Open {
            room: sealed(1),
            host_joined: false
        }
    );
    assert_eq!(world.frames(portal), []);
}

#[test]
fn every_step_that_is_refused_ends_the_chat_and_tells_the_host() {
    for (place, step) in BEFORE_ROOM.into_iter().chain(IN_ROOM).enumerate() {
        let mut world = World::new();
        let has_room = place >= BEFORE_ROOM.len();
        let portal = if has_room {
            world.sealing(1)
        } else {
            world.opening()
        };
        world.perform(step, refused());

        let room = has_room.then(|| sealed(1));
        let state = PortalState::Closed {
            room,
            at: world.now,
            reason: EndReason::Failed,
        };
        assert_eq!(world.portal(portal).state, state, "{step}");
        assert_eq!(
            world.frames(portal),
            [InboxFrame::Ended {
                reason: EndReason::Failed
            }]
        );
        assert_eq!(
            world.waiting().contains(&"bot_leaves_unused"),
            has_room,
            "{step}"
        );
        assert_eq!(
            world.waiting().contains(&"ghost_leaves"),
            has_room,
            "{step}"
        );
        let said = world.said();
        assert_eq!(said.len(), 1);
        assert!(
            said[0].plain.contains("Bob (number 1)") && said[0].plain.contains("`renew 1`"),
            "{}",
            said[0].plain
        );
    }
}

#[test]
fn a_broken_seal_is_never_handed_out() {
    let mut world = World::new();
    let portal = world.sealing(1);
    world.perform("verify_seal", Outcome::SealBroken);
    assert!(world.portal(portal).is_closed());
    assert_eq!(world.send(portal, 1), Err(crate::refusal::Refusal::Ended));
}

#[test]
fn a_seal_that_was_only_said_to_be_done_is_not_a_seal() {
    let mut world = World::new();
    let portal = world.sealing(1);
    world.perform("verify_seal", Outcome::Done);
    assert!(world.portal(portal).is_closed());
}

#[test]
fn a_second_refusal_says_nothing_more() {
    let mut world = World::new();
    let portal = world.opening();
    world.perform("register_ghost", refused());
    assert_eq!(world.said().len(), 1);
    world.perform("name_ghost", refused());
    world.perform("create_room", refused());
    assert_eq!(world.said().len(), 0);
    assert_eq!(world.portal(portal).last_seq, 1);
}

#[test]
fn a_guest_who_left_meanwhile_gets_no_room() {
    let mut world = World::new();
    let portal = world.opening();
    world.submit(Input::Leave { portal }).unwrap();
    assert!(!world.waiting().contains(&"ghost_leaves"));
    world.perform("create_room", Outcome::RoomCreated(sealed(1)));
    assert_eq!(world.waiting().last(), Some(&"bot_leaves_unused"));
    assert!(!world.waiting().contains(&"ghost_joins"));
    assert!(world.portal(portal).is_closed());
    assert_eq!(world.portal(portal).room(), Some(&sealed(1)));

    // What still happens in that room wakes nothing.
    let decision = world.member(&sealed(1), &alice(), &alice(), Membership::Join);
    assert!(decision.changes.is_empty());
}

#[test]
fn a_guest_who_left_before_the_seal_was_read_gets_no_chat() {
    let mut world = World::new();
    let portal = world.sealing(1);
    world.submit(Input::Leave { portal }).unwrap();
    world.perform("verify_seal", Outcome::Sealed { host_joined: true });
    assert_eq!(
        world.portal(portal).state,
        PortalState::Closed {
            room: Some(sealed(1)),
            at: world.now,
            reason: EndReason::Guest
        }
    );
    let tail: Vec<_> = world.waiting().into_iter().rev().take(5).rev().collect();
    assert_eq!(
        tail,
        [
            "bot_leaves_unused",
            "ghost_leaves",
            "delete_device",
            "deactivate",
            "notice"
        ]
    );
}

#[test]
fn a_host_who_joins_early_is_remembered() {
    for told_by_seal in [false, true] {
        let mut world = World::new();
        let portal = world.sealing(1);
        world.member(&sealed(1), &alice(), &alice(), Membership::Join);
        assert_eq!(world.frames(portal), [InboxFrame::Host { joined: true }]);
        world.perform(
            "verify_seal",
            Outcome::Sealed {
                host_joined: told_by_seal,
            },
        );
        assert_eq!(
            world.portal(portal).state,
            PortalState::Open {
                room: sealed(1),
                host_joined: true
            }
        );
        assert_eq!(world.frames(portal).len(), 1);
    }
}

#[test]
fn a_host_whom_only_the_seal_shows_is_told_once() {
    let mut world = World::new();
    let portal = world.sealing(1);
    world.perform("verify_seal", Outcome::Sealed { host_joined: true });
    world.member(&sealed(1), &alice(), &alice(), Membership::Join);
    assert_eq!(world.frames(portal), [InboxFrame::Host { joined: true }]);
}

#[test]
fn memberships_of_the_opening_itself_end_nothing() {
    let mut world = World::new();
    let portal = world.sealing(1);
    let ghost = world.portal(portal).ghost;
    world.member(&sealed(1), &bot(), &bot(), Membership::Join);
    world.member(&sealed(1), &bot(), &ghost, Membership::Invite);
    world.member(&sealed(1), &ghost, &ghost, Membership::Join);
    world.member(&sealed(1), &bot(), &bot(), Membership::Leave);
    world.member(&sealed(1), &ghost, &alice(), Membership::Invite);
    assert_eq!(
        world.portal(portal).state,
        PortalState::Opening {
            room: Some(sealed(1)),
            host_joined: false
        }
    );
    assert_eq!(world.frames(portal), []);
}

#[test]
fn an_outcome_counts_once() {
    let mut world = World::new();
    let portal = world.opening();
    let (effect, _) = world.effects().pop().unwrap();
    let outcome = Outcome::RoomCreated(sealed(1));
    world
        .submit(Input::Done {
            effect,
            outcome: outcome.clone(),
        })
        .unwrap();
    let again = world.submit(Input::Done { effect, outcome }).unwrap();
    assert!(again.changes.is_empty());
    let unknown = Input::Done {
        effect: EffectId::from_u128(1),
        outcome: refused(),
    };
    assert!(world.submit(unknown).unwrap().changes.is_empty());
    assert!(!world.portal(portal).is_closed());
}

#[test]
fn the_seal_of_a_room_that_was_given_up_opens_nothing() {
    let mut world = World::new();
    let id = world.sealing(1);
    let mut portal = world.portal(id);
    portal.state = PortalState::Opening {
        room: Some(sealed(2)),
        host_joined: false,
    };
    let due = portal.deadline();
    world.put(vec![Change::PutPortal {
        portal: Box::new(portal),
        was_due: due,
        due,
    }]);
    world.perform("verify_seal", Outcome::Sealed { host_joined: false });
    assert!(world.portal(id).is_closed());
}
