//! The bot in the rooms of hosts and of others.

use std::time::Duration;

use serde_json::json;

use crate::homeserver::state::{BOT, State};
use crate::homeserver::until;
use crate::host::Host;
use crate::world::{Chat, World, token};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_have_links_gets_no_bot() {
    let world = World::start().await;
    let nobody = Host::new(&world.homeserver, "Nobody");
    world.deliver().await;
    let declined = |state: &mut State| {
        let room = &state.rooms[&nobody.management];
        (room.membership(BOT) == "leave").then_some(())
    };
    world.homeserver.until("the bot declines", declined).await;
    world.until_idle().await;
    assert_eq!(
        world.homeserver.with(|state| nobody.notices(state)),
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_explains_and_nonsense_is_answered() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    assert!(world.command(&mut host, "help").await.contains("invite"));
    let words = world.command(&mut host, "invte").await;
    assert!(words.contains("Did you mean `invite`?"), "{words}");
}

/// A notice is nothing that other bots answer, and no client opens the link to show what it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_said_without_preview() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    let token = world.link(&mut host).await;
    world.homeserver.with(|state| {
        let event = state.rooms[&host.management].timeline.last().unwrap();
        assert_eq!(event.content["msgtype"], "m.notice");
        assert_eq!(event.content["com.beeper.linkpreviews"], json!([]));
        let html = event.content["formatted_body"].as_str().unwrap();
        assert!(
            html.contains(&format!("<a href=\"https://chat.example.org/#{token}\">")),
            "{html}"
        );
    });
    // A second bot in the room, or the bot's own words, are no commands.
    let notice = json!({ "msgtype": "m.notice", "body": "invite" });
    let room = host.management.clone();
    host.send(&world.homeserver, &room, "m.room.message", notice);
    let before = world.homeserver.with(|state| host.notices(state).len());
    let words = world.command(&mut host, "help").await;
    assert!(!words.contains("/#"));
    assert_eq!(
        world.homeserver.with(|state| host.notices(state).len()),
        before + 1
    );
}

/// Neither an edit nor an answer is a command, whatever it says, nor what another bot would write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_refers_to_another_message_is_no_command() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    world.until_idle().await;
    let before = world.homeserver.with(|state| host.notices(state).len());
    let room = host.management.clone();
    let other = "$other";
    for content in [
        json!({ "msgtype": "m.text", "body": "invite",
            "m.new_content": { "msgtype": "m.text", "body": "invite" },
            "m.relates_to": { "rel_type": "m.replace", "event_id": other } }),
        json!({ "msgtype": "m.text", "body": "invite",
            "m.relates_to": { "m.in_reply_to": { "event_id": other } } }),
        json!({ "msgtype": "m.text", "body": "invite",
            "m.relates_to": { "rel_type": "m.thread", "event_id": other } }),
        json!({ "msgtype": "m.text", "body": "> <@alice:example.org> help\n\ninvite" }),
        json!({ "msgtype": "m.emote", "body": "invite" }),
        json!({ "msgtype": "m.notice", "body": "invite" }),
        json!({ "msgtype": "m.image", "body": "invite", "url": "mxc://example.org/x" }),
    ] {
        host.send(&world.homeserver, &room, "m.room.message", content);
    }
    let words = world.command(&mut host, "list").await;
    assert!(words.contains("no links and no chats"), "{words}");
    let after = world.homeserver.with(|state| host.notices(state).len());
    assert_eq!(after, before + 1);
}

/// Waits until the host's device could read this of the bot.
async fn until_read(world: &World, chat: &mut Chat, part: &str) {
    let management = chat.host.management.clone();
    until(part, || {
        let said = chat.host.read(&world.homeserver, &management);
        said.into_iter().find(|words| words.contains(part))
    })
    .await;
}

/// What a host is told unasked is told in an encrypted room too, and encrypted like the answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_in_an_encrypted_room_is_encrypted() {
    let world = World::start().await;
    let mut host = world.encrypted_host("Alice").await;
    let link = token(&world.ask(&mut host, "invite Maya").await);
    let mut chat = world.chat_over(host, link).await;
    until_read(
        &world,
        &mut chat,
        "Your link for Maya (number 1) was opened",
    )
    .await;
    chat.host.accept(&world.homeserver, &chat.room);
    world.deliver().await;
    world.bridge.clock.advance(DAY * 9);
    world.bridge.tick().await;
    until_read(
        &world,
        &mut chat,
        "ends in 24 hours unless one of you writes",
    )
    .await;
    world.bridge.clock.advance(DAY);
    world.bridge.tick().await;
    until_read(&world, &mut chat, "is over: nobody wrote for 10 days").await;
    let management = chat.host.management.clone();
    world.homeserver.with(|state| {
        assert_eq!(chat.host.notices(state), [] as [&str; 0]);
        let said = state.rooms[&management].timeline.iter();
        let of_bot = said.filter(|event| event.sender == BOT && event.state_key.is_none());
        let types: Vec<&str> = of_bot.map(|event| event.event_type.as_str()).collect();
        assert!(types.len() >= 6, "{types:?}");
        assert!(
            types.iter().all(|name| *name == "m.room.encrypted"),
            "{types:?}"
        );
    });
}
