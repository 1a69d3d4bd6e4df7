//! One who sends as fast as they can must not be noticed by the others. Not a test but a measurement:
//! `cargo test --workspace --exclude vestibule-e2e --test it flood -- --ignored --nocapture` prints what the others
//! waited, with nobody flooding and with each kind of flood. Whoever floods runs on the same cores as the bridge,
//! so a part of what the others wait is theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use vestibule::clock::monotonic;

use crate::bridge::Setup;
use crate::guest::socket::Socket;
use crate::world::{Chat, World};

/// Chats in which one message after the other is sent both ways.
const QUIET: usize = 8;
/// How often each of them is measured.
const TIMES: usize = 25;
/// The pause between two measurements: slower than the rate of a guest.
const PAUSE: Duration = Duration::from_millis(150);

/// What the others waited.
#[derive(Default)]
struct Waited {
    /// From a guest's frame to the homeserver's event id.
    out: Vec<Duration>,
    /// From the homeserver's transaction to the page.
    back: Vec<Duration>,
    /// For the answer about a link.
    link: Vec<Duration>,
}

fn at(times: &mut [Duration], percent: usize) -> String {
    times.sort();
    let place = (times.len() * percent).div_ceil(100).saturating_sub(1);
    format!("{:6.1}", times[place].as_secs_f64() * 1000.0)
}

impl Waited {
    fn print(&mut self, what: &str) {
        let columns = [&mut self.out, &mut self.back, &mut self.link];
        let columns = columns.map(|times| format!("{} {}", at(times, 50), at(times, 99)));
        println!("{what:<36} {}", columns.join("    "));
    }
}

/// Ciphertext as far as the bridge can tell.
fn content(session: &str, length: usize) -> Value {
    json!({ "algorithm": "m.megolm.v1.aes-sha2", "session_id": session, "ciphertext": "A".repeat(length) })
}

fn event(chat: &Chat, id: &str, session: &str) -> Value {
    json!({
        "type": "m.room.encrypted", "sender": chat.host.user, "room_id": chat.room, "event_id": format!("${id}"),
        "origin_server_ts": 1, "content": content(session, 1000),
    })
}

async fn until_frame(socket: &mut Socket, is: impl Fn(&Value) -> bool) {
    while !is(&socket.next().await.unwrap()) {}
}

/// Goes through the quiet chats, one message each way and one look at a link at a time.
async fn measure(world: &World, quiet: &mut [Chat], token: &str, round: &str) -> Waited {
    let mut waited = Waited::default();
    for time in 0..TIMES {
        for (number, chat) in quiet.iter_mut().enumerate() {
            chat.guest.last_n += 1;
            let n = chat.guest.last_n;
            let began = monotonic();
            let frame = json!({ "type": "send", "n": n, "content": content("q", 1000) });
            chat.guest.socket().send(&frame).await;
            let delivered = |frame: &Value| frame["type"] == "delivered" && frame["n"] == n;
            until_frame(chat.guest.socket(), delivered).await;
            waited.out.push(began.elapsed());

            let id = format!("{round}-{time}-{number}");
            let body = json!({ "events": [event(chat, &id, "quiet")] });
            let began = monotonic();
            world.push(&body).await;
            let came = |frame: &Value| frame["event"]["event_id"] == format!("${id}");
            until_frame(chat.guest.socket(), came).await;
            waited.back.push(began.elapsed());

            // Another visitor each time.
            let address = format!("198.51.{time}.{number}");
            let began = monotonic();
            assert_eq!(look(world, &address, token).await, 200);
            waited.link.push(began.elapsed());
            tokio::time::sleep(PAUSE / QUIET as u32).await;
        }
    }
    waited
}

async fn look(world: &World, from: &str, token: &str) -> u16 {
    let url = world.bridge.url("/api/v1/link");
    let headers = [
        ("content-type", "application/json"),
        ("x-forwarded-for", from),
    ];
    let body = json!({ "token": token }).to_string();
    let answer = world.bridge.web.ask("POST", &url, &headers, body).await;
    answer.status
}

/// A guest whose page was changed: frame after frame, whatever is answered.
async fn flood_by_guest(chat: &mut Chat, sent: &AtomicU64, stop: &AtomicBool) {
    let text = content("flood", 12_000);
    while !stop.load(Ordering::Relaxed) {
        let n = chat.guest.last_n + 1;
        let frame = json!({ "type": "send", "n": n, "content": text });
        chat.guest.socket().send(&frame).await;
        let answer = loop {
            let frame = chat.guest.socket().next().await.unwrap();
            if frame["type"] == "result" {
                break frame;
            }
        };
        chat.guest.last_n += u64::from(answer["ok"] == true);
        sent.fetch_add(1, Ordering::Relaxed);
    }
}

/// A host whose client writes as much as a homeserver takes: transaction after transaction.
async fn flood_by_host(world: &World, chat: &Chat, sent: &AtomicU64, stop: &AtomicBool) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let events: Vec<Value> = (0..50)
            .map(|of| event(chat, &format!("flood-{number}-{of}"), "flood"))
            .collect();
        number += 1;
        world.push(&json!({ "events": events })).await;
        sent.fetch_add(50, Ordering::Relaxed);
    }
}

/// Somebody who tries links, many at once.
async fn flood_by_address(world: &World, sent: &AtomicU64, stop: &AtomicBool) {
    let one = async || {
        while !stop.load(Ordering::Relaxed) {
            look(world, "203.0.113.66", "00000000000000000000000000").await;
            sent.fetch_add(1, Ordering::Relaxed);
        }
    };
    tokio::join!(one(), one());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, for whoever wants to know"]
async fn flood() {
    // With the limits that everybody has.
    let setup = Setup {
        guests: "trusted_proxies: [127.0.0.1], qr_code: true",
        ..Setup::default()
    };
    let world = Arc::new(World::with(&setup).await);
    let clock = Arc::clone(&world.bridge.clock);
    let ticking = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            clock.advance(Duration::from_millis(70));
        }
    });
    let mut quiet = Vec::new();
    for number in 0..QUIET {
        quiet.push(world.open_chat(&format!("Quiet{number}")).await);
    }
    let mut loud = world.open_chat("Loud").await;
    let mut other = world.host("Linker").await;
    let token = world.link(&mut other).await;

    println!(
        "\np50 and p99 in milliseconds          guest → delivered  host → page      look at a link"
    );
    measure(&world, &mut quiet, &token, "warm").await;
    let mut alone = measure(&world, &mut quiet, &token, "alone").await;
    alone.print("nobody floods");
    for (round, what) in [
        "one guest floods",
        "one host floods",
        "one address tries links",
    ]
    .into_iter()
    .enumerate()
    {
        let (sent, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let began = monotonic();
        let flooding = async {
            match round {
                0 => flood_by_guest(&mut loud, &sent, &stop).await,
                1 => flood_by_host(&world, &loud, &sent, &stop).await,
                _ => flood_by_address(&world, &sent, &stop).await,
            }
        };
        let measuring = async {
            let waited = measure(&world, &mut quiet, &token, what).await;
            stop.store(true, Ordering::Relaxed);
            waited
        };
        let (mut waited, ()) = tokio::join!(measuring, flooding);
        let rate = sent.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
        waited.print(&format!("{what} ({rate:.0}/s)"));
    }
    ticking.abort();
}
