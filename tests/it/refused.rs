//! Every frame in the case in which it is refused, and that all goes on after it.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::bridge::Setup;
use crate::guest::Guest;
use crate::homeserver::fault::Fault;
use crate::world::{Chat, World};

/// One frame of each type a page can send, none of them acceptable beyond its form.
pub fn frames() -> Vec<Value> {
    let frames = [
        json!({ "type": "send", "n": 1, "content": {} }),
        json!({ "type": "to_device", "n": 1, "event_type": "m.room.encrypted", "messages": {} }),
        json!({ "type": "redact", "n": 1, "event_id": "no event" }),
        json!({ "type": "keys_query", "id": 1 }),
        json!({ "type": "keys_claim", "id": 1, "devices": [] }),
        json!({ "type": "keys_upload", "id": 1, "one_time_keys": {}, "fallback_keys": {} }),
        json!({ "type": "ack", "seq": 0 }),
        json!({ "type": "typing", "typing": false }),
        json!({ "type": "read", "event_id": "$unheard-of" }),
        json!({ "type": "leave" }),
    ];
    // A frame that is new in the protocol must be added here: its refused cases are missing.
    let samples: Value = serde_json::from_str(include_str!("../../docs/frames.json")).unwrap();
    let page = samples["to_bridge"].as_array().unwrap();
    let mut known: Vec<&str> = frames
        .iter()
        .filter_map(|frame| frame["type"].as_str())
        .collect();
    known.push("hello");
    for frame in page {
        assert!(known.contains(&frame["type"].as_str().unwrap()), "{frame}");
    }
    frames.into()
}

pub async fn assert_all_is_well(world: &World, chat: &mut Chat) {
    chat.guest.open(&world.bridge).await;
    let (said, read) = (
        world.until_host_read(chat, 0).await.len(),
        chat.guest.texts().len(),
    );
    let n = chat.guest.say("still here").await;
    chat.guest.until_delivered(n).await;
    assert_eq!(
        world.until_host_read(chat, said + 1).await.last().unwrap(),
        "still here"
    );
    world.host_says(chat, "me too").await;
    assert_eq!(
        chat.guest.until_texts(read + 1).await.last().unwrap(),
        "me too"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_dont_read_close_the_connection() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let hello = json!({ "type": "hello", "portal": chat.guest.portal, "device": "D", "signature": "", "last_seq": 0 });
    let mut messages: Vec<(Message, &str)> = [
        json!({ "type": "unheard-of" }),
        json!({ "type": "ack", "seq": 1_000_000 }),
        json!({ "type": "ack", "seq": -1 }),
        json!({ "type": "ack" }),
        json!({ "type": "typing" }),
        json!({ "type": "typing", "typing": 1 }),
        json!({ "type": "read" }),
        json!({ "type": "read", "event_id": null }),
        json!({ "type": "send", "n": 1 }),
        json!({ "type": "send", "n": "1", "content": {} }),
        json!({ "type": "keys_claim", "id": 1, "devices": {} }),
        json!([]),
        json!(null),
        hello,
    ]
    .into_iter()
    .map(|frame| (Message::text(frame.to_string()), "bad_frame"))
    .collect();
    for mut frame in frames() {
        frame["unheard_of"] = json!(1);
        messages.push((Message::text(frame.to_string()), "bad_frame"));
    }
    messages.push((Message::text(""), "bad_frame"));
    messages.push((
        Message::binary(b"{\"type\":\"leave\"}".to_vec()),
        "bad_frame",
    ));
    messages.push((Message::text("x".repeat(64 * 1024 + 1)), "too_large"));
    messages.push((Message::text("[".repeat(60 * 1024)), "bad_frame"));
    for (message, code) in messages {
        chat.guest.open(&world.bridge).await;
        let shown: String = message.to_string().chars().take(80).collect();
        chat.guest.socket().send_message(message).await;
        assert_eq!(chat.guest.socket().closing_code().await, code, "{shown}");
    }
    assert_all_is_well(&world, &mut chat).await;
}

/// The code with which a numbered frame is refused.
async fn refused(guest: &mut Guest, frame: Value) -> String {
    let answer = guest.send_numbered(frame.clone()).await;
    assert_eq!(answer["ok"], false, "{frame}");
    assert!(
        answer["error"]["message"]
            .as_str()
            .is_some_and(|message| message.ends_with('.')),
        "{answer}"
    );
    answer["error"]["code"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contents_that_are_not_ciphertext_are_refused() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let good = chat.guest.encrypt("good").await;
    let with = |field: &str, value: Value| {
        let mut content = good.clone();
        content[field] = value;
        json!({ "type": "send", "content": content })
    };
    let cases = [
        (
            json!({ "type": "send", "content": { "msgtype": "m.text", "body": "hello" } }),
            "not_encrypted",
        ),
        (json!({ "type": "send", "content": null }), "not_encrypted"),
        (
            json!({ "type": "send", "content": "text" }),
            "not_encrypted",
        ),
        (
            with("algorithm", json!("m.olm.v1.curve25519-aes-sha2")),
            "not_encrypted",
        ),
        (
            with("m.relates_to", json!({ "rel_type": "m.thread" })),
            "not_encrypted",
        ),
        (with("body", json!("hello")), "not_encrypted"),
        (with("ciphertext", json!({ "a": 1 })), "not_encrypted"),
        (
            with("ciphertext", json!("A".repeat(17 * 1024))),
            "too_large",
        ),
    ];
    for (frame, code) in cases {
        assert_eq!(
            refused(&mut chat.guest, frame.clone()).await,
            code,
            "{frame}"
        );
    }
    let to_device = |event_type: &str, device: &str, content: Value| json!({ "type": "to_device", "event_type": event_type, "messages": { device: content } });
    let olm = json!({ "algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": "k",
        "ciphertext": { "k": { "type": 0, "body": "b" } } });
    let withheld = |more: Value| {
        let mut content = json!({ "algorithm": "m.megolm.v1.aes-sha2", "code": "m.unverified" });
        content
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        to_device("m.room_key.withheld", "HOSTDEVICE", content)
    };
    let many: Value = (0..101)
        .map(|number| (format!("D{number}"), olm.clone()))
        .collect();
    let cases = [
        (
            to_device("m.room_key", "HOSTDEVICE", olm.clone()),
            "bad_request",
        ),
        (
            to_device("m.room_key_request", "HOSTDEVICE", olm.clone()),
            "bad_request",
        ),
        (
            to_device("m.key.verification.request", "HOSTDEVICE", olm.clone()),
            "bad_request",
        ),
        (
            to_device("m.room.encrypted", "*", olm.clone()),
            "bad_request",
        ),
        (
            to_device("m.room.encrypted", "", olm.clone()),
            "bad_request",
        ),
        (
            json!({ "type": "to_device", "event_type": "m.room.encrypted", "messages": {} }),
            "bad_request",
        ),
        (
            json!({ "type": "to_device", "event_type": "m.room.encrypted", "messages": many }),
            "bad_request",
        ),
        (
            to_device("m.room.encrypted", "HOSTDEVICE", json!({ "body": "plain" })),
            "not_encrypted",
        ),
        (
            to_device("m.room.encrypted", "HOSTDEVICE", good.clone()),
            "not_encrypted",
        ),
        (
            withheld(json!({ "reason": "plain words" })),
            "not_encrypted",
        ),
        (withheld(json!({ "room_id": "!other" })), "not_encrypted"),
        (withheld(json!({ "code": "my.own" })), "not_encrypted"),
    ];
    for (frame, code) in cases {
        assert_eq!(
            refused(&mut chat.guest, frame.clone()).await,
            code,
            "{frame}"
        );
    }
    // The number that all of these had is still free.
    let answer = chat
        .guest
        .send_numbered(json!({ "type": "send", "content": good }))
        .await;
    assert_eq!(answer["ok"], true, "{answer}");
    assert_all_is_well(&world, &mut chat).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_are_counted_once_and_without_gaps() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let n = chat.guest.say("one").await;
    let content = chat.guest.encrypt("two").await;
    let frame = |n: u64| json!({ "type": "send", "n": n, "content": content });
    let expected = [
        (0, Some("bad_request")),
        (n + 2, Some("gap")),
        (u64::MAX, Some("gap")),
        (n, None),
        (1, None),
    ];
    for (number, code) in expected {
        chat.guest.socket().send(&frame(number)).await;
        let is = |signal: &Value| signal["type"] == "result" && signal["n"] == json!(number);
        let answer = chat
            .guest
            .until("an answer", |guest| {
                guest.signals.iter().find(|signal| is(signal)).cloned()
            })
            .await;
        assert_eq!(
            (answer["ok"].as_bool(), answer["error"]["code"].as_str()),
            (Some(code.is_none()), code),
            "{number}"
        );
    }
    assert_eq!(
        world.until_host_read(&mut chat, 1).await,
        ["one"],
        "what is repeated does nothing"
    );
    chat.guest.signals.clear();
    assert_all_is_well(&world, &mut chat).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_it_opens_and_after_it_ends_nothing_is_sent() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    world
        .homeserver
        .faults(|faults| faults.named("create_room", Fault::Status(500, "M_UNKNOWN"), 3));
    let (mut guest, _) = world.joined(&mut host).await;
    guest.connect(&world.bridge).await;
    assert_eq!(guest.socket().next().await.unwrap()["type"], "opening");
    let send = json!({ "type": "send", "content": {} });
    assert_eq!(refused(&mut guest, send.clone()).await, "not_open");
    let asked = guest.ask(json!({ "type": "keys_query" })).await;
    assert_eq!(asked["error"]["code"], "not_open");
    guest.open(&world.bridge).await;

    guest.socket().send(&json!({ "type": "leave" })).await;
    guest.socket().send(&json!({ "type": "leave" })).await;
    guest
        .socket()
        .send(&json!({ "type": "send", "n": 1, "content": {} }))
        .await;
    let end = guest.socket().next().await.unwrap();
    assert_eq!(
        (&end["type"], &end["reason"]),
        (&json!("ended"), &json!("guest"))
    );
    let answer = guest.socket().next().await.unwrap();
    assert_eq!(
        (&answer["n"], &answer["error"]["code"]),
        (&json!(1), &json!("ended"))
    );
    let mut next = world.open_chat("Bob").await;
    assert_all_is_well(&world, &mut next).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_too_fast_is_slowed_down() {
    let setup = Setup {
        guests: "burst: 3, messages_per_second: 0.5",
        ..Setup::default()
    };
    let world = World::with(&setup).await;
    let mut chat = world.open_chat("Alice").await;
    chat.guest.say("one").await;
    chat.guest.say("two").await;
    let content = chat.guest.encrypt("three").await;
    let frame = json!({ "type": "send", "content": content });
    let answer = chat.guest.send_numbered(frame.clone()).await;
    assert_eq!(answer["error"]["code"], "rate_limited");
    assert_eq!(answer["error"]["retry_after_ms"], 2000);
    world
        .bridge
        .clock
        .advance(std::time::Duration::from_millis(2000));
    assert_eq!(chat.guest.send_numbered(frame).await["ok"], true);
    world
        .bridge
        .clock
        .advance(std::time::Duration::from_secs(60));
    assert_eq!(
        world.until_host_read(&mut chat, 3).await,
        ["one", "two", "three"]
    );
    assert_all_is_well(&world, &mut chat).await;
}
