//! What the bridge needs from its machine runs out, and comes back.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use vestibule_e2e::{Call, Rounds, Stage};
use vestibule_lab::{Options, wait_for};

const LIMIT: Duration = Duration::from_secs(120);
const TRANSACTION: Call = Call {
    method: "PUT",
    path: "/transactions/",
};

#[test]
fn a_full_disk_costs_time_and_nothing_else() {
    let options = Options {
        small_store_mib: Some(64),
        ..Options::default()
    };
    let mut rounds = Rounds::on(Stage::set(options).unwrap()).unwrap();
    let mut chat = rounds.open_chat().unwrap();
    rounds.host_says(&mut chat, "before").unwrap();
    chat.guest_says("before too").unwrap();
    assert_eq!(rounds.settle(&mut chat, LIMIT).unwrap().findings, []);

    let store = rounds.stage.lab.store_seen_from_outside().unwrap();
    let filler = store.join("filler");
    // RocksDB has reserved a few MiB for its log, which must be used up first; and what it gives
    // back meanwhile must go too.
    let long = "long ".repeat(8_000);
    for number in 1..=300 {
        if rounds.stage.appservice.count_answers(TRANSACTION, 503) > 0 {
            break;
        }
        fill(&filler);
        rounds
            .host_says(&mut chat, &format!("{number} {long}"))
            .unwrap();
    }
    wait_for("a refused transaction", Duration::from_secs(30), || {
        Ok(rounds.stage.appservice.count_answers(TRANSACTION, 503) > 0)
    })
    .unwrap();
    let ready = rounds.stage.lab.bridge().unwrap().ops("ready").unwrap();
    assert_eq!(ready.status, 503, "{}", ready.text);
    let says_why = ["space", "disk", "full"]
        .iter()
        .any(|word| ready.text.contains(word));
    assert!(says_why, "{}", ready.text);

    chat.guest_says("while it is full").unwrap();
    let refused = || rounds.stage.appservice.count_answers(TRANSACTION, 503);
    let before = refused();
    wait_for("one more refusal", Duration::from_secs(60), || {
        Ok(refused() > before)
    })
    .unwrap();
    let bubbles = chat.guest.bubbles().unwrap();
    let mine = bubbles.iter().find(|b| b.body == "while it is full");
    assert_eq!(mine.unwrap().state.as_deref(), Some("waiting"));

    fs::remove_file(&filler).unwrap();
    rounds.host_says(&mut chat, "afterwards").unwrap();
    chat.guest_says("afterwards too").unwrap();
    assert_eq!(rounds.settle(&mut chat, LIMIT).unwrap().findings, []);
    let bridge = rounds.stage.lab.bridge().unwrap();
    bridge.wait_ready(Duration::from_secs(60)).unwrap();
}

/// Writes until nothing more fits.
fn fill(file: &Path) {
    let mut file = fs::File::options()
        .create(true)
        .append(true)
        .open(file)
        .unwrap();
    for size in [1 << 20, 1 << 12] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[test]
fn a_bridge_without_file_descriptors_goes_on_when_it_has_some() {
    let mut rounds = Rounds::on(Stage::set(Options::default()).unwrap()).unwrap();
    let mut chat = rounds.open_chat().unwrap();
    rounds.host_says(&mut chat, "before").unwrap();
    chat.guest_says("before too").unwrap();
    assert_eq!(rounds.settle(&mut chat, LIMIT).unwrap().findings, []);

    let id = rounds.stage.lab.bridge().unwrap().id();
    let open = || fs::read_dir(format!("/proc/{id}/fd")).unwrap().count();
    let limit = |soft: usize| {
        let status = Command::new("prlimit")
            .args(["--pid", &id.to_string(), &format!("--nofile={soft}:")])
            .status();
        assert!(status.unwrap().success());
    };
    let ceiling = open() + 8;
    limit(ceiling);
    let address = ("127.0.0.1", rounds.stage.lab.ports().guests);
    let greedy: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    wait_for(
        "the last descriptors to go",
        Duration::from_secs(20),
        || Ok(open() + 2 >= ceiling),
    )
    .unwrap();
    // What is connected already must not mind, and what isn't comes later.
    rounds.stage.page.tear();
    chat.guest_says("while there are none").unwrap();
    rounds.host_says(&mut chat, "while there are none").unwrap();
    std::thread::sleep(Duration::from_secs(3));
    rounds.stage.lab.bridge().unwrap().check().unwrap();

    drop(greedy);
    limit(4096);
    rounds.host_says(&mut chat, "afterwards").unwrap();
    chat.guest_says("afterwards too").unwrap();
    assert_eq!(rounds.settle(&mut chat, LIMIT).unwrap().findings, []);
    let mut other = rounds.open_chat().unwrap();
    other.guest_says("somebody new").unwrap();
    assert_eq!(rounds.settle(&mut other, LIMIT).unwrap().findings, []);
}
