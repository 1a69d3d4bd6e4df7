//! The admin room: who is obeyed in it, and what becomes of what they write.

use super::commands::invite_as;
use super::world::*;
use crate::audit::Actor;
use crate::effect::Effect;
use crate::frame::InboxFrame;
use crate::id::{RoomId, UserId};
use crate::input::{Membership, Outcome, RoomEventKind};
use crate::policy::Role;
use crate::portal::EndReason;
use crate::refusal::Refusal;
use crate::report::{self, Outside};
use crate::store::Facts;
use crate::testing::sample;

pub fn root() -> UserId {
    sample::user("root")
}

pub fn admin_room() -> RoomId {
    RoomId::new("!admin:example.org")
}

/// Alice has a management room, and root one that is not claimed yet.
fn unclaimed() -> World {
    let mut policy = policy();
    let admin = (root().as_str().to_owned(), Role::Admin);
    policy.permissions.0.extend([admin]);
    let world = World::with(policy);
    world.put_room(sample::management_room(admin_room(), root()));
    world
}

pub fn world() -> World {
    let mut world = unclaimed();
    let said = steer(&mut world, "admin-room");
    assert!(said.contains("This is an admin room now"), "{said}");
    world
}

/// Root writes in the admin room; what the bot says there, reports included.
pub fn steer(world: &mut World, body: &str) -> String {
    world.room_event(&admin_room(), &root(), text(body));
    answers(world)
}

fn answers(world: &mut World) -> String {
    let mut said = Vec::new();
    for (id, effect) in world.effects() {
        let words = match effect {
            Effect::Notice { room, text } if room == admin_room() => Some(text),
            Effect::Report { room, report } => {
                let outside = Outside::default();
                let (store, policy) = (&world.store, &world.policy);
                report::words(&report, &room, store, policy, world.now, &outside).unwrap()
            }
            _ => continue,
        };
        said.extend(words.map(|words| words.plain));
        let outcome = Outcome::Done;
        let effect = id;
        world
            .submit(crate::input::Input::Done { effect, outcome })
            .unwrap();
    }
    said.join("\n---\n")
}

#[test]
fn only_an_admin_claims_a_room_and_the_commands_exist_only_there() {
    let mut world = unclaimed();
    let said = world.write("admin-room").remove(0).plain;
    assert!(said.contains("I don't know “admin-room”"), "{said}");
    let said = world.write("status").remove(0).plain;
    assert!(said.contains("I don't know “status”"), "{said}");
    for command in ["status", "chats", "pause", "block-host @alice:example.org"] {
        let said = steer(&mut world, command);
        assert!(said.contains("`admin-room`"), "{said}");
    }
    steer(&mut world, "admin-room");
    assert!(
        world
            .store
            .management_room(&admin_room())
            .unwrap()
            .unwrap()
            .admin
    );
    for command in ["invite Bob", "list", "block 1"] {
        let said = steer(&mut world, command);
        assert!(said.contains("in a chat of your own with me"), "{said}");
    }
    let help = steer(&mut world, "help");
    for name in [
        "status",
        "chats",
        "links",
        "show",
        "end",
        "revoke",
        "block-host",
        "unblock-host",
        "quota",
        "pause",
        "resume",
        "audit",
        "doctor",
        "admin-room",
        "help",
    ] {
        assert!(help.contains(&format!("`{name}")), "{name}: {help}");
        let about = steer(&mut world, &format!("help {name}"));
        assert!(about.starts_with(&format!("`{name}")), "{about}");
    }
    assert!(!help.contains("`invite"), "{help}");
    assert!(steer(&mut world, "stats").contains("Did you mean `status`?"));
    let said = steer(&mut world, "admin-room off");
    assert!(said.contains("ordinary room again"), "{said}");
    assert!(steer(&mut world, "list").contains("no links and no chats"));
}

#[test]
fn nobody_but_admins_is_obeyed_in_an_admin_room_and_only_what_they_write() {
    let mut world = world();
    let before = world.store.steering().unwrap();
    let bob = sample::user("bob");
    for author in [&alice(), &bob, &sample::ghost(7)] {
        world.room_event(&admin_room(), author, text("pause"));
        world.room_event(&admin_room(), author, text("invite"));
    }
    let message = |msgtype: &str, related, body: &str| RoomEventKind::Message {
        msgtype: msgtype.to_owned(),
        body: body.to_owned(),
        related,
        came: crate::input::Came::Plain,
    };
    for kind in [
        message("m.notice", false, "pause"),
        message("m.emote", false, "pause"),
        message("m.image", false, "pause"),
        message("m.text", true, "pause"),
        message("m.text", false, "> <@root:example.org> pause\n\npause"),
        RoomEventKind::Other,
    ] {
        world.room_event(&admin_room(), &root(), kind);
    }
    assert_eq!(world.store.steering().unwrap(), before);
    assert!(world.waiting().is_empty());
}

#[test]
fn the_room_stays_when_whoever_made_it_leaves() {
    let mut world = world();
    world.member(&admin_room(), &root(), &root(), Membership::Leave);
    assert!(
        world
            .store
            .management_room(&admin_room())
            .unwrap()
            .is_some()
    );
    assert!(world.waiting().is_empty());
}

#[test]
fn an_admin_sees_chats_and_links_of_all_hosts_and_no_names() {
    let mut world = world();
    assert_eq!(steer(&mut world, "chats"), "There are no chats.");
    assert_eq!(steer(&mut world, "links"), "There are no unused links.");
    world.open(1);
    invite_as(&mut world, "Carol");
    let chats = steer(&mut world, "chats");
    assert_eq!(
        chats,
        "1 chat, page 1 of 1:\n1. @alice:example.org: invited, no message yet, ends in 10 days"
    );
    let links = steer(&mut world, "links");
    assert_eq!(
        links,
        "1 unused link, page 1 of 1:\n\
         2. @alice:example.org: made less than a minute ago, not opened yet, works for 7 days more"
    );
    for (filter, found) in [
        ("@alice:example.org", true),
        ("@bob:example.org", false),
        ("example.org", true),
        ("elsewhere.net", false),
        ("invited", true),
        ("open", false),
        ("example.org invited 1", true),
    ] {
        let said = steer(&mut world, &format!("chats {filter}"));
        assert_eq!(said.contains("\n1. @alice"), found, "{filter}: {said}");
    }
    assert!(steer(&mut world, "chats nonsense").contains("no option “nonsense”"));
    assert!(steer(&mut world, "links unopened").contains("\n2. @alice"));
    assert!(steer(&mut world, "links opened").contains("no unused links that fit"));
    let shown = steer(&mut world, "show 1");
    assert!(shown.contains("!room1:example.org"), "{shown}");
    let status = steer(&mut world, "status");
    assert!(
        status.contains("Open: 1 chat and 1 unused link, with 0 browsers"),
        "{status}"
    );
    let audit = steer(&mut world, "audit");
    for said in [&chats, &links, &shown, &status, &audit] {
        for secret in ["Maya", "Bob", "Carol", "Guest"] {
            assert!(!said.contains(secret), "{secret} in {said}");
        }
    }
}

#[test]
fn long_lists_come_in_pages() {
    let mut world = world();
    world.policy.open_links = 100;
    world.policy.limits.links_a_day = 100;
    for _ in 0..45 {
        invite_as(&mut world, "x");
    }
    let first = steer(&mut world, "links");
    assert!(
        first.starts_with("45 unused links, page 1 of 3:\n45. @alice"),
        "{first}"
    );
    assert!(
        first.ends_with("Write `links 2` for the next page."),
        "{first}"
    );
    assert_eq!(first.lines().count(), 22);
    let last = steer(&mut world, "links example.org --page 3");
    assert_eq!(last.lines().count(), 6, "{last}");
    assert!(last.contains("\n1. @alice"), "{last}");
    assert!(steer(&mut world, "links 9").contains("Write `links 3` for the last one"));
}

#[test]
fn an_admin_ends_a_chat_and_takes_a_link_back() {
    let mut world = world();
    let portal = world.open(1);
    let token = invite_as(&mut world, "Carol");
    assert!(steer(&mut world, "end 2").contains("Write `revoke 2`"));
    assert!(steer(&mut world, "revoke 1").contains("Write `end 1`"));
    assert!(steer(&mut world, "end 9").contains("I find no number 9"));
    assert!(steer(&mut world, "end").contains("Which one?"));
    assert!(steer(&mut world, "end Bob").contains("Which one?"));
    let said = steer(&mut world, "end 1");
    assert!(
        said.contains("I ended chat 1 of @alice:example.org"),
        "{said}"
    );
    let reason = EndReason::Admin;
    assert_eq!(world.frames(portal), [InboxFrame::Ended { reason }]);
    let told = world.said();
    assert_eq!(
        told[0].plain,
        "The chat with Bob (number 1) is over: an administrator of this service ended it."
    );
    let said = steer(&mut world, "revoke #2");
    assert!(
        said.contains("I took link 2 of @alice:example.org back"),
        "{said}"
    );
    assert_eq!(
        world.said()[0].plain,
        "An administrator of this service took your link for Carol (number 2) back. It works no more."
    );
    assert_eq!(world.join(&token), Err(Refusal::LinkRevoked));
    assert!(steer(&mut world, "end 1").contains("over already"));
    assert!(steer(&mut world, "revoke 2").contains("over already"));
    let by: Vec<Actor> = world
        .store
        .audit(None, 2)
        .unwrap()
        .into_iter()
        .map(|entry| entry.by)
        .collect();
    assert_eq!(by, [Actor::Admin(root()), Actor::Admin(root())]);
}

#[test]
fn numbers_of_admins_are_never_given_twice() {
    let mut world = world();
    invite_as(&mut world, "one");
    steer(&mut world, "revoke 1");
    world.said();
    world.pass(40 * DAY);
    world.settle();
    world.said();
    assert_eq!(world.store.link_by_serial(1).unwrap(), None);
    let token = invite_as(&mut world, "two");
    assert_eq!(world.link(&token).serial, 2);
}
