//! The stop in good order: what is in flight ends well or is cut off, and the store is closed.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use vestibule::store::RocksStore;

use crate::guest::socket::Socket;
use crate::homeserver::fault::Fault;
use crate::homeserver::until;
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_stop_the_store_can_be_opened_at_once() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    world.bridge.stop().await;
    drop(RocksStore::open(&world.bridge.store_path()).unwrap());
    world.start_bridge().await;
    chat.guest.open(&world.bridge).await;
}

/// A homeserver that never answers, and people who never end what they began, hold nothing up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_is_slow_keeps_the_store_open() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let mut other = world.open_chat("Bob").await;
    let mut greeted = world.open_chat("Carol").await.guest;
    chat.guest.say("zero").await;
    world.until_idle().await;
    world.homeserver.faults(|faults| {
        faults.named("send", Fault::Hanging, 1);
        faults.named("keys_query", Fault::Hanging, 1);
        faults.named("sync", Fault::Hanging, 1);
    });
    let n = chat.guest.say("one").await;
    let next = chat.guest.say("two").await;
    let ask = serde_json::json!({ "type": "keys_query", "id": 1 });
    other.guest.socket().send(&ask).await;
    greeted.connect(&world.bridge).await;
    let _silent = Socket::of_page(&world.bridge).await;
    let mut begun = TcpStream::connect(world.bridge.guests()).await.unwrap();
    begun
        .write_all(b"POST /api/v1/join HTTP/1.1\r\n")
        .await
        .unwrap();
    until("all hang", || {
        (world.homeserver.faults(|faults| faults.hits) == 3).then_some(())
    })
    .await;

    let stopped = tokio::time::timeout(Duration::from_secs(15), world.bridge.stop());
    stopped.await.expect("it stops in time");
    drop(RocksStore::open(&world.bridge.store_path()).unwrap());
    let sent = world.homeserver.count("send");
    world.start_bridge().await;
    chat.guest.open(&world.bridge).await;
    chat.guest.until_delivered(n).await;
    chat.guest.until_delivered(next).await;
    assert_eq!(
        world.until_host_read(&mut chat, 3).await,
        ["zero", "one", "two"]
    );
    assert_eq!(world.homeserver.count("send"), sent + 2);
}
