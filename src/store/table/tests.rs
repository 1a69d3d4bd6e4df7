#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeMap;

use rocksdb::{BlockBasedOptions, DB, DBCompressionType, Options};

use super::*;

type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// No damaged byte makes one of another.
fn key(number: u32) -> Vec<u8> {
    [number.to_be_bytes(), number.to_be_bytes()].concat()
}

/// A table file that RocksDB wrote, with what is in it.
fn table(restart_interval: i32) -> (Vec<u8>, Rows) {
    let folder = tempfile::tempdir().unwrap();
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_restart_interval(restart_interval);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(DBCompressionType::None);
    options.set_block_based_table_factory(&blocks);
    let db = DB::open(&options, folder.path()).unwrap();
    let mut rows = Rows::new();
    for number in 0..200u32 {
        let key = key(number);
        // Zeros look like the beginning of a list of places.
        let row = vec![u8::try_from(number % 3).unwrap(); 5 + number as usize % 60];
        db.put(&key, &row).unwrap();
        rows.insert(key, Some(row));
    }
    for number in [7u32, 130] {
        let key = key(number);
        db.delete(&key).unwrap();
        rows.insert(key, None);
    }
    db.flush().unwrap();
    let file = db.live_files().unwrap().pop().unwrap();
    let path = db.path().join(file.name.trim_start_matches('/'));
    (std::fs::read(path).unwrap(), rows)
}

fn rows(file: &[u8]) -> Rows {
    let mut rows = Rows::new();
    for entry in entries(file) {
        if let Entry::Row(row) = entry {
            // The newest comes first.
            let bytes = row.row.map(<[u8]>::to_vec);
            rows.entry(row.key).or_insert(bytes);
        }
    }
    rows
}

#[test]
fn a_whole_table_reads_as_it_was_written() {
    for interval in [1, 16] {
        let (file, written) = table(interval);
        assert!(index(&file).unwrap().len() > 1, "{interval}");
        assert_eq!(rows(&file), written, "{interval}");
    }
}

#[test]
fn without_its_index_a_table_reads_as_well() {
    let (mut file, written) = table(1);
    let magic = file.len() - 8;
    file[magic] ^= 1;
    assert!(index(&file).is_none());
    assert_eq!(rows(&file), written);
}

#[test]
fn a_damaged_byte_anywhere_costs_at_most_its_own_row() {
    let (file, written) = table(1);
    let (mut torn, mut worst) = (0, 0);
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 0x85;
        let entries = entries(&damaged);
        torn += entries
            .iter()
            .filter(|entry| matches!(entry, Entry::Torn(_)))
            .count();
        let found = rows(&damaged);
        let gone = written
            .iter()
            .filter(|(key, row)| found.get(*key) != Some(row));
        worst = worst.max(gone.count());
    }
    assert_eq!(worst, 1, "rows that one byte cost");
    assert!(torn > 100, "{torn}");
}

#[test]
fn a_damaged_length_is_put_right_by_the_other_one() {
    let (file, written) = table(1);
    let key = key(10);
    let at = file
        .windows(key.len())
        .position(|part| part == &key[..])
        .unwrap();
    // Three lengths of one byte each: shared, key, row.
    for length in [at - 3, at - 2, at - 1] {
        let mut damaged = file.clone();
        damaged[length] ^= 0x41;
        let guesses = entries(&damaged).into_iter().find_map(|entry| match entry {
            Entry::Torn(guesses) => Some(guesses),
            Entry::Row(_) => None,
        });
        let guesses = guesses.unwrap();
        let right =
            |guess: &Row<'_>| guess.key == key && guess.row.map(<[u8]>::to_vec) == written[&key];
        assert!(guesses.iter().any(right), "{guesses:?}");
    }
}

#[test]
fn what_is_no_table_has_no_rows_and_does_no_harm() {
    let (file, _) = table(1);
    assert_eq!(entries(b""), []);
    assert_eq!(entries(&[0; 4096]), []);
    assert_eq!(entries(&[0xff; 4096]), []);
    for end in (0..file.len()).step_by(97) {
        let _some = entries(&file[..end]);
        let _some = entries(&file[end..]);
    }
}
