#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;

/// A batch that puts one row of so many bytes.
fn batch(sequence: u64, length: usize) -> Vec<u8> {
    let mut body = sequence.to_le_bytes().to_vec();
    body.extend_from_slice(&1u32.to_le_bytes());
    body.extend_from_slice(&[5, 1, 3]);
    body.extend_from_slice(b"key");
    let mut rest = length;
    while rest >= 0x80 {
        body.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    body.push(u8::try_from(rest).unwrap());
    body.resize(body.len() + length, b'x');
    body
}

/// Some short, some over several blocks, one that ends exactly with its block.
fn sample() -> (Vec<Record>, Vec<u8>) {
    let lengths = [100, 600, 32_000, 10, 70_000, 1, 40_000, 300, 200];
    let mut file = Vec::new();
    let mut records = Vec::new();
    for (sequence, length) in (1..).zip(lengths) {
        records.push(Record {
            at: 0,
            body: batch(sequence, length),
        });
        file = write(&records);
    }
    let read = read(&file);
    assert_eq!((&read.gaps, read.torn), (&Vec::new(), None));
    (read.records, file)
}

#[test]
fn what_is_written_is_read() {
    let (records, file) = sample();
    assert_eq!(records.len(), 9);
    assert_eq!(records[4].body, batch(5, 70_000));
    assert_eq!(write(&records), file);
}

#[test]
fn a_torn_end_costs_the_last_record_and_is_no_damage() {
    let (records, file) = sample();
    for cut in (0..file.len())
        .rev()
        .step_by(37)
        .chain(file.len() - 40..file.len())
    {
        let log = read(&file[..cut]);
        assert_eq!(log.gaps, [], "cut at {cut}");
        let whole = records.iter().take_while(|record| {
            let next = records.iter().find(|other| other.at > record.at);
            next.map_or(file.len(), |next| next.at) <= cut
        });
        let whole = whole.count();
        assert_eq!(log.records, records[..whole], "cut at {cut}");
        let torn = records
            .get(whole)
            .map(|record| record.at)
            .filter(|at| *at < cut);
        // Between two records there may be padding.
        if let Some(torn) = torn {
            assert_eq!(log.torn, Some(torn), "cut at {cut}");
        }
    }
}

#[test]
fn a_page_that_never_reached_the_disk_is_a_torn_end() {
    let (records, mut file) = sample();
    let last = records.last().unwrap().at;
    file[(last + HEADER).next_multiple_of(SECTOR)..].fill(0);
    let log = read(&file);
    assert_eq!((log.gaps, log.torn), (Vec::new(), Some(last)));
    let after = write(&records[..3]).len();
    file[after..].fill(0);
    let log = read(&file);
    assert_eq!(log.records, records[..3]);
    assert_eq!((log.gaps.len(), log.torn), (0, Some(after)));
}

#[test]
fn a_flipped_bit_costs_its_own_record_only() {
    let (records, file) = sample();
    for bit in (0..file.len() * 8).step_by(1009).chain(0..500) {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let log = read(&flipped);
        assert_eq!(log.torn, None, "bit {bit}");
        let missing: Vec<&Record> = records
            .iter()
            .filter(|record| !log.records.contains(record))
            .collect();
        // Padding between blocks may be whatever it likes.
        if log.gaps.is_empty() {
            assert!(missing.is_empty(), "bit {bit}");
            continue;
        }
        assert_eq!((log.gaps.len(), missing.len()), (1, 1), "bit {bit}");
        assert_eq!(log.gaps[0].at, missing[0].at, "bit {bit}");
        let length = missing[0].body.len();
        assert!(log.gaps[0].body.len() >= length, "bit {bit}");
    }
}

#[test]
fn every_bit_of_the_last_record_is_told_from_a_torn_end() {
    let records: Vec<Record> = (1..=3)
        .map(|sequence| Record {
            at: 0,
            body: batch(sequence, 50),
        })
        .collect();
    let file = write(&records);
    let last = write(&records[..2]).len();
    for bit in last * 8..file.len() * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let log = read(&flipped);
        assert_eq!(log.records.len(), 2, "bit {bit}");
        assert_eq!(log.torn, None, "bit {bit}");
        assert_eq!(log.gaps.len(), 1, "bit {bit}");
    }
}

#[test]
fn two_damaged_records_are_two_gaps_or_one_that_holds_both() {
    let (records, mut file) = sample();
    for damaged in [1, 7] {
        file[records[damaged].at + 30] ^= 1;
    }
    let log = read(&file);
    let at: Vec<usize> = log.gaps.iter().map(|gap| gap.at).collect();
    assert_eq!(at, [records[1].at, records[7].at]);
    assert_eq!(log.records.len(), 7);
}

#[test]
fn changes_are_found_behind_a_damaged_length() {
    let mut body = 7u64.to_le_bytes().to_vec();
    body.extend_from_slice(&3u32.to_le_bytes());
    body.extend_from_slice(b"\x05\x01\x01a\x02A1");
    body.extend_from_slice(b"\x04\x02\x01b");
    body.extend_from_slice(b"\x05\x01\x01c\x02C1");
    let (changes, complete) = changes(&body);
    assert!(complete);
    let keys: Vec<&[u8]> = changes.iter().map(|change| change.key).collect();
    assert_eq!(keys, [b"a", b"b", b"c"]);
    assert_eq!(changes[1].row, None);
    body[14] = 0x60;
    assert!(!super::changes(&body).1);
    assert!(candidates(&body).any(|change| change.row == Some(b"C1")));
}
