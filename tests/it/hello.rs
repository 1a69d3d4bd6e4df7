//! Who gets a socket, and who is greeted on it.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::bridge::Bridge;
use crate::guest::socket::Socket;
use crate::refused::{assert_all_is_well, frames};
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_sites_dont_get_a_socket() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let origins = [
        None,
        Some("null"),
        Some(""),
        Some("https://evil.example"),
        Some("http://chat.example.org"),
        Some("https://chat.example.org:444"),
        Some("https://chat.example.org.evil.example"),
        Some("https://chat.example.org/"),
        Some("https://CHAT.example.org"),
    ];
    for origin in origins {
        let refused = Socket::open(&world.bridge, "/api/v1/socket", origin)
            .await
            .err();
        assert_eq!(refused, Some(403), "{origin:?}");
    }
    let plain = world
        .bridge
        .web
        .get(&world.bridge.url("/api/v1/socket"))
        .await;
    assert!((400..500).contains(&plain.status), "{}", plain.status);
    assert_all_is_well(&world, &mut chat).await;
}

/// A page of another version learns it before it says anything, and loses nothing by leaving.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_frame_names_the_version() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let mut socket = Socket::of_page(&world.bridge).await;
    let challenge = socket.next().await.unwrap();
    assert_eq!(challenge["type"], "challenge");
    assert_eq!(
        challenge["protocol"],
        json!(vestibule_bridge::frame::PROTOCOL)
    );
    // The page and the documentation name the same.
    let page = include_str!("../../web/src/protocol.ts");
    let number = vestibule_bridge::frame::PROTOCOL;
    assert!(page.contains(&format!("export const PROTOCOL = {number};")));
    let docs = include_str!("../../docs/protocol.md");
    assert!(docs.contains(&format!("`protocol` is `{number}`")));
    drop(socket);
    assert_all_is_well(&world, &mut chat).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_hello_nothing_is_taken() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    for frame in frames() {
        let mut socket = Socket::of_page(&world.bridge).await;
        socket.send(&frame).await;
        assert_eq!(socket.closing_code().await, "not_greeted", "{frame}");
    }
    let messages = [
        (Message::text("no frame"), "bad_frame"),
        (Message::text("{}"), "bad_frame"),
        (Message::binary(b"binary".to_vec()), "bad_frame"),
        (Message::text("x".repeat(70 * 1024)), "too_large"),
    ];
    for (message, code) in messages {
        let mut socket = Socket::of_page(&world.bridge).await;
        socket.send_message(message).await;
        assert_eq!(socket.closing_code().await, code);
    }
    assert_all_is_well(&world, &mut chat).await;
}

async fn hello_is_answered(bridge: &Bridge, make: impl FnOnce(&Value) -> Value) -> String {
    let mut socket = Socket::of_page(bridge).await;
    let challenge = socket.next().await.unwrap();
    socket.send(&make(&challenge)).await;
    socket.closing_code().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_guests_own_browser_is_greeted() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let other = world.open_chat("Bob").await;
    let (bridge, guest) = (&world.bridge, &chat.guest);
    let changed = |field: &'static str, value: Value| {
        move |challenge: &Value| {
            let mut hello = guest.hello(bridge, challenge);
            hello[field] = value;
            hello
        }
    };
    let signed = |origin: &str, portal: &str, nonce: &str| {
        json!(guest.machine.sign_hello(origin, portal, nonce))
    };
    let portal = &guest.portal;
    let bad = "bad_signature";
    assert_eq!(
        hello_is_answered(bridge, changed("signature", json!(""))).await,
        bad
    );
    assert_eq!(
        hello_is_answered(bridge, changed("signature", json!("A".repeat(86)))).await,
        bad
    );
    assert_eq!(
        hello_is_answered(bridge, changed("signature", json!("é".repeat(500)))).await,
        bad
    );
    let other_nonce = signed(&bridge.origin, portal, &"0".repeat(32));
    assert_eq!(
        hello_is_answered(bridge, changed("signature", other_nonce)).await,
        bad
    );
    assert_eq!(
        hello_is_answered(bridge, changed("device", json!("OTHERDEVICE"))).await,
        bad
    );
    assert_eq!(
        hello_is_answered(bridge, changed("portal", json!(other.guest.portal))).await,
        bad
    );
    let of_other = |challenge: &Value| {
        let nonce = challenge["nonce"].as_str().unwrap();
        let signature = other
            .guest
            .machine
            .sign_hello(&bridge.origin, portal, nonce);
        json!({ "type": "hello", "portal": portal, "device": "GUESTDEVICE", "signature": signature, "last_seq": 0 })
    };
    assert_eq!(hello_is_answered(bridge, of_other).await, bad);
    let elsewhere = |challenge: &Value| {
        let mut hello = guest.hello(bridge, challenge);
        hello["signature"] = signed(
            "https://evil.example",
            portal,
            challenge["nonce"].as_str().unwrap(),
        );
        hello
    };
    assert_eq!(hello_is_answered(bridge, elsewhere).await, bad);
    let of_other_portal = |challenge: &Value| {
        let mut hello = guest.hello(bridge, challenge);
        hello["signature"] = signed(
            &bridge.origin,
            &other.guest.portal,
            challenge["nonce"].as_str().unwrap(),
        );
        hello
    };
    assert_eq!(hello_is_answered(bridge, of_other_portal).await, bad);

    // A hello that was good once: nonces are used once.
    let mut heard = Value::Null;
    let mut socket = Socket::of_page(bridge).await;
    let challenge = socket.next().await.unwrap();
    heard.clone_from(&guest.hello(bridge, &challenge));
    assert_eq!(hello_is_answered(bridge, |_| heard).await, bad);

    let unknown = json!("0".repeat(portal.len()));
    assert_eq!(
        hello_is_answered(bridge, changed("portal", unknown)).await,
        "unknown_chat"
    );
    for broken in [json!(null), json!(7), json!("../x"), json!("")] {
        assert_eq!(
            hello_is_answered(bridge, changed("portal", broken)).await,
            "bad_frame"
        );
    }
    assert_eq!(
        hello_is_answered(bridge, changed("extra", json!(1))).await,
        "bad_frame"
    );
    assert_eq!(
        hello_is_answered(bridge, changed("last_seq", json!(-1))).await,
        "bad_frame"
    );
    assert_all_is_well(&world, &mut chat).await;
}
