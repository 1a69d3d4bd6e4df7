//! `kill -9` at any moment: whatever was acknowledged is there, and commits are there whole or not
//! at all. A child process commits and says what was acknowledged; this one kills it and looks.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use vestibule_bridge::id::PortalId;
use vestibule_bridge::time::Timestamp;

use super::driven::{driver, inbox, message};
use super::*;
use crate::clock::Clock;
use crate::drive::{News, Wake};

const FOLDER: &str = "VESTIBULE_TEST_KILLED";
const DEATH: &str = "VESTIBULE_TEST_DEATH";
/// How many kills, when it is not to be 40.
const KILLS: &str = "VESTIBULE_TEST_KILLS";
const SEED: &str = "VESTIBULE_TEST_SEED";

/// How many bring transactions at once, so that rounds hold several.
const WRITERS: u64 = 3;
/// In how many chats each transaction has a message.
const CHATS: u64 = 3;

/// Where the child dies by its own hand, after so many rounds.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// By ours, whenever it commits.
    Any,
    /// By ours, while it starts or soon after.
    Opening,
    /// While a round is decided: nothing of it is written.
    Deciding(u64),
    /// After the commit, before anybody was answered.
    Committed(u64),
}

impl Death {
    fn to_text(self) -> String {
        match self {
            Self::Any | Self::Opening => "any".to_owned(),
            Self::Deciding(rounds) => format!("deciding {rounds}"),
            Self::Committed(rounds) => format!("committed {rounds}"),
        }
    }

    fn of_child() -> Self {
        let text = std::env::var(DEATH).unwrap();
        match text.split_once(' ') {
            Some(("deciding", rounds)) => Self::Deciding(rounds.parse().unwrap()),
            Some(("committed", rounds)) => Self::Committed(rounds.parse().unwrap()),
            _ => Self::Any,
        }
    }
}

/// Dies as by `kill -9`: nothing is flushed, closed or dropped.
fn die() {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
        .unwrap();
}

/// A clock that is asked once for each input, and a wake that is called once for each commit.
struct Fate {
    death: Death,
    asked: AtomicU64,
    commits: AtomicU64,
}

impl Clock for Fate {
    fn now(&self) -> Timestamp {
        // In the midst of a transaction: the first of its inputs is decided already.
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        if matches!(self.death, Death::Deciding(rounds) if asked > rounds * CHATS && asked % CHATS == 1)
        {
            die();
        }
        Timestamp(10)
    }
}

struct Fatal(Arc<Fate>);

impl Wake for Fatal {
    fn committed(&self, _news: News) {
        let commits = self.0.commits.fetch_add(1, Ordering::SeqCst);
        if matches!(self.0.death, Death::Committed(rounds) if commits >= rounds) {
            die();
        }
    }
}

fn transaction(writer: u64, number: u64) -> String {
    format!("{writer}-{number}")
}

#[test]
#[ignore = "the child of whatever_was_acknowledged_is_there_after_kill_9"]
fn child() {
    let folder = std::env::var_os(FOLDER).expect("run by a test below");
    let store = Arc::new(RocksStore::open(Path::new(&folder)).unwrap());
    let fate = Arc::new(Fate {
        death: Death::of_child(),
        asked: AtomicU64::new(0),
        commits: AtomicU64::new(0),
    });
    let driver = driver(&store, Arc::clone(&fate) as Arc<dyn Clock>, Fatal(fate));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let (driver, store) = (driver.clone(), Arc::clone(&store));
        runtime.spawn(async move {
            let known: BTreeSet<String> = inbox(&store, 1).into_iter().map(|(_, id)| id).collect();
            let known =
                |number: &u64| known.contains(&format!("${}", transaction(writer, *number)));
            let first = (0..).find(|number| !known(number)).unwrap();
            for number in first.. {
                let name = transaction(writer, number);
                let event = format!("${name}");
                let inputs = (1..=CHATS).map(|chat| message(chat, &event)).collect();
                driver.submit_all(inputs, Some(name.clone())).await.unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "acknowledged {name}").unwrap();
                out.flush().unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        runtime.block_on(writer).unwrap();
    }
}

fn start_child(folder: &Path, death: Death) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store::tests::killed::child",
            "--ignored",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .env(DEATH, death.to_text())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Lets a child live and die, and adds what it was told to be stored.
fn live(folder: &Path, death: Death, rng: &mut StdRng, acknowledged: &mut BTreeSet<String>) {
    let mut child = start_child(folder, death);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut heard = |lines: &mut dyn Iterator<Item = std::io::Result<String>>| {
        for line in lines {
            if let Some(name) = line
                .unwrap()
                .split_once("acknowledged ")
                .map(|(_, name)| name.to_owned())
            {
                acknowledged.insert(name);
                return true;
            }
        }
        false
    };
    let (lines_before, micros) = match death {
        Death::Any => (rng.random_range(1..60), 4_000),
        Death::Opening => (0, 60_000),
        Death::Deciding(_) | Death::Committed(_) => (0, 0),
    };
    for _ in 0..lines_before {
        assert!(heard(&mut lines), "the child ended by itself");
    }
    if micros > 0 {
        std::thread::sleep(Duration::from_micros(rng.random_range(0..micros)));
        child.kill().unwrap();
    }
    while heard(&mut lines) {}
    let ended = child.wait().unwrap();
    assert!(!ended.success() && ended.code().is_none(), "{ended:?}");
}

/// Everything that was acknowledged, and nothing by halves.
fn assert_whole(store: &RocksStore, acknowledged: &BTreeSet<String>, what: &str) -> usize {
    let inboxes: Vec<Vec<(u64, String)>> = (1..=CHATS).map(|chat| inbox(store, chat)).collect();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (chat, inbox) in (1..).zip(&inboxes) {
        for (place, (seq, event)) in (1..).zip(inbox) {
            assert_eq!(*seq, place, "{what}: no gap in chat {chat}");
            *counts.entry(event).or_default() += 1;
        }
        let stored = store.begin().portal(PortalId::from_u128(chat)).unwrap();
        let last = inbox.last().map_or(0, |(seq, _)| *seq);
        assert_eq!(stored.unwrap().last_seq, last, "{what}: chat {chat}");
    }
    for (event, count) in &counts {
        assert_eq!(*count, CHATS, "{what}: {event} is there whole, and once");
    }
    // The oldest transactions are forgotten.
    for (_, event) in inboxes[0].iter().rev().take(1000) {
        let name = event.trim_start_matches('$');
        assert!(store.begin().transaction_seen(name).unwrap(), "{what}");
    }
    for name in acknowledged {
        assert!(
            counts.contains_key(format!("${name}").as_str()),
            "{what}: {name} is lost"
        );
    }
    assert_eq!(inboxes[0], inboxes[1], "{what}: all in one order");
    assert_eq!(store.set_aside().unwrap(), 0, "{what}");
    counts.len()
}

#[test]
fn whatever_was_acknowledged_is_there_after_kill_9() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let kills: u64 = number(KILLS).unwrap_or(40);
    let seed = number(SEED).unwrap_or_else(|| {
        let mut rng = crate::clock::seeded_rng().unwrap();
        rng.random()
    });
    println!("{kills} kills, {SEED}={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let store = RocksStore::open(folder.path()).unwrap();
    for number in 1..=CHATS {
        let host = sample::user("alice");
        let chat = sample::portal(number, &host, Timestamp(1_000_000)).unwrap();
        let due = chat.deadline();
        put(
            &store,
            Change::PutPortal {
                portal: Box::new(chat),
                was_due: None,
                due,
            },
        );
    }
    drop(store);
    let mut acknowledged = BTreeSet::new();
    let mut unacknowledged = 0;
    for kill in 0..kills {
        let death = match kill % 4 {
            0 => Death::Deciding(rng.random_range(0..20)),
            1 => Death::Committed(rng.random_range(0..20)),
            2 => Death::Opening,
            _ => Death::Any,
        };
        live(folder.path(), death, &mut rng, &mut acknowledged);
        let what = format!("kill {kill}, {death:?}, {SEED}={seed}");
        let store = RocksStore::open(folder.path()).unwrap();
        let there = assert_whole(&store, &acknowledged, &what);
        if matches!(death, Death::Committed(_)) {
            assert!(
                there > acknowledged.len(),
                "{what}: it died before the answer"
            );
        }
        unacknowledged = there - acknowledged.len();
    }
    println!(
        "{} transactions acknowledged, {unacknowledged} more stored",
        acknowledged.len()
    );
}
