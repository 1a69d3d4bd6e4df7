//! The log, before RocksDB reads it. Every commit stands in it until its rows are in table files.
//!
//! RocksDB has four ways with a log that doesn't read. Its default stops at the damage and opens:
//! all later commits are lost, acknowledged ones, without a word. The opposite skips whatever is
//! damaged, with all that stands behind it in the same 32 KiB. The two others refuse to open. None
//! will do: a flipped bit must cost no more than the commit it stands in, and that must be said.
//! So the log is read here first. A torn end is what a crash leaves: nobody was told that it is
//! stored, so it goes without a word. A damaged commit is taken out as a whole, the chats that it
//! was about are set aside (their rows would otherwise go back in time unnoticed), and the file as
//! it was is kept beside. When nothing tells whose commit it was, opening is refused, with words
//! on what to do. RocksDB then reads in the mode that tolerates a torn end and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use vestibule_bridge::id::PortalId;
use vestibule_bridge::store::{DamagedRow, Owner};

use super::codec::{put_right, unseal};
use super::damage::damaged_row;
use super::families::Family;
use super::log::{self, Gap, LoggedChange};

/// A log as it was before the damaged commit was taken out, until its chats are set aside.
const DAMAGED: &str = "log.damaged";
/// The same, kept for whoever wants to look.
const KEPT: &str = "log.kept";
const NEW: &str = "log.new";

/// Why the log can't be put in order.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in the middle is damaged, and it can't be told what.
    #[error(
        "the log {} is damaged at byte {at}, and whose rows stood there can't be told: restore a \
         backup, or cut the file there (truncate -s {at} {0}) and lose what was stored after that",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        at: usize,
    },
}

/// Whether a file is such a copy.
pub fn is_kept_copy(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.ends_with(KEPT))
}

/// What was lost with damaged commits.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Chats of which a commit was lost.
    pub portals: BTreeSet<PortalId>,
    /// Chats that may be meant, if they exist: a damaged row names them by its key.
    pub doubtful: BTreeSet<PortalId>,
    /// Rows of others.
    pub others: BTreeSet<DamagedRow>,
    /// Rows in which a single bit was wrong, so that nothing was lost.
    pub put_right: usize,
}

impl Lost {
    /// Adds a row.
    pub fn add(&mut self, row: DamagedRow) {
        match row.owner {
            Owner::Portal(portal) => {
                self.portals.insert(portal);
            }
            _ => {
                self.others.insert(row);
            }
        }
    }

    /// Whether anything is gone, and not only put right.
    pub fn is_something(&self) -> bool {
        let nothing = Self {
            put_right: self.put_right,
            ..Self::default()
        };
        *self != nothing
    }

    /// Adds all of them.
    pub fn extend(&mut self, more: Self) {
        self.portals.extend(more.portals);
        self.doubtful.extend(more.doubtful);
        self.others.extend(more.others);
        self.put_right += more.put_right;
    }
}

/// Takes damaged commits out of the logs of a store that is not open.
pub fn repair(folder: &Path) -> Result<(), LogError> {
    for path in logs(folder, "log")? {
        let log = log::read(&read(&path)?);
        if log.gaps.is_empty() {
            // RocksDB takes an end that was cut off for torn, but not one with a hole in it.
            if let Some(torn) = log.torn {
                cut_at(&path, torn)?;
            }
            continue;
        }
        for gap in &log.gaps {
            let lost = lost(std::slice::from_ref(gap), &log.records);
            let somebody = lost != Lost::default();
            if !somebody && !harmless(gap) {
                return Err(LogError::Damaged { path, at: gap.at });
            }
        }
        // In this order a crash anywhere leaves the damaged file, or both.
        link(&path, &path.with_extension(DAMAGED))?;
        let new = path.with_extension(NEW);
        let fail = failed(&new);
        let mut file = File::create(&new).map_err(&fail)?;
        file.write_all(&log::write(&log.records)).map_err(&fail)?;
        file.sync_all().map_err(&fail)?;
        rename(&new, &path)?;
        sync(folder)?;
    }
    Ok(())
}

/// What repairs cost that nobody has seen to yet.
pub fn unseen(folder: &Path) -> Result<Lost, LogError> {
    let mut all = Lost::default();
    for path in logs(folder, DAMAGED)? {
        let log = log::read(&read(&path)?);
        all.extend(lost(&log.gaps, &log.records));
    }
    Ok(all)
}

/// The chats are set aside, and that is stored.
pub fn seen(folder: &Path) -> Result<(), LogError> {
    for path in logs(folder, DAMAGED)? {
        // Both extensions hold a dot, of which only the last part counts as extension.
        rename(&path, &path.with_extension("").with_extension(KEPT))?;
    }
    sync(folder)
}

/// Cuts off what was written after the last commit that was acknowledged. Whoever brought it was
/// told that it is not stored, so it must not come back.
pub fn cut(folder: &Path, acknowledged: u64) -> Result<(), LogError> {
    for path in logs(folder, "log")? {
        let log = log::read(&read(&path)?);
        let newer = log
            .records
            .iter()
            .find(|record| record.sequence() > acknowledged);
        if let Some(length) = newer.map(|record| record.at).or(log.torn) {
            cut_at(&path, length)?;
        }
    }
    Ok(())
}

fn cut_at(path: &Path, length: usize) -> Result<(), LogError> {
    let fail = failed(path);
    let file = File::options().write(true).open(path).map_err(&fail)?;
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    file.set_len(length).map_err(&fail)?;
    file.sync_all().map_err(&fail)
}

/// Whom the rows of these gaps concern.
fn lost(gaps: &[Gap], whole: &[log::Record]) -> Lost {
    let names = family_numbers(whole);
    let mut lost = Lost::default();
    for gap in gaps {
        // A lost deletion lets something be done twice, which is done once all the same.
        for change in log::candidates(&gap.body) {
            let Some(row) = change.row else { continue };
            if let Some(family) = family_of(&change, row) {
                lost.add(damaged_row(family, change.key, row));
            }
        }
        let (changes, complete) = log::changes(&gap.body);
        for change in changes {
            let Some(row) = change.row else { continue };
            let family = names.get(&change.family).copied();
            let Some(family) = family.filter(|_| family_of(&change, row).is_none()) else {
                continue;
            };
            if let Some((key, row)) = put_right(family, change.key, row) {
                lost.add(damaged_row(family, &key, &row));
                continue;
            }
            let row = damaged_row(family, change.key, row);
            match row.owner {
                Owner::Portal(portal) => {
                    lost.doubtful.insert(portal);
                }
                _ => lost.add(row),
            }
            if !complete {
                // A damaged length leads astray: what comes next is read as what it isn't.
                break;
            }
        }
    }
    lost
}

/// Whether all there was are deletions.
fn harmless(gap: &Gap) -> bool {
    let (changes, complete) = log::changes(&gap.body);
    complete && changes.iter().all(|change| change.row.is_none())
}

/// The family whose row this is: the checksum holds for one only.
fn family_of(change: &LoggedChange<'_>, row: &[u8]) -> Option<Family> {
    let mut families = Family::ALL.into_iter();
    families.find(|family| unseal(*family, change.key, row).is_ok())
}

/// RocksDB's numbers of the families, learnt from rows that are whole.
fn family_numbers(records: &[log::Record]) -> BTreeMap<u32, Family> {
    let mut numbers = BTreeMap::new();
    for record in records.iter().rev() {
        let (changes, _) = log::changes(&record.body);
        for change in changes {
            if !numbers.contains_key(&change.family)
                && let Some(family) = change.row.and_then(|row| family_of(&change, row))
            {
                numbers.insert(change.family, family);
            }
        }
    }
    numbers
}

/// The files in the folder that are named `<number>.<extension>`, in order of their numbers.
fn logs(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, LogError> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed(folder))?,
    };
    let mut numbered = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(failed(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name
            .and_then(|name| name.split_once('.'))
            .and_then(|(number, rest)| {
                (rest == extension)
                    .then(|| number.parse::<u64>().ok())
                    .flatten()
            });
        if let Some(number) = number {
            numbered.insert(number, path);
        }
    }
    Ok(numbered.into_values().collect())
}

fn read(path: &Path) -> Result<Vec<u8>, LogError> {
    std::fs::read(path).map_err(failed(path))
}

fn link(from: &Path, to: &Path) -> Result<(), LogError> {
    match std::fs::hard_link(from, to) {
        // From an earlier try, which ended before the log was replaced.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked.map_err(failed(to)),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), LogError> {
    std::fs::rename(from, to).map_err(failed(to))
}

fn sync(folder: &Path) -> Result<(), LogError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(failed(folder))
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> LogError {
    let path = path.to_owned();
    move |source| LogError::File {
        path: path.clone(),
        source,
    }
}
