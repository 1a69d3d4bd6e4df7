#![allow(clippy::unwrap_used, reason = "tests")]

use tempfile::TempDir;
use vestibule_bridge::effect::Effect;
use vestibule_bridge::host::Host;
use vestibule_bridge::id::{RoomId, UserId};

use super::*;

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
        user: UserId::new("@alice:example.org"),
        display_name: Some("Alice".to_owned()),
        ..Host::new(UserId::new("@alice:example.org"))
    }
}

fn put(store: &RocksStore, change: Change) {
    let mut round = store.begin();
    round.apply(&Changes(vec![change])).unwrap();
    round.commit().unwrap();
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
fn a_second_process_is_refused_in_plain_words() {
    let (folder, _store) = fresh();
    let refused = RocksStore::open(folder.path()).err().unwrap();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused:?}");
    assert!(refused.to_string().contains("only one bridge"));
}

#[test]
fn a_store_of_a_newer_program_is_refused() {
    let (folder, store) = fresh();
    let schema = handle(&store.db, Family::GlobalSchema).unwrap();
    let newer = encode(Family::GlobalSchema, &(SCHEMA + 1)).unwrap();
    store.db.put_cf(schema, SCHEMA_KEY, newer).unwrap();
    drop(store);
    let refused = RocksStore::open(folder.path()).err().unwrap();
    assert!(matches!(refused, OpenError::TooNew { .. }), "{refused:?}");
}

#[test]
fn a_damaged_row_is_named_and_the_others_stay_readable() {
    use vestibule_bridge::store::StoreError;

    let (_folder, store) = fresh();
    put(&store, Change::PutHost(alice()));
    let hosts = handle(&store.db, Family::HostidHost).unwrap();
    store
        .db
        .put_cf(hosts, "@bob:example.org", b"\x01{\"user\":")
        .unwrap();
    let read = store.begin().host(&UserId::new("@bob:example.org"));
    assert!(
        matches!(
            read,
            Err(StoreError::Damaged {
                family: "hostid_host"
            })
        ),
        "{read:?}"
    );
    assert_eq!(store.begin().host(&alice().user).unwrap(), Some(alice()));
}

#[test]
fn the_greatest_effect_is_found_again() {
    let (_folder, store) = fresh();
    assert_eq!(store.last_effect().unwrap(), None);
    for number in [7, 9, 8] {
        let effect = Effect::BotDeclines {
            room: RoomId::new("!room"),
        };
        put(
            &store,
            Change::PutEffect {
                id: EffectId::from_u128(number),
                effect,
            },
        );
    }
    assert_eq!(store.last_effect().unwrap(), Some(EffectId::from_u128(9)));
}

#[test]
fn every_family_is_listed_once_under_its_own_name() {
    let mut names: Vec<&str> = Family::ALL.iter().map(|family| family.name()).collect();
    for (place, family) in Family::ALL.iter().enumerate() {
        assert_eq!(*family as usize, place, "{}", family.name());
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Family::ALL.len());
}
