//! State as records: under a text key, one byte for the format, a JSON object, and for what
//! vodozemac keeps, a line feed and its pickle as JSON.
//!
//! The objects are read and written by hand: deriving it for every record costs a quarter of the
//! page's weight.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use zeroize::Zeroize;

use crate::compact;
use crate::error::{CryptoError, OpenError};
use crate::object::Object;

/// The format of every record written now.
const VERSION: u8 = 2;
/// The format of a machine that talked with one user, its host, and so named that user only once.
const ONE_HOST: u8 = 1;
/// Stands before a pickle. Compact JSON holds no line feed.
const PICKLE: u8 = b'\n';

/// Kinds of records. A key is the kind alone or followed by `:` and an id that is never parsed,
/// since each record holds its own ids.
pub(crate) mod kind {
    pub(crate) const ACCOUNT: &str = "account";
    pub(crate) const CROSS_SIGNING: &str = "cross_signing";
    pub(crate) const PEER: &str = "peer";
    /// The one peer of the first format.
    pub(crate) const HOST: &str = "host";
    pub(crate) const STEPS: &str = "steps";
    pub(crate) const OLM: &str = "olm";
    pub(crate) const INBOUND: &str = "inbound";
    pub(crate) const OUTBOUND: &str = "outbound";
    pub(crate) const WAITING: &str = "waiting";
    pub(crate) const HELD: &str = "held";
    pub(crate) const HEALING: &str = "healing";
}

/// What a call changed: record key to its new value, `None` where it is deleted. It holds secrets:
/// they are wiped when it is dropped and not printed.
#[derive(Default, PartialEq, Eq)]
pub struct Changes {
    /// Each key once.
    records: Vec<(String, Option<Vec<u8>>)>,
    failed: bool,
    /// Pickles among what was written: each is a ratchet or a key that changed.
    pickles: u64,
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
        self.pickles = self.pickles.saturating_add(later.pickles);
        for (key, value) in std::mem::take(&mut later.records) {
            self.set(key, value);
        }
    }

    /// The bare map, for a store that takes it over.
    #[must_use]
    pub fn into_records(mut self) -> BTreeMap<String, Option<Vec<u8>>> {
        std::mem::take(&mut self.records).into_iter().collect()
    }

    /// Writes a record without a pickle.
    pub(crate) fn put(&mut self, key: String, object: Object) {
        self.write(key, object, None::<&()>);
    }

    /// Writes a record with a pickle.
    pub(crate) fn put_pickle(&mut self, key: String, object: Object, pickle: &impl Serialize) {
        self.write(key, object, Some(pickle));
        self.pickles = self.pickles.saturating_add(1);
    }

    pub(crate) fn pickles(&self) -> u64 {
        self.pickles
    }

    /// That a value can't be encoded is kept and reported by [`Changes::take`], so that no step
    /// leaves whose state is not in its changes.
    fn write(&mut self, key: String, object: Object, pickle: Option<&impl Serialize>) {
        let mut bytes = vec![VERSION];
        let mut written = compact::write(object.members(), &mut bytes).is_some();
        if let Some(pickle) = pickle {
            bytes.push(PICKLE);
            written &= compact::write(pickle, &mut bytes).is_some();
        }
        if written {
            self.set(key, Some(bytes));
        } else {
            self.failed = true;
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
        match self.records.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => {
                if let Some(mut old) = std::mem::replace(old, value) {
                    old.zeroize();
                }
            }
            None => self.records.push((key, value)),
        }
    }
}

impl Changes {
    fn wipe(&mut self) {
        let values = self.records.iter_mut().map(|(_, value)| value);
        values.flatten().for_each(Zeroize::zeroize);
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.records.iter().map(|(key, _)| key))
            .finish()
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

/// A stored record, taken apart.
pub(crate) struct Record<'a> {
    version: u8,
    kind: &'static str,
    object: Map<String, Value>,
    pickle: &'a [u8],
}

impl<'a> Record<'a> {
    pub(crate) fn read(kind: &'static str, bytes: &'a [u8]) -> Result<Self, OpenError> {
        let damaged = OpenError::Damaged(kind);
        let (&version, rest) = bytes.split_first().ok_or(damaged.clone())?;
        if !(ONE_HOST..=VERSION).contains(&version) {
            return Err(OpenError::Version { kind, version });
        }
        let mut parts = rest.splitn(2, |byte| *byte == PICKLE);
        let object = serde_json::from_slice(parts.next().unwrap_or_default());
        match object {
            Ok(Value::Object(object)) => Ok(Self {
                version,
                kind,
                object,
                pickle: parts.next().unwrap_or_default(),
            }),
            _ => Err(damaged),
        }
    }

    /// Takes the object apart with `parse`.
    pub(crate) fn parse<T>(
        &self,
        parse: impl FnOnce(&Map<String, Value>) -> Option<T>,
    ) -> Result<T, OpenError> {
        parse(&self.object).ok_or(OpenError::Damaged(self.kind))
    }

    /// The user whom this record means without naming them: that of its machine, if it is of the
    /// first format.
    pub(crate) fn host<'h>(&self, host: Option<&'h str>) -> Option<&'h str> {
        host.filter(|_| self.version == ONE_HOST)
    }

    pub(crate) fn unpickle<T: DeserializeOwned>(&self) -> Result<T, OpenError> {
        compact::read(self.pickle).ok_or(OpenError::Damaged(self.kind))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn one(text: &str) -> Object {
        Object::default().text("text", text)
    }

    #[test]
    fn later_changes_win() {
        let mut first = Changes::default();
        first.put("a".to_owned(), one("1"));
        first.put("b".to_owned(), one("2"));
        let mut later = Changes::default();
        later.put("a".to_owned(), one("3"));
        later.delete("b".to_owned());
        first.merge(later);
        let records = first.into_records();
        assert_eq!(records["a"], Some(b"\x02{\"text\":\"3\"}".to_vec()));
        assert_eq!(records["b"], None);
    }

    #[test]
    fn a_value_that_cannot_be_encoded_stops_the_step() {
        let mut changes = Changes::default();
        changes.put_pickle("a".to_owned(), Object::default(), &1.5);
        assert_eq!(changes.take(), Err(CryptoError::Unencodable));
    }

    #[test]
    fn what_could_not_be_encoded_before_or_after_stops_the_step_of_both() {
        let good = || {
            let mut changes = Changes::default();
            changes.put_pickle("a".to_owned(), one("1"), &1);
            changes
        };
        let bad = || {
            let mut changes = Changes::default();
            changes.put_pickle("a".to_owned(), one("1"), &1.5);
            changes
        };
        for (mut first, later) in [(good(), bad()), (bad(), good()), (bad(), bad())] {
            first.merge(later);
            assert_eq!(first.take(), Err(CryptoError::Unencodable));
        }
        let mut both = good();
        both.merge(good());
        assert_eq!(both.pickles(), 2);
        assert!(both.take().is_ok());
    }

    #[test]
    fn a_record_and_its_pickle_come_back() {
        let mut changes = Changes::default();
        changes.put_pickle("a".to_owned(), one("two\nlines"), &["x", "y"]);
        let bytes = changes.into_records()["a"].clone().unwrap();
        let record = Record::read("a", &bytes).unwrap();
        assert_eq!(
            record.parse(|o| Some(o["text"].clone())).unwrap(),
            json!("two\nlines")
        );
        assert_eq!(record.unpickle::<Vec<String>>().unwrap(), ["x", "y"]);
    }

    #[test]
    fn records_of_another_version_or_shape_are_named() {
        let error = |bytes| Record::read("host", bytes).map(|_| ()).unwrap_err();
        assert_eq!(
            error(b"\x03{}"),
            OpenError::Version {
                kind: "host",
                version: 3
            }
        );
        for damaged in [&b""[..], b"\x01", b"\x01x", b"\x011"] {
            assert_eq!(error(damaged), OpenError::Damaged("host"));
        }
        let record = Record::read("host", b"\x01{}").unwrap();
        assert_eq!(
            record.parse(|_| None::<()>),
            Err(OpenError::Damaged("host"))
        );
        assert_eq!(record.unpickle::<u8>(), Err(OpenError::Damaged("host")));
    }

    #[test]
    fn what_is_wiped_is_gone() {
        let mut changes = Changes::default();
        changes.put("account".to_owned(), one("secret"));
        changes.put("peer".to_owned(), one("secret"));
        changes.delete("host".to_owned());
        changes.wipe();
        let left = changes.iter().filter_map(|(_, value)| value);
        assert_eq!(left.map(<[u8]>::len).sum::<usize>(), 0);
        assert!(std::mem::needs_drop::<Changes>());
    }

    #[test]
    fn debug_shows_no_values() {
        let mut changes = Changes::default();
        changes.put("account".to_owned(), one("secret"));
        assert_eq!(format!("{changes:?}"), r#"{"account"}"#);
    }
}
