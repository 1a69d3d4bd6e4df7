//! Hosts on another homeserver, and what becomes of a chat while that one is away.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use serde_json::json;
use vestibule_e2e::{Guest, Meeting, neighbours, numbered, told_by};
use vestibule_lab::{Api, Host, HostEvent, Lab, Neighbour, NioHost, PATIENCE, Site, wait_for};

fn meet(lab: &Lab, host: NioHost) -> Meeting<NioHost> {
    Meeting::arrange_with(host, &lab.bot(), "Maya").unwrap()
}

/// Writes to the bot, and waits until it says something with this in it.
fn command(meeting: &mut Meeting<NioHost>, bot: &str, text: &str, part: &str) -> String {
    let room = meeting.management_room.clone();
    meeting.host.send(&room, text).unwrap();
    told_by(bot, &mut meeting.host, &room, part)
}

/// Both sides write, and read each other.
fn talk(meeting: &mut Meeting<NioHost>, what: &str) {
    let from_guest = numbered(&format!("{what} from the guest"), 3);
    for text in &from_guest {
        meeting.guest.say(text).unwrap();
    }
    let heard = meeting.host_hears(3).unwrap();
    assert!(heard.iter().map(|message| &message.body).eq(&from_guest));
    let from_host = numbered(&format!("{what} from the host"), 3);
    for text in &from_host {
        meeting.host_says(text).unwrap();
    }
    meeting.guest.wait_for_texts("host", &from_host).unwrap();
    meeting.guest.wait_delivered().unwrap();
}

/// The link in what the bot said.
fn link(words: &str) -> &str {
    words
        .split_whitespace()
        .find(|word| word.contains("/#"))
        .unwrap()
}

#[test]
fn a_host_on_another_server_meets_bans_and_meets_again() {
    let (mut lab, mut neighbour) = neighbours(&[]).unwrap();
    let bot = lab.bot();
    let host = neighbour.nio_host("bob", "Bob").unwrap();
    let mut meeting = meet(&lab, host);
    assert_eq!(meeting.invite.display_name, "Maya (Guest)");
    assert!(meeting.invite.is_direct, "{:?}", meeting.invite);
    assert!(meeting.invite.inviter.ends_with(lab.domain()));
    assert!(meeting.guest.text().unwrap().contains("Bob"));
    talk(&mut meeting, "first");
    see_each_other(&mut meeting);
    assert_closed_to_strangers(&mut lab, &mut neighbour, &mut meeting);

    let path = format!("/_matrix/client/v3/rooms/{}/ban", meeting.room());
    let body = json!({ "user_id": meeting.invite.inviter });
    let (status, answer) = meeting.host.request("POST", &path, Some(&body)).unwrap();
    assert_eq!(status, 200, "{answer}");
    meeting.guest.wait_screen("ended").unwrap();
    let room = meeting.management_room.clone();
    told_by(&bot, &mut meeting.host, &room, "You banned Maya");
    command(&mut meeting, &bot, "unblock 1", "is no longer blocked");

    let renewed = command(&mut meeting, &bot, "renew 1", "Here is your link for Maya");
    meeting.guest.go(link(&renewed)).unwrap();
    meeting.guest.start_chat("Maya").unwrap();
    meeting.invite = meeting.host.next_invite().unwrap();
    let room = meeting.room().to_owned();
    meeting.host.join(&room).unwrap();
    meeting.guest.wait_open().unwrap();
    talk(&mut meeting, "again");
    command(&mut meeting, &bot, "end Maya", "I ended the chat with Maya");
    meeting.guest.wait_screen("ended").unwrap();
    wait_member(&mut meeting.host, &room, &meeting.invite.inviter, "leave");
    assert_eq!(meeting.guest.complaints().unwrap(), Vec::<String>::new());
}

/// Typing and read marks cross the servers too.
fn see_each_other(meeting: &mut Meeting<NioHost>) {
    let base = format!("/_matrix/client/v3/rooms/{}", meeting.room());
    let own = meeting.host.user_id().to_owned();
    let said = meeting.host_says("look").unwrap();
    meeting.guest.say("seen").unwrap();
    let seen = meeting.host_hears(1).unwrap().remove(0).event_id;

    let typing = json!({"typing": true, "timeout": 30_000});
    let path = format!("{base}/typing/{own}");
    let (status, answer) = meeting.host.request("PUT", &path, Some(&typing)).unwrap();
    assert_eq!(status, 200, "{answer}");
    wait_for("the typing", PATIENCE, || {
        Ok(meeting.guest.text()?.contains("Bob is typing"))
    })
    .unwrap();

    let path = format!("{base}/receipt/m.read/{seen}");
    let nothing = json!({});
    let (status, answer) = meeting.host.request("POST", &path, Some(&nothing)).unwrap();
    assert_eq!(status, 200, "{answer}");
    wait_for("the host's mark", PATIENCE, || {
        let bubbles = meeting.guest.bubbles()?;
        let own = bubbles.iter().rfind(|bubble| bubble.from == "me");
        Ok(own.is_some_and(|bubble| bubble.state.as_deref() == Some("read")))
    })
    .unwrap();

    // Synapse answers the same question with the same answer for two minutes.
    let mut asked = 0;
    let (room, ghost) = (meeting.room().to_owned(), meeting.invite.inviter.clone());
    wait_for("the guest's mark", PATIENCE, || {
        asked += 1;
        let path = format!("/_matrix/client/v3/sync?timeout={asked}");
        let (_, answer) = meeting.host.request("GET", &path, None)?;
        let room = answer
            .get("rooms")
            .and_then(|rooms| rooms.get("join")?.get(&room));
        let events = room.and_then(|room| room.get("ephemeral")?.get("events")?.as_array());
        Ok(events.into_iter().flatten().any(|event| {
            let content = event.get("content");
            let mark = content.and_then(|content| content.get(&said)?.get("m.read")?.get(&ghost));
            mark.is_some()
        }))
    })
    .unwrap();
}

fn wait_member(host: &mut NioHost, room: &str, whom: &str, how: &str) {
    let seen = |event: &HostEvent| match event {
        HostEvent::Member {
            room_id,
            member,
            membership,
        } => (room_id == room && member == whom && membership == how).then_some(()),
        _ => None,
    };
    host.events()
        .wait(&format!("{whom} to {how}"), PATIENCE, seen)
        .unwrap();
}

/// Nobody else gets in, on whichever server they are, nor can the host bring them in.
fn assert_closed_to_strangers(
    lab: &mut Lab,
    neighbour: &mut Neighbour,
    meeting: &mut Meeting<NioHost>,
) {
    let mut third = lab.neighbour(&Site::federated().unwrap()).unwrap();
    let (ours, theirs) = (lab.domain().to_owned(), neighbour.domain().to_owned());
    let room = meeting.room().to_owned();
    let base = format!("/_matrix/client/v3/rooms/{room}");
    for synapse in [lab.synapse().unwrap(), neighbour.synapse(), third.synapse()] {
        let eve = synapse.register("eve").unwrap();
        let (api, _) = Api::login(synapse.address(), "eve", &eve.password).unwrap();
        let invite = json!({ "user_id": eve.user_id });
        let (status, said) = meeting
            .host
            .request("POST", &format!("{base}/invite"), Some(&invite))
            .unwrap();
        assert_eq!(status, 403, "the host invites {}: {said}", eve.user_id);
        let mut tries = vec![
            ("POST", format!("{base}/join"), json!({})),
            ("POST", format!("{base}/invite"), invite),
            (
                "PUT",
                format!("{base}/send/m.room.encrypted/1"),
                json!({"algorithm": "none"}),
            ),
            (
                "PUT",
                format!("{base}/state/m.room.member/{}", eve.user_id),
                json!({"membership": "join"}),
            ),
        ];
        for via in [&ours, &theirs] {
            for how in ["join", "knock"] {
                let path = format!("/_matrix/client/v3/{how}/{room}?via={via}&server_name={via}");
                tries.push(("POST", path, json!({})));
            }
        }
        for (method, path, body) in tries {
            let answer = api.call(method, &path, Some(&body)).unwrap();
            let refused = (400..500).contains(&answer.status);
            assert!(
                refused,
                "{} {path}: {} {}",
                eve.user_id, answer.status, answer.text
            );
        }
        for path in ["state", "messages?dir=b", "joined_members", "event/$x"] {
            let answer = api.call("GET", &format!("{base}/{path}"), None).unwrap();
            let refused = matches!(answer.status, 403 | 404);
            assert!(
                refused,
                "{} {path}: {} {}",
                eve.user_id, answer.status, answer.text
            );
        }
    }
    // Nothing of it ended the chat.
    assert_eq!(meeting.guest.screen().unwrap(), "chat");
}

#[test]
fn who_may_not_be_a_host_is_declined_on_their_server_too() {
    let (lab, neighbour) = neighbours(&[]).unwrap();
    let mut mallory = neighbour.nio_host("mallory", "Mallory").unwrap();
    let room = mallory.create_dm(&lab.bot()).unwrap();
    wait_member(&mut mallory, &room, &lab.bot(), "leave");
    // Somebody else's room with the bot is no way around.
    let mut bob = neighbour.nio_host("bob", "Bob").unwrap();
    let (room, _) = bob.ask_for_link(&lab.bot(), "").unwrap();
    let invite = json!({ "user_id": mallory.user_id() });
    let path = format!("/_matrix/client/v3/rooms/{room}/invite");
    let (status, said) = bob.request("POST", &path, Some(&invite)).unwrap();
    assert_eq!(status, 200, "{said}");
    mallory.next_invite().unwrap();
    mallory.join(&room).unwrap();
    mallory.send(&room, "!guest invite").unwrap();
    // The bot answers in order: when it has answered the second, it has not answered the first.
    bob.send(&room, "!guest list").unwrap();
    let mut said = Vec::new();
    bob.events()
        .wait("the bot's list", PATIENCE, |event| match event {
            HostEvent::Message(message) if message.sender == lab.bot() => {
                said.push(message.body.clone());
                message
                    .body
                    .contains("Links that nobody used")
                    .then_some(())
            }
            _ => None,
        })
        .unwrap();
    let links = said.iter().filter(|text| text.contains("/#"));
    assert_eq!(links.count(), 0, "{said:?}");
}

#[test]
fn nothing_is_lost_while_the_hosts_server_is_away() {
    let (mut lab, mut neighbour) = neighbours(&[]).unwrap();
    let bot = lab.bot();
    let mut host = neighbour.nio_host("bob", "Bob").unwrap();
    let (management_room, link) = host.ask_for_link(&bot, "Maya").unwrap();
    let guest = Guest::open(&link).unwrap();
    told_by(&bot, &mut host, &management_room, "was opened");

    // Nobody is there who could take the invitation.
    neighbour.synapse().stop();
    guest.start_chat("Maya").unwrap();
    wait_log(&mut lab, "effect=\"invite_host\"");
    assert_eq!(guest.screen().unwrap(), "chat");
    neighbour.synapse().restart().unwrap();
    let invite = host.next_invite().unwrap();
    host.join(&invite.room_id).unwrap();
    guest.wait_open().unwrap();
    let mut meeting = Meeting {
        host,
        guest,
        invite,
        link,
        management_room,
    };
    talk(&mut meeting, "first");

    // Away in the middle of a chat, while the page is loaded anew.
    neighbour.synapse().stop();
    meeting.guest.say("while you were away").unwrap();
    meeting.guest.wait_delivered().unwrap();
    meeting.guest.reload().unwrap();
    meeting.guest.wait_open().unwrap();
    meeting.guest.say("and once more").unwrap();
    meeting.guest.wait_shown("and once more").unwrap();
    neighbour.synapse().restart().unwrap();
    let heard = meeting.host_hears(2).unwrap();
    let heard: Vec<&str> = heard.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(heard, ["while you were away", "and once more"]);
    meeting.guest.wait_delivered().unwrap();
    meeting.host_says("here again").unwrap();
    let mut all = numbered("first from the host", 3);
    all.push("here again".to_owned());
    meeting.guest.wait_for_texts("host", &all).unwrap();
    assert_eq!(meeting.guest.complaints().unwrap(), Vec::<String>::new());
}

fn wait_log(lab: &mut Lab, part: &str) {
    let bridge = lab.bridge().unwrap();
    wait_for(part, PATIENCE, || Ok(bridge.log()?.contains(part))).unwrap();
}

#[test]
fn a_chat_with_another_server_expires_for_both() {
    let (lab, neighbour) = neighbours(&[
        // 40 seconds: across servers a meeting takes a while.
        ("VESTIBULE__GUESTS__IDLE_DAYS", "0.000463"),
        ("VESTIBULE__GUESTS__WARNING_HOURS", "0.0001"),
    ])
    .unwrap();
    let bot = lab.bot();
    let host = neighbour.nio_host("bob", "Bob").unwrap();
    let mut meeting = meet(&lab, host);
    talk(&mut meeting, "quickly");
    let (room, management) = (meeting.room().to_owned(), meeting.management_room.clone());
    meeting.guest.wait_screen("ended").unwrap();
    told_by(&bot, &mut meeting.host, &management, "nobody wrote for");
    let ghost = meeting.invite.inviter.clone();
    wait_member(&mut meeting.host, &room, &ghost, "leave");
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/late");
    let text = json!({"msgtype": "m.text", "body": "too late"});
    meeting.host.request("PUT", &path, Some(&text)).unwrap();
    assert_eq!(meeting.guest.screen().unwrap(), "ended");
}
