//! A chat and a link whose time really passes, and what is left of them: nothing.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use vestibule_e2e::{Guest, Meeting, contains, lab_with, link, told};
use vestibule_lab::{Host, NioHost, Options};

const PATIENCE: Duration = Duration::from_secs(60);
const NAME: &str = "Canaryguest";
const LABEL: &str = "Canarylabel";
const GUEST_SAYS: &str = "canary-guest-7d31ab";
const HOST_SAYS: &str = "canary-host-55c0e2";

/// 35 seconds in days: a browser has to start and a page to come back within them.
const CHAT: &str = "0.000405";
/// 50 seconds, for the same reason.
const LINK: &str = "0.00058";
/// A few seconds.
const KEEP: &str = "0.00006";

fn get(host: &mut NioHost, path: &str) -> (u16, serde_json::Value) {
    host.request("GET", path, None).unwrap()
}

/// A part of the newest ciphertext in the room.
fn ciphertext(host: &mut NioHost, room: &str) -> String {
    let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=5");
    let (_, past) = get(host, &path);
    let events = past["chunk"].as_array().unwrap();
    let newest = events
        .iter()
        .find(|event| event["type"] == "m.room.encrypted");
    let text = newest.unwrap()["content"]["ciphertext"].as_str().unwrap();
    text[text.len() - 60..].to_owned()
}

/// Whether a file of the store holds this.
fn stored(store: &Path, canary: &str) -> bool {
    let files = fs::read_dir(store).unwrap();
    files.into_iter().any(|file| {
        // RocksDB deletes files while they are listed.
        let bytes = fs::read(file.unwrap().path()).unwrap_or_default();
        contains(&bytes, canary.as_bytes())
    })
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn time_passes_and_nothing_is_left() {
    let environment = vec![
        ("VESTIBULE__GUESTS__LINK_DAYS", LINK),
        ("VESTIBULE__GUESTS__IDLE_DAYS", CHAT),
        ("VESTIBULE__GUESTS__KEEP_ACKNOWLEDGED_DAYS", KEEP),
        ("VESTIBULE__GUESTS__KEEP_CHAT_DAYS", KEEP),
        ("VESTIBULE__GUESTS__KEEP_LINK_DAYS", KEEP),
        ("VESTIBULE__STORE__SWEEP_MINUTES", "0.02"),
    ];
    let mut lab = lab_with(&Options {
        environment,
        ..Options::default()
    })
    .unwrap();
    let store = lab.store();
    let host = lab.nio_host("alice", "Alice").unwrap();
    let mut meeting = Meeting::arrange(host, NAME).unwrap();
    let (room, ghost) = (meeting.room().to_owned(), meeting.invite.inviter.clone());
    let bot_room = meeting.management_room.clone();
    let first_token = meeting.token().to_owned();
    meeting.guest.wait_open().unwrap();
    meeting.guest.say(GUEST_SAYS).unwrap();
    assert_eq!(meeting.host_hears(1).unwrap()[0].body, GUEST_SAYS);
    let from_guest = ciphertext(&mut meeting.host, &room);

    // A link that nobody uses, and a message that waits for an absent browser.
    meeting
        .host
        .send(&bot_room, &format!("invite {LABEL}"))
        .unwrap();
    let unused = link(&told(&mut meeting.host, &bot_room, "Here is your link for"));
    let (_, unused_token) = unused.split_once('#').unwrap();
    let unused_token = unused_token.to_owned();
    meeting.guest.go("about:blank").unwrap();
    meeting.host_says(HOST_SAYS).unwrap();
    let from_host = ciphertext(&mut meeting.host, &room);
    // Each search finds what is there, or its silence would mean nothing.
    for canary in [NAME, LABEL, &from_host] {
        until(canary, || stored(&store, canary));
    }
    meeting.guest.go(&format!("{}/", lab.public_url())).unwrap();
    meeting.guest.wait_for_texts("host", &[HOST_SAYS]).unwrap();

    // Both are warned, then told, each in their own place.
    told(&mut meeting.host, &bot_room, "unless one of you writes");
    until("the page warns", || {
        meeting
            .guest
            .text()
            .unwrap()
            .contains("unless somebody writes")
    });
    meeting.guest.wait_screen("ended").unwrap();
    told(&mut meeting.host, &bot_room, "is over: nobody wrote for");
    told(&mut meeting.host, &bot_room, &format!("{LABEL} (number 2)"));
    let member = format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{ghost}");
    until("the ghost leaves", || {
        get(&mut meeting.host, &member).1["membership"] == "leave"
    });
    let (_, left) = get(&mut meeting.host, &member);
    let reason = left["reason"].as_str().unwrap();
    assert!(reason.ends_with("without a message."), "{reason}");
    let profile = format!("/_matrix/client/v3/profile/{ghost}");
    until("the ghost is deactivated", || {
        get(&mut meeting.host, &profile).0 == 404
    });
    let asked = json!({ "device_keys": { &ghost: [] } });
    let path = "/_matrix/client/v3/keys/query";
    let (_, keys) = meeting.host.request("POST", path, Some(&asked)).unwrap();
    let devices = keys["device_keys"][&ghost].as_object();
    assert!(devices.is_none_or(serde_json::Map::is_empty), "{keys}");

    // The link is told to be expired, and a moment later is forgotten.
    let late = Guest::open(&unused).unwrap();
    until("the link is over", || {
        let screen = late.screen().unwrap();
        ["link-expired", "link-unknown"].contains(&screen.as_str())
    });

    let canaries = [
        NAME,
        LABEL,
        GUEST_SAYS,
        HOST_SAYS,
        &first_token,
        &unused_token,
        &from_guest,
        &from_host,
    ];
    for canary in canaries {
        until(&format!("{canary} is gone"), || !stored(&store, canary));
    }
    let everything = lab.bridge().unwrap().ops("metrics").unwrap().text;
    assert!(
        everything.contains("vestibule_chats_being_ended 0"),
        "{everything}"
    );
    // The store is well without them.
    meeting.host.send(&bot_room, "list").unwrap();
    told(&mut meeting.host, &bot_room, "You have no");
}
