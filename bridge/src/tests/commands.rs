//! What hosts write about their links and chats, and what they read.

use std::time::Duration;

use super::world::*;
use crate::frame::InboxFrame;
use crate::host::ManagementRoom;
use crate::id::RoomId;
use crate::link::LinkState;
use crate::portal::EndReason;
use crate::refusal::Refusal;
use crate::store::Facts;
use crate::testing::sample;

pub const HOUR: Duration = Duration::from_secs(60 * 60);

/// The one message that answers this.
pub fn answer(world: &mut World, body: &str) -> String {
    let said = world.write(body);
    let plain: Vec<String> = said.into_iter().map(|words| words.plain).collect();
    assert_eq!(plain.len(), 1, "{body}: {plain:?}");
    plain.into_iter().next().unwrap()
}

pub fn invite_as(world: &mut World, label: &str) -> crate::link::Token {
    let said = world.write(&format!("invite {label}"));
    token_in(&said.last().unwrap().plain)
}

#[test]
fn the_list_shows_each_link_and_chat_with_its_number() {
    let mut world = World::new();
    let text = answer(&mut world, "list");
    assert!(
        text.contains("no links and no chats") && text.contains("`invite`"),
        "{text}"
    );

    world.open(1);
    world.pass(2 * HOUR);
    let opened = invite_as(&mut world, "Carol <c>");
    let looked = crate::input::Input::Looked {
        token_hash: opened.hash(),
    };
    world.submit(looked).unwrap();
    world.said();
    world.write("invite --passcode --expires 3h");
    world.pass(HOUR);
    let said = world.write("list");
    let plain: Vec<&str> = said.iter().map(|words| words.plain.as_str()).collect();
    assert_eq!(
        plain,
        [
            "Your chats:\n1. Bob: Maya (Guest), waits for you to accept the invitation, no message yet, ends in 10 days",
            "Links that nobody used yet:\n\
             2. Carol <c>: opened 1 hour ago, works for 7 days more\n\
             3. a guest: not opened yet, with passcode, works for 2 hours more",
        ]
    );
    assert!(
        said[1]
            .html
            .contains("<strong>2</strong>. Carol &lt;c&gt;: opened")
    );

    let bob = world.store.portals_of_host(&alice()).unwrap()[0].clone();
    world.member(
        &sealed(1),
        &alice(),
        &alice(),
        crate::input::Membership::Join,
    );
    world.send(bob.id, 1).unwrap();
    world.pass(3 * HOUR);
    let text = &world.write("list")[0].plain;
    assert!(
        text.ends_with("Maya (Guest), open, last message 3 hours ago, ends in 10 days"),
        "{text}"
    );
    world.write("block 1");
    world.pass(DAY);
    let said = world.write("list");
    assert_eq!(
        said.last().unwrap().plain,
        "Blocked:\n1. Bob: blocked 24 hours ago"
    );
}

#[test]
fn a_long_list_comes_in_several_messages() {
    let mut world = World::new();
    world.policy.open_links = 100;
    world.policy.limits.links_a_day = 100;
    for _ in 0..70 {
        invite_as(&mut world, &"\"".repeat(60));
    }
    let said = world.write("list");
    assert_eq!(said.len(), 3);
    let lines = said.iter().map(|words| words.plain.lines().count() - 1);
    assert_eq!(lines.sum::<usize>(), 70);
    for words in said {
        assert!(words.plain.len() + words.html.len() < 48 * 1024);
    }
}

#[test]
fn everybody_sees_and_steers_their_own_alone() {
    let mut world = World::new();
    let group = RoomId::new("!group:example.org");
    world.put_room(ManagementRoom {
        room: group.clone(),
        host: alice(),
        direct: false,
        encrypted: false,
        admin: false,
        looked: true,
        advised: true,
        unread_told: None,
    });
    let bob = sample::user("bob");
    let mut write = |author: &crate::id::UserId, body: &str| {
        let said = world.write_in(&group, author, body);
        said.into_iter()
            .map(|words| words.plain)
            .collect::<Vec<_>>()
    };
    write(&alice(), "!guest invite Carol");
    let said = write(&bob, "!guest list");
    assert!(
        said[0].contains("no links and no chats") && said[0].contains("`!guest invite`"),
        "{said:?}"
    );
    for command in [
        "revoke 1",
        "end 1",
        "block 1",
        "renew 1",
        "unblock 1",
        "revoke Carol",
    ] {
        let said = write(&bob, &format!("!guest {command}"));
        assert!(
            !said[0].contains("Carol") || command.ends_with("Carol"),
            "{said:?}"
        );
        assert!(
            said[0].contains("I find no") || said[0].contains("not blocked anybody"),
            "{said:?}"
        );
    }
    write(&bob, "!guest invite Dave");
    // Numbers are each host's own.
    assert!(write(&bob, "!guest list")[0].contains("1. Dave"));
    assert!(write(&alice(), "!guest list")[0].contains("1. Carol"));
    assert!(write(&alice(), "!guest revoke 1")[0].contains("`!guest renew 1`"));
    assert_eq!(
        world.store.links_of_host(&bob).unwrap()[0].state,
        LinkState::Open
    );
}

#[test]
fn a_link_is_taken_back() {
    for which in ["1", "#1", "Bob", "bob", "“Bob”"] {
        let mut world = World::new();
        let token = world.invite();
        let text = answer(&mut world, &format!("revoke {which}"));
        assert_eq!(
            text,
            "I took the link for Bob (number 1) back. Write `renew 1` for a new one."
        );
        assert_eq!(world.join(&token), Err(Refusal::LinkRevoked));
        let text = answer(&mut world, "revoke 1");
        assert_eq!(
            text,
            "Number 1 (Bob) is over already. Write `renew 1` for a new link."
        );
    }
}

#[test]
fn a_chat_is_ended() {
    let mut world = World::new();
    let portal = world.open(1);
    world.room_event(&management(), &alice(), text("end bob"));
    // What the homeserver does of it, and one answer.
    assert_eq!(
        world.waiting(),
        ["ghost_leaves", "delete_device", "deactivate", "notice"]
    );
    let said = world.said();
    assert_eq!(
        said[0].plain,
        "I ended the chat with Bob (number 1). Write `renew 1` for a new link."
    );
    assert!(said[0].html.contains("<code>renew 1</code>"));
    let reason = EndReason::Host;
    assert_eq!(world.frames(portal), [InboxFrame::Ended { reason }]);
}

#[test]
fn a_chat_that_is_being_set_up_can_be_ended_too() {
    let mut world = World::new();
    let portal = world.opening();
    answer(&mut world, "end 1");
    assert!(world.portal(portal).is_closed());
}

#[test]
fn what_does_not_fit_says_what_to_write_instead() {
    let mut world = World::new();
    let table = [
        (
            "end 9",
            "I find no “9”, and there is nothing to end at the moment. Write `list` to see what there is.",
        ),
        ("unblock 9", "You have not blocked anybody."),
    ];
    for (body, expected) in table {
        assert_eq!(answer(&mut world, body), expected);
    }
    world.open(1);
    invite_as(&mut world, "Carol");
    world.open(2);
    invite_as(&mut world, "");
    let table = [
        ("end 9", "I find no “9”. You can end 1 (Bob) and 3 (Bob)."),
        (
            "end nobody",
            "I find no “nobody”. You can end 1 (Bob) and 3 (Bob).",
        ),
        (
            "block 9",
            "I find no “9”. You can block 1 (Bob) and 3 (Bob).",
        ),
        (
            "revoke 9",
            "I find no “9”. You can revoke 2 (Carol) and 4 (a guest).",
        ),
        (
            "renew 9",
            "I find no “9”. You can renew 1 (Bob), 2 (Carol), 3 (Bob) and 4 (a guest).",
        ),
        (
            "end 2",
            "Number 2 (Carol) is a link that nobody used yet. Write `revoke 2` to take it back.",
        ),
        (
            "block carol",
            "Number 2 (Carol) is a link that nobody used yet. Write `revoke 2` to take it back.",
        ),
        (
            "revoke 3",
            "Number 3 (Bob) is a chat that goes on. Write `end 3` to end it.",
        ),
        (
            "end bob",
            "Several are called “bob”: 1 and 3. Please write the number, for example `end 1`.",
        ),
        (
            "block Bob",
            "Several are called “Bob”: 1 and 3. Please write the number, for example `block 1`.",
        ),
    ];
    for (body, expected) in table {
        assert_eq!(answer(&mut world, body), expected);
    }
    // One of two is over: now the label is clear.
    answer(&mut world, "end 1");
    assert!(answer(&mut world, "end Bob").contains("number 3"));
    assert!(
        world
            .store
            .portals_of_host(&alice())
            .unwrap()
            .iter()
            .all(crate::portal::Portal::is_closed)
    );
}

#[test]
fn a_number_goes_before_a_label_that_looks_like_it() {
    let mut world = World::new();
    invite_as(&mut world, "2");
    invite_as(&mut world, "Carol");
    invite_as(&mut world, "77");
    assert!(answer(&mut world, "revoke 2").contains("Carol (number 2)"));
    assert!(answer(&mut world, "revoke 77").contains("77 (number 3)"));
    assert!(answer(&mut world, "revoke 1").contains("2 (number 1)"));
}

#[test]
fn renew_makes_a_link_with_the_same_label() {
    let mut world = World::new();
    let first = world.invite();
    // An unused link: the old one is taken back.
    let said = world.write("renew 1");
    let second = token_in(&said[0].plain);
    assert!(said[0].plain.starts_with("Here is your link for Bob:"));
    assert!(said[0].plain.contains("Its number is 2."));
    assert_eq!(world.join(&first), Err(Refusal::LinkRevoked));
    assert_eq!(world.link(&second).label.as_deref(), Some("Bob"));
    // A chat goes on.
    let portal = world.join(&second).unwrap().portal;
    let third = token_in(&world.write("renew 2")[0].plain);
    assert!(!world.portal(portal).is_closed());
    // One that expired, by its label, of which the newest counts.
    world.pass(8 * DAY);
    world.settle();
    assert_eq!(world.join(&third), Err(Refusal::LinkExpired));
    world.said();
    let fourth = token_in(&world.write("renew bob")[0].plain);
    assert_eq!(world.link(&fourth).number, 4);
    assert!(world.join(&fourth).is_ok());
}

#[test]
fn renewing_an_unused_link_works_at_the_limit() {
    let mut world = World::new();
    world.policy.open_links = 1;
    world.policy.limits.bridge_links = 1;
    world.invite();
    assert!(world.write("renew 1")[0].plain.contains("/#"));
    assert_eq!(world.store.counts().unwrap().open_links, 1);
    assert!(world.write("renew 1")[0].plain.contains("1 unused link,"));
    assert!(world.write("invite")[0].plain.contains("1 unused link,"));
}

#[test]
fn help_explains_every_command() {
    let mut world = World::new();
    let text = answer(&mut world, "help");
    let commands = crate::command::COMMANDS.iter();
    for command in commands.filter(|command| command.role <= crate::policy::Role::Host) {
        assert!(text.contains(&format!("`{}", command.name)), "{text}");
        let about = answer(&mut world, &format!("help {}", command.name));
        assert!(about.contains(command.summary), "{about}");
        assert!(!about.contains(" `:"), "no space before the end: {about}");
    }
    assert!(!text.contains(" `:"), "{text}");
    assert!(answer(&mut world, "end").contains("Which one? Write `list`"));
    assert!(answer(&mut world, "ende 3").contains("Did you mean `end`?"));
}
