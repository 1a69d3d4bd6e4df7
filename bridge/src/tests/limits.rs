//! What hosts can have, and what they read when they have it.

use std::time::Duration;

use super::world::*;
use crate::input::Input;
use crate::refusal::Refusal;
use crate::store::{Change, Facts};
use crate::testing::sample;

#[test]
fn links_of_a_day_are_limited() {
    let mut world = World::new();
    world.policy.limits.links_a_day = 3;
    for _ in 0..3 {
        let token = world.invite();
        world.join(&token).unwrap();
        world.pass(Duration::from_secs(60 * 60));
    }
    let text = world.write("invite")[0].plain.clone();
    assert_eq!(
        text,
        "You made 3 links in 24 hours, and more are not allowed. You can make the next one in 21 hours."
    );
    assert!(world.write("renew 1")[0].plain.contains("You made 3 links"));
    world.pass(Duration::from_secs(21 * 60 * 60));
    world.invite();
    assert!(
        world.write("invite")[0]
            .plain
            .ends_with("the next one in 1 hour.")
    );
    // A clock that is set back by years locks nobody out.
    world.now = crate::time::Timestamp(5);
    world.invite();
    world.policy.limits.links_a_day = 0;
    assert!(world.write("invite")[0].plain.contains("You made 0 links"));
}

#[test]
fn the_whole_bridge_has_its_limits() {
    let mut world = World::new();
    world.policy.limits.bridge_links = 2;
    world.policy.limits.bridge_chats = 1;
    let (first, second) = (world.invite(), world.invite());
    let text = world.write("invite")[0].plain.clone();
    assert!(
        text.contains("as the server allows") && text.contains("administrator"),
        "{text}"
    );
    // Another host's count as well.
    let bob = sample::user("bob");
    assert!(
        world.write_in(&management(), &bob, "invite")[0]
            .plain
            .contains("as the server allows")
    );
    let portal = world.join(&first).unwrap().portal;
    assert_eq!(world.join(&second), Err(Refusal::HostBusy));
    let counted = |world: &World| {
        let counts = world.store.counts().unwrap();
        (counts.open_links, counts.open_chats)
    };
    assert_eq!(counted(&world), (1, 1));
    world.submit(Input::Leave { portal }).unwrap();
    assert_eq!(counted(&world), (1, 0));
    assert!(world.join(&second).is_ok());
    assert_eq!(counted(&world), (0, 1));
    world.invite();
    world.write("revoke 3");
    assert_eq!(counted(&world), (0, 1));
    world.invite();
    world.pass(30 * DAY);
    world.settle();
    assert_eq!(counted(&world), (0, 0));
}

#[test]
fn what_is_refused_changes_no_row() {
    let mut world = World::new();
    world.policy.open_links = 0;
    let decision = world.room_event(&management(), &alice(), text("invite Bob"));
    let is_row = |change: &Change| {
        !matches!(
            change,
            Change::PutEffect { .. } | Change::RememberTransaction(_)
        )
    };
    assert!(
        !decision.changes.0.iter().any(is_row),
        "{:?}",
        decision.changes
    );
}
