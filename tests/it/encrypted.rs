//! The bot in encrypted rooms: what it reads and says there, and that the homeserver can't.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bridge::Setup;
use crate::homeserver::fault::Fault;
use crate::homeserver::state::{BOT, State};
use crate::homeserver::until;
use crate::host::Host;
use crate::restored::copy;
use crate::world::{World, token};

impl World {
    /// A host whose direct chat with the bot is encrypted.
    pub async fn encrypted_host(&self, name: &str) -> Host {
        let mut host = Host::encrypted(&self.homeserver, name);
        self.deliver().await;
        let room = host.management.clone();
        until("the bot says hello", || {
            let said = host.read(&self.homeserver, &room);
            said.first().filter(|said| said.contains("Hello!")).cloned()
        })
        .await;
        host
    }

    /// Has the host write to the bot, encrypted, and gives what it answers.
    pub async fn ask(&self, host: &mut Host, text: &str) -> String {
        let room = host.management.clone();
        self.until_idle().await;
        let before = host.read(&self.homeserver, &room).len();
        host.say(&self.homeserver, &room, text);
        self.deliver().await;
        self.answer(host, before).await
    }

    /// The same, and whatever goes to devices is not pushed.
    async fn ask_in_vain(&self, host: &mut Host, text: &str) -> String {
        let room = host.management.clone();
        let before = host.read(&self.homeserver, &room).len();
        host.say(&self.homeserver, &room, text);
        self.homeserver.with(|state| state.to_device.clear());
        self.deliver().await;
        self.answer(host, before).await
    }

    /// Sets the store back to a backup, and waits until the bot has another device than that one.
    async fn set_back(&mut self, backup: &Path, first: &str) {
        self.bridge.stop().await;
        std::fs::remove_dir_all(self.bridge.store_path()).unwrap();
        copy(backup, &self.bridge.store_path());
        self.start_bridge().await;
        self.until_other_device(first).await;
    }

    /// Waits until the bot has one device, and not that one.
    pub async fn until_other_device(&self, first: &str) {
        until("there is another device", || {
            self.homeserver.with(|state| {
                let devices = &state.users[BOT].devices;
                (devices.len() == 1 && !devices.contains_key(first)).then_some(())
            })
        })
        .await;
    }

    /// A copy of the store, taken while no bridge runs; then the bridge has gone on.
    async fn backed_up(&mut self, host: &mut Host) -> TempDir {
        self.bridge.stop().await;
        let backup = tempfile::tempdir().unwrap();
        copy(&self.bridge.store_path(), backup.path());
        self.start_bridge().await;
        self.ask(host, "help").await;
        self.until_idle().await;
        backup
    }

    /// What the bot said after so many.
    pub async fn answer(&self, host: &mut Host, before: usize) -> String {
        let room = host.management.clone();
        until("the bot answers", || {
            host.read(&self.homeserver, &room).get(before).cloned()
        })
        .await
    }
}

/// Everything that the homeserver was ever told or keeps.
fn known_to(world: &World) -> String {
    let calls: Vec<Value> = world
        .homeserver
        .calls()
        .into_iter()
        .map(|call| json!([call.url, call.body]))
        .collect();
    let kept = world.homeserver.with(|state: &mut State| {
        let rooms = state.rooms.iter();
        let events = rooms.flat_map(|(id, room)| room.timeline.iter().map(|e| e.to_json(id)));
        events.collect::<Vec<_>>()
    });
    json!([calls, kept]).to_string()
}

fn in_the_clear(host: &Host, state: &State) -> Vec<String> {
    host.notices(state)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_is_asked_for_and_given_without_the_homeserver_seeing_it() {
    let world = World::start().await;
    let mut host = world.encrypted_host("Alice").await;
    let help = world.ask(&mut host, "help").await;
    assert!(help.contains("invite"), "{help}");
    let words = world.ask(&mut host, "invite Maya").await;
    let token = token(&words);
    world.until_idle().await;
    let known = known_to(&world);
    assert!(!known.contains(&token));
    for word in ["Hello!", "Here is your link", "Maya", "Did you mean"] {
        assert!(!known.contains(word), "{word}");
    }
    assert!(!known.contains("m.image"));
    // The picture went along, as something that nobody else can open.
    let files = world
        .homeserver
        .with(|state| state.media.values().cloned().collect::<Vec<_>>());
    assert_eq!(files.len(), 1);
    assert!(!files[0].starts_with(b"\x89PNG"));
    let room = host.management.clone();
    let encrypted = world.homeserver.with(|state| {
        let timeline = &state.rooms[&room].timeline;
        assert!(in_the_clear(&host, state).is_empty());
        let of_bot = |event: &&_| -> bool {
            let event: &crate::homeserver::room::Event = event;
            event.sender == BOT && event.event_type == "m.room.encrypted"
        };
        timeline.iter().filter(of_bot).count()
    });
    assert_eq!(encrypted, 4, "hello, help, link, picture");
    // The link works.
    let chat = world.chat_over(host, token).await;
    assert!(!chat.room.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_in_the_clear_is_refused_in_an_encrypted_room() {
    let world = World::start().await;
    let mut host = world.encrypted_host("Alice").await;
    let room = host.management.clone();
    let before = host.read(&world.homeserver, &room).len();
    host.command(&world.homeserver, "invite Maya");
    world.deliver().await;
    let said = world.answer(&mut host, before).await;
    assert!(said.contains("came without encryption"), "{said}");
    assert_eq!(world.homeserver.with(|state| host.notices(state).len()), 0);
}

/// Before the transaction was answered, after it, while the answer was on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_anywhere_gives_one_answer_and_never_encrypts_twice() {
    for fault in [None, Some(Fault::Unanswered), Some(Fault::Broken)] {
        let mut world = World::start().await;
        let mut host = world.encrypted_host("Alice").await;
        world.ask(&mut host, "help").await;
        world.until_idle().await;
        let room = host.management.clone();
        let before = host.read(&world.homeserver, &room).len();
        if let Some(fault) = fault {
            world
                .homeserver
                .faults(|faults| faults.named("send", fault, 1));
        }
        let sent = world.homeserver.count("send");
        host.say(&world.homeserver, &room, "list");
        let body = world.homeserver.with(|state| state.take_transaction());
        world.push_as("crash", &body).await;
        if fault.is_some() {
            let called = || (world.homeserver.count("send") > sent).then_some(());
            until("the answer is sent", called).await;
        }
        world.crash_bridge().await;
        // The homeserver did not hear that it was taken.
        world.push_as("crash", &body).await;
        world.answer(&mut host, before).await;
        world.until_idle().await;
        let said = host.read(&world.homeserver, &room);
        assert_eq!(said.len(), before + 1, "{fault:?}: {said:?}");
        assert_no_index_twice(&world, &room);
        // And it goes on.
        assert!(world.ask(&mut host, "help").await.contains("invite"));
    }
}

/// Of each Megolm session of the bot's every ciphertext was sent once.
fn assert_no_index_twice(world: &World, room: &str) {
    let sent = world.homeserver.with(|state| {
        let timeline = &state.rooms[room].timeline;
        let of_bot = timeline.iter().filter(|event| event.sender == BOT);
        let ciphertexts = of_bot.filter_map(|event| {
            let session = event.content["session_id"].as_str()?;
            // Version and message index stand before what is encrypted.
            let ciphertext = event.content["ciphertext"].as_str()?;
            let bytes = vestibule_crypto::decode_base64(ciphertext)?;
            Some((session.to_owned(), bytes[1..4].to_vec()))
        });
        ciphertexts.collect::<Vec<_>>()
    });
    let mut once = sent.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), sent.len(), "an index was used twice");
}

/// Where the bot's inbox can't be read, a lost key is lost: the bot asks for the command again, and can
/// read it then though the client goes on with the same session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_key_that_is_lost_costs_one_more_try() {
    let world = World::start().await;
    let mut host = world.encrypted_host("Alice").await;
    let said = world.ask_in_vain(&mut host, "invite Maya").await;
    assert!(said.contains("please write it again"), "{said}");
    let words = world.ask(&mut host, "invite Maya").await;
    assert!(words.contains("/#"), "{words}");
    assert_eq!(world.bridge.ready().await.status, 200);
}

/// The homeserver loses keys above all when the bridge was just away, as it is while a backup is
/// restored: a device that is new already gives way to another one all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_key_that_is_lost_after_a_restore_costs_one_more_try() {
    let mut world = World::start().await;
    let mut host = world.encrypted_host("Alice").await;
    let first = world.homeserver.with(bot_device);
    let backup = world.backed_up(&mut host).await;
    world.set_back(backup.path(), &first).await;
    let said = world.ask_in_vain(&mut host, "invite Maya").await;
    assert!(said.contains("please write it again"), "{said}");
    let words = world.ask(&mut host, "invite Maya").await;
    assert!(words.contains("/#"), "{words}");
}

/// What is pushed of a to-device event is lost; the room key is found by the truth path.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_key_that_was_not_pushed_is_fetched() {
    let world = World::start().await;
    world.homeserver.with(|state| state.bot_may_sync = true);
    let mut host = world.encrypted_host("Alice").await;
    let said = world.ask_in_vain(&mut host, "invite Maya").await;
    assert!(said.contains("/#"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsigned_device_is_not_followed_until_it_is_signed() {
    let world = World::start().await;
    let mut host = world.encrypted_host("Alice").await;
    let room = host.management.clone();
    // Another device of hers, without her signature.
    let mut stranger = host.second_device(&world.homeserver, "UNSIGNED", false);
    let before = host.read(&world.homeserver, &room).len();
    stranger.say(&world.homeserver, &room, "invite Maya");
    world.deliver().await;
    let said = world.answer(&mut host, before).await;
    assert!(said.contains("not verified"), "{said}");
    assert_eq!(
        stranger.read(&world.homeserver, &room).len(),
        0,
        "not for that device"
    );
    let links = world.ask(&mut host, "list").await;
    assert!(!links.contains("Maya"), "{links}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_identity_is_accepted_and_told() {
    let world = World::start().await;
    let mut host = world.encrypted_host("Alice").await;
    world.ask(&mut host, "help").await;
    let room = host.management.clone();
    world.until_idle().await;
    host.device = "NEWDEVICE".to_owned();
    host.new_device(&world.homeserver, true);
    let before = host.items.len();
    host.say(&world.homeserver, &room, "list");
    world.deliver().await;
    let told = world.answer(&mut host, before).await;
    assert!(
        told.starts_with("Your encryption identity was reset."),
        "{told}"
    );
    let answered = world.answer(&mut host, before + 1).await;
    assert!(!answered.contains("reset"), "{answered}");
    let mut root = world.host("Root").await;
    world.command(&mut root, "admin-room").await;
    let trail = world.command(&mut root, "audit").await;
    assert!(
        trail.contains("identity of @alice:example.org was reset"),
        "{trail}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_time_keys_are_made_anew() {
    let world = World::start().await;
    let device = until("the device stands", || {
        world.homeserver.with(|state| {
            let device = state.users[BOT].devices.iter().next();
            let (id, _) = device.filter(|(_, device)| device.one_time_keys.len() == 50)?;
            Some(id.clone())
        })
    })
    .await;
    let counted = |world: &World| {
        world.homeserver.with(|state| {
            let device = bot_device(state);
            state.device(BOT, &device).unwrap().one_time_keys.len()
        })
    };
    assert_eq!(counted(&world), 50);
    let ready = || world.bridge.app().bot.is_ready().then_some(());
    until("the bot knows it", ready).await;
    world
        .bridge
        .clock
        .advance(std::time::Duration::from_secs(60));
    for _ in 0..30 {
        let body = json!({ "one_time_keys": { BOT: { &device: "signed_curve25519" } } });
        world.homeserver.with(|state| state.claim_keys(&body));
    }
    assert_eq!(counted(&world), 20);
    let counts = json!({ BOT: { &device: { "signed_curve25519": 20 } } });
    world
        .push(&json!({ "events": [], "org.matrix.msc3202.device_one_time_keys_count": counts }))
        .await;
    until("there are keys again", || {
        (counted(&world) >= 50).then_some(())
    })
    .await;
}

pub fn bot_device(state: &mut State) -> String {
    let devices = &state.users[BOT].devices;
    assert_eq!(devices.len(), 1, "{:?}", devices.keys());
    devices.keys().next().unwrap().clone()
}

/// A store that is older than what left: no ratchet goes on from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_set_back_gets_another_device() {
    let mut world = World::start().await;
    let mut host = world.encrypted_host("Alice").await;
    world.ask(&mut host, "help").await;
    world.until_idle().await;
    let first = world.homeserver.with(bot_device);
    // A store that is only stopped goes on with its device.
    let backup = world.backed_up(&mut host).await;
    assert_eq!(world.homeserver.with(bot_device), first);
    world.set_back(backup.path(), &first).await;
    let words = world.ask(&mut host, "invite Maya").await;
    assert!(words.contains("/#"), "{words}");
    assert_no_index_twice(&world, &host.management);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_room_that_becomes_encrypted_the_bot_encrypts_from_then_on() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    let hello = world.homeserver.with(|state| host.notices(state));
    assert!(hello[0].contains("this room is not encrypted"), "{hello:?}");
    assert!(world.command(&mut host, "help").await.contains("invite"));
    world.until_idle().await;
    let said = world.homeserver.with(|state| host.notices(state).len());
    let room = host.management.clone();
    let content = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    world.homeserver.with(|state| {
        let user = host.user.clone();
        state
            .set_state(&room, &user, "m.room.encryption", "", content)
            .unwrap()
    });
    world.deliver().await;
    host.publish_device(&world.homeserver, BOT);
    let words = world.ask(&mut host, "invite Maya").await;
    assert!(words.contains("/#"), "{words}");
    assert_eq!(
        world.homeserver.with(|state| host.notices(state).len()),
        said
    );
}

/// All who are in an admin room read the answer; only admins are obeyed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_in_an_admin_room_reads_the_answer() {
    let world = World::with(&Setup::default()).await;
    let mut root = world.encrypted_host("Root").await;
    let room = root.management.clone();
    let mut other = Host::new(&world.homeserver, "Nobody");
    other.publish_device(&world.homeserver, BOT);
    root.set_member(&world.homeserver, &room, &other.user.clone(), "invite");
    other.set_member(&world.homeserver, &room, &other.user.clone(), "join");
    other.management = room.clone();
    world.deliver().await;
    let words = world.ask(&mut root, "!guest admin-room").await;
    assert!(words.contains("admin room now"), "{words}");
    let read = until("the other reads it", || {
        other.read(&world.homeserver, &room).last().cloned()
    })
    .await;
    assert!(read.contains("admin room now"), "{read}");
    world.until_idle().await;
    let before = root.read(&world.homeserver, &room).len();
    other.say(&world.homeserver, &room, "!guest status");
    world.deliver().await;
    world.until_idle().await;
    let words = world.ask(&mut root, "!guest status").await;
    assert!(words.contains("chats"), "{words}");
    let texts = root.read(&world.homeserver, &room);
    assert_eq!(
        texts.len(),
        before + 2,
        "what the other wrote, and the answer to the admin"
    );
}
