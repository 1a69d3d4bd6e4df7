//! What comes twice counts once, and what takes long is told once.

use std::time::Duration;

use super::world::*;
use crate::effect::Words;
use crate::host::ManagementRoom;
use crate::id::{EffectId, EventId, PortalId, RoomId};
use crate::input::{Input, Membership, Outcome, RoomEvent, RoomEventKind};
use crate::store::{Change, Changes, Facts as _, Store as _, StoreTransaction as _};
use crate::testing::sample;
use crate::time::Timestamp;

fn event(id: &str, room: RoomId, kind: RoomEventKind) -> Input {
    Input::Room(RoomEvent {
        room,
        event_id: EventId::new(id),
        sender: alice(),
        at: Timestamp(0),
        kind,
    })
}

#[test]
fn a_command_in_two_transactions_is_carried_out_once() {
    let mut world = World::new();
    let links = |world: &World| world.store.links_of_host(&alice()).unwrap().len();
    let command = || event("$one", management(), text("invite Bob"));
    world.submit(command()).unwrap();
    assert_eq!((links(&world), world.said().len()), (1, 1));
    world.pass(DAY);
    assert!(world.submit(command()).unwrap().changes.is_empty());
    // The same words once more are another command.
    let again = event("$two", management(), text("invite Bob"));
    world.submit(again).unwrap();
    assert_eq!((links(&world), world.said().len()), (2, 1));
}

#[test]
fn an_invitation_in_two_transactions_is_accepted_once() {
    let mut world = World::new();
    let invited = RoomEventKind::Member {
        target: bot(),
        membership: Membership::Invite,
    };
    for _ in 0..2 {
        world
            .submit(event("$invite", sample::room(7), invited.clone()))
            .unwrap();
    }
    assert_eq!(world.waiting(), ["bot_joins"]);
}

#[test]
fn what_leads_to_nothing_takes_no_place_in_the_memory() {
    let mut world = World::new();
    let other = event("$other", management(), RoomEventKind::Other);
    assert!(world.submit(other).unwrap().changes.is_empty());
    world.put_room(ManagementRoom {
        room: sample::room(8),
        host: alice(),
        direct: false,
        encrypted: false,
        admin: false,
        looked: true,
        advised: true,
        unread_told: None,
    });
    let talk = event("$talk", sample::room(8), text("good morning everybody"));
    assert!(world.submit(talk).unwrap().changes.is_empty());
}

#[test]
fn a_link_that_is_told_again_says_which_one_works() {
    let mut world = World::new();
    world.room_event(&management(), &alice(), text("invite Bob"));
    let first = world.effects();
    let (id, _) = first
        .iter()
        .find(|(_, effect)| effect.name() == "share_link")
        .unwrap();
    let told = world.unstored.remove(id).unwrap();
    assert!(!told.plain.contains("interrupted"));
    world.perform("share_link", Outcome::WordsLost);
    let said = world.said();
    let words = said.last().unwrap();
    for text in [&words.plain, &words.html] {
        assert!(text.contains("this one works"), "{text}");
        assert!(text.contains("Bob"), "{text}");
    }
    world.join(&token_in(&words.plain)).unwrap();
}

fn delayed(world: &mut World, name: &str, seconds: u64) -> Vec<Words> {
    let (effect, _) = world
        .effects()
        .into_iter()
        .find(|(_, effect)| effect.name() == name)
        .unwrap();
    world
        .submit(Input::Delayed {
            effect,
            retry_after: Duration::from_secs(seconds),
        })
        .unwrap();
    world.said()
}

fn seal_up_to_invitation(world: &mut World) -> PortalId {
    let portal = world.sealing(1);
    for step in ["ghost_joins", "bot_leaves"] {
        world.perform(step, Outcome::Done);
    }
    portal
}

#[test]
fn a_host_whose_invitation_has_to_wait_is_told_once() {
    let mut world = World::new();
    seal_up_to_invitation(&mut world);
    let said = delayed(&mut world, "invite_host", 100);
    assert_eq!(said.len(), 1);
    let words = &said[0].plain;
    assert!(words.contains("Bob"), "{words}");
    assert!(words.contains("about 2 minutes"), "{words}");
    assert!(words.contains("by itself"), "{words}");
    assert!(delayed(&mut world, "invite_host", 300).is_empty());
    // It goes on as if nothing had been.
    world.perform("invite_host", Outcome::Done);
    assert!(delayed(&mut world, "give_up_power", 300).is_empty());
}

#[test]
fn a_room_that_has_to_wait_is_told_too() {
    let mut world = World::new();
    world.opening();
    let said = delayed(&mut world, "create_room", 30);
    assert_eq!(said.len(), 1);
    assert!(
        said[0].plain.contains("about 30 seconds"),
        "{}",
        said[0].plain
    );
}

#[test]
fn of_what_nobody_waits_for_nothing_is_told() {
    let mut world = World::new();
    // An effect that is done, or never was.
    let gone = Input::Delayed {
        effect: EffectId::from_u128(1),
        retry_after: DAY,
    };
    assert!(world.submit(gone).unwrap().changes.is_empty());
    // An open chat, and one that is over.
    let portal = world.open(1);
    world.send(portal, 1).unwrap();
    assert!(delayed(&mut world, "send_event", 100).is_empty());
    world.submit(Input::Leave { portal }).unwrap();
    world.said();
    assert!(delayed(&mut world, "ghost_leaves", 100).is_empty());
    // A host who put the bot out.
    let mut world = World::new();
    seal_up_to_invitation(&mut world);
    let mut transaction = world.store.begin();
    let gone = Changes(vec![Change::DeleteManagementRoom(management())]);
    transaction.apply(&gone).unwrap();
    transaction.commit().unwrap();
    assert!(delayed(&mut world, "invite_host", 100).is_empty());
    // Labels are nobody's business in a room that became one for admins.
    let mut world = World::new();
    seal_up_to_invitation(&mut world);
    let room = world.store.management_room(&management()).unwrap().unwrap();
    world.put_room(ManagementRoom {
        admin: true,
        ..room
    });
    assert!(delayed(&mut world, "invite_host", 100).is_empty());
}
