//! Who may be a host, by the configuration and by deny lists.

use super::admin::{steer, world};
use super::world::*;
use crate::bridge::Answer;
use crate::id::{RoomId, UserId};
use crate::permission;
use crate::policy::Role;
use crate::refusal::Refusal;
use crate::store::Facts;
use crate::testing::sample;

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

/// Hosts may be of any server.
fn open_to_all() -> World {
    let mut world = world();
    let everybody = ("*".to_owned(), Role::Host);
    world.policy.permissions.0.extend([everybody]);
    world
}

fn read_list(world: &mut World, followed: bool, rules: &[(permission::RuleKind, &str)]) {
    read_list_in(&sample::room(77), world, followed, rules);
}

fn read_list_in(
    room: &RoomId,
    world: &mut World,
    followed: bool,
    rules: &[(permission::RuleKind, &str)],
) {
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
    assert!(steer(&mut world, "status").contains("Deny list !room77:example.org: 1 rule,"));
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
    let mut world = open_to_all();
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

#[test]
fn a_pattern_for_servers_holds_with_and_without_their_ports() {
    use permission::RuleKind::Server;
    let mut world = open_to_all();
    for (pattern, listed) in [
        // Fits the name alone.
        ("*.net", true),
        // Fits the name with its port alone.
        ("*.net:84??", true),
        ("bad*", true),
        ("*.org", false),
    ] {
        read_list(&mut world, true, &[(Server, pattern)]);
        let user = UserId::new("@a:bad.net:8448");
        let role = permission::role(&user, &world.store, &world.policy).unwrap();
        assert_eq!(role == Role::None, listed, "{pattern}");
    }
}

#[test]
fn a_list_that_is_read_again_forgets_its_own_rules_alone() {
    use permission::RuleKind::User;
    let mut world = open_to_all();
    let (one, other) = (sample::room(77), sample::room(78));
    read_list_in(
        &one,
        &mut world,
        true,
        &[(User, "@a:x.net"), (User, "@b:*")],
    );
    read_list_in(
        &other,
        &mut world,
        true,
        &[(User, "@c:x.net"), (User, "@d:*")],
    );
    let listed = |world: &World, name: &str| {
        let user = UserId::new(format!("@{name}:x.net"));
        permission::role(&user, &world.store, &world.policy).unwrap() == Role::None
    };
    assert!(["a", "b", "c", "d"].iter().all(|name| listed(&world, name)));
    // One rule of it is gone, and one is new.
    read_list_in(
        &other,
        &mut world,
        true,
        &[(User, "@d:*"), (User, "@e:x.net")],
    );
    assert!(["a", "b", "d", "e"].iter().all(|name| listed(&world, name)));
    assert!(!listed(&world, "c"));
    read_list_in(&other, &mut world, false, &[]);
    assert!(["a", "b"].iter().all(|name| listed(&world, name)));
    assert!(!["c", "d", "e"].iter().any(|name| listed(&world, name)));
}

#[test]
fn a_list_without_rules_is_followed_and_left_all_the_same() {
    let mut world = open_to_all();
    let room = sample::room(77);
    let lists = |world: &World| world.store.steering().unwrap().lists;
    read_list_in(&room, &mut world, true, &[]);
    assert_eq!(lists(&world).get(&room).map(|read| read.rules), Some(0));
    // Read again as it was, nothing is written: neither when it was read, nor anything else.
    let before = lists(&world);
    world.now.0 += 1_000;
    read_list_in(&room, &mut world, true, &[]);
    assert_eq!(lists(&world), before);
    read_list_in(&room, &mut world, false, &[]);
    assert!(lists(&world).is_empty());
}
