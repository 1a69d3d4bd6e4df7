//! Stores as earlier programs left them, and the rows as they are now.

use rocksdb::{DB, Options};
use vestibule_bridge::alarm::Subject;
use vestibule_bridge::id::{LinkId, PortalId};
use vestibule_bridge::steering::Steering;
use vestibule_bridge::time::Timestamp;

use super::everything::{everything, of_layout_1, of_layout_2, of_layout_3, of_layout_4};
use super::*;

/// All rows of layout 1, written by the program of that time.
const LAYOUT_1: &str = include_str!("rows/1.txt");
/// All rows of layout 2.
const LAYOUT_2: &str = include_str!("rows/2.txt");
/// All rows of layout 3.
const LAYOUT_3: &str = include_str!("rows/3.txt");
/// All rows of layout 4.
const LAYOUT_4: &str = include_str!("rows/4.txt");
/// All rows of layout 5.
const LAYOUT_5: &str = include_str!("rows/5.txt");
/// When the alarm of a row of an earlier layout rings.
const AT_ONCE: Option<Timestamp> = Some(Timestamp(0));

/// One row of a fixture.
struct Line<'a> {
    family: &'a str,
    key: Vec<u8>,
    row: Vec<u8>,
}

fn lines(fixture: &str) -> Vec<Line<'_>> {
    let lines = fixture.lines().map(|line| {
        let mut parts = line.splitn(3, '\t');
        Line {
            family: parts.next().unwrap(),
            key: unescape(parts.next().unwrap()),
            row: unescape(parts.next().unwrap()),
        }
    });
    lines.collect()
}

/// The other way from `escape_ascii`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        plain.push(match bytes.next().unwrap() {
            b't' => b'\t',
            b'r' => b'\r',
            b'n' => b'\n',
            b'x' => {
                let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap()
            }
            quoted => quoted,
        });
    }
    plain
}

/// A store that holds exactly these rows.
fn store_of(lines: &[Line<'_>]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let mut names: Vec<&str> = lines.iter().map(|line| line.family).collect();
    names.dedup();
    let db = DB::open_cf(&options, folder.path(), names).unwrap();
    for line in lines {
        let family = db.cf_handle(line.family).unwrap();
        db.put_cf(family, &line.key, &line.row).unwrap();
    }
    folder
}

#[test]
fn rows_are_stored_as_this_layout_says() {
    let (_folder, store) = fresh();
    commit(&store, everything());
    let rows = dump(&store);
    if std::env::var_os("VESTIBULE_NEW_LAYOUT").is_some() {
        let file = format!("src/store/tests/rows/{SCHEMA}.txt");
        std::fs::write(file, &rows).unwrap();
    }
    // Does this fail, then a stored row changed. Stores that exist hold the old one: that takes a
    // new layout with a migration, then one run with VESTIBULE_NEW_LAYOUT=1.
    assert_same_rows(&rows, LAYOUT_5);
}

#[test]
fn every_row_of_this_layout_reads() {
    let folder = store_of(&lines(LAYOUT_5));
    let store = RocksStore::open(folder.path()).unwrap();
    assert_same_rows(&dump(&store), LAYOUT_5);
    assert_reads(&store, everything(), None);
    let counts = store.begin().counts().unwrap();
    assert_eq!((counts.open_links, counts.open_chats), (2, 4));
    assert_eq!((counts.last_serial, counts.audited), (4_711, 4));
    let alice = sample::user("alice");
    assert_eq!(store.begin().blocks_of_host(&alice).unwrap().len(), 2);
}

/// Everything is there, as it was put; alarms that were not set ring now at this time.
fn assert_reads(store: &RocksStore, put: Changes, alarm: Option<Timestamp>) {
    let facts = store.begin();
    let ringing = facts.alarms(Timestamp(u64::MAX), 100).unwrap();
    let (mut links, mut effects) = (0, 0);
    for change in put.0 {
        match change {
            Change::PutLink(mut link) => {
                links += 1;
                link.alarm_at = link.alarm_at.or(alarm);
                let read = facts.link(link.id).unwrap().unwrap();
                // Links of earlier layouts get theirs when the store is opened.
                if link.serial == 0 && store.begin().steering().unwrap() == Steering::default() {
                    assert!(read.serial > 0);
                    link.serial = read.serial;
                }
                if link.serial > 0 {
                    let found = facts.link_by_serial(link.serial).unwrap();
                    assert_eq!(found.as_ref(), Some(&link));
                }
                let is_set = |at| ringing.contains(&(at, Subject::Link(link.id)));
                assert!(link.alarm_at.is_none_or(is_set));
                assert_eq!(facts.link(link.id).unwrap(), Some(link.clone()));
                assert_eq!(facts.link_by_token(&link.token_hash).unwrap(), Some(link));
            }
            Change::PutPortal { mut portal, .. } => {
                portal.alarm_at = portal.alarm_at.or(alarm);
                let is_set = |at| ringing.contains(&(at, Subject::Portal(portal.id)));
                assert!(portal.alarm_at.is_none_or(is_set));
                let family = Family::PortalidPortal;
                let key = portal.id.as_u128().to_be_bytes();
                let read = facts.row::<vestibule_bridge::portal::Portal>(family, &key);
                assert_eq!(read.unwrap(), Some(*portal));
            }
            Change::PutBlock(block) => {
                let read = facts.block(&block.host, &block.key);
                assert_eq!(read.unwrap(), Some(block));
            }
            Change::PutBotRecord { key, record } => {
                assert_eq!(facts.bot_records().unwrap().get(&key), Some(&record));
            }
            Change::PutCounts(_) | Change::SetAlarm { .. } => {}
            Change::PutHost(host) => assert_eq!(facts.host(&host.user).unwrap(), Some(host)),
            Change::PutManagementRoom(room) => {
                assert_eq!(facts.management_room(&room.room).unwrap(), Some(room));
            }
            Change::PutFrame { portal, seq, frame } => {
                let read = facts.frames(portal, seq - 1, 1).unwrap();
                assert_eq!(read, [(seq, frame)]);
            }
            Change::PutEffect { id, effect } => {
                effects += 1;
                assert_eq!(facts.effect(id).unwrap(), Some(effect));
            }
            Change::RememberTransaction(txn) => assert!(facts.transaction_seen(&txn).unwrap()),
            Change::RememberDigest { portal, digest } => {
                assert!(facts.digest_seen(portal, digest).unwrap());
            }
            Change::SetAside { .. } => {}
            Change::PutSteering(steering) => assert_eq!(facts.steering().unwrap(), steering),
            Change::PutAudit(entry) => assert!(facts.audit(None, 100).unwrap().contains(&entry)),
            Change::PutRule(rule) => {
                let rules = facts.rules(rule.shelf(), Some(&rule.entity));
                assert_eq!(rules.unwrap(), [rule]);
            }
            other => panic!("{other:?}"),
        }
    }
    let alice = sample::user("alice");
    assert_eq!(facts.links_of_host(&alice).unwrap().len(), links);
    assert_eq!(facts.effects(None, 100).unwrap().len(), effects);
}

#[test]
fn a_store_of_layout_1_is_brought_up_to_date() {
    let lines = lines(LAYOUT_1);
    assert!(lines.iter().any(|line| line.family == "portalid_since"));
    let folder = store_of(&lines);
    let store = RocksStore::open(folder.path()).unwrap();
    assert_reads(&store, of_layout_1(), AT_ONCE);
    assert_counted(&store);
    let rows = dump(&store);
    drop(store);
    let families = DB::list_cf(&Options::default(), folder.path()).unwrap();
    assert!(!families.iter().any(|name| name == "portalid_since"));
    let store = RocksStore::open(folder.path()).unwrap();
    assert_same_rows(&dump(&store), &rows);
}

#[test]
fn a_store_of_layout_2_is_brought_up_to_date() {
    let folder = store_of(&lines(LAYOUT_2));
    let store = RocksStore::open(folder.path()).unwrap();
    assert_reads(&store, of_layout_2(), AT_ONCE);
    assert_counted(&store);
    let rows = dump(&store);
    // Killed before the last step, it is done once more.
    {
        let db = store.shared();
        migrate::mark(db.as_ref().unwrap(), 2).unwrap();
    }
    drop(store);
    let store = RocksStore::open(folder.path()).unwrap();
    assert_same_rows(&dump(&store), &rows);
}

#[test]
fn a_store_of_layout_3_is_brought_up_to_date() {
    let folder = store_of(&lines(LAYOUT_3));
    let store = RocksStore::open(folder.path()).unwrap();
    assert_reads(&store, of_layout_3(), None);
    let serials = |store: &RocksStore| -> Vec<u64> {
        let links = store.begin().links_before(None, 100).unwrap();
        links.iter().map(|link| link.serial).collect()
    };
    assert_eq!(serials(&store), [4, 3, 2, 1]);
    assert_eq!(store.begin().counts().unwrap().last_serial, 4);
    let rows = dump(&store);
    // Killed before the last step, it is done once more.
    {
        let db = store.shared();
        migrate::mark(db.as_ref().unwrap(), 3).unwrap();
    }
    drop(store);
    let store = RocksStore::open(folder.path()).unwrap();
    assert_same_rows(&dump(&store), &rows);
}

#[test]
fn a_store_of_layout_4_is_brought_up_to_date() {
    let folder = store_of(&lines(LAYOUT_4));
    let store = RocksStore::open(folder.path()).unwrap();
    assert_reads(&store, of_layout_4(), None);
    assert!(store.begin().bot_records().unwrap().is_empty());
    let rows = dump(&store);
    assert!(rows.contains("schema"));
    let db = store.shared();
    assert_eq!(migrate::layout(db.as_ref().unwrap()).unwrap(), Some(SCHEMA));
}

/// One unused link, and three chats that are not over.
fn assert_counted(store: &RocksStore) {
    let counts = store.begin().counts().unwrap();
    assert_eq!((counts.open_links, counts.open_chats), (1, 3));
}

#[test]
fn a_migration_that_is_killed_on_the_way_goes_on_from_there() {
    for page in [1, 2, 7] {
        let folder = store_of(&lines(LAYOUT_1));
        let mut steps = 0;
        loop {
            let db = open_database(folder.path(), Compaction::On).unwrap();
            let mut lost = Lost::default();
            steps += 1;
            if migrate::step(&db, page, &mut lost).unwrap() {
                break;
            }
            assert_eq!(lost, Lost::default());
            assert_eq!(migrate::layout(&db).unwrap(), Some(1));
        }
        assert!(steps > 80 / page, "{steps} steps");
        let store = RocksStore::open(folder.path()).unwrap();
        assert_reads(&store, of_layout_1(), AT_ONCE);
    }
}

#[test]
fn a_migration_goes_on_when_the_program_starts_again() {
    let folder = store_of(&lines(LAYOUT_1));
    for _ in 0..5 {
        let db = open_database(folder.path(), Compaction::On).unwrap();
        assert!(!migrate::step(&db, 3, &mut Lost::default()).unwrap());
    }
    let store = RocksStore::open(folder.path()).unwrap();
    assert_reads(&store, of_layout_1(), AT_ONCE);
}

#[test]
fn what_does_not_read_in_layout_1_costs_its_own_chat_or_link_only() {
    let mut rows = lines(LAYOUT_1);
    for line in &mut rows {
        let damaged = match line.family {
            "portalid_portal" => line.key.ends_with(&[3]),
            "linkid_link" => line.key.ends_with(&[2]),
            _ => false,
        };
        if damaged {
            line.row.truncate(40);
        }
    }
    let folder = store_of(&rows);
    let store = RocksStore::open(folder.path()).unwrap();
    let facts = store.begin();
    let (damaged, sound) = (PortalId::from_u128(3), PortalId::from_u128(2));
    assert!(matches!(
        facts.portal(damaged),
        Err(StoreError::Damaged(DamagedRow { owner: Owner::Portal(portal), .. })) if portal == damaged
    ));
    assert!(facts.portal(sound).unwrap().is_some());
    assert_eq!(store.set_aside().unwrap(), 1);
    assert_eq!(facts.link(LinkId::from_u128(2)).unwrap(), None);
    let alice = sample::user("alice");
    assert_eq!(facts.links_of_host(&alice).unwrap().len(), 2);
}
