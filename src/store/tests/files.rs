//! Files of RocksDB that were cut and damaged, as they lie on the disk.

use std::collections::BTreeMap;
use std::path::PathBuf;

use vestibule_bridge::id::PortalId;
use vestibule_bridge::time::Timestamp;

use super::*;

mod logs;
mod tables;

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

fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Writes everything into table files.
pub fn flush(store: &RocksStore) {
    let db = store.shared();
    let db = db.as_ref().unwrap();
    for family in Family::ALL {
        db.flush_cf(handle(db, family).unwrap()).unwrap();
    }
}

/// `CURRENT` names the list of files. Without either a folder might be taken for that of a new store, and
/// its files for leftovers.
#[test]
fn a_store_that_lost_its_head_is_refused_and_left_as_it_is() {
    for (in_tables, lost) in [(false, "CURRENT"), (true, "CURRENT"), (true, "MANIFEST")] {
        let (folder, store) = chats();
        if in_tables {
            flush(&store);
        }
        drop(store);
        let current = folder.path().join("CURRENT");
        let head = match lost {
            "CURRENT" => current,
            _ => folder
                .path()
                .join(std::fs::read_to_string(current).unwrap().trim()),
        };
        let aside = folder.path().join("aside");
        std::fs::rename(&head, &aside).unwrap();
        assert!(RocksStore::open(folder.path()).is_err(), "{lost}");
        std::fs::rename(&aside, &head).unwrap();
        let store = RocksStore::open(folder.path()).unwrap();
        assert!(chats_of(&store).values().all(|state| *state == "there"));
    }
}
