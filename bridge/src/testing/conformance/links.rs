//! Links, their hosts, and the rooms in which hosts talk with the bot.

use crate::host::{Host, ManagementRoom};
use crate::link::{Link, LinkState, TokenHash};
use crate::store::{Change, Facts, Store};
use crate::time::Timestamp;

use super::{commit, put};
use crate::testing::sample;

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

pub fn hosts_and_management_rooms_are_kept<S: Store>(store: &S) {
    let alice = sample::user("alice");
    let host = Host {
        user: alice.clone(),
        display_name: Some("Älice".to_owned()),
        last_number: 7,
        blocked: None,
        quota: Default::default(),
    };
    let room = sample::management_room(sample::room(1), alice.clone());
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
    let renamed = Host::new(alice.clone());
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
