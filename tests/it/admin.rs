//! The admin room, from what an admin writes to what the homeserver, hosts and guests make of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::guest::Guest;
use crate::homeserver::state::BOT;
use crate::homeserver::until_seen;
use crate::host::Host;
use crate::web::Answer;
use crate::world::{World, token};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Status and code of a refused request.
fn refused(answer: &Answer) -> (u16, String) {
    let code = answer.json()["error"]["code"].clone();
    (answer.status, code.as_str().unwrap_or_default().to_owned())
}

/// Root in a room with the bot that is an admin room.
async fn admin(world: &World) -> Host {
    let mut root = world.host("Root").await;
    let words = world.command(&mut root, "status").await;
    assert!(words.contains("`admin-room`"), "{words}");
    let words = world.command(&mut root, "admin-room").await;
    assert!(words.contains("This is an admin room now"), "{words}");
    root
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_sees_and_ends_what_others_have() {
    let world = World::start().await;
    let mut root = admin(&world).await;
    let mut chat = world.open_chat("Alice").await;
    let link = token(&world.command(&mut chat.host, "invite Ben").await);
    let words = world.command(&mut root, "chats").await;
    assert!(words.contains("1. @alice:example.org: open"), "{words}");
    let words = world.command(&mut root, "links").await;
    assert!(words.contains("2. @alice:example.org: made"), "{words}");
    let words = world.command(&mut root, "show 1").await;
    assert!(
        words.contains(&chat.guest.portal) && words.contains(&chat.room),
        "{words}"
    );
    let words = world.command(&mut root, "status").await;
    assert!(words.contains("Open: 1 chat and 1 unused link"), "{words}");
    assert!(words.contains(env!("CARGO_PKG_VERSION")), "{words}");

    let words = world.command(&mut root, "end 1").await;
    assert!(
        words.contains("I ended chat 1 of @alice:example.org"),
        "{words}"
    );
    assert_eq!(chat.guest.until_ended().await, "admin");
    world.command(&mut root, "revoke 2").await;
    assert_eq!(
        refused(&world.bridge.look(&link).await),
        (410, "link_revoked".to_owned())
    );
    let words = world.command(&mut root, "audit 2").await;
    assert!(
        words.contains("admin @root:example.org took back link 2"),
        "{words}"
    );
    world.until_idle().await;
    let all = world
        .homeserver
        .with(|state| root.notices(state))
        .join("\n");
    for secret in ["Maya", "Ben", link.as_str()] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_and_a_block_hold_over_a_restart() {
    let mut world = World::start().await;
    let mut root = admin(&world).await;
    let mut host = world.host("Alice").await;
    let link = world.link(&mut host).await;
    let mut guest = Guest::of_link(&world.bridge, &link, "GUESTDEVICE").await;
    let words = world.command(&mut root, "pause").await;
    assert!(words.contains("Paused:"), "{words}");
    world.until_idle().await;
    world.crash_bridge().await;
    let answer = guest.join(&world.bridge, &link, "Maya").await;
    assert_eq!(refused(&answer), (503, "paused".to_owned()));
    assert_eq!(
        refused(&world.bridge.look(&link).await),
        (503, "paused".to_owned())
    );
    let words = world.command(&mut host, "invite Ben").await;
    assert!(words.contains("An administrator has paused"), "{words}");
    world.command(&mut root, "resume").await;
    let answer = guest.join(&world.bridge, &link, "Maya").await;
    assert_eq!(answer.status, 200, "{}", answer.text());

    let words = world
        .command(&mut root, &format!("block-host {}", host.user))
        .await;
    assert!(words.contains("1 chat ended"), "{words}");
    world.until_idle().await;
    world.crash_bridge().await;
    let before = world.homeserver.with(|state| host.notices(state).len());
    let room = host.management.clone();
    let content = json!({ "msgtype": "m.text", "body": "invite Ben" });
    host.send(&world.homeserver, &room, "m.room.message", content);
    world.deliver().await;
    world.until_idle().await;
    let after = world.homeserver.with(|state| host.notices(state).len());
    assert_eq!(before, after, "a blocked host is not answered");
    world
        .command(&mut root, &format!("unblock-host {}", host.user))
        .await;
    assert!(world.command(&mut host, "invite Ben").await.contains("/#"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_links_are_taken_back_and_their_hosts_told() {
    let world = World::start().await;
    let mut root = admin(&world).await;
    let mut host = world.host("Alice").await;
    let first = world.link(&mut host).await;
    let second = world.link(&mut host).await;
    let words = world.command(&mut root, "pause --revoke").await;
    assert!(words.contains("I take 2 unused links back"), "{words}");
    for link in [&first, &second] {
        assert_eq!(
            refused(&world.bridge.look(link).await),
            (410, "link_revoked".to_owned())
        );
    }
    world.bridge.tick().await;
    world.until_idle().await;
    let told = world
        .homeserver
        .with(|state| host.notices(state))
        .join("\n");
    assert_eq!(
        told.matches("An administrator of this service took your link")
            .count(),
        2,
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_trail_is_kept_as_long_as_it_should_be() {
    let mut world = World::start().await;
    let mut root = admin(&world).await;
    let mut host = world.host("Alice").await;
    world.link(&mut host).await;
    world.bridge.clock.advance(DAY * 80);
    world.crash_bridge().await;
    let words = world.command(&mut root, "audit").await;
    assert!(
        words.contains("80 days ago: @alice:example.org made link 1"),
        "{words}"
    );
    world.bridge.clock.advance(DAY * 11);
    world.bridge.tick().await;
    let words = world.command(&mut root, "audit").await;
    assert!(!words.contains("made link"), "{words}");
}

/// A room with rules, made by somebody.
fn list(world: &World, rules: &[(&str, Value)]) -> String {
    world.homeserver.with(|state| {
        let root = "@root:example.org";
        let body = json!({ "invite": [BOT] });
        let room = state.create_room(root, &body).unwrap();
        let room = room["room_id"].as_str().unwrap().to_owned();
        for (key, content) in rules {
            state
                .set_state(&room, root, "m.policy.rule.user", key, content.clone())
                .unwrap();
        }
        room
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deny_list_is_read_followed_and_remembered() {
    let mut world = World::start().await;
    let mut root = admin(&world).await;
    let mut host = world.host("Alice").await;
    let link = world.link(&mut host).await;
    let ban = json!({ "entity": "@al*:example.org", "recommendation": "m.ban" });
    let room = list(&world, &[("one", ban.clone())]);
    world.deliver().await;
    world.until_idle().await;
    world.bridge.stop().await;
    let key = format!("permissions: {{ deny_lists: ['{room}'],");
    world.bridge.edit_config("permissions: {", &key);
    world.start_bridge().await;
    until_seen("the list is read", async || {
        let answer = world.bridge.look(&link).await;
        refused(&answer) == (410, "link_revoked".to_owned())
    })
    .await;
    let words = world.command(&mut root, "status").await;
    assert!(
        words.contains(&format!("Deny list {room}: 1 rule,")),
        "{words}"
    );
    // The rule is taken away, which is pushed.
    world.homeserver.with(|state| {
        let gone = json!({});
        let root = "@root:example.org";
        state
            .set_state(&room, root, "m.policy.rule.user", "one", gone)
            .unwrap()
    });
    world.deliver().await;
    until_seen("the rule is gone", async || {
        world.bridge.look(&link).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_says_what_is_wrong() {
    let world = World::start().await;
    let mut root = admin(&world).await;
    world.until_idle().await;
    let before = world.homeserver.with(|state| root.notices(state).len());
    root.command(&world.homeserver, "doctor");
    let mut words = String::new();
    until_seen("the doctor speaks", async || {
        world.deliver().await;
        let said = world.homeserver.with(|state| root.notices(state));
        words = said.get(before).cloned().unwrap_or_default();
        !words.is_empty()
    })
    .await;
    assert!(words.contains("ok: Room keys are pushed."), "{words}");
    assert!(words.contains("ok: Counts of keys are pushed."), "{words}");
    // The bridge goes by the test's clock.
    let clocks = "WRONG: The clocks of homeserver and bridge are";
    assert!(words.contains(clocks), "{words}");
    assert!(
        words.contains("ok: The homeserver reaches the bridge."),
        "{words}"
    );
    assert!(words.contains("ok: Guests can be registered."), "{words}");
    assert!(words.contains("Synapse is 1.163.2."), "{words}");
}

/// While Synapse recovers from a push that failed it forgets what is for devices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_sends_again_what_was_not_pushed() {
    let world = World::start().await;
    let mut root = admin(&world).await;
    world.until_idle().await;
    let before = world.homeserver.with(|state| root.notices(state).len());
    root.command(&world.homeserver, "doctor");
    let (mut words, mut lost) = (String::new(), false);
    until_seen("the doctor speaks", async || {
        world.homeserver.with(|state| {
            if !lost && !state.to_device.is_empty() {
                state.to_device.clear();
                lost = true;
            }
        });
        world.deliver().await;
        let said = world.homeserver.with(|state| root.notices(state));
        words = said.get(before).cloned().unwrap_or_default();
        !words.is_empty()
    })
    .await;
    assert!(lost);
    assert!(words.contains("ok: Room keys are pushed."), "{words}");
}
