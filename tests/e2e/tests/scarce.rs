//! What the bridge needs from its machine runs out, and comes back.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
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
    let filler = Filler::start(store.join("filler"));
    // RocksDB has reserved a few MiB for its log, which must be used up first.
    let long = "long ".repeat(8_000);
    for number in 1..=300 {
        if rounds.stage.appservice.count_answers(TRANSACTION, 503) > 0 {
            break;
        }
        rounds
            .host_says(&mut chat, &format!("{number} {long}"))
            .unwrap();
    }
    wait_for("a refused transaction", Duration::from_secs(30), || {
        Ok(rounds.stage.appservice.count_answers(TRANSACTION, 503) > 0)
    })
    .unwrap();
    // A store that is closed after its failed write gives back what its log had reserved, which can
    // be enough to open it once more, until the filler has that too.
    let mut said = Vec::new();
    wait_for("a disk that stays full", Duration::from_secs(60), || {
        let ready = rounds.stage.lab.bridge()?.ops("ready")?;
        if ready.status != 503 {
            said.clear();
        }
        said.push((ready.status, ready.text));
        Ok(said.len() > 30)
    })
    .unwrap();
    for (status, text) in said {
        assert_eq!(status, 503, "{text}");
        let says_why = ["space", "disk", "full"].iter().any(|w| text.contains(w));
        assert!(says_why, "{text}");
    }

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

    filler.stop();
    rounds.host_says(&mut chat, "afterwards").unwrap();
    chat.guest_says("afterwards too").unwrap();
    assert_eq!(rounds.settle(&mut chat, LIMIT).unwrap().findings, []);
    let bridge = rounds.stage.lab.bridge().unwrap();
    bridge.wait_ready(Duration::from_secs(60)).unwrap();
}

/// Takes whatever space there is, also what is given back meanwhile; until it is stopped or dropped.
struct Filler {
    file: PathBuf,
    until_gone: Sender<()>,
    thread: JoinHandle<()>,
}

impl Filler {
    fn start(file: PathBuf) -> Self {
        let (until_gone, gone) = mpsc::channel();
        let mut sink = fs::File::create(&file).unwrap();
        let thread = thread::spawn(move || {
            while gone.recv_timeout(Duration::from_millis(1)) == Err(RecvTimeoutError::Timeout) {
                for size in [1 << 20, 1 << 12] {
                    while sink.write_all(&vec![0; size]).is_ok() {}
                }
            }
        });
        Self {
            file,
            until_gone,
            thread,
        }
    }

    /// Gives all of it back.
    fn stop(self) {
        drop(self.until_gone);
        self.thread.join().unwrap();
        fs::remove_file(self.file).unwrap();
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
    thread::sleep(Duration::from_secs(3));
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
