//! What waits: effects and frames.

use crate::frame::InboxFrame;
use crate::id::{EffectId, PortalId};
use crate::store::{Change, Facts, Store};

use super::{commit, effect, frame, seqs};

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
