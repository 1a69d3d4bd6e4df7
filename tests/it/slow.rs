//! A homeserver that is slow or asks for patience, and browsers that have none.

use std::time::Duration;

use serde_json::json;

use crate::homeserver::fault::Fault;
use crate::homeserver::state::State;
use crate::homeserver::until;
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_whose_invitation_is_limited_is_told_and_invited_all_the_same() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    let before = world.homeserver.with(|state| host.notices(state).len());
    // The first state that is put is the invitation.
    world.homeserver.faults(|faults| {
        faults.named("put_state", Fault::Limited(10_000), 1);
    });
    let (mut guest, _) = world.joined(&mut host).await;
    let notice = |state: &mut State| {
        let told = host.notices(state).split_off(before);
        told.into_iter().find(|words| words.contains("seconds"))
    };
    let words = world.homeserver.until("the host is told", notice).await;
    assert!(words.contains("about 10 seconds"), "{words}");
    assert!(words.contains("Maya"), "{words}");
    let calls = world.homeserver.count("put_state");
    assert_eq!(calls, 1, "no second try before its time");
    guest.open(&world.bridge).await;
    assert_eq!(guest.ended, None);
    world.until_idle().await;
    let notices = world.homeserver.with(|state| host.notices(state).len());
    assert_eq!(
        notices,
        before + 3,
        "told once, beside the link and that it was opened"
    );
}

/// The host declined before the answer to the invitation came, and must not be asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_who_declined_is_not_invited_once_more() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    world.homeserver.faults(|faults| {
        faults.named("put_state", Fault::Unanswered, 1);
    });
    let (mut guest, _) = world.joined(&mut host).await;
    let invited = |state: &mut State| host.invitations(state).first().cloned();
    let room = world.homeserver.until("the invitation", invited).await;
    host.set_member(&world.homeserver, &room, &host.user, "leave");
    world.deliver().await;
    guest.open(&world.bridge).await;
    assert_eq!(guest.ended.as_deref(), Some("host"));
    world.until_idle().await;
    let invitations = world.homeserver.with(|state| {
        let timeline = state.rooms[&room].timeline.iter();
        let of_host = timeline.filter(|event| event.state_key.as_ref() == Some(&host.user));
        of_host
            .filter(|event| event.content["membership"] == "invite")
            .count()
    });
    assert_eq!(invitations, 1);
}

/// Sixteen calls at once is what is meant for a homeserver that answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_hang_keep_no_other_chat_waiting() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    chat.guest.say("one").await;
    world.until_idle().await;
    let many = 20;
    world.homeserver.faults(|faults| {
        faults.named("get_name", Fault::Hanging, many);
    });
    for number in 0..many {
        let mut host = world.host(&format!("Host{number}")).await;
        host.command(&world.homeserver, "invite");
        world.deliver().await;
    }
    until("all hang", || {
        (world.homeserver.faults(|faults| faults.hits) == many).then_some(())
    })
    .await;
    let n = chat.guest.say("two").await;
    tokio::time::timeout(Duration::from_secs(10), chat.guest.until_delivered(n))
        .await
        .expect("it does not wait for thirty seconds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_connections_costs_the_homeserver_little_and_ends_well() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let cost = || world.homeserver.count("sync") + world.homeserver.count("keys_query");
    let before = cost();
    let storm = 200;
    for _ in 0..storm {
        chat.guest.connect(&world.bridge).await;
    }
    chat.guest.open(&world.bridge).await;
    world.host_says(&mut chat, "hello").await;
    assert_eq!(chat.guest.until_texts(1).await, ["hello"]);
    // Thirty at once, then one a second; this takes no ten seconds.
    let cost = cost() - before;
    assert!(cost <= 2 * 40 + 5, "{cost} calls for {storm} connections");
    let ask = chat.guest.ask(json!({ "type": "keys_query" })).await;
    assert_eq!(ask["ok"], true, "{ask}");
}
