//! What each method asks for, and what it makes of the answer.

use std::time::Duration;

use serde_json::json;
use vestibule_appservice::intent::Homeserver;

use super::{BOT, GHOST, HOST, ROOM, TOKEN, body, done, line, ok};

const AS_GHOST: &str = "user_id=%40_vestibule_1%3Aexample.org";
const AS_BOT: &str = "user_id=%40guestbot%3Aexample.org";

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
async fn keys_go_up_as_they_are() {
    let (server, homeserver) =
        ok(json!({ "one_time_key_counts": { "signed_curve25519": 50, "curve25519": 3 } })).await;
    let device = homeserver.as_user(GHOST).with_device("BROWSER1");
    let device_keys = json!({ "user_id": GHOST, "zeta": 1, "alpha": { "unknown": true } });
    let one_time = json!({ "signed_curve25519:AAAAAQ": { "key": "a" } });
    let fallback = json!({ "signed_curve25519:AAAAAg": { "key": "b", "fallback": true } });
    assert_eq!(
        device
            .upload_keys(Some(&device_keys), Some(&one_time), Some(&fallback))
            .await
            .unwrap(),
        50
    );
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/keys/upload?{AS_GHOST}&device_id=BROWSER1")
    );
    let expected =
        json!({ "device_keys": device_keys, "one_time_keys": one_time, "fallback_keys": fallback });
    assert_eq!(body(&server).await, expected);
}

#[tokio::test]
async fn no_keys_only_count() {
    let (server, homeserver) = ok(json!({ "one_time_key_counts": {} })).await;
    assert_eq!(
        homeserver
            .as_user(GHOST)
            .with_device("B")
            .upload_keys(None, None, None)
            .await
            .unwrap(),
        0
    );
    assert_eq!(body(&server).await, json!({}));
}

#[tokio::test]
async fn cross_signing() {
    let (server, homeserver) = ok(done()).await;
    let [master, own, others] = ["m", "s", "u"].map(|usage| json!({ "usage": [usage] }));
    homeserver
        .as_user(GHOST)
        .upload_cross_signing(&master, &own, &others)
        .await
        .unwrap();
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/keys/device_signing/upload?{AS_GHOST}")
    );
    let expected =
        json!({ "master_key": master, "self_signing_key": own, "user_signing_key": others });
    assert_eq!(body(&server).await, expected);

    let (server, homeserver) = ok(json!({ "failures": {} })).await;
    let signed = json!({ GHOST: { "BROWSER1": { "signatures": {} } } });
    homeserver
        .as_user(GHOST)
        .upload_signatures(&signed)
        .await
        .unwrap();
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/keys/signatures/upload?{AS_GHOST}")
    );
    assert_eq!(body(&server).await, signed);
}

#[tokio::test]
async fn keys_of_others_come_back_as_they_are() {
    let answer =
        json!({ "device_keys": { HOST: { "D": { "odd": [1] } } }, "failures": { "x": {} } });
    let (server, homeserver) = ok(answer.clone()).await;
    let device = homeserver.as_user(GHOST).with_device("BROWSER1");
    assert_eq!(device.keys_query(HOST).await.unwrap(), answer);
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/keys/query?{AS_GHOST}&device_id=BROWSER1")
    );
    assert_eq!(body(&server).await, json!({ "device_keys": { HOST: [] } }));

    let answer = json!({ "one_time_keys": { HOST: {} } });
    let (server, homeserver) = ok(answer.clone()).await;
    let device = homeserver.as_user(GHOST).with_device("BROWSER1");
    assert_eq!(
        device.keys_claim(HOST, &["D1", "D2"]).await.unwrap(),
        answer
    );
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/keys/claim?{AS_GHOST}&device_id=BROWSER1")
    );
    let wanted = json!({ "one_time_keys": { HOST: { "D1": "signed_curve25519", "D2": "signed_curve25519" } } });
    assert_eq!(body(&server).await, wanted);
}

#[tokio::test]
async fn rooms() {
    let (server, homeserver) = ok(json!({ "room_id": ROOM })).await;
    let wish = json!({ "room_version": "12", "is_direct": true, "creation_content": { "org.vestibule.portal": "01k" } });
    assert_eq!(
        homeserver.as_user(BOT).create_room(&wish).await.unwrap(),
        ROOM
    );
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/createRoom?{AS_BOT}")
    );
    assert_eq!(body(&server).await, wish);

    let (server, homeserver) = ok(json!({ "room_id": ROOM })).await;
    homeserver.as_user(GHOST).join(ROOM).await.unwrap();
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/rooms/{ROOM}/join?{AS_GHOST}")
    );

    let (server, homeserver) = ok(done()).await;
    homeserver
        .as_user(GHOST)
        .leave(ROOM, Some("The guest ended the chat."))
        .await
        .unwrap();
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/rooms/{ROOM}/leave?{AS_GHOST}")
    );
    assert_eq!(
        body(&server).await,
        json!({ "reason": "The guest ended the chat." })
    );

    let (server, homeserver) = ok(json!({ "joined_rooms": [ROOM, "not a room id"] })).await;
    assert_eq!(
        homeserver.as_user(BOT).joined_rooms().await.unwrap(),
        [ROOM, "not a room id"]
    );
    assert_eq!(
        line(&server).await,
        format!("GET /_matrix/client/v3/joined_rooms?{AS_BOT}")
    );

    let (server, homeserver) =
        ok(json!({ "joined": { HOST: { "display_name": "Alice", "avatar_url": "" }, "odd": {} } }))
            .await;
    let members = homeserver.as_user(BOT).joined_members(ROOM).await.unwrap();
    assert_eq!(
        (members[HOST].as_deref(), members["odd"].as_deref()),
        (Some("Alice"), None)
    );
    assert_eq!(
        line(&server).await,
        format!("GET /_matrix/client/v3/rooms/{ROOM}/joined_members?{AS_BOT}")
    );
}

#[tokio::test]
async fn rooms_of_version_12_have_no_server_name() {
    let room = "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM";
    let (server, homeserver) = ok(json!({ "room_id": room })).await;
    homeserver.as_user(GHOST).join(room).await.unwrap();
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/rooms/{room}/join?{AS_GHOST}")
    );
}

#[tokio::test]
async fn state() {
    let event = json!({
        "type": "m.room.member", "state_key": HOST, "sender": GHOST, "content": { "membership": "join" }, "event_id": "$1",
    });
    let (server, homeserver) = ok(json!([event])).await;
    let state = homeserver.as_user(GHOST).get_state(ROOM).await.unwrap();
    assert_eq!(
        (
            state[0].event_type.as_str(),
            state[0].state_key.as_str(),
            state[0].sender.as_str()
        ),
        ("m.room.member", HOST, GHOST)
    );
    assert_eq!(state[0].content, json!({ "membership": "join" }));
    assert_eq!(
        line(&server).await,
        format!("GET /_matrix/client/v3/rooms/{ROOM}/state?{AS_GHOST}")
    );

    let (server, homeserver) = ok(json!({ "users_default": 0 })).await;
    let levels = homeserver
        .as_user(GHOST)
        .get_state_event(ROOM, "m.room.power_levels", "")
        .await
        .unwrap();
    assert_eq!(levels, json!({ "users_default": 0 }));
    assert_eq!(
        line(&server).await,
        format!("GET /_matrix/client/v3/rooms/{ROOM}/state/m.room.power_levels/?{AS_GHOST}")
    );

    let (server, homeserver) = ok(json!({ "event_id": "$1" })).await;
    let invite = json!({ "membership": "invite", "is_direct": true });
    assert_eq!(
        homeserver
            .as_user(GHOST)
            .put_state(ROOM, "m.room.member", HOST, &invite)
            .await
            .unwrap(),
        "$1"
    );
    assert_eq!(
        line(&server).await,
        format!("PUT /_matrix/client/v3/rooms/{ROOM}/state/m.room.member/{HOST}?{AS_GHOST}")
    );
    assert_eq!(body(&server).await, invite);
}

#[tokio::test]
async fn a_state_that_does_not_wholly_read_is_no_state() {
    let event = json!({ "type": "t", "state_key": "", "sender": GHOST, "content": {} });
    let (_server, homeserver) = ok(json!([event, { "type": "t", "state_key": "" }])).await;
    assert!(homeserver.as_user(GHOST).get_state(ROOM).await.is_err());
}

#[tokio::test]
async fn events() {
    let (server, homeserver) = ok(json!({ "event_id": "$1" })).await;
    let content = json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "…" });
    let device = homeserver.as_user(GHOST).with_device("BROWSER1");
    assert_eq!(
        device
            .send_event(ROOM, "m.room.encrypted", "txn-1", &content)
            .await
            .unwrap(),
        "$1"
    );
    let path = format!("/_matrix/client/v3/rooms/{ROOM}/send/m.room.encrypted/txn-1");
    assert_eq!(
        line(&server).await,
        format!("PUT {path}?{AS_GHOST}&device_id=BROWSER1")
    );
    assert_eq!(body(&server).await, content);

    let (server, homeserver) = ok(json!({ "event_id": "$2" })).await;
    assert_eq!(
        homeserver
            .as_user(GHOST)
            .redact(ROOM, "$1", "txn-2", Some("gone"))
            .await
            .unwrap(),
        "$2"
    );
    assert_eq!(
        line(&server).await,
        format!("PUT /_matrix/client/v3/rooms/{ROOM}/redact/$1/txn-2?{AS_GHOST}")
    );
    assert_eq!(body(&server).await, json!({ "reason": "gone" }));
}

#[tokio::test]
async fn typing_and_receipts() {
    for (shown_for, expected) in [
        (
            Some(Duration::from_secs(20)),
            json!({ "typing": true, "timeout": 20_000 }),
        ),
        (None, json!({ "typing": false })),
    ] {
        let (server, homeserver) = ok(done()).await;
        homeserver
            .as_user(GHOST)
            .typing(ROOM, shown_for)
            .await
            .unwrap();
        assert_eq!(
            line(&server).await,
            format!("PUT /_matrix/client/v3/rooms/{ROOM}/typing/{GHOST}?{AS_GHOST}")
        );
        assert_eq!(body(&server).await, expected);
    }
    let (server, homeserver) = ok(done()).await;
    homeserver.as_user(GHOST).receipt(ROOM, "$1").await.unwrap();
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/rooms/{ROOM}/receipt/m.read/$1?{AS_GHOST}")
    );
}

#[tokio::test]
async fn to_device() {
    let (server, homeserver) = ok(done()).await;
    let messages = json!({ HOST: { "D1": { "ciphertext": {} }, "*": {} } });
    let device = homeserver.as_user(GHOST).with_device("BROWSER1");
    device
        .send_to_device("m.room.encrypted", "txn-3", &messages)
        .await
        .unwrap();
    let path = "/_matrix/client/v3/sendToDevice/m.room.encrypted/txn-3";
    assert_eq!(
        line(&server).await,
        format!("PUT {path}?{AS_GHOST}&device_id=BROWSER1")
    );
    assert_eq!(body(&server).await, json!({ "messages": messages }));
}

#[tokio::test]
async fn the_inbox() {
    let odd = json!({ "type": "m.room.encrypted" });
    let event = json!({ "type": "m.room.encrypted", "sender": HOST, "content": { "ciphertext": "SECRET" } });
    let (server, homeserver) = ok(json!({
        "next_batch": "s2",
        "to_device": { "events": [event, odd, 5] },
        "device_lists": { "changed": [HOST, "not an id"] },
        "device_one_time_keys_count": { "signed_curve25519": 7 },
        "device_unused_fallback_key_types": ["signed_curve25519"],
    }))
    .await;
    let batch = homeserver
        .as_user(GHOST)
        .with_device("BROWSER1")
        .sync_to_device(Some("s1"))
        .await
        .unwrap();
    assert_eq!(
        (
            batch.to_device.len(),
            batch.skipped,
            batch.next_batch.as_str()
        ),
        (1, 2, "s2")
    );
    assert_eq!(
        (
            batch.to_device[0].sender.as_str(),
            &batch.to_device[0].content["ciphertext"]
        ),
        (HOST, &json!("SECRET"))
    );
    assert_eq!(
        (batch.one_time_keys, batch.fallback_unused),
        (Some(7), Some(true))
    );
    assert_eq!(batch.device_lists_changed, [HOST, "not an id"]);
    assert!(!format!("{batch:?}").contains("SECRET"));

    let request = super::only(&server).await;
    assert_eq!(request.url.path(), "/_matrix/client/v3/sync");
    let query: std::collections::BTreeMap<String, String> =
        request.url.query_pairs().into_owned().collect();
    let expected = [
        ("device_id", "BROWSER1"),
        ("set_presence", "offline"),
        ("since", "s1"),
        ("timeout", "0"),
        ("user_id", GHOST),
    ];
    for (name, value) in expected {
        assert_eq!(query[name], value, "{name}");
    }
    let filter: serde_json::Value = serde_json::from_str(&query["filter"]).unwrap();
    assert_eq!(filter["room"]["rooms"], json!([]));
    assert_eq!(query.len(), 6);
}

#[tokio::test]
async fn the_inbox_tells_zero_from_nothing() {
    let (_server, homeserver) = ok(json!({ "next_batch": "s2" })).await;
    let batch = homeserver
        .as_user(GHOST)
        .with_device("B")
        .sync_to_device(None)
        .await
        .unwrap();
    assert_eq!((batch.one_time_keys, batch.fallback_unused), (None, None));
    let answer = json!({ "next_batch": "s2", "device_one_time_keys_count": {}, "device_unused_fallback_key_types": [] });
    let (server, homeserver) = ok(answer).await;
    let batch = homeserver
        .as_user(GHOST)
        .with_device("B")
        .sync_to_device(None)
        .await
        .unwrap();
    assert_eq!(
        (batch.one_time_keys, batch.fallback_unused),
        (Some(0), Some(false))
    );
    assert!(!line(&server).await.contains("since"));
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

#[tokio::test]
async fn arguments_stay_in_their_segment() {
    let (server, homeserver) = ok(json!({ "event_id": "$1" })).await;
    homeserver
        .as_user(GHOST)
        .put_state(ROOM, "a/b?c#d", "%2F..%2f", &done())
        .await
        .unwrap();
    assert_eq!(
        line(&server).await,
        format!("PUT /_matrix/client/v3/rooms/{ROOM}/state/a%2Fb%3Fc%23d/%252F..%252f?{AS_GHOST}")
    );

    let (server, homeserver) = ok(done()).await;
    homeserver
        .as_user(GHOST)
        .put_device("../%2e%2e", "x")
        .await
        .unwrap();
    assert_eq!(
        line(&server).await,
        format!("PUT /_matrix/client/v3/devices/..%2F%252e%252e?{AS_GHOST}")
    );

    let (server, homeserver) = ok(done()).await;
    homeserver
        .as_user(BOT)
        .display_name("@a%2fb:example.org")
        .await
        .unwrap();
    assert_eq!(
        line(&server).await,
        format!("GET /_matrix/client/v3/profile/@a%252fb:example.org/displayname?{AS_BOT}")
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
