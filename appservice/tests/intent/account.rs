//! The homeserver itself, accounts, names and devices; and what holds for every call.

use std::time::Duration;

use serde_json::json;
use vestibule_appservice::intent::Homeserver;

use super::{AS_BOT, AS_GHOST, BOT, GHOST, HOST, ROOM, TOKEN, body, done, line, ok};

#[tokio::test]
async fn the_bot_names_itself() {
    let (server, homeserver) = ok(json!({ "user_id": BOT })).await;
    assert_eq!(homeserver.as_user(BOT).whoami().await.unwrap(), BOT);
    assert_eq!(
        line(&server).await,
        format!("GET /_matrix/client/v3/account/whoami?{AS_BOT}")
    );
}

#[tokio::test]
async fn a_device_stands_beside_its_user() {
    let (server, homeserver) = ok(json!({ "user_id": GHOST, "device_id": "BROWSER1" })).await;
    homeserver
        .as_user(GHOST)
        .with_device("BROWSER1")
        .whoami()
        .await
        .unwrap();
    assert_eq!(
        line(&server).await,
        format!("GET /_matrix/client/v3/account/whoami?{AS_GHOST}&device_id=BROWSER1")
    );
}

#[tokio::test]
async fn a_device_with_odd_characters_stays_one_argument() {
    let (server, homeserver) = ok(json!({ "user_id": GHOST })).await;
    homeserver
        .as_user(GHOST)
        .with_device("a&user_id=b c")
        .whoami()
        .await
        .unwrap();
    assert!(
        line(&server)
            .await
            .ends_with("&device_id=a%26user_id%3Db+c")
    );
}

#[tokio::test]
async fn versions() {
    let (server, homeserver) =
        ok(json!({ "versions": ["v1.11", "v1.12"], "unstable_features": {} })).await;
    assert_eq!(homeserver.versions().await.unwrap(), ["v1.11", "v1.12"]);
    assert_eq!(line(&server).await, "GET /_matrix/client/versions");
}

#[tokio::test]
async fn register_does_not_log_in() {
    let (server, homeserver) = ok(json!({ "user_id": GHOST, "home_server": "example.org" })).await;
    homeserver.register("_vestibule_1").await.unwrap();
    assert_eq!(line(&server).await, "POST /_matrix/client/v3/register");
    let expected = json!({ "type": "m.login.application_service", "username": "_vestibule_1", "inhibit_login": true });
    assert_eq!(body(&server).await, expected);
}

#[tokio::test]
async fn names() {
    let (server, homeserver) = ok(done()).await;
    homeserver
        .as_user(GHOST)
        .set_display_name("Maya (Guest)")
        .await
        .unwrap();
    assert_eq!(
        line(&server).await,
        format!("PUT /_matrix/client/v3/profile/{GHOST}/displayname?{AS_GHOST}")
    );
    assert_eq!(
        body(&server).await,
        json!({ "displayname": "Maya (Guest)" })
    );

    let (server, homeserver) = ok(json!({ "displayname": "Alice" })).await;
    assert_eq!(
        homeserver
            .as_user(BOT)
            .display_name(HOST)
            .await
            .unwrap()
            .as_deref(),
        Some("Alice")
    );
    assert_eq!(
        line(&server).await,
        format!("GET /_matrix/client/v3/profile/{HOST}/displayname?{AS_BOT}")
    );
    for nameless in [
        json!({}),
        json!({ "displayname": null }),
        json!({ "displayname": "" }),
    ] {
        let (_server, homeserver) = ok(nameless).await;
        assert_eq!(
            homeserver.as_user(BOT).display_name(HOST).await.unwrap(),
            None
        );
    }
}

#[tokio::test]
async fn devices() {
    let (server, homeserver) = ok(done()).await;
    homeserver
        .as_user(GHOST)
        .put_device("BROWSER1", "Guest browser")
        .await
        .unwrap();
    assert_eq!(
        line(&server).await,
        format!("PUT /_matrix/client/v3/devices/BROWSER1?{AS_GHOST}")
    );
    assert_eq!(
        body(&server).await,
        json!({ "display_name": "Guest browser" })
    );

    let (server, homeserver) = ok(done()).await;
    homeserver
        .as_user(GHOST)
        .delete_device("BROWSER1")
        .await
        .unwrap();
    assert_eq!(
        line(&server).await,
        format!("DELETE /_matrix/client/v3/devices/BROWSER1?{AS_GHOST}")
    );
}

#[tokio::test]
async fn deactivate_and_ping() {
    let (server, homeserver) = ok(json!({ "id_server_unbind_result": "success" })).await;
    homeserver.as_user(GHOST).deactivate(true).await.unwrap();
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/account/deactivate?{AS_GHOST}")
    );
    assert_eq!(body(&server).await, json!({ "erase": true }));

    let (server, homeserver) = ok(json!({ "duration_ms": 2 })).await;
    homeserver
        .as_user(BOT)
        .ping("vestibule", "x")
        .await
        .unwrap();
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v1/appservice/vestibule/ping?{AS_BOT}")
    );
    assert_eq!(body(&server).await, json!({ "transaction_id": "x" }));
}

#[tokio::test]
async fn the_base_may_have_a_path() {
    let (server, _) = ok(json!({ "user_id": BOT })).await;
    let homeserver = Homeserver::new(
        &format!("{}/matrix/", server.uri()),
        TOKEN,
        Duration::from_secs(5),
    )
    .unwrap();
    homeserver.as_user(BOT).whoami().await.unwrap();
    assert!(
        line(&server)
            .await
            .starts_with("GET /matrix/_matrix/client/v3/account/whoami?")
    );
}

/// Calls are made from tasks that wander between threads, through references only.
#[tokio::test]
async fn calls_may_wander() {
    let (_server, homeserver) = ok(json!({ "room_id": ROOM })).await;
    let homeserver = std::sync::Arc::new(homeserver);
    let task = tokio::spawn(async move {
        let body = done();
        let ghost = homeserver.as_user(GHOST).with_device("B");
        ghost.create_room(&body).await
    });
    assert_eq!(task.await.unwrap().unwrap(), ROOM);
}
