//! What was seen before.

use crate::id::PortalId;
use crate::store::{Change, Digest, Facts, REMEMBERED_TRANSACTIONS, Store};

use super::commit;

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
