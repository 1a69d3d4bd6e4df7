//! What a host asks of the bot about chats, and what becomes of them, from the room of the command to
//! the page.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rocksdb::{DB, IteratorMode, Options};
use serde_json::{Value, json};
use vestibule::store::RocksStore;
use vestibule::store::families::Family;
use vestibule_bridge::block::Block;
use vestibule_bridge::id::{PortalId, UserId};
use vestibule_bridge::store::{Change, Changes, Facts as _, Store as _, StoreTransaction as _};

use crate::bridge::BEGINNING;
use crate::guest::Guest;
use crate::homeserver::state::State;
use crate::homeserver::until_seen;
use crate::host::Host;
use crate::web::Answer;
use crate::world::{Chat, World};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Status and code of a refused request.
pub fn refused(answer: &Answer) -> (u16, String) {
    let code = answer.json()["error"]["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (answer.status, code)
}

pub fn is(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Waits until the bot said this unasked, since so many notices.
pub async fn until_told(world: &World, host: &Host, since: usize, part: &str) -> String {
    let told = |state: &mut State| {
        let notices = host.notices(state).split_off(since);
        notices.into_iter().find(|words| words.contains(part))
    };
    world.homeserver.until(part, told).await
}

pub fn notices(world: &World, host: &Host) -> usize {
    world.homeserver.with(|state| host.notices(state).len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn end_ends_the_chat_for_both() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let words = world.command(&mut chat.host, "end 1").await;
    assert!(
        words.contains("I ended the chat with Maya (number 1)"),
        "{words}"
    );
    assert_eq!(chat.guest.until_ended().await, "host");
    assert_eq!(chat.guest.socket().next().await, None);
    world.until_idle().await;
    world.homeserver.with(|state| {
        assert_eq!(
            state.rooms[&chat.room].membership(&chat.guest.ghost),
            "leave"
        );
    });
}

/// What a guest's page meets from the end on: frames over the socket, answers, and what comes later.
async fn after_the_end(world: &World, mut chat: Chat, command: &str) -> Vec<Value> {
    let content = chat.guest.encrypt("too late").await;
    let n = chat.guest.last_n + 1;
    world.command(&mut chat.host, command).await;
    // Sent by a page that doesn't know it yet.
    let frame = json!({ "type": "send", "n": n, "content": content });
    chat.guest.socket().send(&frame).await;
    let mut seen = Vec::new();
    let is_answer = |frame: &Value| frame["type"] == "result" && frame["n"] == json!(n);
    loop {
        let frame = chat
            .guest
            .socket()
            .next()
            .await
            .expect("an answer and the end");
        let answered = is_answer(&frame);
        if frame["type"] == "ended" || answered {
            seen.push(frame);
        }
        if seen.len() == 2 {
            break;
        }
    }
    let seq = seen.iter().find_map(|frame| frame["seq"].as_u64()).unwrap();
    chat.guest
        .socket()
        .send(&json!({ "type": "ack", "seq": seq }))
        .await;
    assert_eq!(chat.guest.socket().next().await, None, "closed at once");
    seen.sort_by_key(|frame| frame["type"].to_string());
    // A second connection, the link again, the join again.
    chat.guest.connect(&world.bridge).await;
    seen.extend(chat.guest.socket().next().await);
    assert_eq!(chat.guest.socket().next().await, None);
    seen.push(world.bridge.look(&chat.token).await.json());
    let again = chat.guest.join(&world.bridge, &chat.token, "Maya").await;
    let mut again = again.json();
    again["portal"] = Value::Null;
    seen.push(again);
    world.until_idle().await;
    let texts = chat.host.read(&world.homeserver, &chat.room);
    assert_eq!(texts, [] as [&str; 0], "nothing was accepted after the end");
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_guest_reads_exactly_what_an_ended_one_reads() {
    let world = World::start().await;
    let chat = world.open_chat("Alice").await;
    let ended = after_the_end(&world, chat, "end 1").await;
    let other = World::start().await;
    let chat = other.open_chat("Alice").await;
    let blocked = after_the_end(&other, chat, "block 1").await;
    assert_eq!(ended[0]["reason"], "host");
    assert_eq!(ended[1]["error"]["code"], "ended");
    assert_eq!(ended, blocked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_holds_over_a_restart_until_it_is_taken_back() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let words = world.command(&mut chat.host, "block Maya").await;
    assert!(words.contains("I blocked Maya (number 1)"), "{words}");
    assert_eq!(chat.guest.until_ended().await, "host");
    world.until_idle().await;
    world.crash_bridge().await;

    let words = world.command(&mut chat.host, "invite Maya").await;
    assert!(words.contains("unblock 1"), "the label is known: {words}");
    let blocks = || {
        world
            .bridge
            .app()
            .store
            .begin()
            .blocks_of_host(&UserId::new("@alice:example.org"))
    };
    assert_eq!(blocks().unwrap().len(), 1);
    let words = world.command(&mut chat.host, "unblock 1").await;
    assert!(words.contains("is no longer blocked"), "{words}");
    assert_eq!(blocks().unwrap().len(), 0);
    let words = world.command(&mut chat.host, "invite Maya").await;
    assert!(words.contains("/#"), "{words}");
}

/// A page makes new keys for each link; this one was changed, so that it comes with the old one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_on_the_block_list_finds_no_link_of_this_host() {
    let mut world = World::start().await;
    let mut host = world.host("Alice").await;
    let token = world.link(&mut host).await;
    let mut guest = Guest::of_link(&world.bridge, &token, "GUESTDEVICE").await;
    let keys = guest.join_body(&token, "Maya")["keys"]["device_keys"].clone();
    let blocked = Block {
        host: UserId::new(&host.user),
        key: keys["keys"]["ed25519:GUESTDEVICE"]
            .as_str()
            .unwrap()
            .to_owned(),
        number: 7,
        label: None,
        at: BEGINNING,
    };
    world.until_idle().await;
    world.bridge.stop().await;
    {
        let store = RocksStore::open(&world.bridge.store_path()).unwrap();
        let mut round = store.begin();
        round
            .apply(&Changes(vec![Change::PutBlock(blocked)]))
            .unwrap();
        round.commit().unwrap();
    }
    world.start_bridge().await;
    let answer = guest.join(&world.bridge, &token, "Maya").await;
    assert_eq!(refused(&answer), is(404, "link_unknown"));
    let words = world.command(&mut host, "unblock 7").await;
    assert!(words.contains("is no longer blocked"), "{words}");
    let answer = guest.join(&world.bridge, &token, "Maya").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_put_out_in_the_hosts_own_client_is_blocked() {
    let world = World::start().await;
    for (name, membership, did) in [("Alice", "ban", "banned"), ("Bob", "leave", "removed")] {
        let mut chat = world.open_chat(name).await;
        let since = notices(&world, &chat.host);
        let ghost = chat.guest.ghost.clone();
        chat.host
            .set_member(&world.homeserver, &chat.room, &ghost, membership);
        world.deliver().await;
        assert_eq!(chat.guest.until_ended().await, "host");
        let told = format!("You {did} Maya (number 1), so I blocked them");
        until_told(&world, &chat.host, since, &told).await;
        let words = world.command(&mut chat.host, "invite Maya").await;
        assert!(words.contains("You blocked Maya"), "{name}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_are_warned_once_before_a_chat_ends() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    let since = notices(&world, &chat.host);
    world.bridge.clock.advance(DAY * 9 + HOUR);
    for _ in 0..3 {
        world.bridge.tick().await;
    }
    let ends_at = json!(BEGINNING.0 + 10 * 86_400_000);
    chat.guest
        .until_frame("deadline", "deadline", ends_at)
        .await;
    until_told(&world, &chat.host, since, "ends in 23 hours unless").await;

    // A message moves the end, and there is one more warning before the next.
    world.host_says(&mut chat, "still there").await;
    chat.guest.until_texts(1).await;
    // The answer comes after the acknowledgement was taken: then no message waits for the guest.
    chat.guest.ask(json!({ "type": "keys_query" })).await;
    world.bridge.clock.advance(DAY * 9 + HOUR);
    for _ in 0..3 {
        world.bridge.tick().await;
    }
    let ends_at = json!(BEGINNING.0 + 19 * 86_400_000 + 3_600_000);
    chat.guest
        .until_frame("deadline", "deadline", ends_at)
        .await;
    world.until_idle().await;
    let told = world
        .homeserver
        .with(|state| chat.host.notices(state).split_off(since));
    let warnings = told
        .iter()
        .filter(|words| words.contains("unless one of you"));
    assert_eq!(warnings.count(), 2, "{told:?}");
    let frames = chat
        .guest
        .inbox
        .iter()
        .filter(|frame| frame["type"] == "deadline");
    assert_eq!(frames.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_who_stays_away_is_told_of_once() {
    let world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    chat.guest.disconnect();
    // That they were there until now is noted when the connection is gone.
    until_seen("nobody is connected", async || {
        world.bridge.app().metrics.sockets.get() == 0
    })
    .await;
    world.host_says(&mut chat, "are you there?").await;
    let since = notices(&world, &chat.host);
    world.bridge.clock.advance(DAY * 3 + HOUR);
    world.bridge.tick().await;
    until_told(
        &world,
        &chat.host,
        since,
        "hasn't opened the chat for 3 days",
    )
    .await;
    world.bridge.clock.advance(DAY);
    world.bridge.tick().await;
    world.until_idle().await;
    let told = world
        .homeserver
        .with(|state| chat.host.notices(state).split_off(since));
    assert_eq!(told.len(), 1, "{told:?}");
    // They come back, and read it.
    chat.guest.open(&world.bridge).await;
    assert_eq!(chat.guest.until_texts(1).await, ["are you there?"]);
}

/// Rows of all families in which there are rows about this chat.
fn rows_about(store: &Path, chat: &Chat) -> BTreeSet<&'static str> {
    let names = Family::ALL.map(Family::name);
    let db = DB::open_cf_for_read_only(&Options::default(), store, names, false).unwrap();
    let portal = PortalId::parse(&chat.guest.portal).unwrap();
    let needles = [
        chat.guest.ghost.as_bytes().to_vec(),
        chat.room.as_bytes().to_vec(),
        chat.guest.portal.as_bytes().to_vec(),
        portal.as_u128().to_be_bytes().to_vec(),
        b"Maya".to_vec(),
    ];
    let about = |bytes: &[u8]| {
        let holds = |needle: &Vec<u8>| bytes.windows(needle.len()).any(|part| part == needle);
        needles.iter().any(holds)
    };
    let has_row = |name: &&str| {
        let rows = db.iterator_cf(db.cf_handle(name).unwrap(), IteratorMode::Start);
        rows.map(Result::unwrap)
            .any(|(key, row)| about(&key) || about(&row))
    };
    names.into_iter().filter(has_row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_is_forgotten() {
    let mut world = World::start().await;
    let mut chat = world.open_chat("Alice").await;
    world.host_says(&mut chat, "one").await;
    chat.guest.until_texts(1).await;
    let n = chat.guest.say("two").await;
    chat.guest.until_delivered(n).await;
    let words = world.command(&mut chat.host, "end 1").await;
    assert!(words.contains("I ended the chat"), "{words}");
    assert_eq!(chat.guest.until_ended().await, "host");
    assert_eq!(chat.guest.socket().next().await, None, "acknowledged");
    world.until_idle().await;
    assert!(rows_about(&world.bridge.store_path(), &chat).contains("portalid_portal"));

    world.bridge.clock.advance(DAY + HOUR);
    world.bridge.tick().await;
    let left = rows_about(&world.bridge.store_path(), &chat);
    let link = BTreeSet::from(["audit_entry", "linkid_link"]);
    assert_eq!(left, link, "the label is what `renew` needs");
    // The page asks once more, and reads that it is over.
    chat.guest.connect(&world.bridge).await;
    assert_eq!(chat.guest.socket().closing_code().await, "unknown_chat");
    let words = world.command(&mut chat.host, "renew 1").await;
    assert!(words.starts_with("Here is your link for Maya"), "{words}");
    let words = world.command(&mut chat.host, "revoke 2").await;
    assert!(words.contains("number 2"), "{words}");
    world.until_idle().await;

    world.bridge.clock.advance(DAY * 31);
    world.bridge.tick().await;
    let left = rows_about(&world.bridge.store_path(), &chat);
    assert_eq!(left, BTreeSet::from(["audit_entry"]));
    world.bridge.clock.advance(DAY * 60);
    world.bridge.tick().await;
    assert_eq!(
        rows_about(&world.bridge.store_path(), &chat),
        BTreeSet::new()
    );
    assert_eq!(
        refused(&world.bridge.look(&chat.token).await),
        is(404, "link_unknown")
    );
    // All of it holds over a restart.
    world.crash_bridge().await;
    assert_eq!(
        rows_about(&world.bridge.store_path(), &chat),
        BTreeSet::new()
    );
}
