//! A damaged block of a table file. RocksDB finds it by the block's checksum, and then refuses to
//! read any of its rows, and to write at all once a compaction meets it. But each row has a
//! checksum of its own, and blocks are neither compressed nor are their keys written as differences
//! to each other. So the family's files are read without RocksDB (`table.rs`), whatever is whole is
//! written into a new family, and only the damaged rows are gone; their chats are set aside.
//!
//! First the copies, then a mark, then the family is dropped and filled from the copies: killed
//! anywhere, it is begun anew, or ended at the next opening.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::fs;

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
use super::table::{self, Entry};
use super::{SCHEMA_KEY, family_options, migrate};

/// How many rows are copied in one commit.
const PAGE: usize = 1000;
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
    /// The newest of each key.
    rows: BTreeMap<Box<[u8]>, (u64, State)>,
    put_right: usize,
    holes: Vec<Hole>,
}

/// A part of a table of which nothing reads.
struct Hole {
    /// The last key before it; none at the table's beginning.
    before: Option<Vec<u8>>,
    /// The next key behind it; none at the table's end.
    after: Option<Vec<u8>>,
}

enum State {
    Whole(Box<[u8]>),
    Damaged(Box<[u8]>),
    Deleted,
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
    let found = Found::of(db, family)?;
    let lost = found.lost(family, &portals(db)?);
    let name = copies(family);
    if db.cf_handle(&name).is_some() {
        drop_family(db, &name)?;
    }
    db.create_cf(&name, &family_options())
        .map_err(|error| backend(family, error))?;
    // `global_schema` holds the marks, so its own are put back at once; there are three rows.
    let mut rows = found.into_whole().peekable();
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

impl Found {
    /// Reads the family's table files; what is in memory only is written into one first.
    fn of(db: &DB, family: Family) -> Read<Self> {
        db.flush_cf(handle(db, family)?)
            .map_err(|error| backend(family, error))?;
        let files = db.live_files().map_err(|error| backend(family, error))?;
        let mut found = Self::default();
        for file in files
            .iter()
            .filter(|file| file.column_family_name == family.name())
        {
            let path = db.path().join(file.name.trim_start_matches('/'));
            let bytes = fs::read(path).map_err(|error| backend(family, error))?;
            found.read(family, &bytes);
        }
        Ok(found)
    }

    fn read(&mut self, family: Family, file: &[u8]) {
        let mut last = None;
        let mut hole = None;
        for entry in table::entries(file) {
            let row = match entry {
                Entry::Row(row) => row,
                Entry::Torn(guesses) => {
                    match guesses.iter().find(|guess| is_whole(family, guess)) {
                        Some(guess) => guess.clone(),
                        None => {
                            hole.get_or_insert_with(|| last.clone());
                            // Which row it was is not known, but it may tell whose.
                            for guess in guesses {
                                let damaged = State::Damaged(guess.row.unwrap_or_default().into());
                                self.add(&guess.key, guess.number, damaged);
                            }
                            continue;
                        }
                    }
                }
            };
            if let Some(before) = hole.take() {
                let after = Some(row.key.clone());
                self.holes.push(Hole { before, after });
            }
            last = Some(row.key.clone());
            self.take(family, &row);
        }
        let open = |before| Hole {
            before,
            after: None,
        };
        self.holes.extend(hole.map(open));
    }

    fn take(&mut self, family: Family, row: &table::Row<'_>) {
        let (key, number) = (&row.key, row.number);
        let Some(bytes) = row.row else {
            return self.add(key, number, State::Deleted);
        };
        if unseal(family, key, bytes).is_ok() {
            self.add(key, number, State::Whole(bytes.into()));
        } else if let Some((key, row)) = (bytes.len() <= PUT_RIGHT)
            .then(|| put_right(family, key, bytes))
            .flatten()
        {
            self.put_right += 1;
            self.add(&key, number, State::Whole(row.into()));
        } else {
            self.add(key, number, State::Damaged(bytes.into()));
        }
    }

    fn add(&mut self, key: &[u8], number: u64, state: State) {
        match self.rows.entry(key.into()) {
            btree_map::Entry::Vacant(free) => {
                free.insert((number, state));
            }
            btree_map::Entry::Occupied(mut known) if known.get().0 <= number => {
                known.insert((number, state));
            }
            btree_map::Entry::Occupied(_) => {}
        }
    }

    fn into_whole(self) -> impl Iterator<Item = (Box<[u8]>, Box<[u8]>)> {
        let whole = |(key, (_, state))| match state {
            State::Whole(row) => Some((key, row)),
            State::Damaged(_) | State::Deleted => None,
        };
        self.rows.into_iter().filter_map(whole)
    }

    /// Whom it costs what; `known` are all chats there are.
    fn lost(&self, family: Family, known: &BTreeSet<PortalId>) -> Lost {
        let mut lost = Lost {
            put_right: self.put_right,
            ..Lost::default()
        };
        for (key, (_, state)) in &self.rows {
            let State::Damaged(row) = state else { continue };
            let row = damaged_row(family, key, row);
            match &row.owner {
                // What went astray reads bytes as keys that are none.
                Owner::Portal(portal) if !known.contains(portal) => {
                    lost.add(damaged_row(family, &[], &[]));
                }
                _ => lost.add(row),
            }
        }
        if matches!(family, Family::PortalidPortal | Family::PortalSeqFrame) {
            let bound = |key: &Option<Vec<u8>>, none| {
                let id = key.as_deref().and_then(<[u8]>::first_chunk::<16>);
                PortalId::from_u128(id.map_or(none, |id| u128::from_be_bytes(*id)))
            };
            for hole in &self.holes {
                let (from, to) = (bound(&hole.before, 0), bound(&hole.after, u128::MAX));
                // Keys are in order, unless one of these two is damaged itself.
                if from <= to {
                    lost.portals.extend(known.range(from..=to));
                }
            }
        }
        if lost == Lost::default() {
            // A block that is damaged, and all rows read: one of them may be missing.
            lost.add(damaged_row(family, &[], &[]));
        }
        lost
    }
}

fn is_whole(family: Family, row: &table::Row<'_>) -> bool {
    row.row
        .is_some_and(|bytes| unseal(family, &row.key, bytes).is_ok())
}

/// All chats there are, by an index of them.
pub fn portals(db: &DB) -> Read<BTreeSet<PortalId>> {
    let index = Family::GhostidPortalid;
    // The index may be damaged too; who is not found here is found when they are asked for.
    let rows = Found::of(db, index)?.into_whole();
    let portals = rows.filter_map(|(key, row)| {
        let id = unseal(index, &key, &row).ok()?.try_into().ok()?;
        Some(PortalId::from_u128(u128::from_be_bytes(id)))
    });
    Ok(portals.collect())
}
