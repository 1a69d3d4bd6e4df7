//! Alarms, block lists, counts, and forgetting.

use crate::alarm::Subject;
use crate::block::Block;
use crate::count::Counts;
use crate::frame::InboxFrame;
use crate::id::{LinkId, PortalId, UserId};
use crate::portal::{EndReason, Portal, PortalState};
use crate::store::{Change, Changes, Digest, Facts, Store, StoreTransaction};
use crate::time::Timestamp;

use super::{commit, frame, portal, put, seqs};
use crate::testing::sample;

fn set(subject: Subject, was: Option<u64>, at: Option<u64>) -> Change {
    Change::SetAlarm {
        subject,
        was: was.map(Timestamp),
        at: at.map(Timestamp),
    }
}

fn ringing(facts: &dyn Facts, now: u64, limit: usize) -> Vec<(u64, Subject)> {
    let alarms = facts.alarms(Timestamp(now), limit).unwrap();
    alarms
        .into_iter()
        .map(|(at, subject)| (at.0, subject))
        .collect()
}

pub fn alarms_ring_in_order<S: Store>(store: &S) {
    let link = |number| Subject::Link(LinkId::from_u128(number));
    let portal = |number| Subject::Portal(PortalId::from_u128(number));
    commit(
        store,
        vec![
            set(portal(1), None, Some(300)),
            set(portal(2), None, Some(256)),
            set(link(9), None, Some(256)),
            set(link(1), None, Some(100)),
            set(portal(3), None, Some(100)),
            set(link(u128::MAX), None, Some(100)),
        ],
    );
    let facts = store.begin();
    assert_eq!(ringing(&facts, 99, 10), []);
    let first = [(100, link(1)), (100, link(u128::MAX)), (100, portal(3))];
    assert_eq!(ringing(&facts, 100, 10), first);
    let two: Vec<_> = first.into_iter().take(2).collect();
    assert_eq!(ringing(&facts, 100, 2), two);
    let rest = [(256, link(9)), (256, portal(2)), (300, portal(1))];
    assert_eq!(ringing(&facts, u64::MAX, 10), [first, rest].concat());
}

pub fn an_alarm_moves_and_is_taken_away<S: Store>(store: &S) {
    let subject = Subject::Portal(PortalId::from_u128(1));
    commit(store, vec![set(subject, None, Some(100))]);
    commit(store, vec![set(subject, Some(100), Some(200))]);
    assert_eq!(ringing(&store.begin(), 199, 10), []);
    assert_eq!(ringing(&store.begin(), 200, 10), [(200, subject)]);
    // The last moment there is, and within one round.
    let mut round = store.begin();
    let last = set(subject, Some(200), Some(u64::MAX));
    round.apply(&Changes(vec![last])).unwrap();
    assert_eq!(ringing(&round, u64::MAX - 1, 10), []);
    assert_eq!(ringing(&round, u64::MAX, 10), [(u64::MAX, subject)]);
    round.commit().unwrap();
    commit(store, vec![set(subject, Some(u64::MAX), None)]);
    assert_eq!(ringing(&store.begin(), u64::MAX, 10), []);
}

fn block(host: &UserId, key: &str, number: u32) -> Block {
    Block {
        host: host.clone(),
        key: key.to_owned(),
        number,
        label: Some("Bob".to_owned()),
        at: Timestamp(5),
    }
}

pub fn each_host_has_a_block_list<S: Store>(store: &S) {
    // Ids and keys of which one begins with the other.
    let short = UserId::new("@al:example.org");
    let long = UserId::new("@al:example.org.evil");
    let blocks = [
        block(&short, "key", 1),
        block(&short, "key2", 2),
        block(&long, "key", 3),
    ];
    commit(store, blocks.clone().map(Change::PutBlock).into());
    let [one, two, other] = blocks;
    let facts = store.begin();
    assert_eq!(
        facts.blocks_of_host(&short).unwrap(),
        [one.clone(), two.clone()]
    );
    assert_eq!(
        facts.blocks_of_host(&long).unwrap(),
        std::slice::from_ref(&other)
    );
    assert_eq!(facts.blocks_of_host(&sample::user("bob")).unwrap(), []);
    assert_eq!(facts.block(&short, "key").unwrap(), Some(one.clone()));
    assert_eq!(facts.block(&short, "ke").unwrap(), None);
    assert_eq!(facts.block(&long, "key2").unwrap(), None);
    drop(facts);

    let again = Block { number: 7, ..one };
    commit(store, vec![Change::PutBlock(again.clone())]);
    assert_eq!(
        store.begin().blocks_of_host(&short).unwrap(),
        [again, two.clone()]
    );
    let gone = Change::DeleteBlock {
        host: short.clone(),
        key: "key".to_owned(),
    };
    commit(store, vec![gone]);
    assert_eq!(store.begin().block(&short, "key").unwrap(), None);
    assert_eq!(store.begin().blocks_of_host(&short).unwrap(), [two]);
    assert_eq!(store.begin().block(&long, "key").unwrap(), Some(other));
}

pub fn counts_are_kept<S: Store>(store: &S) {
    assert_eq!(store.begin().counts().unwrap(), Counts::default());
    let counts = Counts {
        open_links: 3,
        open_chats: u64::MAX,
        last_serial: 7,
        audited: 9,
    };
    commit(store, vec![Change::PutCounts(counts)]);
    assert_eq!(store.begin().counts().unwrap(), counts);
}

pub fn an_erased_portal_leaves_nothing<S: Store>(store: &S) {
    let (gone, kept) = (portal(1, 10), portal(2, 10));
    let closed = Portal {
        state: PortalState::Closed {
            room: gone.room().cloned(),
            at: Timestamp(5),
            reason: EndReason::Guest,
        },
        ..gone.clone()
    };
    let digest = |portal: &Portal| Change::RememberDigest {
        portal: portal.id,
        digest: Digest([1; 16]),
    };
    let mut changes = vec![put(&gone, None, Some(10)), put(&kept, None, Some(10))];
    for portal in [&gone, &kept] {
        changes.extend([frame(portal.id, 1), frame(portal.id, 256), digest(portal)]);
    }
    commit(store, changes);
    commit(store, vec![put(&closed, Some(10), None)]);

    let mut round = store.begin();
    let erase = Change::ErasePortal(Box::new(closed));
    round.apply(&Changes(vec![erase])).unwrap();
    assert_erased(&round, &gone);
    assert_kept(&round, &kept);
    round.commit().unwrap();
    assert_erased(&store.begin(), &gone);
    assert_kept(&store.begin(), &kept);
    assert_eq!(seqs(store, kept.id, 0, 10), [1, 256]);
}

fn assert_erased(facts: &dyn Facts, gone: &Portal) {
    assert_eq!(facts.portal(gone.id).unwrap(), None);
    assert_eq!(facts.portal_by_room(&sample::room(1)).unwrap(), None);
    assert_eq!(facts.portal_by_ghost(&gone.ghost).unwrap(), None);
    assert_eq!(
        facts.frames(gone.id, 0, 10).unwrap(),
        Vec::<(u64, InboxFrame)>::new()
    );
    assert!(!facts.digest_seen(gone.id, Digest([1; 16])).unwrap());
}

fn assert_kept(facts: &dyn Facts, kept: &Portal) {
    assert_eq!(facts.portal(kept.id).unwrap().as_ref(), Some(kept));
    assert_eq!(
        facts.portals_of_host(&kept.host).unwrap(),
        std::slice::from_ref(kept)
    );
    assert_eq!(
        facts.portal_by_room(&sample::room(2)).unwrap().as_ref(),
        Some(kept)
    );
    assert!(facts.digest_seen(kept.id, Digest([1; 16])).unwrap());
    assert_eq!(facts.due(Timestamp(10), 10).unwrap(), [kept.id]);
}

pub fn an_erased_link_leaves_nothing<S: Store>(store: &S) {
    let alice = sample::user("alice");
    let (gone, kept) = (sample::link(1, &alice), sample::link(2, &alice));
    let links = [&gone, &kept].map(|link| Change::PutLink(link.clone()));
    commit(store, links.into());
    commit(store, vec![Change::EraseLink(Box::new(gone.clone()))]);
    let facts = store.begin();
    assert_eq!(facts.link(gone.id).unwrap(), None);
    assert_eq!(facts.link_by_token(&gone.token_hash).unwrap(), None);
    assert_eq!(
        facts.links_of_host(&alice).unwrap(),
        std::slice::from_ref(&kept)
    );
    assert_eq!(facts.link_by_token(&kept.token_hash).unwrap(), Some(kept));
}
