//! Rounds: what a transaction shows, and what is left of it.

use crate::id::EffectId;
use crate::store::{Change, Changes, Digest, Facts, Store, StoreTransaction};
use crate::time::Timestamp;

use super::{commit, effect, frame, portal, put, seqs};
use crate::testing::sample;

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
    assert_eq!(facts.alarms(Timestamp(u64::MAX), 10).unwrap(), []);
    assert_eq!(facts.block(&alice, "key").unwrap(), None);
    assert_eq!(facts.blocks_of_host(&alice).unwrap(), []);
    assert_eq!(facts.management_room(&sample::room(1)).unwrap(), None);
    assert_eq!(facts.effect(EffectId::from_u128(1)).unwrap(), None);
    assert_eq!(facts.effects(None, 10).unwrap(), []);
    assert_eq!(facts.frames(portal.id, 0, 10).unwrap(), []);
    assert!(!facts.transaction_seen("1").unwrap());
    assert!(!facts.digest_seen(portal.id, Digest([0; 16])).unwrap());
    assert!(!facts.is_set_aside(portal.id).unwrap());
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
        [(EffectId::from_u128(3), Some(effect(1)))]
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
