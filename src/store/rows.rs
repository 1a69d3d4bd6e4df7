//! Reading: the rows on disk with the changes of an open round laid over them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::RwLockReadGuard;

use rocksdb::{DB, IteratorMode, ReadOptions};
use vestibule_bridge::store::{DamagedRow, Read, StoreError};

use super::codec::{after_prefix, backend, seal, unseal};
use super::families::Family;
use super::health::Health;

/// What an open round put (`Some`) and deleted (`None`), by family number and key.
pub type Overlay = BTreeMap<(usize, Vec<u8>), Option<Vec<u8>>>;

/// The database, kept open as long as this lives; empty while it can't be opened.
pub type Opened<'a> = RwLockReadGuard<'a, Option<DB>>;

/// A row as it was found.
pub struct Row {
    /// Its key.
    pub key: Vec<u8>,
    /// Its payload, if the row is whole.
    pub payload: Read<Vec<u8>>,
}

/// The rows as one open round sees them.
pub struct Rows<'a> {
    db: Opened<'a>,
    health: &'a Health,
    /// What the round changed.
    pub overlay: Overlay,
    left_out: RefCell<Vec<DamagedRow>>,
}

impl<'a> Rows<'a> {
    /// The stored rows, with no changes.
    pub fn new(db: Opened<'a>, health: &'a Health) -> Self {
        Self {
            db,
            health,
            overlay: Overlay::new(),
            left_out: RefCell::default(),
        }
    }

    /// The database, unless it can't be opened at the moment.
    pub fn db(&self, family: Family) -> Read<&DB> {
        self.db
            .as_ref()
            .ok_or_else(|| backend(family, self.health.closed()))
    }

    fn failed(&self, family: Family, error: rocksdb::Error) -> StoreError {
        self.health.failed(&error);
        backend(family, error)
    }

    fn raw(&self, family: Family, key: &[u8]) -> Read<Option<Vec<u8>>> {
        if let Some(changed) = self.overlay.get(&(family as usize, key.to_vec())) {
            return Ok(changed.clone());
        }
        let db = self.db(family)?;
        db.get_cf(handle(db, family)?, key)
            .map_err(|error| self.failed(family, error))
    }

    /// The payload of one row.
    pub fn get(&self, family: Family, key: &[u8]) -> Read<Option<Vec<u8>>> {
        match self.raw(family, key)? {
            Some(row) => unseal(family, key, &row).map(|payload| Some(payload.to_vec())),
            None => Ok(None),
        }
    }

    /// Whether there is a row with this key, whole or not.
    pub fn exists(&self, family: Family, key: &[u8]) -> Read<bool> {
        Ok(self.raw(family, key)?.is_some())
    }

    /// Up to `limit` rows whose keys lie from `from` on and below `to`, in order.
    pub fn range(
        &self,
        family: Family,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Read<Vec<Row>> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        if let Some(to) = to {
            options.set_iterate_upper_bound(to);
        }
        let db = self.db(family)?;
        let mut stored = db
            .iterator_cf_opt(handle(db, family)?, options, IteratorMode::Start)
            .peekable();
        let upper = match to {
            Some(to) => Bound::Excluded((family as usize, to.to_vec())),
            None => Bound::Excluded((family as usize + 1, Vec::new())),
        };
        let mut changed = self
            .overlay
            .range((Bound::Included((family as usize, from.to_vec())), upper))
            .peekable();

        let mut rows = Vec::new();
        while rows.len() < limit {
            let next_stored = match stored.peek() {
                Some(Ok((key, _))) => Some(key.to_vec()),
                Some(Err(error)) => return Err(self.failed(family, error.clone())),
                None => None,
            };
            let next_changed = changed.peek().map(|((_, key), _)| key.clone());
            match (next_stored, next_changed) {
                (None, None) => break,
                (Some(on_disk), Some(over)) if over <= on_disk => {
                    if over == on_disk {
                        stored.next();
                    }
                    push_changed(&mut rows, family, changed.next());
                }
                (None, Some(_)) => push_changed(&mut rows, family, changed.next()),
                (Some(_), _) => {
                    if let Some(row) = stored.next() {
                        let (key, value) = row.map_err(|error| self.failed(family, error))?;
                        rows.push(found(family, key.into_vec(), &value));
                    }
                }
            }
        }
        Ok(rows)
    }

    /// All rows whose keys begin with `prefix`, in order.
    pub fn prefix(&self, family: Family, prefix: &[u8]) -> Read<Vec<Row>> {
        self.range(family, prefix, after_prefix(prefix).as_deref(), usize::MAX)
    }

    /// What was read, or nothing when it is damaged: then that is remembered.
    pub fn or_leave_out<T>(&self, read: Read<T>) -> Read<Option<T>> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(StoreError::Damaged(row)) => {
                self.left_out.borrow_mut().push(row);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What was left out so far; forgotten by this.
    pub fn left_out(&self) -> Vec<DamagedRow> {
        self.left_out.take()
    }

    /// Puts a row.
    pub fn put(&mut self, family: Family, key: impl Into<Vec<u8>>, payload: &[u8]) {
        let key = key.into();
        let row = seal(family, &key, payload);
        self.overlay.insert((family as usize, key), Some(row));
    }

    /// Deletes a row.
    pub fn delete(&mut self, family: Family, key: impl Into<Vec<u8>>) {
        self.overlay.insert((family as usize, key.into()), None);
    }
}

/// The column family's handle.
pub fn handle(db: &DB, family: Family) -> Read<&rocksdb::ColumnFamily> {
    db.cf_handle(family.name())
        .ok_or_else(|| backend(family, "the family is missing"))
}

fn found(family: Family, key: Vec<u8>, row: &[u8]) -> Row {
    let payload = unseal(family, &key, row).map(<[u8]>::to_vec);
    Row { key, payload }
}

type Changed<'a> = (&'a (usize, Vec<u8>), &'a Option<Vec<u8>>);

fn push_changed(rows: &mut Vec<Row>, family: Family, changed: Option<Changed<'_>>) {
    if let Some(((_, key), Some(row))) = changed {
        rows.push(found(family, key.clone(), row));
    }
}
