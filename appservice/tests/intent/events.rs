//! Events, typing, receipts and to-device messages.

use std::time::Duration;

use serde_json::json;

use super::{AS_GHOST, GHOST, HOST, ROOM, body, done, line, ok, only};

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
        .sync_device(Some("s1"), None, 7)
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

    let request = only(&server).await;
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
    assert_eq!(
        filter["presence"]["not_senders"],
        json!(["@7:unlike.invalid"])
    );
    assert_eq!(query.len(), 6);
}

#[tokio::test]
async fn the_inbox_and_a_room() {
    let event = |id: &str| json!({ "type": "m.room.encrypted", "event_id": id, "sender": HOST, "content": {} });
    let timeline =
        json!({ "events": [event("$1"), 5, event("$2")], "limited": true, "prev_batch": "p1" });
    let receipt =
        json!({ "type": "m.receipt", "content": { "$1": { "m.read": { HOST: { "ts": 5 } } } } });
    for membership in ["join", "leave"] {
        let (server, homeserver) = ok(json!({
            "next_batch": "s2",
            "rooms": { (membership): { ROOM: { "timeline": timeline, "ephemeral": { "events": [receipt, {}] } }, "!other": { "timeline": timeline } } },
        }))
        .await;
        let device = homeserver.as_user(GHOST).with_device("BROWSER1");
        let batch = device.sync_device(None, Some(ROOM), 1).await.unwrap();
        let ids: Vec<_> = batch
            .events
            .iter()
            .map(|event| event.event_id.as_str())
            .collect();
        assert_eq!(ids, ["$1", "$2"]);
        assert_eq!(batch.events[0].room_id, ROOM);
        assert_eq!((batch.skipped, batch.earlier.as_deref()), (2, Some("p1")));
        assert_eq!(batch.receipts.len(), 1);
        assert_eq!(batch.receipts[0].content, receipt["content"]);
        let request = only(&server).await;
        let filter = request
            .url
            .query_pairs()
            .find(|(name, _)| name == "filter")
            .unwrap()
            .1;
        let filter: serde_json::Value = serde_json::from_str(&filter).unwrap();
        assert_eq!(filter["room"]["rooms"], json!([ROOM]));
        assert_eq!(filter["room"]["include_leave"], true);
        assert_eq!(filter["room"]["timeline"]["not_senders"], json!([GHOST]));
        assert_eq!(filter["room"]["state"]["types"], json!([]));
        assert_eq!(filter["room"]["ephemeral"]["types"], json!(["m.receipt"]));
    }
    let whole = json!({ "next_batch": "s2", "rooms": { "join": { ROOM: { "timeline": { "events": [], "prev_batch": "p1" } } } } });
    let (_server, homeserver) = ok(whole).await;
    let device = homeserver.as_user(GHOST).with_device("BROWSER1");
    assert_eq!(
        device
            .sync_device(None, Some(ROOM), 1)
            .await
            .unwrap()
            .earlier,
        None
    );
}

#[tokio::test]
async fn the_past_of_a_room() {
    let event = json!({ "type": "m.room.encrypted", "event_id": "$1", "sender": HOST, "room_id": ROOM, "content": {} });
    let (server, homeserver) =
        ok(json!({ "start": "p1", "end": "p2", "chunk": [event, {}] })).await;
    let past = homeserver.as_user(GHOST).past(ROOM, "p1").await.unwrap();
    assert_eq!(
        (past.events.len(), past.skipped, past.earlier.as_deref()),
        (1, 1, Some("p2"))
    );
    let line = line(&server).await;
    assert!(
        line.starts_with(&format!("GET /_matrix/client/v3/rooms/{ROOM}/messages?")),
        "{line}"
    );
    assert!(line.contains("from=p1") && line.contains("dir=b"), "{line}");
}

#[tokio::test]
async fn account_data() {
    let content = json!({ "room_id": ROOM });
    let (server, homeserver) = ok(content.clone()).await;
    let bot = homeserver.as_user(HOST);
    assert_eq!(
        bot.account_data("org.vestibule.wake").await.unwrap(),
        Some(content.clone())
    );
    let path = format!("/_matrix/client/v3/user/{HOST}/account_data/org.vestibule.wake");
    assert!(line(&server).await.starts_with(&format!("GET {path}?")));
    let (server, homeserver) = ok(done()).await;
    homeserver
        .as_user(HOST)
        .set_account_data("org.vestibule.wake", &content)
        .await
        .unwrap();
    assert!(line(&server).await.starts_with(&format!("PUT {path}?")));
    assert_eq!(body(&server).await, content);
}

#[tokio::test]
async fn the_inbox_tells_zero_from_nothing() {
    let (_server, homeserver) = ok(json!({ "next_batch": "s2" })).await;
    let batch = homeserver
        .as_user(GHOST)
        .with_device("B")
        .sync_device(None, None, 7)
        .await
        .unwrap();
    assert_eq!((batch.one_time_keys, batch.fallback_unused), (None, None));
    let answer = json!({ "next_batch": "s2", "device_one_time_keys_count": {}, "device_unused_fallback_key_types": [] });
    let (server, homeserver) = ok(answer).await;
    let batch = homeserver
        .as_user(GHOST)
        .with_device("B")
        .sync_device(None, None, 7)
        .await
        .unwrap();
    assert_eq!(
        (batch.one_time_keys, batch.fallback_unused),
        (Some(0), Some(false))
    );
    assert!(!line(&server).await.contains("since"));
}
