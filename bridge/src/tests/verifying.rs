//! `verify N`: what the host reads of the safety code.

use super::commands::answer;
use super::world::*;
use crate::effect::{Effect, Words};
use crate::id::PortalId;
use crate::report::Report;
use crate::report::safety::{Finding, asked_about, words};
use crate::store::Facts as _;

/// What waits to be worked out.
fn asked(world: &mut World, body: &str) -> PortalId {
    assert_eq!(world.write(body), [], "said at once");
    let [(_, Effect::Report { room, report })] = &world.effects()[..] else {
        panic!("{:?}", world.waiting())
    };
    assert_eq!(*room, management());
    let Report::Safety { portal } = report else {
        panic!("{report:?}")
    };
    *portal
}

fn told(world: &World, portal: PortalId, found: Option<&Finding>) -> Option<Words> {
    words(portal, &management(), found, &world.store).unwrap()
}

fn code(given: bool) -> Finding {
    Finding::Code {
        code: "0123 4567 8901 2345 6789 0123".to_owned(),
        given,
    }
}

#[test]
fn a_chat_is_named_by_number_or_label_and_its_keys_are_asked_for_aside() {
    let mut world = World::new();
    let portal = world.open(1);
    assert_eq!(asked(&mut world, "verify 1"), portal);
    let mut world = World::new();
    let portal = world.open(1);
    assert_eq!(asked(&mut world, "!guest verify Bob"), portal);
}

#[test]
fn what_is_no_open_chat_has_no_code() {
    let mut world = World::new();
    assert!(answer(&mut world, "verify").contains("Which one?"));
    assert!(answer(&mut world, "verify 1").contains("I find no “1”"));
    let token = world.invite();
    assert!(answer(&mut world, "verify 1").contains("a link that nobody used yet"));
    world.join(&token).unwrap();
    let early = answer(&mut world, "verify 1");
    assert!(
        early.contains("still being set up") && early.contains("`verify 1`"),
        "{early}"
    );

    let mut world = World::new();
    let portal = world.open(1);
    assert!(asked_about(portal, &world.store).unwrap().is_some());
    world.write("end 1");
    assert_eq!(asked_about(portal, &world.store).unwrap(), None);
    let over = told(&world, portal, None).unwrap().plain;
    assert!(over.contains("Bob (number 1) is over"), "{over}");
    assert!(answer(&mut world, "verify 1").contains("is over already"));
}

#[test]
fn the_words_say_what_the_code_means_and_what_to_do() {
    let mut world = World::new();
    let portal = world.open(1);
    let said = told(&world, portal, Some(&code(true))).unwrap();
    for part in [
        "your chat with Bob (number 1)",
        "`0123 4567 8901 2345 6789 0123`",
        "menu of their page",
        "end the chat with `end 1`",
        "the guest's browser gave me",
        "everybody the same wrong key",
    ] {
        assert!(said.plain.contains(part), "{part} in {}", said.plain);
    }
    assert!(
        said.html
            .contains("<code>0123 4567 8901 2345 6789 0123</code>"),
        "{}",
        said.html
    );
    let older = told(&world, portal, Some(&code(false))).unwrap().plain;
    assert!(!older.contains("browser gave me"), "{older}");

    let table = [
        (Finding::HostUnsigned, "no cross-signing", "`verify 1`"),
        (Finding::GuestAltered, "Stop:", "`end 1`"),
        (Finding::Unknown, "could not find out", "`verify 1`"),
    ];
    for (found, what, then) in table {
        let said = told(&world, portal, Some(&found)).unwrap().plain;
        assert!(said.contains(what) && said.contains(then), "{said}");
        assert!(!said.contains("safety code of"), "{said}");
    }
}

#[test]
fn nothing_is_said_where_it_is_nobodys_business() {
    let mut world = World::new();
    let portal = world.open(1);
    let mut room = world.store.management_room(&management()).unwrap().unwrap();
    room.admin = true;
    world.put_room(room);
    assert_eq!(told(&world, portal, Some(&code(true))), None);
}

#[test]
fn the_browsers_identity_is_kept_from_the_join_on() {
    let mut world = World::new();
    let token = world.invite();
    let mut join = world.join_input(&token);
    join.keys.master_key = serde_json::json!({ "keys": { "ed25519:abc": "abc" } });
    let portal = world.join_with(join).unwrap().portal;
    assert_eq!(world.portal(portal).visit.master.as_deref(), Some("abc"));
}
