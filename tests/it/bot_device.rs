//! The bot's own device over damage, full disks, people who go, and rooms of which little is known.

use rocksdb::{DB, Options};
use vestibule_bridge::host::ManagementRoom;
use vestibule_bridge::id::{RoomId, UserId};
use vestibule_bridge::store::{Change, Changes, Facts as _, Store as _};

use crate::encrypted::bot_device;
use crate::homeserver::fault::Fault;
use crate::homeserver::state::BOT;
use crate::homeserver::until;
use crate::world::World;

/// Whom the bot's device has met.
fn met(world: &World) -> Vec<String> {
    let records = world.bridge.app().store.begin().bot_records().unwrap();
    let peers = records.keys().filter_map(|key| key.strip_prefix("peer:"));
    peers.map(str::to_owned).collect()
}

fn devices(world: &World) -> Vec<String> {
    world
        .homeserver
        .with(|state| state.users[BOT].devices.keys().cloned().collect())
}

/// The store as it lies on the disk, while no bridge has it.
fn on_disk(world: &World) -> DB {
    let path = world.bridge.store_path();
    let families = DB::list_cf(&Options::default(), &path).unwrap();
    DB::open_cf(&Options::default(), &path, families).unwrap()
}

/// The row by which a store is named, as it lies on the disk. It is another one when something was lost.
fn name_of_store(world: &World, other: Option<&[u8]>) -> Vec<u8> {
    let store = on_disk(world);
    let family = store.cf_handle("global_schema").unwrap();
    if let Some(row) = other {
        store.put_cf(family, b"store_id", row).unwrap();
    }
    store.get_cf(family, b"store_id").unwrap().unwrap()
}

/// What was lost need not be a row of the bot's; its ratchets may be older than what left all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lost_anything_gets_another_device() {
    let mut stranger = World::start().await;
    stranger.bridge.stop().await;
    let name = name_of_store(&stranger, None);

    let mut world = World::start().await;
    let mut host = world.encrypted_host("Alice").await;
    world.ask(&mut host, "help").await;
    world.until_idle().await;
    let before = world.homeserver.with(bot_device);
    world.bridge.stop().await;
    name_of_store(&world, Some(&name));
    world.start_bridge().await;
    world.until_other_device(&before).await;
    world.ask(&mut host, "help").await;
}

/// One bit of one ratchet: none of them is used any more, and nothing else is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_device_is_given_up_for_another_and_nothing_else_is_lost() {
    let mut world = World::start().await;
    let mut host = world.encrypted_host("Alice").await;
    world.ask(&mut host, "invite Maya").await;
    world.until_idle().await;
    let before = world.homeserver.with(bot_device);
    world.bridge.stop().await;
    {
        let store = on_disk(&world);
        let family = store.cf_handle("bot_crypto").unwrap();
        let rows = store.iterator_cf(family, rocksdb::IteratorMode::Start);
        let outbound = rows
            .map(Result::unwrap)
            .find(|(key, _)| key.starts_with(b"outbound"));
        let (key, row) = outbound.unwrap();
        let mut row = row.to_vec();
        *row.last_mut().unwrap() ^= 1;
        store.put_cf(family, key, row).unwrap();
    }
    world.start_bridge().await;
    world.until_other_device(&before).await;
    // The same identity, so nobody has to accept anything.
    let list = world.ask(&mut host, "list").await;
    assert!(list.contains("Maya"), "{list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_left_is_forgotten_and_strangers_are_never_met() {
    let world = World::start().await;
    let host = world.encrypted_host("Alice").await;
    let alice = host.user.clone();
    let is_met = |world: &World| met(world).iter().any(|key| key.contains(&alice));
    assert!(is_met(&world));
    let body = serde_json::json!({ "events": [], "to_device": [{
        "type": "m.room.encrypted", "sender": "@stranger:example.org", "to_user_id": BOT,
        "to_device_id": devices(&world)[0], "content": { "algorithm": "m.olm.v1.curve25519-aes-sha2" },
    }] });
    world.push(&body).await;
    assert!(!met(&world).iter().any(|key| key.contains("stranger")));
    host.set_member(&world.homeserver, &host.management, &alice, "leave");
    world.deliver().await;
    until("she is forgotten", || (!is_met(&world)).then_some(())).await;
}

/// A row of an earlier layout doesn't say: the homeserver is asked, and as long as it doesn't answer
/// nothing is said at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_room_of_which_it_is_not_known_nothing_is_said_in_the_clear() {
    let world = World::start().await;
    let mut host = world.encrypted_host("Alice").await;
    world.until_idle().await;
    let room = host.management.clone();
    let row = ManagementRoom {
        room: RoomId::new(room.as_str()),
        host: UserId::new(host.user.as_str()),
        direct: true,
        encrypted: false,
        admin: false,
        looked: false,
        advised: true,
        unread_told: None,
    };
    let own = Changes(vec![Change::PutManagementRoom(row)]);
    let driver = &world.bridge.app().driver;
    driver.submit_with(own, Vec::new(), None).await.unwrap();
    let before = host.read(&world.homeserver, &room).len();
    world.homeserver.faults(|faults| {
        faults.named("get_state", Fault::Status(500, "M_UNKNOWN"), 2);
    });
    host.command(&world.homeserver, "help");
    world.deliver().await;
    let said = world.answer(&mut host, before).await;
    assert!(said.contains("invite"), "{said}");
    assert_eq!(world.homeserver.with(|state| host.notices(state).len()), 0);
    let stored = world.bridge.app().store.begin();
    let stored = stored.management_room(&RoomId::new(room.as_str()));
    assert!(stored.unwrap().unwrap().encrypted);
}
