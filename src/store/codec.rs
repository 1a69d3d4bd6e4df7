//! Keys and values as bytes. A value is one byte of row version and then JSON: rows are small,
//! and a row that can be read with any tool is worth more than the bytes saved.

use serde::Serialize;
use serde::de::DeserializeOwned;
use vestibule_bridge::alarm::Subject;
use vestibule_bridge::id::{LinkId, PortalId};
use vestibule_bridge::store::{Read, StoreError};
use vestibule_bridge::time::Timestamp;

use super::families::Family;

/// The row version that this program writes.
const ROW_VERSION: u8 = 1;

/// Divides a Matrix id from what follows it in a key; never part of UTF-8.
const DIVIDER: u8 = 0xff;

/// Writes a row.
pub fn encode<T: Serialize>(family: Family, row: &T) -> Read<Vec<u8>> {
    let mut bytes = vec![ROW_VERSION];
    serde_json::to_writer(&mut bytes, row).map_err(|source| backend(family, source))?;
    Ok(bytes)
}

/// Reads a row.
pub fn decode<T: DeserializeOwned>(family: Family, bytes: &[u8]) -> Read<T> {
    match bytes.split_first() {
        Some((&ROW_VERSION, json)) => serde_json::from_slice(json).map_err(|_| damaged(family)),
        Some((&version, _)) if version > ROW_VERSION => Err(StoreError::TooNew {
            family: family.name(),
            version,
        }),
        _ => Err(damaged(family)),
    }
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
        .ok_or_else(|| damaged(family))
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
    let at = at.ok_or_else(|| damaged(family))?;
    let id = trailing_id(family, key)?;
    match key.get(8) {
        Some(0) => Ok((at, Subject::Link(LinkId::from_u128(id)))),
        Some(1) => Ok((at, Subject::Portal(PortalId::from_u128(id)))),
        _ => Err(damaged(family)),
    }
}

/// The 16 bytes of a value or key that is an id.
pub fn whole_id(family: Family, bytes: &[u8]) -> Read<u128> {
    bytes
        .try_into()
        .map(u128::from_be_bytes)
        .map_err(|_| damaged(family))
}

/// The number in the 8 bytes at the end of a key or value.
pub fn trailing_number(family: Family, bytes: &[u8]) -> Read<u64> {
    bytes
        .last_chunk::<8>()
        .map(|bytes| u64::from_be_bytes(*bytes))
        .ok_or_else(|| damaged(family))
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

/// A row that doesn't read.
pub fn damaged(family: Family) -> StoreError {
    StoreError::Damaged {
        family: family.name(),
    }
}

/// A failure below the rows.
pub fn backend(
    family: Family,
    source: impl std::error::Error + Send + Sync + 'static,
) -> StoreError {
    StoreError::Backend {
        family: family.name(),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_row_comes_back_and_a_damaged_one_is_named() {
        let bytes = encode(Family::HostidHost, &"row").unwrap();
        assert_eq!(decode::<String>(Family::HostidHost, &bytes).unwrap(), "row");
        assert!(matches!(
            decode::<String>(Family::HostidHost, b"\x01{"),
            Err(StoreError::Damaged {
                family: "hostid_host"
            })
        ));
        assert!(matches!(
            decode::<String>(Family::HostidHost, b""),
            Err(StoreError::Damaged { .. })
        ));
        assert!(matches!(
            decode::<String>(Family::HostidHost, b"\x02\"row\""),
            Err(StoreError::TooNew { version: 2, .. })
        ));
    }

    #[test]
    fn the_end_of_a_prefix_is_above_all_its_keys() {
        assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after_prefix(&[b'a', 0xff]), Some(b"b".to_vec()));
        assert_eq!(after_prefix(&[0xff, 0xff]), None);
    }
}
