//! What a page may ask the homeserver about keys, and how often.

use serde_json::{Value, json};

use crate::guest::Guest;
use crate::guest::socket::Socket;
use crate::world::World;

async fn code(guest: &mut Guest, frame: Value) -> String {
    let answer = guest.ask(frame).await;
    assert_eq!(answer["ok"], false, "{answer}");
    answer["error"]["code"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_that_ask_too_much_never_reach_the_homeserver() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let before = world.homeserver.count("keys_claim") + world.homeserver.count("upload_keys");
    let many: Vec<String> = (0..101).map(|number| format!("D{number}")).collect();
    let guest = &mut chat.guest;
    for devices in [json!([]), json!(many)] {
        assert_eq!(
            code(guest, json!({ "type": "keys_claim", "devices": devices })).await,
            "bad_request",
            "{devices}"
        );
    }
    let mut upload = guest
        .machine
        .one_time_keys(0, false, u64::MAX / 2)
        .unwrap()
        .output
        .unwrap();
    let first = upload.one_time_keys.keys().next().unwrap().clone();
    let good = upload.one_time_keys.clone();
    upload.one_time_keys[&first]["key"] = json!("A".repeat(43));
    let cases = [
        json!({ "type": "keys_upload", "one_time_keys": upload.one_time_keys, "fallback_keys": {} }),
        json!({ "type": "keys_upload", "one_time_keys": [], "fallback_keys": {} }),
        json!({ "type": "keys_upload", "one_time_keys": { "signed_curve25519:AAAAAQ": "unsigned" }, "fallback_keys": {} }),
        json!({ "type": "keys_upload", "one_time_keys": { "curve25519:AAAAAQ": good[&first] }, "fallback_keys": {} }),
    ];
    for frame in cases {
        assert_eq!(code(guest, frame.clone()).await, "bad_keys", "{frame}");
    }
    let after = world.homeserver.count("keys_claim") + world.homeserver.count("upload_keys");
    assert_eq!(after, before);
    let answer = guest
        .ask(json!({ "type": "keys_upload", "one_time_keys": good, "fallback_keys": {} }))
        .await;
    assert_eq!(answer["ok"], true, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_asks_without_end_drains_no_keys() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let before = world.homeserver.count("keys_claim");
    let socket = chat.guest.socket();
    for id in 0..300 {
        socket
            .send(&json!({ "type": "keys_claim", "id": id, "devices": ["HOSTDEVICE"] }))
            .await;
    }
    let mut answered = 0;
    while answered < 300 {
        let frame = socket.next().await.unwrap();
        answered += usize::from(frame["type"] == "result");
        let code = frame["error"]["code"].as_str();
        assert!(
            frame["ok"] == true || code == Some("rate_limited"),
            "{frame}"
        );
    }
    let asked = world.homeserver.count("keys_claim") - before;
    assert!((1..=20).contains(&asked), "{asked}");

    // A new connection has no new bucket.
    let before = world.homeserver.count("keys_claim");
    for _ in 0..5 {
        chat.guest.open(&world.bridge).await;
        for _ in 0..10 {
            chat.guest
                .ask(json!({ "type": "keys_claim", "devices": ["HOSTDEVICE"] }))
                .await;
        }
    }
    let asked = world.homeserver.count("keys_claim") - before;
    assert!(asked <= 20, "five connections asked {asked} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_silent_connections_stop_nobody() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(Socket::of_page(&world.bridge).await);
    }
    let n = chat.guest.say("through").await;
    chat.guest.until_delivered(n).await;
    let metrics = world
        .bridge
        .web
        .get(&world.bridge.ops_url("/metrics"))
        .await
        .text();
    assert!(metrics.contains("vestibule_open_sockets 301"), "{metrics}");
    drop(silent);
    assert_eq!(world.until_host_read(&mut chat, 1).await, ["through"]);
}
