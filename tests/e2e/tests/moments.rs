//! Typing and read marks between a page and a host's client, and that a page tells of nothing that
//! nobody looked at.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vestibule_e2e::{Meeting, SdkHost, lab};
use vestibule_lab::{Host, PATIENCE};

#[test]
fn each_side_sees_that_the_other_types_and_reads() {
    let mut lab = lab().unwrap();
    let account = lab.account("alice", "Alice").unwrap();
    let host = SdkHost::login(&lab.homeserver(), &account, true).unwrap();
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();
    let room = meeting.room().to_owned();
    let ghost = meeting.invite.inviter.clone();
    let host_id = meeting.host.user_id().to_owned();
    let base = format!("/_matrix/client/v3/rooms/{room}");

    // The host reads.
    meeting.guest.say("first").unwrap();
    meeting.guest.say("second").unwrap();
    let heard = meeting.host_hears(2).unwrap();
    meeting.guest.wait_delivered().unwrap();
    let reads = |host: &mut SdkHost, event: &str| {
        let path = format!("{base}/receipt/m.read/{event}");
        let (status, said) = host.request("POST", &path, Some(&json!({}))).unwrap();
        assert_eq!(status, 200, "{said}");
    };
    let ids: Vec<String> = heard.into_iter().map(|message| message.event_id).collect();
    let [first, second] = ids.as_slice() else {
        panic!("{ids:?}")
    };
    reads(&mut meeting.host, first);
    meeting.guest.wait_states(&["read", "delivered"]).unwrap();
    reads(&mut meeting.host, second);
    meeting.guest.wait_states(&["read", "read"]).unwrap();
    meeting.guest.reload().unwrap();
    meeting.guest.wait_states(&["read", "read"]).unwrap();

    // The host types.
    let types = |host: &mut SdkHost, typing: bool| {
        let path = format!("{base}/typing/{host_id}");
        let body = json!({"typing": typing, "timeout": 30_000});
        let (status, said) = host.request("PUT", &path, Some(&body)).unwrap();
        assert_eq!(status, 200, "{said}");
    };
    types(&mut meeting.host, true);
    meeting.guest.wait_text("Alice is typing…", true).unwrap();
    if let Some(folder) = std::env::var_os("VESTIBULE_PICTURES") {
        meeting
            .guest
            .pictures(&PathBuf::from(folder), "typing")
            .unwrap();
    }
    types(&mut meeting.host, false);
    meeting.guest.wait_text("Alice is typing…", false).unwrap();

    // The guest types, and stops.
    meeting.guest.type_in("well").unwrap();
    let typing = |host: &mut SdkHost| ephemeral(host, &room, "m.typing", "/content/user_ids");
    until("the guest's typing", || {
        (typing(&mut meeting.host) == Some(json!([ghost]))).then_some(())
    });
    meeting
        .guest
        .type_in("\u{e003}\u{e003}\u{e003}\u{e003}")
        .unwrap();
    until("the end of the guest's typing", || {
        (typing(&mut meeting.host) != Some(json!([ghost]))).then_some(())
    });

    // The guest reads what is before their eyes.
    let said = meeting.host_says("look").unwrap();
    let mark = |host: &mut SdkHost| ephemeral(host, &room, "m.receipt", "/content");
    until("the guest's mark", || {
        let marks = mark(&mut meeting.host)?;
        marks.get(&said)?.get("m.read")?.get(&ghost).map(drop)
    });
    assert_eq!(meeting.guest.complaints().unwrap(), Vec::<String>::new());
}

/// A member of what a fresh `/sync` says of a room's typing or receipts.
fn ephemeral(host: &mut SdkHost, room: &str, event_type: &str, member: &str) -> Option<Value> {
    // Synapse answers the same question with the same answer for two minutes.
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let new = ASKED.fetch_add(1, Ordering::Relaxed);
    let path = format!("/_matrix/client/v3/sync?timeout={new}");
    let (_, answer) = host.request("GET", &path, None).unwrap();
    let room = answer.get("rooms")?.get("join")?.get(room)?;
    let events = room.get("ephemeral")?.get("events")?.as_array()?;
    let event = events
        .iter()
        .find(|event| event.get("type").is_some_and(|found| found == event_type))?;
    event.pointer(member).cloned()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
