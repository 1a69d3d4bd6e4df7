//! Whom a link doesn't let in, and why.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::bridge::Setup;
use crate::guest::Guest;
use crate::world::World;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_join_again_gives_the_same_answer() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    let (mut guest, token) = world.joined(&mut host).await;
    let portal = guest.portal.clone();
    world.until_idle().await;
    let again = guest.join(&world.bridge, &token, "Maya").await;
    assert_eq!((again.status, guest.portal.clone()), (200, portal.clone()));
    world.bridge.clock.advance(DAY * 8);
    let late = guest.join(&world.bridge, &token, "Maya").await;
    assert_eq!(
        (late.status, guest.portal.clone()),
        (200, portal),
        "also when an unused link would have expired"
    );
    assert_eq!(world.homeserver.count("create_room"), 1);

    let mut other = Guest::new(&world.bridge, &guest.ghost, &host.user, "OTHERDEVICE");
    let refused = other.join(&world.bridge, &token, "Eve").await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "link_used".to_owned())
    );
    let look = world.bridge.look(&token).await;
    assert_eq!((look.status, look.code()), (409, "link_used".to_owned()));

    // The device's name alone proves nothing: another key under it is another browser.
    let mut imitation = Guest::new(&world.bridge, &guest.ghost, &host.user, "GUESTDEVICE");
    let refused = imitation.join(&world.bridge, &token, "Eve").await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "link_used".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_that_dont_work_say_why() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    let token = world.link(&mut host).await;
    let mut guest = Guest::of_link(&world.bridge, &token, "GUESTDEVICE").await;
    let unknown = "0".repeat(26);
    let malformed = [
        "",
        "x",
        &token[1..],
        "%2e%2e",
        "' or 1=1 --",
        &"a".repeat(4000),
        "\u{0}",
    ];
    for tried in malformed.iter().copied().chain([unknown.as_str()]) {
        let look = world.bridge.look(tried).await;
        assert_eq!(
            (look.status, look.code()),
            (404, "link_unknown".to_owned()),
            "{tried:?}"
        );
        let join = guest.join(&world.bridge, tried, "Maya").await;
        assert_eq!(
            (join.status, join.code()),
            (404, "link_unknown".to_owned()),
            "{tried:?}"
        );
    }
    // Some keyboards write capitals.
    assert_eq!(world.bridge.look(&token.to_uppercase()).await.status, 200);

    world
        .bridge
        .clock
        .advance(DAY * 7 - Duration::from_millis(1));
    assert_eq!(world.bridge.look(&token).await.status, 200);
    world.bridge.clock.advance(Duration::from_millis(1));
    world.bridge.tick().await;
    let look = world.bridge.look(&token).await;
    assert_eq!((look.status, look.code()), (410, "link_expired".to_owned()));
    let join = guest.join(&world.bridge, &token, "Maya").await;
    assert_eq!((join.status, join.code()), (410, "link_expired".to_owned()));
    assert_eq!(world.homeserver.count("register"), 0);
}

/// The guest reads that the host is busy, and not that somebody has paused the service; the link stays good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_with_as_many_chats_as_allowed_is_busy() {
    let world = World::with(&Setup {
        guests: "burst: 1000, open_chats: 1",
        ..Setup::default()
    })
    .await;
    let mut host = world.host("Alice").await;
    let (mut first, _) = world.joined(&mut host).await;
    let token = world.link(&mut host).await;
    let mut second = Guest::of_link(&world.bridge, &token, "GUESTDEVICE").await;
    for _ in 0..2 {
        let refused = second.join(&world.bridge, &token, "Ben").await;
        assert_eq!(
            (refused.status, refused.code()),
            (503, "host_busy".to_owned())
        );
        assert_eq!(world.bridge.look(&token).await.status, 200);
    }
    first.open(&world.bridge).await;
    first.socket().send(&json!({ "type": "leave" })).await;
    first.until_ended().await;
    let joined = second.join(&world.bridge, &token, "Ben").await;
    assert_eq!(joined.status, 200, "{}", joined.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_show_nothing_or_too_much_are_refused() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    let token = world.link(&mut host).await;
    let mut guest = Guest::of_link(&world.bridge, &token, "GUESTDEVICE").await;
    for name in ["", "   ", "\u{200b}\u{202e}", &"x".repeat(41)] {
        let refused = guest.join(&world.bridge, &token, name).await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, "bad_name".to_owned()),
            "{name:?}"
        );
    }
    let endless = "x".repeat(2 * 1024 * 1024);
    let refused = guest.join(&world.bridge, &token, &endless).await;
    assert_eq!(
        (refused.status, refused.code()),
        (413, "too_large".to_owned())
    );
    let joined = guest
        .join(&world.bridge, &token, "\u{202e}Ma\u{200b}ya")
        .await;
    assert_eq!(
        joined.status,
        200,
        "the link was not used up: {}",
        joined.text()
    );
    assert_eq!(joined.json()["name"], "Maya (Guest)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_dont_hold_are_refused() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    let token = world.link(&mut host).await;
    let mut guest = Guest::of_link(&world.bridge, &token, "GUESTDEVICE").await;
    let url = world.bridge.url("/api/v1/join");

    let other = Guest::new(
        &world.bridge,
        "@_vestibule_other:example.org",
        &host.user,
        "GUESTDEVICE",
    );
    let good = guest.join_body(&token, "Maya");
    let changed = |place: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = value;
        body
    };
    let one_time = good["keys"]["one_time_keys"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap()
        .clone();
    let other_keys = other.join_body(&token, "Maya")["keys"].clone();
    let cases = [
        ("another user's keys", changed("/keys", other_keys.clone())),
        (
            "another master key",
            changed("/keys/master_key", other_keys["master_key"].clone()),
        ),
        (
            "another device key",
            changed(
                "/keys/device_keys/keys/curve25519:GUESTDEVICE",
                json!("A".repeat(43)),
            ),
        ),
        ("another device", changed("/device_id", json!("OTHER"))),
        (
            "a one-time key",
            changed(
                &format!("/keys/one_time_keys/{one_time}/key"),
                json!("A".repeat(43)),
            ),
        ),
        ("no keys", changed("/keys", json!({}))),
        (
            "no self-signing key",
            changed("/keys/self_signing_key", Value::Null),
        ),
        (
            "no signatures",
            changed("/keys/device_keys/signatures", json!({})),
        ),
    ];
    for (what, body) in cases {
        let refused = world.bridge.web.post(&url, &body).await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, "bad_keys".to_owned()),
            "{what}: {}",
            refused.text()
        );
    }
    assert_eq!(
        guest.join(&world.bridge, &token, "Maya").await.status,
        200,
        "the link was not used up"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_dont_read_are_refused() {
    let world = World::start().await;
    let json = [("content-type", "application/json")];
    for path in ["/api/v1/link", "/api/v1/join"] {
        let url = world.bridge.url(path);
        let large = format!("{{\"token\":\"{}\"}}", "x".repeat(200 * 1024));
        let refused = world.bridge.web.ask("POST", &url, &json, large).await;
        assert_eq!(
            (refused.status, refused.code()),
            (413, "too_large".to_owned()),
            "{path}"
        );
        for body in ["", "{", "[]", "{\"token\":1}", "null"] {
            let refused = world.bridge.web.ask("POST", &url, &json, body).await;
            assert_eq!(
                (refused.status, refused.code()),
                (400, "bad_request".to_owned()),
                "{path} {body}"
            );
        }
        let refused = world
            .bridge
            .web
            .ask("POST", &url, &[("content-type", "text/plain")], "{}")
            .await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, "bad_request".to_owned()),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_joins_at_once_one_wins() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    let token = world.link(&mut host).await;
    let ghost = world.bridge.look(&token).await.json()["ghost"]
        .as_str()
        .unwrap()
        .to_owned();
    let bodies: Vec<Arc<Value>> = (0..20)
        .map(|number| {
            Guest::new(
                &world.bridge,
                &ghost,
                &host.user,
                &format!("DEVICE{number}"),
            )
        })
        .map(|guest| Arc::new(guest.join_body(&token, "Maya")))
        .collect();
    let url = world.bridge.url("/api/v1/join");
    // Each connection takes two file descriptors of this process, and many systems allow 1024.
    let at_once = Arc::new(Semaphore::new(200));
    let mut joins = JoinSet::new();
    for _ in 0..50 {
        for (number, body) in bodies.iter().enumerate() {
            let (web, url, body) = (world.bridge.web.clone(), url.clone(), Arc::clone(body));
            let at_once = Arc::clone(&at_once);
            joins.spawn(async move {
                let _turn = at_once.acquire().await;
                (number, web.post(&url, &body).await)
            });
        }
    }
    let mut winners = BTreeSet::new();
    let mut portals = BTreeSet::new();
    let mut refused = 0;
    for (number, answer) in joins.join_all().await {
        match answer.status {
            200 => {
                winners.insert(number);
                portals.insert(answer.json()["portal"].to_string());
            }
            _ => {
                assert_eq!(
                    (answer.status, answer.code()),
                    (409, "link_used".to_owned())
                );
                refused += 1;
            }
        }
    }
    assert_eq!(
        (winners.len(), portals.len()),
        (1, 1),
        "one browser, in one chat"
    );
    assert_eq!(refused, 950, "all requests of all others");
    world.until_idle().await;
    assert_eq!(world.homeserver.count("register"), 1);
    assert_eq!(world.homeserver.count("create_room"), 1);
}
