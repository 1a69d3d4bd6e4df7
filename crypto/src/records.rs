//! State as records: each is one kind byte-versioned JSON value under a text key.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroize;

use crate::error::{CryptoError, OpenError};

/// The format of every record written now.
const VERSION: u8 = 1;

/// Kinds of records. A key is the kind alone or followed by `:` and an id that is never parsed,
/// since each record holds its own ids.
pub(crate) mod kind {
    pub(crate) const ACCOUNT: &str = "account";
    pub(crate) const CROSS_SIGNING: &str = "cross_signing";
    pub(crate) const HOST: &str = "host";
    pub(crate) const OLM: &str = "olm";
    pub(crate) const INBOUND: &str = "inbound";
    pub(crate) const OUTBOUND: &str = "outbound";
    pub(crate) const WAITING: &str = "waiting";
    pub(crate) const HELD: &str = "held";
}

/// What a call changed: record key to its new value, `None` where it is deleted. It holds secrets:
/// they are wiped when it is dropped and not printed.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Changes {
    records: BTreeMap<String, Option<Vec<u8>>>,
    failed: bool,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Each changed key with its value, or `None` where it is deleted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.records
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
    }

    /// Adds changes that happened after these.
    pub fn merge(&mut self, mut later: Changes) {
        self.failed |= later.failed;
        for (key, value) in std::mem::take(&mut later.records) {
            self.set(key, value);
        }
    }

    /// The bare map, for a store that takes it over.
    #[must_use]
    pub fn into_records(mut self) -> BTreeMap<String, Option<Vec<u8>>> {
        std::mem::take(&mut self.records)
    }

    /// Writes a record. That a value can't be encoded is kept and reported by [`Changes::take`],
    /// so that no step leaves whose state is not in its changes.
    pub(crate) fn put(&mut self, key: String, value: &impl Serialize) {
        let mut bytes = vec![VERSION];
        match serde_json::to_writer(&mut bytes, value) {
            Ok(()) => self.set(key, Some(bytes)),
            Err(_) => self.failed = true,
        }
    }

    pub(crate) fn delete(&mut self, key: String) {
        self.set(key, None);
    }

    pub(crate) fn take(&mut self) -> Result<Changes, CryptoError> {
        if self.failed {
            return Err(CryptoError::Unencodable);
        }
        Ok(std::mem::take(self))
    }

    fn set(&mut self, key: String, value: Option<Vec<u8>>) {
        if let Some(Some(mut old)) = self.records.insert(key, value) {
            old.zeroize();
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        for bytes in self.records.values_mut().flatten() {
            bytes.zeroize();
        }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.records.keys()).finish()
    }
}

/// A result together with what changed on the way to it.
#[derive(Debug)]
#[must_use = "the changes must be stored before the output leaves or is shown"]
pub struct Step<T> {
    /// Stored durably before anything else happens.
    pub changes: Changes,
    /// What the call was made for.
    pub output: T,
}

/// Reads the value of a record.
pub(crate) fn decode<T: DeserializeOwned>(
    kind: &'static str,
    bytes: &[u8],
) -> Result<T, OpenError> {
    match bytes.split_first() {
        Some((&VERSION, json)) => {
            serde_json::from_slice(json).map_err(|_| OpenError::Damaged(kind))
        }
        Some((&version, _)) => Err(OpenError::Version { kind, version }),
        None => Err(OpenError::Damaged(kind)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn later_changes_win() {
        let mut first = Changes::default();
        first.put("a".to_owned(), &1);
        first.put("b".to_owned(), &2);
        let mut later = Changes::default();
        later.put("a".to_owned(), &3);
        later.delete("b".to_owned());
        first.merge(later);
        let records = first.into_records();
        assert_eq!(records["a"], Some(b"\x013".to_vec()));
        assert_eq!(records["b"], None);
    }

    #[test]
    fn a_value_that_cannot_be_encoded_stops_the_step() {
        let mut changes = Changes::default();
        changes.put("a".to_owned(), &BTreeMap::from([(vec![1], 1)]));
        assert_eq!(changes.take(), Err(CryptoError::Unencodable));
    }

    #[test]
    fn records_of_another_version_are_named() {
        assert_eq!(
            decode::<u8>("host", b"\x021"),
            Err(OpenError::Version {
                kind: "host",
                version: 2
            })
        );
        assert_eq!(decode::<u8>("host", b""), Err(OpenError::Damaged("host")));
        assert_eq!(
            decode::<u8>("host", b"\x01x"),
            Err(OpenError::Damaged("host"))
        );
    }

    #[test]
    fn debug_shows_no_values() {
        let mut changes = Changes::default();
        changes.put("account".to_owned(), &"secret");
        assert_eq!(format!("{changes:?}"), r#"{"account"}"#);
    }
}
