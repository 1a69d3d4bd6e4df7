//! What the homeserver's admin can do to a chat, and what whoever has the bridge's token can: each
//! leads to a defined end, or is set right.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use vestibule_e2e::{Meeting, lab};
use vestibule_lab::{Api, Host, HostEvent, Lab, NioHost, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);

fn ok(api: &Api, method: &str, path: &str, body: &Value) -> Value {
    let answer = api.call(method, path, Some(body)).unwrap();
    assert!(
        answer.is_success(),
        "{method} {path}: {} {}",
        answer.status,
        answer.text
    );
    answer.json()
}

/// Writes to the bot, and waits until it says something with this in it.
fn command(meeting: &mut Meeting<NioHost>, text: &str, part: &str) -> String {
    let room = meeting.management_room.clone();
    meeting.host.send(&room, text).unwrap();
    told(meeting, part)
}

/// Waits until the bot says something with this in it.
fn told(meeting: &mut Meeting<NioHost>, part: &str) -> String {
    let room = meeting.management_room.clone();
    let said = |event: &HostEvent| match event {
        HostEvent::Message(message) if message.room_id == room && message.sender == Lab::BOT => {
            let body = &message.body;
            body.contains(part).then(|| body.clone())
        }
        _ => None,
    };
    meeting.host.events().wait(part, PATIENCE, said).unwrap()
}

/// The same host and the same browser meet in another chat.
fn meet_again(meeting: &mut Meeting<NioHost>) {
    let words = command(meeting, "invite Maya", "/#");
    let mut words = words.split_whitespace();
    let link = words.find(|word| word.contains("/#")).unwrap();
    // To the browser a link differs from another in its fragment only, which loads nothing.
    meeting.guest.go("about:blank").unwrap();
    meeting.guest.go(link).unwrap();
    meeting.guest.start_chat("Maya").unwrap();
    meeting.invite = meeting.host.next_invite().unwrap();
    let room = meeting.room().to_owned();
    meeting.host.join(&room).unwrap();
    meeting.guest.wait_open().unwrap();
}

fn ended(meeting: &Meeting<NioHost>, part: &str) {
    meeting.guest.wait_screen("ended").unwrap();
    let page = meeting.guest.text().unwrap();
    assert!(page.contains(part), "{page}");
}

#[test]
fn a_guests_profile_is_put_back_whoever_changes_it() {
    let mut lab = lab().unwrap();
    let admin = lab.synapse().unwrap().admin().unwrap();
    let host = lab.nio_host("alice", "Alice").unwrap();
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();
    let bridge = lab.as_appservice();
    let (room, ghost) = (meeting.room().to_owned(), meeting.invite.inviter.clone());
    let profile = format!("/_matrix/client/v3/profile/{ghost}");
    let presence = format!("/_matrix/client/v3/presence/{ghost}/status");
    wait_for("the guest to be online", PATIENCE, || {
        let (_, shown) = meeting.host.request("GET", &presence, None)?;
        Ok(shown.get("presence") == Some(&json!("online")))
    })
    .unwrap();
    let member = format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{ghost}");
    let as_ghost = format!("?user_id={ghost}");

    let boss = json!({ "displayname": "The boss" });
    let name = format!("{profile}/displayname{as_ghost}");
    let avatar = format!("{profile}/avatar_url{as_ghost}");
    let in_room = format!("{member}{as_ghost}");
    let by_admin = format!("/_synapse/admin/v2/users/{ghost}");
    let changes: [(&str, &Api, &str, Value); 4] = [
        ("its name", &bridge, &name, boss.clone()),
        (
            "its picture",
            &bridge,
            &avatar,
            json!({ "avatar_url": "mxc://example.org/boss" }),
        ),
        (
            "how the room shows it",
            &bridge,
            &in_room,
            json!({ "membership": "join", "displayname": "The boss" }),
        ),
        ("its name, by an admin", &admin, &by_admin, boss),
    ];
    for (what, api, path, body) in changes {
        ok(api, "PUT", path, &body);
        wait_for(what, PATIENCE, || {
            let (_, shown) = meeting.host.request("GET", &member, None)?;
            let (_, known) = meeting.host.request("GET", &profile, None)?;
            let name = |found: &Value| found.get("displayname") == Some(&json!("Maya (Guest)"));
            let bare = |found: &Value| found.get("avatar_url").is_none_or(|url| *url == json!(""));
            let bare = bare(&shown) || shown.get("avatar_url") == Some(&Value::Null);
            Ok(name(&shown) && name(&known) && bare && known.get("avatar_url").is_none())
        })
        .unwrap();
    }
    // What nobody encrypted is passed on to nobody, and the host is told once.
    for number in 1..=3 {
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/plain{number}");
        let body = json!({ "msgtype": "m.text", "body": "in the clear" });
        let (status, answer) = meeting.host.request("PUT", &path, Some(&body)).unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    told(&mut meeting, "was not encrypted");
    wait_for("the page to name it", PATIENCE, || {
        let page = meeting.guest.text()?;
        assert!(!page.contains("in the clear"), "{page}");
        Ok(page.contains("without encryption"))
    })
    .unwrap();

    // All goes on, and the bridge doesn't answer its own echo.
    meeting.guest.say("still me").unwrap();
    meeting.host_hears(1).unwrap();
    let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=100");
    let (_, past) = meeting.host.request("GET", &path, None).unwrap();
    let past = past.get("chunk").and_then(Value::as_array).unwrap();
    let of_ghost = past.iter().filter(|event| {
        event.get("type") == Some(&json!("m.room.member"))
            && event.get("state_key") == Some(&json!(ghost))
    });
    let count = of_ghost.count();
    assert!(count <= 12, "{count} changes of the ghost's membership");
}

#[test]
fn whatever_the_homeservers_admin_does_the_chat_has_an_end() {
    let mut lab = lab().unwrap();
    let admin = lab.synapse().unwrap().admin().unwrap();
    let host = lab.nio_host("alice", "Alice").unwrap();
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();
    let said = "closed or changed its room";

    // The guest's account is closed.
    let ghost = meeting.invite.inviter.clone();
    let path = format!("/_synapse/admin/v1/deactivate/{ghost}");
    ok(&admin, "POST", &path, &json!({ "erase": true }));
    ended(&meeting, "new link");
    told(&mut meeting, said);

    // The guest's device is deleted: the next visit finds it.
    meet_again(&mut meeting);
    let path = format!(
        "/_synapse/admin/v2/users/{}/devices",
        meeting.invite.inviter
    );
    let devices = admin.call("GET", &path, None).unwrap().json();
    let device = devices.pointer("/devices/0/device_id").unwrap();
    let device = device.as_str().unwrap();
    ok(&admin, "DELETE", &format!("{path}/{device}"), &json!({}));
    meeting.guest.reload().unwrap();
    ended(&meeting, "new link");
    told(&mut meeting, said);

    // Nobody is made a ruler of the room.
    meet_again(&mut meeting);
    let room = meeting.room().to_owned();
    let path = format!("/_synapse/admin/v1/rooms/{room}/make_room_admin");
    let refused = admin.call("POST", &path, Some(&json!({}))).unwrap();
    assert_eq!(refused.status, 400, "{}", refused.text);
    let upgrade = format!("/_matrix/client/v3/rooms/{room}/upgrade");
    let body = json!({ "new_version": "12" });
    let (status, _) = meeting.host.request("POST", &upgrade, Some(&body)).unwrap();
    assert_eq!(status, 403);
    meeting.guest.say("still here").unwrap();
    meeting.host_hears(1).unwrap();

    // The room is deleted.
    let path = format!("/_synapse/admin/v2/rooms/{room}");
    ok(&admin, "DELETE", &path, &json!({ "purge": true }));
    meeting.guest.wait_screen("ended").unwrap();

    // The host leaves it and forgets it.
    meet_again(&mut meeting);
    let base = format!("/_matrix/client/v3/rooms/{}", meeting.room());
    for call in ["leave", "forget"] {
        let path = format!("{base}/{call}");
        let (status, answer) = meeting
            .host
            .request("POST", &path, Some(&json!({})))
            .unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    ended(&meeting, "Alice ended it");

    // The host's account is closed, and what can be is erased.
    meet_again(&mut meeting);
    let path = format!("/_synapse/admin/v1/deactivate/{}", meeting.host.user_id());
    ok(&admin, "POST", &path, &json!({ "erase": true }));
    meeting.guest.wait_screen("ended").unwrap();
}
