//! A store with many chats in which nobody writes.

use std::sync::Arc;

use rocksdb::perf::{PerfContext, PerfMetric, PerfStatsLevel, set_perf_stats};
use vestibule_bridge::link::Link;
use vestibule_bridge::time::Timestamp;

use super::driven::{driver, message};
use super::files::flush;
use super::*;
use crate::clock::{MockClock, monotonic};
use crate::drive::{News, Wake};

/// Fills a store with open chats and their links, each host with ten of them.
pub fn fill(store: &RocksStore, chats: u64) {
    for page in (1..=chats).collect::<Vec<_>>().chunks(1000) {
        let mut changes = Changes::default();
        for number in page {
            let host = sample::user(&format!("host{}", number / 10));
            changes.push(Change::PutLink(Link {
                serial: *number,
                ..sample::link(*number, &host)
            }));
            let ends_at = Timestamp(2_000_000 + number);
            let chat = sample::portal(*number, &host, ends_at).unwrap();
            let due = chat.deadline();
            changes.push(Change::PutPortal {
                portal: Box::new(chat),
                was_due: None,
                due,
            });
        }
        commit(store, changes);
    }
}

struct Deaf;

impl Wake for Deaf {
    fn committed(&self, _news: News) {}
}

/// How many blocks of table files this thread reads in doing this.
fn blocks_read(work: impl FnOnce()) -> u64 {
    let mut context = PerfContext::default();
    set_perf_stats(PerfStatsLevel::EnableCount);
    context.reset();
    work();
    let read = context.metric(PerfMetric::BlockReadCount);
    set_perf_stats(PerfStatsLevel::Disable);
    read
}

/// What a start reads from the store before it takes anything in.
fn start_up(folder: &Path) -> RocksStore {
    let store = RocksStore::open(folder).unwrap();
    assert_eq!(store.last_effect().unwrap(), None);
    assert_eq!(store.begin().effects(None, 512).unwrap(), []);
    store
}

#[test]
fn a_start_reads_no_more_for_many_chats_than_for_few() {
    let blocks = [20, 5_000].map(|chats| {
        let (folder, store) = fresh();
        fill(&store, chats);
        flush(&store);
        drop(store);
        let whole = blocks_read(|| {
            let store = RocksStore::open(folder.path()).unwrap();
            let alike = |row: &rows::Row| row.key.len() == 16;
            let family = Family::PortalidPortal;
            let rows = store.begin().rows.range(family, &[], None, usize::MAX);
            assert!(rows.unwrap().iter().all(alike));
        });
        let start = blocks_read(|| drop(start_up(folder.path())));
        (start, whole)
    });
    let [_, (start, whole)] = blocks;
    // A few blocks for each table file, which say what is where; how many files there are is a
    // matter of what RocksDB rewrote meanwhile. One family of many has hundreds.
    assert!(start < 40, "{blocks:?}");
    assert!(whole > 400, "the measure sees what is read: {blocks:?}");
}

#[tokio::test]
#[ignore = "a measure: cargo test --workspace --exclude vestibule-e2e --lib dormant -- --ignored --nocapture"]
async fn measure_a_hundred_thousand_dormant_chats() {
    const CHATS: u64 = 100_000;
    let (folder, store) = fresh();
    let took = |what: &str, since: tokio::time::Instant| println!("{what}: {:?}", since.elapsed());
    let begun = monotonic();
    fill(&store, CHATS);
    took("filling", begun);
    drop(store);
    for how in ["with the log of a crash", "after a stop", "again"] {
        let begun = monotonic();
        let store = Arc::new(RocksStore::open(folder.path()).unwrap());
        took(&format!("{how}: open"), begun);
        let since = monotonic();
        assert_eq!(store.begin().effects(None, 512).unwrap(), []);
        let clock = Arc::new(MockClock::at(Timestamp(10)));
        let driver = driver(&store, clock, Deaf);
        took(&format!("{how}: outbox and driver"), since);
        let since = monotonic();
        let inputs = vec![message(CHATS / 2, &format!("${how}"))];
        driver
            .submit_all(inputs, Some(how.to_owned()))
            .await
            .unwrap();
        took(&format!("{how}: first round"), since);
        took(
            &format!("{how}: all until the first message is stored"),
            begun,
        );
        let since = monotonic();
        let due = store.begin().due(Timestamp(u64::MAX), usize::MAX).unwrap();
        took(
            &format!("{how}: listing all {} open chats", due.len()),
            since,
        );
        if how == "after a stop" {
            flush(&store);
        }
        drop(driver);
        // The driver's thread lets go of the store when it ends.
        while Arc::strong_count(&store) > 1 {
            tokio::task::yield_now().await;
        }
    }
    let files = std::fs::read_dir(folder.path()).unwrap();
    let bytes: u64 = files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    println!("on disk: {} MiB", bytes >> 20);
}
