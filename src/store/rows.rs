//! Reading: the rows on disk with the changes of an open round laid over them.

use std::collections::BTreeMap;
use std::ops::Bound;

use rocksdb::{DB, IteratorMode, ReadOptions};
use vestibule_bridge::store::{Read, StoreError};

use super::codec::{after_prefix, backend};
use super::families::Family;

/// What an open round put (`Some`) and deleted (`None`), by family number and key.
pub type Overlay = BTreeMap<(usize, Vec<u8>), Option<Vec<u8>>>;

/// The rows as one open round sees them.
pub struct Rows<'a> {
    /// What is on disk.
    pub db: &'a DB,
    /// What the round changed.
    pub overlay: Overlay,
}

impl Rows<'_> {
    /// One row.
    pub fn get(&self, family: Family, key: &[u8]) -> Read<Option<Vec<u8>>> {
        if let Some(changed) = self.overlay.get(&(family as usize, key.to_vec())) {
            return Ok(changed.clone());
        }
        self.db
            .get_cf(self.handle(family)?, key)
            .map_err(|source| backend(family, source))
    }

    /// Up to `limit` rows whose keys lie from `from` on and below `to`, in order.
    pub fn range(
        &self,
        family: Family,
        from: &[u8],
        to: Option<&[u8]>,
        limit: usize,
    ) -> Read<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from);
        if let Some(to) = to {
            options.set_iterate_upper_bound(to);
        }
        let mut stored = self
            .db
            .iterator_cf_opt(self.handle(family)?, options, IteratorMode::Start)
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
                Some(Err(error)) => return Err(backend(family, error.clone())),
                None => None,
            };
            let next_changed = changed.peek().map(|((_, key), _)| key.clone());
            match (next_stored, next_changed) {
                (None, None) => break,
                (Some(on_disk), Some(over)) if over <= on_disk => {
                    if over == on_disk {
                        stored.next();
                    }
                    push_changed(&mut rows, changed.next());
                }
                (None, Some(_)) => push_changed(&mut rows, changed.next()),
                (Some(_), _) => {
                    if let Some(row) = stored.next() {
                        let (key, value) = row.map_err(|source| backend(family, source))?;
                        rows.push((key.to_vec(), value.to_vec()));
                    }
                }
            }
        }
        Ok(rows)
    }

    /// All rows whose keys begin with `prefix`, in order.
    pub fn prefix(&self, family: Family, prefix: &[u8]) -> Read<Vec<(Vec<u8>, Vec<u8>)>> {
        self.range(family, prefix, after_prefix(prefix).as_deref(), usize::MAX)
    }

    /// Puts a row.
    pub fn put(&mut self, family: Family, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.overlay
            .insert((family as usize, key.into()), Some(value.into()));
    }

    /// Deletes a row.
    pub fn delete(&mut self, family: Family, key: impl Into<Vec<u8>>) {
        self.overlay.insert((family as usize, key.into()), None);
    }

    /// The column family's handle.
    pub fn handle(&self, family: Family) -> Read<&rocksdb::ColumnFamily> {
        handle(self.db, family)
    }
}

/// The column family's handle.
pub fn handle(db: &DB, family: Family) -> Read<&rocksdb::ColumnFamily> {
    db.cf_handle(family.name()).ok_or(StoreError::Damaged {
        family: family.name(),
    })
}

type Changed<'a> = (&'a (usize, Vec<u8>), &'a Option<Vec<u8>>);

fn push_changed(rows: &mut Vec<(Vec<u8>, Vec<u8>)>, changed: Option<Changed<'_>>) {
    if let Some(((_, key), Some(value))) = changed {
        rows.push((key.clone(), value.clone()));
    }
}
