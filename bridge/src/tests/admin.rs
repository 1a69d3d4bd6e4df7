//! The admin room: who is obeyed in it, and what becomes of what they write.

use super::commands::invite_as;
use super::world::*;
use crate::audit::{Act, Actor};
use crate::bridge::Answer;
use crate::effect::Effect;
use crate::frame::InboxFrame;
use crate::host::ManagementRoom;
use crate::id::{RoomId, UserId};
use crate::input::{Membership, Outcome, RoomEventKind};
use crate::link::LinkState;
use crate::permission;
use crate::policy::Role;
use crate::portal::{EndReason, PortalState};
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
    world.put_room(ManagementRoom {
        room: admin_room(),
        host: root(),
        direct: true,
        encrypted: false,
        admin: false,
    });
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

fn acts(world: &World) -> Vec<Act> {
    let entries = world.store.audit(None, 100).unwrap();
    entries.into_iter().rev().map(|entry| entry.act).collect()
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
    assert_eq!(steer(&mut world, "chats"), "There is no such chat.");
    assert_eq!(steer(&mut world, "links"), "There is no such unused link.");
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
    assert!(steer(&mut world, "links opened").contains("no such"));
    let shown = steer(&mut world, "show 1");
    assert!(shown.contains("!room1:example.org"), "{shown}");
    let status = steer(&mut world, "status");
    assert!(
        status.contains("1 chats and 1 unused links are open"),
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
    assert!(steer(&mut world, "status").contains("PAUSED since"));
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
    assert!(steer(&mut world, "quota").contains("@alice:example.org is blocked"));
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

#[test]
fn a_host_has_limits_of_their_own() {
    let mut world = world();
    let said = steer(&mut world, "quota");
    assert!(said.contains("20 unused links and 50 chats"), "{said}");
    let said = steer(&mut world, "quota @alice:example.org 1");
    assert!(
        said.contains("may have 1 unused links and 1 chats."),
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
    assert_eq!(world.join(&token), Err(Refusal::TooManyChats));
    steer(&mut world, "quota @alice:example.org chats 2");
    assert!(world.join(&token).is_ok());
    assert!(
        steer(&mut world, "quota")
            .contains("@alice:example.org may have 1 unused links and 2 chats")
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

#[test]
fn whoever_lost_the_permission_keeps_chats_and_starts_none() {
    let mut world = world();
    let portal = world.open(1);
    let token = world.invite();
    world
        .policy
        .permissions
        .0
        .insert("@alice:example.org".to_owned(), Role::None);
    assert_eq!(world.join(&token), Err(Refusal::LinkRevoked));
    assert!(world.write("invite").is_empty());
    assert!(matches!(world.send(portal, 1), Ok(Answer::Counted { .. })));
    world.settle();
    assert!(!world.portal(portal).is_closed());
    // The permission comes back, and with it the link.
    world.policy.permissions.0.remove("@alice:example.org");
    assert!(world.join(&token).is_ok());
}

fn read_list(world: &mut World, followed: bool, rules: &[(permission::RuleKind, &str)]) {
    let room = sample::room(77);
    let rules = rules.iter().map(|(about, entity)| permission::Rule {
        about: *about,
        entity: (*entity).to_owned(),
        room: room.clone(),
    });
    let input = crate::input::Input::ListRead {
        rules: rules.collect(),
        room: room.clone(),
        followed,
    };
    world.submit(input).unwrap();
}

#[test]
fn whom_a_deny_list_has_may_have_no_links() {
    use permission::RuleKind::{Server, User};
    let mut world = world();
    let portal = world.open(1);
    let role = |world: &World, user: &str| {
        permission::role(&UserId::new(user), &world.store, &world.policy).unwrap()
    };
    for (about, entity, listed) in [
        (User, "@alice:example.org", true),
        (User, "@alice:example.or", false),
        (User, "@al*:example.org", true),
        (User, "@alic?:*", true),
        (User, "@alic??:*", false),
        (Server, "example.org", true),
        (Server, "*.org", true),
        (Server, "example.*", true),
        (Server, "xample.org", false),
        (User, "*", true),
    ] {
        read_list(&mut world, true, &[(about, entity)]);
        assert_eq!(
            role(&world, "@alice:example.org") == Role::None,
            listed,
            "{entity}"
        );
        assert_eq!(role(&world, "@root:example.org"), Role::Admin, "{entity}");
    }
    assert!(world.write("invite").is_empty());
    assert!(!world.portal(portal).is_closed(), "what goes on goes on");
    assert!(steer(&mut world, "status").contains("Deny list !room77:example.org: 1 rules"));
    // The list changes, and then is no longer in the configuration.
    read_list(&mut world, true, &[(Server, "elsewhere.net")]);
    assert_eq!(role(&world, "@alice:example.org"), Role::Host);
    read_list(&mut world, true, &[(Server, "example.org")]);
    read_list(&mut world, false, &[]);
    assert_eq!(role(&world, "@alice:example.org"), Role::Host);
    assert!(world.store.steering().unwrap().lists.is_empty());
}

#[test]
fn a_server_is_listed_with_its_ports() {
    use permission::RuleKind::Server;
    let mut world = world();
    world
        .policy
        .permissions
        .0
        .insert("*".to_owned(), Role::Host);
    read_list(&mut world, true, &[(Server, "bad.net"), (Server, "[::1]")]);
    let role =
        |user: &str| permission::role(&UserId::new(user), &world.store, &world.policy).unwrap();
    for user in ["@a:bad.net", "@a:bad.net:8448", "@a:[::1]", "@a:[::1]:8448"] {
        assert_eq!(role(user), Role::None, "{user}");
    }
    for user in ["@a:notbad.net", "@a:bad.net.org", "@bad.net:good.net"] {
        assert_eq!(role(user), Role::Host, "{user}");
    }
}
