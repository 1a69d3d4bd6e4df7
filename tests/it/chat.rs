//! A host and a guest talk, and how it ends.

use std::time::Duration;

use serde_json::{Value, json};
use vestibule_crypto::{Item, Unsupported};

use crate::homeserver::state::{BOT, State};
use crate::world::{Chat, World};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_messages_each_way_arrive_in_order_and_once() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let mut from_guest = Vec::new();
    let mut from_host = Vec::new();
    for number in 0..10 {
        from_guest.push(format!("guest {number} äöü 🙂"));
        let n = chat.guest.say(&from_guest[number]).await;
        from_host.push(format!("host {number}"));
        world.host_says(&mut chat, &from_host[number]).await;
        chat.guest.until_delivered(n).await;
    }
    assert_eq!(chat.guest.until_texts(10).await, from_host);
    assert_eq!(world.until_host_read(&mut chat, 10).await, from_guest);
    // The room key, once more for the Olm session that the host began, and ten messages: nothing was
    // said twice.
    assert_eq!(chat.guest.last_n, 12);
    assert_eq!(
        world
            .homeserver
            .with(|state| encrypted_events(state, &chat)),
        20
    );
}

fn encrypted_events(state: &crate::homeserver::state::State, chat: &Chat) -> usize {
    state.rooms[&chat.room]
        .timeline
        .iter()
        .filter(|event| event.event_type == "m.room.encrypted")
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_may_write_before_the_host_accepts() {
    let world = World::start().await;
    let mut chat = world.chat("Alice").await;
    let n = chat.guest.say("are you there?").await;
    chat.guest.until_delivered(n).await;
    chat.host.accept(&world.homeserver, &chat.room);
    world.deliver().await;
    chat.guest.until_frame("host", "joined", json!(true)).await;
    assert_eq!(
        world.until_host_read(&mut chat, 1).await,
        ["are you there?"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delivered_names_the_event_and_each_message_moves_the_deadline() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let content = chat.guest.encrypt("one").await;
    world.bridge.clock.advance(DAY);
    let answer = chat
        .guest
        .send_numbered(json!({ "type": "send", "content": content }))
        .await;
    let (now, n) = (
        vestibule::clock::Clock::now(&*world.bridge.clock).0,
        chat.guest.last_n,
    );
    assert_eq!(answer["deadline"], now + 10 * 86_400_000);
    chat.guest.until_delivered(n).await;
    let delivered = chat
        .guest
        .inbox
        .iter()
        .find(|frame| frame["type"] == "delivered")
        .unwrap();
    world.homeserver.with(|state| {
        let event = state.rooms[&chat.room].timeline.last().unwrap();
        assert_eq!(
            (delivered["event_id"].as_str(), event.sender.as_str()),
            (Some(&*event.event_id), &*chat.guest.ghost)
        );
        assert_eq!(
            event.content, content,
            "what the browser encrypted, untouched"
        );
    });
    world.bridge.clock.advance(DAY);
    world.host_says(&mut chat, "two").await;
    chat.guest.until_texts(1).await;
    let event = chat
        .guest
        .inbox
        .iter()
        .find(|frame| frame["type"] == "event")
        .unwrap();
    assert_eq!(event["deadline"], now + 11 * 86_400_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_goes_on_where_it_was() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    chat.guest.say("one").await;
    world.host_says(&mut chat, "two").await;
    chat.guest.until_texts(1).await;
    chat.guest.reload();
    world.host_says(&mut chat, "three").await;
    world.host_says(&mut chat, "four").await;
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.welcome["last_n"], chat.guest.last_n);
    assert_eq!(chat.guest.welcome["host_joined"], true);
    assert_eq!(chat.guest.until_texts(3).await, ["two", "three", "four"]);
    let n = chat.guest.say("five").await;
    chat.guest.until_delivered(n).await;
    assert_eq!(world.until_host_read(&mut chat, 2).await, ["one", "five"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_acknowledged_comes_again() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    // A connection that takes frames and never acknowledges them, as one that dies.
    chat.guest.connect(&world.bridge).await;
    assert_eq!(chat.guest.socket().next().await.unwrap()["type"], "welcome");
    world.host_says(&mut chat, "one").await;
    let mut unacknowledged = Vec::new();
    while unacknowledged.len() < 2 {
        let frame = chat.guest.socket().next().await.unwrap();
        // Those without a number are of the moment.
        unacknowledged.extend(Some(frame).filter(|frame| frame["seq"].is_u64()));
    }
    assert_eq!(
        (
            unacknowledged[0]["type"].as_str(),
            unacknowledged[1]["type"].as_str()
        ),
        (Some("to_device"), Some("event"))
    );
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.until_texts(1).await, ["one"]);
    assert_eq!(
        chat.guest.inbox[chat.guest.inbox.len() - 2..],
        unacknowledged,
        "the same frames under the same numbers"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_unencrypted_is_named_and_not_relayed() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let content = json!({ "msgtype": "m.text", "body": "UNENCRYPTED-WORDS", "formatted_body": "UNENCRYPTED-WORDS" });
    chat.host
        .send(&world.homeserver, &chat.room, "m.room.message", content);
    world.deliver().await;
    chat.guest
        .until("an item", |guest| guest.items.first().cloned())
        .await;
    assert!(matches!(
        chat.guest.items[..],
        [Item::Unsupported {
            what: Unsupported::Unencrypted,
            ..
        }]
    ));
    let frame = chat.guest.inbox.last().unwrap();
    assert_eq!(
        (&frame["event"]["unencrypted"], &frame["event"]["content"]),
        (&json!(true), &json!({}))
    );
    assert!(!format!("{:?}", chat.guest.inbox).contains("UNENCRYPTED-WORDS"));
    let told = |state: &mut State| {
        let last = chat.host.notices(state).pop()?;
        last.contains("was not encrypted").then_some(last)
    };
    let words = world.homeserver.until("the host is told", told).await;
    assert!(!words.contains("UNENCRYPTED-WORDS"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_the_host_takes_back_is_gone_for_the_guest() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let event_id = chat.host.say(&world.homeserver, &chat.room, "oops");
    chat.host.send(
        &world.homeserver,
        &chat.room,
        "m.room.redaction",
        json!({ "redacts": event_id, "reason": "secret" }),
    );
    world.deliver().await;
    let taken_back =
        |item: &Item| matches!(item, Item::Redaction { redacts, .. } if *redacts == event_id);
    chat.guest
        .until("the redaction", |guest| {
            guest.items.iter().any(taken_back).then_some(())
        })
        .await;
    assert!(!format!("{:?}", chat.guest.inbox).contains("secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_dont_reach_the_guest() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let guest = &chat.guest;
    let (ghost, room) = (guest.ghost.clone(), chat.room.clone());
    let event = |sender: &str, room: &str| {
        json!({ "type": "m.room.encrypted", "event_id": format!("$of{sender}{room}"), "sender": sender, "room_id": room,
            "origin_server_ts": 1, "content": { "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "STRANGE" } })
    };
    let to_device = |sender: &str, event_type: &str, device: &str| {
        json!({ "type": event_type, "sender": sender, "to_user_id": ghost, "to_device_id": device,
            "content": { "algorithm": "m.olm.v1.curve25519-aes-sha2", "body": "STRANGE" } })
    };
    let host = chat.host.user.clone();
    let body = json!({
        "events": [
            event("@eve:example.org", &room), event(BOT, &room), event(&ghost, &room), event(&host, "!elsewhere"),
        ],
        "to_device": [
            to_device("@eve:example.org", "m.room.encrypted", "GUESTDEVICE"),
            to_device(&host, "m.room_key", "GUESTDEVICE"),
            to_device(&host, "m.room_key_request", "GUESTDEVICE"),
            to_device(&host, "m.forwarded_room_key", "GUESTDEVICE"),
            to_device(&host, "m.room.encrypted", "OTHERDEVICE"),
        ],
    });
    world.push(&body).await;
    // Nothing of it comes before this, and all inputs are decided in order.
    world.host_says(&mut chat, "mine").await;
    assert_eq!(chat.guest.until_texts(1).await, ["mine"]);
    assert!(!format!("{:?}", chat.guest.inbox).contains("STRANGE"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_told_of_changed_devices_and_key_counts() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    chat.guest.signals.clear();
    let (ghost, host) = (chat.guest.ghost.clone(), chat.host.user.clone());
    let body = json!({
        "org.matrix.msc3202.device_lists": { "changed": [host, "@eve:example.org", ghost], "left": [] },
        "org.matrix.msc3202.device_one_time_keys_count": { &ghost: { "GUESTDEVICE": {}, "some+base64": {} } },
        "org.matrix.msc3202.device_unused_fallback_key_types": { &ghost: { "GUESTDEVICE": [], "some+base64": [] } },
    });
    world.push(&body).await;
    chat.guest
        .until("both signals", |guest| {
            (guest.signals.len() >= 2).then_some(())
        })
        .await;
    let expected = [
        json!({ "type": "keys_changed" }),
        json!({ "type": "one_time_keys", "count": 0, "fallback_unused": false }),
    ];
    assert_eq!(chat.guest.signals, expected);

    // The machine refills, and the bridge passes the keys on.
    let upload = chat
        .guest
        .machine
        .one_time_keys(0, false, u64::MAX / 2)
        .unwrap()
        .output
        .unwrap();
    let count = upload.one_time_keys.len();
    let frame = json!({ "type": "keys_upload", "one_time_keys": upload.one_time_keys, "fallback_keys": upload.fallback_keys });
    let answer = chat.guest.ask(frame).await;
    assert_eq!(answer["body"]["one_time_keys"], 50 + count, "{answer}");
    assert_eq!(
        world.homeserver.with(|state| state
            .device(&ghost, "GUESTDEVICE")
            .unwrap()
            .one_time_keys
            .len()),
        50 + count
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_homeserver_refuses_for_good_is_said() {
    use crate::homeserver::fault::Fault;
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    chat.guest.say("one").await;
    world.until_idle().await;
    world
        .homeserver
        .faults(|faults| faults.named("send", Fault::Status(403, "M_FORBIDDEN"), 1));
    let n = chat.guest.say("two").await;
    chat.guest.until_frame("undelivered", "n", json!(n)).await;
    assert_eq!(chat.guest.inbox.last().unwrap()["code"], "M_FORBIDDEN");
    let n = chat.guest.say("three").await;
    chat.guest.until_delivered(n).await;
    assert_eq!(world.until_host_read(&mut chat, 2).await, ["one", "three"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_connection_takes_over() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let mut second = crate::guest::socket::Socket::of_page(&world.bridge).await;
    let challenge = second.next().await.unwrap();
    second
        .send(&chat.guest.hello(&world.bridge, &challenge))
        .await;
    assert_eq!(second.next().await.unwrap()["type"], "welcome");
    assert_eq!(chat.guest.socket().closing_code().await, "replaced");
    second.send(&json!({ "type": "keys_query", "id": 7 })).await;
    let answer = second.next().await.unwrap();
    assert_eq!(
        (&answer["id"], &answer["ok"]),
        (&json!(7), &Value::Bool(true))
    );
}
