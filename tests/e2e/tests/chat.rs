//! The main thing: a guest with only a browser and a host with a client of their own talk.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use vestibule_e2e::{Meeting, SdkHost, lab, numbered};
use vestibule_lab::{Api, Host, HostEvent, Lab};

/// What matrix-sdk says of a device that its owner signed, of an owner whom nobody verified yet.
const SIGNED_BY_OWNER: &str = "Unverified(UnverifiedIdentity)";

#[test]
fn a_matrix_sdk_host_and_a_guest_talk() {
    let mut lab = lab().unwrap();
    let account = lab.account("alice", "Alice").unwrap();
    let host = SdkHost::login(&lab.homeserver(), &account, true).unwrap();
    let trusts = talk(&mut lab, host);
    for trust in trusts {
        assert_eq!(trust.as_deref(), Some(SIGNED_BY_OWNER));
    }
}

#[test]
fn a_matrix_nio_host_and_a_guest_talk() {
    let mut lab = lab().unwrap();
    let host = lab.nio_host("alice", "Alice").unwrap();
    talk(&mut lab, host);
}

/// The whole of it; how the host's client judged the device behind each message of the guest.
fn talk(lab: &mut Lab, host: impl Host) -> Vec<Option<String>> {
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();
    let invite = meeting.invite.clone();
    assert_eq!(invite.display_name, "Maya (Guest)");
    assert!(invite.is_direct, "{invite:?}");
    assert!(invite.inviter.starts_with("@_vestibule_"), "{invite:?}");

    let from_guest = numbered("from the guest", 10);
    for text in &from_guest {
        meeting.guest.say(text).unwrap();
    }
    let heard = meeting.host_hears(10).unwrap();
    let bodies: Vec<&str> = heard.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(bodies, from_guest);

    let from_host = numbered("from the host", 10);
    for text in &from_host {
        meeting.host_says(text).unwrap();
    }
    meeting.guest.wait_for_texts("host", &from_host).unwrap();
    assert_eq!(meeting.guest.texts("me").unwrap(), from_guest);
    meeting.guest.wait_delivered().unwrap();
    assert_nothing_more(&mut meeting);
    assert_eq!(meeting.guest.complaints().unwrap(), Vec::<String>::new());

    assert_sealed(lab, &mut meeting);
    heard.into_iter().map(|message| message.trust).collect()
}

/// A duplicate, or something that can't be decrypted, would come after the rest.
fn assert_nothing_more<H: Host>(meeting: &mut Meeting<H>) {
    std::thread::sleep(Duration::from_secs(1));
    let own = meeting.host.user_id().to_owned();
    let room = meeting.room().to_owned();
    for event in meeting.host.events().drain() {
        match event {
            HostEvent::Message(message) if message.room_id == room && message.sender != own => {
                panic!("one more: {message:?}")
            }
            HostEvent::Undecryptable { .. } => panic!("{event:?}"),
            _ => {}
        }
    }
}

/// Nobody rules the room, and the homeserver refuses both whatever is not a message.
fn assert_sealed<H: Host>(lab: &mut Lab, meeting: &mut Meeting<H>) {
    let stranger = lab.account("mallory", "Mallory").unwrap();
    let room = meeting.room().to_owned();
    let ghost = meeting.invite.inviter.clone();
    let own = meeting.host.user_id().to_owned();
    let base = format!("/_matrix/client/v3/rooms/{room}");

    let (status, levels) = meeting
        .host
        .request("GET", &format!("{base}/state/m.room.power_levels/"), None)
        .unwrap();
    assert_eq!(status, 200, "{levels}");
    let users = levels.get("users").and_then(Value::as_object).unwrap();
    assert!(
        users.values().all(|level| level.as_i64().unwrap() < 100),
        "{levels}"
    );
    assert_eq!(levels.get("users_default"), Some(&json!(0)), "{levels}");
    // From version 12 on a room's creator stands above all levels; so it must be gone.
    let (_, create) = meeting
        .host
        .request("GET", &format!("{base}/state/m.room.create/"), None)
        .unwrap();
    assert!(create.get("additional_creators").is_none(), "{create}");
    let (_, members) = meeting
        .host
        .request("GET", &format!("{base}/joined_members"), None)
        .unwrap();
    let mut joined: Vec<&String> = members
        .get("joined")
        .and_then(Value::as_object)
        .unwrap()
        .keys()
        .collect();
    joined.sort();
    assert_eq!(joined, [&ghost, &own], "{members}");

    let bridge = lab.as_appservice();
    for (what, method, path, body) in forbidden(&base, &stranger.user_id) {
        let (status, said) = meeting.host.request(method, &path, Some(&body)).unwrap();
        assert_eq!(status, 403, "the host may {what}: {said}");
        let answer = as_ghost(&bridge, &ghost, method, &path, &body);
        assert_eq!(answer.0, 403, "the guest may {what}: {}", answer.1);
    }
    // The measure is good only if the same calls are possible at all: a message is.
    let path = format!("{base}/send/m.room.encrypted/control");
    let answer = as_ghost(&bridge, &ghost, "PUT", &path, &json!({"algorithm": "none"}));
    assert_eq!(answer.0, 200, "{}", answer.1);
}

fn as_ghost(bridge: &Api, ghost: &str, method: &str, path: &str, body: &Value) -> (u16, String) {
    let answer = bridge
        .call(method, &format!("{path}?user_id={ghost}"), Some(body))
        .unwrap();
    (answer.status, answer.text)
}

type Try = (&'static str, &'static str, String, Value);

fn forbidden(base: &str, stranger: &str) -> Vec<Try> {
    let send = |event: &str| format!("{base}/send/{event}/seal-{event}");
    let state = |event: &str| format!("{base}/state/{event}/");
    let call = json!({"call_id": "1", "version": "1", "lifetime": 1000, "offer": {}});
    vec![
        (
            "invite a third",
            "POST",
            format!("{base}/invite"),
            json!({"user_id": stranger}),
        ),
        (
            "make a third a member",
            "PUT",
            format!("{base}/state/m.room.member/{stranger}"),
            json!({"membership": "invite"}),
        ),
        (
            "send a sticker",
            "PUT",
            send("m.sticker"),
            json!({"body": "x", "info": {}, "url": "mxc://a/b"}),
        ),
        ("call", "PUT", send("m.call.invite"), call),
        ("react", "PUT", send("m.reaction"), json!({})),
        (
            "name the room",
            "PUT",
            state("m.room.name"),
            json!({"name": "x"}),
        ),
        (
            "open the room",
            "PUT",
            state("m.room.join_rules"),
            json!({"join_rule": "public"}),
        ),
        (
            "raise levels",
            "PUT",
            state("m.room.power_levels"),
            json!({"users_default": 100}),
        ),
        (
            "start a group call",
            "PUT",
            state("org.matrix.msc3401.call.member"),
            json!({}),
        ),
        (
            "upgrade the room",
            "POST",
            format!("{base}/upgrade"),
            json!({"new_version": "12"}),
        ),
    ]
}
