//! A disk on which nothing can be written any more, and then again.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::json;

use crate::bridge::Setup;
use crate::homeserver::PATIENCE;
use crate::world::World;

/// Lets the process write to files, the log among them, or not.
fn may_write(pid: u32, may: bool) {
    let limit = Rlimit {
        current: if may { None } else { Some(0) },
        maximum: getrlimit(Resource::Fsize).maximum,
    };
    let pid = Pid::from_raw(pid.try_into().unwrap());
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

/// Asks for nothing but the state of the bridge, until it names such a problem, or none.
async fn until_problem(world: &World, words: &str, named: bool) {
    let mut problems = String::new();
    let until = async {
        loop {
            problems = world.bridge.ready().await.json()["problems"].to_string();
            if problems.contains(words) == named {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, until).await.is_ok();
    assert!(in_time, "{words:?} ({named}): {problems}");
}

async fn until_ready(world: &World, expected: bool) {
    until_problem(world, "The store can't be written", !expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cant_be_written_is_refused_and_taken_later() {
    let mut world = World::apart(&Setup::default()).await;
    let mut chat = world.open_chat("Alice").await;
    let n = chat.guest.say("before").await;
    chat.guest.until_delivered(n).await;
    world.host_says(&mut chat, "before").await;
    chat.guest.until_texts(1).await;
    // The host began an Olm session, so the next frame is the room key once more. Not below.
    let n = chat.guest.say("keyed").await;
    chat.guest.until_delivered(n).await;
    world.until_idle().await;

    may_write(world.bridge.pid(), false);
    chat.host.say(&world.homeserver, &chat.room, "meanwhile");
    let body = world.homeserver.with(|state| state.take_transaction());
    let id = world.transaction_id();
    for _ in 0..3 {
        assert_eq!(world.bridge.push(&id, &body).await.status, 503);
    }
    let content = chat.guest.encrypt("meanwhile").await;
    let frame = json!({ "type": "send", "content": content });
    let refused = chat.guest.send_numbered(frame.clone()).await;
    assert_eq!(refused["error"]["code"], "unavailable", "{refused}");
    until_ready(&world, false).await;

    // A start is what makes good even what RocksDB takes for the disk's end.
    world.bridge.crash();
    world.bridge.start_apart().await;
    until_ready(&world, true).await;
    chat.guest.open(&world.bridge).await;
    world.push_as(&id, &body).await;
    assert_eq!(chat.guest.send_numbered(frame).await["ok"], true);
    world.host_says(&mut chat, "after").await;
    let texts = ["before", "meanwhile", "after"];
    assert_eq!(chat.guest.until_texts(3).await, texts);
    let n = chat.guest.say("after").await;
    chat.guest.until_delivered(n).await;
    let read = ["before", "keyed", "meanwhile", "after"];
    assert_eq!(world.until_host_read(&mut chat, 4).await, read);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_heals_without_a_start_when_it_can_write_again() {
    let world = World::apart(&Setup::default()).await;
    let mut chat = world.open_chat("Alice").await;
    for round in ["first", "second"] {
        may_write(world.bridge.pid(), false);
        chat.host.say(&world.homeserver, &chat.room, round);
        let body = world.homeserver.with(|state| state.take_transaction());
        let id = world.transaction_id();
        assert_eq!(world.bridge.push(&id, &body).await.status, 503);
        until_ready(&world, false).await;
        may_write(world.bridge.pid(), true);
        // Whoever comes next, a beat of its own too, has the store opened anew.
        until_ready(&world, true).await;
        world.push_as(&id, &body).await;
        let n = chat.guest.say(round).await;
        chat.guest.until_delivered(n).await;
    }
    assert_eq!(chat.guest.until_texts(2).await, ["first", "second"]);
    assert_eq!(
        world.until_host_read(&mut chat, 2).await,
        ["first", "second"]
    );
}

/// A command whose commit fails is as if it had not come, for the bot's ratchets too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_command_that_cant_be_stored_is_read_when_it_comes_again() {
    let world = World::apart(&Setup::default()).await;
    let mut host = world.encrypted_host("Alice").await;
    world.until_idle().await;
    let room = host.management.clone();
    let before = host.read(&world.homeserver, &room).len();
    may_write(world.bridge.pid(), false);
    host.say(&world.homeserver, &room, "invite Maya");
    let body = world.homeserver.with(|state| state.take_transaction());
    let id = world.transaction_id();
    for _ in 0..2 {
        assert_eq!(world.bridge.push(&id, &body).await.status, 503);
    }
    until_ready(&world, false).await;
    may_write(world.bridge.pid(), true);
    until_ready(&world, true).await;
    // The room key that came with it is used once, and comes once here as it would from Synapse's
    // truth path.
    world.push_as(&id, &body).await;
    let said = world.answer(&mut host, before).await;
    assert!(said.contains("/#"), "{said}");
    world.push_as(&id, &body).await;
    world.until_idle().await;
    assert_eq!(host.read(&world.homeserver, &room).len(), before + 1);
}

/// The old store is closed before it is opened anew; when that fails nothing can be read either, and
/// whoever reads before they store something never comes to the driver.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_could_not_be_opened_anew_is_opened_when_it_can_be() {
    let world = World::apart(&Setup::default()).await;
    let mut host = world.host("Alice").await;
    world.until_idle().await;
    may_write(world.bridge.pid(), false);
    let before = world.homeserver.with(|state| host.notices(state).len());
    host.command(&world.homeserver, "help");
    let body = world.homeserver.with(|state| state.take_transaction());
    let id = world.transaction_id();
    assert_eq!(world.bridge.push(&id, &body).await.status, 503);
    until_ready(&world, false).await;
    // RocksDB opens nothing that it can't lock.
    let lock = world.bridge.store_path().join("LOCK");
    std::fs::remove_file(&lock).unwrap();
    std::fs::create_dir(&lock).unwrap();
    may_write(world.bridge.pid(), true);
    until_problem(&world, "LOCK", true).await;
    assert_eq!(world.bridge.push(&id, &body).await.status, 503);
    std::fs::remove_dir(&lock).unwrap();
    until_ready(&world, true).await;
    world.push_as(&id, &body).await;
    let said = world.homeserver.until("the bot answers", |state| {
        host.notices(state).get(before).cloned()
    });
    assert!(said.await.contains("invite"));
    // What fails was said when it began; each beat of that time would say it once more.
    let log = std::fs::read_to_string(world.bridge.log_path()).unwrap();
    assert!(!log.contains("deadlines could not be looked at"), "{log}");
}
