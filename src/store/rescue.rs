//! A damaged block of a table file. RocksDB finds it by the block's checksum, and then refuses to
//! read any of its rows, and to write at all once a compaction meets it. But each row has a
//! checksum of its own, and blocks are neither compressed nor are their keys written as differences
//! to each other. So the family is read once more without RocksDB's checks, whatever is whole is
//! written into a new family, and only the damaged rows are gone; their chats are set aside.
//!
//! First the copies, then a mark, then the family is dropped and filled from the copies: killed
//! anywhere, it is begun anew, or ended at the next opening.

use std::collections::{BTreeMap, BTreeSet};

use rocksdb::{DB, IteratorMode, ReadOptions, WriteBatch};
use serde::{Deserialize, Serialize};
use vestibule_bridge::id::PortalId;
use vestibule_bridge::store::{Owner, Read};

use super::codec::{backend, from_json, put_right, seal, to_json, unseal};
use super::damage::damaged_row;
use super::families::Family;
use super::migrate::{put_quarantine, write};
use super::rows::handle;
use super::salvage::Lost;
use super::{SCHEMA_KEY, family_options, migrate};

/// How many rows are copied in one commit.
const PAGE: usize = 1000;
/// Longer than any row, in bytes: the largest hold what one request may bring.
const LONGEST: usize = 256 << 10;
/// Longer than any key, in bytes: Matrix ids have at most 255.
const LONGEST_KEY: usize = 1 << 10;
/// The longest row of which a wrong bit is looked for, in bytes: each bit costs a reading of all.
const PUT_RIGHT: usize = 16 << 10;

/// What the copies are named, and the mark that they are complete.
fn copies(family: Family) -> String {
    format!("rescued_{}", family.name())
}

/// What is known when the copies are complete.
#[derive(Serialize, Deserialize)]
struct Mark {
    /// Chats that can't go on.
    portals: BTreeSet<PortalId>,
}

/// What of a family reads.
#[derive(Default)]
struct Found {
    whole: BTreeMap<Box<[u8]>, Box<[u8]>>,
    damaged: BTreeMap<Box<[u8]>, Box<[u8]>>,
    put_right: usize,
    /// The last and the first key around a part of which nothing reads.
    hole: Option<(Vec<u8>, Vec<u8>)>,
}

/// Puts every family in order that has a damaged block.
pub fn all(db: &mut DB) -> Read<Lost> {
    let mut lost = Lost::default();
    for family in Family::ALL {
        if !reads(db, family)? {
            lost.extend(rescue(db, family)?);
        }
    }
    Ok(lost)
}

/// Ends what an earlier program had begun.
pub fn resume(db: &mut DB) -> Read<()> {
    for family in Family::ALL {
        if db.cf_handle(&copies(family)).is_some() {
            match mark(db, family)? {
                Some(mark) => refill(db, family, &mark.portals)?,
                None => drop_family(db, &copies(family))?,
            }
        }
    }
    Ok(())
}

/// Whether all blocks of a family are whole.
fn reads(db: &DB, family: Family) -> Read<bool> {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    let rows = db.iterator_cf_opt(handle(db, family)?, options, IteratorMode::Start);
    for row in rows {
        match row {
            Ok(_) => {}
            Err(error) if error.kind() == rocksdb::ErrorKind::Corruption => return Ok(false),
            Err(error) => return Err(backend(family, error)),
        }
    }
    Ok(true)
}

fn rescue(db: &mut DB, family: Family) -> Read<Lost> {
    let found = find(db, family)?;
    let lost = found.lost(db, family)?;
    let name = copies(family);
    if db.cf_handle(&name).is_some() {
        drop_family(db, &name)?;
    }
    db.create_cf(&name, &family_options())
        .map_err(|error| backend(family, error))?;
    // `global_schema` holds the marks, so its own are put back at once; there are three rows.
    let mut rows = found.whole.into_iter().peekable();
    while rows.peek().is_some() {
        let mut batch = WriteBatch::default();
        for (key, row) in rows.by_ref().take(PAGE) {
            batch.put_cf(named(db, family, &name)?, key, row);
        }
        write(db, batch)?;
    }
    if family != Family::GlobalSchema {
        let mut batch = WriteBatch::default();
        let payload = to_json(
            Family::GlobalSchema,
            &Mark {
                portals: lost.portals.clone(),
            },
        )?;
        batch.put_cf(
            handle(db, Family::GlobalSchema)?,
            &name,
            seal(Family::GlobalSchema, name.as_bytes(), &payload),
        );
        write(db, batch)?;
    }
    refill(db, family, &lost.portals)?;
    Ok(lost)
}

/// Makes the family anew from its copies.
fn refill(db: &mut DB, family: Family, portals: &BTreeSet<PortalId>) -> Read<()> {
    let name = copies(family);
    if db.cf_handle(family.name()).is_some() {
        drop_family(db, family.name())?;
    }
    db.create_cf(family.name(), &family_options())
        .map_err(|error| backend(family, error))?;
    let mut batch = WriteBatch::default();
    for row in db.iterator_cf(named(db, family, &name)?, IteratorMode::Start) {
        let (key, row) = row.map_err(|error| backend(family, error))?;
        batch.put_cf(handle(db, family)?, key, row);
        if batch.len() >= PAGE {
            write(db, std::mem::take(&mut batch))?;
        }
    }
    if family == Family::GlobalSchema && !migrate::has(db, SCHEMA_KEY)? {
        // Rows with checksums are of this layout or the one before, and what leads from there to here
        // does no harm twice.
        migrate::mark(db, 2)?;
    }
    put_quarantine(db, &mut batch, portals)?;
    batch.delete_cf(handle(db, Family::GlobalSchema)?, &name);
    write(db, batch)?;
    drop_family(db, &name)
}

fn mark(db: &DB, family: Family) -> Read<Option<Mark>> {
    let (marks, name) = (Family::GlobalSchema, copies(family));
    let row = db.get_cf(handle(db, marks)?, &name);
    let row = row.map_err(|error| backend(marks, error))?;
    row.map(|row| {
        from_json(
            marks,
            name.as_bytes(),
            unseal(marks, name.as_bytes(), &row)?,
        )
    })
    .transpose()
}

fn drop_family(db: &mut DB, name: &str) -> Read<()> {
    db.drop_cf(name)
        .map_err(|error| backend(Family::GlobalSchema, error))
}

fn named<'a>(db: &'a DB, family: Family, name: &str) -> Read<&'a rocksdb::ColumnFamily> {
    db.cf_handle(name)
        .ok_or_else(|| backend(family, "the copies are missing"))
}

/// Reads what reads, from the front and from the back: forwards, a damaged length leads astray;
/// backwards, each row is found by the block's own list of places.
fn find(db: &DB, family: Family) -> Read<Found> {
    let mut found = Found::default();
    let before = found.read(db, family, Way::Forwards)?;
    let after = found.read(db, family, Way::Backwards)?;
    found.hole = before.zip(after);
    Ok(found)
}

impl Found {
    /// Whom it costs what.
    fn lost(&self, db: &DB, family: Family) -> Read<Lost> {
        let mut lost = Lost {
            put_right: self.put_right,
            ..Lost::default()
        };
        let known = portals(db)?;
        let damaged = self.damaged.iter();
        for (key, row) in damaged.filter(|(key, _)| !self.whole.contains_key(*key)) {
            let row = damaged_row(family, key, row);
            match &row.owner {
                // What went astray reads bytes as keys that are none.
                Owner::Portal(portal) if !known.contains(portal) => {
                    lost.add(damaged_row(family, &[], &[]));
                }
                _ => lost.add(row),
            }
        }
        let in_hole = matches!(family, Family::PortalidPortal | Family::PortalSeqFrame);
        match &self.hole {
            Some((before, after)) if in_hole => {
                let bound = |key: &[u8], none| {
                    let id = key.first_chunk::<16>();
                    PortalId::from_u128(id.map_or(none, |id| u128::from_be_bytes(*id)))
                };
                // Where nothing read at all from one side, anybody may be meant.
                let between = bound(before, 0)..=bound(after, u128::MAX);
                lost.portals.extend(known.range(between));
            }
            _ => {}
        }
        if lost == Lost::default() {
            // A block that is damaged, and all rows read: one of them may be missing.
            lost.add(damaged_row(family, &[], &[]));
        }
        Ok(lost)
    }

    /// Reads in one direction; gives the last key before it came to an end that is none.
    fn read(&mut self, db: &DB, family: Family, way: Way) -> Read<Option<Vec<u8>>> {
        let mut last = Vec::new();
        let whole = unchecked(db, family, way, |key, row| {
            last = copied(key);
            if unseal(family, key, row).is_ok() {
                self.whole.insert(key.into(), row.into());
                return;
            }
            // Of one whose length may be what is damaged, the key is enough: it leads to the chat.
            let row = copied(if row.len() > PUT_RIGHT { &[] } else { row });
            if let Some((key, row)) = put_right(family, &last, &row) {
                let before = self.whole.insert(key.into(), row.into());
                self.put_right += usize::from(before.is_none());
            } else {
                self.damaged.insert(last.clone().into(), row.into());
            }
        })?;
        Ok((!whole).then_some(last))
    }
}

/// Copied one by one: bytes that a damaged length leads to may lie where the copy is made.
#[expect(
    clippy::iter_cloned_collect,
    reason = "a copy of the whole may overlap itself"
)]
fn copied(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().collect()
}

/// In which direction a family is read.
#[derive(Clone, Copy)]
enum Way {
    Forwards,
    Backwards,
}

/// Reads a family without RocksDB's checks; whether it came to the family's end, and not to a place
/// where nothing reads.
fn unchecked(db: &DB, family: Family, way: Way, mut take: impl FnMut(&[u8], &[u8])) -> Read<bool> {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(false);
    // The cache must not give out later what was not checked now.
    options.fill_cache(false);
    let mut rows = db.raw_iterator_cf_opt(handle(db, family)?, options);
    match way {
        Way::Forwards => rows.seek_to_first(),
        Way::Backwards => rows.seek_to_last(),
    }
    while let Some((key, row)) = rows.item() {
        // RocksDB doesn't compare lengths with the block's end: damaged ones can point gigabytes
        // beyond it, and what is read there is nobody's row. Shorter ones that point beyond it can't be
        // told from here; their checksum tells them.
        if key.len() > LONGEST_KEY || row.len() > LONGEST {
            return Ok(false);
        }
        take(key, row);
        match way {
            Way::Forwards => rows.next(),
            Way::Backwards => rows.prev(),
        }
    }
    Ok(rows.status().is_ok())
}

/// All chats there are, by an index of them.
pub fn portals(db: &DB) -> Read<BTreeSet<PortalId>> {
    let mut portals = BTreeSet::new();
    let index = Family::GhostidPortalid;
    // The index may be damaged too; who is not found here is found when they are asked for.
    unchecked(db, index, Way::Forwards, |key, row| {
        let id = unseal(index, key, row).ok();
        let id = id
            .and_then(|id| id.try_into().ok())
            .map(u128::from_be_bytes);
        portals.extend(id.map(PortalId::from_u128));
    })?;
    Ok(portals)
}
