//! Rooms and their state.

use serde_json::json;

use super::{AS_BOT, AS_GHOST, BOT, GHOST, HOST, ROOM, body, done, line, ok};

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
