//! How a chat ends, and what is left of it.

use std::time::Duration;

use serde_json::json;
use vestibule::clock::monotonic;

use crate::guest::socket::Socket;
use crate::homeserver::fault::Fault;
use crate::homeserver::state::User;
use crate::homeserver::until_seen;
use crate::world::{Chat, World};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// After the end the ghost is out of the room, without device and without account, each by one call.
async fn assert_cleaned_up(world: &World, chat: &Chat, membership: &str) {
    assert_gone(world, chat, membership).await;
    for name in ["leave", "delete_device", "deactivate"] {
        let calls = world.homeserver.calls();
        let by_ghost = calls.iter().filter(|call| {
            call.name == name && call.user() == chat.guest.ghost && call.status != 0
        });
        assert_eq!(by_ghost.count(), 1, "{name}");
    }
}

/// The same, whatever had to be called twice for it.
async fn assert_gone(world: &World, chat: &Chat, membership: &str) {
    world.until_idle().await;
    world.homeserver.with(|state| {
        assert_eq!(
            state.rooms[&chat.room].membership(&chat.guest.ghost),
            membership
        );
        let User {
            devices,
            deactivated,
            ..
        } = &state.users[&chat.guest.ghost];
        assert!(devices.is_empty() && *deactivated);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guest_ends_the_chat() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let n = chat.guest.say("bye").await;
    chat.guest.socket().send(&json!({ "type": "leave" })).await;
    assert_eq!(chat.guest.until_ended().await, "guest");
    assert_eq!(
        chat.guest.socket().next().await,
        None,
        "after the end was acknowledged the connection is closed"
    );
    assert_cleaned_up(&world, &chat, "leave").await;
    assert_eq!(
        world.until_host_read(&mut chat, 1).await,
        ["bye"],
        "said before, so delivered"
    );
    let leave = world
        .homeserver
        .calls()
        .into_iter()
        .rfind(|call| call.name == "leave")
        .unwrap();
    assert_eq!(leave.body["reason"], "The guest ended the chat.");

    // Whoever comes back finds the end, and that the last message was counted.
    chat.guest.last_seq -= 1;
    chat.guest.ended = None;
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.ended.as_deref(), Some("guest"));
    let repeated = json!({ "type": "send", "n": n, "content": {} });
    chat.guest
        .connect(&world.bridge)
        .await
        .send(&repeated)
        .await;
    let answer = chat.guest.socket().next().await.unwrap();
    assert_eq!(
        (&answer["type"], &answer["reason"]),
        (&json!("ended"), &json!("guest"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_ends_the_chat_in_each_way() {
    let world = World::start().await;
    let ways: [(&str, bool, &str, &str); 4] = [
        ("Alice", false, "leave", "leave"),
        ("Bob", true, "ban", "ban"),
        ("Carol", true, "leave", "leave"),
        ("Dave", false, "decline", "leave"),
    ];
    for (name, the_ghost, how, left_as) in ways {
        let mut chat = if how == "decline" {
            world.chat(name).await
        } else {
            world.open_chat(name).await
        };
        let (ghost, host) = (chat.guest.ghost.clone(), chat.host.user.clone());
        let target = if the_ghost { &ghost } else { &host };
        let membership = if how == "decline" { "leave" } else { how };
        chat.host
            .set_member(&world.homeserver, &chat.room, target, membership);
        world.deliver().await;
        assert_eq!(chat.guest.until_ended().await, "host", "{name}");
        assert_cleaned_up(&world, &chat, left_as).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_in_the_room_ends_the_chat() {
    let world = World::start().await;
    for (name, membership) in [("Alice", "join"), ("Bob", "invite"), ("Carol", "knock")] {
        let mut chat = world.open_chat(name).await;
        let event = json!({
            "type": "m.room.member", "state_key": "@third:example.org", "sender": chat.host.user, "room_id": chat.room,
            "event_id": format!("$third{membership}"), "origin_server_ts": 1, "content": { "membership": membership },
        });
        world.push(&json!({ "events": [event] })).await;
        assert_eq!(
            chat.guest.until_ended().await,
            "third_party",
            "{membership}"
        );
        assert_cleaned_up(&world, &chat, "leave").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_without_messages_expires() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    world.bridge.clock.advance(DAY * 9);
    world.host_says(&mut chat, "still there").await;
    world.bridge.clock.advance(DAY * 9);
    // Only messages count: a connection and a membership don't.
    chat.guest.disconnect();
    chat.guest.open(&world.bridge).await;
    world.bridge.tick().await;
    chat.guest.until_texts(1).await;
    assert_eq!(chat.guest.ended, None);
    world.bridge.clock.advance(DAY);
    world.bridge.tick().await;
    assert_eq!(chat.guest.until_ended().await, "expired");
    assert_cleaned_up(&world, &chat, "leave").await;
    let leave = world
        .homeserver
        .calls()
        .into_iter()
        .rfind(|call| call.name == "leave")
        .unwrap();
    assert_eq!(
        leave.body["reason"],
        "The chat ended after 10 days without a message."
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_in_good_order_tells_the_browsers() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    world.bridge.stop().await;
    assert_eq!(chat.guest.socket().closing_code().await, "stopping");
    world.start_bridge().await;
    chat.guest.open(&world.bridge).await;
    world.host_says(&mut chat, "again").await;
    assert_eq!(chat.guest.until_texts(1).await, ["again"]);
}

/// With the Matrix Authentication Service there is no such call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_ghosts_can_not_be_deactivated_the_rest_is_done() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    world.homeserver.faults(|faults| {
        faults.named(
            "deactivate",
            Fault::Status(404, "M_UNRECOGNIZED"),
            usize::MAX,
        );
    });
    chat.guest.socket().send(&json!({ "type": "leave" })).await;
    assert_eq!(chat.guest.until_ended().await, "guest");
    world.until_idle().await;
    assert_eq!(world.homeserver.count("deactivate"), 1);
    world.homeserver.with(|state| {
        let ghost = &state.users[&chat.guest.ghost];
        assert!(ghost.devices.is_empty());
        assert_eq!(
            state.rooms[&chat.room].membership(&chat.guest.ghost),
            "leave"
        );
    });
}

/// The homeserver is away while chats end: guests hear of it at once, the operator sees how many are
/// left, and after a restart it is all done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_ends_are_counted_and_outlive_a_restart() {
    let mut world = World::start().await;
    let mut chats = Vec::new();
    for name in ["Alice", "Bob", "Carol", "Dave", "Eve"] {
        chats.push(world.open_chat(name).await);
    }
    assert_eq!(world.bridge.metric("chats_being_ended").await, 0);
    assert!(world.bridge.ready().await.json()["ending"].is_null());
    world.homeserver.faults(|faults| faults.down = true);
    for chat in &mut chats {
        chat.guest.socket().send(&json!({ "type": "leave" })).await;
        assert_eq!(chat.guest.until_ended().await, "guest");
    }
    until_seen("all are counted", async || {
        world.bridge.metric("chats_being_ended").await == 5
    })
    .await;
    let words = world.bridge.ready().await.json()["ending"].clone();
    let words = words.as_str().unwrap().to_owned();
    assert!(words.starts_with("5 chats are being ended; "), "{words}");
    world.bridge.crash();
    world.homeserver.faults(|faults| faults.down = false);
    world.start_bridge().await;
    for chat in &chats {
        // A call that was under way at the crash may be made again.
        assert_gone(&world, chat, "leave").await;
    }
    assert_eq!(world.bridge.metric("chats_being_ended").await, 0);
    assert_eq!(world.bridge.metric("chats_being_ended_seconds").await, 0);
}

/// Whether the page takes what it is told or not, it is cut off a moment after the block is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_page_is_cut_off_within_a_second_and_loses_nothing() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    world.host_says(&mut chat, "last words").await;
    assert_eq!(chat.guest.until_texts(1).await, ["last words"]);
    world.until_idle().await;
    chat.host.command(&world.homeserver, "block 1");
    let began = monotonic();
    world.deliver().await;
    // It reads, but acknowledges nothing.
    let mut told = Vec::new();
    while let Some(frame) = chat.guest.socket().next().await {
        told.push(frame);
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let ended = told.iter().find(|frame| frame["type"] == "ended").unwrap();
    assert_eq!(ended["reason"], "host");
    world
        .homeserver
        .until("nobody is connected", |_| {
            (world.bridge.app().metrics.sockets.get() == 0).then_some(())
        })
        .await;
    // The next connection brings it once more.
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.ended.as_deref(), Some("host"));
}

/// A browser that reads nothing at all holds no connection open either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_page_that_reads_nothing_is_cut_off_too() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let socket = Socket::of_page_with_small_buffers(&world.bridge).await;
    chat.guest.adopt(socket);
    let challenge = chat.guest.socket().next().await.unwrap();
    let hello = chat.guest.hello(&world.bridge, &challenge);
    chat.guest.socket().send(&hello).await;
    // More than the operating system's buffers hold, so that the bridge's next frame gets stuck.
    let long = "x".repeat(8_000);
    for _ in 0..500 {
        chat.host.say(&world.homeserver, &chat.room, &long);
    }
    world.deliver().await;
    chat.host.command(&world.homeserver, "block 1");
    let began = monotonic();
    world.deliver().await;
    while world.bridge.app().metrics.sockets.get() > 0 {
        assert!(began.elapsed() < Duration::from_secs(2), "still connected");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(world.bridge.app().store.trouble().is_none());
}
