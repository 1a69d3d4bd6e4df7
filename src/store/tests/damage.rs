//! Rows that went bad one by one: each hurts its owner alone.

use vestibule_bridge::id::{LinkId, PortalId};
use vestibule_bridge::link::TokenHash;
use vestibule_bridge::store::Digest;
use vestibule_bridge::time::Timestamp;

use super::effects::effects;
use super::everything::everything;
use super::*;

fn portal(number: u128) -> PortalId {
    PortalId::from_u128(number)
}

/// Two open chats of Alice, each with a link, two frames and an effect.
pub fn two_chats() -> (TempDir, RocksStore) {
    let (folder, store) = fresh();
    let mut changes = Changes::default();
    for number in [1, 2] {
        let host = sample::user("alice");
        changes.push(Change::PutLink(sample::link(number, &host)));
        let chat = sample::portal(number, &host, Timestamp(10 * number)).unwrap();
        let due = chat.deadline();
        for seq in [1, 2] {
            changes.push(Change::PutFrame {
                portal: chat.id,
                seq,
                frame: vestibule_bridge::frame::InboxFrame::Host { joined: true },
            });
        }
        changes.push(Change::PutEffect {
            id: EffectId::from_u128(number.into()),
            effect: Effect::Deactivate {
                portal: chat.id,
                ghost: chat.ghost.clone(),
            },
        });
        changes.push(Change::PutPortal {
            portal: Box::new(chat),
            was_due: None,
            due,
        });
    }
    commit(&store, changes);
    (folder, store)
}

/// Flips two bits of a row, so that it can't be put right either.
pub fn damage(store: &RocksStore, family: Family, key: &[u8]) {
    let mut row = get_raw(store, family, key).unwrap();
    let last = row.len() - 1;
    row[last] ^= 0x11;
    put_raw(store, family, key, &row);
}

fn owner<T: std::fmt::Debug>(read: Read<T>) -> Owner {
    match read {
        Err(StoreError::Damaged(row)) => row.owner,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_damaged_portal_hurts_nobody_else() {
    let (_folder, store) = two_chats();
    damage(&store, Family::PortalidPortal, &1u128.to_be_bytes());
    let mut facts = store.begin();
    let one = Owner::Portal(portal(1));
    assert_eq!(owner(facts.portal(portal(1))), one);
    assert_eq!(owner(facts.portal_by_room(&sample::room(1))), one);
    assert_eq!(owner(facts.portal_by_ghost(&sample::ghost(1))), one);
    assert!(facts.portal(portal(2)).unwrap().is_some());
    assert_eq!(facts.left_out(), []);
    let listed = facts.portals_of_host(&sample::user("alice")).unwrap();
    assert_eq!(listed.len(), 1);
    let left_out = facts.left_out();
    assert_eq!(left_out.len(), 1);
    assert_eq!(
        (left_out[0].family, &left_out[0].owner),
        ("portalid_portal", &one)
    );
}

#[test]
fn a_damaged_link_hurts_nobody_else() {
    let (_folder, store) = two_chats();
    damage(&store, Family::LinkidLink, &1u128.to_be_bytes());
    let mut facts = store.begin();
    let one = Owner::Link(LinkId::from_u128(1));
    let host = sample::user("alice");
    assert_eq!(owner(facts.link(LinkId::from_u128(1))), one);
    let hash = sample::link(1, &host).token_hash;
    assert_eq!(owner(facts.link_by_token(&hash)), one);
    assert_eq!(facts.links_of_host(&host).unwrap().len(), 1);
    assert_eq!(facts.left_out().len(), 1);
    // And it can be overwritten.
    drop(facts);
    put(&store, Change::PutLink(sample::link(1, &host)));
    assert_eq!(store.begin().links_of_host(&host).unwrap().len(), 2);
}

#[test]
fn damaged_rows_of_indexes_name_their_target() {
    let (_folder, store) = two_chats();
    let host = sample::user("alice");
    let TokenHash(hash) = sample::link(1, &host).token_hash;
    // An id of which some bits are wrong names somebody else, or nobody: but never two chats.
    let wrong = Owner::Portal(portal(1 ^ 0x11));
    damage(
        &store,
        Family::RoomidPortalid,
        sample::room(1).as_str().as_bytes(),
    );
    assert_eq!(owner(store.begin().portal_by_room(&sample::room(1))), wrong);
    damage(
        &store,
        Family::GhostidPortalid,
        sample::ghost(1).as_str().as_bytes(),
    );
    assert_eq!(
        owner(store.begin().portal_by_ghost(&sample::ghost(1))),
        wrong
    );
    damage(&store, Family::TokenhashLinkid, &hash);
    let read = store.begin().link_by_token(&TokenHash(hash));
    assert_eq!(owner(read), Owner::Link(LinkId::from_u128(1 ^ 0x11)));
    let key = codec::id_pair(host.as_str(), 1);
    damage(&store, Family::HostidPortalid, &key);
    let mut facts = store.begin();
    assert_eq!(facts.portals_of_host(&host).unwrap().len(), 1);
    assert_eq!(facts.left_out()[0].owner, Owner::Portal(portal(1)));
}

#[test]
fn a_damaged_deadline_hides_no_other() {
    let (_folder, store) = two_chats();
    let key = codec::joined(&10u64.to_be_bytes(), &1u128.to_be_bytes());
    damage(&store, Family::DeadlinePortalid, &key);
    put_raw(&store, Family::DeadlinePortalid, b"\0", b"");
    let mut facts = store.begin();
    assert_eq!(facts.due(Timestamp(100), 1).unwrap(), [portal(2)]);
    let left_out = facts.left_out();
    assert_eq!(left_out.len(), 2);
    assert_eq!(left_out[1].owner, Owner::Portal(portal(1)));
    assert_eq!(facts.due(Timestamp(100), 10).unwrap(), [portal(2)]);
}

#[test]
fn a_damaged_frame_stops_its_own_chat_and_can_be_deleted() {
    let (_folder, store) = two_chats();
    let key = codec::joined(&1u128.to_be_bytes(), &2u64.to_be_bytes());
    damage(&store, Family::PortalSeqFrame, &key);
    assert_eq!(
        owner(store.begin().frames(portal(1), 0, 10)),
        Owner::Portal(portal(1))
    );
    assert_eq!(store.begin().frames(portal(1), 0, 1).unwrap().len(), 1);
    assert_eq!(store.begin().frames(portal(2), 0, 10).unwrap().len(), 2);
    let change = Change::DeleteFrames {
        portal: portal(1),
        through: 2,
    };
    put(&store, change);
    assert_eq!(store.begin().frames(portal(1), 0, 10).unwrap(), []);
}

#[test]
fn a_damaged_effect_stands_among_the_others_as_such() {
    let (_folder, store) = two_chats();
    damage(&store, Family::EffectidEffect, &1u128.to_be_bytes());
    let mut facts = store.begin();
    let listed = facts.effects(None, 10).unwrap();
    let reads: Vec<bool> = listed.iter().map(|(_, effect)| effect.is_some()).collect();
    assert_eq!(reads, [false, true]);
    assert_eq!(facts.left_out()[0].owner, Owner::Portal(portal(1)));
    assert_eq!(store.last_effect().unwrap(), Some(EffectId::from_u128(2)));
}

#[test]
fn a_damaged_host_loses_the_name_and_no_more() {
    let (_folder, store) = fresh();
    put(&store, Change::PutHost(alice()));
    damage(&store, Family::HostidHost, alice().user.as_str().as_bytes());
    let mut facts = store.begin();
    assert_eq!(facts.host(&alice().user).unwrap(), None);
    assert_eq!(facts.left_out()[0].owner, Owner::Unknown);
}

#[test]
fn damaged_memories_are_memories_all_the_same() {
    let (_folder, store) = fresh();
    let digest = Digest([7; 16]);
    put(&store, Change::RememberTransaction("t".to_owned()));
    let remember = Change::RememberDigest {
        portal: portal(1),
        digest,
    };
    put(&store, remember);
    damage(&store, Family::TxnidNumber, b"t");
    let key = codec::joined(&1u128.to_be_bytes(), &digest.0);
    damage(&store, Family::PortalDigestSeen, &key);
    damage(&store, Family::GlobalSchema, TRANSACTIONS_KEY);
    assert!(store.begin().transaction_seen("t").unwrap());
    assert!(store.begin().digest_seen(portal(1), digest).unwrap());
    put(&store, Change::RememberTransaction("u".to_owned()));
    assert!(store.begin().transaction_seen("u").unwrap());
    let number = 1u64.to_be_bytes();
    let named = store
        .begin()
        .rows
        .get(Family::NumberTxnid, &number)
        .unwrap();
    assert_eq!(named, Some(b"u".to_vec()));
}

#[test]
fn a_row_that_is_missing_where_an_index_leads_is_damage() {
    let (_folder, store) = two_chats();
    let db = store.shared();
    let db = db.as_ref().unwrap();
    for family in [Family::PortalidPortal, Family::LinkidLink] {
        let key = 1u128.to_be_bytes();
        db.delete_cf(handle(db, family).unwrap(), key).unwrap();
    }
    let facts = store.begin();
    let read = facts.portal_by_room(&sample::room(1));
    assert_eq!(owner(read), Owner::Portal(portal(1)));
    let hash = sample::link(1, &sample::user("alice")).token_hash;
    let one = Owner::Link(LinkId::from_u128(1));
    assert_eq!(owner(facts.link_by_token(&hash)), one);
}

#[test]
fn a_flipped_bit_in_any_row_is_found_and_named() {
    let (_folder, store) = fresh();
    commit(&store, everything());
    assert!(effects().len() > 20);
    let mut rows = 0;
    for family in Family::ALL {
        let found = store.begin().rows.range(family, &[], None, usize::MAX);
        for row in found.unwrap() {
            let sound = get_raw(&store, family, &row.key).unwrap();
            assert!(row.payload.is_ok());
            rows += 1;
            for byte in 0..sound.len() {
                let mut flipped = sound.clone();
                flipped[byte] ^= 1 << (byte % 8);
                put_raw(&store, family, &row.key, &flipped);
                let read = store.begin().rows.get(family, &row.key);
                let Err(StoreError::Damaged(found)) = read else {
                    panic!("{family:?} {byte} {read:?}");
                };
                assert_eq!(found.family, family.name());
            }
            put_raw(&store, family, &row.key, &sound);
        }
    }
    assert!(rows > 80, "{rows}");
}
