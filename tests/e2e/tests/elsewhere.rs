//! A host on another homeserver: an encrypted chat with the bot, text only, and what neither side can
//! do from there.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;

use serde_json::{Value, json};
use vestibule_e2e::{Meeting, Trier, link, neighbours, told_by};
use vestibule_lab::{Api, Host, HostEvent, NioHost, PATIENCE, wait_for};

fn send(host: &mut NioHost, room: &str, event_type: &str, content: Value) -> String {
    host.send_event(room, event_type, content).unwrap()
}

#[test]
fn a_host_on_another_server_asks_in_an_encrypted_chat_and_is_told_there() {
    let (lab, neighbour) = neighbours(&[]).unwrap();
    let bot = lab.bot();
    let mut host = neighbour.nio_host("bob", "Bob").unwrap();
    let body = json!({
        "preset": "trusted_private_chat", "is_direct": true, "invite": [bot],
        "initial_state": [{
            "type": "m.room.encryption", "state_key": "",
            "content": { "algorithm": "m.megolm.v1.aes-sha2" },
        }],
    });
    let path = "/_matrix/client/v3/createRoom";
    let (status, made) = host.request("POST", path, Some(&body)).unwrap();
    assert_eq!(status, 200, "{made}");
    let room = made["room_id"].as_str().unwrap().to_owned();
    told_by(&bot, &mut host, &room, "Hello!");

    host.send(&room, "invite Maya").unwrap();
    let words = told_by(&bot, &mut host, &room, "Here is your link for Maya");
    let token = link(&words).split_once('#').unwrap().1.to_owned();
    let looked = lab
        .guests()
        .call("POST", "/api/v1/link", Some(&json!({ "token": token })))
        .unwrap();
    assert_eq!(looked.status, 200, "{}", looked.text);
    told_by(&bot, &mut host, &room, "was opened in a browser");
    host.send(&room, "revoke 1").unwrap();
    told_by(&bot, &mut host, &room, "I took the link for Maya");

    let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=50");
    let (_, past) = host.request("GET", &path, None).unwrap();
    let past = past["chunk"].as_array().unwrap().iter();
    let in_the_clear = past.filter(|event| event["type"] == "m.room.message");
    assert_eq!(in_the_clear.collect::<Vec<_>>(), Vec::<&Value>::new());
}

#[test]
fn a_chat_with_another_server_carries_text_only_and_is_sealed_there() {
    let (mut lab, neighbour) = neighbours(&[]).unwrap();
    let bot = lab.bot();
    let account = neighbour.account("bob", "Bob").unwrap();
    let host = neighbour.nio_device(&account).unwrap();
    let mut meeting = Meeting::arrange_with(host, &bot, "Maya").unwrap();
    let (room, ghost) = (meeting.room().to_owned(), meeting.invite.inviter.clone());
    meeting.guest.say("before").unwrap();
    let before = meeting.host_hears(1).unwrap().remove(0).event_id;

    // A picture and a call.
    let photo = json!({"msgtype": "m.image", "body": "x.png", "info": {"size": 9}, "url": "mxc://example.org/abc"});
    send(&mut meeting.host, &room, "m.room.message", photo);
    let notice = meeting.host_hears(1).unwrap().remove(0);
    assert_eq!(
        notice.body,
        "Guest chats carry text only, so Maya (Guest) could not see your photo."
    );
    let call = json!({"call_id": "c1", "party_id": "A", "version": "1", "lifetime": 60_000,
        "offer": {"type": "offer", "sdp": "v=0"}});
    send(&mut meeting.host, &room, "m.call.invite", call);
    let rejected = |event: &HostEvent| match event {
        HostEvent::Other {
            sender, event_type, ..
        } => (*sender == ghost && event_type == "m.call.reject").then_some(()),
        _ => None,
    };
    let events = meeting.host.events();
    events.wait("the reject", PATIENCE, rejected).unwrap();
    let lines = [
        "Bob sent a photo. Guest chats carry text only.",
        "Bob tried to call. Guest chats carry text only.",
    ];
    let mut shown = lines.map(|line| ("unsupported", line)).to_vec();
    meeting.guest.wait_bubbles("host", &shown).unwrap();

    // Each takes back what they wrote.
    let regretted = meeting.host_says("oops").unwrap();
    shown.push(("text", "oops"));
    meeting.guest.wait_bubbles("host", &shown).unwrap();
    shown.pop();
    let path = format!("/_matrix/client/v3/rooms/{room}/redact/{regretted}/r1");
    let (status, said) = meeting
        .host
        .request("PUT", &path, Some(&json!({})))
        .unwrap();
    assert_eq!(status, 200, "{said}");
    shown.push(("removed", "This message was removed"));
    meeting.guest.wait_bubbles("host", &shown).unwrap();
    meeting.guest.wait_delivered().unwrap();
    meeting.guest.take_back("before").unwrap();
    let path = format!("/_matrix/client/v3/rooms/{room}/event/{before}");
    wait_for("the guest's removal", PATIENCE, || {
        let (_, event) = meeting.host.request("GET", &path, None)?;
        Ok(event.get("content") == Some(&json!({})))
    })
    .unwrap();

    // In the clear: not passed on, and told where the link was asked for.
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/clear");
    let clear = json!({"msgtype": "m.text", "body": "in the clear"});
    let (status, said) = meeting.host.request("PUT", &path, Some(&clear)).unwrap();
    assert_eq!(status, 200, "{said}");
    let management = meeting.management_room.clone();
    told_by(&bot, &mut meeting.host, &management, "was not encrypted");
    meeting.guest.wait_text("without encryption", true).unwrap();
    assert!(!meeting.guest.text().unwrap().contains("in the clear"));

    // By raw calls, each to their own homeserver.
    let stranger = lab.account("mallory", "Mallory").unwrap().user_id;
    let other = neighbour.account("eve", "Eve").unwrap().user_id;
    let outsiders = [stranger.as_str(), &other, &bot];
    let (api, _) = Api::login(neighbour.address(), &account.localpart, &account.password).unwrap();
    let from_there = Trier::with_token("the host", &account.user_id, api).from_elsewhere();
    let from_here = Trier::masked("the ghost", &ghost, lab.as_appservice()).from_elsewhere();
    let path = format!("/_matrix/client/v3/rooms/{room}/state");
    let state = || {
        let all = from_here.allowed("read the state", "GET", &path, &json!({}));
        let events = all.as_array().unwrap().iter();
        let ids: BTreeSet<String> = events.map(|event| event["event_id"].to_string()).collect();
        ids
    };
    let before = state();
    from_there.assert_sealed(&room, &ghost, &outsiders);
    from_here.assert_sealed(&room, &account.user_id, &outsiders);
    assert_eq!(state(), before);
    assert_eq!(meeting.guest.screen().unwrap(), "chat");
    meeting.guest.say("after").unwrap();
    assert_eq!(meeting.host_hears(1).unwrap().remove(0).body, "after");
    assert_eq!(meeting.guest.complaints().unwrap(), Vec::<String>::new());
}
