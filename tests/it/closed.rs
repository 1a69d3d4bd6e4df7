//! The homeserver calls that a guest can cause, or anybody else, form a closed list.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::homeserver::call::Call;
use crate::homeserver::state::{BOT, GHOSTS};
use crate::homeserver::until;
use crate::world::{Chat, World};

/// In whose name each call is made, and whether it names a device.
const BY_BOT: [&str; 16] = [
    "whoami",
    "make_wake_room",
    "wake",
    "account_data",
    "set_account_data",
    "ping",
    "set_name",
    "register",
    "create_room",
    "leave",
    "join",
    "get_state",
    "get_state_event",
    "get_name",
    "joined_rooms",
    "send",
];
const BY_GHOST: [&str; 18] = [
    "set_name",
    "put_device",
    "upload_cross_signing",
    "upload_signatures",
    "join",
    "leave",
    "put_state",
    "get_state_event",
    "get_state",
    "delete_device",
    "deactivate",
    "joined_rooms",
    "typing",
    "receipt",
    "set_avatar",
    "whoami",
    "set_presence",
    "get_presence",
];
const BY_GHOSTS_DEVICE: [&str; 6] = [
    "upload_keys",
    "sync",
    "keys_query",
    "keys_claim",
    "send_to_device",
    "send",
];

/// A whole life of a chat, with everything a page can ask for.
async fn live(world: &World) -> Chat {
    let mut chat = world.open_chat("Alice").await;
    // What the host asks of the bot causes no other calls.
    for command in [
        "list",
        "invite Ben --passcode",
        "renew 2",
        "revoke 3",
        "help",
        "unblock 1",
    ] {
        world.command(&mut chat.host, command).await;
    }
    for text in ["one", "two"] {
        let n = chat.guest.say(text).await;
        chat.guest.until_delivered(n).await;
        world.host_says(&mut chat, text).await;
    }
    chat.guest.ask(json!({ "type": "keys_query" })).await;
    chat.guest
        .ask(json!({ "type": "keys_claim", "devices": ["HOSTDEVICE", "../../admin", "*"] }))
        .await;
    let upload = chat
        .guest
        .machine
        .one_time_keys(0, false, u64::MAX / 2)
        .unwrap()
        .output
        .unwrap();
    let frame = json!({ "type": "keys_upload", "one_time_keys": upload.one_time_keys, "fallback_keys": upload.fallback_keys });
    assert_eq!(chat.guest.ask(frame).await["ok"], true);
    let read = chat.host.say(&world.homeserver, &chat.room, "three");
    world.deliver().await;
    chat.guest.until_texts(3).await;
    for frame in [
        json!({ "type": "typing", "typing": true }),
        json!({ "type": "read", "event_id": "../../admin" }),
        json!({ "type": "read", "event_id": read }),
    ] {
        chat.guest.socket().send(&frame).await;
    }
    until("both are shown", || {
        let shown = |name| world.homeserver.count(name) > 0;
        (shown("typing") && shown("receipt")).then_some(())
    })
    .await;
    chat.guest.disconnect();
    chat.guest.open(&world.bridge).await;
    chat.guest.until_texts(3).await;
    chat.guest.socket().send(&json!({ "type": "leave" })).await;
    chat.guest.until_ended().await;
    world.until_idle().await;
    chat
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_on_the_list_and_in_the_name_of_bot_or_ghost() {
    let world = World::start().await;
    let chat = live(&world).await;
    let mut seen = BTreeSet::new();
    for call in world.homeserver.calls() {
        let user = call.query.get("user_id").map(String::as_str);
        let device = call.query.get("device_id").map(String::as_str);
        let listed = match (user, device) {
            // Registering is done in the appservice's own name.
            (None, None) => call.name == "register",
            (Some(BOT), None) => BY_BOT.contains(&call.name),
            (Some(user), None) => user.starts_with(GHOSTS) && BY_GHOST.contains(&call.name),
            (Some(user), Some("GUESTDEVICE")) => {
                user.starts_with(GHOSTS) && BY_GHOSTS_DEVICE.contains(&call.name)
            }
            _ => false,
        };
        assert!(listed, "{call:?}");
        assert_about_this_chat(&call, &chat);
        seen.insert(call.name);
    }
    for name in [
        "keys_claim",
        "keys_query",
        "upload_keys",
        "send_to_device",
        "send",
        "typing",
        "receipt",
        "leave",
        "deactivate",
    ] {
        assert!(seen.contains(name), "{name} is among what was looked at");
    }
}

/// Whatever a page says, a call is about its own room and its own host.
fn assert_about_this_chat(call: &Call, chat: &Chat) {
    let (host, ghost) = (&chat.host.user, &chat.guest.ghost);
    let users = |field: &str| -> BTreeSet<String> {
        call.body[field]
            .as_object()
            .into_iter()
            .flat_map(|users| users.keys().cloned())
            .collect()
    };
    let host_alone = BTreeSet::from([host.clone()]);
    match call.name {
        "keys_query" => assert_eq!(users("device_keys"), host_alone, "{call:?}"),
        "keys_claim" => {
            assert_eq!(users("one_time_keys"), host_alone, "{call:?}");
            let algorithms: BTreeMap<String, Value> =
                serde_json::from_value(call.body["one_time_keys"][host].clone()).unwrap();
            assert!(
                algorithms
                    .values()
                    .all(|algorithm| algorithm == "signed_curve25519"),
                "{call:?}"
            );
        }
        "send_to_device" => assert_eq!(users("messages"), host_alone, "{call:?}"),
        // Which portal a room was made for.
        "get_state_event" if call.user() == BOT => assert_eq!(call.path[4], "m.room.create"),
        "send" | "put_state" | "get_state_event" => {
            let by_ghost = call.user() == ghost;
            let room = if by_ghost {
                &chat.room
            } else {
                &chat.host.management
            };
            assert_eq!(call.path[2], *room, "{call:?}");
            let expected = match (call.name, by_ghost) {
                ("send", true) => vec!["m.room.encrypted"],
                ("send", false) => vec!["m.room.message"],
                _ => vec!["m.room.member", "m.room.power_levels"],
            };
            assert!(expected.contains(&call.path[4].as_str()), "{call:?}");
        }
        "typing" => {
            assert_eq!(call.path[2], chat.room, "{call:?}");
            assert_eq!(call.path[4], *ghost, "{call:?}");
        }
        "receipt" => {
            assert_eq!(call.path[2], chat.room, "{call:?}");
            assert!(call.path[5].starts_with('$'), "{call:?}");
        }
        "put_device" | "delete_device" => assert_eq!(call.path[2], "GUESTDEVICE"),
        "get_name" => assert_eq!(call.path[2], *host),
        "set_name" => assert_eq!(call.path[2], call.user()),
        _ => {}
    }
}
