//! Rooms that belong to no chat are found and left.

use std::path::Path;

use vestibule::seal;
use vestibule_bridge::id::{PortalId, UserId};

use crate::guest::Guest;
use crate::homeserver::fault::Fault;
use crate::homeserver::state::{BOT, State};
use crate::homeserver::until;
use crate::world::World;

const GHOST: &str = "@_vestibule_orphan:example.org";

/// A room that the bot made for this portal, with a ghost in it.
fn orphan(state: &mut State, portal: PortalId) -> String {
    state.users.entry(GHOST.to_owned()).or_default();
    let (host, ghost) = (UserId::new("@alice:example.org"), UserId::new(GHOST));
    let body = seal::create_room(portal, &host, &ghost);
    let room = state.create_room(BOT, &body).unwrap();
    let room = room["room_id"].as_str().unwrap().to_owned();
    state.set_member(&room, GHOST, GHOST, "join").unwrap();
    room
}

fn members(state: &State, room: &str) -> [String; 2] {
    [BOT, GHOST].map(|user| state.rooms[room].membership(user).to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_of_no_chat_are_left_and_others_are_not() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let portal = PortalId::parse(&chat.guest.portal).unwrap();
    world.bridge.stop().await;
    let (unknown, second, foreign) = world.homeserver.with(|state| {
        let unknown = orphan(state, PortalId::from_u128(7));
        // The answer to the first `createRoom` came late: the chat goes on in another room.
        let second = orphan(state, portal);
        let body = serde_json::json!({ "invite": [BOT] });
        let foreign = state.create_room("@alice:example.org", &body).unwrap();
        let foreign = foreign["room_id"].as_str().unwrap().to_owned();
        state.set_member(&foreign, BOT, BOT, "join").unwrap();
        (unknown, second, foreign)
    });
    world.start_bridge().await;
    for room in [unknown, second] {
        let left = |state: &mut State| (members(state, &room) == ["leave", "leave"]).then_some(());
        world.homeserver.until("the room is left", left).await;
    }
    world.homeserver.with(|state| {
        assert_eq!(state.rooms[&foreign].membership(BOT), "join");
        let management = &state.rooms[&chat.host.management];
        assert_eq!(management.membership(BOT), "join");
        let ghost = &chat.guest.ghost;
        assert_eq!(state.rooms[&chat.room].membership(ghost), "join");
    });
    chat.guest.open(&world.bridge).await;
    world.host_says(&mut chat, "still here").await;
    assert_eq!(chat.guest.until_texts(1).await, ["still here"]);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// The room was made, but the store knows nothing of the guest who joined: it was set back to a
/// backup. The link is as good as new then, and so is the chat that it leads to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_was_made_after_the_backup_is_left() {
    let mut world = World::start().await;
    let mut host = world.host("Alice").await;
    let token = world.link(&mut host).await;
    let mut guest = Guest::of_link(&world.bridge, &token, "GUESTDEVICE").await;
    host.publish_device(&world.homeserver, &guest.ghost);
    world.until_idle().await;
    world.bridge.stop().await;
    let backup = tempfile::tempdir().unwrap();
    copy(&world.bridge.store_path(), backup.path());
    world.start_bridge().await;

    world
        .homeserver
        .faults(|faults| faults.named("create_room", Fault::Hanging, 1));
    assert_eq!(guest.join(&world.bridge, &token, "Maya").await.status, 200);
    until("the room is made", || {
        (world.homeserver.faults(|faults| faults.hits) == 1).then_some(())
    })
    .await;
    let of_ghost = |state: &State| -> Vec<String> {
        let rooms = state.rooms.iter();
        let of_ghost =
            rooms.filter(|(_, room)| room.content("m.room.member", &guest.ghost).is_some());
        of_ghost.map(|(id, _)| id.clone()).collect()
    };
    let [orphan] = &world.homeserver.with(|state| of_ghost(state))[..] else {
        panic!("one room was made");
    };
    world.bridge.stop().await;
    std::fs::remove_dir_all(world.bridge.store_path()).unwrap();
    copy(backup.path(), &world.bridge.store_path());
    world.start_bridge().await;
    let left = |state: &mut State| {
        let room = &state.rooms[orphan];
        let gone = [BOT, &guest.ghost].map(|user| room.membership(user) == "leave");
        (gone == [true, true]).then_some(())
    };
    world.homeserver.until("the room is left", left).await;

    let ghost = guest.ghost.clone();
    let mut again = Guest::of_link(&world.bridge, &token, "GUESTDEVICE").await;
    assert_eq!(again.ghost, ghost);
    assert_eq!(again.join(&world.bridge, &token, "Maya").await.status, 200);
    again.open(&world.bridge).await;
    assert_ne!(again.room, *orphan);
}
