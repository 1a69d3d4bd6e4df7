//! A store that was damaged, and one that is in use.

use std::path::Path;

use rocksdb::{DB, Options};
use serde_json::{Value, json};
use vestibule_bridge::id::PortalId;
use vestibule_bridge::store::{DamagedRow, Owner};

use crate::bridge::{Bridge, Setup};
use crate::guest::socket::Socket;
use crate::homeserver::until;
use crate::world::{Chat, World};

/// The store of a bridge that was stopped.
async fn open(store: &Path) -> DB {
    until("the store is let go of", || {
        let families = DB::list_cf(&Options::default(), store).unwrap();
        DB::open_cf(&Options::default(), store, families).ok()
    })
    .await
}

/// Spoils the rows that begin with this key.
fn damage(store: &DB, family: &str, key: &[u8]) {
    let family = store.cf_handle(family).unwrap();
    let mut damaged = 0;
    for row in store.prefix_iterator_cf(family, key) {
        let (found, mut row) = row.unwrap();
        if found.starts_with(key) {
            let last = row.len() - 1;
            row[last] ^= 0x11;
            store.put_cf(family, found, row).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0, "there was a row to damage");
}

fn key(chat: &Chat) -> [u8; 16] {
    let portal = PortalId::parse(&chat.guest.portal).unwrap();
    portal.as_u128().to_be_bytes()
}

/// What a browser is told when it comes back to its chat.
async fn told_at_hello(bridge: &Bridge, chat: &Chat) -> String {
    let mut socket = Socket::of_page(bridge).await;
    let challenge = socket.next().await.unwrap();
    socket.send(&chat.guest.hello(bridge, &challenge)).await;
    socket.closing_code().await
}

async fn ready(bridge: &Bridge) -> Value {
    let answer = bridge.web.get(&bridge.ops_url("/ready")).await;
    serde_json::from_str(&answer.text()).unwrap()
}

/// A chat of Alice whose rows are damaged while the bridge is away, and a sound one of Bob.
async fn one_damaged(family: &str) -> (World, Chat, Chat) {
    let mut world = World::start().await;
    let mut damaged = world.open_chat("Alice").await;
    let sound = world.open_chat("Bob").await;
    if family == "portal_seq_frame" {
        // A frame that the browser hasn't stored.
        damaged.guest.disconnect();
        world.host_says(&mut damaged, "never read").await;
    }
    world.until_idle().await;
    world.bridge.stop().await;
    let store = open(&world.bridge.store_path()).await;
    damage(&store, family, &key(&damaged));
    drop(store);
    world.start_bridge().await;
    (world, damaged, sound)
}

/// The damaged chat is told so, once it is known; everybody else talks on, in the same transaction.
async fn assert_only_one_suffers(family: &str) {
    let (world, mut damaged, mut sound) = one_damaged(family).await;
    damaged
        .host
        .say(&world.homeserver, &damaged.room, "in vain");
    sound.host.say(&world.homeserver, &sound.room, "hello");
    world.deliver().await;
    assert_eq!(told_at_hello(&world.bridge, &damaged).await, "damaged");
    // What is damaged while nobody reads it is known when somebody did.
    assert_eq!(told_at_hello(&world.bridge, &damaged).await, "damaged");
    sound.guest.open(&world.bridge).await;
    assert_eq!(sound.guest.until_texts(1).await, ["hello"]);
    let n = sound.guest.say("hello back").await;
    sound.guest.until_delivered(n).await;

    assert_eq!(world.bridge.metric("chats_set_aside").await, 1);
    let ready = ready(&world.bridge).await;
    assert!(!ready["problems"].to_string().contains("store"), "{ready}");
    assert_eq!(ready["chats_set_aside"], json!(1));
    world.bridge.tick().await;
    world.until_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_portal_hurts_its_own_chat_only() {
    assert_only_one_suffers("portalid_portal").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_frame_hurts_its_own_chat_only() {
    assert_only_one_suffers("portal_seq_frame").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_socket_hears_that_its_chat_cannot_go_on() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let portal = PortalId::parse(&chat.guest.portal).unwrap();
    let driver = world.bridge.app().driver.clone();
    let row = DamagedRow {
        family: "portal_seq_frame",
        owner: Owner::Portal(portal),
    };
    driver.set_aside(row).await.unwrap();
    assert_eq!(chat.guest.socket().closing_code().await, "damaged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_effect_stops_neither_the_start_nor_anybody_else() {
    let mut world = World::start().await;
    let mut sound = world.open_chat("Bob").await;
    world.until_idle().await;
    world.bridge.stop().await;
    let path = world.bridge.store_path();
    let store = open(&path).await;
    let id = (u128::MAX >> 1).to_be_bytes();
    let effects = store.cf_handle("effectid_effect").unwrap();
    store.put_cf(effects, id, b"\x02nonsense").unwrap();
    drop(store);
    world.start_bridge().await;
    world.until_idle().await;
    sound.guest.open(&world.bridge).await;
    let n = sound.guest.say("still here").await;
    sound.guest.until_delivered(n).await;
    world.bridge.stop().await;
    let store = open(&path).await;
    let effects = store.cf_handle("effectid_effect").unwrap();
    assert_eq!(store.get_cf(effects, id).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_the_same_store_is_refused_in_plain_words() {
    let world = World::apart(&Setup::default()).await;
    let (status, words) = world.bridge.start_another().await;
    assert_eq!(status, Some(1), "{words}");
    let store = world.bridge.store_path();
    let expected = format!(
        "vestibule: the store at {} is in use by another process; only one bridge can run on a store",
        store.display()
    );
    assert!(words.lines().any(|line| line == expected), "{words}");
    // The first one doesn't notice.
    let ready = ready(&world.bridge).await;
    assert!(!ready["problems"].to_string().contains("store"), "{ready}");
}
