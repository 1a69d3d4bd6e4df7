//! What must not be found where the bridge keeps, logs or counts things.

use std::path::Path;

use rocksdb::{DB, IteratorMode, Options};
use serde_json::json;
use vestibule::store::families::Family;

use crate::bridge::{HS_TOKEN, Setup};
use crate::guest::Guest;
use crate::guest::socket::Socket;
use crate::homeserver::call::AS_TOKEN;
use crate::host::Host;
use crate::world::{Chat, World};

const NAME: &str = "Canary-Name-7f3a";
const LABEL: &str = "canary-label-91bd";
const GUEST_TEXT: &str = "canary text of the guest 5e2c";
const HOST_TEXT: &str = "canary text of the host c04d";
const PLAIN_TEXT: &str = "canary-without-encryption-2b6e";

/// Every key and value of every family, as they are read: on disk they are compressed.
fn rows(store: &Path) -> Vec<u8> {
    let families = Family::ALL.map(Family::name);
    let db = DB::open_cf_for_read_only(&Options::default(), store, families, false).unwrap();
    let mut all = Vec::new();
    for family in families {
        for row in db.iterator_cf(db.cf_handle(family).unwrap(), IteratorMode::Start) {
            let (key, value) = row.unwrap();
            all.extend_from_slice(&key);
            all.extend_from_slice(&value);
        }
    }
    all
}

/// Every byte of every file.
fn files(store: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(store)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.is_file())
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Writes what is still in memory and in the write-ahead log into tables.
fn flush(store: &Path) {
    let families = Family::ALL.map(Family::name);
    let db = DB::open_cf(&Options::default(), store, families).unwrap();
    for family in families {
        db.flush_cf(db.cf_handle(family).unwrap()).unwrap();
    }
}

fn holds(bytes: &[u8], canary: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(canary)
}

async fn talk(world: &World, chat: &mut Chat) {
    let (said, read) = (
        world.until_host_read(chat, 0).await.len(),
        chat.guest.texts().len(),
    );
    let n = chat.guest.say(GUEST_TEXT).await;
    chat.guest.until_delivered(n).await;
    world.host_says(chat, HOST_TEXT).await;
    assert_eq!(
        chat.guest.until_texts(read + 1).await.last().unwrap(),
        HOST_TEXT
    );
    assert_eq!(
        world.until_host_read(chat, said + 1).await.last().unwrap(),
        GUEST_TEXT
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_is_kept_logged_or_counted() {
    let mut world = World::apart(&Setup::default()).await;
    let mut host = world.host("Alice").await;
    let words = world.command(&mut host, &format!("invite {LABEL}")).await;
    let token = crate::world::token(&words);
    let unused = world.link(&mut host).await;
    let passcodes = try_passcodes(&world, &mut host).await;
    let mut guest = Guest::of_link(&world.bridge, &token, "GUESTDEVICE").await;
    host.publish_device(&world.homeserver, &guest.ghost);
    // A join that is refused says its token and name too.
    assert_eq!(
        guest
            .join(&world.bridge, &token, &NAME.repeat(3))
            .await
            .status,
        400
    );
    assert_eq!(guest.join(&world.bridge, &token, NAME).await.status, 200);
    guest.open(&world.bridge).await;
    world.deliver().await;
    let room = guest.room.clone();
    host.accept(&world.homeserver, &room);
    let mut chat = Chat {
        host,
        guest,
        token,
        room,
    };
    world.deliver().await;
    talk(&world, &mut chat).await;

    // So far nobody said anything unencrypted, so the program never had it.
    let memory = world.bridge.memory();
    assert!(
        holds(&memory, &chat.guest.ghost),
        "the search finds what is there"
    );
    for text in [GUEST_TEXT, HOST_TEXT] {
        assert!(!holds(&memory, text), "{text} is in the memory");
    }
    say_it_unencrypted(&world, &mut chat).await;
    let metrics = world
        .bridge
        .web
        .get(&world.bridge.ops_url("/metrics"))
        .await
        .text();
    world.bridge.crash();
    let after_crash = [
        files(&world.bridge.store_path()),
        rows(&world.bridge.store_path()),
    ]
    .concat();
    world.bridge.start_apart().await;
    chat.guest.open(&world.bridge).await;
    talk(&world, &mut chat).await;
    chat.guest.socket().send(&json!({ "type": "leave" })).await;
    chat.guest.until_ended().await;
    world.until_idle().await;
    let metrics = metrics
        + &world
            .bridge
            .web
            .get(&world.bridge.ops_url("/metrics"))
            .await
            .text();
    world.bridge.crash();
    flush(&world.bridge.store_path());
    let stored = [
        after_crash,
        files(&world.bridge.store_path()),
        rows(&world.bridge.store_path()),
    ]
    .concat();
    let log = std::fs::read(world.bridge.log_path()).unwrap();

    let places = [
        ("store", &stored),
        ("log", &log),
        ("metrics", &metrics.into_bytes()),
    ];
    let secrets = [
        GUEST_TEXT,
        HOST_TEXT,
        &chat.token,
        &unused,
        AS_TOKEN,
        HS_TOKEN,
    ];
    for (place, bytes) in places {
        for secret in secrets {
            assert!(!holds(bytes, secret), "{secret} is in the {place}");
        }
        // Six digits may stand anywhere by chance, all of these may not.
        let told = passcodes.iter().filter(|code| holds(bytes, code)).count();
        assert!(told < passcodes.len(), "passcodes are in the {place}");
        for personal in [NAME, LABEL] {
            assert_eq!(
                holds(bytes, personal),
                place == "store",
                "{personal} in the {place}"
            );
        }
    }
    assert!(holds(&log, "the bridge is running"));
}

/// The passcodes of some links, each tried once, rightly or wrongly.
async fn try_passcodes(world: &World, host: &mut Host) -> Vec<String> {
    let mut passcodes = Vec::new();
    for round in 0..4 {
        let words = world.command(host, "invite Ben --passcode").await;
        let mut lines = words.lines();
        let code = lines.find_map(|line| line.strip_prefix("Passcode: "));
        let (token, code) = (crate::world::token(&words), code.unwrap().to_owned());
        let guest = Guest::of_link(&world.bridge, &token, &format!("OTHER{round}")).await;
        let wrong = format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000);
        let is_right = round % 2 == 0;
        let mut body = guest.join_body(&token, "Ben");
        body["passcode"] = json!(if is_right { &code } else { &wrong });
        let url = world.bridge.url("/api/v1/join");
        let answer = world.bridge.web.post(&url, &body).await;
        assert_eq!(answer.status, if is_right { 200 } else { 403 });
        passcodes.push(code);
    }
    passcodes
}

/// A client of the host and a page of the guest that do what they must not.
async fn say_it_unencrypted(world: &World, chat: &mut Chat) {
    let content = json!({ "msgtype": "m.text", "body": PLAIN_TEXT });
    chat.host.send(
        &world.homeserver,
        &chat.room,
        "m.room.message",
        content.clone(),
    );
    world.deliver().await;
    let refused = chat
        .guest
        .send_numbered(json!({ "type": "send", "content": content }))
        .await;
    assert_eq!(refused["error"]["code"], "not_encrypted");
    let mut socket = Socket::of_page(&world.bridge).await;
    socket
        .send(&json!({ "type": "hello", "name": PLAIN_TEXT }))
        .await;
    assert_eq!(socket.closing_code().await, "bad_frame");
    let url = world.bridge.url(&format!("/{PLAIN_TEXT}?{PLAIN_TEXT}"));
    assert_eq!(
        world.bridge.web.get(&url.replace(' ', "%20")).await.status,
        404
    );
}
