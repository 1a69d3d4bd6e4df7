//! Figures to look at; the run fails only where there is nothing to measure.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::fs;
use std::time::{Instant, SystemTime};

use serde_json::json;
use vestibule_e2e::{Guest, lab_with};
use vestibule_lab::{Host, HostEvent, Lab, Options, PATIENCE};

const MESSAGES: usize = 20;

#[test]
fn measures() {
    // More than a person types, so the limit on a guest's rate would be what is measured.
    let environment = vec![("VESTIBULE__GUESTS__BURST", "100")];
    let mut lab = lab_with(&Options {
        environment,
        ..Options::default()
    })
    .unwrap();
    let idle_kib = lab.bridge().unwrap().resident_kib().unwrap();
    // Not matrix-sdk, which sleeps between two syncs that follow each other closely.
    let mut host = lab.nio_host("alice", "Alice").unwrap();
    let mut friend = lab.nio_host("bob", "Bob").unwrap();

    let (_, link) = host.ask_for_link(Lab::BOT, "Maya").unwrap();
    let guest = Guest::open(&link).unwrap();
    let pressed = Instant::now();
    guest.start_chat("Maya").unwrap();
    guest.wait_open().unwrap();
    let ready_ms = pressed.elapsed().as_millis();
    let room = host.next_invite().unwrap().room_id;
    host.join(&room).unwrap();
    guest.watch().unwrap();

    // The first message brings the room key; the others are the rule.
    host.send(&room, "warm").unwrap();
    guest.seen_at("warm").unwrap();
    guest.say("warm too").unwrap();
    host.next_message(&room).unwrap();

    let mut to_page = Vec::new();
    let mut to_host = Vec::new();
    for number in 0..MESSAGES {
        let text = format!("to the page {number}");
        let sent = now_ms();
        host.send(&room, &text).unwrap();
        to_page.push(guest.seen_at(&text).unwrap().saturating_sub(sent));
        let text = format!("to the host {number}");
        guest.say(&text).unwrap();
        let heard = host.next_message(&room).unwrap();
        assert_eq!(heard.body, text);
        to_host.push(heard.seen_ms.saturating_sub(guest.seen_at(&text).unwrap()));
    }
    let with_chat_kib = lab.bridge().unwrap().resident_kib().unwrap();

    // The same host to a friend with a client of the ordinary kind, on the same homeserver.
    let native_room = encrypted_room(&mut host, &mut friend);
    host.send(&native_room, "warm").unwrap();
    friend.next_message(&native_room).unwrap();
    let mut native = Vec::new();
    for number in 0..MESSAGES {
        let sent = now_ms();
        host.send(&native_room, &format!("to the friend {number}"))
            .unwrap();
        native.push(
            friend
                .next_message(&native_room)
                .unwrap()
                .seen_ms
                .saturating_sub(sent),
        );
    }

    let figures = json!({
        "start_to_ready_ms": ready_ms,
        "host_to_page_ms": spread(to_page),
        "page_to_host_ms": spread(to_host),
        "host_to_native_client_ms": spread(native),
        "bridge_resident_kib": {"idle": idle_kib, "with_one_chat": with_chat_kib},
    });
    println!("{figures:#}");
    // Beside the build: target/measures.json.
    let binary = std::env::current_exe().unwrap();
    let target = binary.ancestors().nth(3).unwrap();
    fs::write(target.join("measures.json"), format!("{figures:#}\n")).unwrap();
}

fn encrypted_room(host: &mut impl Host, friend: &mut impl Host) -> String {
    let encryption = json!({
        "type": "m.room.encryption", "state_key": "",
        "content": {"algorithm": "m.megolm.v1.aes-sha2"},
    });
    let body = json!({
        "preset": "private_chat", "is_direct": true,
        "invite": [friend.user_id()], "initial_state": [encryption],
    });
    let made = host
        .request("POST", "/_matrix/client/v3/createRoom", Some(&body))
        .unwrap()
        .1;
    let room = made.get("room_id").unwrap().as_str().unwrap().to_owned();
    let invite = friend.next_invite().unwrap();
    assert_eq!(invite.room_id, room);
    friend.join(&room).unwrap();
    let member = friend.user_id().to_owned();
    let joined = |event: &HostEvent| match event {
        HostEvent::Member {
            room_id,
            member: who,
            membership,
        } => (*room_id == room && *who == member && membership == "join").then_some(()),
        _ => None,
    };
    host.events()
        .wait("the friend to come", PATIENCE, joined)
        .unwrap();
    room
}

fn spread(mut figures: Vec<u64>) -> serde_json::Value {
    figures.sort_unstable();
    let at = |share: usize| figures.get((figures.len() - 1) * share / 100);
    json!({"p50": at(50), "p90": at(90), "max": at(100)})
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
