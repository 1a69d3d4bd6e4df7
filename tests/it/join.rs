//! From the bot's command to the open chat.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::bridge::BEGINNING;
use crate::guest::Guest;
use crate::homeserver::call::Call;
use crate::homeserver::room::Room;
use crate::homeserver::state::BOT;
use crate::world::{World, token};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_leads_into_a_chat() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    let words = world
        .command(&mut host, "invite Maya from the market")
        .await;
    assert!(
        words
            .starts_with("Here is your link for Maya from the market:\nhttps://chat.example.org/#"),
        "{words}"
    );
    let token = token(&words);

    // Looking uses nothing up.
    for _ in 0..3 {
        let look = world.bridge.look(&token).await;
        let ghost = look.json()["ghost"].clone();
        assert!(ghost.as_str().unwrap().starts_with("@_vestibule_"));
        let expected = json!({
            "host": { "user_id": "@alice:example.org", "display_name": "Alice" }, "ghost": ghost,
            "expires_at": BEGINNING.0 + 7 * 86_400_000, "idle_limit_ms": 10 * 86_400_000_u64,
            "passcode": false,
        });
        assert_eq!((look.status, look.json()), (200, expected));
    }

    let mut guest = Guest::of_link(&world.bridge, &token, "GUESTDEVICE").await;
    host.publish_device(&world.homeserver, &guest.ghost);
    let joined = guest.join(&world.bridge, &token, "  Maya ").await;
    let expected = json!({
        "portal": guest.portal, "name": "Maya (Guest)",
        "host": { "user_id": "@alice:example.org", "display_name": "Alice" },
    });
    assert_eq!((joined.status, joined.json()), (200, expected));

    guest.open(&world.bridge).await;
    let welcome = &guest.welcome;
    assert_eq!(welcome["name"], "Maya (Guest)");
    assert_eq!(welcome["host"]["display_name"], "Alice");
    assert_eq!(welcome["host_joined"], false);
    assert_eq!(welcome["last_n"], 0);
    assert_eq!(welcome["one_time_keys"], 50);
    assert_eq!(welcome["fallback_unused"], true);
    assert_eq!(welcome["deadline"], BEGINNING.0 + 10 * 86_400_000);
    assert!(welcome["keys"]["device_keys"]["@alice:example.org"]["HOSTDEVICE"].is_object());

    // The host has an ordinary invitation to a direct chat, from the guest and nobody else.
    let invited = world.homeserver.with(|state| host.invitations(state));
    assert_eq!(invited, [guest.room.clone()]);
    world.homeserver.with(|state| {
        let room = &state.rooms[&guest.room];
        let event = &room.state[&("m.room.member".to_owned(), host.user.clone())];
        assert_eq!(event.sender, guest.ghost);
        assert_eq!(event.content["is_direct"], true);
        assert_eq!(
            state.users[&guest.ghost].display_name.as_deref(),
            Some("Maya (Guest)")
        );
        assert_eq!(
            state.users[&guest.ghost].devices["GUESTDEVICE"].name,
            "Guest browser"
        );
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_room_is_made_the_page_is_told_so() {
    use crate::homeserver::fault::Fault;
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    world
        .homeserver
        .faults(|faults| faults.named("create_room", Fault::Status(500, "M_UNKNOWN"), 1));
    let (mut guest, _) = world.joined(&mut host).await;
    guest.connect(&world.bridge).await;
    let first = guest.socket().next().await.unwrap();
    assert_eq!(first, json!({ "type": "opening" }));
    let second = guest.socket().next().await.unwrap();
    assert_eq!(second["type"], "welcome");
}

/// The calls from the commit of a join to the verified seal, in the order that was measured:
/// the ghost is cross-signed before the room exists, and the bot is out before the host is invited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_homeserver_is_asked_in_the_right_order() {
    let world = World::start().await;
    let before = world.homeserver.calls().len();
    let chat = world.chat("Alice").await;
    let calls = world.homeserver.calls().split_off(before);
    let about_ghost = |call: &&Call| {
        call.user() == chat.guest.ghost || matches!(call.name, "register" | "create_room")
    };
    let about_room = |call: &&Call| call.path.get(2) == Some(&chat.room);
    let named: Vec<(&str, &str)> = calls
        .iter()
        .filter(|call| about_ghost(call) || about_room(call))
        .map(|call| (call.name, if call.user() == BOT { "bot" } else { "ghost" }))
        .collect();
    let expected = [
        ("register", "bot"),
        ("set_name", "ghost"),
        ("put_device", "ghost"),
        ("upload_keys", "ghost"),
        ("upload_cross_signing", "ghost"),
        ("upload_signatures", "ghost"),
        ("create_room", "bot"),
        ("join", "ghost"),
        ("leave", "bot"),
        ("put_state", "ghost"),
        ("get_state_event", "ghost"),
        ("put_state", "ghost"),
        ("get_state", "ghost"),
        ("sync", "ghost"),
        ("keys_query", "ghost"),
    ];
    assert_eq!(named[..expected.len()], expected);
    // Synapse refuses the bot's own inbox, and a new bot has left no word there of how far it is: that
    // has nothing to do with this.
    let of_this =
        |call: &&Call| !matches!(call.name, "sync" | "account_data") || call.user() != BOT;
    let refused: Vec<_> = calls
        .iter()
        .filter(of_this)
        .filter(|call| call.status >= 300)
        .collect();
    assert!(
        refused.is_empty(),
        "each is right at the first try: {refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_room_is_sealed() {
    let world = World::start().await;
    let chat = world.open_chat("Alice").await;
    let (ghost, host, room) = (&chat.guest.ghost, &chat.host.user, &chat.room);
    world.homeserver.with(|state| {
        let kept = &state.rooms[room];
        let levels = kept.content("m.room.power_levels", "").unwrap();
        assert_eq!(
            levels["users"],
            json!({ host: 50 }),
            "nobody is left at 100"
        );
        for (level, expected) in [
            ("users_default", 0),
            ("events_default", 100),
            ("state_default", 100),
            ("invite", 100),
            ("kick", 50),
            ("ban", 50),
            ("redact", 50),
        ] {
            assert_eq!(levels[level], expected, "{level}");
        }
        assert_eq!(
            levels["events"],
            json!({ "m.room.encrypted": 0, "m.room.message": 0, "m.room.redaction": 0 })
        );
        assert_eq!(
            kept.content("m.room.encryption", "").unwrap()["algorithm"],
            "m.megolm.v1.aes-sha2"
        );
        assert_eq!(
            kept.content("m.room.history_visibility", "").unwrap()["history_visibility"],
            "invited"
        );
        assert_eq!(
            kept.content("m.room.guest_access", "").unwrap()["guest_access"],
            "forbidden"
        );
        assert_eq!(
            kept.members("join"),
            BTreeSet::from([ghost.clone(), host.clone()])
                .into_iter()
                .collect::<Vec<_>>()
        );
        assert_eq!(kept.membership(BOT), "leave");
        for person in [ghost, host] {
            let forbidden = [
                state.set_member(room, person, "@third:example.org", "invite"),
                state.set_state(room, person, "m.room.name", "", json!({ "name": "x" })),
                state.set_state(
                    room,
                    person,
                    "m.room.power_levels",
                    "",
                    json!({ "users": { person: 100 } }),
                ),
                state.send(room, person, "m.sticker", "t1", json!({})),
                state.send(room, person, "m.call.invite", "t2", json!({})),
            ];
            assert!(
                forbidden
                    .iter()
                    .all(|answer| answer.as_ref().is_err_and(|refused| refused.0 == 403))
            );
        }
        assert!(
            state.set_member(room, BOT, BOT, "join").is_err(),
            "the creator can't come back"
        );
    });
}

/// How a homeserver can break its word, each only for whoever reads the state back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_is_not_sealed_is_never_used() {
    type Tamper = (&'static str, fn(&mut Room));
    let tampers: [Tamper; 9] = [
        ("a ghost of power", |room| {
            let mut levels = room.content("m.room.power_levels", "").unwrap().clone();
            let ghost = room
                .members("join")
                .into_iter()
                .find(|user| user.starts_with("@_vestibule_"))
                .unwrap();
            levels["users"][ghost] = json!(100);
            room.forge("m.room.power_levels", "", levels);
        }),
        ("invitations for all", |room| {
            let mut levels = room.content("m.room.power_levels", "").unwrap().clone();
            levels["invite"] = json!(0);
            room.forge("m.room.power_levels", "", levels);
        }),
        ("calls", |room| {
            let mut levels = room.content("m.room.power_levels", "").unwrap().clone();
            levels["events"]["m.call.invite"] = json!(0);
            room.forge("m.room.power_levels", "", levels);
        }),
        ("the bot is still there", |room| {
            room.forge("m.room.member", BOT, json!({ "membership": "join" }))
        }),
        ("a third", |room| {
            room.forge(
                "m.room.member",
                "@third:example.org",
                json!({ "membership": "join" }),
            )
        }),
        ("an invited third", |room| {
            room.forge(
                "m.room.member",
                "@third:example.org",
                json!({ "membership": "invite" }),
            )
        }),
        ("anybody may come", |room| {
            room.forge("m.room.join_rules", "", json!({ "join_rule": "public" }))
        }),
        ("no encryption", |room| {
            room.state
                .remove(&("m.room.encryption".to_owned(), String::new()));
        }),
        ("all may read", |room| {
            room.forge(
                "m.room.history_visibility",
                "",
                json!({ "history_visibility": "world_readable" }),
            );
        }),
    ];
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    for (what, tamper) in tampers {
        world.homeserver.with(|state| state.tamper = Some(tamper));
        let before = world.homeserver.with(|state| host.notices(state).len());
        let (mut guest, _) = world.joined(&mut host).await;
        guest.open(&world.bridge).await;
        assert_eq!(guest.ended.as_deref(), Some("failed"), "{what}");
        assert_eq!(guest.welcome, Value::Null, "{what}: never welcome");
        let words = world
            .homeserver
            .until("the host is told", |state| {
                let told = host.notices(state).split_off(before);
                told.into_iter().find(|words| words.contains("is over"))
            })
            .await;
        assert!(words.contains("could not be set up"), "{what}: {words}");
        world.until_idle().await;
        world.homeserver.with(|state| {
            let room = state
                .rooms
                .values()
                .find(|room| room.content("m.room.member", &guest.ghost).is_some())
                .unwrap();
            assert_eq!(room.membership(&guest.ghost), "leave", "{what}");
            assert!(state.users[&guest.ghost].deactivated, "{what}");
        });
    }
}
