//! The bot in encrypted rooms over a real Synapse, with clients that nobody here wrote: links that the
//! homeserver never sees, a restart in between, two admins in one room.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vestibule_e2e::{Insecure, SdkHost, contains, lab, lab_with, link, told};
use vestibule_lab::{Host, HostEvent, Lab, Options, PATIENCE};

/// An encrypted room with the bot and these others; it listens already.
fn encrypted_room(host: &mut impl Host, others: &[&str]) -> String {
    let room = new_room(host, others);
    let hello = told(host, &room, "Hello!");
    assert!(!hello.contains("not encrypted"), "{hello}");
    room
}

fn new_room(host: &mut impl Host, others: &[&str]) -> String {
    let mut invite = vec![Lab::BOT];
    invite.extend(others);
    let body = json!({
        "preset": "trusted_private_chat", "is_direct": true, "invite": invite,
        "initial_state": [{
            "type": "m.room.encryption", "state_key": "",
            "content": { "algorithm": "m.megolm.v1.aes-sha2" },
        }],
    });
    let path = "/_matrix/client/v3/createRoom";
    let (status, said) = host.request("POST", path, Some(&body)).unwrap();
    assert_eq!(status, 200, "{said}");
    said["room_id"].as_str().unwrap().to_owned()
}

/// Writes to the bot, and waits until it says something with this in it.
fn ask(host: &mut impl Host, room: &str, text: &str, part: &str) -> String {
    host.send(room, text).unwrap();
    told(host, room, part)
}

/// Everything that came in the room so far was encrypted.
fn assert_all_encrypted(host: &mut impl Host, room: &str) {
    for event in host.events().drain() {
        if let HostEvent::Message(message) = event {
            assert!(message.room_id != room || message.decrypted, "{message:?}");
        }
    }
}

/// Whether a link leads somewhere.
fn works(lab: &Lab, link: &str) -> bool {
    let token = token_of(link);
    let answer = lab
        .guests()
        .call("POST", "/api/v1/link", Some(&json!({ "token": token })));
    answer.unwrap().status == 200
}

fn token_of(link: &str) -> &str {
    link.split_once("/#").unwrap().1
}

/// The files below a folder in which this stands.
fn found(folder: &Path, needle: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(self::found(&path, needle));
        } else if contains(&std::fs::read(&path).unwrap(), needle.as_bytes()) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_client_that_excludes_insecure_devices_gets_a_link_that_the_homeserver_never_sees() {
    let mut lab = lab().unwrap();
    let account = lab.account("alice", "Alice").unwrap();
    let homeserver = lab.homeserver();
    let mut host = SdkHost::login_with(&homeserver, &account, true, Insecure::Excluded).unwrap();
    let room = new_room(&mut host, &[]);
    // It reads nothing of somebody whom it has not asked for. Clients with a timeline read it again
    // then; this one has none, and the greeting is gone.
    host.events()
        .wait("the greeting", PATIENCE, |event| match event {
            HostEvent::Undecryptable { room_id, .. } => (*room_id == room).then_some(()),
            HostEvent::Message(message) => (message.room_id == room).then_some(()),
            _ => None,
        })
        .unwrap();
    host.knows_identity(Lab::BOT).unwrap();
    ask(&mut host, &room, "help", "`invite");
    let words = ask(&mut host, &room, "invite Maya Ellison", "/#");
    let first = link(&words);
    let picture = host
        .events()
        .wait("the picture", PATIENCE, |event| match event {
            HostEvent::Message(message) if message.msgtype.as_deref() == Some("m.image") => {
                Some(message.clone())
            }
            _ => None,
        })
        .unwrap();
    assert!(picture.decrypted);
    let png = host.open_picture(&room, &picture.event_id).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n"), "{} bytes", png.len());

    // The same device goes on after a restart, by kill or in good order.
    lab.bridge().unwrap().kill();
    lab.bridge().unwrap().start_again().unwrap();
    ask(&mut host, &room, "list", "Maya Ellison");
    lab.bridge().unwrap().stop();
    lab.bridge().unwrap().start_again().unwrap();
    let second = link(&ask(&mut host, &room, "invite Ben", "/#"));
    assert!(works(&lab, &first) && works(&lab, &second));
    assert_all_encrypted(&mut host, &room);

    lab.synapse().unwrap().stop();
    let kept = lab.dir().join("synapse");
    assert!(!found(&kept, &room).is_empty(), "the search finds things");
    for needle in [token_of(&first), token_of(&second), "Maya Ellison"] {
        assert_eq!(found(&kept, needle), Vec::<PathBuf>::new(), "{needle}");
    }
    // Nor does the bridge keep a link in the clear.
    for needle in [token_of(&first), token_of(&second)] {
        assert_eq!(found(&lab.store(), needle), Vec::<PathBuf>::new());
    }
}

/// What is said while no bridge runs: its room key is pushed to nobody, and can't be fetched.
#[test]
fn a_command_whose_key_was_lost_is_asked_for_again_and_read_then() {
    let mut lab = lab().unwrap();
    let account = lab.account("alice", "Alice").unwrap();
    let mut host = SdkHost::login(&lab.homeserver(), &account, true).unwrap();
    let room = encrypted_room(&mut host, &[]);
    lab.bridge().unwrap().kill();
    host.send(&room, "invite Maya").unwrap();
    lab.bridge().unwrap().start_again().unwrap();
    told(&mut host, &room, "please write it again");
    let words = ask(&mut host, &room, "invite Maya", "/#");
    assert!(works(&lab, &link(&words)));
}

#[test]
fn a_nio_host_has_every_command_in_an_encrypted_chat() {
    let mut lab = lab().unwrap();
    let mut host = lab.nio_host("alice", "Alice").unwrap();
    let room = encrypted_room(&mut host, &[]);
    let words = ask(&mut host, &room, "invite Maya", "/#");
    assert!(works(&lab, &link(&words)));
    // What is told unasked comes there too.
    told(&mut host, &room, "Your link for Maya (number 1) was opened");
    ask(&mut host, &room, "list", "Maya");
    ask(&mut host, &room, "invte", "Did you mean `invite`?");
    ask(&mut host, &room, "revoke 1", "Maya");
    assert!(!works(&lab, &link(&words)));
    // What comes in the clear is not followed.
    let content = json!({ "msgtype": "m.text", "body": "invite Carl" });
    let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/clear1");
    let (status, said) = host.request("PUT", &path, Some(&content)).unwrap();
    assert_eq!(status, 200, "{said}");
    told(&mut host, &room, "came without encryption");
    let (status, room_list) = host
        .request(
            "GET",
            &format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=100"),
            None,
        )
        .unwrap();
    assert_eq!(status, 200);
    let of_bot = room_list["chunk"].as_array().unwrap().iter();
    let in_the_clear: Vec<&Value> = of_bot
        .filter(|event| event["sender"] == Lab::BOT && event["type"] == "m.room.message")
        .collect();
    assert!(in_the_clear.is_empty(), "{in_the_clear:?}");
}

/// The bot's devices, as the homeserver shows them to the host.
fn bot_devices(host: &mut impl Host) -> Vec<String> {
    let path = "/_matrix/client/v3/keys/query";
    let body = json!({ "device_keys": { Lab::BOT: [] } });
    let (status, keys) = host.request("POST", path, Some(&body)).unwrap();
    assert_eq!(status, 200, "{keys}");
    let devices = keys["device_keys"][Lab::BOT].as_object().unwrap();
    devices.keys().cloned().collect()
}

/// The files of a folder that has no folders.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A store that was set back to a backup holds ratchets that went on since.
#[test]
fn a_nio_host_goes_on_after_the_bots_device_was_replaced() {
    let mut lab = lab().unwrap();
    let mut host = lab.nio_host("alice", "Alice").unwrap();
    let room = encrypted_room(&mut host, &[]);
    ask(&mut host, &room, "help", "`invite");
    let first = bot_devices(&mut host);
    assert_eq!(first.len(), 1);
    let (store, backup) = (lab.store(), lab.dir().join("backup"));
    lab.bridge().unwrap().stop();
    copy(&store, &backup);
    lab.bridge().unwrap().start_again().unwrap();
    ask(&mut host, &room, "invite Maya", "/#");
    assert_eq!(bot_devices(&mut host), first, "a restart is no reason");
    lab.bridge().unwrap().stop();
    std::fs::remove_dir_all(&store).unwrap();
    copy(&backup, &store);
    lab.bridge().unwrap().start_again().unwrap();
    let begun = Instant::now();
    let second = loop {
        let now = bot_devices(&mut host);
        if now.len() == 1 && now != first {
            break now;
        }
        assert!(begun.elapsed() < PATIENCE, "{now:?}");
        std::thread::sleep(Duration::from_millis(100));
    };
    // Of keys for the new device the homeserver may have lost some: while no bridge ran it may have
    // failed to deliver something, and then it holds back for seconds, and what goes to devices
    // meanwhile is dropped. Then the bot gets yet another device, and asks for the command once more.
    host.send(&room, "invite Ben").unwrap();
    let answer = |event: &HostEvent| match event {
        HostEvent::Message(message) if message.room_id == room && message.sender == Lab::BOT => {
            let says = |part: &str| message.body.contains(part);
            let answered = says("/#") || says("please write it again");
            answered.then(|| message.body.clone())
        }
        _ => None,
    };
    let mut words = host.events().wait("an answer", PATIENCE, answer).unwrap();
    let was_lost = !words.contains("/#");
    if was_lost {
        words = ask(&mut host, &room, "invite Ben", "/#");
    }
    assert!(works(&lab, &link(&words)));
    assert_all_encrypted(&mut host, &room);
    let last = bot_devices(&mut host);
    assert_eq!(last.len(), 1);
    assert_eq!(last != second, was_lost, "another one only for a loss");
}

#[test]
fn two_admins_read_every_answer_in_an_encrypted_admin_room() {
    let options = Options {
        permissions: vec![("@root:vestibule.test".to_owned(), "admin")],
        ..Options::default()
    };
    let mut lab = lab_with(&options).unwrap();
    let mut other = lab.nio_host("root", "The Other").unwrap();
    let account = lab.account("admin", "The Admin").unwrap();
    let mut admin = SdkHost::login(&lab.homeserver(), &account, true).unwrap();
    let room = encrypted_room(&mut admin, &["@root:vestibule.test"]);
    other.join(&room).unwrap();
    ask(
        &mut admin,
        &room,
        "!guest admin-room",
        "This is an admin room now",
    );
    told(&mut other, &room, "This is an admin room now");
    ask(&mut other, &room, "!guest status", "Open: 0 chats");
    told(&mut admin, &room, "Open: 0 chats");
    lab.bridge().unwrap().kill();
    lab.bridge().unwrap().start_again().unwrap();
    let doctor = ask(&mut admin, &room, "!guest doctor", "as far as I can see");
    assert!(
        doctor.contains("ok: The bot's own device stands"),
        "{doctor}"
    );
    told(&mut other, &room, "as far as I can see");
    // A third who comes later reads what is said from then on.
    let mut late = lab.nio_host("late", "The Late").unwrap();
    let invite = json!({ "user_id": "@late:vestibule.test" });
    let path = format!("/_matrix/client/v3/rooms/{room}/invite");
    let (status, said) = admin.request("POST", &path, Some(&invite)).unwrap();
    assert_eq!(status, 200, "{said}");
    late.join(&room).unwrap();
    ask(&mut admin, &room, "!guest quota", "links");
    told(&mut late, &room, "links");
    // They are in the room, and not obeyed.
    late.send(&room, "!guest pause").unwrap();
    ask(&mut admin, &room, "!guest resume", "It is not paused.");
}
