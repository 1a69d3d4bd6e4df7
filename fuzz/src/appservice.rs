//! What a homeserver pushes, the registration file, and what a homeserver answers.

use std::io::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use vestibule_appservice::error::CallError;
use vestibule_appservice::intent::Homeserver;
use vestibule_appservice::registration::Registration;
use vestibule_appservice::transaction::Transaction;

const GHOST: &str = "@_vestibule_1:example.org";
const ROOM: &str = "!room:example.org";
/// Stands in an answer's words, which must never be shown.
const CANARY: &str = "canary-4711";

/// The body of a transaction. Whatever else it holds, an event that reads comes out of it.
pub fn transaction(data: &[u8]) {
    let _ = Transaction::parse("1", data).map(|transaction| format!("{transaction:?}"));
    let Ok(odd) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let room =
        json!({"room_id": ROOM, "event_id": "$good", "sender": GHOST, "type": "m.room.message"});
    let to_device =
        json!({"to_user_id": GHOST, "to_device_id": "D", "sender": GHOST, "type": "m.dummy"});
    let body = json!({"events": [odd, room], "to_device": [odd, to_device],
        "ephemeral": [odd, {"type": "m.typing"}], "device_lists": odd,
        "device_one_time_keys_count": odd, "device_unused_fallback_key_types": odd});
    let read =
        Transaction::parse("1", body.to_string().as_bytes()).expect("one odd part spoils nothing");
    assert!(read.events.iter().any(|event| event.event_id == "$good"));
    assert!(
        read.to_device
            .iter()
            .any(|event| event.event_type == "m.dummy")
    );
    assert!(
        read.ephemeral
            .iter()
            .any(|event| event.event_type == "m.typing")
    );
    let lists = read.events.len() + read.to_device.len() + read.ephemeral.len();
    let skipped = 6 - lists;
    assert!((skipped..=skipped + 3).contains(&read.skipped));
}

/// A registration file. One that reads can be compared and written, and reads the same again.
pub fn registration(data: &[u8]) {
    let expected = Registration::new(
        "vestibule",
        "http://127.0.0.1:29300",
        "as-token-0123456789",
        "hs-token-0123456789",
        "guestbot",
        "example.org",
        "_vestibule_",
    );
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Some(read) = loaded(text) else {
        return;
    };
    let mismatches = read.check(&expected);
    let _ = format!("{read:?} {mismatches:?}");
    let written = read.to_yaml().expect("what was read can be written");
    let again = loaded(&written).expect("what was written can be read");
    assert_eq!(again.check(&expected), mismatches);
    assert_eq!(again.to_yaml().expect("written"), written);
}

fn loaded(text: &str) -> Option<Registration> {
    static FILE: OnceLock<std::path::PathBuf> = OnceLock::new();
    let path = FILE.get_or_init(|| {
        std::env::temp_dir().join(format!("vestibule-fuzz-{}.yaml", std::process::id()))
    });
    let mut file = std::fs::File::create(path).expect("a temporary file");
    file.write_all(text.as_bytes()).expect("written");
    let loaded = Registration::load(path);
    std::fs::remove_file(path).expect("removed");
    match loaded {
        Ok(read) => Some(read),
        Err(error) => {
            assert!(!format!("{error} {error:?}").contains("token-0123456789"));
            None
        }
    }
}

/// An answer of the homeserver: the first byte chooses the call, the second the status, the rest is
/// the body. Goes through a real connection.
pub fn answer(data: &[u8]) {
    let [call, status, body @ ..] = data else {
        return;
    };
    static LAB: OnceLock<Lab> = OnceLock::new();
    let lab = LAB.get_or_init(Lab::start);
    let status = match status % 8 {
        0..=3 => 200,
        4 => 400,
        5 => 404,
        6 => 429,
        _ => 500,
    };
    let failed = lab.runtime.block_on(async {
        *lab.answer.lock().unwrap_or_else(PoisonError::into_inner) = (status, body.to_vec());
        ask(&lab.homeserver, *call).await
    });
    let Some(error) = failed else {
        assert!(
            status < 300 || status == 404,
            "an error passed for an answer"
        );
        return;
    };
    let shown = format!("{error} {error:?} {:?}", error.kind());
    assert!(!shown.contains(CANARY), "{shown}");
    let malformed = matches!(
        error,
        CallError::Malformed { .. } | CallError::Refused { .. }
    );
    assert!(malformed == (status == 200), "{status}: {shown}");
}

async fn ask(homeserver: &Homeserver, call: u8) -> Option<CallError> {
    let ghost = homeserver.as_user(GHOST).with_device("DEVICE");
    let body = json!({});
    match call % 24 {
        0 => homeserver.versions().await.err(),
        1 => homeserver.register("_vestibule_1").await.err(),
        2 => ghost.whoami().await.err(),
        3 => ghost.display_name(GHOST).await.err(),
        4 => ghost.account_data("m.x").await.err(),
        5 => ghost.sync_device(None, None, 1).await.err(),
        6 => ghost.past(ROOM, "t1").await.err(),
        7 => ghost.keys_query(&[GHOST]).await.err(),
        8 => ghost.keys_claim(&[(GHOST, "DEVICE")]).await.err(),
        9 => ghost.upload_keys(None, None, None).await.err(),
        10 => ghost.upload_signatures(&body).await.err(),
        11 => ghost.create_room(&body).await.err(),
        12 => ghost.joined_rooms().await.err(),
        13 => ghost.joined_members(ROOM).await.err(),
        14 => ghost.get_state(ROOM).await.err(),
        15 => ghost.get_state_event(ROOM, "m.room.create", "").await.err(),
        16 => ghost.put_state(ROOM, "m.x", "", &body).await.err(),
        17 => ghost.is_online().await.err(),
        18 => ghost.ping("vestibule", "1").await.err(),
        19 => ghost.join_by_any(ROOM).await.err(),
        20 => ghost.send_event(ROOM, "m.x", "1", &body).await.err(),
        21 => ghost.redact(ROOM, "$1", "1", None).await.err(),
        22 => ghost.upload_cross_signing(&body, &body, &body).await.err(),
        _ => ghost.sync_device(None, Some(ROOM), 1).await.err(),
    }
}

/// A homeserver that gives the same answer to everything, and a client of it.
struct Lab {
    runtime: Runtime,
    homeserver: Homeserver,
    answer: Arc<Mutex<(u16, Vec<u8>)>>,
}

impl Lab {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let answer = Arc::<Mutex<(u16, Vec<u8>)>>::default();
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(serve(listener, answer.clone()));
        let homeserver = Homeserver::new(
            &format!("http://{address}"),
            "as-token-0123456789",
            Duration::from_secs(20),
        );
        Self {
            runtime,
            homeserver: homeserver.expect("a client"),
            answer,
        }
    }
}

async fn serve(listener: TcpListener, answer: Arc<Mutex<(u16, Vec<u8>)>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(converse(stream, answer.clone()));
    }
}

async fn converse(mut stream: TcpStream, answer: Arc<Mutex<(u16, Vec<u8>)>>) -> Option<()> {
    let mut heard = Vec::new();
    loop {
        // Requests come one after the other, each at most one read's worth.
        let whole = loop {
            if let Some(whole) = request_length(&heard).filter(|whole| heard.len() >= *whole) {
                break whole;
            }
            if stream.read_buf(&mut heard).await.ok()? == 0 {
                return None;
            }
        };
        heard.drain(..whole);
        let (status, body) = answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream
            .write_all(&[head.as_bytes(), &body].concat())
            .await
            .ok()?;
    }
}

/// How long the request is that begins there, once its head is whole.
fn request_length(heard: &[u8]) -> Option<usize> {
    let head = heard.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(heard.get(..head)?).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    Some(head + length.unwrap_or(0))
}
