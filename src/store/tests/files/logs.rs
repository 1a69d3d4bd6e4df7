//! The log, cut and damaged.

use super::*;

/// The store of [`chats`], closed: its folder, its log, and what is in that.
fn closed() -> (TempDir, PathBuf, Vec<u8>) {
    let (folder, store) = chats();
    drop(store);
    let log = file_with(&folder, "log");
    let bytes = std::fs::read(&log).unwrap();
    (folder, log, bytes)
}

#[test]
fn a_log_that_was_cut_opens_and_costs_only_what_was_behind_the_cut() {
    let (_folder, log, whole) = closed();
    let mut last = CHATS;
    for cut in (0..whole.len()).rev().step_by(whole.len() / 40) {
        let folder = tempfile::tempdir().unwrap();
        copy(log.parent().unwrap(), folder.path());
        std::fs::write(folder.path().join(log.file_name().unwrap()), &whole[..cut]).unwrap();
        let store = RocksStore::open(folder.path()).unwrap();
        assert_eq!(store.set_aside().unwrap(), 0, "cut at {cut}");
        // Whole commits, and those that came first.
        let there = chats_of(&store);
        let there = (1..=CHATS).take_while(|number| there[number] == "there");
        let there = u64::try_from(there.count()).unwrap();
        assert_eq!(
            count(&chats_of(&store), "there"),
            usize::try_from(there).unwrap()
        );
        assert!(there <= last, "cut at {cut}");
        let alice = sample::user("alice");
        let listed = store.begin().portals_of_host(&alice).unwrap();
        assert_eq!(listed.len(), usize::try_from(there).unwrap());
        let due = store.begin().due(Timestamp(u64::MAX), 100).unwrap();
        assert_eq!(due.len(), listed.len());
        last = there;
    }
    assert_eq!(last, 0);
}

#[test]
fn a_last_page_that_never_reached_the_disk_is_a_torn_end() {
    let (folder, log, mut file) = closed();
    let last = log::read(&file).records.pop().unwrap().at;
    let hole = (last + 8).next_multiple_of(512);
    assert!(file.len() > hole + 32);
    file[hole..].fill(0);
    std::fs::write(&log, &file).unwrap();
    let store = RocksStore::open(folder.path()).unwrap();
    let found = chats_of(&store);
    assert_eq!(
        (found[&CHATS], count(&found, "there")),
        ("gone", found.len() - 1)
    );
    assert_eq!(store.set_aside().unwrap(), 0);
}

#[test]
fn a_flipped_bit_anywhere_in_the_log_costs_one_chat_and_names_it() {
    let (_folder, log, whole) = closed();
    let opened = log::read(&whole);
    // The first commits are of the layout and of nobody.
    let first = opened.records.len() - usize::try_from(CHATS).unwrap();
    let start = opened.records[first].at;
    for bit in (start * 8..whole.len() * 8).step_by(1 + whole.len() * 8 / 40) {
        let folder = tempfile::tempdir().unwrap();
        copy(log.parent().unwrap(), folder.path());
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(folder.path().join(log.file_name().unwrap()), &flipped).unwrap();
        let record = opened
            .records
            .iter()
            .rposition(|record| record.at <= bit / 8);
        let hit = u64::try_from(record.unwrap() - first + 1).unwrap();

        let store = RocksStore::open(folder.path()).unwrap();
        let chats = chats_of(&store);
        assert_eq!(chats[&hit], "damaged", "bit {bit}");
        assert_eq!(
            count(&chats, "there"),
            usize::try_from(CHATS - 1).unwrap(),
            "bit {bit}"
        );
        assert_eq!(store.set_aside().unwrap(), 1, "bit {bit}");
        let kept = file_with(&folder, "kept");
        assert_eq!(std::fs::read(kept).unwrap(), flipped);
        // It stays so, and the store goes on.
        put(&store, chat(CHATS + 1));
        drop(store);
        let store = RocksStore::open(folder.path()).unwrap();
        assert_eq!(chats_of(&store), chats, "bit {bit}");
        assert!(store.begin().portal(id(CHATS + 1)).unwrap().is_some());
    }
}

#[test]
fn a_repair_of_the_log_that_is_killed_loses_nothing_of_what_it_found() {
    let (folder, store) = chats();
    let store_id = store.id().unwrap();
    drop(store);
    let log = file_with(&folder, "log");
    let mut file = std::fs::read(&log).unwrap();
    let record = log::read(&file).records.len() - 5;
    let at = log::read(&file).records[record].at + 40;
    file[at] ^= 1;
    std::fs::write(&log, &file).unwrap();
    // Up to here it came: the log is mended, and nobody was set aside yet.
    salvage::repair(folder.path()).unwrap();
    assert_eq!(log::read(&std::fs::read(&log).unwrap()).gaps, []);
    salvage::repair(folder.path()).unwrap();
    let store = RocksStore::open(folder.path()).unwrap();
    assert_eq!(count(&chats_of(&store), "damaged"), 1);
    assert_ne!(store.id().unwrap(), store_id, "something was lost");
}

#[test]
fn a_hole_in_the_log_of_which_nothing_is_left_is_refused_with_words_on_what_to_do() {
    let (folder, log, mut file) = closed();
    let read = log::read(&file);
    let (from, to) = (read.records[20].at, read.records[22].at);
    file[from..to].fill(0xa5);
    std::fs::write(&log, &file).unwrap();
    let refused = RocksStore::open(folder.path()).err().unwrap();
    let cause = std::error::Error::source(&refused).unwrap().to_string();
    assert!(
        cause.contains(&format!("damaged at byte {from}")),
        "{cause}"
    );
    assert!(cause.contains(&format!("truncate -s {from} ")), "{cause}");
    assert_eq!(std::fs::read(&log).unwrap(), file, "nothing was changed");
    // And that does it.
    std::fs::write(&log, &file[..from]).unwrap();
    RocksStore::open(folder.path()).unwrap();
}
