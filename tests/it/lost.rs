//! What gets lost on the way between homeserver and bridge, and comes all the same, once.

use serde_json::{Value, json};

use crate::homeserver::fault::Fault;
use crate::homeserver::state::State;
use crate::homeserver::until;
use crate::world::{Chat, World};

/// Takes what the homeserver would push, without pushing it.
fn transaction(world: &World) -> Value {
    world.homeserver.with(|state| state.take_transaction())
}

/// The same as Synapse sends it after the first try failed: without to-device events.
fn repeated(transaction: &Value) -> Value {
    json!({ "events": transaction["events"] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_counts_once_also_after_a_restart() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    chat.host.say(&world.homeserver, &chat.room, "one");
    let (id, body) = (world.transaction_id(), transaction(&world));
    for _ in 0..3 {
        world.push_as(&id, &body).await;
    }
    world.crash_bridge().await;
    world.push_as(&id, &body).await;
    // The same events once more under another id, as after a homeserver that was restored.
    world.push(&body).await;
    chat.guest.open(&world.bridge).await;
    world.host_says(&mut chat, "two").await;
    assert_eq!(chat.guest.until_texts(2).await, ["one", "two"]);

    // A command counts once too: a second link would be a second way in.
    chat.host.command(&world.homeserver, "invite");
    let (id, body) = (world.transaction_id(), transaction(&world));
    for _ in 0..2 {
        world.push_as(&id, &body).await;
    }
    world.push(&body).await;
    world.until_idle().await;
    let links = world.homeserver.with(|state| chat.host.notices(state));
    assert_eq!(
        links.iter().filter(|words| words.contains("/#")).count(),
        2,
        "the first one and this: {links:?}"
    );
}

/// A push whose first try failed, on whichever side: the room key in it is lost for the push path.
async fn lose_the_room_key(world: &World, chat: &mut Chat, text: &str) {
    chat.host.say(&world.homeserver, &chat.room, text);
    let body = transaction(world);
    assert_eq!(
        body["de.sorunome.msc2409.to_device"]
            .as_array()
            .unwrap()
            .len(),
        1,
        "a room key"
    );
    world.push(&repeated(&body)).await;
}

fn room_keys(chat: &Chat) -> usize {
    let frames = chat.guest.inbox.iter();
    frames.filter(|frame| frame["type"] == "to_device").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_key_that_was_lost_by_push_comes_by_sync_at_once() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    // The welcome found the inbox empty, which must not be taken for an answer to this.
    lose_the_room_key(&world, &mut chat, "one").await;
    assert_eq!(chat.guest.until_texts(1).await, ["one"]);
    for _ in 0..3 {
        chat.guest.disconnect();
        chat.guest.open(&world.bridge).await;
    }
    world.host_says(&mut chat, "two").await;
    chat.guest.until_texts(2).await;
    assert_eq!(room_keys(&chat), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_key_that_was_lost_twice_comes_with_the_next_hello() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let hits = || world.homeserver.faults(|faults| faults.hits);
    world
        .homeserver
        .faults(|faults| faults.named("sync", Fault::Status(500, "M_UNKNOWN"), 1));
    lose_the_room_key(&world, &mut chat, "one").await;
    until("the inbox can't be read", || (hits() == 1).then_some(())).await;
    chat.guest.disconnect();
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.until_texts(1).await, ["one"]);
    assert_eq!(room_keys(&chat), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_by_push_and_by_sync_comes_once() {
    let mut world = World::start().await;
    for (name, pushed_first) in [("Alice", true), ("Bob", false)] {
        let mut chat = world.open_chat(name).await;
        chat.host.say(&world.homeserver, &chat.room, "one");
        let body = transaction(&world);
        if pushed_first {
            world.push(&body).await;
        }
        for _ in 0..2 {
            chat.guest.disconnect();
            chat.guest.open(&world.bridge).await;
        }
        world.crash_bridge().await;
        if !pushed_first {
            world.push(&body).await;
        }
        chat.guest.open(&world.bridge).await;
        world.host_says(&mut chat, "two").await;
        assert_eq!(chat.guest.until_texts(2).await, ["one", "two"]);
        assert_eq!(room_keys(&chat), 1, "pushed first: {pushed_first}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_while_the_bridge_was_away_comes_when_it_is_back() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    for round in 0..2 {
        world.bridge.stop().await;
        let texts = [format!("{round} one"), format!("{round} two")];
        for text in &texts {
            chat.host.say(&world.homeserver, &chat.room, text);
        }
        let events = repeated(&transaction(&world));
        world.start_bridge().await;
        // At start the inbox is read without any browser.
        let ghost = chat.guest.ghost.clone();
        let inbox = |state: &mut State| {
            state
                .device(&ghost, "GUESTDEVICE")
                .unwrap()
                .inbox
                .is_empty()
                .then_some(())
        };
        world
            .homeserver
            .until("the inbox is read and acknowledged", inbox)
            .await;
        world.push(&events).await;
        chat.guest.open(&world.bridge).await;
        let all = chat.guest.until_texts(2 * (round + 1)).await;
        assert_eq!(all[2 * round..], texts);
    }
    assert_eq!(
        chat.guest
            .inbox
            .iter()
            .filter(|frame| frame["type"] == "to_device")
            .count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_not_stored_is_not_acknowledged() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    chat.host.say(&world.homeserver, &chat.room, "one");
    let body = transaction(&world);
    let url = world
        .bridge
        .appservice_url("/_matrix/app/v1/transactions/broken");
    let authorization = format!("Bearer {}", crate::bridge::HS_TOKEN);
    let headers = [("authorization", authorization.as_str())];
    let torn = body.to_string();
    let answer = world
        .bridge
        .web
        .ask("PUT", &url, &headers, &torn.as_bytes()[..torn.len() / 2])
        .await;
    assert_eq!(answer.status, 400);
    // The homeserver tries again under the same id.
    world.push_as("broken", &repeated(&body)).await;
    chat.guest.disconnect();
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.until_texts(1).await, ["one"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_of_many_events_is_read_to_its_end() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    // Anybody on the homeserver can send junk to the ghost's device.
    world.homeserver.with(|state| {
        for number in 0..250 {
            let content = json!({ "algorithm": "m.olm.v1.curve25519-aes-sha2", "number": number });
            let body = json!({ "messages": { &chat.guest.ghost: { "GUESTDEVICE": content } } });
            state
                .send_to_device(
                    "@eve:example.org",
                    "m.room.encrypted",
                    &number.to_string(),
                    &body,
                )
                .unwrap();
        }
    });
    lose_the_room_key_after(&world, &mut chat).await;
    chat.guest.disconnect();
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.until_texts(1).await, ["behind all that"]);
    assert_eq!(
        chat.guest
            .inbox
            .iter()
            .filter(|frame| frame["type"] == "to_device")
            .count(),
        1,
        "junk is no frame"
    );
}

async fn lose_the_room_key_after(world: &World, chat: &mut Chat) {
    chat.host
        .say(&world.homeserver, &chat.room, "behind all that");
    let body = transaction(world);
    world.push(&repeated(&body)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_message_is_lost_or_doubled_when_sending_fails() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let faults = [
        Fault::Status(500, "M_UNKNOWN"),
        Fault::Status(429, "M_LIMIT_EXCEEDED"),
        Fault::Broken,
        Fault::Unanswered,
    ];
    let mut said = Vec::new();
    for name in ["send_to_device", "send"] {
        for fault in faults {
            // The first message brings a room key; after that only `send` is called.
            world
                .homeserver
                .faults(|planned| planned.named(name, fault, 1));
            let text = format!("{name} {fault:?}");
            let n = chat.guest.say(&text).await;
            said.push(text);
            chat.guest.until_delivered(n).await;
        }
    }
    assert_eq!(
        world.homeserver.faults(|faults| faults.hits),
        1 + faults.len()
    );
    assert_eq!(world.until_host_read(&mut chat, said.len()).await, said);

    // Torn away while the homeserver has the message and its answer hasn't come.
    world
        .homeserver
        .faults(|planned| planned.named("send", Fault::Hanging, 1));
    let hits = world.homeserver.faults(|faults| faults.hits);
    let n = chat.guest.say("torn").await;
    until("the call hangs", || {
        (world.homeserver.faults(|faults| faults.hits) > hits).then_some(())
    })
    .await;
    world.crash_bridge().await;
    chat.guest.open(&world.bridge).await;
    chat.guest.until_delivered(n).await;
    said.push("torn".to_owned());
    let n = chat.guest.say("after").await;
    chat.guest.until_delivered(n).await;
    said.push("after".to_owned());
    assert_eq!(world.until_host_read(&mut chat, said.len()).await, said);
    let events = world.homeserver.with(|state| {
        let timeline = &state.rooms[&chat.room].timeline;
        timeline
            .iter()
            .filter(|event| event.event_type == "m.room.encrypted")
            .count()
    });
    assert_eq!(events, said.len(), "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_whose_answer_was_lost_counts_once() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    chat.guest.say("one").await;
    let content = chat.guest.encrypt("two").await;
    let n = chat.guest.last_n + 1;
    let frame = json!({ "type": "send", "n": n, "content": content });
    chat.guest.socket().send(&frame).await;
    // The answer may be on its way, but this browser never sees it.
    let ghost = chat.guest.ghost.clone();
    let both = |state: &mut State| {
        let events = state.rooms[&chat.room].timeline.iter();
        let of_guest =
            events.filter(|event| event.sender == ghost && event.event_type == "m.room.encrypted");
        (of_guest.count() == 2).then_some(())
    };
    world
        .homeserver
        .until("the homeserver has both", both)
        .await;
    world.crash_bridge().await;
    chat.guest.open(&world.bridge).await;
    assert_eq!(
        chat.guest.welcome["last_n"], n,
        "the page sees that it was counted"
    );
    chat.guest.signals.clear();
    let again = chat
        .guest
        .send_numbered(json!({ "type": "send", "content": content }))
        .await;
    assert_eq!(again["ok"], true);
    chat.guest.until_delivered(n).await;
    assert_eq!(world.until_host_read(&mut chat, 2).await, ["one", "two"]);
}
