//! `verify N`: the same code as the guest's browser works out, or what is wrong instead.

use serde_json::{Map, Value};

use crate::homeserver::fault::Fault;
use crate::homeserver::until_seen;
use crate::world::{Chat, World, token};

/// The digits in what the bot said.
fn digits(words: &str) -> &str {
    words.lines().nth(1).unwrap_or_default().trim_matches('`')
}

/// Changes what the homeserver shows of somebody's cross-signing.
fn show(world: &World, user: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    world
        .homeserver
        .with(|state| change(&mut state.users.get_mut(user).unwrap().cross_signing));
}

async fn verify(world: &World, chat: &mut Chat) -> String {
    world.command(&mut chat.host, "verify 1").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bot_tells_the_code_that_the_browser_has_until_the_host_starts_anew() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let words = verify(&world, &mut chat).await;
    let code = chat.guest.safety_code().unwrap();
    assert_eq!(digits(&words), code, "{words}");
    assert!(words.contains("the guest's browser gave me"), "{words}");
    world.crash_bridge().await;
    assert_eq!(digits(&verify(&world, &mut chat).await), code);

    chat.host.new_device(&world.homeserver, true);
    let words = verify(&world, &mut chat).await;
    assert_ne!(digits(&words), code, "{words}");
    // The welcome brings the new keys.
    chat.guest.disconnect();
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.safety_code().as_deref(), Some(digits(&words)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_instead_of_a_code() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let (host, ghost) = (chat.host.user.clone(), chat.guest.ghost.clone());
    let mut kept = Map::new();

    world
        .homeserver
        .faults(|faults| faults.named("keys_query", Fault::Status(404, "M_NOT_FOUND"), 1));
    let words = verify(&world, &mut chat).await;
    assert!(words.contains("could not find out"), "{words}");

    // A host without cross-signing has no code, and reads what to do.
    show(&world, &host, |keys| std::mem::swap(keys, &mut kept));
    let words = verify(&world, &mut chat).await;
    assert!(
        words.contains("your account has no cross-signing"),
        "{words}"
    );
    show(&world, &host, |keys| std::mem::swap(keys, &mut kept));

    // Another identity on the ghost, or none: whoever has the homeserver put it there.
    let of_host = world
        .homeserver
        .with(|state| state.users[&host].cross_signing.clone());
    for forged in [of_host, Map::new()] {
        let mut kept = forged;
        show(&world, &ghost, |keys| std::mem::swap(keys, &mut kept));
        let words = verify(&world, &mut chat).await;
        assert!(
            words.starts_with("Stop:") && words.contains("`end 1`"),
            "{words}"
        );
        show(&world, &ghost, |keys| std::mem::swap(keys, &mut kept));
    }
    assert!(verify(&world, &mut chat).await.contains("safety code of"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_not_given_before_a_crash_is_given_after_it() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    world.until_idle().await;
    let before = world
        .homeserver
        .with(|state| chat.host.notices(state).len());
    world
        .homeserver
        .faults(|faults| faults.named("keys_query", Fault::Hanging, 1));
    chat.host.command(&world.homeserver, "verify 1");
    world.deliver().await;
    until_seen("the question", async || {
        world.homeserver.faults(|faults| faults.hits) > 0
    })
    .await;
    world.crash_bridge().await;
    let words = world
        .homeserver
        .until("the answer", |state| {
            chat.host.notices(state).get(before).cloned()
        })
        .await;
    assert_eq!(Some(digits(&words)), chat.guest.safety_code().as_deref());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_an_encrypted_room_the_code_is_for_the_host_alone() {
    let world = World::start().await;
    let mut host = world.encrypted_host("Alice").await;
    let token = token(&world.ask(&mut host, "invite Maya").await);
    let mut chat = world.chat_over(host, token).await;
    let words = world.ask(&mut chat.host, "verify 1").await;
    let code = chat.guest.safety_code().unwrap();
    assert_eq!(digits(&words), code, "{words}");
    world.until_idle().await;
    for call in world.homeserver.calls() {
        assert!(!call.body.to_string().contains(&code), "{call:?}");
    }
}
