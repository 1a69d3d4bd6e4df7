//! A bridge whose store is an older copy of itself, and a browser's storage that was set back.

use std::path::Path;

use serde_json::{Value, json};

use crate::guest::Guest;
use crate::homeserver::fault::Fault;
use crate::world::{Chat, World};

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// The hello of a page that asks for everything, and knows up to where it was counted.
async fn ask_anew(world: &World, guest: &mut Guest, last_n: u64) {
    guest.last_seq = 0;
    let mut socket = crate::guest::socket::Socket::of_page(&world.bridge).await;
    let challenge = socket.next().await.unwrap();
    let mut hello = guest.hello(&world.bridge, &challenge);
    hello["last_n"] = json!(last_n);
    socket.send(&hello).await;
    guest.adopt(socket);
}

/// A message, a copy of the store that holds it, and on it goes.
async fn back_up(world: &mut World, chat: &mut Chat) -> tempfile::TempDir {
    let n = chat.guest.say("before the backup").await;
    chat.guest.until_delivered(n).await;
    let backup = tempfile::tempdir().unwrap();
    world.bridge.stop().await;
    copy(&world.bridge.store_path(), backup.path());
    world.bridge.start().await;
    chat.guest.open(&world.bridge).await;
    backup
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_store_keeps_what_is_new_in_it_and_counts_on() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let backup = back_up(&mut world, &mut chat).await;
    let mut last_n = 0;
    for text in ["forgotten 1", "forgotten 2"] {
        last_n = chat.guest.say(text).await;
        chat.guest.until_delivered(last_n).await;
    }
    let seen = chat.guest.last_seq;

    world.bridge.stop().await;
    std::fs::remove_dir_all(world.bridge.store_path()).unwrap();
    copy(backup.path(), &world.bridge.store_path());
    world.bridge.start().await;
    world.host_says(&mut chat, "under an old number").await;

    // The hello counts by the store that is gone. It must not throw away what has its numbers now.
    chat.guest.last_n = 0;
    chat.guest.open(&world.bridge).await;
    let counts = |welcome: &Value| {
        ["acked_seq", "last_seq", "last_n"].map(|name| welcome[name].as_u64().unwrap())
    };
    let [acked, last, counted] = counts(&chat.guest.welcome);
    assert!(acked < seen && counted < last_n, "{}", chat.guest.welcome);

    ask_anew(&world, &mut chat.guest, last_n).await;
    chat.guest.welcome = Value::Null;
    chat.guest.last_seq = acked;
    chat.guest
        .until("a welcome", |guest| {
            (!guest.welcome.is_null()).then_some(())
        })
        .await;
    assert_eq!(counts(&chat.guest.welcome), [acked, last, last_n]);
    assert_eq!(
        chat.guest.until_texts(1).await,
        ["under an old number"],
        "nothing of it was thrown away"
    );
    chat.guest.last_n = last_n;
    let n = chat.guest.say("after the restore").await;
    // Before it went the room key, for the Olm session that the host began.
    assert_eq!(n, last_n + 2);
    chat.guest.until_delivered(n).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_a_restored_store_gets_again_makes_no_second_event() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let backup = back_up(&mut world, &mut chat).await;
    let content = chat.guest.encrypt("once").await;
    let frame = json!({ "type": "send", "content": content });
    assert_eq!(chat.guest.send_numbered(frame.clone()).await["ok"], true);
    let n = chat.guest.last_n;
    chat.guest.until_delivered(n).await;
    let events = |world: &World, chat: &crate::world::Chat| {
        world
            .homeserver
            .with(|state| state.rooms[&chat.room].timeline.len())
    };
    let before = events(&world, &chat);

    world.bridge.stop().await;
    std::fs::remove_dir_all(world.bridge.store_path()).unwrap();
    copy(backup.path(), &world.bridge.store_path());
    world.bridge.start().await;
    chat.guest.last_n = n - 1;
    chat.guest.open(&world.bridge).await;
    let acked = chat.guest.welcome["acked_seq"].as_u64().unwrap();
    ask_anew(&world, &mut chat.guest, n - 1).await;
    chat.guest.inbox.clear();
    chat.guest.last_seq = acked;
    assert_eq!(chat.guest.send_numbered(frame).await["ok"], true);
    chat.guest.until_delivered(n).await;
    assert_eq!(events(&world, &chat), before);
    assert_eq!(
        world.until_host_read(&mut chat, 2).await,
        ["before the backup", "once"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_frame_is_told_in_the_welcome() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let n = chat.guest.say("one").await;
    chat.guest.until_delivered(n).await;
    let last = chat.guest.last_seq;
    chat.guest.disconnect();
    chat.guest.open(&world.bridge).await;
    let welcome = &chat.guest.welcome;
    assert_eq!(
        (&welcome["acked_seq"], &welcome["last_seq"]),
        (&json!(last), &json!(last))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_under_ids_that_are_taken_are_refused_for_good_and_trouble_is_not() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let upload = chat.guest.machine.one_time_keys(0, true, u64::MAX / 2);
    let upload = upload.unwrap().output.unwrap();
    let frame = json!({ "type": "keys_upload", "one_time_keys": upload.one_time_keys, "fallback_keys": {} });
    for (fault, code) in [
        (Fault::Status(400, "M_UNKNOWN"), "bad_keys"),
        (Fault::Status(502, "M_UNKNOWN"), "unavailable"),
        (Fault::Status(429, "M_LIMIT_EXCEEDED"), "unavailable"),
    ] {
        world
            .homeserver
            .faults(|faults| faults.named("upload_keys", fault, 1));
        let answer = chat.guest.ask(frame.clone()).await;
        assert_eq!(answer["error"]["code"], code, "{fault:?}");
    }
    assert_eq!(chat.guest.ask(frame).await["ok"], true);
}
