//! A homeserver that is away or fails costs time, and nothing else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use vestibule_e2e::{Call, Fault, Meeting, Proxy, bridge_binary, join_body};
use vestibule_lab::{Host, HostEvent, Lab, NioHost, Options, PATIENCE, Venv, free_port, wait_for};

#[test]
fn a_homeserver_that_is_down_at_the_start_is_waited_for() {
    let venv = Venv::shared().unwrap();
    let mut lab = Lab::new(venv, &bridge_binary().unwrap(), &Options::default()).unwrap();
    let bridge = lab.start_bridge().unwrap();
    wait_for("the homeserver to be missed", PATIENCE, || {
        let ready = bridge.ops("ready")?;
        let said = ready.status == 503 && ready.text.contains("homeserver");
        Ok(said && bridge.log()?.contains("homeserver"))
    })
    .unwrap();
    std::thread::sleep(Duration::from_secs(2));
    bridge.check().unwrap();
    assert_eq!(bridge.ops("ready").unwrap().status, 503);

    lab.start_synapse().unwrap();
    lab.bridge().unwrap().wait_ready(PATIENCE).unwrap();
    let host = lab.nio_host("alice", "Alice").unwrap();
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();
    meeting.guest.say("hello").unwrap();
    assert_eq!(
        meeting.host_hears(1).unwrap().first().unwrap().body,
        "hello"
    );
}

/// Every call that a join makes, in its order.
fn steps() -> [Call; 12] {
    [
        Call::new("POST", "/register"),
        Call::new("PUT", "/displayname"),
        Call::new("PUT", "/devices/"),
        Call::new("POST", "/keys/upload"),
        Call::new("POST", "/keys/device_signing/upload"),
        Call::new("POST", "/keys/signatures/upload"),
        Call::new("POST", "/createRoom"),
        Call::new("POST", "/join"),
        Call::new("POST", "/leave"),
        Call::new("PUT", "/state/m.room.member/"),
        Call::new("PUT", "/state/m.room.power_levels"),
        Call::new("GET", "/state"),
    ]
}

#[test]
fn a_join_survives_an_error_at_each_step() {
    let venv = Venv::shared().unwrap();
    let port = free_port().unwrap();
    let faults = Proxy::start(&format!("127.0.0.1:{port}"), None).unwrap();
    let options = Options {
        homeserver_port: Some(port),
        homeserver_address: Some(faults.address().to_owned()),
        // As many links and chats as this takes.
        environment: vec![
            ("VESTIBULE__GUESTS__OPEN_LINKS", "100"),
            ("VESTIBULE__GUESTS__LINKS_A_DAY", "100"),
            ("VESTIBULE__GUESTS__OPEN_CHATS", "100"),
        ],
        ..Options::default()
    };
    let mut lab = Lab::start(venv, &bridge_binary().unwrap(), &options).unwrap();
    let mut host = lab.nio_host("alice", "Alice").unwrap();
    let (management, link) = host.ask_for_link(Lab::BOT, "").unwrap();
    let mut link = Some(link);

    for fault in [Fault::Refuse, Fault::Lose] {
        for call in steps() {
            let link = link
                .take()
                .unwrap_or_else(|| host.ask_again(&management, Lab::BOT, "").unwrap());
            let token = link.split_once('#').unwrap().1;
            faults.plan(call, fault, 1);
            let ghost = join(&lab, token);
            let invite = host
                .next_invite()
                .unwrap_or_else(|e| panic!("{call:?} {fault:?}: {e:#}"));
            assert_eq!(invite.inviter, ghost, "{call:?} {fault:?}");
            wait_until_sealed(&mut host, &invite.room_id);
            assert!(
                !faults.is_pending(),
                "a join does not make the call {call:?}"
            );
            assert_eq!(
                rooms_of(&lab, &ghost),
                [invite.room_id],
                "{call:?} {fault:?}"
            );
        }
    }

    // No second invitation, and the bot is left in no room but the host's.
    std::thread::sleep(Duration::from_secs(2));
    let more = host.events().drain();
    assert!(
        !more
            .iter()
            .any(|event| matches!(event, HostEvent::Invite(_))),
        "{more:?}"
    );
    // Beside the one in which it wakes the homeserver, which nobody else is in.
    let bot = Lab::BOT;
    let path =
        format!("/_matrix/client/v3/user/{bot}/account_data/org.vestibule.wake?user_id={bot}");
    let wake = lab.as_appservice().call("GET", &path, None).unwrap().json();
    let mut rooms = rooms_of(&lab, bot);
    rooms.retain(|room| wake.get("room_id") != Some(&json!(room)));
    assert_eq!(rooms, [management]);
}

/// Joins without a browser; the ghost that stands for the guest.
fn join(lab: &Lab, token: &str) -> String {
    let guests = lab.guests();
    let looked = guests
        .call("POST", "/api/v1/link", Some(&json!({"token": token})))
        .unwrap();
    let ghost = looked
        .json()
        .get("ghost")
        .and_then(Value::as_str)
        .unwrap()
        .to_owned();
    let body = join_body(token, &ghost, "DEVICE", "Maya");
    let joined = guests.call("POST", "/api/v1/join", Some(&body)).unwrap();
    assert_eq!(joined.status, 200, "{}", joined.text);
    ghost
}

fn wait_until_sealed(host: &mut NioHost, room: &str) {
    host.join(room).unwrap();
    let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.power_levels/");
    wait_for("the seal", PATIENCE, || {
        let (_, levels) = host.request("GET", &path, None)?;
        let users = levels.get("users").and_then(Value::as_object);
        Ok(users.is_some_and(|users| users.values().all(|level| *level != json!(100))))
    })
    .unwrap();
}

/// The rooms that a ghost, or the bot, is in.
fn rooms_of(lab: &Lab, user: &str) -> Vec<String> {
    let path = format!("/_matrix/client/v3/joined_rooms?user_id={user}");
    let answer = lab.as_appservice().call("GET", &path, None).unwrap();
    serde_json::from_value(answer.json().get("joined_rooms").unwrap().clone()).unwrap()
}
