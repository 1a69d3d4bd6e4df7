//! The bot in the rooms of hosts and of others.

use serde_json::json;

use crate::homeserver::state::{BOT, State};
use crate::host::Host;
use crate::world::World;

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
