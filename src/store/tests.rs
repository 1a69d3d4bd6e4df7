#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use tempfile::TempDir;
use vestibule_bridge::effect::Effect;
use vestibule_bridge::host::Host;
use vestibule_bridge::id::RoomId;
use vestibule_bridge::store::{Change, Changes, DamagedRow, Facts, Owner, StoreTransaction};
use vestibule_bridge::testing::sample;

use super::codec::seal;
use super::*;

mod damage;
mod disk;
mod dormant;
mod driven;
mod effects;
mod everything;
mod files;
mod fixtures;
mod killed;
mod reports;
mod sweep;

fn fresh() -> (TempDir, RocksStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = RocksStore::open(folder.path()).unwrap();
    (folder, store)
}

mod conformance {
    vestibule_bridge::store_conformance!(super::fresh);
}

fn alice() -> Host {
    Host {
        display_name: Some("Alice".to_owned()),
        ..Host::new(sample::user("alice"))
    }
}

fn commit(store: &RocksStore, changes: Changes) {
    let mut round = store.begin();
    round.apply(&changes).unwrap();
    round.commit().unwrap();
}

fn put(store: &RocksStore, change: Change) {
    commit(store, Changes(vec![change]));
}

/// Puts bytes where a row belongs, past everything that watches over rows.
fn put_raw(store: &RocksStore, family: Family, key: &[u8], row: &[u8]) {
    let db = store.shared();
    let db = db.as_ref().unwrap();
    db.put_cf(handle(db, family).unwrap(), key, row).unwrap();
}

fn get_raw(store: &RocksStore, family: Family, key: &[u8]) -> Option<Vec<u8>> {
    let db = store.shared();
    let db = db.as_ref().unwrap();
    db.get_cf(handle(db, family).unwrap(), key).unwrap()
}

/// All rows of all families: family, key and value, each printable. The store's own id is random,
/// so it is left out.
fn dump(store: &RocksStore) -> String {
    let db = store.shared();
    let db = db.as_ref().unwrap();
    let mut text = String::new();
    for family in Family::ALL {
        for row in db.iterator_cf(handle(db, family).unwrap(), IteratorMode::Start) {
            let (key, row) = row.unwrap();
            if *key == *ID_KEY {
                continue;
            }
            let (key, row) = (key.escape_ascii(), row.escape_ascii());
            text.push_str(&format!("{}\t{key}\t{row}\n", family.name()));
        }
    }
    text
}

/// The same rows, or which ones differ.
#[track_caller]
fn assert_same_rows(left: &str, right: &str) {
    let only = |these: &str, those: &str| -> Vec<String> {
        let those: Vec<&str> = those.lines().collect();
        let only = these.lines().filter(|line| !those.contains(line));
        only.map(str::to_owned).collect()
    };
    assert_eq!(only(left, right), only(right, left));
}

#[test]
fn rows_are_there_after_the_store_was_closed() {
    let (folder, store) = fresh();
    put(&store, Change::PutHost(alice()));
    drop(store);
    let store = RocksStore::open(folder.path()).unwrap();
    assert_eq!(store.begin().host(&alice().user).unwrap(), Some(alice()));
}

#[test]
fn a_store_has_an_id_of_its_own_that_stays() {
    let (folder, store) = fresh();
    let id = store.id().unwrap().unwrap();
    assert_eq!(id.len(), 16);
    drop(store);
    let store = RocksStore::open(folder.path()).unwrap();
    assert_eq!(store.id().unwrap(), Some(id.clone()));
    let (_another_folder, another) = fresh();
    assert_ne!(another.id().unwrap(), Some(id));
}

#[test]
fn a_second_process_is_refused_in_plain_words() {
    let (folder, _store) = fresh();
    let refused = RocksStore::open(folder.path()).err().unwrap();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused:?}");
    assert!(refused.to_string().contains("only one bridge"));
}

#[test]
fn a_store_of_a_newer_program_is_refused() {
    let (folder, store) = fresh();
    let family = Family::GlobalSchema;
    let newer = (SCHEMA + 1).to_string();
    let newer = seal(family, SCHEMA_KEY, newer.as_bytes());
    put_raw(&store, family, SCHEMA_KEY, &newer);
    drop(store);
    let refused = RocksStore::open(folder.path()).err().unwrap();
    assert!(matches!(refused, OpenError::TooNew { .. }), "{refused:?}");
    assert!(refused.to_string().contains("newer version"));
}

#[test]
fn the_greatest_effect_is_found_again() {
    let (_folder, store) = fresh();
    assert_eq!(store.last_effect().unwrap(), None);
    for number in [7, 9, 8] {
        let effect = Effect::BotDeclines {
            room: RoomId::new("!room"),
        };
        let id = EffectId::from_u128(number);
        put(&store, Change::PutEffect { id, effect });
    }
    assert_eq!(store.last_effect().unwrap(), Some(EffectId::from_u128(9)));
}

#[test]
fn every_family_is_listed_once_under_its_own_name() {
    let mut names: Vec<&str> = Family::ALL.iter().map(|family| family.name()).collect();
    for (place, family) in Family::ALL.iter().enumerate() {
        assert_eq!(*family as usize, place, "{}", family.name());
    }
    // What is put in order by family ends with the one that holds how far that is.
    assert_eq!(names.last(), Some(&Family::GlobalSchema.name()));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Family::ALL.len());
}
