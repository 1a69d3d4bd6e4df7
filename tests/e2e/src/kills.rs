//! Kills at the two moments that cost most: between encrypting and the acknowledgement, and
//! between making one-time keys and the answer to their upload.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use vestibule_lab::{Host as _, wait_for};

use crate::thief::ENOUGH_KEYS;
use crate::{Call, Fault, Finding, Outcome, Rounds, Stage, Thief, Upload, Way};

/// How long a frame or a request may take to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// So often an upload is let through, so that the next one is of new keys.
const KILLS_OF_A_SET: usize = 10;
const UPLOAD: Call = Call {
    method: "POST",
    path: "/keys/upload",
};

/// Kills the browser `kills` times while it sends a message.
///
/// # Errors
/// When something else fails, so that nothing was found out.
pub fn browser_kills(
    rounds: &mut Rounds,
    seed: u64,
    kills: usize,
    limit: Duration,
) -> Result<Outcome> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut chat = rounds.open_chat()?;
    let url = rounds.stage.chat_url();
    for number in 1..=kills {
        let text = format!("kill {number} of {seed}");
        let page = &rounds.stage.page;
        // The frame leaves and arrives or not; or the acknowledgement is on its way.
        let moment = match rng.random_range(0..5) {
            0 => Some(page.snare(Way::In, "send", rng.random_bool(0.5))),
            1 => Some(page.snare(Way::Out, "result", rng.random_bool(0.5))),
            _ => None,
        };
        let after = Duration::from_millis(rng.random_range(0..80));
        ensure!(chat.guest.say_quickly(&text)?, "no field to write in");
        chat.record.from_guest.push((text, false));
        match moment {
            // It need not come: an earlier message may be in the way.
            Some(seen) => drop(seen.recv_timeout(Duration::from_secs(2))),
            None => std::thread::sleep(after),
        }
        chat.guest.kill()?;
        page.heal();
        if rng.random_bool(0.2) {
            let text = format!("host at kill {number} of {seed}");
            rounds.host.send(&chat.room, &text)?;
            chat.record.from_host.push(text);
        }
        chat.guest.revive()?;
        chat.guest.bring_back(&url)?;
    }
    let outcome = rounds.settle(&mut chat, limit)?;
    rounds.close_chat(chat)?;
    Ok(outcome)
}

/// What dies while one-time keys are being uploaded.
#[derive(Debug, Clone, Copy)]
struct Death {
    browser: bool,
    bridge: bool,
}

/// Where an upload is stopped.
#[derive(Debug)]
enum Stopped {
    InTheSocket(Receiver<Value>),
    AtTheHomeserver(Receiver<()>),
}

/// Kills browser, bridge or both `kills` times while one-time keys are being uploaded.
///
/// # Errors
/// When something else fails, so that nothing was found out.
pub fn key_kills(rounds: &mut Rounds, seed: u64, kills: usize, limit: Duration) -> Result<Outcome> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut chat = rounds.open_chat()?;
    let thief = Thief::of(&mut rounds.stage.lab, &chat.ghost)?;
    let enough = ENOUGH_KEYS - 1;
    let mut findings = Vec::new();
    let mut set: Option<Upload> = None;
    for number in 1..=kills {
        thief.drain(enough)?;
        if number.is_multiple_of(KILLS_OF_A_SET) {
            let again = let_through(&rounds.stage)?;
            check_same(&mut findings, set.take(), again, number);
            thief.drain(enough)?;
        }
        let stage = &mut rounds.stage;
        let stopped = match rng.random_range(0..3) {
            0 => Stopped::InTheSocket(stage.page.snare(Way::In, "keys_upload", true)),
            1 => Stopped::AtTheHomeserver(stage.homeserver.trap(UPLOAD, Fault::Drop)),
            _ => Stopped::AtTheHomeserver(stage.homeserver.trap(UPLOAD, Fault::Lose)),
        };
        let death = match rng.random_range(0..4) {
            0 => Death {
                browser: false,
                bridge: true,
            },
            1 => Death {
                browser: true,
                bridge: true,
            },
            _ => Death {
                browser: true,
                bridge: false,
            },
        };
        wait_for_upload(&rounds.stage, &stopped)?;
        if death.bridge {
            rounds.stage.lab.bridge()?.kill();
        }
        if death.browser {
            chat.guest.kill()?;
        }
        rounds.stage.page.heal();
        rounds.stage.homeserver.heal();
        let uploaded = rounds.stage.witness.last_upload();
        check_same(
            &mut findings,
            set.replace(uploaded.clone()),
            uploaded,
            number,
        );
        if death.bridge {
            rounds.stage.lab.bridge()?.start_again()?;
        }
        if death.browser {
            chat.guest.revive()?;
            chat.guest.bring_back(&rounds.stage.chat_url())?;
        }
    }
    let last = let_through(&rounds.stage)?;
    check_same(&mut findings, set, last, kills);
    let text = format!("after {kills} kills");
    rounds.host.send(&chat.room, &text)?;
    chat.record.from_host.push(text);
    let mut outcome = rounds.settle(&mut chat, limit)?;
    outcome.findings.extend(findings);
    rounds.close_chat(chat)?;
    Ok(outcome)
}

/// Waits until an upload was stopped. The page makes keys when it connects, but not more often than
/// once in ten seconds; so it connects again until it does.
fn wait_for_upload(stage: &Stage, stopped: &Stopped) -> Result<()> {
    let patience = Duration::from_millis(2_500);
    wait_for("the upload of one-time keys", PATIENCE, || {
        let came = match stopped {
            Stopped::InTheSocket(told) => told.recv_timeout(patience).is_ok(),
            Stopped::AtTheHomeserver(told) => told.recv_timeout(patience).is_ok(),
        };
        if !came {
            stage.page.tear();
        }
        Ok(came)
    })
}

/// Has one upload succeed; what was uploaded.
fn let_through(stage: &Stage) -> Result<Upload> {
    let before = stage.witness.answered_uploads();
    let mut tries = 0_u32;
    wait_for("an upload that succeeds", PATIENCE, || {
        tries += 1;
        if tries.is_multiple_of(50) {
            stage.page.tear();
        }
        Ok(stage.witness.answered_uploads() > before)
    })?;
    Ok(stage.witness.last_upload())
}

/// Keys that nobody said were received are the ones that go up again.
fn check_same(findings: &mut Vec<Finding>, before: Option<Upload>, now: Upload, kill: usize) {
    // The bridge may have been quicker than the kill, and its answer too.
    let unanswered = before.filter(|before| before.answered_before == now.answered_before);
    if unanswered.is_some_and(|before| before.keys != now.keys) {
        let text = format!("another set of one-time keys went up after kill {kill}");
        findings.push(Finding::OnTheWire(text));
    }
}
