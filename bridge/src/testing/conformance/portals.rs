//! Portals and their deadlines.

use crate::id::PortalId;
use crate::portal::{EndReason, Portal, PortalState};
use crate::store::{Facts, Store};
use crate::time::Timestamp;

use super::{commit, portal, put};
use crate::testing::sample;

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
