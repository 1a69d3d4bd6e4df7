//! What a host does with links and chats, by command and in a client of their own, and what the
//! guest's page makes of it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use serde_json::json;
use vestibule_e2e::{Guest, Meeting, join_body, lab};
use vestibule_lab::{Host, HostEvent, Lab, NioHost, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the bot says something with this in it.
fn told(host: &mut NioHost, room: &str, part: &str) -> String {
    let said = |event: &HostEvent| match event {
        HostEvent::Message(message) if message.room_id == room && message.sender == Lab::BOT => {
            let body = &message.body;
            body.contains(part).then(|| body.clone())
        }
        _ => None,
    };
    host.events().wait(part, PATIENCE, said).unwrap()
}

/// Writes to the bot, and waits until it says something with this in it.
fn command(meeting: &mut Meeting<NioHost>, text: &str, part: &str) -> String {
    let room = meeting.management_room.clone();
    meeting.host.send(&room, text).unwrap();
    told(&mut meeting.host, &room, part)
}

/// The link in what the bot said.
fn link(words: &str) -> String {
    let mut words = words.split_whitespace();
    words.find(|word| word.contains("/#")).unwrap().to_owned()
}

/// The guest starts a chat over another link, and the host comes; the room and the ghost.
fn meet_again(meeting: &mut Meeting<NioHost>, link: &str) -> (String, String) {
    start(&meeting.guest, link);
    let invite = meeting.host.next_invite().unwrap();
    meeting.host.join(&invite.room_id).unwrap();
    meeting.guest.wait_open().unwrap();
    (invite.room_id, invite.inviter)
}

/// The picture of the link, once the homeserver gives it to the host.
fn picture(meeting: &mut Meeting<NioHost>) -> serde_json::Value {
    let room = meeting.management_room.clone();
    let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=20");
    let mut content = serde_json::Value::Null;
    // It comes after the words.
    wait_for("the picture", PATIENCE, || {
        let (_, past) = meeting.host.request("GET", &path, None)?;
        let mut events = past["chunk"].as_array().into_iter().flatten();
        let image = events.find(|event| event["content"]["msgtype"] == "m.image");
        content = image.map_or(content.take(), |image| image["content"].clone());
        Ok(content.is_object())
    })
    .unwrap();
    let uri = content["url"]
        .as_str()
        .unwrap()
        .trim_start_matches("mxc://");
    let path = format!("/_matrix/client/v1/media/download/{uri}");
    let (status, _) = meeting.host.request("GET", &path, None).unwrap();
    assert_eq!(status, 200);
    content
}

fn start(guest: &Guest, link: &str) {
    // To the browser a link differs from another in its fragment only, which loads nothing.
    guest.go("about:blank").unwrap();
    guest.go(link).unwrap();
    guest.start_chat("Maya").unwrap();
}

/// Puts the ghost out, in the host's own client.
fn put_out(host: &mut NioHost, how: &str, (room, ghost): (String, String)) {
    let path = format!("/_matrix/client/v3/rooms/{room}/{how}");
    let body = json!({ "user_id": ghost });
    let (status, answer) = host.request("POST", &path, Some(&body)).unwrap();
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn a_host_commands_and_the_page_follows() {
    let mut lab = lab().unwrap();
    let host = lab.nio_host("alice", "Alice").unwrap();
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();
    meeting.guest.say("hello").unwrap();
    let heard = meeting.host_hears(1).unwrap();
    assert!(heard.iter().all(|message| message.body == "hello"));
    let picture = picture(&mut meeting);
    assert_eq!(picture["info"]["mimetype"], "image/png");
    let list = command(&mut meeting, "list", "Your chats:");
    assert!(list.contains("1. Maya: Maya (Guest), open"), "{list}");

    // A block is an end to whom it concerns.
    command(&mut meeting, "block 1", "I blocked Maya (number 1)");
    meeting.guest.wait_screen("ended").unwrap();
    let page = meeting.guest.text().unwrap();
    assert!(page.contains("Alice ended it"), "{page}");
    command(&mut meeting, "invite Maya", "You blocked Maya");
    command(&mut meeting, "unblock 1", "is no longer blocked");

    let renewed = command(&mut meeting, "renew 1", "Here is your link for Maya");
    let chat = meet_again(&mut meeting, &link(&renewed));
    put_out(&mut meeting.host, "kick", chat);
    meeting.guest.wait_screen("ended").unwrap();
    let room = meeting.management_room.clone();
    told(&mut meeting.host, &room, "You removed Maya (number 2)");
    command(&mut meeting, "invite Maya", "You blocked Maya (number 2)");
    command(&mut meeting, "unblock Maya", "is no longer blocked");
    let next = command(&mut meeting, "invite Maya", "Here is your link for Maya");

    let chat = meet_again(&mut meeting, &link(&next));
    put_out(&mut meeting.host, "ban", chat);
    meeting.guest.wait_screen("ended").unwrap();
    let room = meeting.management_room.clone();
    told(&mut meeting.host, &room, "You banned Maya");

    let other = command(&mut meeting, "invite Ben", "Here is your link for Ben");
    let number = other.split("Its number is ").nth(1).unwrap();
    let number = number.trim_end_matches('.').to_owned();
    command(
        &mut meeting,
        &format!("revoke {number}"),
        &format!("Ben (number {number})"),
    );
    meeting.guest.go("about:blank").unwrap();
    meeting.guest.go(&link(&other)).unwrap();
    meeting.guest.wait_screen("link-revoked").unwrap();
    assert_eq!(meeting.guest.complaints().unwrap(), Vec::<String>::new());
}

#[test]
fn a_link_with_a_passcode_lets_in_who_knows_it_and_nobody_else() {
    let mut lab = lab().unwrap();
    let mut host = lab.nio_host("alice", "Alice").unwrap();
    let room = host.open_chat_with(Lab::BOT).unwrap();
    let ask = |host: &mut NioHost, label: &str| {
        let text = format!("invite {label} --expires 2h --passcode");
        host.send(&room, &text).unwrap();
        let words = told(host, &room, "Passcode: ");
        assert!(words.contains("Unused, it works for 2 hours."), "{words}");
        let code = words
            .lines()
            .find_map(|line| line.strip_prefix("Passcode: "));
        let code = code.unwrap().to_owned();
        let wrong = if code == "000000" { "000001" } else { "000000" };
        (link(&words), code, wrong)
    };

    let (first, code, wrong) = ask(&mut host, "Maya");
    let guest = Guest::open(&first).unwrap();
    guest.type_passcode(wrong).unwrap();
    guest.start_chat("Maya").unwrap();
    guest
        .wait_text("This passcode is wrong. You have 4 tries left.", true)
        .unwrap();
    guest.type_passcode(&code).unwrap();
    guest.press_start().unwrap();
    let invite = host.next_invite().unwrap();
    assert_eq!(invite.display_name, "Maya (Guest)");
    guest.wait_screen("chat").unwrap();

    // Five wrong ones, and the link is gone; its host is told once.
    let (second, code, wrong) = ask(&mut host, "Ben");
    let token = second.split_once('#').unwrap().1;
    let guests = lab.guests();
    let looked = guests.call("POST", "/api/v1/link", Some(&json!({ "token": token })));
    let looked = looked.unwrap().json();
    let mut body = join_body(token, looked["ghost"].as_str().unwrap(), "DEVICE", "Ben");
    let mut join = |passcode: &str| {
        body["passcode"] = json!(passcode);
        let answer = guests.call("POST", "/api/v1/join", Some(&body)).unwrap();
        answer.json()["error"]["code"].clone()
    };
    for _ in 0..4 {
        assert_eq!(join(wrong), "passcode_wrong");
    }
    assert_eq!(join(wrong), "passcode_spent");
    assert_eq!(join(&code), "link_revoked");
    let words = told(&mut host, &room, "5 wrong passcodes on your link for Ben");
    assert!(words.contains("`renew 2`"), "{words}");
    guest.go(&second).unwrap();
    guest.wait_screen("link-revoked").unwrap();
}
