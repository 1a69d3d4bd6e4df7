//! What was deleted also goes from the files. To RocksDB a deletion is one more row: the old bytes
//! stay in the log until the log is full, and in the table files until a compaction comes by, which on
//! a quiet bridge may be never. So now and then the log is emptied into tables, and the families in
//! which something was deleted are written anew without it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use rocksdb::{BottommostLevelCompaction, CompactOptions, FlushOptions};
use vestibule_bridge::store::{Read, Store as _};
use vestibule_bridge::time::Timestamp;

use super::RocksStore;
use super::codec::backend;
use super::families::Family;
use super::rows::handle;
use super::salvage;

/// In which families something was deleted since they were swept.
#[derive(Debug)]
pub struct Deleted([AtomicBool; Family::ALL.len()]);

impl Default for Deleted {
    /// An earlier run may have deleted anything.
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicBool::new(true)))
    }
}

impl Deleted {
    /// Something was.
    pub fn note(&self, family: Family) {
        if let Some(flag) = self.0.get(family as usize) {
            flag.store(true, Ordering::Relaxed);
        }
    }

    fn take(&self, family: Family) -> bool {
        let flag = self.0.get(family as usize);
        flag.is_some_and(|flag| flag.swap(false, Ordering::Relaxed))
    }
}

impl RocksStore {
    /// Has the bytes of deleted rows taken out of the files, and copies of damaged logs that are
    /// older than `keep`. Takes as long as it takes to write the families anew; meanwhile all goes
    /// on. Ends early when `stopping` says so; the rest is done the next time.
    pub fn sweep(&self, now: Timestamp, keep: Duration, stopping: impl Fn() -> bool) -> Read<()> {
        let families = Family::ALL.map(|family| (family, self.deleted.take(family)));
        let swept = self.sweep_families(&families, &stopping);
        if !matches!(swept, Ok(true)) {
            for (family, deleted) in families {
                if deleted {
                    self.deleted.note(family);
                }
            }
        }
        drop_old_copies(&self.path, now, keep)?;
        swept.map(|_| ())
    }

    /// Whether all were.
    fn sweep_families(
        &self,
        families: &[(Family, bool)],
        stopping: &impl Fn() -> bool,
    ) -> Read<bool> {
        if families.iter().all(|(_, deleted)| !deleted) {
            return Ok(true);
        }
        // The log goes when every family that stands in it is in tables.
        let mut flush = FlushOptions::default();
        flush.set_wait(true);
        for (family, _) in families {
            // Looked up each time: in between the database may be opened anew.
            let rows = self.begin().rows;
            let db = rows.db(*family)?;
            db.flush_cf_opt(handle(db, *family)?, &flush)
                .map_err(|error| backend(*family, error))?;
        }
        let mut all = CompactOptions::default();
        // The lowest level too, but not what this compaction itself has just written.
        all.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        all.set_exclusive_manual_compaction(false);
        for (family, _) in families.iter().filter(|(_, deleted)| *deleted) {
            if stopping() || self.trouble().is_some() {
                return Ok(false);
            }
            let rows = self.begin().rows;
            let db = rows.db(*family)?;
            let none: Option<&[u8]> = None;
            db.compact_range_cf_opt(handle(db, *family)?, none, none, &all);
        }
        Ok(true)
    }
}

/// Copies of logs from before a damaged commit was taken out of them hold rows too.
fn drop_old_copies(folder: &Path, now: Timestamp, keep: Duration) -> Read<()> {
    let failed = |error: std::io::Error| backend(Family::GlobalSchema, error);
    let before = SystemTime::UNIX_EPOCH + Duration::from_millis(now.before(keep).0);
    for file in std::fs::read_dir(folder).map_err(failed)? {
        let file = file.map_err(failed)?;
        if !salvage::is_kept_copy(&file.path()) {
            continue;
        }
        let changed = file.metadata().and_then(|of| of.modified());
        if changed.map_err(failed)? <= before {
            std::fs::remove_file(file.path()).map_err(failed)?;
        }
    }
    Ok(())
}
