//! Table files, damaged, and rescues of what was in them.

use super::*;

/// The table file that holds these bytes.
fn table_with(folder: &TempDir, needle: &[u8]) -> (PathBuf, usize) {
    let files = std::fs::read_dir(folder.path()).unwrap();
    let found = files.map(|file| file.unwrap().path()).find_map(|path| {
        let table = path.extension().is_some_and(|found| found == "sst");
        let bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(needle.len()).position(|part| part == needle);
        at.filter(|_| table).map(|at| (path, at))
    });
    found.unwrap()
}

fn damage_file(path: &Path, at: usize, bits: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= bits;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_flipped_bit_in_a_table_file_is_put_right() {
    let (folder, store) = chats();
    flush(&store);
    let (before, store_id) = (dump(&store), store.id().unwrap());
    drop(store);
    let (table, at) = table_with(&folder, b"\"ed25519\":\"key7\"");
    damage_file(&table, at + 3, 4);
    let store = RocksStore::open(folder.path()).unwrap();
    // The first reader fails, and the next round puts it right.
    assert!(store.begin().portal(id(7)).is_err());
    assert_eq!(store.trouble(), Some(Trouble::Damaged));
    assert!(store.mend());
    assert_eq!(store.trouble(), None);
    assert_same_rows(&dump(&store), &before);
    assert_eq!(store.set_aside().unwrap(), 0);
    assert_eq!(store.id().unwrap(), store_id, "nothing was lost");
    put(&store, chat(7));
}

#[test]
fn a_damaged_row_in_a_table_file_costs_its_chat_and_no_other_of_its_block() {
    let (folder, store) = chats();
    flush(&store);
    let store_id = store.id().unwrap();
    drop(store);
    let (table, at) = table_with(&folder, b"\"ed25519\":\"key7\"");
    damage_file(&table, at + 3, 0x14);
    let store = RocksStore::open(folder.path()).unwrap();
    assert!(store.begin().portal(id(7)).is_err());
    assert!(store.mend());
    assert_ne!(store.id().unwrap(), store_id, "something was lost");
    let found = chats_of(&store);
    assert_eq!(found[&7], "damaged");
    assert_eq!(count(&found, "there"), usize::try_from(CHATS - 1).unwrap());
    assert_eq!(store.set_aside().unwrap(), 1);
    let alice = sample::user("alice");
    let listed = store.begin().portals_of_host(&alice).unwrap();
    assert_eq!(listed.len(), usize::try_from(CHATS - 1).unwrap());
    put(&store, chat(CHATS + 1));
    drop(store);
    let store = RocksStore::open(folder.path()).unwrap();
    assert_eq!(chats_of(&store), found);
    assert_eq!(store.trouble(), None);
}

#[test]
fn a_damaged_key_or_length_in_a_table_file_hides_no_other_row() {
    // The length of the row stands three bytes before its key, the key before the row.
    for (before, bits) in [(30, 0x30), (22, 0x11), (9, 0x30)] {
        let (folder, store) = chats();
        flush(&store);
        drop(store);
        let (table, at) = table_with(&folder, b"{\"id\":\"00000000000000000000000007\"");
        damage_file(&table, at - before, bits);
        let store = RocksStore::open(folder.path()).unwrap();
        let _first = store.begin().portal(id(7));
        assert!(store.mend(), "{before}");
        let found = chats_of(&store);
        let there = count(&found, "there");
        assert!(
            there >= usize::try_from(CHATS - 3).unwrap(),
            "{before}: {found:?}"
        );
        // Nobody vanished: whoever is not there is known to be damaged, by whatever leads there.
        for (number, state) in found {
            let by_room = store.begin().portal_by_room(&sample::room(number));
            match state {
                "there" => assert!(by_room.unwrap().is_some()),
                _ => assert!(by_room.is_err(), "{before}: {number}"),
            }
        }
    }
}

#[test]
fn damage_to_what_a_table_file_says_of_itself_costs_at_most_a_row() {
    let (folder, store) = chats();
    flush(&store);
    drop(store);
    let (table, _) = table_with(&folder, b"\"ed25519\":\"key7\"");
    let whole = std::fs::read(&table).unwrap();
    let mut opened = 0;
    // From the index to the footer's last byte.
    for from_end in (1..1_600).step_by(61) {
        let folder_of_this = tempfile::tempdir().unwrap();
        copy(folder.path(), folder_of_this.path());
        let table = folder_of_this.path().join(table.file_name().unwrap());
        damage_file(&table, whole.len() - from_end, 0x55);
        let store = match RocksStore::open(folder_of_this.path()) {
            Ok(store) => store,
            // Without some of it RocksDB opens no table. That is said, and as what it is.
            Err(refused) => {
                assert!(matches!(refused, OpenError::Backend { .. }), "{refused:?}");
                continue;
            }
        };
        opened += 1;
        if (1..=CHATS).any(|number| store.begin().portal(id(number)).is_err()) {
            assert!(store.mend(), "{from_end}");
        }
        let found = chats_of(&store);
        // Also the last rows lie there.
        let lost = usize::from(found.values().any(|state| *state == "damaged"));
        assert_eq!(count(&found, "there") + lost, found.len(), "{from_end}");
    }
    assert!(opened > 3, "{opened}");
}

#[test]
fn a_compaction_that_meets_a_damaged_block_stops_nothing() {
    let (folder, store) = chats();
    flush(&store);
    drop(store);
    let (table, at) = table_with(&folder, b"\"ed25519\":\"key7\"");
    damage_file(&table, at + 3, 0x14);
    let store = RocksStore::open(folder.path()).unwrap();
    {
        let db = store.shared();
        let db = db.as_ref().unwrap();
        let family = handle(db, Family::PortalidPortal).unwrap();
        db.put_cf(
            family,
            [0xff; 16],
            codec::seal(Family::PortalidPortal, &[0xff; 16], b"{}"),
        )
        .unwrap();
        db.flush_cf(family).unwrap();
        let mut options = rocksdb::CompactOptions::default();
        options.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
        db.compact_range_cf_opt(family, None::<&[u8]>, None::<&[u8]>, &options);
    }
    let mut round = store.begin();
    round.apply(&Changes(vec![chat(CHATS + 1)])).unwrap();
    let refused = round.commit();
    assert!(refused.is_err(), "RocksDB stops writing");
    assert_eq!(store.trouble(), Some(Trouble::Damaged));
    assert!(store.mend());
    put(&store, chat(CHATS + 1));
    assert_eq!(count(&chats_of(&store), "damaged"), 1);
}

#[test]
fn a_damaged_layout_row_is_found_again_by_what_else_is_there() {
    let (folder, store) = chats();
    put(&store, Change::RememberTransaction("t".to_owned()));
    flush(&store);
    drop(store);
    let (table, at) = table_with(&folder, b"schema");
    damage_file(&table, at + 2, 0x14);
    let store = RocksStore::open(folder.path()).unwrap();
    assert_eq!(
        count(&chats_of(&store), "there"),
        usize::try_from(CHATS).unwrap()
    );
    drop(store);
    let store = RocksStore::open(folder.path()).unwrap();
    assert!(store.begin().transaction_seen("t").unwrap());
}

#[test]
fn a_rescue_that_is_killed_on_the_way_is_ended_or_begun_anew() {
    let (folder, store) = chats();
    flush(&store);
    let before = dump(&store);
    drop(store);
    // Copies without their mark: begun, and not ended.
    let family = Family::PortalidPortal;
    let copies = "rescued_portalid_portal";
    let mut db = open_database(folder.path(), Compaction::On).unwrap();
    db.create_cf(copies, &family_options()).unwrap();
    db.put_cf(db.cf_handle(copies).unwrap(), b"half", b"done")
        .unwrap();
    drop(db);
    let store = RocksStore::open(folder.path()).unwrap();
    assert_same_rows(&dump(&store), &before);
    drop(store);
    // Copies with their mark, and the family is dropped.
    let mut db = open_database(folder.path(), Compaction::On).unwrap();
    assert!(db.cf_handle(copies).is_none());
    db.create_cf(copies, &family_options()).unwrap();
    let rows: Vec<_> = db
        .iterator_cf(handle(&db, family).unwrap(), IteratorMode::Start)
        .map(Result::unwrap)
        .collect();
    for (key, row) in rows {
        db.put_cf(db.cf_handle(copies).unwrap(), key, row).unwrap();
    }
    let marks = Family::GlobalSchema;
    let mark = codec::seal(marks, copies.as_bytes(), br#"{"portals":[]}"#);
    db.put_cf(handle(&db, marks).unwrap(), copies, mark)
        .unwrap();
    db.drop_cf(family.name()).unwrap();
    drop(db);
    let store = RocksStore::open(folder.path()).unwrap();
    assert_same_rows(&dump(&store), &before);
}
