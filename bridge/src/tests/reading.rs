//! How far a host has read.

use super::alarms::HOUR;
use super::world::*;
use crate::id::{EventId, PortalId};
use crate::input::Input;
use crate::portal::HostRead;
use crate::time::Timestamp;

fn read(world: &mut World, portal: PortalId, event: &str, at: Timestamp) -> bool {
    let event = EventId::new(event);
    let read = HostRead { event, at };
    let stored = world.submit(Input::HostRead { portal, read }).unwrap();
    !stored.changes.is_empty()
}

fn known(world: &World, portal: PortalId) -> Option<String> {
    let read = world.portal(portal).host_read;
    read.map(|read| read.event.as_str().to_owned())
}

#[test]
fn a_receipt_only_moves_forward() {
    let mut world = World::new();
    let portal = world.open(1);
    let table = [
        ("$1", 100, true, "$1"),
        ("$1", 100, false, "$1"),
        ("$1", 200, false, "$1"),
        ("$2", 200, true, "$2"),
        ("$1", 100, false, "$2"),
        ("$3", 200, true, "$3"),
    ];
    for (event, at, changes, expected) in table {
        assert_eq!(
            read(&mut world, portal, event, Timestamp(at)),
            changes,
            "{event} {at}"
        );
        assert_eq!(known(&world, portal).as_deref(), Some(expected));
    }
}

#[test]
fn a_receipt_is_no_message_and_no_sign_of_the_guest() {
    let mut world = World::new();
    let portal = world.open(1);
    let before = world.portal(portal);
    world.pass(HOUR);
    let now = world.now;
    assert!(read(&mut world, portal, "$1", now));
    let after = world.portal(portal);
    assert_eq!(after.ends_at, before.ends_at);
    assert_eq!(after.visit, before.visit);
    assert_eq!(after.last_seq, before.last_seq);
}

#[test]
fn a_clock_that_runs_ahead_elsewhere_silences_no_later_receipt() {
    let mut world = World::new();
    let portal = world.open(1);
    let ahead = world.now + 100 * DAY;
    assert!(read(&mut world, portal, "$1", ahead));
    world.pass(HOUR);
    let now = world.now;
    assert!(read(&mut world, portal, "$2", now));
}

#[test]
fn only_an_open_chat_keeps_receipts() {
    let mut world = World::new();
    let opening = world.sealing(1);
    assert!(!read(&mut world, opening, "$1", Timestamp(100)));
    let mut world = World::new();
    let portal = world.open(1);
    world.submit(Input::Leave { portal }).unwrap();
    assert!(!read(&mut world, portal, "$1", Timestamp(100)));
    assert!(!read(
        &mut world,
        PortalId::from_u128(1),
        "$1",
        Timestamp(100)
    ));
}
