//! How much may come from one address, and whom the bridge believes from which it comes.

use serde_json::json;

use crate::bridge::Setup;
use crate::guest::socket::Socket;
use crate::homeserver::PATIENCE;
use crate::web::Answer;
use crate::world::World;

async fn world(guests: &'static str) -> World {
    let setup = Setup {
        guests,
        ..Setup::default()
    };
    World::with(&setup).await
}

/// Looks at a link as somebody at the end of this list of addresses; the proxy wrote the last one.
async fn look(world: &World, forwarded: &str, token: &str) -> Answer {
    let url = world.bridge.url("/api/v1/link");
    let headers = [
        ("content-type", "application/json"),
        ("x-forwarded-for", forwarded),
    ];
    let body = json!({ "token": token }).to_string();
    world.bridge.web.ask("POST", &url, &headers, body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_tries_too_often_waits_and_nobody_else_does() {
    let world =
        world("trusted_proxies: [127.0.0.1], address_tries: 5, address_tries_per_minute: 1").await;
    let mut host = world.host("Alice").await;
    let token = world.link(&mut host).await;
    for _ in 0..5 {
        assert_eq!(look(&world, "203.0.113.9", &token).await.status, 200);
    }
    // Whatever they write before the address that the proxy saw, and wherever in their network.
    for list in [
        "203.0.113.9",
        "198.51.100.77, 203.0.113.9",
        "127.0.0.1,203.0.113.9",
    ] {
        let refused = look(&world, list, &token).await;
        assert_eq!(
            (refused.status, refused.code()),
            (429, "too_many_tries".to_owned())
        );
        let wait = refused.json()["error"]["retry_after_ms"].as_u64().unwrap();
        assert!((1..=60_000).contains(&wait), "{wait}");
    }
    let url = world.bridge.url("/api/v1/join");
    let headers = [
        ("content-type", "application/json"),
        ("x-forwarded-for", "203.0.113.9"),
    ];
    let join = world.bridge.web.ask("POST", &url, &headers, "{}").await;
    assert_eq!(
        (join.status, join.code()),
        (429, "too_many_tries".to_owned())
    );
    assert_eq!(look(&world, "203.0.113.10", &token).await.status, 200);
    for number in 0..5 {
        let neighbour = format!("2001:db8:1:1::{number}");
        assert_eq!(look(&world, &neighbour, &token).await.status, 200);
    }
    assert_eq!(
        look(&world, "2001:db8:1:1:2:3:4:5", &token).await.status,
        429
    );
    assert_eq!(look(&world, "2001:db8:1:2::1", &token).await.status, 200);
    // The page itself is for everybody.
    let page = world.bridge.web.get(&world.bridge.url("/")).await;
    assert_eq!(page.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_link_counts_for_ten() {
    let world =
        world("trusted_proxies: [127.0.0.1], address_tries: 20, address_tries_per_minute: 1").await;
    let mut host = world.host("Alice").await;
    let token = world.link(&mut host).await;
    let wrong = "00000000000000000000000000";
    for text in [wrong, "nonsense"] {
        assert_eq!(look(&world, "203.0.113.9", text).await.status, 404);
    }
    for text in [wrong, &token] {
        assert_eq!(look(&world, "203.0.113.9", text).await.status, 429);
    }
    for _ in 0..20 {
        assert_eq!(look(&world, "203.0.113.10", &token).await.status, 200);
    }
    assert_eq!(look(&world, "203.0.113.10", &token).await.status, 429);
}

/// Nobody named the proxy: then the header is anybody's, and the connection counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_of_strangers_is_not_believed() {
    let world =
        world("trusted_proxies: [10.0.0.0/8], address_tries: 3, address_tries_per_minute: 1").await;
    let mut host = world.host("Alice").await;
    let token = world.link(&mut host).await;
    for number in 0..3 {
        let list = format!("203.0.113.{number}");
        assert_eq!(look(&world, &list, &token).await.status, 200);
    }
    assert_eq!(look(&world, "203.0.113.9", &token).await.status, 429);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_so_many_sockets_and_no_more() {
    let world = world("address_sockets: 3").await;
    let path = "/api/v1/socket";
    let origin = world.bridge.origin.clone();
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(Socket::of_page(&world.bridge).await);
    }
    for _ in 0..2 {
        let refused = Socket::open(&world.bridge, path, Some(&origin)).await;
        assert_eq!(refused.err(), Some(429));
    }
    open.pop();
    let again = async {
        while Socket::open(&world.bridge, path, Some(&origin))
            .await
            .is_err()
        {}
    };
    let again = tokio::time::timeout(PATIENCE, again).await;
    assert!(again.is_ok(), "the place of one that is gone is free");
}
