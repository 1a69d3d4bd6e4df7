//! The homeserver calls that a guest can cause, or anybody else, form a closed list.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::homeserver::call::Call;
use crate::homeserver::listed::assert_listed;
use crate::homeserver::state::BOT;
use crate::homeserver::until;
use crate::world::{Chat, World};

/// A whole life of a chat, with everything a page can ask for; and how many calls there were before
/// the guest came.
async fn live(world: &World) -> (Chat, usize) {
    let mut host = world.host("Alice").await;
    let token = world.link(&mut host).await;
    // What the host asks of the bot causes no other calls.
    for command in [
        "list",
        "invite Ben --passcode",
        "renew 2",
        "revoke 3",
        "help",
        "unblock 1",
    ] {
        world.command(&mut host, command).await;
    }
    world.until_idle().await;
    let before = world.homeserver.calls().len();
    let mut chat = world.chat_over(host, token).await;
    chat.host.accept(&world.homeserver, &chat.room);
    world.deliver().await;
    chat.guest.until_frame("host", "joined", true.into()).await;
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
    let inbox = chat.guest.inbox.iter();
    let mut delivered = inbox.filter(|frame| frame["type"] == "delivered");
    let own = delivered.next().unwrap()["event_id"].clone();
    for (event, right) in [(json!("../../admin"), false), (own, true)] {
        let frame = json!({ "type": "redact", "event_id": event });
        assert_eq!(chat.guest.send_numbered(frame).await["ok"], right);
    }
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
    (chat, before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_guest_causes_is_on_the_list_and_about_their_own_chat() {
    let world = World::start().await;
    let (chat, before) = live(&world).await;
    let calls = world.homeserver.calls();
    for call in &calls {
        assert_listed(call);
        assert_about_this_chat(call, &chat);
    }
    let mut seen = BTreeSet::new();
    for call in calls.iter().skip(before) {
        let causes = &assert_listed(call).causes;
        let is_guests = causes.contains("guest");
        assert!(is_guests || causes.contains("itself"), "{call:?}");
        if is_guests {
            seen.insert(call.name);
        }
    }
    for name in [
        "register",
        "create_room",
        "put_state",
        "keys_claim",
        "keys_query",
        "upload_keys",
        "send_to_device",
        "send",
        "redact",
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
        // The bot looks whether its own keys are there.
        "keys_query" if call.user() == BOT => {
            assert_eq!(users("device_keys"), BTreeSet::from([BOT.to_owned()]));
        }
        "put_device" if call.user() == BOT => assert!(call.path[2].starts_with("VESTIBULE")),
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
        "redact" => assert_eq!(call.path[2], chat.room, "{call:?}"),
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
