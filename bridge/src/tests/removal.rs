//! What a guest takes back.

use super::world::*;
use crate::effect::Effect;
use crate::frame::InboxFrame;
use crate::id::EventId;
use crate::input::{Input, Outcome};
use crate::refusal::Refusal;

#[test]
fn a_guest_takes_back_only_what_was_delivered_of_theirs() {
    let mut world = World::new();
    let portal = world.open(1);
    let (own, other) = (EventId::new("$own"), EventId::new("$other"));
    let redact = |n, event: &EventId| Input::Redact {
        portal,
        n,
        event: event.clone(),
    };
    world.send(portal, 1).unwrap();
    let ends_at = world.portal(portal).ends_at;
    for event in ["", "own", "../../admin"] {
        let refused = world.submit(redact(2, &EventId::new(event))).unwrap_err();
        assert_eq!(refused, Refusal::BadRequest, "{event}");
    }
    world.perform("send_event", Outcome::Sent(own.clone()));
    assert_eq!(
        world.submit(redact(3, &own)).unwrap_err(),
        Refusal::Gap { expected: 2 }
    );
    world.pass(DAY);
    world.submit(redact(2, &own)).unwrap();
    let stored = world.portal(portal);
    let expected = Effect::Redact {
        portal,
        ghost: stored.ghost.clone(),
        room: sealed(1),
        n: 2,
        event: own.clone(),
    };
    assert_eq!(world.effects().pop().unwrap().1, expected);
    assert_eq!(stored.ends_at, ends_at, "it is no message");
    let again = world.submit(redact(2, &own)).unwrap();
    assert!(again.changes.is_empty());
    let removed = EventId::new("$removal");
    world.perform("redact", Outcome::Sent(removed.clone()));
    let told = InboxFrame::Delivered {
        n: 2,
        event_id: removed.clone(),
    };
    assert_eq!(world.frames(portal).pop().unwrap(), told);
    // Neither a removal, nor another's event, nor one that is not there, is a message of theirs.
    for (n, event) in [(3, &removed), (4, &other)] {
        world.submit(redact(n, event)).unwrap();
        let code = "unknown_event".to_owned();
        let told = InboxFrame::Undelivered { n, code };
        assert_eq!(world.frames(portal).pop().unwrap(), told);
        assert_eq!(world.waiting(), Vec::<&str>::new());
    }

    world.submit(Input::Leave { portal }).unwrap();
    assert_eq!(world.submit(redact(5, &own)).unwrap_err(), Refusal::Ended);
}

#[test]
fn a_removal_that_the_homeserver_refuses_is_told_and_costs_as_much_as_a_message() {
    let mut world = World::new();
    let portal = world.open(1);
    world.send(portal, 1).unwrap();
    world.perform("send_event", Outcome::Sent(EventId::new("$own")));
    let mut n = 1;
    let limited = loop {
        n += 1;
        let event = EventId::new("$own");
        if let Err(refusal) = world.submit(Input::Redact { portal, n, event }) {
            break refusal;
        }
        assert!(n < 100);
    };
    assert!(
        matches!(limited, Refusal::RateLimited { .. }),
        "{limited:?}"
    );
    world.perform("redact", refused());
    let told = world.frames(portal).pop().unwrap();
    assert!(
        matches!(told, InboxFrame::Undelivered { n: 2, .. }),
        "{told:?}"
    );
}
