//! Hosts talk with the bot.

use super::world::*;
use crate::effect::Effect;
use crate::host::ManagementRoom;
use crate::id::{RoomId, UserId};
use crate::input::{Membership, Outcome, RoomEventKind};
use crate::policy::Role;
use crate::store::Facts;
use crate::testing::sample;

fn new_room() -> RoomId {
    RoomId::new("!new:example.org")
}

fn stored(world: &World, room: &RoomId) -> Option<ManagementRoom> {
    world.store.management_room(room).unwrap()
}

fn group() -> RoomId {
    RoomId::new("!group:example.org")
}

/// A world in which Alice and others share a room with the bot.
fn world_with_group() -> World {
    let world = World::new();
    world.put_room(ManagementRoom {
        room: group(),
        host: alice(),
        direct: false,
        encrypted: false,
        admin: false,
        looked: true,
        advised: true,
        unread_told: None,
    });
    world
}

#[test]
fn the_bot_joins_those_who_may_be_hosts() {
    let stranger = UserId::new("@eve:elsewhere.net");
    let ghost = sample::ghost(1);
    for (inviter, expected) in [
        (alice(), "bot_joins"),
        (stranger, "bot_declines"),
        (ghost, "bot_declines"),
    ] {
        let mut world = World::new();
        world.member(&new_room(), &inviter, &bot(), Membership::Invite);
        assert_eq!(world.waiting(), [expected], "{inviter}");
        assert_eq!(stored(&world, &new_room()), None);
    }
}

#[test]
fn the_bot_never_comes_back_into_a_portals_room() {
    let mut world = World::new();
    world.open(1);
    assert!(
        world
            .member(&sealed(1), &alice(), &bot(), Membership::Invite)
            .changes
            .is_empty()
    );
}

#[test]
fn the_greeting_fits_the_room() {
    let table = [
        (false, 2, true, "Write `invite`"),
        (false, 3, false, "Write `!guest invite`"),
        (true, 2, true, "Write `invite`"),
        (true, 5, false, "Write `!guest invite`"),
    ];
    for (encrypted, members, direct, words) in table {
        let mut world = World::new();
        world.member(&new_room(), &alice(), &bot(), Membership::Invite);
        world.perform("bot_joins", Outcome::Joined { encrypted, members });
        let room = ManagementRoom {
            room: new_room(),
            host: alice(),
            direct,
            encrypted,
            admin: false,
            looked: true,
            advised: !encrypted,
            unread_told: None,
        };
        assert_eq!(stored(&world, &new_room()), Some(room));
        let said = world.said();
        assert_eq!(said.len(), 1);
        assert!(said[0].plain.contains(words), "{}", said[0].plain);
        let advised = said[0].plain.contains("this room is not encrypted");
        assert_eq!(advised, !encrypted, "{}", said[0].plain);
    }
}

#[test]
fn an_invitation_that_can_not_be_accepted_is_forgotten() {
    let mut world = World::new();
    world.member(&new_room(), &alice(), &bot(), Membership::Invite);
    world.perform("bot_joins", refused());
    assert_eq!(stored(&world, &new_room()), None);
    assert!(world.waiting().is_empty());
}

#[test]
fn invite_answers_with_a_link() {
    let mut world = World::new();
    world.room_event(&management(), &alice(), text("invite Bob <b>"));
    assert_eq!(world.waiting(), ["fetch_host_name", "share_link"]);
    let said = world.said();
    let words = &said[0];
    let token = token_in(&words.plain);
    let url = format!("https://chat.example.org/guest/#{}", token.reveal());
    assert!(
        words.plain.contains(&url)
            && words.plain.contains("Bob <b>")
            && words.plain.contains("7 days")
    );
    assert!(
        words.html.contains(&format!("<a href=\"{url}\">{url}</a>"))
            && words.html.contains("Bob &lt;b&gt;")
    );
    assert!(!words.html.contains("<b>"));

    let link = world.link(&token);
    assert_eq!((link.host, link.room), (alice(), management()));
    assert_eq!(link.label.as_deref(), Some("Bob <b>"));
    assert_eq!(
        (link.created_at, link.expires_at),
        (world.now, world.now + 7 * DAY)
    );
    assert!(crate::ghost::is_ghost(&link.ghost, sample::SERVER));
}

#[test]
fn every_link_has_its_own_token_and_ghost() {
    let mut world = World::new();
    let (first, second) = (world.invite(), world.invite());
    assert_ne!(first, second);
    assert_ne!(world.link(&first).ghost, world.link(&second).ghost);
}

#[test]
fn a_link_without_label_is_for_a_guest() {
    let mut world = World::new();
    let said = world.write("invite");
    assert!(said[0].plain.starts_with("Here is your link for a guest:"));
    assert_eq!(world.link(&token_in(&said[0].plain)).label, None);
}

#[test]
fn unused_links_have_a_limit() {
    let mut world = World::new();
    world.policy.open_links = 2;
    world.invite();
    let used = world.invite();
    let said = world.write("invite");
    assert!(
        said[0].plain.contains("2 unused links"),
        "{}",
        said[0].plain
    );
    world.join(&used).unwrap();
    world.invite();
    assert!(world.write("invite")[0].plain.contains("unused links"));
    world.pass(7 * DAY);
    world.invite();
    assert_eq!(world.store.links_of_host(&alice()).unwrap().len(), 4);
}

#[test]
fn in_a_direct_chat_every_text_is_a_command() {
    let mut world = World::new();
    for body in [
        "help",
        "HELP",
        "/help",
        "!help",
        "!guest help",
        "!GUEST  Help",
        "  help  ",
    ] {
        let said = world.write(body);
        assert!(
            said[0].plain.starts_with("I make links"),
            "{body}: {}",
            said[0].plain
        );
    }
    assert!(world.write("!guest")[0].plain.contains("`help`"));
    assert!(
        world.write("hello there")[0]
            .plain
            .contains("I don't know “hello”")
    );
    assert!(
        world.write("invte Bob")[0]
            .plain
            .contains("Did you mean `invite`?")
    );
}

#[test]
fn in_a_bigger_room_commands_need_the_prefix() {
    let mut world = world_with_group();
    for body in ["help", "/help", "hello", "guest help", "!guests help", ""] {
        assert!(
            world.write_in(&group(), &alice(), body).is_empty(),
            "{body}"
        );
    }
    let said = world.write_in(&group(), &alice(), "!guest help");
    assert!(
        said[0]
            .plain
            .contains("`!guest invite [label] [--expires 3d] [--passcode]`"),
        "{}",
        said[0].plain
    );
}

#[test]
fn everybody_with_the_role_has_their_own_links() {
    let mut world = world_with_group();
    let bob = sample::user("bob");
    let said = world.write_in(&group(), &bob, "!guest invite");
    let link = world.link(&token_in(&said[0].plain));
    assert_eq!((link.host, link.room), (bob, group()));
    let stranger = UserId::new("@eve:elsewhere.net");
    assert!(
        world
            .write_in(&group(), &stranger, "!guest invite")
            .is_empty()
    );
}

#[test]
fn what_is_no_command_is_ignored() {
    let mut world = World::new();
    let message = |msgtype: &str, related| RoomEventKind::Message {
        msgtype: msgtype.to_owned(),
        body: "invite".to_owned(),
        related,
        came: crate::input::Came::Plain,
    };
    let kinds = [
        message("m.notice", false),
        message("m.emote", false),
        message("m.image", false),
        message("m.text", true),
        RoomEventKind::Other,
        RoomEventKind::State,
        RoomEventKind::Redaction {
            redacts: crate::id::EventId::new("$x"),
        },
    ];
    for kind in kinds {
        assert!(
            world
                .room_event(&management(), &alice(), kind)
                .changes
                .is_empty()
        );
    }
    assert!(
        world
            .room_event(&management(), &bot(), text("invite"))
            .changes
            .is_empty()
    );
    assert!(
        world
            .room_event(&management(), &sample::ghost(1), text("invite"))
            .changes
            .is_empty()
    );
    assert!(
        world
            .room_event(
                &RoomId::new("!unknown:example.org"),
                &alice(),
                text("invite")
            )
            .changes
            .is_empty()
    );
}

#[test]
fn who_may_nothing_hears_nothing() {
    let mut world = World::new();
    world
        .policy
        .permissions
        .0
        .insert(alice().as_str().to_owned(), Role::None);
    assert!(
        world
            .room_event(&management(), &alice(), text("invite"))
            .changes
            .is_empty()
    );
    assert!(
        world
            .room_event(&management(), &alice(), encrypted())
            .changes
            .is_empty()
    );
}

#[test]
fn a_third_member_makes_the_prefix_needed() {
    for membership in [Membership::Invite, Membership::Join] {
        let mut world = World::new();
        world.member(&management(), &alice(), &sample::user("bob"), membership);
        assert!(!stored(&world, &management()).unwrap().direct);
        assert!(world.write("help").is_empty());
    }
    let mut world = World::new();
    world.member(
        &management(),
        &alice(),
        &sample::user("bob"),
        Membership::Leave,
    );
    world.member(&management(), &alice(), &alice(), Membership::Join);
    world.member(&management(), &alice(), &bot(), Membership::Join);
    assert!(stored(&world, &management()).unwrap().direct);
}

#[test]
fn the_bot_leaves_with_its_host() {
    for membership in [Membership::Leave, Membership::Ban] {
        let mut world = World::new();
        world.member(&management(), &alice(), &alice(), membership);
        assert_eq!(stored(&world, &management()), None);
        assert_eq!(
            world.effects().pop().unwrap().1,
            Effect::BotDeclines { room: management() }
        );

        let mut world = World::new();
        world.member(&management(), &alice(), &bot(), membership);
        assert_eq!(stored(&world, &management()), None);
        assert!(world.waiting().is_empty());
    }
}

#[test]
fn a_failed_chat_is_not_told_where_the_bot_is_no_more() {
    let mut world = World::new();
    world.opening();
    world.member(&management(), &alice(), &bot(), Membership::Leave);
    world.perform("create_room", refused());
    assert!(world.said().is_empty());
}
