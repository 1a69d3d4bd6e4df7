//! The audit trail.

use crate::audit::{Act, Actor, AuditEntry, AuditId, Target};
use crate::store::{Change, Facts, Store};
use crate::time::Timestamp;

use super::commit;
use crate::testing::sample;

fn entry(at: u64, number: u64) -> AuditEntry {
    AuditEntry {
        id: AuditId {
            at: Timestamp(at),
            number,
        },
        by: Actor::Admin(sample::user("root")),
        act: Act::Paused { revoke: true },
        to: Target::host(&sample::user("alice")),
    }
}

fn trail<S: Store>(store: &S) -> [AuditEntry; 4] {
    // Written in another order than their times': a clock can be set back.
    let entries = [entry(5, 4), entry(1, 1), entry(300, 3), entry(5, 2)];
    commit(store, entries.clone().map(Change::PutAudit).into());
    let [third, first, fourth, second] = entries;
    [first, second, third, fourth]
}

pub fn the_audit_trail_is_read_from_its_end<S: Store>(store: &S) {
    assert_eq!(store.begin().audit(None, 10).unwrap(), []);
    let [first, second, third, fourth] = trail(store);
    let facts = store.begin();
    assert_eq!(
        facts.audit(None, 10).unwrap(),
        [&fourth, &third, &second, &first].map(Clone::clone)
    );
    assert_eq!(facts.audit(None, 1).unwrap(), std::slice::from_ref(&fourth));
    let after = facts.audit(Some(fourth.id), 2).unwrap();
    assert_eq!(after, [third, second]);
    assert_eq!(facts.audit(Some(first.id), 2).unwrap(), []);
}

pub fn entries_of_the_audit_trail_are_erased_by_their_time<S: Store>(store: &S) {
    let [first, second, third, fourth] = trail(store);
    let until = |at, limit| {
        let mut ids = store.begin().audit_until(Timestamp(at), limit).unwrap();
        ids.sort();
        ids
    };
    assert_eq!(until(0, 10), []);
    assert_eq!(until(4, 10), [first.id]);
    assert_eq!(until(5, 10), [first.id, second.id, third.id]);
    assert_eq!(until(299, 10).len(), 3);
    assert_eq!(until(u64::MAX, 2).len(), 2);
    commit(
        store,
        until(299, 10)
            .into_iter()
            .map(Change::DeleteAudit)
            .collect(),
    );
    assert_eq!(store.begin().audit(None, 10).unwrap(), [fourth]);
}
