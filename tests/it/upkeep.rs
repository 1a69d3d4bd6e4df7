//! What is changed behind the back of host and guest: by the homeserver's admin, or by whoever else
//! has the bridge's token.

use serde_json::{Value, json};

use crate::refused::assert_all_is_well;
use crate::world::{Chat, World};

/// How the ghost is shown in the room.
fn shown(world: &World, chat: &Chat) -> Value {
    let ghost = &chat.guest.ghost;
    world
        .homeserver
        .with(|state| {
            state.rooms[&chat.room]
                .content("m.room.member", ghost)
                .cloned()
        })
        .unwrap()
}

async fn until_shown_as_ever(world: &World, chat: &Chat) {
    world
        .homeserver
        .until("the profile is put back", |state| {
            let member = state.rooms[&chat.room].content("m.room.member", &chat.guest.ghost)?;
            (*member == json!({ "membership": "join", "displayname": "Maya (Guest)" }))
                .then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ghosts_profile_that_somebody_changed_is_put_back() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let ghost = chat.guest.ghost.clone();
    let change = |name: &'static str, avatar: Option<&'static str>| {
        world
            .homeserver
            .with(|state| {
                state.change_profile(&ghost, |user| {
                    user.display_name = Some(name.to_owned());
                    user.avatar = avatar.map(str::to_owned);
                })
            })
            .unwrap();
    };
    for (name, avatar) in [
        ("The boss", None),
        ("Maya (Guest)", Some("mxc://example.org/boss")),
    ] {
        change(name, avatar);
        world.deliver().await;
        until_shown_as_ever(&world, &chat).await;
        world.deliver().await;
        world.until_idle().await;
    }
    // The bridge's own echo has it put nothing back.
    assert_eq!(world.homeserver.count("set_avatar"), 2);
    assert_all_is_well(&world, &mut chat).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_never_pushed_is_found_at_the_next_start() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let ghost = chat.guest.ghost.clone();
    world.homeserver.with(|state| {
        let renamed = |user: &mut crate::homeserver::state::User| {
            user.display_name = Some("The boss".to_owned());
        };
        state.change_profile(&ghost, renamed).unwrap();
        state.take_transaction();
    });
    assert_eq!(shown(&world, &chat)["displayname"], "The boss");
    world.crash_bridge().await;
    until_shown_as_ever(&world, &chat).await;
    assert_all_is_well(&world, &mut chat).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_was_changed_unseen_ends_the_chat_at_the_next_start() {
    let table = [
        (
            "m.room.join_rules",
            "",
            json!({ "join_rule": "public" }),
            "failed",
        ),
        (
            "m.room.tombstone",
            "",
            json!({ "replacement_room": "!x" }),
            "failed",
        ),
        (
            "m.room.member",
            "@mallory:example.org",
            json!({ "membership": "join" }),
            "third_party",
        ),
    ];
    for (event_type, key, content, reason) in table {
        let mut world = World::start().await;
        let mut chat = world.open_chat("Alice").await;
        world.homeserver.with(|state| {
            let room = state.room(&chat.room).unwrap();
            room.forge(event_type, key, content);
        });
        world.crash_bridge().await;
        chat.guest.open(&world.bridge).await;
        assert_eq!(chat.guest.until_ended().await, reason, "{event_type}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_event_that_breaks_the_seal_ends_the_chat_at_once() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    world.homeserver.with(|state| {
        let room = state.room(&chat.room).unwrap();
        room.forge("m.room.join_rules", "", json!({ "join_rule": "public" }));
    });
    let event = json!({
        "type": "m.room.join_rules", "state_key": "", "event_id": "$forged", "room_id": chat.room,
        "sender": "@evil:example.org", "origin_server_ts": 1, "content": { "join_rule": "public" },
    });
    world.push(&json!({ "events": [event] })).await;
    assert_eq!(chat.guest.until_ended().await, "failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ghost_that_was_taken_out_unseen_is_missed_with_the_next_message() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let ghost = chat.guest.ghost.clone();
    world.homeserver.with(|state| {
        state
            .set_member(&chat.room, &ghost, &ghost, "leave")
            .unwrap();
        state.take_transaction();
    });
    let content = chat.guest.encrypt("is anybody there?").await;
    let frame = json!({ "type": "send", "content": content });
    assert_eq!(chat.guest.send_numbered(frame).await["ok"], true);
    assert_eq!(chat.guest.until_ended().await, "failed");
    world.until_idle().await;
    let notices = world.homeserver.with(|state| chat.host.notices(state));
    let last = notices.last().unwrap();
    assert!(last.contains("closed or changed its room"), "{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_ghosts_device_the_next_visit_ends_the_chat() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let ghost = chat.guest.ghost.clone();
    chat.guest.disconnect();
    world
        .homeserver
        .with(|state| state.user(&ghost).unwrap().devices.clear());
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.until_ended().await, "failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_homeserver_that_refuses_everything_ends_no_chat() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let n = chat.guest.say("one").await;
    chat.guest.until_delivered(n).await;
    // As if its registration did not claim the ghosts any more.
    let content = chat.guest.encrypt("lost").await;
    world.homeserver.faults(|faults| faults.foreign = true);
    let frame = json!({ "type": "send", "content": content });
    chat.guest.send_numbered(frame).await;
    let n = chat.guest.last_n;
    chat.guest.until_frame("undelivered", "n", n.into()).await;
    world.until_idle().await;
    world.crash_bridge().await;
    world.until_idle().await;
    world.homeserver.faults(|faults| faults.foreign = false);
    assert_all_is_well(&world, &mut chat).await;
}
