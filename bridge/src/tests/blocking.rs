//! Blocking a guest.

use proptest::prelude::*;

use super::world::*;
use crate::bridge::Answer;
use crate::effect::Effect;
use crate::frame::InboxFrame;
use crate::id::{EventId, PortalId};
use crate::input::{Input, Join, Membership, Outcome, RoomEvent};
use crate::link::Token;
use crate::portal::{EndReason, PortalState};
use crate::refusal::Refusal;
use crate::store::{Change, Facts};
use crate::time::Timestamp;

fn block(world: &mut World, body: &str) -> String {
    world.write(body)[0].plain.clone()
}

/// A join by the browser with this key.
fn join_by(world: &mut World, token: &Token, key: &str) -> Result<crate::bridge::Joined, Refusal> {
    let join = Join {
        ed25519: key.to_owned(),
        ..world.join_input(token)
    };
    world.join_with(join)
}

#[test]
fn a_block_ends_the_chat_and_closes_the_links_to_the_browser() {
    let mut world = World::new();
    let portal = world.open(1);
    let other = world.invite();
    let text = block(&mut world, "block 1");
    assert_eq!(
        text,
        "I blocked Bob (number 1) and ended the chat. They read that it has ended, and not that you blocked \
         them. Write `unblock 1` to take that back.\n\
         There is still an unused link with this label. Write `revoke 2` to take it back."
    );
    assert!(world.portal(portal).is_closed());
    assert_eq!(world.join(&other), Err(Refusal::LinkUnknown));
    // Another browser is somebody else, as far as can be known.
    assert!(join_by(&mut world, &other, "another").is_ok());
    assert!(block(&mut world, "block 1").contains("You blocked Bob (number 1) before"));

    // Of another host the guest is no guest of Alice's.
    let bob = crate::testing::sample::user("bob");
    let said = world.write_in(&management(), &bob, "invite");
    let token = token_in(&said[0].plain);
    assert!(world.join(&token).is_ok());
}

#[test]
fn a_blocked_guest_reads_what_an_ended_chat_reads() {
    let ends = ["end 1", "block 1"].map(|command| {
        let mut world = World::new();
        let token = world.invite();
        let joined = world.join(&token).unwrap();
        world.write(command);
        let frames = world.frames(joined.portal);
        let state = world.portal(joined.portal).state;
        // The same join again, a message, and a look at the link.
        let again = world.join(&token);
        let sent = world.send(joined.portal, 1);
        let look = crate::link::look(&world.store, &token.hash(), &world.policy, world.now);
        let effects = world.waiting();
        (
            frames,
            state,
            again,
            sent,
            look.unwrap_err().to_string(),
            effects,
        )
    });
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0].3, Err(Refusal::Ended));
}

#[test]
fn no_new_link_has_the_label_until_it_is_unblocked() {
    let mut world = World::new();
    world.open(1);
    block(&mut world, "block Bob");
    let refused = "You blocked Bob (number 1). Write `unblock 1` first";
    for body in ["invite bob", "renew 1", "renew Bob"] {
        let text = block(&mut world, body);
        assert!(text.starts_with(refused), "{body}: {text}");
    }
    assert!(world.write("invite Carol")[0].plain.contains("/#"));
    let text = block(&mut world, "unblock bob");
    assert_eq!(
        text,
        "Bob (number 1) is no longer blocked. Write `renew 1` for a new link."
    );
    let token = token_in(&world.write("renew 1")[0].plain);
    assert!(world.join(&token).is_ok());
    assert_eq!(
        block(&mut world, "unblock 1"),
        "You have not blocked anybody."
    );
}

#[test]
fn a_guest_without_label_is_blocked_by_number() {
    let mut world = World::new();
    let token = token_in(&world.write("invite")[0].plain);
    world.join(&token).unwrap();
    block(&mut world, "block 1");
    assert!(block(&mut world, "renew 1").contains("You blocked a guest (number 1)"));
    assert!(block(&mut world, "unblock 7").contains("You can unblock 1 (a guest)."));
    // Others without label are others.
    assert!(world.write("invite")[0].plain.contains("/#"));
}

#[test]
fn a_guest_who_left_can_still_be_blocked_for_a_while() {
    let mut world = World::new();
    let portal = world.open(1);
    world.submit(Input::Leave { portal }).unwrap();
    world.said();
    world.pass(DAY / 2);
    world.settle();
    let text = block(&mut world, "block 1");
    assert_eq!(
        text,
        "I blocked Bob (number 1). Write `unblock 1` to take that back."
    );
    let token = token_in(&world.write("invite Carol")[0].plain);
    assert_eq!(world.join(&token), Err(Refusal::LinkUnknown));
}

#[test]
fn a_block_outlives_the_chat() {
    let mut world = World::new();
    world.open(1);
    block(&mut world, "block 1");
    world.pass(100 * DAY);
    world.settle();
    assert!(world.store.portals_of_host(&alice()).unwrap().is_empty());
    assert!(world.store.links_of_host(&alice()).unwrap().is_empty());
    let token = token_in(&world.write("invite Carol")[0].plain);
    assert_eq!(world.join(&token), Err(Refusal::LinkUnknown));
    let text = block(&mut world, "unblock 1");
    assert_eq!(
        text,
        "Bob (number 1) is no longer blocked. Write `invite Bob` for a new link."
    );
    assert!(world.join(&token).is_ok());
}

#[test]
fn two_chats_with_one_browser_end_together() {
    let mut world = World::new();
    let (first, second) = (world.open(1), world.open(2));
    let other = token_in(&world.write("invite Carol")[0].plain);
    let third = join_by(&mut world, &other, "another").unwrap().portal;
    block(&mut world, "block 2");
    let closed = [first, second, third].map(|portal| world.portal(portal).is_closed());
    assert_eq!(closed, [true, true, false]);
}

#[test]
fn whoever_is_put_out_in_the_hosts_client_is_blocked() {
    for (membership, did) in [(Membership::Ban, "banned"), (Membership::Leave, "removed")] {
        let mut world = World::new();
        let portal = world.open(1);
        let ghost = world.portal(portal).ghost;
        world.member(&sealed(1), &alice(), &ghost, membership);
        let reason = EndReason::Host;
        assert_eq!(world.frames(portal), [InboxFrame::Ended { reason }]);
        assert_eq!(world.store.blocks_of_host(&alice()).unwrap().len(), 1);
        let said: Vec<_> = world.said().into_iter().map(|words| words.plain).collect();
        assert_eq!(
            said,
            [format!(
                "You {did} Bob (number 1), so I blocked them. Write `unblock 1` if you want to invite them again one day."
            )]
        );
        // Taking the ban back in the room changes nothing: the chat is over.
        let later = world.member(&sealed(1), &alice(), &ghost, Membership::Leave);
        assert!(later.changes.is_empty());
        assert!(block(&mut world, "invite bob").starts_with("You blocked Bob (number 1)."));
    }
    // The host banned by somebody else, the ghost by an administrator, or the host left: only the end.
    let (root, ghost) = (crate::testing::sample::user("root"), None);
    for (sender, target, membership) in [
        (root.clone(), ghost.clone(), Membership::Ban),
        (root, ghost, Membership::Leave),
        (alice(), Some(alice()), Membership::Ban),
        (alice(), Some(alice()), Membership::Leave),
    ] {
        let mut world = World::new();
        let portal = world.open(1);
        let target = target.unwrap_or(world.portal(portal).ghost);
        world.member(&sealed(1), &sender, &target, membership);
        assert!(world.portal(portal).is_closed());
        assert!(world.store.blocks_of_host(&alice()).unwrap().is_empty());
    }
}

/// What one of the inputs that cross each other is.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The guest's next frame.
    Send,
    /// A frame that the page sent before, again.
    Again,
    /// A frame with keys.
    Keys,
    /// The outbox is done with the first message that waits.
    Delivered,
    /// The host writes.
    HostWrites,
    /// The host blocks.
    Block,
    /// The host bans.
    Ban,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        2 => Just(Step::Again),
        1 => Just(Step::Keys),
        2 => Just(Step::Delivered),
        1 => Just(Step::HostWrites),
        1 => Just(Step::Block),
        1 => Just(Step::Ban),
    ]
}

fn messages(changes: &[Change]) -> usize {
    let is_message = |change: &&Change| {
        let effect = match change {
            Change::PutEffect { effect, .. } => effect,
            _ => return false,
        };
        matches!(
            effect,
            Effect::SendEvent { .. } | Effect::SendToDevice { .. }
        )
    };
    changes.iter().filter(is_message).count()
}

fn input(step: Step, world: &World, portal: PortalId, number: usize) -> Option<Input> {
    let stored = world.portal(portal);
    let last = stored.visit.last_n;
    let content = megolm("x");
    let room_event = |room, kind| {
        Input::Room(RoomEvent {
            room,
            event_id: EventId::new(format!("$step{number}")),
            sender: alice(),
            at: Timestamp(1),
            kind,
        })
    };
    Some(match step {
        Step::Send => Input::Send {
            portal,
            n: last + 1,
            content,
        },
        Step::Again => Input::Send {
            portal,
            n: last.max(1),
            content,
        },
        Step::Keys => Input::SendToDevice {
            portal,
            n: last + 1,
            event_type: "m.room.encrypted".to_owned(),
            messages: [(crate::id::DeviceId::new("HOSTDEVICE"), olm("x"))].into(),
        },
        Step::Delivered => Input::Done {
            effect: world
                .effects()
                .into_iter()
                .find(|(_, effect)| matches!(effect, Effect::SendEvent { .. }))?
                .0,
            outcome: Outcome::Sent(EventId::new(format!("$sent{number}"))),
        },
        Step::HostWrites => room_event(sealed(1), encrypted()),
        Step::Block => room_event(management(), text("block 1")),
        Step::Ban => room_event(
            sealed(1),
            crate::input::RoomEventKind::Member {
                target: stored.ghost,
                membership: Membership::Ban,
            },
        ),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn nothing_is_accepted_after_the_commit_of_a_block(
        steps in prop::collection::vec(step(), 1..25),
        block_at in 0usize..25,
    ) {
        let mut world = World::new();
        let portal = world.open(1);
        let mut steps = steps;
        steps.insert(block_at.min(steps.len()), Step::Block);
        let (mut blocked, mut end) = (false, None);
        for (number, step) in steps.into_iter().enumerate() {
            world.pass(std::time::Duration::from_secs(2));
            let counted = world.portal(portal).visit.last_n;
            let Some(input) = input(step, &world, portal, number) else { continue };
            let numbered = matches!(step, Step::Send | Step::Keys);
            match world.submit(input) {
                Ok(stored) if blocked => {
                    prop_assert_eq!(messages(&stored.changes.0), 0, "{:?}", step);
                    // A frame that was counted before the block is still said to be.
                    prop_assert!(!numbered, "{:?}", stored.answer);
                    if let Answer::Counted { deadline } = stored.answer {
                        prop_assert!(matches!(step, Step::Again) && counted > 0);
                        prop_assert_eq!(deadline, None);
                    }
                }
                Err(refusal) if blocked => prop_assert_eq!(refusal, Refusal::Ended),
                Ok(stored) => prop_assert_eq!(messages(&stored.changes.0), usize::from(
                    numbered || matches!(step, Step::Again) && counted == 0
                )),
                Err(refusal) => prop_assert!(false, "{:?}: {:?}", step, refusal),
            }
            blocked |= matches!(step, Step::Block | Step::Ban);
            let closed = matches!(world.portal(portal).state, PortalState::Closed { .. });
            prop_assert_eq!(closed, blocked);
            if blocked {
                // The page reads one end, and nothing after it.
                let frames = world.frames(portal);
                prop_assert_eq!(frames.last(), Some(&InboxFrame::Ended { reason: EndReason::Host }));
                prop_assert_eq!(*end.get_or_insert(frames.len()), frames.len());
            }
        }
        prop_assert!(blocked);
    }
}
