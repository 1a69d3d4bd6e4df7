//! Nothing is lost, doubled, put out of order or made unreadable, whatever fails. The long form is
//! `cargo xtask faults`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

use std::time::Duration;

use vestibule_e2e::{Finding, Plan, Rounds, Side, Stage, Trouble, browser_kills, key_kills};
use vestibule_lab::Options;

const SEED: u64 = 1;
/// How long a chat may take to have everything, after nothing fails any more.
const LIMIT: Duration = Duration::from_secs(90);

fn rounds() -> Rounds {
    Rounds::on(Stage::set(Options::default()).unwrap()).unwrap()
}

#[test]
fn nothing_is_lost_while_everything_fails() {
    let mut rounds = rounds();
    let mut plans = vec![Plan::new(SEED, &[Trouble::Homeserver])];
    plans.extend((SEED..SEED + 4).map(|seed| Plan::new(seed, &Trouble::ALL)));
    for plan in plans {
        let mut chat = rounds.open_chat().unwrap();
        let outcome = rounds.perform(&plan, &mut chat, LIMIT).unwrap();
        assert_eq!(outcome.findings, [], "{plan:#?}");
        println!(
            "seed {}: settled after {:?}",
            plan.seed, outcome.settled_after
        );
        rounds.close_chat(chat).unwrap();
    }
}

/// The control: without the bridge's reading of what Synapse forgets, the same rounds fail.
#[test]
fn without_the_truth_path_messages_stay_unreadable() {
    let mut rounds = rounds();
    for seed in SEED..SEED + 5 {
        let mut chat = rounds.open_chat().unwrap();
        rounds.stage.hide_truth(&mut rounds.host).unwrap();
        let plan = Plan::lost_keys(seed);
        let patience = Duration::from_secs(20);
        let outcome = rounds.perform(&plan, &mut chat, patience).unwrap();
        rounds.stage.show_truth();
        if !outcome.findings.is_empty() {
            for finding in &outcome.findings {
                let of_the_key = matches!(
                    finding,
                    Finding::Undecryptable(Side::Guest, _) | Finding::Lost(Side::Guest, _)
                );
                assert!(of_the_key, "{finding}: {:?}", outcome.findings);
            }
            // And it was that alone: with the truth path the same chat gets its keys.
            chat.guest.reload().unwrap();
            let outcome = rounds.settle(&mut chat, LIMIT).unwrap();
            assert_eq!(outcome.findings, [], "{plan:#?}");
            return;
        }
        rounds.close_chat(chat).unwrap();
    }
    panic!("the rounds did not notice that the truth path was switched off");
}

#[test]
fn a_browser_that_is_killed_while_it_sends_sends_once() {
    let outcome = browser_kills(&mut rounds(), SEED, 10, LIMIT).unwrap();
    assert_eq!(outcome.findings, []);
}

#[test]
fn one_time_keys_whose_upload_was_cut_off_go_up_again() {
    let outcome = key_kills(&mut rounds(), SEED, 6, LIMIT).unwrap();
    assert_eq!(outcome.findings, []);
}
