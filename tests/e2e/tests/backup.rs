//! The homeserver's database is replaced by an older copy of itself.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use vestibule_e2e::{Record, Rounds, Stage};
use vestibule_lab::Options;

const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn a_chat_goes_on_after_the_homeserver_was_restored_from_a_backup() {
    let mut rounds = Rounds::on(Stage::set(Options::default()).unwrap()).unwrap();
    let mut chat = rounds.open_chat().unwrap();
    for number in 1..=2 {
        rounds
            .host_says(&mut chat, &format!("host {number}"))
            .unwrap();
        chat.guest_says(&format!("guest {number}")).unwrap();
    }
    assert_eq!(rounds.settle(&mut chat, LIMIT).unwrap().findings, []);

    let backup = rounds.stage.lab.dir().join("backup");
    let synapse = rounds.stage.lab.synapse().unwrap();
    synapse.stop();
    synapse.copy_database(&backup, false).unwrap();
    synapse.restart().unwrap();
    for number in 3..=6 {
        rounds
            .host_says(&mut chat, &format!("host {number}"))
            .unwrap();
        chat.guest_says(&format!("guest {number}")).unwrap();
    }
    assert_eq!(rounds.settle(&mut chat, LIMIT).unwrap().findings, []);

    let synapse = rounds.stage.lab.synapse().unwrap();
    synapse.stop();
    synapse.copy_database(&backup, true).unwrap();
    synapse.restart().unwrap();
    // The host's client is a new one: the old one's place in the stream is in a future that the
    // homeserver has forgotten, which is between those two.
    rounds.host = rounds
        .stage
        .lab
        .nio_device(&rounds.account, "second")
        .unwrap();
    for number in 7..=9 {
        rounds
            .host_says(&mut chat, &format!("host {number}"))
            .unwrap();
        chat.guest_says(&format!("guest {number}")).unwrap();
    }
    // The page has all that was ever said; the new client has what it was there for.
    let Record {
        from_guest,
        at_host,
        ..
    } = &mut chat.record;
    *at_host = from_guest
        .iter()
        .take(6)
        .map(|(text, _)| Some(text.clone()))
        .collect();
    assert_eq!(rounds.settle(&mut chat, LIMIT).unwrap().findings, []);
}
