//! One-time keys under a flood of claims, and a host who writes first while the guest is away.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vestibule_e2e::{Call, ENOUGH_KEYS, Rounds, Stage, Thief};
use vestibule_lab::Options;

const LIMIT: Duration = Duration::from_secs(60);
const UPLOAD: Call = Call {
    method: "POST",
    path: "/keys/upload",
};
const FLOOD: Duration = Duration::from_secs(30);

fn rounds() -> Rounds {
    Rounds::on(Stage::set(Options::default()).unwrap()).unwrap()
}

#[test]
fn a_flood_of_claims_costs_few_calls_and_a_new_device_of_the_host_is_read() {
    let mut rounds = rounds();
    let mut chat = rounds.open_chat().unwrap();
    rounds.host_says(&mut chat, "before").unwrap();
    chat.guest_says("before too").unwrap();
    assert_eq!(rounds.settle(&mut chat, LIMIT).unwrap().findings, []);
    let thief = Thief::of(&mut rounds.stage.lab, &chat.ghost).unwrap();
    thief.drain(0).unwrap();

    let (uploads, calls) = (
        rounds.stage.homeserver.count(UPLOAD),
        rounds.stage.homeserver.count(Call::ANY),
    );
    let over = AtomicBool::new(false);
    let claimed = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut claimed = 0;
            while !over.load(Ordering::Relaxed) {
                thief.claim().unwrap();
                claimed += 1;
            }
            claimed
        });
        let begin = Instant::now();
        let mut number = 0;
        while begin.elapsed() < FLOOD {
            number += 1;
            // Traffic, so that the homeserver has a reason to tell of the keys.
            rounds
                .host_says(&mut chat, &format!("in the flood {number}"))
                .unwrap();
            std::thread::sleep(Duration::from_secs(1));
        }
        // A device that has no Olm session with the guest, and perhaps no key to make one with.
        let device = rounds
            .stage
            .lab
            .nio_device(&rounds.account, "second")
            .unwrap();
        rounds.host = device;
        rounds.host_says(&mut chat, "from a new device").unwrap();
        over.store(true, Ordering::Relaxed);
        flood.join().unwrap()
    });
    let uploads = rounds.stage.homeserver.count(UPLOAD) - uploads;
    let calls = rounds.stage.homeserver.count(Call::ANY) - calls;
    println!("{claimed} claims: {uploads} uploads, {calls} calls of the bridge");
    assert!(claimed > 300, "{claimed}");
    assert!((1..=6).contains(&uploads), "{uploads} uploads");
    assert!(calls <= 150, "{calls} calls");

    // The new device heard nothing of what the guest said before it was there.
    chat.record.at_host = vec![Some("before too".to_owned())];
    chat.guest_says("to the new device").unwrap();
    assert_eq!(rounds.settle(&mut chat, LIMIT).unwrap().findings, []);
    // Without other traffic the page hears of it when the bridge looks by itself.
    thief.wait_refilled(ENOUGH_KEYS, 3 * LIMIT).unwrap();
}

#[test]
fn a_host_who_writes_first_reaches_an_absent_guest_whose_keys_are_gone() {
    let mut rounds = rounds();
    let mut chat = rounds.open_chat().unwrap();
    let url = rounds.stage.chat_url();
    chat.guest_says("goodbye").unwrap();
    assert_eq!(rounds.settle(&mut chat, LIMIT).unwrap().findings, []);
    let thief = Thief::of(&mut rounds.stage.lab, &chat.ghost).unwrap();

    chat.guest.kill().unwrap();
    thief.drain(0).unwrap();
    assert!(thief.claim().unwrap(), "not the fallback key");
    let first = thief.fallback_key().unwrap();
    rounds.host = rounds
        .stage
        .lab
        .nio_device(&rounds.account, "second")
        .unwrap();
    rounds.host_says(&mut chat, "are you there?").unwrap();

    // A used fallback key is replaced once an hour at most.
    chat.guest.revive().unwrap();
    chat.guest
        .put_clock_forward(Duration::from_secs(4_000))
        .unwrap();
    chat.guest.bring_back(&url).unwrap();
    chat.record.at_host = vec![Some("goodbye".to_owned())];
    assert_eq!(rounds.settle(&mut chat, LIMIT).unwrap().findings, []);
    thief.wait_refilled(ENOUGH_KEYS, LIMIT).unwrap();
    thief.drain(0).unwrap();
    assert_ne!(thief.fallback_key().unwrap(), first);
    // The old one is still good for what was on its way.
    rounds.host_says(&mut chat, "good").unwrap();
    chat.guest_says("yes").unwrap();
    assert_eq!(rounds.settle(&mut chat, LIMIT).unwrap().findings, []);
}
