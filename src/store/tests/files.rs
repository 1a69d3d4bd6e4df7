//! Files of RocksDB that were cut and damaged, as they lie on the disk.

use std::collections::BTreeMap;
use std::path::PathBuf;

use vestibule_bridge::id::PortalId;
use vestibule_bridge::time::Timestamp;

use super::*;

const CHATS: u64 = 40;

/// Chats, each opened by a commit of its own, and closed again in disorder: all of it in the log.
fn chats() -> (TempDir, RocksStore) {
    let (folder, store) = fresh();
    for number in 1..=CHATS {
        put(&store, chat(number));
    }
    (folder, store)
}

fn chat(number: u64) -> Change {
    let host = sample::user("alice");
    let chat = sample::portal(number, &host, Timestamp(1_000 + number)).unwrap();
    let due = chat.deadline();
    Change::PutPortal {
        portal: Box::new(chat),
        was_due: None,
        due,
    }
}

fn id(number: u64) -> PortalId {
    PortalId::from_u128(number.into())
}

fn file_with(folder: &TempDir, extension: &str) -> PathBuf {
    let files = std::fs::read_dir(folder.path()).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files.pop().unwrap()
}

/// How each chat reads: there, damaged, or not at all.
fn chats_of(store: &RocksStore) -> BTreeMap<u64, &'static str> {
    let facts = store.begin();
    let state = |number| match facts.portal(id(number)) {
        Ok(Some(portal)) => {
            assert_eq!(portal.id, id(number));
            "there"
        }
        Ok(None) => "gone",
        Err(StoreError::Damaged(row)) => {
            assert_eq!(row.owner, Owner::Portal(id(number)));
            "damaged"
        }
        Err(error) => panic!("{error:?}"),
    };
    (1..=CHATS).map(|number| (number, state(number))).collect()
}

fn count(chats: &BTreeMap<u64, &'static str>, state: &str) -> usize {
    chats.values().filter(|found| **found == state).count()
}

#[test]
fn a_log_that_was_cut_opens_and_costs_only_what_was_behind_the_cut() {
    let (folder, store) = chats();
    drop(store);
    let log = file_with(&folder, "log");
    let whole = std::fs::read(&log).unwrap();
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
    let (folder, store) = chats();
    drop(store);
    let log = file_with(&folder, "log");
    let mut file = std::fs::read(&log).unwrap();
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

fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[test]
fn a_flipped_bit_anywhere_in_the_log_costs_one_chat_and_names_it() {
    let (folder, store) = chats();
    drop(store);
    let log = file_with(&folder, "log");
    let whole = std::fs::read(&log).unwrap();
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
    let (folder, store) = chats();
    drop(store);
    let log = file_with(&folder, "log");
    let mut file = std::fs::read(&log).unwrap();
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

/// Writes everything into table files.
pub fn flush(store: &RocksStore) {
    let db = store.shared();
    let db = db.as_ref().unwrap();
    for family in Family::ALL {
        db.flush_cf(handle(db, family).unwrap()).unwrap();
    }
}

/// The table file that holds these bytes.
fn table_with(folder: &TempDir, needle: &[u8]) -> (PathBuf, usize) {
    let files = std::fs::read_dir(folder.path()).unwrap();
    let found = files.map(|file| file.unwrap().path()).find_map(|path| {
        let table = path.extension().is_some_and(|found| found == "sst");
        let bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(needle.len()).position(|part| part == needle);
        at.filter(|_| table).map(|at| (path, at))
    });
    found.unwrap()
}

fn damage_file(path: &Path, at: usize, bits: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= bits;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_bit_in_a_table_file_is_put_right() {
    let (folder, store) = chats();
    flush(&store);
    let (before, store_id) = (dump(&store), store.id().unwrap());
    drop(store);
    let (table, at) = table_with(&folder, b"\"ed25519\":\"key7\"");
    damage_file(&table, at + 3, 4);
    let store = RocksStore::open(folder.path()).unwrap();
    // The first reader fails, and the next round puts it right.
    assert!(store.begin().portal(id(7)).is_err());
    assert_eq!(store.trouble(), Some(Trouble::Damaged));
    assert!(store.mend());
    assert_eq!(store.trouble(), None);
    assert_same_rows(&dump(&store), &before);
    assert_eq!(store.set_aside().unwrap(), 0);
    assert_eq!(store.id().unwrap(), store_id, "nothing was lost");
    put(&store, chat(7));
}

#[test]
fn a_damaged_row_in_a_table_file_costs_its_chat_and_no_other_of_its_block() {
    let (folder, store) = chats();
    flush(&store);
    let store_id = store.id().unwrap();
    drop(store);
    let (table, at) = table_with(&folder, b"\"ed25519\":\"key7\"");
    damage_file(&table, at + 3, 0x14);
    let store = RocksStore::open(folder.path()).unwrap();
    assert!(store.begin().portal(id(7)).is_err());
    assert!(store.mend());
    assert_ne!(store.id().unwrap(), store_id, "something was lost");
    let found = chats_of(&store);
    assert_eq!(found[&7], "damaged");
    assert_eq!(count(&found, "there"), usize::try_from(CHATS - 1).unwrap());
    assert_eq!(store.set_aside().unwrap(), 1);
    let alice = sample::user("alice");
    let listed = store.begin().portals_of_host(&alice).unwrap();
    assert_eq!(listed.len(), usize::try_from(CHATS - 1).unwrap());
    put(&store, chat(CHATS + 1));
    drop(store);
    let store = RocksStore::open(folder.path()).unwrap();
    assert_eq!(chats_of(&store), found);
    assert_eq!(store.trouble(), None);
}

#[test]
fn a_damaged_key_or_length_in_a_table_file_hides_no_other_row() {
    // The length of the row stands three bytes before its key, the key before the row.
    for (before, bits) in [(30, 0x30), (22, 0x11), (9, 0x30)] {
        let (folder, store) = chats();
        flush(&store);
        drop(store);
        let (table, at) = table_with(&folder, b"{\"id\":\"00000000000000000000000007\"");
        damage_file(&table, at - before, bits);
        let store = RocksStore::open(folder.path()).unwrap();
        let _first = store.begin().portal(id(7));
        assert!(store.mend(), "{before}");
        let found = chats_of(&store);
        let there = count(&found, "there");
        assert!(
            there >= usize::try_from(CHATS - 3).unwrap(),
            "{before}: {found:?}"
        );
        // Nobody vanished: whoever is not there is known to be damaged, by whatever leads there.
        for (number, state) in found {
            let by_room = store.begin().portal_by_room(&sample::room(number));
            match state {
                "there" => assert!(by_room.unwrap().is_some()),
                _ => assert!(by_room.is_err(), "{before}: {number}"),
            }
        }
    }
}

#[test]
fn damage_to_what_a_table_file_says_of_itself_costs_at_most_a_row() {
    let (folder, store) = chats();
    flush(&store);
    drop(store);
    let (table, _) = table_with(&folder, b"\"ed25519\":\"key7\"");
    let whole = std::fs::read(&table).unwrap();
    let mut opened = 0;
    // From the index to the footer's last byte.
    for from_end in (1..1_600).step_by(61) {
        let folder_of_this = tempfile::tempdir().unwrap();
        copy(folder.path(), folder_of_this.path());
        let table = folder_of_this.path().join(table.file_name().unwrap());
        damage_file(&table, whole.len() - from_end, 0x55);
        let store = match RocksStore::open(folder_of_this.path()) {
            Ok(store) => store,
            // Without some of it RocksDB opens no table. That is said, and as what it is.
            Err(refused) => {
                assert!(matches!(refused, OpenError::Backend { .. }), "{refused:?}");
                continue;
            }
        };
        opened += 1;
        if (1..=CHATS).any(|number| store.begin().portal(id(number)).is_err()) {
            assert!(store.mend(), "{from_end}");
        }
        let found = chats_of(&store);
        // Also the last rows lie there.
        let lost = usize::from(found.values().any(|state| *state == "damaged"));
        assert_eq!(count(&found, "there") + lost, found.len(), "{from_end}");
    }
    assert!(opened > 3, "{opened}");
}

#[test]
fn a_compaction_that_meets_a_damaged_block_stops_nothing() {
    let (folder, store) = chats();
    flush(&store);
    drop(store);
    let (table, at) = table_with(&folder, b"\"ed25519\":\"key7\"");
    damage_file(&table, at + 3, 0x14);
    let store = RocksStore::open(folder.path()).unwrap();
    {
        let db = store.shared();
        let db = db.as_ref().unwrap();
        let family = handle(db, Family::PortalidPortal).unwrap();
        db.put_cf(
            family,
            [0xff; 16],
            codec::seal(Family::PortalidPortal, &[0xff; 16], b"{}"),
        )
        .unwrap();
        db.flush_cf(family).unwrap();
        let mut options = rocksdb::CompactOptions::default();
        options.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
        db.compact_range_cf_opt(family, None::<&[u8]>, None::<&[u8]>, &options);
    }
    let mut round = store.begin();
    round.apply(&Changes(vec![chat(CHATS + 1)])).unwrap();
    let refused = round.commit();
    assert!(refused.is_err(), "RocksDB stops writing");
    assert_eq!(store.trouble(), Some(Trouble::Damaged));
    assert!(store.mend());
    put(&store, chat(CHATS + 1));
    assert_eq!(count(&chats_of(&store), "damaged"), 1);
}

#[test]
fn a_damaged_layout_row_is_found_again_by_what_else_is_there() {
    let (folder, store) = chats();
    put(&store, Change::RememberTransaction("t".to_owned()));
    flush(&store);
    drop(store);
    let (table, at) = table_with(&folder, b"schema");
    damage_file(&table, at + 2, 0x14);
    let store = RocksStore::open(folder.path()).unwrap();
    assert_eq!(
        count(&chats_of(&store), "there"),
        usize::try_from(CHATS).unwrap()
    );
    drop(store);
    let store = RocksStore::open(folder.path()).unwrap();
    assert!(store.begin().transaction_seen("t").unwrap());
}

#[test]
fn a_rescue_that_is_killed_on_the_way_is_ended_or_begun_anew() {
    let (folder, store) = chats();
    flush(&store);
    let before = dump(&store);
    drop(store);
    // Copies without their mark: begun, and not ended.
    let family = Family::PortalidPortal;
    let copies = "rescued_portalid_portal";
    let mut db = open_database(folder.path(), Compaction::On).unwrap();
    db.create_cf(copies, &family_options()).unwrap();
    db.put_cf(db.cf_handle(copies).unwrap(), b"half", b"done")
        .unwrap();
    drop(db);
    let store = RocksStore::open(folder.path()).unwrap();
    assert_same_rows(&dump(&store), &before);
    drop(store);
    // Copies with their mark, and the family is dropped.
    let mut db = open_database(folder.path(), Compaction::On).unwrap();
    assert!(db.cf_handle(copies).is_none());
    db.create_cf(copies, &family_options()).unwrap();
    let rows: Vec<_> = db
        .iterator_cf(handle(&db, family).unwrap(), IteratorMode::Start)
        .map(Result::unwrap)
        .collect();
    for (key, row) in rows {
        db.put_cf(db.cf_handle(copies).unwrap(), key, row).unwrap();
    }
    let marks = Family::GlobalSchema;
    let mark = codec::seal(marks, copies.as_bytes(), br#"{"portals":[]}"#);
    db.put_cf(handle(&db, marks).unwrap(), copies, mark)
        .unwrap();
    db.drop_cf(family.name()).unwrap();
    drop(db);
    let store = RocksStore::open(folder.path()).unwrap();
    assert_same_rows(&dump(&store), &before);
}

/// Without `CURRENT` a folder might be taken for that of a new store, and its files for leftovers.
#[test]
fn a_store_that_lost_its_head_is_refused_and_left_as_it_is() {
    for in_tables in [false, true] {
        let (folder, store) = chats();
        if in_tables {
            let slot = store.shared();
            let db = slot.as_ref().unwrap();
            for family in Family::ALL {
                db.flush_cf(db.cf_handle(family.name()).unwrap()).unwrap();
            }
        }
        drop(store);
        let (head, aside) = (folder.path().join("CURRENT"), folder.path().join("aside"));
        std::fs::rename(&head, &aside).unwrap();
        assert!(RocksStore::open(folder.path()).is_err());
        std::fs::rename(&aside, &head).unwrap();
        let store = RocksStore::open(folder.path()).unwrap();
        assert!(chats_of(&store).values().all(|state| *state == "there"));
    }
}
