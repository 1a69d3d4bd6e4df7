//! What a host asks of the bot about links, and what becomes of them.

use std::time::Duration;

use serde_json::json;

use crate::commands::{is, notices, refused, until_told};
use crate::guest::Guest;
use crate::world::{World, token};

const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_shows_links_and_chats_and_revoke_takes_a_link_back() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let host = &mut chat.host;
    let other = token(&world.command(host, "invite Ben").await);
    let list = world.command(host, "list").await;
    assert!(list.contains("1. Maya: Maya (Guest), open"), "{list}");
    world.until_idle().await;
    let all = world
        .homeserver
        .with(|state| host.notices(state))
        .join("\n");
    assert!(all.contains("2. Ben: not opened yet"), "{all}");

    let words = world.command(host, "revoke 7").await;
    assert!(words.contains('2'), "it says which there are: {words}");
    let words = world.command(host, "revoke ben").await;
    assert!(words.contains("Ben (number 2)"), "{words}");
    assert_eq!(
        refused(&world.bridge.look(&other).await),
        is(410, "link_revoked")
    );
    let words = world.command(host, "rewoke 2").await;
    assert!(words.contains("Did you mean `revoke`?"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renew_makes_a_link_with_the_same_label_and_takes_the_old_one_back() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    let first = token(&world.command(&mut host, "invite Maya").await);
    let words = world.command(&mut host, "renew 1").await;
    assert!(words.starts_with("Here is your link for Maya:"), "{words}");
    assert!(words.contains("Its number is 2."), "{words}");
    assert_eq!(
        refused(&world.bridge.look(&first).await),
        is(410, "link_revoked")
    );
    assert_eq!(world.bridge.look(&token(&words)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_lives_as_long_as_its_host_chose() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    let words = world.command(&mut host, "invite Maya --expires 3h").await;
    let link = token(&words);
    assert!(words.contains("3 hours"), "{words}");
    let words = world
        .command(&mut host, "invite Maya --expires 3 years")
        .await;
    assert!(!words.contains("/#"), "{words}");
    world.bridge.clock.advance(HOUR * 2);
    assert_eq!(world.bridge.look(&link).await.status, 200);
    let since = notices(&world, &host);
    world.bridge.clock.advance(HOUR * 2);
    assert_eq!(
        refused(&world.bridge.look(&link).await),
        is(410, "link_expired")
    );
    world.bridge.tick().await;
    world.bridge.tick().await;
    let words = until_told(&world, &host, since, "has expired").await;
    assert!(words.contains("`renew 1`"), "{words}");
    world.until_idle().await;
    let told = world
        .homeserver
        .with(|state| host.notices(state).split_off(since));
    let expiries = told.iter().filter(|words| words.contains("has expired"));
    assert_eq!(expiries.count(), 1, "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passcode_is_asked_for_and_its_tries_are_counted() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    let words = world.command(&mut host, "invite Maya --passcode").await;
    let code = words
        .lines()
        .find_map(|line| line.strip_prefix("Passcode: "));
    let (link, code) = (token(&words), code.unwrap().to_owned());
    assert_eq!(world.bridge.look(&link).await.json()["passcode"], true);
    let guest = Guest::of_link(&world.bridge, &link, "GUESTDEVICE").await;
    let url = world.bridge.url("/api/v1/join");
    let join = async |guest: &Guest, link: &str, code: Option<&str>| {
        let mut body = guest.join_body(link, "Maya");
        if let Some(code) = code {
            body["passcode"] = json!(code);
        }
        world.bridge.web.post(&url, &body).await
    };
    assert_eq!(
        refused(&join(&guest, &link, None).await),
        is(401, "passcode_needed")
    );
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let answer = join(&guest, &link, Some(wrong)).await;
    assert_eq!(refused(&answer), is(403, "passcode_wrong"));
    assert_eq!(answer.json()["error"]["tries_left"], 4);
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    assert_eq!(join(&guest, &link, Some(&spaced)).await.status, 200);

    let since = notices(&world, &host);
    let words = world.command(&mut host, "invite Ben --passcode").await;
    let code = words
        .lines()
        .find_map(|line| line.strip_prefix("Passcode: "));
    let (link, code) = (token(&words), code.unwrap().to_owned());
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let guest = Guest::of_link(&world.bridge, &link, "GUESTDEVICE").await;
    for left in [4, 3, 2, 1] {
        let answer = join(&guest, &link, Some(wrong)).await;
        assert_eq!(answer.json()["error"]["tries_left"], left);
    }
    let answer = join(&guest, &link, Some(wrong)).await;
    assert_eq!(refused(&answer), is(410, "passcode_spent"));
    let answer = join(&guest, &link, Some(&code)).await;
    assert_eq!(refused(&answer), is(410, "link_revoked"));
    until_told(
        &world,
        &host,
        since,
        "5 wrong passcodes on your link for Ben",
    )
    .await;
}
