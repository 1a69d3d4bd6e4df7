//! Who can read: devices that their owner has not signed, an identity that changes in the middle, a
//! homeserver that puts in a device or a person of its own. `VESTIBULE_PICTURES` names a folder for
//! pictures of what the page shows.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::path::PathBuf;

use serde_json::{Value, json};
use vestibule_e2e::{Guest, Insecure, Meeting, Rogue, SdkHost, Withheld, lab, told};
use vestibule_lab::{Account, Api, Host, HostEvent, Lab, PATIENCE, wait_for};

/// What matrix-sdk says of a device that its owner signed, of an owner whom nobody verified yet: no
/// client warns of that.
const SIGNED_BY_OWNER: &str = "Unverified(UnverifiedIdentity)";

/// What it says of a device that nobody signed: clients warn of that, in red.
const UNSIGNED: &str = "Unverified(UnsignedDevice)";

fn picture(guest: &Guest, name: &str) {
    if let Some(folder) = std::env::var_os("VESTIBULE_PICTURES") {
        guest.pictures(&PathBuf::from(folder), name).unwrap();
    }
}

/// Alice with one device, which her identity has signed, and her account.
fn alice(lab: &mut Lab) -> (Account, SdkHost) {
    let account = lab.account("alice", "Alice").unwrap();
    let host = SdkHost::login(&lab.homeserver(), &account, true).unwrap();
    (account, host)
}

/// The code that the bot tells for the first chat.
fn code_of_bot<H: Host>(meeting: &mut Meeting<H>) -> String {
    let room = meeting.management_room.clone();
    meeting.host.send(&room, "verify 1").unwrap();
    let words = told(&mut meeting.host, &room, "safety code of your chat");
    assert!(words.contains("the guest's browser gave me"), "{words}");
    words.lines().nth(1).unwrap().trim_matches('`').to_owned()
}

/// Waits until this client can't read a message of the chat.
fn wait_unread(host: &mut SdkHost, room: &str) {
    let unread = |event: &HostEvent| match event {
        HostEvent::Undecryptable { room_id, .. } => (room_id == room).then_some(()),
        _ => None,
    };
    host.events()
        .wait("an unreadable message", PATIENCE, unread)
        .unwrap();
}

fn wait_withheld(host: &SdkHost, sender: &str, code: &str) {
    let expected = Withheld {
        sender: sender.to_owned(),
        code: code.to_owned(),
    };
    wait_for("the notice that a key is withheld", PATIENCE, || {
        Ok(host.withheld().contains(&expected))
    })
    .unwrap();
}

#[test]
fn a_device_that_its_owner_has_not_signed_is_left_out_and_told_why() {
    let mut lab = lab().unwrap();
    let (account, host) = alice(&mut lab);
    let mut second = SdkHost::login(&lab.homeserver(), &account, false).unwrap();
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();
    let room = meeting.room().to_owned();
    meeting
        .guest
        .wait_readers("Only you and Alice can read this chat")
        .unwrap();

    meeting.guest.say("for the signed one").unwrap();
    assert_eq!(meeting.host_hears(1).unwrap()[0].body, "for the signed one");
    wait_unread(&mut second, &room);
    wait_withheld(&second, &meeting.invite.inviter, "m.unverified");
    assert_eq!(meeting.host.withheld(), []);

    // Nor is anything shown that the unsigned device writes; what the other writes is.
    second.send(&room, "from the unsigned one").unwrap();
    meeting.host_says("from the signed one").unwrap();
    let shown = [
        (
            "undecryptable",
            "This message can't be read yet. Please wait a moment.",
        ),
        ("text", "from the signed one"),
    ];
    meeting.guest.wait_bubbles("host", &shown).unwrap();
    meeting.guest.reload().unwrap();
    meeting.guest.wait_bubbles("host", &shown).unwrap();
    meeting.guest.say("and on").unwrap();
    assert_eq!(meeting.host_hears(1).unwrap()[0].body, "and on");
}

#[test]
fn a_host_who_starts_anew_stops_the_page_until_the_guest_goes_on() {
    let mut lab = lab().unwrap();
    let (account, host) = alice(&mut lab);
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();
    let room = meeting.room().to_owned();
    meeting.guest.say("before").unwrap();
    meeting.host_hears(1).unwrap();
    let before = meeting.guest.safety_code().unwrap();
    assert_eq!(code_of_bot(&mut meeting), before);
    assert_eq!(before.len(), 29);
    meeting.guest.toggle_menu().unwrap();
    picture(&meeting.guest, "safety");
    meeting.guest.toggle_menu().unwrap();

    // Alice has lost everything, and sets up her account on another device.
    let mut new = SdkHost::login(&lab.homeserver(), &account, false).unwrap();
    new.reset_identity(&account).unwrap();
    meeting
        .guest
        .wait_readers("Nothing is sent: is it still Alice?")
        .unwrap();
    meeting
        .guest
        .wait_text("Alice's security identity has changed", true)
        .unwrap();
    let after = meeting.guest.safety_code().unwrap();
    assert_ne!(after, before);
    assert!(meeting.guest.safety_words().unwrap().contains("New since"));

    meeting.guest.say("is that you?").unwrap();
    new.send(&room, "from my new phone").unwrap();
    let held = "This message is held back until you go on with Alice's new security identity.";
    meeting
        .guest
        .wait_bubbles("host", &[("undecryptable", held)])
        .unwrap();
    meeting
        .guest
        .wait_states(&["delivered", "waiting"])
        .unwrap();
    picture(&meeting.guest, "identity");
    // Over a reload as well.
    meeting.guest.reload().unwrap();
    meeting.guest.wait_readers("Nothing is sent").unwrap();
    meeting
        .guest
        .wait_bubbles("host", &[("undecryptable", held)])
        .unwrap();

    meeting.host = new;
    assert_eq!(code_of_bot(&mut meeting), after);
    meeting.guest.accept_identity().unwrap();
    meeting
        .guest
        .wait_bubbles("host", &[("text", "from my new phone")])
        .unwrap();
    let heard = meeting.host.next_message(&room).unwrap();
    assert_eq!(heard.body, "is that you?");
    assert!(heard.decrypted);
    meeting
        .guest
        .wait_readers("Only you and Alice can read this chat")
        .unwrap();
    assert_eq!(meeting.guest.safety_code().unwrap(), after);
    meeting.guest.toggle_menu().unwrap();
    picture(&meeting.guest, "safety-new");
    assert_eq!(meeting.guest.complaints().unwrap(), Vec::<String>::new());
}

#[test]
fn a_host_who_excludes_insecure_devices_reads_the_guest_without_a_warning() {
    let mut lab = lab().unwrap();
    let account = lab.account("alice", "Alice").unwrap();
    let homeserver = lab.homeserver();
    let host = SdkHost::login_with(&homeserver, &account, true, Insecure::Excluded).unwrap();
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();
    for text in ["first", "second"] {
        meeting.guest.say(text).unwrap();
        let heard = meeting.host_hears(1).unwrap().remove(0);
        assert_eq!(heard.body, text);
        assert_eq!(heard.trust.as_deref(), Some(SIGNED_BY_OWNER));
    }
    meeting.host_says("and back").unwrap();
    meeting.guest.wait_for_texts("host", &["and back"]).unwrap();
}

#[test]
fn a_host_without_cross_signing_is_promised_less() {
    let mut lab = lab().unwrap();
    let host = lab.nio_host("alice", "Alice").unwrap();
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();
    meeting
        .guest
        .wait_readers("Only you and Alice can read, if the server is honest")
        .unwrap();
    let words = meeting.guest.safety_words().unwrap();
    assert!(
        words.contains("Alice's account has no cross-signing"),
        "{words}"
    );
    picture(&meeting.guest, "unsigned");
    let room = meeting.management_room.clone();
    meeting.host.send(&room, "verify Maya").unwrap();
    told(
        &mut meeting.host,
        &room,
        "because your account has no cross-signing",
    );
    meeting.guest.say("all the same").unwrap();
    meeting.host_hears(1).unwrap();
}

/// A chat into which the homeserver puts a rogue device, between two messages of the host.
fn with_rogue(insecure: Insecure) -> (Lab, Meeting<SdkHost>, Rogue) {
    let mut lab = lab().unwrap();
    let account = lab.account("alice", "Alice").unwrap();
    let host = SdkHost::login_with(&lab.homeserver(), &account, true, insecure).unwrap();
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();
    let ghost = meeting.invite.inviter.clone();
    meeting.host_says("before").unwrap();
    meeting.guest.wait_for_texts("host", &["before"]).unwrap();
    let code = meeting.guest.safety_code().unwrap();

    let rogue = Rogue::on(&lab, &ghost, meeting.host.user_id()).unwrap();
    // The host's client shows it for what it is.
    wait_for("the host to see the device", PATIENCE, || {
        Ok(meeting.host.sees_signed(&ghost, rogue.device()).is_ok())
    })
    .unwrap();
    assert!(!meeting.host.sees_signed(&ghost, rogue.device()).unwrap());
    meeting.host_says("after").unwrap();

    // The page is not disturbed, and its own messages carry no warning.
    let shown = ["before", "after"];
    meeting.guest.wait_for_texts("host", &shown).unwrap();
    meeting.guest.say("still me").unwrap();
    let heard = meeting.host_hears(1).unwrap().remove(0);
    assert_eq!(heard.body, "still me");
    assert_eq!(heard.trust.as_deref(), Some(SIGNED_BY_OWNER));
    let readers = "Only you and Alice can read this chat";
    meeting.guest.wait_readers(readers).unwrap();
    assert_eq!(meeting.guest.safety_code().unwrap(), code);
    assert_eq!(code_of_bot(&mut meeting), code);
    (lab, meeting, rogue)
}

#[test]
fn a_rogue_device_is_nobody_to_a_host_who_excludes_insecure_ones() {
    let (_lab, mut meeting, mut rogue) = with_rogue(Insecure::Excluded);
    assert_eq!(rogue.inbox().unwrap(), ["m.room_key.withheld"]);
    let room = meeting.room().to_owned();
    rogue.say(&room, "I am Maya").unwrap();
    wait_unread(&mut meeting.host, &room);
    assert!(!meeting.guest.text().unwrap().contains("I am Maya"));
}

/// Nobody but the host's client can prevent this: it gives keys to every device that the homeserver
/// names. The host sees that nobody signed it.
#[test]
fn a_rogue_device_is_shown_as_unsigned_to_a_host_who_includes_them() {
    let (_lab, mut meeting, mut rogue) = with_rogue(Insecure::Included);
    assert_eq!(rogue.inbox().unwrap(), ["m.room.encrypted"]);
    let room = meeting.room().to_owned();
    rogue.say(&room, "I am Maya").unwrap();
    let heard = meeting.host_hears(1).unwrap().remove(0);
    assert_eq!(heard.body, "I am Maya");
    assert_eq!(heard.trust.as_deref(), Some(UNSIGNED));
    assert!(!meeting.guest.text().unwrap().contains("I am Maya"));

    // With an identity of its own, too, it is found out: it is not the browser's.
    rogue.take_identity().unwrap();
    let management = meeting.management_room.clone();
    meeting.host.send(&management, "verify 1").unwrap();
    let words = told(&mut meeting.host, &management, "Stop:");
    assert!(words.contains("than their browser made"), "{words}");
}

/// A module for Synapse that lets one user into every room, whatever its rules say.
const HOSTILE: &str = r#"
from synapse import event_auth

class Hostile:
    def __init__(self, config, api):
        allowed = event_auth._is_membership_change_allowed

        def check(room_version, event, auth_events):
            if event.state_key != config["lets_in"]:
                allowed(room_version, event, auth_events)

        event_auth._is_membership_change_allowed = check
"#;

/// From now on the homeserver lets this user in anywhere.
fn make_hostile(lab: &mut Lab, lets_in: &str) {
    let dir = lab.dir().join("synapse");
    std::fs::write(dir.join("hostile.py"), HOSTILE).unwrap();
    let path = dir.join("homeserver.yaml");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["modules"] = json!([{ "module": "hostile.Hostile", "config": { "lets_in": lets_in } }]);
    std::fs::write(&path, config.to_string()).unwrap();
    lab.synapse().unwrap().restart().unwrap();
}

#[test]
fn a_third_person_ends_the_chat_and_both_read_why() {
    let mut lab = lab().unwrap();
    let mallory = lab.account("mallory", "Mallory").unwrap();
    make_hostile(&mut lab, &mallory.user_id);
    let (_, host) = alice(&mut lab);
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();
    let (room, ghost) = (meeting.room().to_owned(), meeting.invite.inviter.clone());
    meeting.guest.say("between us").unwrap();
    meeting.host_hears(1).unwrap();

    let (third, _) = Api::login(&lab.homeserver(), "mallory", &mallory.password).unwrap();
    let base = format!("/_matrix/client/v3/rooms/{room}");
    let joined = third
        .call("POST", &format!("{base}/join"), Some(&json!({})))
        .unwrap();
    assert!(joined.is_success(), "{}", joined.text);

    meeting.guest.wait_screen("ended").unwrap();
    meeting
        .guest
        .wait_readers("Somebody else came in. Nothing more is sent.")
        .unwrap();
    let page = meeting.guest.text().unwrap();
    assert!(page.contains("Somebody else appeared in it"), "{page}");
    // Not even a page that was changed so that its field is there could send.
    meeting.guest.say_quickly("too late").unwrap();
    meeting.guest.reload().unwrap();
    meeting.guest.wait_screen("ended").unwrap();
    assert_eq!(meeting.guest.texts("me").unwrap(), ["between us"]);
    picture(&meeting.guest, "third");
    let management = meeting.management_room.clone();
    told(
        &mut meeting.host,
        &management,
        "somebody else came into the room",
    );
    let left = |event: &HostEvent| match event {
        HostEvent::Member {
            room_id,
            member,
            membership,
        } => (*room_id == room && *member == ghost && membership == "leave").then_some(()),
        _ => None,
    };
    meeting
        .host
        .events()
        .wait("the guest to leave", PATIENCE, left)
        .unwrap();
    // Of what was said they have the ciphertext, and no key came for them.
    let seen = third
        .call("GET", "/_matrix/client/v3/sync", None)
        .unwrap()
        .json();
    assert_eq!(
        seen["to_device"]["events"].as_array().map_or(0, Vec::len),
        0
    );
    assert!(!seen.to_string().contains("between us"));
}
