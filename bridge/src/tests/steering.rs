//! What admins set for all, or for one host, and how long it is remembered.

use super::admin::{steer, world};
use super::commands::invite_as;
use super::world::*;
use crate::audit::Act;
use crate::id::RoomId;
use crate::link::{Link, LinkState};
use crate::portal::{EndReason, PortalState};
use crate::refusal::Refusal;
use crate::store::{Change, Facts};
use crate::testing::sample;

fn acts(world: &World) -> Vec<Act> {
    let entries = world.store.audit(None, 100).unwrap();
    entries.into_iter().rev().map(|entry| entry.act).collect()
}

#[test]
fn a_pause_lets_nobody_in_and_nothing_new_be_made() {
    let mut world = world();
    let token = world.invite();
    let portal = world.opening();
    assert!(steer(&mut world, "resume").contains("not paused"));
    assert!(steer(&mut world, "pause").contains("Paused:"));
    assert!(steer(&mut world, "pause").contains("paused already"));
    assert_eq!(world.join(&token), Err(Refusal::Paused));
    let said = world.write("invite").remove(0).plain;
    assert!(
        said.contains("An administrator has paused this service"),
        "{said}"
    );
    assert!(!world.portal(portal).is_closed(), "chats go on");
    assert!(
        steer(&mut world, "status").contains("PAUSED less than a minute ago by @root:example.org")
    );
    assert!(steer(&mut world, "resume").contains("let in again"));
    assert!(world.join(&token).is_ok());
}

#[test]
fn a_pause_that_revokes_stops_all_links_at_once_and_tells_their_hosts_in_time() {
    let mut world = world();
    world.policy.open_links = 1000;
    world.policy.limits.links_a_day = 1000;
    let tokens: Vec<_> = (0..250).map(|_| world.invite()).collect();
    let said = steer(&mut world, "pause --revoke");
    assert!(said.contains("I take 250 unused links back"), "{said}");
    steer(&mut world, "resume");
    // None works any more, though their rows don't say so yet; one that is made now does.
    assert_eq!(world.join(&tokens[0]), Err(Refusal::LinkRevoked));
    let new = world.invite();
    let open = |world: &World| {
        let links = world.store.links_of_host(&alice()).unwrap();
        links
            .iter()
            .filter(|link| link.state == LinkState::Open)
            .count()
    };
    assert_eq!(open(&world), 251);
    world.submit(tick()).unwrap();
    assert_eq!(open(&world), 151, "a tick does a part of it");
    world.settle();
    assert_eq!(open(&world), 1);
    assert_eq!(world.store.counts().unwrap().open_links, 1);
    assert_eq!(world.store.steering().unwrap().revoking_below, None);
    assert_eq!(world.said().len(), 250);
    assert!(world.join(&new).is_ok());
}

#[test]
fn a_blocked_host_has_nothing_and_gets_nothing() {
    let mut world = world();
    let portal = world.open(1);
    let token = invite_as(&mut world, "Carol");
    assert!(steer(&mut world, "block-host alice").contains("Which host?"));
    assert!(
        steer(&mut world, "block-host @root:example.org").contains("admin by the configuration")
    );
    assert!(steer(&mut world, "block-host @guestbot:example.org").contains("own users"));
    let said = steer(&mut world, "block-host @alice:example.org");
    assert!(said.contains("1 link taken back, 1 chat ended."), "{said}");
    let ended = PortalState::Closed {
        room: Some(sealed(1)),
        at: world.now,
        reason: EndReason::Admin,
    };
    assert_eq!(world.portal(portal).state, ended);
    assert_eq!(world.said().len(), 2);
    assert_eq!(world.join(&token), Err(Refusal::LinkRevoked));
    assert!(world.write("invite").is_empty(), "they are not answered");
    assert!(steer(&mut world, "block-host @alice:example.org").contains("blocked already"));
    assert!(steer(&mut world, "quota").contains(
        "@alice:example.org is blocked: @root:example.org did that less than a minute ago."
    ));
    assert!(steer(&mut world, "unblock-host @alice:example.org").contains("may have links again"));
    assert!(steer(&mut world, "unblock-host @alice:example.org").contains("is not blocked"));
    assert!(world.write("invite").last().unwrap().plain.contains("/#"));
    let end = Act::ChatEnded {
        reason: EndReason::Admin,
    };
    let expected = [Act::HostBlocked, end, Act::HostUnblocked];
    assert!(expected.iter().all(|act| acts(&world).contains(act)));
}

#[test]
fn many_chats_of_a_blocked_host_end_tick_by_tick() {
    let mut world = world();
    world.policy.open_chats = 100;
    for _ in 0..30 {
        let token = world.invite();
        world.join(&token).unwrap();
    }
    let said = steer(&mut world, "block-host @alice:example.org");
    assert!(
        said.contains("30 chats ended. 10 of the chats end within"),
        "{said}"
    );
    assert_eq!(world.store.counts().unwrap().open_chats, 10);
    world.submit(tick()).unwrap();
    assert_eq!(world.store.counts().unwrap().open_chats, 0);
    world.settle();
    assert!(world.store.steering().unwrap().clearing.is_empty());
}

/// A host of this name, who has so many chats.
fn host_with_chats(world: &mut World, name: &str, chats: usize) {
    let (host, room) = (
        sample::user(name),
        RoomId::new(format!("!{name}:example.org")),
    );
    world.put_room(sample::management_room(room.clone(), host.clone()));
    for _ in 0..chats {
        let said = world.write_in(&room, &host, "invite Maya");
        world.join(&token_in(&said.last().unwrap().plain)).unwrap();
    }
}

fn open_chats(world: &World) -> u64 {
    world.store.counts().unwrap().open_chats
}

#[test]
fn a_tick_ends_so_many_chats_whosever_they_are() {
    let mut world = world();
    world.policy.open_chats = 100;
    world.policy.limits.links_a_day = 100;
    for (host, chats) in [("bob", 35), ("carol", 65)] {
        host_with_chats(&mut world, host, chats);
        let before = open_chats(&world);
        steer(&mut world, &format!("block-host @{host}:example.org"));
        assert_eq!(open_chats(&world), before - 20, "{host}");
    }
    // 15 of the one and 45 of the other are left.
    for left in [40, 20, 0] {
        assert!(!world.store.steering().unwrap().clearing.is_empty());
        world.submit(tick()).unwrap();
        assert_eq!(open_chats(&world), left);
    }
    world.settle();
    assert!(world.store.steering().unwrap().clearing.is_empty());
}

#[test]
fn chats_that_expire_while_their_host_is_cleared_hide_no_others() {
    let mut world = world();
    world.policy.open_chats = 100;
    host_with_chats(&mut world, "bob", 30);
    world.pass(9 * DAY);
    host_with_chats(&mut world, "bob", 45);
    steer(&mut world, "block-host @bob:example.org");
    assert_eq!(open_chats(&world), 55);
    world.pass(DAY);
    world.settle();
    assert_eq!(open_chats(&world), 0);
    assert!(world.store.steering().unwrap().clearing.is_empty());
    let ends = world
        .waiting()
        .into_iter()
        .filter(|name| *name == "deactivate");
    assert_eq!(ends.count(), 75, "each ends once");
}

#[test]
fn the_first_link_after_all_were_taken_back_is_a_good_one() {
    let mut world = world();
    let old = world.invite();
    steer(&mut world, "pause --revoke");
    steer(&mut world, "resume");
    let new = world.invite();
    assert!(world.store.steering().unwrap().revoking_below.is_some());
    assert_eq!(world.join(&old), Err(Refusal::LinkRevoked));
    assert!(world.join(&new).is_ok());
}

#[test]
fn an_open_link_below_thousands_that_are_over_is_taken_back_too() {
    let mut world = world();
    let oldest = world.invite();
    let over = world.invite();
    let over = Link {
        state: LinkState::Revoked { at: world.now },
        ..world.link(&over)
    };
    let more = (1..=2_500).map(|number| {
        Change::PutLink(Link {
            serial: over.serial + number,
            state: over.state,
            ..sample::link(1_000 + number, &over.host)
        })
    });
    world.put(more.collect());
    let mut counts = world.store.counts().unwrap();
    counts.last_serial += 2_500;
    world.put(vec![Change::PutCounts(counts)]);
    steer(&mut world, "pause --revoke");
    world.settle();
    assert_eq!(
        world.link(&oldest).state,
        LinkState::Revoked { at: world.now }
    );
    assert_eq!(world.store.steering().unwrap().revoking_below, None);
}

#[test]
fn a_host_has_limits_of_their_own() {
    let mut world = world();
    let said = steer(&mut world, "quota");
    assert!(said.contains("20 unused links and 50 chats"), "{said}");
    let said = steer(&mut world, "quota @alice:example.org 1");
    assert!(
        said.contains("may have 1 unused link and 1 chat."),
        "{said}"
    );
    let token = world.invite();
    assert!(
        world.write("invite")[0]
            .plain
            .contains("You have 1 unused link,")
    );
    world.join(&token).unwrap();
    let token = world.invite();
    assert_eq!(world.join(&token), Err(Refusal::HostBusy));
    steer(&mut world, "quota @alice:example.org chats 2");
    assert!(world.join(&token).is_ok());
    assert!(
        steer(&mut world, "quota")
            .contains("@alice:example.org may have 1 unused link and 2 chats")
    );
    let said = steer(&mut world, "quota @alice:example.org default");
    assert!(
        said.contains("20 unused links (default) and 50 chats (default)"),
        "{said}"
    );
    assert!(steer(&mut world, "quota @alice:example.org many").contains("How many?"));
    assert!(world.write("invite").last().unwrap().plain.contains("/#"));
}

#[test]
fn the_audit_trail_tells_who_did_what_and_is_forgotten_in_time() {
    let mut world = world();
    let portal = world.open(1);
    world.write("invite Carol");
    world.write("revoke 2");
    world.write("block 1");
    world.write("unblock 1");
    steer(&mut world, "pause");
    let expected = [
        Act::AdminRoomClaimed,
        Act::LinkMade,
        Act::LinkUsed,
        Act::ChatOpened,
        Act::LinkMade,
        Act::LinkRevoked,
        Act::GuestBlocked,
        Act::ChatEnded {
            reason: EndReason::Host,
        },
        Act::GuestUnblocked,
        Act::Paused { revoke: false },
    ];
    assert_eq!(acts(&world), expected);
    let entries = world.store.audit(None, 100).unwrap();
    let about = entries
        .iter()
        .filter(|entry| entry.to.portal == Some(portal));
    assert!(
        about
            .clone()
            .all(|entry| entry.to.serial == 1 && entry.to.number == 1)
    );
    assert_eq!(about.count(), 4);
    let mut entries = entries.iter();
    let unblocked = entries.find(|entry| entry.act == Act::GuestUnblocked);
    assert_eq!(unblocked.unwrap().to.number, 1);
    let said = steer(&mut world, "audit #1");
    assert_eq!(said.lines().count(), 6, "{said}");
    assert!(
        said.contains("@alice:example.org blocked the guest of chat 1"),
        "{said}"
    );
    assert_eq!(steer(&mut world, "audit 3").lines().count(), 4);
    assert!(steer(&mut world, "audit @bob:example.org").contains("nothing"));
    assert!(steer(&mut world, "audit @root:example.org").contains("paused"));
    world.pass(89 * DAY);
    world.settle();
    assert!(acts(&world).len() >= 10);
    world.pass(DAY);
    world.settle();
    assert!(!acts(&world).contains(&Act::LinkMade), "{:?}", acts(&world));
}
