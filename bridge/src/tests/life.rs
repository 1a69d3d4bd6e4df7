//! `docs/life.md` holds the transition tables of link and portal. They are made here by doing each
//! thing in each state, and compared.

use std::path::Path;

use super::admin;
use super::world::*;
use crate::effect::Effect;
use crate::frame::InboxFrame;
use crate::host::ManagementRoom;
use crate::id::{LinkId, PortalId};
use crate::input::{Input, Join, Membership, Outcome};
use crate::link::{LinkState, Token};
use crate::passcode::{PASSCODE_TRIES, Passcode};
use crate::policy::Role;
use crate::portal::PortalState;
use crate::store::Facts;
use crate::testing::sample;

mod chats;
mod ends;
mod links;

use chats::*;
use ends::ends;
use links::links;

/// Set to have the tables written anew.
const UPDATE: &str = "UPDATE_SAMPLES";
/// After so many days everything is forgotten.
const LONG: u32 = 60;

/// A thing that is in some state, and the world around it.
struct Case<T> {
    world: World,
    it: T,
}

/// How one comes into a state.
type Begin<T> = fn() -> Case<T>;
/// Something that happens; whether it can in this state.
type Happening<T> = fn(&mut Case<T>) -> bool;

/// Does everything in every state.
fn table<T>(
    states: &[(&str, Begin<T>)],
    happenings: &[(&str, Happening<T>)],
    state: fn(&Case<T>) -> String,
) -> String {
    let names: Vec<&str> = states.iter().map(|(name, _)| *name).collect();
    let mut text = format!(
        "| | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for (happens, happen) in happenings {
        let cells: Vec<String> = states
            .iter()
            .map(|(name, begin)| {
                let mut case = begin();
                assert_eq!(state(&case), *name);
                if happen(&mut case) {
                    Some(state(&case))
                        .filter(|after| after != name)
                        .unwrap_or("·".to_owned())
                } else {
                    "—".to_owned()
                }
            })
            .collect();
        text.push_str(&format!("| {happens} | {} |\n", cells.join(" | ")));
    }
    // The way of each when nobody does anything.
    let alone = states.iter().map(|(name, begin)| {
        let mut case = begin();
        let mut way: Vec<String> = Vec::new();
        for _ in 0..LONG {
            case.world.pass(DAY);
            case.world.settle();
            let now = state(&case);
            if now != way.last().map_or(*name, String::as_str) {
                way.push(now);
            }
        }
        way.join(", ")
    });
    let alone: Vec<String> = alone.collect();
    text.push_str(&format!("| time passes | {} |\n", alone.join(" | ")));
    text
}

/// An admin writes in the admin room.
fn steered(world: &mut World, body: &str) -> bool {
    let admin = (admin::root().as_str().to_owned(), Role::Admin);
    world.policy.permissions.0.extend([admin]);
    world.put_room(ManagementRoom {
        room: admin::admin_room(),
        host: admin::root(),
        direct: true,
        encrypted: false,
        admin: true,
        looked: true,
        advised: true,
        unread_told: None,
    });
    world.room_event(&admin::admin_room(), &admin::root(), text(body));
    let answers: Vec<_> = world.effects().into_iter().filter(|(_, effect)| {
        matches!(effect, Effect::Notice { room, .. } if *room == admin::admin_room())
    }).collect();
    for (effect, _) in answers {
        let outcome = Outcome::Done;
        world.submit(Input::Done { effect, outcome }).unwrap();
    }
    true
}

/// Puts `table` between the mark and the next end.
fn put(page: &str, mark: &str, table: &str) -> String {
    let mark = format!("<!-- {mark} -->\n");
    let (before, rest) = page.split_once(&mark).unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    format!("{before}{mark}{table}<!-- end -->{after}")
}

#[test]
fn the_tables_of_the_documentation_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/life.md");
    let stored = std::fs::read_to_string(&path).unwrap();
    let tables = [("link", links()), ("chat", chats()), ("ends", ends())];
    let current = tables.iter().fold(stored.clone(), |page, (mark, table)| {
        put(&page, mark, table)
    });
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &current).unwrap();
        return;
    }
    assert!(
        stored == current,
        "docs/life.md is not current; {UPDATE}=1 cargo test writes it"
    );
}

#[test]
fn the_numbers_of_the_documentation_are_the_defaults() {
    let page = include_str!("../../../docs/life.md");
    let times = crate::policy::Times::default();
    let limits = crate::policy::Limits::default();
    let days = |time: std::time::Duration| crate::words::in_words(time);
    for said in [
        format!(
            "{} to {}",
            days(times.shortest_link),
            days(times.longest_link)
        ),
        format!("wasn't there for {}", days(times.absence)),
        format!("{} if the browser stored", days(times.keep_acknowledged)),
        format!("else {}", days(times.keep_chat)),
        format!("| {}, from the chat's end", days(times.keep_link)),
        format!("| {} |", limits.links_a_day),
        "100,000 each".to_owned(),
    ] {
        assert!(page.contains(&said), "{said}");
    }
    assert_eq!(
        (limits.bridge_links, limits.bridge_chats),
        (100_000, 100_000)
    );
    assert_eq!(times.warning, DAY);
}
