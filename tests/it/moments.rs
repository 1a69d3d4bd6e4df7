//! What is of the moment: who is typing, who has read how far.

use serde_json::{Value, json};

use crate::bridge::Setup;
use crate::homeserver::fault::Fault;
use crate::homeserver::state::State;
use crate::homeserver::until;
use crate::refused::assert_all_is_well;
use crate::world::{Chat, World};

/// Waits for a frame of the moment of this type that holds this, and takes it out.
async fn signal(chat: &mut Chat, frame_type: &str, field: &str, value: Value) {
    let is = |frame: &Value| frame["type"] == frame_type && frame[field] == value;
    let place = chat
        .guest
        .until(frame_type, |guest| guest.signals.iter().position(is))
        .await;
    chat.guest.signals.remove(place);
}

fn host_types(world: &World, chat: &Chat, typing: bool) {
    let user = &chat.host.user;
    world
        .homeserver
        .with(|state| state.set_typing(&chat.room, user, typing))
        .unwrap();
}

fn host_reads(world: &World, chat: &Chat, event: &str) {
    let user = &chat.host.user;
    world
        .homeserver
        .with(|state| state.mark_read(&chat.room, user, event))
        .unwrap();
}

/// The guest says something; the event it became.
async fn guest_says(chat: &mut Chat, text: &str) -> String {
    let n = chat.guest.say(text).await;
    chat.guest.until_delivered(n).await;
    let delivered = chat.guest.inbox.iter();
    let mut event = delivered
        .filter(|frame| frame["type"] == "delivered" && frame["n"] == n)
        .map(|frame| frame["event_id"].as_str().unwrap().to_owned());
    event.next_back().unwrap()
}

/// The host says something that the page has got; the event.
async fn host_says(world: &World, chat: &mut Chat, text: &str) -> String {
    let event = chat.host.say(&world.homeserver, &chat.room, text);
    world.deliver().await;
    let is = |frame: &Value| frame["event"]["event_id"] == event;
    chat.guest
        .until("the event", |guest| {
            guest.inbox.iter().any(is).then_some(())
        })
        .await;
    event
}

/// What the guest is shown to have read.
async fn until_guest_read(world: &World, chat: &Chat, event: &str) {
    world
        .homeserver
        .until("the guest's receipt", |state| {
            let receipts = &state.room(&chat.room).unwrap().receipts;
            receipts
                .get(&chat.guest.ghost)
                .filter(|(read, _)| read == event)
                .map(|_| ())
        })
        .await;
}

async fn until_guest_types(world: &World, chat: &Chat, typing: bool) {
    world
        .homeserver
        .until("the guest's typing", |state| {
            let types = state
                .room(&chat.room)
                .unwrap()
                .typing
                .contains(&chat.guest.ghost);
            (types == typing).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guest_sees_the_host_type_and_read() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    assert_eq!(chat.guest.welcome["typing"], true);
    assert_eq!(chat.guest.welcome["receipts"], true);
    assert_eq!(chat.guest.welcome["host_read"], Value::Null);
    for typing in [true, false, true] {
        host_types(&world, &chat, typing);
        world.deliver().await;
        signal(&mut chat, "typing", "typing", typing.into()).await;
    }
    let first = guest_says(&mut chat, "one").await;
    host_reads(&world, &chat, &first);
    world.deliver().await;
    signal(&mut chat, "read", "event_id", first.clone().into()).await;
    // It is there for the next visit too, and after a restart.
    chat.guest.disconnect();
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.welcome["host_read"], first);
    let mut world = world;
    world.crash_bridge().await;
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.welcome["host_read"], first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_that_was_never_pushed_is_found_and_an_older_one_changes_nothing() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let first = guest_says(&mut chat, "one").await;
    let second = guest_says(&mut chat, "two").await;
    world.deliver().await;
    host_reads(&world, &chat, &first);
    let late = world.homeserver.with(|state| state.take_transaction());
    chat.guest.disconnect();
    host_reads(&world, &chat, &second);
    world.homeserver.with(|state| state.take_transaction());
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.welcome["host_read"], second);
    world.push(&late).await;
    chat.guest.disconnect();
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.welcome["host_read"], second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_sees_the_guest_type_and_read() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let events = [
        host_says(&world, &mut chat, "one").await,
        host_says(&world, &mut chat, "two").await,
    ];
    let socket = chat.guest.socket();
    for _ in 0..50 {
        socket
            .send(&json!({ "type": "typing", "typing": true }))
            .await;
    }
    until_guest_types(&world, &chat, true).await;
    for event in &events {
        let frame = json!({ "type": "read", "event_id": event });
        chat.guest.socket().send(&frame).await;
        chat.guest.socket().send(&frame).await;
    }
    until_guest_read(&world, &chat, &events[1]).await;
    // Nothing of the guest's own comes back to the page.
    world.deliver().await;
    chat.guest
        .socket()
        .send(&json!({ "type": "typing", "typing": false }))
        .await;
    until_guest_types(&world, &chat, false).await;
    world.deliver().await;
    let n = chat.guest.say("done").await;
    chat.guest.until_delivered(n).await;
    let echoes = chat.guest.signals.iter();
    let echoes: Vec<_> = echoes
        .filter(|frame| frame["type"] == "typing" || frame["type"] == "read")
        .collect();
    assert!(echoes.is_empty(), "{echoes:?}");
    // Fifty frames about typing were one call, and marks that came together too.
    assert_eq!(world.homeserver.count("typing"), 2);
    assert!(world.homeserver.count("receipt") <= 2);
    // A page that closes types no more.
    chat.guest
        .socket()
        .send(&json!({ "type": "typing", "typing": true }))
        .await;
    until_guest_types(&world, &chat, true).await;
    chat.guest.disconnect();
    until_guest_types(&world, &chat, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_marks_only_what_it_was_given() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let given = host_says(&world, &mut chat, "one").await;
    let own = guest_says(&mut chat, "mine").await;
    let elsewhere = world.homeserver.with(|state| {
        let room = &state.rooms[&chat.host.management];
        room.timeline[0].event_id.clone()
    });
    let events = [&own, &elsewhere, "../../x", &given];
    for (number, event) in events.into_iter().enumerate() {
        let frame = json!({ "type": "read", "event_id": event });
        chat.guest.socket().send(&frame).await;
        // Each is looked at before the next one comes.
        let typing = number % 2 == 0;
        let frame = json!({ "type": "typing", "typing": typing });
        chat.guest.socket().send(&frame).await;
        until_guest_types(&world, &chat, typing).await;
    }
    until_guest_read(&world, &chat, &given).await;
    assert_eq!(world.homeserver.count("receipt"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_switched_off_is_relayed_neither_way() {
    let setup = Setup {
        guests: "burst: 1000, typing: false, read_receipts: false",
        ..Setup::default()
    };
    let world = World::with(&setup).await;
    let mut chat = world.open_chat("Alice").await;
    assert_eq!(chat.guest.welcome["typing"], false);
    assert_eq!(chat.guest.welcome["receipts"], false);
    let said = host_says(&world, &mut chat, "one").await;
    let own = guest_says(&mut chat, "mine").await;
    let socket = chat.guest.socket();
    socket
        .send(&json!({ "type": "typing", "typing": true }))
        .await;
    socket
        .send(&json!({ "type": "read", "event_id": said }))
        .await;
    host_types(&world, &chat, true);
    host_reads(&world, &chat, &own);
    world.deliver().await;
    chat.guest.disconnect();
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.welcome["host_read"], Value::Null);
    assert_all_is_well(&world, &mut chat).await;
    assert_eq!(world.homeserver.count("typing"), 0);
    assert_eq!(world.homeserver.count("receipt"), 0);
    let of_the_moment = |frame: &&Value| frame["type"] == "typing" || frame["type"] == "read";
    assert_eq!(chat.guest.signals.iter().find(of_the_moment), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_waits_for_a_moment() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let said = host_says(&world, &mut chat, "one").await;
    world.homeserver.faults(|faults| {
        faults.named("typing", Fault::Hanging, 1);
        faults.named("receipt", Fault::Status(500, "M_UNKNOWN"), 100);
    });
    let socket = chat.guest.socket();
    socket
        .send(&json!({ "type": "typing", "typing": true }))
        .await;
    socket
        .send(&json!({ "type": "read", "event_id": said }))
        .await;
    until("the call hangs", || {
        (world.homeserver.count("typing") > 0).then_some(())
    })
    .await;
    assert_all_is_well(&world, &mut chat).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_whose_page_is_open_is_online() {
    let world = World::start().await;
    let chat = world.open_chat("Alice").await;
    let online = |state: &mut State| state.users[&chat.guest.ghost].online.then_some(());
    world.homeserver.until("the guest is online", online).await;
    until_looked(&world, 1).await;
    // The homeserver lets it lapse by itself.
    let calls = world.homeserver.calls();
    let said: Vec<_> = calls
        .iter()
        .filter(|call| call.name == "set_presence")
        .collect();
    assert!(
        said.iter()
            .all(|call| call.body == json!({ "presence": "online" }))
    );
    assert_eq!(world.homeserver.count("get_presence"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_homeserver_without_presence_is_asked_twice_and_left_alone() {
    let world = World::start().await;
    world.homeserver.with(|state| state.presence = false);
    let mut chat = world.open_chat("Alice").await;
    until("it is asked", || {
        (world.homeserver.count("get_presence") > 0).then_some(())
    })
    .await;
    // One look may be wrong, two are believed.
    for _ in 0..3 {
        assert_all_is_well(&world, &mut chat).await;
        until_looked(&world, 2).await;
        assert_eq!(world.homeserver.count("set_presence"), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_can_be_switched_off() {
    let setup = Setup {
        guests: "burst: 1000, presence: false",
        ..Setup::default()
    };
    let world = World::with(&setup).await;
    let mut chat = world.open_chat("Alice").await;
    assert_all_is_well(&world, &mut chat).await;
    assert_eq!(world.homeserver.count("set_presence"), 0);
}

async fn until_looked(world: &World, times: usize) {
    until("it is asked", || {
        (world.homeserver.count("get_presence") >= times).then_some(())
    })
    .await;
}
