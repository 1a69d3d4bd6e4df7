//! Keys and values as bytes.
//!
//! A row is its version (1 byte), a CRC-32C (4 bytes, big-endian) and its payload. The checksum
//! covers version, family, key and payload, so that a flipped bit is found and its row named, in
//! whatever way it came about: RocksDB's own checksums know only blocks of many rows. The payload
//! is JSON (rows are small, and one that can be read with any tool is worth more than the bytes
//! saved), or in an index a bare id, or nothing.

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_bridge::alarm::Subject;
use vestibule_bridge::audit::AuditId;
use vestibule_bridge::id::{LinkId, PortalId};
use vestibule_bridge::permission::RuleShelf;
use vestibule_bridge::store::{Read, StoreError};
use vestibule_bridge::time::Timestamp;

use super::damage::damaged;
use super::families::Family;

/// The row version that this program writes.
pub const ROW_VERSION: u8 = 2;

/// How far ahead a newer program's version may be to be believed: beyond that a byte is damaged.
/// New row versions come with a new layout of the whole store, which is refused before any row is
/// read; this is the second net.
const BELIEVED: u8 = 8;

/// Divides a Matrix id from what follows it in a key; never part of UTF-8.
const DIVIDER: u8 = 0xff;

/// The row of this payload.
#[must_use]
pub fn seal(family: Family, key: &[u8], payload: &[u8]) -> Vec<u8> {
    let checksum = checksum(ROW_VERSION, family, key, payload);
    [&[ROW_VERSION], checksum.to_be_bytes().as_slice(), payload].concat()
}

/// The payload of a row, if the row is whole.
pub fn unseal<'a>(family: Family, key: &[u8], row: &'a [u8]) -> Read<&'a [u8]> {
    let Some(([version, stored @ ..], payload)) = row.split_first_chunk::<5>() else {
        return Err(damaged(family, key, row));
    };
    // As if the version were ours: a row whose version byte alone is wrong is damaged, not new.
    let whole = checksum(ROW_VERSION, family, key, payload).to_be_bytes() == *stored;
    match *version {
        ROW_VERSION if whole => Ok(payload),
        newer if newer > ROW_VERSION && newer <= BELIEVED && !whole => Err(StoreError::TooNew {
            family: family.name(),
            version: newer,
        }),
        _ => Err(damaged(family, key, row)),
    }
}

/// The key and row as they were, when one single bit of them is wrong: the checksum tells any one
/// flipped bit, in rows of these sizes, from every other.
#[must_use]
pub fn put_right(family: Family, key: &[u8], row: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut key, mut row) = (key.to_vec(), row.to_vec());
    for bit in 0..8 * (key.len() + row.len()) {
        flip(&mut key, &mut row, bit);
        if unseal(family, &key, &row).is_ok() {
            return Some((key, row));
        }
        flip(&mut key, &mut row, bit);
    }
    None
}

fn flip(key: &mut [u8], row: &mut [u8], bit: usize) {
    let place = bit / 8;
    let byte = match place.checked_sub(key.len()) {
        Some(place) => row.get_mut(place),
        None => key.get_mut(place),
    };
    if let Some(byte) = byte {
        *byte ^= 1 << (bit % 8);
    }
}

fn checksum(version: u8, family: Family, key: &[u8], payload: &[u8]) -> u32 {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes();
    // The key's length keeps key and payload apart.
    [family.name().as_bytes(), length.as_slice(), key, payload]
        .iter()
        .fold(crc32c::crc32c(&[version]), |sum, part| {
            crc32c::crc32c_append(sum, part)
        })
}

/// The payload of a JSON row.
pub fn to_json<T: Serialize>(family: Family, row: &T) -> Read<Vec<u8>> {
    serde_json::to_vec(row).map_err(|source| backend(family, source))
}

/// Reads the payload of a JSON row.
pub fn from_json<T: DeserializeOwned>(family: Family, key: &[u8], payload: &[u8]) -> Read<T> {
    serde_json::from_slice(payload).map_err(|_| damaged(family, key, payload))
}

/// A Matrix id and an id of ours.
#[must_use]
pub fn id_pair(matrix_id: &str, own_id: u128) -> Vec<u8> {
    let mut key = id_prefix(matrix_id);
    key.extend_from_slice(&own_id.to_be_bytes());
    key
}

/// The beginning of all keys of this Matrix id.
#[must_use]
pub fn id_prefix(matrix_id: &str) -> Vec<u8> {
    let mut key = matrix_id.as_bytes().to_vec();
    key.push(DIVIDER);
    key
}

/// Two parts after each other, the first of fixed length.
#[must_use]
pub fn joined(first: &[u8], second: &[u8]) -> Vec<u8> {
    [first, second].concat()
}

/// The 16 bytes at the end of a key.
pub fn trailing_id(family: Family, key: &[u8]) -> Read<u128> {
    key.last_chunk::<16>()
        .map(|bytes| u128::from_be_bytes(*bytes))
        .ok_or_else(|| damaged(family, key, &[]))
}

/// The key of an alarm: links before portals of the same time.
#[must_use]
pub fn alarm_key(at: Timestamp, subject: Subject) -> Vec<u8> {
    let (kind, id) = match subject {
        Subject::Link(id) => (0, id.as_u128()),
        Subject::Portal(id) => (1, id.as_u128()),
    };
    [&at.0.to_be_bytes()[..], &[kind], &id.to_be_bytes()].concat()
}

/// Reads the key of an alarm.
pub fn alarm(family: Family, key: &[u8]) -> Read<(Timestamp, Subject)> {
    let at = key
        .first_chunk::<8>()
        .map(|bytes| Timestamp(u64::from_be_bytes(*bytes)));
    let at = at.ok_or_else(|| damaged(family, key, &[]))?;
    let id = trailing_id(family, key)?;
    match key.get(8) {
        Some(0) => Ok((at, Subject::Link(LinkId::from_u128(id)))),
        Some(1) => Ok((at, Subject::Portal(PortalId::from_u128(id)))),
        _ => Err(damaged(family, key, &[])),
    }
}

/// The key of a serial: the greatest first.
#[must_use]
pub fn serial_key(serial: u64) -> [u8; 8] {
    (!serial).to_be_bytes()
}

/// The key of an entry of the audit trail: the newest first.
#[must_use]
pub fn audit_key(id: AuditId) -> Vec<u8> {
    joined(&(!id.at.0).to_be_bytes(), &(!id.number).to_be_bytes())
}

/// Reads the key of an entry of the audit trail.
pub fn audit_id(family: Family, key: &[u8]) -> Read<AuditId> {
    let at = key
        .first_chunk::<8>()
        .map(|bytes| Timestamp(!u64::from_be_bytes(*bytes)));
    Ok(AuditId {
        at: at.ok_or_else(|| damaged(family, key, &[]))?,
        number: !trailing_number(family, key)?,
    })
}

/// The beginning of all keys of this shelf, or of those about this entity.
#[must_use]
pub fn shelf_prefix(shelf: RuleShelf, entity: Option<&str>) -> Vec<u8> {
    let number = match shelf {
        RuleShelf::User => 0,
        RuleShelf::Server => 1,
        RuleShelf::UserPattern => 2,
        RuleShelf::ServerPattern => 3,
    };
    let entity = entity.map(id_prefix).unwrap_or_default();
    joined(&[number], &entity)
}

/// The id that is the payload of this row of an index.
pub fn whole_id(family: Family, key: &[u8], payload: &[u8]) -> Read<u128> {
    payload
        .try_into()
        .map(u128::from_be_bytes)
        .map_err(|_| damaged(family, key, payload))
}

/// The number in the 8 bytes at the end of a key.
pub fn trailing_number(family: Family, key: &[u8]) -> Read<u64> {
    key.last_chunk::<8>()
        .map(|bytes| u64::from_be_bytes(*bytes))
        .ok_or_else(|| damaged(family, key, &[]))
}

/// The smallest key above all keys with this prefix; none when there is no such key.
#[must_use]
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut key = prefix.to_vec();
    while let Some(last) = key.pop() {
        if let Some(next) = last.checked_add(1) {
            key.push(next);
            return Some(key);
        }
    }
    None
}

/// A failure below the rows.
pub fn backend(
    family: Family,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Backend {
        family: family.name(),
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    const FAMILY: Family = Family::HostidHost;

    #[test]
    fn a_row_reads_back_and_no_bit_of_it_or_of_its_key_can_change_unnoticed() {
        let (key, payload) = (b"@alice:example.org".to_vec(), br#"{"user":"@alice"}"#);
        let row = seal(FAMILY, &key, payload);
        assert_eq!(unseal(FAMILY, &key, &row).unwrap(), payload);
        for bit in 0..row.len() * 8 {
            let mut flipped = row.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read = unseal(FAMILY, &key, &flipped);
            assert!(matches!(read, Err(StoreError::Damaged(_))), "bit {bit}");
            let right = put_right(FAMILY, &key, &flipped);
            assert_eq!(right, Some((key.clone(), row.clone())), "bit {bit}");
        }
        for bit in 0..key.len() * 8 {
            let mut flipped = key.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read = unseal(FAMILY, &flipped, &row);
            assert!(matches!(read, Err(StoreError::Damaged(_))), "bit {bit}");
            let right = put_right(FAMILY, &flipped, &row);
            assert_eq!(right, Some((key.clone(), row.clone())), "bit {bit}");
        }
    }

    #[test]
    fn two_wrong_bits_are_not_put_right() {
        let row = seal(FAMILY, b"key", b"payload");
        for (first, second) in [(0, 1), (3, 40), (41, 95)] {
            let (mut key, mut row) = (b"key".to_vec(), row.clone());
            flip(&mut key, &mut row, first);
            flip(&mut key, &mut row, second);
            assert_eq!(put_right(FAMILY, &key, &row), None);
        }
    }

    #[test]
    fn a_row_is_whole_in_its_own_place_only() {
        let row = seal(FAMILY, b"ab", b"c");
        let elsewhere = [
            unseal(Family::RoomidPortalid, b"ab", &row),
            unseal(FAMILY, b"a", &row),
            unseal(FAMILY, b"abc", &row),
        ];
        for read in elsewhere {
            assert!(matches!(read, Err(StoreError::Damaged(_))), "{read:?}");
        }
        for length in 0..row.len() {
            let cut = row.get(..length).unwrap();
            let read = unseal(FAMILY, b"ab", cut);
            assert!(matches!(read, Err(StoreError::Damaged(_))), "{length}");
        }
    }

    #[test]
    fn a_row_of_a_newer_program_is_told_from_a_damaged_one() {
        let read = unseal(FAMILY, b"key", b"\x03\0\0\0\0whatever comes");
        assert!(matches!(read, Err(StoreError::TooNew { version: 3, .. })));
    }

    #[test]
    fn the_end_of_a_prefix_is_above_all_its_keys() {
        assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after_prefix(&[b'a', 0xff]), Some(b"b".to_vec()));
        assert_eq!(after_prefix(&[0xff, 0xff]), None);
    }
}
