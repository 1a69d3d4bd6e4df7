//! What every store must do. [`store_conformance!`](crate::store_conformance) makes a test of each.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(missing_docs, reason = "the tests' names say what they test")]

use crate::effect::Effect;
use crate::frame::InboxFrame;
use crate::host::{Host, ManagementRoom};
use crate::id::{EffectId, PortalId};
use crate::link::{Link, LinkState, TokenHash};
use crate::portal::{EndReason, Portal, PortalState};
use crate::store::{
    Change, Changes, Digest, Facts, REMEMBERED_TRANSACTIONS, Store, StoreTransaction,
};
use crate::time::Timestamp;

use super::sample;

/// Makes a test of everything that a store must do. The argument is a closure that gives a guard
/// and a fresh store; the guard (a temporary folder, for example) is kept as long as the store.
///
/// ```ignore
/// vestibule_bridge::store_conformance!(|| ((), MemoryStore::new()));
/// ```
#[macro_export]
macro_rules! store_conformance {
    ($fresh:expr) => {
        $crate::store_conformance! {
            $fresh =>
            an_empty_store_knows_nothing
            a_transaction_reads_its_own_writes
            a_dropped_transaction_leaves_nothing
            changes_are_applied_in_order
            a_link_is_found_by_id_token_and_host
            a_link_with_a_new_token_is_not_found_by_the_old_one
            hosts_whose_ids_begin_alike_are_kept_apart
            a_portal_is_found_by_id_room_ghost_and_host
            a_portal_is_found_by_its_room_once_it_has_one
            deadlines_come_in_order
            a_deadline_moves
            a_closed_portal_is_never_due
            effects_come_in_order
            an_effect_is_gone_when_deleted
            frames_come_in_order
            frames_are_deleted_through_a_number
            transactions_are_remembered
            the_oldest_transaction_is_forgotten
            a_transaction_twice_remembered_takes_one_place
            digests_are_remembered_for_each_portal
            since_is_replaced
            hosts_and_management_rooms_are_kept
        }
    };
    ($fresh:expr => $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let (_guard, store) = ($fresh)();
                $crate::testing::conformance::$name(&store);
            }
        )*
    };
}

fn commit<S: Store>(store: &S, changes: Vec<Change>) {
    let mut transaction = store.begin();
    transaction.apply(&Changes(changes)).unwrap();
    transaction.commit().unwrap();
}

fn portal(number: u64, ends_at: u64) -> Portal {
    sample::portal(number, &sample::user("alice"), Timestamp(ends_at)).unwrap()
}

fn put(portal: &Portal, was_due: Option<u64>, due: Option<u64>) -> Change {
    let portal = Box::new(portal.clone());
    Change::PutPortal {
        portal,
        was_due: was_due.map(Timestamp),
        due: due.map(Timestamp),
    }
}

fn effect(number: u64) -> Effect {
    Effect::BotDeclines {
        room: sample::room(number),
    }
}

fn frame(portal: PortalId, seq: u64) -> Change {
    Change::PutFrame {
        portal,
        seq,
        frame: InboxFrame::Host {
            joined: seq.is_multiple_of(2),
        },
    }
}

fn seqs<S: Store>(store: &S, portal: PortalId, after: u64, limit: usize) -> Vec<u64> {
    store
        .begin()
        .frames(portal, after, limit)
        .unwrap()
        .into_iter()
        .map(|(seq, _)| seq)
        .collect()
}

pub fn an_empty_store_knows_nothing<S: Store>(store: &S) {
    let facts = store.begin();
    let alice = sample::user("alice");
    let link = sample::link(1, &alice);
    let portal = portal(1, 10);
    assert_eq!(facts.link(link.id).unwrap(), None);
    assert_eq!(facts.link_by_token(&link.token_hash).unwrap(), None);
    assert_eq!(facts.links_of_host(&alice).unwrap(), []);
    assert_eq!(facts.portal(portal.id).unwrap(), None);
    assert_eq!(facts.portal_by_room(&sample::room(1)).unwrap(), None);
    assert_eq!(facts.portal_by_ghost(&portal.ghost).unwrap(), None);
    assert_eq!(facts.portals_of_host(&alice).unwrap(), []);
    assert_eq!(facts.due(Timestamp(u64::MAX), 10).unwrap(), []);
    assert_eq!(facts.host(&alice).unwrap(), None);
    assert_eq!(facts.management_room(&sample::room(1)).unwrap(), None);
    assert_eq!(facts.effect(EffectId::from_u128(1)).unwrap(), None);
    assert_eq!(facts.effects(None, 10).unwrap(), []);
    assert_eq!(facts.frames(portal.id, 0, 10).unwrap(), []);
    assert!(!facts.transaction_seen("1").unwrap());
    assert!(!facts.digest_seen(portal.id, Digest([0; 16])).unwrap());
    assert_eq!(facts.since(portal.id).unwrap(), None);
}

pub fn a_transaction_reads_its_own_writes<S: Store>(store: &S) {
    let alice = sample::user("alice");
    let link = sample::link(1, &alice);
    let portal = portal(1, 10);
    let mut transaction = store.begin();
    let changes = vec![
        Change::PutLink(link.clone()),
        put(&portal, None, Some(10)),
        Change::PutEffect {
            id: EffectId::from_u128(3),
            effect: effect(1),
        },
        frame(portal.id, 1),
        frame(portal.id, 2),
        Change::RememberTransaction("7".to_owned()),
        Change::RememberDigest {
            portal: portal.id,
            digest: Digest([1; 16]),
        },
    ];
    transaction.apply(&Changes(changes)).unwrap();
    assert_eq!(
        transaction.link_by_token(&link.token_hash).unwrap(),
        Some(link.clone())
    );
    assert_eq!(transaction.links_of_host(&alice).unwrap(), [link]);
    assert_eq!(
        transaction.portal_by_room(&sample::room(1)).unwrap(),
        Some(portal.clone())
    );
    assert_eq!(transaction.due(Timestamp(10), 10).unwrap(), [portal.id]);
    assert_eq!(
        transaction.effects(None, 10).unwrap(),
        [(EffectId::from_u128(3), effect(1))]
    );
    assert!(transaction.transaction_seen("7").unwrap());
    assert!(transaction.digest_seen(portal.id, Digest([1; 16])).unwrap());

    let undo = vec![
        Change::DeleteEffect(EffectId::from_u128(3)),
        Change::DeleteFrames {
            portal: portal.id,
            through: 1,
        },
        put(&portal, Some(10), Some(20)),
    ];
    transaction.apply(&Changes(undo)).unwrap();
    assert_eq!(transaction.effects(None, 10).unwrap(), []);
    assert_eq!(transaction.frames(portal.id, 0, 10).unwrap().len(), 1);
    assert_eq!(transaction.due(Timestamp(19), 10).unwrap(), []);
    transaction.commit().unwrap();
    assert_eq!(store.begin().due(Timestamp(20), 10).unwrap(), [portal.id]);
    assert_eq!(seqs(store, portal.id, 0, 10), [2]);
}

pub fn a_dropped_transaction_leaves_nothing<S: Store>(store: &S) {
    let link = sample::link(1, &sample::user("alice"));
    commit(
        store,
        vec![Change::PutEffect {
            id: EffectId::from_u128(1),
            effect: effect(1),
        }],
    );
    {
        let mut transaction = store.begin();
        let changes = vec![
            Change::PutLink(link.clone()),
            Change::DeleteEffect(EffectId::from_u128(1)),
        ];
        transaction.apply(&Changes(changes)).unwrap();
    }
    assert_eq!(store.begin().link(link.id).unwrap(), None);
    assert_eq!(
        store.begin().effect(EffectId::from_u128(1)).unwrap(),
        Some(effect(1))
    );
}

pub fn changes_are_applied_in_order<S: Store>(store: &S) {
    let id = EffectId::from_u128(1);
    commit(
        store,
        vec![
            Change::PutEffect {
                id,
                effect: effect(1),
            },
            Change::DeleteEffect(id),
            Change::PutEffect {
                id,
                effect: effect(2),
            },
        ],
    );
    assert_eq!(store.begin().effect(id).unwrap(), Some(effect(2)));
    commit(
        store,
        vec![
            Change::PutEffect {
                id,
                effect: effect(3),
            },
            Change::DeleteEffect(id),
        ],
    );
    assert_eq!(store.begin().effect(id).unwrap(), None);
}

pub fn a_link_is_found_by_id_token_and_host<S: Store>(store: &S) {
    let (alice, bob) = (sample::user("alice"), sample::user("bob"));
    let (first, second, other) = (
        sample::link(1, &alice),
        sample::link(2, &alice),
        sample::link(3, &bob),
    );
    commit(
        store,
        [&second, &other, &first]
            .map(|link| Change::PutLink(link.clone()))
            .into(),
    );
    let facts = store.begin();
    assert_eq!(facts.link(second.id).unwrap(), Some(second.clone()));
    assert_eq!(facts.link_by_token(&other.token_hash).unwrap(), Some(other));
    assert_eq!(facts.link_by_token(&TokenHash([9; 32])).unwrap(), None);
    assert_eq!(
        facts.links_of_host(&alice).unwrap(),
        [first.clone(), second]
    );
    drop(facts);

    let revoked = Link {
        state: LinkState::Revoked { at: Timestamp(5) },
        ..first
    };
    commit(store, vec![Change::PutLink(revoked.clone())]);
    assert_eq!(
        store.begin().link_by_token(&revoked.token_hash).unwrap(),
        Some(revoked)
    );
    assert_eq!(store.begin().links_of_host(&alice).unwrap().len(), 2);
}

pub fn a_link_with_a_new_token_is_not_found_by_the_old_one<S: Store>(store: &S) {
    let before = sample::link(1, &sample::user("alice"));
    let after = Link {
        token_hash: TokenHash([7; 32]),
        ..before.clone()
    };
    commit(store, vec![Change::PutLink(before.clone())]);
    commit(store, vec![Change::PutLink(after.clone())]);
    assert_eq!(
        store.begin().link_by_token(&before.token_hash).unwrap(),
        None
    );
    assert_eq!(
        store.begin().link_by_token(&after.token_hash).unwrap(),
        Some(after)
    );
}

pub fn hosts_whose_ids_begin_alike_are_kept_apart<S: Store>(store: &S) {
    let short = crate::id::UserId::new("@al:example.org");
    let long = crate::id::UserId::new("@al:example.org.evil");
    let (first, second) = (sample::link(1, &short), sample::link(2, &long));
    let (third, fourth) = (
        sample::portal(1, &short, Timestamp(1)).unwrap(),
        sample::portal(2, &long, Timestamp(1)).unwrap(),
    );
    commit(
        store,
        vec![
            Change::PutLink(first.clone()),
            Change::PutLink(second),
            put(&third, None, Some(1)),
            put(&fourth, None, Some(1)),
        ],
    );
    assert_eq!(store.begin().links_of_host(&short).unwrap(), [first]);
    assert_eq!(store.begin().portals_of_host(&short).unwrap(), [third]);
    assert_eq!(store.begin().portals_of_host(&long).unwrap(), [fourth]);
}

pub fn a_portal_is_found_by_id_room_ghost_and_host<S: Store>(store: &S) {
    let (first, second) = (portal(1, 10), portal(2, 10));
    commit(
        store,
        vec![put(&second, None, Some(10)), put(&first, None, Some(10))],
    );
    let facts = store.begin();
    assert_eq!(facts.portal(first.id).unwrap(), Some(first.clone()));
    assert_eq!(
        facts.portal_by_room(&sample::room(2)).unwrap(),
        Some(second.clone())
    );
    assert_eq!(
        facts.portal_by_ghost(&first.ghost).unwrap(),
        Some(first.clone())
    );
    assert_eq!(
        facts.portals_of_host(&sample::user("alice")).unwrap(),
        [first, second]
    );
    assert_eq!(facts.portals_of_host(&sample::user("bob")).unwrap(), []);
}

pub fn a_portal_is_found_by_its_room_once_it_has_one<S: Store>(store: &S) {
    let open = portal(1, 10);
    let opening = Portal {
        state: PortalState::Opening {
            room: None,
            host_joined: false,
        },
        ..open.clone()
    };
    commit(store, vec![put(&opening, None, Some(10))]);
    assert_eq!(
        store.begin().portal_by_room(&sample::room(1)).unwrap(),
        None
    );
    commit(store, vec![put(&open, Some(10), Some(10))]);
    assert_eq!(
        store.begin().portal_by_room(&sample::room(1)).unwrap(),
        Some(open)
    );
    assert_eq!(store.begin().due(Timestamp(10), 10).unwrap().len(), 1);
}

pub fn deadlines_come_in_order<S: Store>(store: &S) {
    let portals = [
        portal(1, 300),
        portal(2, 100),
        portal(3, 256),
        portal(4, 100),
    ];
    let changes = portals
        .iter()
        .map(|portal| put(portal, None, Some(portal.ends_at.0)))
        .collect();
    commit(store, changes);
    let due = |now, limit| -> Vec<u128> {
        let due = store.begin().due(Timestamp(now), limit).unwrap();
        due.into_iter().map(PortalId::as_u128).collect()
    };
    assert_eq!(due(99, 10), []);
    assert_eq!(due(100, 10), [2, 4]);
    assert_eq!(due(u64::MAX, 10), [2, 4, 3, 1]);
    assert_eq!(due(u64::MAX, 3), [2, 4, 3]);
}

pub fn a_deadline_moves<S: Store>(store: &S) {
    let before = portal(1, 100);
    let after = Portal {
        ends_at: Timestamp(200),
        ..before.clone()
    };
    commit(store, vec![put(&before, None, Some(100))]);
    commit(store, vec![put(&after, Some(100), Some(200))]);
    assert_eq!(store.begin().due(Timestamp(199), 10).unwrap(), []);
    assert_eq!(store.begin().due(Timestamp(200), 10).unwrap(), [after.id]);
}

pub fn a_closed_portal_is_never_due<S: Store>(store: &S) {
    let open = portal(1, 100);
    let state = PortalState::Closed {
        room: None,
        at: Timestamp(50),
        reason: EndReason::Guest,
    };
    let closed = Portal {
        state,
        ..open.clone()
    };
    commit(store, vec![put(&open, None, Some(100))]);
    commit(store, vec![put(&closed, Some(100), None)]);
    assert_eq!(store.begin().due(Timestamp(u64::MAX), 10).unwrap(), []);
    assert_eq!(store.begin().portal(closed.id).unwrap(), Some(closed));
}

pub fn effects_come_in_order<S: Store>(store: &S) {
    let numbers = [3u64, 1 << 40, 2, 255, 256];
    let put = |number: &u64| Change::PutEffect {
        id: EffectId::from_u128((*number).into()),
        effect: effect(*number),
    };
    commit(store, numbers.iter().map(put).collect());
    let listed = |after: Option<u128>, limit| -> Vec<u128> {
        let effects = store
            .begin()
            .effects(after.map(EffectId::from_u128), limit)
            .unwrap();
        effects.into_iter().map(|(id, _)| id.as_u128()).collect()
    };
    assert_eq!(listed(None, 10), [2, 3, 255, 256, 1 << 40]);
    assert_eq!(listed(Some(3), 2), [255, 256]);
    assert_eq!(listed(Some(4), 1), [255]);
    assert_eq!(listed(Some(u128::MAX), 1), []);
    assert_eq!(listed(None, 0), []);
}

pub fn an_effect_is_gone_when_deleted<S: Store>(store: &S) {
    let id = EffectId::from_u128(1);
    commit(
        store,
        vec![Change::PutEffect {
            id,
            effect: effect(1),
        }],
    );
    commit(
        store,
        vec![
            Change::DeleteEffect(id),
            Change::DeleteEffect(EffectId::from_u128(2)),
        ],
    );
    assert_eq!(store.begin().effect(id).unwrap(), None);
    assert_eq!(store.begin().effects(None, 10).unwrap(), []);
}

pub fn frames_come_in_order<S: Store>(store: &S) {
    let (first, second) = (PortalId::from_u128(1), PortalId::from_u128(2));
    let frames = [
        (first, 256),
        (second, 1),
        (first, 2),
        (first, 1),
        (first, 255),
    ];
    commit(store, frames.map(|(portal, seq)| frame(portal, seq)).into());
    assert_eq!(seqs(store, first, 0, 10), [1, 2, 255, 256]);
    assert_eq!(seqs(store, first, 1, 2), [2, 255]);
    assert!(seqs(store, first, 256, 10).is_empty());
    assert!(seqs(store, first, u64::MAX, 10).is_empty());
    assert_eq!(seqs(store, second, 0, 10), [1]);
    let read = store.begin().frames(first, 255, 1).unwrap();
    assert_eq!(read, [(256, InboxFrame::Host { joined: true })]);
}

pub fn frames_are_deleted_through_a_number<S: Store>(store: &S) {
    let (first, second) = (PortalId::from_u128(1), PortalId::from_u128(2));
    let frames = (1..=5).flat_map(|seq| [frame(first, seq), frame(second, seq)]);
    commit(store, frames.collect());
    commit(
        store,
        vec![Change::DeleteFrames {
            portal: first,
            through: 3,
        }],
    );
    assert_eq!(seqs(store, first, 0, 10), [4, 5]);
    assert_eq!(seqs(store, second, 0, 10), [1, 2, 3, 4, 5]);
    commit(
        store,
        vec![Change::DeleteFrames {
            portal: first,
            through: u64::MAX,
        }],
    );
    assert!(seqs(store, first, 0, 10).is_empty());
    assert_eq!(seqs(store, second, 0, 10), [1, 2, 3, 4, 5]);
}

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

pub fn since_is_replaced<S: Store>(store: &S) {
    let (first, second) = (PortalId::from_u128(1), PortalId::from_u128(2));
    let since = |since: &str| Change::PutSince {
        portal: first,
        since: since.to_owned(),
    };
    commit(store, vec![since("s1")]);
    commit(store, vec![since("s2")]);
    assert_eq!(store.begin().since(first).unwrap().as_deref(), Some("s2"));
    assert_eq!(store.begin().since(second).unwrap(), None);
}

pub fn hosts_and_management_rooms_are_kept<S: Store>(store: &S) {
    let alice = sample::user("alice");
    let host = Host {
        user: alice.clone(),
        display_name: Some("Älice".to_owned()),
    };
    let room = ManagementRoom {
        room: sample::room(1),
        host: alice.clone(),
        direct: true,
        encrypted: false,
    };
    commit(
        store,
        vec![
            Change::PutHost(host.clone()),
            Change::PutManagementRoom(room.clone()),
        ],
    );
    assert_eq!(store.begin().host(&alice).unwrap(), Some(host));
    assert_eq!(
        store.begin().management_room(&room.room).unwrap(),
        Some(room.clone())
    );

    let changed = ManagementRoom {
        direct: false,
        ..room.clone()
    };
    let renamed = Host {
        user: alice.clone(),
        display_name: None,
    };
    commit(
        store,
        vec![
            Change::PutHost(renamed.clone()),
            Change::PutManagementRoom(changed.clone()),
        ],
    );
    assert_eq!(store.begin().host(&alice).unwrap(), Some(renamed));
    assert_eq!(
        store.begin().management_room(&room.room).unwrap(),
        Some(changed)
    );
    commit(store, vec![Change::DeleteManagementRoom(room.room.clone())]);
    assert_eq!(store.begin().management_room(&room.room).unwrap(), None);
}

#[cfg(test)]
mod memory {
    use crate::testing::MemoryStore;

    crate::store_conformance!(|| ((), MemoryStore::new()));
}
