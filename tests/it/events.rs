//! What becomes of each event type is decided in `docs/events.md`, and done.

#[path = "../../appservice/tests/intent/sources.rs"]
mod sources;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::world::World;

const EVENTS: &str = include_str!("../../docs/events.md");
const INSIDE: &str = include_str!("../../crypto/src/content/kinds.txt");
const CANARY: &str = "canary-in-the-clear";

/// The rules between the marks of this name, by type.
fn rules(name: &str) -> BTreeMap<&'static str, Vec<&'static str>> {
    let (_, rest) = EVENTS.split_once(&format!("<!-- {name} -->")).unwrap();
    let (section, _) = rest.split_once("<!-- end -->").unwrap();
    let rows = section.lines().filter(|line| line.contains('`'));
    rows.map(|line| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let event_type = cells.next().unwrap().trim_matches('`');
        (event_type, cells.filter(|cell| !cell.is_empty()).collect())
    })
    .collect()
}

/// All types of one of ruma's lists, its aliases and proposals included.
fn known_to_ruma(list: &str) -> BTreeSet<String> {
    let file = sources::sources_of("ruma-events").join("enums.rs");
    let text = std::fs::read_to_string(file).unwrap();
    let (_, rest) = text.split_once(&format!("    enum {list} {{\n")).unwrap();
    let (list, _) = rest.split_once("\n    }\n").unwrap();
    let named = list.lines().filter(|line| line.contains("=>"));
    let named = named.filter_map(|line| line.trim().strip_prefix('"')?.split('"').next());
    let aliases = list.split("alias = \"").skip(1);
    named
        .chain(aliases.filter_map(|rest| rest.split('"').next()))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_event_type_is_decided() {
    for (list, section, least) in [
        ("MessageLike", "message", 40),
        ("State", "state", 25),
        ("ToDevice", "device", 18),
        ("EphemeralRoom", "moment", 2),
    ] {
        let known = known_to_ruma(list);
        assert!(known.len() >= least, "{known:?}");
        let decided: BTreeSet<String> = rules(section).into_keys().map(str::to_owned).collect();
        let undecided: Vec<_> = known.difference(&decided).collect();
        assert!(
            undecided.is_empty(),
            "not decided in docs/events.md: {undecided:?}"
        );
        let unknown: Vec<_> = decided.difference(&known).collect();
        assert!(
            unknown.is_empty() || unknown == ["m.presence"],
            "in docs/events.md, but unknown to ruma: {unknown:?}"
        );
    }
    let inside: BTreeSet<&str> = INSIDE
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for event_type in known_to_ruma("MessageLike") {
        let decided = inside.contains(event_type.as_str());
        assert!(
            decided,
            "{event_type} inside of the encryption is not decided"
        );
    }
}

/// Ids that fit to a type.
fn id(event_type: &str) -> String {
    format!("$of_{event_type}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_type_of_event_in_the_room_becomes_what_is_decided() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let (messages, state) = (rules("message"), rules("state"));
    let content = json!({ "body": CANARY, "msgtype": "m.text", "redacts": "$x", "name": CANARY });
    let event = |event_type: &str| {
        json!({
            "type": event_type, "event_id": id(event_type), "room_id": chat.room,
            "sender": chat.host.user, "origin_server_ts": 1, "content": content,
        })
    };
    for event_type in messages.keys() {
        let mut event = event(event_type);
        if *event_type == "m.room.encrypted" {
            event["content"] = json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x" });
        }
        world.push(&json!({ "events": [event] })).await;
    }
    for event_type in state.keys().filter(|name| **name != "m.room.member") {
        for key in ["", &chat.host.user] {
            let mut event = event(event_type);
            event["state_key"] = json!(key);
            event["event_id"] = json!(format!("$state_{event_type}_{}", key.len()));
            world.push(&json!({ "events": [event] })).await;
        }
    }
    for event_type in rules("moment").into_keys() {
        let moment = json!({ "type": event_type, "room_id": chat.room, "content": { CANARY: 1 } });
        world.push(&json!({ "ephemeral": [moment] })).await;
    }
    // Everything before it is there when this one is.
    world.host_says(&mut chat, "the last").await;
    chat.guest.until_texts(1).await;

    let frames = chat
        .guest
        .inbox
        .iter()
        .filter(|frame| frame["type"] == "event");
    let came: BTreeMap<&str, &Value> = frames
        .map(|frame| {
            (
                frame["event"]["event_id"].as_str().unwrap(),
                &frame["event"],
            )
        })
        .collect();
    for (event_type, rule) in &messages {
        let event = came[id(event_type).as_str()];
        let named = event["unencrypted"] == true && event["content"] == json!({});
        match rule[..] {
            ["relayed"] => assert!(!named && event["type"] == *event_type, "{event}"),
            ["named"] => assert!(named && event["type"] == "m.room.message", "{event}"),
            _ => panic!("{event_type}: {rule:?}"),
        }
    }
    assert_eq!(came.len(), messages.len() + 1, "{came:?}");
    let everything = format!("{:?} {:?}", chat.guest.inbox, chat.guest.signals);
    assert!(!everything.contains(CANARY), "{everything}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_type_of_event_for_devices_becomes_what_is_decided() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let good = |event_type: &str| match event_type {
        "m.room_key.withheld" => json!({
            "algorithm": "m.megolm.v1.aes-sha2", "code": "m.unverified", "sender_key": "k",
            "room_id": chat.room, "session_id": "s",
        }),
        _ => json!({
            "algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": "k",
            "ciphertext": { "k": { "type": 0, "body": "b" } },
        }),
    };
    let rules: BTreeMap<&str, (Value, Vec<&str>)> = rules("device")
        .into_iter()
        .map(|(event_type, rule)| (event_type, (good(event_type), rule)))
        .collect();
    for (event_type, (content, rule)) in &rules {
        let messages = json!({ "HOSTDEVICE": content });
        let frame = json!({ "type": "to_device", "event_type": event_type, "messages": messages });
        let answer = chat.guest.send_numbered(frame).await;
        let code = answer["error"]["code"].as_str();
        match rule[1] {
            "sent" => assert_eq!(code, None, "{event_type}"),
            "refused" => assert_eq!(code, Some("bad_request"), "{event_type}"),
            rule => panic!("{event_type}: {rule}"),
        }
        let event = json!({
            "type": event_type, "sender": chat.host.user, "content": content,
            "to_user_id": chat.guest.ghost, "to_device_id": "GUESTDEVICE",
        });
        world.push(&json!({ "to_device": [event] })).await;
    }
    world.host_says(&mut chat, "the last").await;
    chat.guest.until_texts(1).await;
    let frames = chat.guest.inbox.iter();
    let came: Vec<&Value> = frames
        .filter(|frame| frame["type"] == "to_device")
        .map(|frame| &frame["event"])
        .collect();
    // The last of them is the key of "the last".
    let relayed = rules.iter().filter(|(_, (_, rule))| rule[0] == "relayed");
    let relayed: Vec<&str> = relayed.map(|(event_type, _)| *event_type).collect();
    assert_eq!(relayed, ["m.room.encrypted"]);
    assert_eq!(came.len(), relayed.len() + 1, "{came:?}");
    assert!(came.iter().all(|event| event["type"] == "m.room.encrypted"));
}
