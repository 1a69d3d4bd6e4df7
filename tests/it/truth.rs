//! What the homeserver never pushes, because it was killed or set back to a backup, and what the
//! bridge finds by itself.

use serde_json::{Value, json};

use crate::homeserver::state::BOT;
use crate::homeserver::{Homeserver, until};
use crate::world::{Chat, World};

/// The host writes, and the homeserver forgets to push any of it.
fn say_unpushed(world: &World, chat: &mut Chat, texts: &[String]) {
    for text in texts {
        chat.host.say(&world.homeserver, &chat.room, text);
    }
    world.homeserver.with(|state| state.take_transaction());
}

fn texts(name: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{name} {number}"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_pushed_comes_when_the_browser_connects() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    world.host_says(&mut chat, "pushed").await;
    chat.guest.until_texts(1).await;
    chat.guest.disconnect();
    // More than one answer holds, so that the room's past has to be read in pages.
    let missed = texts("missed", 70);
    say_unpushed(&world, &mut chat, &missed);
    chat.guest.open(&world.bridge).await;
    let all = chat.guest.until_texts(71).await;
    assert_eq!(all[1..], missed);
    // The past is read only as far as it is unknown.
    let before = world.homeserver.count("messages");
    say_unpushed(&world, &mut chat, &texts("few", 3));
    chat.guest.disconnect();
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.until_texts(74).await[71..], texts("few", 3));
    assert_eq!(world.homeserver.count("messages"), before);
    // Late, the homeserver pushes them after all.
    let pushed: Vec<Value> = world.homeserver.with(|state| {
        let timeline = &state.room(&chat.room).unwrap().timeline;
        timeline
            .iter()
            .map(|event| event.to_json(&chat.room))
            .collect()
    });
    let body = json!({ "events": pushed });
    assert_eq!(world.bridge.push("late", &body).await.status, 200);
    world.host_says(&mut chat, "last").await;
    assert_eq!(chat.guest.until_texts(75).await[74], "last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_pushed_comes_when_the_homeserver_is_back() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    until("the bridge has looked at the homeserver", || {
        (world.homeserver.count("ping") > 0).then_some(())
    })
    .await;
    world.homeserver.faults(|faults| faults.down = true);
    say_unpushed(&world, &mut chat, &texts("missed", 2));
    until("the bridge sees that the homeserver is gone", || {
        world.bridge.app().homeserver.problem()
    })
    .await;
    world.homeserver.faults(|faults| faults.down = false);
    assert_eq!(chat.guest.until_texts(2).await, texts("missed", 2));
    // News of devices may be lost too.
    chat.guest
        .until("the page is told", |guest| {
            let told = |signal: &Value| signal["type"] == "keys_changed";
            guest.signals.iter().any(told).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_never_pushed_keeps_the_chat_alive() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    chat.guest.disconnect();
    // By the host's clock, which here is the bridge's.
    say_unpushed(&world, &mut chat, &texts("missed", 1));
    let portal = serde_json::from_value(json!(chat.guest.portal)).unwrap();
    world
        .bridge
        .clock
        .advance(std::time::Duration::from_secs(10 * 24 * 60 * 60 + 1));
    world.homeserver.faults(|faults| faults.down = true);
    world.bridge.tick().await;
    assert!(
        is_open(&world, portal),
        "the inbox can't be read, so nothing is known"
    );
    world.homeserver.faults(|faults| faults.down = false);
    world.bridge.tick().await;
    assert!(is_open(&world, portal), "there was a message");
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.until_texts(1).await, texts("missed", 1));
}

fn is_open(world: &World, portal: vestibule_bridge::id::PortalId) -> bool {
    use vestibule_bridge::store::{Facts as _, Store as _};
    let stored = world.bridge.app().store.begin().portal(portal).unwrap();
    !stored.unwrap().is_closed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_was_just_read_is_acknowledged() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    for text in texts("text", 3) {
        world.host_says(&mut chat, &text).await;
        chat.guest.disconnect();
        chat.guest.open(&world.bridge).await;
    }
    world.crash_bridge().await;
    chat.guest.open(&world.bridge).await;
    let calls = world.homeserver.calls();
    let syncs: Vec<_> = calls.iter().filter(|call| call.name == "sync").collect();
    let acknowledged = syncs
        .iter()
        .filter(|call| call.query.contains_key("since"))
        .count();
    assert!(acknowledged > 0);
    // A homeserver that is set back to a backup counts again from an earlier place, and takes a
    // place from before as the order to delete what nobody read. So each reading starts afresh.
    for pair in syncs.windows(2) {
        if pair[1].query.contains_key("since") {
            assert_eq!(pair[0].query["user_id"], pair[1].query["user_id"]);
        }
    }
    assert!(!syncs[0].query.contains_key("since"));
    let questions: std::collections::BTreeSet<_> = syncs.iter().map(|call| &call.query).collect();
    assert_eq!(
        questions.len(),
        syncs.len(),
        "no question twice: Synapse answers from a cache"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_homeserver_is_woken_by_an_event_in_one_room() {
    let mut world = World::start().await;
    for start in 1..4 {
        until("the bot makes an event", || {
            let kept = (BOT.to_owned(), "org.vestibule.wake".to_owned());
            let noted = world
                .homeserver
                .with(|state| state.account_data.contains_key(&kept));
            (noted && wakings(&world.homeserver) == start).then_some(())
        })
        .await;
        world.crash_bridge().await;
    }
    assert_eq!(world.homeserver.count("make_wake_room"), 1);
    // Somebody closed that room: another is made.
    world.homeserver.with(|state| state.rooms.clear());
    let made = || world.homeserver.count("make_wake_room");
    until("another room is made", || (made() == 2).then_some(())).await;
}

fn wakings(homeserver: &Homeserver) -> usize {
    homeserver.count("make_wake_room") + homeserver.count("wake")
}
