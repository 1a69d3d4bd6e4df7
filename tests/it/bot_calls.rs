//! Calls of the bot's own device that nobody answers, answers that are lost, and messages that can't be
//! read.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bridge::Setup;
use crate::homeserver::fault::Fault;
use crate::homeserver::state::{BOT, State};
use crate::homeserver::{until, until_seen};
use crate::host::Host;
use crate::world::World;

/// The bot's devices, each with how many one-time keys it has at the homeserver.
fn devices(state: &State) -> Vec<(String, usize)> {
    let devices = state.users[BOT].devices.iter();
    devices
        .map(|(id, device)| (id.clone(), device.one_time_keys.len()))
        .collect()
}

/// The one-time keys of each upload of the bot's.
fn uploads(world: &World) -> Vec<Value> {
    let calls = world.homeserver.calls().into_iter();
    let uploads = calls.filter(|call| call.name == "upload_keys" && call.user() == BOT);
    uploads
        .map(|call| call.body["one_time_keys"].clone())
        .filter(Value::is_object)
        .collect()
}

fn ids(keys: &Value) -> BTreeSet<String> {
    keys.as_object().unwrap().keys().cloned().collect()
}

async fn until_ready(world: &World) {
    until("the bot's device stands", || {
        let bridge = world.bridge.app();
        bridge.bot.is_ready().then_some(())
    })
    .await;
}

/// Claims so many of the bot's one-time keys, and gives their ids.
fn claim(world: &World, device: &str, count: usize) -> BTreeSet<String> {
    let body = json!({ "one_time_keys": { BOT: { device: "signed_curve25519" } } });
    let claimed = (0..count).flat_map(|_| {
        let answer = world.homeserver.with(|state| state.claim_keys(&body));
        ids(&answer["one_time_keys"][BOT][device])
    });
    claimed.collect()
}

async fn push_count(world: &World, device: &str, count: usize) {
    let counts = json!({ BOT: { device: { "signed_curve25519": count } } });
    world
        .push(&json!({ "events": [], "org.matrix.msc3202.device_one_time_keys_count": counts }))
        .await;
}

/// The keys of the first upload are at the homeserver, and the bot doesn't know it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_keys_are_uploaded_after_a_lost_answer() {
    let mut world = World::unstarted(&Setup::default()).await;
    world
        .homeserver
        .faults(|faults| faults.named("upload_keys", Fault::Unanswered, 1));
    world.start_bridge().await;
    until_ready(&world).await;
    let uploads = uploads(&world);
    assert_eq!(uploads.len(), 2);
    assert_eq!(uploads[0], uploads[1]);
    let devices = world.homeserver.with(|state| devices(state));
    assert_eq!(
        devices.iter().map(|(_, keys)| *keys).collect::<Vec<_>>(),
        [50]
    );
    let mut host = world.encrypted_host("Alice").await;
    assert!(world.ask(&mut host, "help").await.contains("invite"));
}

/// A crash instead of the second try makes no difference, nor do keys of which some are gone already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_keys_are_uploaded_after_a_lost_answer_and_a_crash() {
    let mut world = World::unstarted(&Setup::default()).await;
    world
        .homeserver
        .faults(|faults| faults.named("upload_keys", Fault::Hanging, 1));
    world.start_bridge().await;
    until("the first upload", || {
        (uploads(&world).len() == 1).then_some(())
    })
    .await;
    world.crash_bridge().await;
    until_ready(&world).await;
    let uploads = uploads(&world);
    assert_eq!(uploads.len(), 2);
    assert_eq!(uploads[0], uploads[1]);
    let mut host = world.encrypted_host("Alice").await;
    assert!(world.ask(&mut host, "help").await.contains("invite"));
}

/// All of the device stands at the homeserver, and the bot doesn't know it: no key that was handed out
/// may be uploaded again later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_handed_out_twice_when_the_last_answer_is_lost() {
    for call in ["upload_cross_signing", "upload_signatures"] {
        let mut world = World::unstarted(&Setup::default()).await;
        world
            .homeserver
            .faults(|faults| faults.named(call, Fault::Unanswered, 1));
        world.start_bridge().await;
        until_ready(&world).await;
        let before = uploads(&world).len();
        let device = world.homeserver.with(|state| devices(state)[0].0.clone());
        let claimed = claim(&world, &device, 30);
        assert_eq!(claimed.len(), 30);
        world.bridge.clock.advance(Duration::from_secs(60));
        push_count(&world, &device, 20).await;
        let refill = until("there are keys again", || {
            uploads(&world).into_iter().nth(before)
        })
        .await;
        assert!(ids(&refill).is_disjoint(&claimed), "{call}");
        assert_eq!(ids(&refill).len(), 30, "{call}");
    }
}

/// The upload of a refill arrived and its answer didn't: the next one is the same again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refill_is_the_same_again_after_a_lost_answer() {
    let world = World::start().await;
    until_ready(&world).await;
    let before = uploads(&world).len();
    let device = world.homeserver.with(|state| devices(state)[0].0.clone());
    claim(&world, &device, 30);
    world.bridge.clock.advance(Duration::from_secs(60));
    world
        .homeserver
        .faults(|faults| faults.named("upload_keys", Fault::Unanswered, 1));
    push_count(&world, &device, 20).await;
    until("the refill", || {
        (world.homeserver.faults(|faults| faults.hits) == 1).then_some(())
    })
    .await;
    push_count(&world, &device, 50).await;
    until("the refill again", || {
        (uploads(&world).len() == before + 2).then_some(())
    })
    .await;
    let uploads = uploads(&world);
    assert_eq!(uploads[before], uploads[before + 1]);
    assert_eq!(ids(&uploads[before]).len(), 30);
    let devices = world.homeserver.with(|state| devices(state));
    assert_eq!(devices, [(device, 50)]);
}

/// An Olm message of hers can't be read: the bot begins anew, and gets the room key by that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_olm_session_with_a_host_is_replaced() {
    let world = World::start().await;
    let mut host = world.encrypted_host("Alice").await;
    world.until_idle().await;
    let room = host.management.clone();
    let device = world.homeserver.with(|state| devices(state)[0].0.clone());
    let claims = world.homeserver.count("keys_claim");
    // Her client sends the room key, then closes before it sends what it is for.
    host.encrypt(&world.homeserver, &room, "help");
    world.homeserver.with(|state| {
        assert_eq!(state.to_device.len(), 1);
        let bodies = state.to_device[0]["content"]["ciphertext"].as_object_mut();
        for body in bodies.unwrap().values_mut() {
            let mut spoiled = body["body"].as_str().unwrap().to_owned();
            // Not the last one: not every value of it is base64.
            let place = spoiled.len() - 4..spoiled.len() - 3;
            let other = if &spoiled[place.clone()] == "A" {
                "B"
            } else {
                "A"
            };
            spoiled.replace_range(place, other);
            body["body"] = json!(spoiled);
        }
    });
    world.deliver().await;
    until("a key of hers is claimed", || {
        (world.homeserver.count("keys_claim") == claims + 1).then_some(())
    })
    .await;
    let user = host.user.clone();
    until("she is greeted", || {
        world.homeserver.with(|state| {
            let inbox = &state.users[&user].devices["HOSTDEVICE"].inbox;
            (!inbox.is_empty()).then_some(())
        })
    })
    .await;
    assert!(world.ask(&mut host, "help").await.contains("invite"));
    assert!(world.ask(&mut host, "list").await.contains("no"));
    let now = world.homeserver.with(|state| devices(state));
    assert_eq!(now.len(), 1);
    assert_eq!(now[0].0, device, "the bot keeps its device");
    assert_eq!(world.homeserver.count("keys_claim"), claims + 1, "once");
}

/// Another server has to be asked for the one host's keys, and doesn't answer. Whichever of the
/// questions it is, the other host has their answers meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_whose_server_hangs_keeps_no_other_host_waiting() {
    for call in ["keys_query", "keys_claim"] {
        let world = World::start().await;
        until_ready(&world).await;
        world
            .homeserver
            .faults(|faults| faults.named(call, Fault::Hanging, 1));
        let mut alice = Host::encrypted(&world.homeserver, "Alice");
        world.deliver().await;
        until("the question hangs", || {
            (world.homeserver.faults(|faults| faults.hits) == 1).then_some(())
        })
        .await;
        let asked = tokio::time::timeout(Duration::from_secs(10), async {
            let mut bob = world.encrypted_host("Bob").await;
            let room = bob.management.clone();
            bob.say(&world.homeserver, &room, "help");
            world.deliver().await;
            world.answer(&mut bob, 1).await
        });
        let words = asked.await.expect("it doesn't wait for thirty seconds");
        assert!(words.contains("invite"), "{call}: {words}");
        let room = alice.management.clone();
        assert!(alice.read(&world.homeserver, &room).is_empty(), "{call}");
        // What was said to Bob leaves the outbox a moment after the homeserver has it.
        until_seen("what waits is Alice's alone", async || {
            world.bridge.metric("outbox").await == 1
        })
        .await;
    }
}
