//! What was seen before.

use crate::bot_record::BotRecord;
use crate::id::PortalId;
use crate::store::{
    AsideChat, Change, DamagedRow, Digest, Facts, Owner, REMEMBERED_TRANSACTIONS, Read, Store,
    StoreError,
};
use crate::time::Timestamp;

use super::{commit, portal, put};
use crate::testing::sample;

pub fn transactions_are_remembered<S: Store>(store: &S) {
    commit(store, vec![Change::RememberTransaction("41".to_owned())]);
    assert!(store.begin().transaction_seen("41").unwrap());
    assert!(!store.begin().transaction_seen("4").unwrap());
    assert!(!store.begin().transaction_seen("411").unwrap());
}

pub fn the_oldest_transaction_is_forgotten<S: Store>(store: &S) {
    let remember = |number: u64| Change::RememberTransaction(format!("t{number}"));
    commit(store, (0..REMEMBERED_TRANSACTIONS).map(remember).collect());
    assert!(store.begin().transaction_seen("t0").unwrap());
    commit(store, vec![remember(REMEMBERED_TRANSACTIONS)]);
    assert!(!store.begin().transaction_seen("t0").unwrap());
    assert!(store.begin().transaction_seen("t1").unwrap());
    assert!(
        store
            .begin()
            .transaction_seen(&format!("t{REMEMBERED_TRANSACTIONS}"))
            .unwrap()
    );
}

pub fn a_transaction_twice_remembered_takes_one_place<S: Store>(store: &S) {
    let remember = |number: u64| Change::RememberTransaction(format!("t{number}"));
    commit(store, vec![remember(0)]);
    commit(
        store,
        (0..=REMEMBERED_TRANSACTIONS).map(|_| remember(1)).collect(),
    );
    assert!(store.begin().transaction_seen("t0").unwrap());
    assert!(store.begin().transaction_seen("t1").unwrap());
}

pub fn digests_are_remembered_for_each_portal<S: Store>(store: &S) {
    let (first, second) = (PortalId::from_u128(1), PortalId::from_u128(2));
    commit(
        store,
        vec![Change::RememberDigest {
            portal: first,
            digest: Digest([1; 16]),
        }],
    );
    let facts = store.begin();
    assert!(facts.digest_seen(first, Digest([1; 16])).unwrap());
    assert!(!facts.digest_seen(first, Digest([2; 16])).unwrap());
    assert!(!facts.digest_seen(second, Digest([1; 16])).unwrap());
}

fn set_aside(number: u64) -> Change {
    Change::SetAside {
        portal: PortalId::from_u128(number.into()),
        at: Timestamp(7),
    }
}

pub fn what_is_set_aside_reads_as_damaged<S: Store>(store: &S) {
    let (first, second) = (portal(1, 10), portal(2, 10));
    commit(
        store,
        vec![put(&first, None, Some(10)), put(&second, None, Some(10))],
    );
    commit(store, vec![set_aside(1), set_aside(1)]);
    let facts = store.begin();
    assert!(facts.is_set_aside(first.id).unwrap());
    assert!(!facts.is_set_aside(second.id).unwrap());
    let damaged = |read: Read<Option<_>>| match read {
        Err(StoreError::Damaged(DamagedRow { owner, .. })) => owner == Owner::Portal(first.id),
        _ => false,
    };
    assert!(damaged(facts.portal(first.id)));
    assert!(damaged(facts.portal_by_room(&sample::room(1))));
    assert!(damaged(facts.portal_by_ghost(&first.ghost)));
    let listed = facts.portals_of_host(&first.host).unwrap();
    assert_eq!(listed, std::slice::from_ref(&second));
    assert_eq!(facts.portal(second.id).unwrap(), Some(second));
}

pub fn what_is_set_aside_is_not_due<S: Store>(store: &S) {
    let (first, second) = (portal(1, 10), portal(2, 10));
    commit(
        store,
        vec![put(&first, None, Some(10)), put(&second, None, Some(10))],
    );
    commit(store, vec![set_aside(1)]);
    assert_eq!(store.begin().due(Timestamp(10), 10).unwrap(), [second.id]);
}

pub fn what_was_set_aside_is_erased_whole<S: Store>(store: &S) {
    let (first, second) = (portal(1, 10), portal(2, 10));
    commit(
        store,
        vec![put(&first, None, Some(10)), put(&second, None, Some(10))],
    );
    commit(store, vec![set_aside(1)]);
    let until = |at| store.begin().set_aside_until(Timestamp(at), 10).unwrap();
    assert_eq!(until(6), []);
    let chat = AsideChat {
        portal: first.id,
        host: Some(first.host.clone()),
    };
    assert_eq!(until(7), [chat]);
    commit(store, vec![Change::EraseAside(first.id)]);
    assert_eq!(until(7), []);
    let facts = store.begin();
    assert!(!facts.is_set_aside(first.id).unwrap());
    assert_eq!(facts.portal(first.id).unwrap(), None);
    assert_eq!(facts.portal_by_ghost(&first.ghost).unwrap(), None);
    assert_eq!(facts.portal_by_room(&sample::room(1)).unwrap(), None);
    assert_eq!(facts.portals_of_host(&first.host).unwrap(), [second]);
}

pub fn the_bots_device_is_kept<S: Store>(store: &S) {
    let put = |key: &str, bytes: &[u8]| Change::PutBotRecord {
        key: key.to_owned(),
        record: BotRecord(bytes.to_vec()),
    };
    let kept = || -> Vec<(String, Vec<u8>)> {
        let records = store.begin().bot_records().unwrap();
        let records = records.into_iter();
        records
            .map(|(key, record)| (key, record.0.clone()))
            .collect()
    };
    assert_eq!(kept(), []);
    commit(
        store,
        vec![
            put("olm:b", b"\x01{}"),
            put("account", b"\x01{}\n\xff"),
            put("olm:a", b""),
        ],
    );
    commit(
        store,
        vec![
            put("olm:b", b"\x01{1}"),
            Change::DeleteBotRecord("olm:a".to_owned()),
        ],
    );
    let account = ("account".to_owned(), b"\x01{}\n\xff".to_vec());
    let olm = ("olm:b".to_owned(), b"\x01{1}".to_vec());
    assert_eq!(kept(), [account, olm]);
    commit(store, vec![Change::ForgetBot, put("account", b"\x01")]);
    assert_eq!(kept(), [("account".to_owned(), b"\x01".to_vec())]);
}
