//! A join goes through whatever the homeserver does at any of its calls, and whenever the bridge is
//! torn away: it ends with one room, and the chat works.

use crate::bridge::Setup;
use crate::guest::Guest;
use crate::homeserver::fault::Fault;
use crate::homeserver::state::State;
use crate::homeserver::until;
use crate::host::Host;
use crate::world::{Chat, World, token};

/// How many calls a join makes that change something or read the room: registering, name, device,
/// three times keys, the room, ghost in, bot out, host invited, power read, given up, all read back.
const CALLS: usize = 13;

fn setup() -> Setup {
    Setup {
        guests: "burst: 1000, open_links: 100, open_chats: 100",
        ..Setup::default()
    }
}

/// A host, and a guest with keys who has not pressed *Start chat*.
async fn before_joining(world: &World, name: &str) -> Chat {
    let mut host = world.host(name).await;
    let token = world.link(&mut host).await;
    let guest = Guest::of_link(&world.bridge, &token, "GUESTDEVICE").await;
    host.publish_device(&world.homeserver, &guest.ghost);
    // What was asked for so far must not be counted among the calls of the join.
    world.until_idle().await;
    Chat {
        host,
        guest,
        token,
        room: String::new(),
    }
}

async fn press_start(world: &World, chat: &mut Chat) {
    let answer = chat.guest.join(&world.bridge, &chat.token, "Maya").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The rooms in which the ghost is, was, or was to be.
fn rooms_of(state: &State, ghost: &str) -> Vec<String> {
    let touched = state
        .rooms
        .iter()
        .filter(|(_, room)| room.content("m.room.member", ghost).is_some());
    touched.map(|(id, _)| id.clone()).collect()
}

/// The chat opens, there is one room, it is sealed, and both can talk.
async fn assert_it_works(world: &World, chat: &mut Chat, what: &str) {
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.ended, None, "{what}");
    chat.room = chat.guest.room.clone();
    world.deliver().await;
    let rooms = world
        .homeserver
        .with(|state| rooms_of(state, &chat.guest.ghost));
    assert_eq!(rooms, std::slice::from_ref(&chat.room), "{what}: one room");
    let invitations = world.homeserver.with(|state| chat.host.invitations(state));
    assert_eq!(
        invitations,
        std::slice::from_ref(&chat.room),
        "{what}: one invitation"
    );
    chat.host.accept(&world.homeserver, &chat.room);
    world.deliver().await;
    let n = chat.guest.say(what).await;
    chat.guest.until_delivered(n).await;
    assert_eq!(world.until_host_read(chat, 1).await, [what]);
    world.host_says(chat, what).await;
    assert_eq!(chat.guest.until_texts(1).await, [what]);
    let levels = world.homeserver.with(|state| {
        let room = &state.rooms[&chat.room];
        room.content("m.room.power_levels", "").unwrap()["users"].clone()
    });
    assert_eq!(
        levels,
        serde_json::json!({ &chat.host.user: 50 }),
        "{what}: nobody at 100"
    );
}

/// Lets every call of a join fail once in this way.
async fn each_call_fails(fault: Fault) {
    let world = World::with(&setup()).await;
    for others in 0..CALLS {
        let mut chat = before_joining(&world, &format!("Host{others}")).await;
        world
            .homeserver
            .faults(|faults| faults.after(others, fault));
        press_start(&world, &mut chat).await;
        assert_it_works(
            &world,
            &mut chat,
            &format!("{fault:?} after {others} calls"),
        )
        .await;
        assert_eq!(
            world.homeserver.faults(|faults| faults.hits),
            others + 1,
            "it did fail"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_at_any_call_of_a_join() {
    each_call_fails(Fault::Status(500, "M_UNKNOWN")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_without_its_homeserver_at_any_call_of_a_join() {
    each_call_fails(Fault::Status(502, "not json")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_connection_at_any_call_of_a_join() {
    each_call_fails(Fault::Broken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_at_any_call_of_a_join() {
    each_call_fails(Fault::Unanswered).await;
}

/// Tears the bridge away at each call of a join: before it is done, or when it is done and not
/// answered.
async fn torn_away_at_each_call(fault: Fault) {
    let mut world = World::with(&setup()).await;
    for others in 0..CALLS {
        let mut chat = before_joining(&world, &format!("Host{others}")).await;
        world
            .homeserver
            .faults(|faults| faults.after(others, fault));
        press_start(&world, &mut chat).await;
        until("the call", || {
            (world.homeserver.faults(|faults| faults.hits) > others).then_some(())
        })
        .await;
        world.crash_bridge().await;
        assert_it_works(
            &world,
            &mut chat,
            &format!("torn away by {fault:?} after {others} calls"),
        )
        .await;
        assert_it_was_answered_as_before(&world, &mut chat).await;
    }
}

/// The page repeats a join whose answer it never got.
async fn assert_it_was_answered_as_before(world: &World, chat: &mut Chat) {
    let portal = chat.guest.portal.clone();
    press_start(world, chat).await;
    assert_eq!(chat.guest.portal, portal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torn_away_while_any_call_of_a_join_is_done_and_not_answered() {
    torn_away_at_each_call(Fault::Hanging).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torn_away_while_any_call_of_a_join_is_not_done() {
    torn_away_at_each_call(Fault::Status(503, "M_UNKNOWN")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_was_stopped_in_the_middle_goes_on() {
    let mut world = World::with(&setup()).await;
    for others in [0, 3, 6, 8, 12] {
        let mut chat = before_joining(&world, &format!("Host{others}")).await;
        world
            .homeserver
            .faults(|faults| faults.after(others, Fault::Status(500, "M_UNKNOWN")));
        press_start(&world, &mut chat).await;
        world.bridge.stop().await;
        world.start_bridge().await;
        assert_it_works(&world, &mut chat, &format!("stopped after {others} calls")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_refused_for_good_ends_the_chat_and_frees_nobody_else() {
    let world = World::with(&setup()).await;
    let names = [
        "register",
        "set_name",
        "put_device",
        "upload_keys",
        "upload_cross_signing",
        "upload_signatures",
        "create_room",
        "join",
        "put_state",
    ];
    for name in names {
        let mut chat = before_joining(&world, &format!("Host-{name}")).await;
        let notices = world
            .homeserver
            .with(|state| chat.host.notices(state).len());
        world
            .homeserver
            .faults(|faults| faults.named(name, Fault::Status(403, "M_FORBIDDEN"), 1));
        press_start(&world, &mut chat).await;
        chat.guest.open(&world.bridge).await;
        assert_eq!(chat.guest.ended.as_deref(), Some("failed"), "{name}");
        let words = |state: &mut State| chat.host.notices(state).get(notices).cloned();
        let words = world.homeserver.until("the host is told", words).await;
        assert!(words.contains("could not be set up"), "{name}: {words}");
        world.until_idle().await;
        let joined = world.homeserver.with(|state| {
            let rooms = rooms_of(state, &chat.guest.ghost);
            rooms
                .iter()
                .map(|room| state.rooms[room].members("join").len())
                .sum::<usize>()
        });
        assert_eq!(joined, 0, "{name}: nobody is left in the room");
    }
    let mut chat = before_joining(&world, "Afterwards").await;
    press_start(&world, &mut chat).await;
    assert_it_works(&world, &mut chat, "all is well again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_homeserver_that_is_down_at_start_is_waited_for() {
    let mut world = World::start().await;
    let mut host = world.host("Alice").await;
    world.bridge.stop().await;
    world.homeserver.faults(|faults| faults.down = true);
    world.bridge.start().await;
    let ready = world.bridge.ready().await;
    let problems = ready.json()["problems"][0].as_str().unwrap().to_owned();
    assert_eq!(
        (ready.status, ready.json()["ready"].as_bool()),
        (503, Some(false))
    );
    assert!(
        problems.starts_with("The homeserver at http://127.0.0.1:"),
        "{problems}"
    );
    assert_eq!(
        world
            .bridge
            .web
            .get(&world.bridge.ops_url("/live"))
            .await
            .status,
        200
    );

    // What the homeserver pushes is taken all the same.
    host.command(&world.homeserver, "invite");
    world.deliver().await;
    let before = world.homeserver.count("set_name");
    world.homeserver.faults(|faults| faults.down = false);
    until("the bridge greets", || {
        (world.homeserver.count("set_name") > before).then_some(())
    })
    .await;
    let link = |state: &mut State| {
        host.notices(state)
            .into_iter()
            .find(|words| words.contains("/#"))
    };
    let words = world.homeserver.until("the link", link).await;
    assert_eq!(world.bridge.look(&token(&words)).await.status, 200);
    let ready = world.bridge.ready().await;
    assert_eq!(
        ready.json()["problems"]
            .to_string()
            .matches("homeserver")
            .count(),
        0,
        "{}",
        ready.text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_homeserver_that_goes_down_for_a_while_makes_the_guest_wait() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let n = chat.guest.say("before").await;
    chat.guest.until_delivered(n).await;
    world.homeserver.faults(|faults| faults.down = true);
    let n = chat.guest.say("while it is down").await;
    let answer = chat
        .guest
        .ask(serde_json::json!({ "type": "keys_query" }))
        .await;
    assert_eq!(
        (&answer["ok"], &answer["error"]["code"]),
        (&false.into(), &"unavailable".into())
    );
    let ready = world.bridge.ready().await;
    assert_eq!(ready.status, 503);
    chat.guest.disconnect();
    chat.guest.connect(&world.bridge).await;
    assert_eq!(chat.guest.socket().closing_code().await, "unavailable");
    world.homeserver.faults(|faults| faults.down = false);
    chat.guest.open(&world.bridge).await;
    chat.guest.until_delivered(n).await;
    assert_eq!(
        world.until_host_read(&mut chat, 2).await,
        ["before", "while it is down"]
    );
}

/// What the bot said to this host with a link in it.
fn links(host: &Host, state: &State) -> Vec<String> {
    let mut said = host.notices(state);
    said.retain(|words| words.contains("/#"));
    said
}

/// The words of a link are never stored, so a crash between commit and sending loses them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_whose_words_were_lost_gets_a_new_one_that_works() {
    let mut world = World::start().await;
    let mut host: Host = world.host("Alice").await;
    world
        .homeserver
        .faults(|faults| faults.named("get_name", Fault::Status(500, "M_UNKNOWN"), 1));
    host.command(&world.homeserver, "invite Maya");
    world.deliver().await;
    until("the call", || {
        (world.homeserver.faults(|faults| faults.hits) > 0).then_some(())
    })
    .await;
    world.crash_bridge().await;
    let words = world
        .homeserver
        .until("a link", |state| links(&host, state).first().cloned())
        .await;
    assert!(words.contains("Maya"), "{words}");
    assert_eq!(world.bridge.look(&token(&words)).await.status, 200);
    world.until_idle().await;
    assert_eq!(world.homeserver.with(|state| links(&host, state)).len(), 1);

    // Torn away when the words had been said, but not answered: the host has two links, and the
    // last one works.
    world
        .homeserver
        .faults(|faults| faults.named("send", Fault::Hanging, 1));
    host.command(&world.homeserver, "invite Noor");
    world.deliver().await;
    until("the call", || {
        (world.homeserver.faults(|faults| faults.hits) > 1).then_some(())
    })
    .await;
    world.crash_bridge().await;
    let said = |state: &mut State| {
        links(&host, state)
            .into_iter()
            .filter(|words| words.contains("Noor"))
            .nth(1)
    };
    let last = world.homeserver.until("the link again", said).await;
    assert_eq!(world.bridge.look(&token(&last)).await.status, 200);
}
