//! Text only, with clients that can do more: whatever else a host sends is named to the guest, the
//! host is told once by the guest's own device, calls are turned down, and both can take back what
//! they wrote. `VESTIBULE_PICTURES=FOLDER` has pictures taken on the way.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use vestibule_e2e::{Meeting, SdkHost, lab};
use vestibule_lab::{Host, HostEvent, PATIENCE};

const TEXT_ONLY: &str = "Guest chats carry text only.";

#[test]
fn what_a_matrix_sdk_host_sends_beside_text() {
    let mut lab = lab().unwrap();
    let account = lab.account("alice", "Alice").unwrap();
    let host = SdkHost::login(&lab.homeserver(), &account, true).unwrap();
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();

    meeting.guest.say("Thursday?").unwrap();
    meeting.guest.say("Room 4").unwrap();
    let asked = meeting.host_hears(2).unwrap().remove(0);
    send(&mut meeting, "m.room.message", media("m.image"));
    send(&mut meeting, "m.room.message", media("m.image"));
    let photo = send(&mut meeting, "m.room.message", media("m.image"));
    shows(
        &meeting,
        &[("unsupported", &format!("Alice sent 3 photos. {TEXT_ONLY}"))],
    );
    let notice = meeting.host_hears(1).unwrap().remove(0);
    assert_eq!(notice.msgtype.as_deref(), Some("m.notice"));
    assert_eq!(notice.sender, meeting.invite.inviter);
    assert_eq!(
        notice.body,
        "Guest chats carry text only, so Maya (Guest) could not see your photo."
    );

    everything_else(&mut meeting, &photo);
    calls(&mut meeting, &photo);
    let mut expected = vec![format!("Alice sent 3 photos. {TEXT_ONLY}")];
    expected.extend(NAMED.iter().map(|line| format!("Alice {line}")));
    expected.push(format!("Alice tried to call 3 times. {TEXT_ONLY}"));
    let lines: Vec<(&str, &str)> = expected
        .iter()
        .map(|line| ("unsupported", line.as_str()))
        .collect();
    shows(&meeting, &lines);
    take_pictures(&meeting, "named");

    // A burst has one notice, and nothing is told again by a page that is loaded anew. How far was read
    // is stored a little later (`web/src/domain/memo.ts`): a page that goes before that shows what came
    // last as new, under a line that parts the calls.
    std::thread::sleep(Duration::from_secs(3));
    meeting.guest.reload().unwrap();
    shows(&meeting, &lines);
    meeting.guest.say("I only see text here").unwrap();
    assert_eq!(
        meeting.host_hears(1).unwrap().remove(0).body,
        "I only see text here"
    );

    let answers = [
        (
            "reply",
            json!({"m.in_reply_to": {"event_id": asked.event_id}}),
        ),
        (
            "thread",
            json!({"rel_type": "m.thread", "event_id": asked.event_id,
            "is_falling_back": true, "m.in_reply_to": {"event_id": asked.event_id}}),
        ),
    ];
    for (body, relation) in answers {
        let quoting = format!("> <{}> Thursday?\n\n{body}", asked.sender);
        let content = json!({"msgtype": "m.text", "body": quoting, "m.relates_to": relation});
        send(&mut meeting, "m.room.message", content);
    }
    let waves = json!({"msgtype": "m.emote", "body": "waves"});
    send(&mut meeting, "m.room.message", waves);
    let mut lines = lines;
    lines.extend([
        ("text", "reply"),
        ("text", "thread"),
        ("text", "* Alice waves"),
    ]);
    shows(&meeting, &lines);
    assert_eq!(
        meeting.guest.quotes().unwrap(),
        ["In reply to You: Thursday?", "In reply to You: Thursday?"]
    );
    take_pictures(&meeting, "replies");

    let regretted = meeting.host_says("I should not have said this").unwrap();
    lines.push(("text", "I should not have said this"));
    shows(&meeting, &lines);
    lines.pop();
    let room = meeting.room().to_owned();
    redact(&mut meeting.host, &room, &regretted);
    lines.push(("removed", "This message was removed"));
    shows(&meeting, &lines);

    meeting.guest.wait_delivered().unwrap();
    meeting.guest.take_back("Thursday?").unwrap();
    let removed = |event: &HostEvent| other(event, &notice.sender, "m.room.redaction");
    let events = meeting.host.events();
    events
        .wait("the guest's removal", PATIENCE, removed)
        .unwrap();
    let (_, event) = get_event(&mut meeting.host, &room, &asked.event_id);
    assert_eq!(event.get("content"), Some(&json!({})), "{event}");
    assert!(
        event.pointer("/unsigned/redacted_because").is_some(),
        "{event}"
    );
    let own = [
        ("removed", "This message was removed"),
        ("", "Room 4"),
        ("", "I only see text here"),
    ];
    meeting.guest.wait_bubbles("me", &own).unwrap();
    assert_eq!(
        meeting.guest.quotes().unwrap(),
        [
            "In reply to You: This message was removed",
            "In reply to You: This message was removed"
        ],
        "nothing of it is left in what quoted it"
    );
    take_pictures(&meeting, "removed");
    meeting.guest.reload().unwrap();
    shows(&meeting, &lines);
    meeting.guest.wait_bubbles("me", &own).unwrap();

    assert_nothing_more(&mut meeting);
    assert_eq!(meeting.guest.complaints().unwrap(), Vec::<String>::new());
}

#[test]
fn what_a_matrix_nio_host_sends_beside_text() {
    let mut lab = lab().unwrap();
    let host = lab.nio_host("alice", "Alice").unwrap();
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();
    let ghost = meeting.invite.inviter.clone();

    // The guest never wrote, so the notice begins the session in which it is told.
    send(&mut meeting, "m.room.message", media("m.file"));
    let file = format!("Alice sent a file. {TEXT_ONLY}");
    shows(&meeting, &[("unsupported", &file)]);
    let notice = meeting.host_hears(1).unwrap().remove(0);
    assert_eq!(notice.msgtype.as_deref(), Some("m.notice"));
    assert_eq!(
        notice.body,
        "Guest chats carry text only, so Maya (Guest) could not get your file."
    );

    send(
        &mut meeting,
        "m.call.invite",
        invite("c1", json!("1"), 60_000),
    );
    let answer = |event: &HostEvent| other(event, &ghost, "m.call.reject");
    let events = meeting.host.events();
    events.wait("the reject", PATIENCE, answer).unwrap();

    let room = meeting.room().to_owned();
    let regretted = meeting.host_says("oops").unwrap();
    let call = format!("Alice tried to call. {TEXT_ONLY}");
    let mut lines = vec![
        ("unsupported", file.as_str()),
        ("unsupported", call.as_str()),
    ];
    lines.push(("text", "oops"));
    shows(&meeting, &lines);
    redact(&mut meeting.host, &room, &regretted);
    lines.pop();
    lines.push(("removed", "This message was removed"));
    shows(&meeting, &lines);
    assert_nothing_more(&mut meeting);
}

/// What [`everything_else`] is called, in its order.
const NAMED: [&str; 9] = [
    "sent a file. Guest chats carry text only.",
    "sent a voice message. Guest chats carry text only.",
    "sent an audio file. Guest chats carry text only.",
    "sent a video. Guest chats carry text only.",
    "sent a sticker. Guest chats carry text only.",
    "shared a location. Guest chats carry text only.",
    "started a poll. Guest chats carry text only.",
    "edited a message. This chat shows messages as they were first sent.",
    "asked to compare emoji. This page can't do that yet.",
];

/// `earlier`: an event of the host; Synapse takes no relation to an event that it doesn't know.
fn everything_else(meeting: &mut Meeting<SdkHost>, earlier: &str) {
    let voice = json!({"msgtype": "m.audio", "body": "x.ogg", "url": "mxc://example.org/abc",
        "info": {}, "org.matrix.msc3245.voice": {}});
    let poll = json!({"org.matrix.msc3381.poll.start": {
        "question": {"org.matrix.msc1767.text": "When?"}, "kind": "org.matrix.msc3381.poll.disclosed",
        "max_selections": 1, "answers": [{"id": "1", "org.matrix.msc1767.text": "Now"}]}});
    let edit = json!({"msgtype": "m.text", "body": "* new", "m.new_content": {"msgtype": "m.text", "body": "new"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": earlier}});
    let verification = json!({"msgtype": "m.key.verification.request", "body": "verify", "from_device": "A",
        "methods": ["m.sas.v1"], "to": meeting.invite.inviter});
    let location = json!({"msgtype": "m.location", "body": "here", "geo_uri": "geo:1,2"});
    let sticker = json!({"body": "x", "info": {}, "url": "mxc://example.org/abc"});
    let message = "m.room.message";
    for (event_type, content) in [
        (message, media("m.file")),
        (message, voice),
        (message, media("m.audio")),
        (message, media("m.video")),
        ("m.sticker", sticker),
        (message, location),
        ("org.matrix.msc3381.poll.start", poll),
        (message, edit),
        (message, verification),
    ] {
        send(meeting, event_type, content);
    }
    // Clients send reactions in the clear, where the room's levels refuse them.
    let room = meeting.room().to_owned();
    let reaction =
        json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": earlier, "key": "👍"}});
    assert!(
        meeting
            .host
            .send_event(&room, "m.reaction", reaction)
            .is_err()
    );
}

/// Each that rings gets one answer, from the guest's device and encrypted.
fn calls(meeting: &mut Meeting<SdkHost>, earlier: &str) {
    let ghost = meeting.invite.inviter.clone();
    let rtc = json!({"notification_type": "ring", "lifetime": 60_000, "sender_ts": 1,
        "m.mentions": {}, "m.relates_to": {"rel_type": "m.reference", "event_id": earlier}});
    let candidates = json!({"call_id": "c1", "party_id": "A", "version": "1", "candidates": []});
    send(meeting, "m.call.invite", invite("c1", json!("1"), 60_000));
    send(meeting, "m.call.candidates", candidates);
    send(meeting, "m.call.invite", invite("c2", json!(0), 60_000));
    send(meeting, "org.matrix.msc4075.rtc.notification", rtc);
    for answer in [
        "m.call.reject",
        "m.call.hangup",
        "org.matrix.msc4310.rtc.decline",
    ] {
        let events = meeting.host.events();
        let event_id = events
            .wait(answer, PATIENCE, |event| other(event, &ghost, answer))
            .unwrap();
        let room = meeting.room().to_owned();
        let (_, sent) = get_event(&mut meeting.host, &room, &event_id);
        assert_eq!(sent.get("type"), Some(&json!("m.room.encrypted")), "{sent}");
    }
}

fn invite(call_id: &str, version: Value, lifetime: u64) -> Value {
    json!({"call_id": call_id, "party_id": "A", "version": version, "lifetime": lifetime,
        "offer": {"type": "offer", "sdp": "v=0"}})
}

fn media(msgtype: &str) -> Value {
    json!({"msgtype": msgtype, "body": "x.bin", "info": {"size": 9}, "url": "mxc://example.org/abc"})
}

fn send<H: Host>(meeting: &mut Meeting<H>, event_type: &str, content: Value) -> String {
    let room = meeting.room().to_owned();
    meeting.host.send_event(&room, event_type, content).unwrap()
}

fn redact(host: &mut impl Host, room: &str, event: &str) {
    let path = format!(
        "/_matrix/client/v3/rooms/{room}/redact/{event}/r-{}",
        event.len()
    );
    let (status, said) = host.request("PUT", &path, Some(&json!({}))).unwrap();
    assert_eq!(status, 200, "{said}");
}

fn get_event(host: &mut impl Host, room: &str, event: &str) -> (u16, Value) {
    let path = format!("/_matrix/client/v3/rooms/{room}/event/{event}");
    host.request("GET", &path, None).unwrap()
}

fn shows<H>(meeting: &Meeting<H>, lines: &[(&str, &str)]) {
    meeting.guest.wait_bubbles("host", lines).unwrap();
}

fn other(event: &HostEvent, from: &str, kind: &str) -> Option<String> {
    match event {
        HostEvent::Other {
            sender,
            event_type,
            event_id,
            ..
        } if sender == from && event_type == kind => Some(event_id.clone()),
        _ => None,
    }
}

/// A second notice, or another answer to a call, would come after the rest.
fn assert_nothing_more<H: Host>(meeting: &mut Meeting<H>) {
    std::thread::sleep(Duration::from_secs(1));
    let ghost = meeting.invite.inviter.clone();
    for event in meeting.host.events().drain() {
        match event {
            HostEvent::Message(message) if message.sender == ghost => panic!("{message:?}"),
            HostEvent::Other { ref sender, .. } if *sender == ghost => panic!("{event:?}"),
            HostEvent::Undecryptable { .. } => panic!("{event:?}"),
            _ => {}
        }
    }
}

fn take_pictures<H>(meeting: &Meeting<H>, name: &str) {
    if let Some(folder) = std::env::var_os("VESTIBULE_PICTURES") {
        meeting
            .guest
            .pictures(&PathBuf::from(folder), name)
            .unwrap();
    }
}
