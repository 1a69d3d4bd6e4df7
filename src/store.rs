//! The store on RocksDB: one writer, one `WriteBatch` and one fsync a round. What is done about
//! damage and full disks is told in `docs/store.md`.

mod codec;
mod damage;
mod facts;
pub mod families;
pub mod health;
mod log;
mod migrate;
mod rescue;
mod rows;
mod salvage;
mod sweep;
mod table;
mod transaction;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use rand::Rng as _;
use rocksdb::{
    BlockBasedOptions, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, IteratorMode,
    Options, WriteBatch, WriteOptions,
};
use vestibule_bridge::bot_record::BotRecord;
use vestibule_bridge::host::ManagementRoom;
use vestibule_bridge::id::EffectId;
use vestibule_bridge::store::{Read, Store, StoreError};

use crate::clock::seeded_rng;
use codec::{backend, from_json, trailing_id};
use families::Family;
use health::{Health, Trouble, probe};
use rows::{Opened, handle};
use salvage::{LogError, Lost};
use sweep::Deleted;
pub use transaction::RocksTransaction;

/// The layout of the families that this program knows. Layout 1 had rows without checksums, layout 2
/// no alarms and no counts, layout 3 no serials, layout 4 no device of the bot's own.
const SCHEMA: u64 = 5;
const SCHEMA_KEY: &[u8] = b"schema";
const TRANSACTIONS_KEY: &[u8] = b"transactions";
const COUNTS_KEY: &[u8] = b"counts";
const STEERING_KEY: &[u8] = b"steering";
const ID_KEY: &[u8] = b"store_id";
/// RocksDB locks a file of its own, but only while it is open, and the log is read before that.
const LOCK: &str = "vestibule.lock";

/// Why the store could not be opened. `Display` is written for the person who starts the bridge.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the store at {} is in use by another process; only one bridge can run on a store", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// It was written by a newer program.
    #[error("the store at {} was written by a newer version of vestibule; please run that version", path.display())]
    TooNew {
        /// The folder.
        path: PathBuf,
    },
    /// It can't be opened for another reason.
    #[error("the store at {} can't be opened", path.display())]
    Backend {
        /// The folder.
        path: PathBuf,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The rows on disk.
pub struct RocksStore {
    path: PathBuf,
    /// Empty while it can't be opened.
    db: RwLock<Option<DB>>,
    health: Health,
    deleted: Deleted,
    /// Held as long as the store is.
    _lock: File,
}

impl RocksStore {
    /// Opens the store in this folder, and makes it when there is none. An older layout is brought
    /// up to date; what is damaged is put in order as far as it can be.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let other = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Backend {
            path: path.into(),
            source,
        };
        std::fs::create_dir_all(path).map_err(|source| other(source.into()))?;
        let lock = lock(path).map_err(|source| match source {
            std::fs::TryLockError::WouldBlock => OpenError::InUse { path: path.into() },
            std::fs::TryLockError::Error(source) => other(source.into()),
        })?;
        salvage::repair(path).map_err(|source| other(source.into()))?;
        let mut db = open_database(path, Compaction::On).map_err(|source| {
            // A program from before the lock file may run. RocksDB has no error kind for that, and
            // speaks of blocks elsewhere.
            if source.to_string().contains("While lock file") {
                OpenError::InUse { path: path.into() }
            } else {
                other(source.into())
            }
        })?;
        match settle(path, &mut db) {
            Ok(()) => {}
            Err(SettleError::TooNew) => return Err(OpenError::TooNew { path: path.into() }),
            Err(SettleError::Other(source)) => return Err(other(source)),
        }
        let health = Health::default();
        health.acknowledged(db.latest_sequence_number());
        Ok(Self {
            path: path.to_owned(),
            db: RwLock::new(Some(db)),
            health,
            deleted: Deleted::default(),
            _lock: lock,
        })
    }

    /// The greatest id of all effects that wait.
    pub fn last_effect(&self) -> Read<Option<EffectId>> {
        let family = Family::EffectidEffect;
        let rows = self.begin().rows;
        let db = rows.db(family)?;
        let last = db
            .iterator_cf(handle(db, family)?, IteratorMode::End)
            .next();
        let last = last.transpose().map_err(|source| backend(family, source))?;
        last.map(|(key, _)| trailing_id(family, &key).map(EffectId::from_u128))
            .transpose()
    }

    /// Names the store: random, and another one when something was lost that had been committed, so
    /// that browsers compare what they know.
    pub fn id(&self) -> Read<Option<String>> {
        self.begin().row(Family::GlobalSchema, ID_KEY)
    }

    /// The rooms in which the bot takes commands; one that doesn't read is left out.
    pub fn management_rooms(&self) -> Read<Vec<ManagementRoom>> {
        let family = Family::RoomidManagement;
        let rooms = self.begin().rows.prefix(family, &[])?.into_iter();
        let read = rooms.filter_map(|row| from_json(family, &row.key, &row.payload.ok()?).ok());
        Ok(read.collect())
    }

    /// The records of the bot's own device that still read.
    pub fn bot_records_left(&self) -> Read<BTreeMap<String, BotRecord>> {
        let rows = self
            .begin()
            .rows
            .prefix(Family::BotCrypto, &[])?
            .into_iter();
        let left = rows.filter_map(|row| {
            let key = String::from_utf8(row.key).ok()?;
            Some((key, BotRecord(row.payload.ok()?)))
        });
        Ok(left.collect())
    }

    /// How many chats are set aside, because a row of theirs doesn't read.
    pub fn set_aside(&self) -> Read<usize> {
        let rows = self.begin().rows;
        let set_aside = rows.range(Family::PortalidQuarantine, &[], None, usize::MAX)?;
        Ok(set_aside.len())
    }

    /// What is wrong at the moment, if anything is.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.health.trouble()
    }

    fn shared(&self) -> Opened<'_> {
        // What is in there is replaced as a whole.
        self.db.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the database anew: RocksDB refuses to write after a failed write, and its binding has
    /// no way to tell it that all is well again.
    fn reopen(&self) -> Result<(), Trouble> {
        let system = |error: &dyn std::fmt::Display| Trouble::System(error.to_string());
        // As long as nothing can be written the old one stays, because it can still be read.
        probe(&self.path).map_err(|error| Trouble::from(&error))?;
        let mut slot = self.db.write().unwrap_or_else(PoisonError::into_inner);
        drop(slot.take());
        salvage::cut(&self.path, self.health.sequence()).map_err(|error| system(&error))?;
        salvage::repair(&self.path).map_err(|error| system(&error))?;
        let open = |compaction| {
            open_database(&self.path, compaction).map_err(|error| Trouble::from(&error))
        };
        if self.health.trouble() == Some(Trouble::Damaged) {
            // A compaction that meets the damaged block would stop all writing again.
            let mut db = open(Compaction::Off)?;
            let lost = rescue::all(&mut db).map_err(|error| system(&error))?;
            if lost != Lost::default() {
                tell(&lost);
            }
            if lost.is_something() {
                // The next name is made when the store is opened.
                migrate::delete(&db, ID_KEY).map_err(|error| system(&error))?;
            }
        }
        let mut db = open(Compaction::On)?;
        match settle(&self.path, &mut db) {
            Ok(()) => {}
            Err(SettleError::TooNew) => return Err(system(&"it was replaced")),
            Err(SettleError::Other(error)) => return Err(system(&error)),
        }
        self.health.acknowledged(db.latest_sequence_number());
        *slot = Some(db);
        Ok(())
    }
}

fn lock(path: &Path) -> Result<File, std::fs::TryLockError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.join(LOCK))
        .map_err(std::fs::TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

/// Whether RocksDB may rewrite its files beside everything else.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compaction {
    On,
    Off,
}

fn open_database(path: &Path, compaction: Compaction) -> Result<DB, rocksdb::Error> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    // All families on disk must be opened, those of earlier layouts and of unfinished work too.
    if path.join("CURRENT").exists() {
        names.extend(DB::list_cf(&Options::default(), path)?);
    }
    names.extend(Family::ALL.map(|family| family.name().to_owned()));
    let families = names.into_iter().map(|name| {
        let mut options = family_options();
        options.set_disable_auto_compactions(compaction == Compaction::Off);
        ColumnFamilyDescriptor::new(name, options)
    });
    DB::open_cf_descriptors(&database_options(), path, families)
}

enum SettleError {
    TooNew,
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for SettleError {
    fn from(error: StoreError) -> Self {
        Self::Other(error.into())
    }
}

impl From<LogError> for SettleError {
    fn from(error: LogError) -> Self {
        Self::Other(error.into())
    }
}

/// Ends what was begun, brings the layout up to date, and sets aside what was lost.
fn settle(path: &Path, db: &mut DB) -> Result<(), SettleError> {
    rescue::resume(db)?;
    let mut lost = salvage::unseen(path)?;
    let layout = match migrate::layout(db) {
        // The block is damaged, or the row: whatever is left is found by the rows themselves.
        Err(StoreError::Damaged(_) | StoreError::Backend { .. }) => {
            lost.extend(rescue::all(db)?);
            migrate::layout(db)?
        }
        layout => layout?,
    };
    match layout {
        None => migrate::mark(db, SCHEMA)?,
        Some(SCHEMA) => {}
        Some(1) => {
            lost.extend(migrate::from_1(db)?);
            migrate::from_2(db)?;
            migrate::from_3(db)?;
            migrate::from_4(db)?;
        }
        Some(2) => {
            migrate::from_2(db)?;
            migrate::from_3(db)?;
            migrate::from_4(db)?;
        }
        Some(3) => {
            migrate::from_3(db)?;
            migrate::from_4(db)?;
        }
        Some(4) => migrate::from_4(db)?,
        Some(_) => return Err(SettleError::TooNew),
    }
    for name in Family::DROPPED {
        if db.cf_handle(name).is_some() {
            db.drop_cf(name)
                .map_err(|error| backend(Family::GlobalSchema, error))?;
        }
    }
    let mut batch = WriteBatch::default();
    if lost != Lost::default() {
        let known = rescue::portals(db)?;
        let doubtful = std::mem::take(&mut lost.doubtful);
        lost.portals.extend(doubtful.intersection(&known));
        migrate::put_quarantine(db, &mut batch, &lost.portals)?;
    }
    if lost.is_something() || !migrate::has(db, ID_KEY)? {
        let mut rng = seeded_rng().map_err(|error| SettleError::Other(Box::new(error)))?;
        let id = format!("{:016x}", rng.next_u64());
        migrate::put(db, &mut batch, ID_KEY, &id)?;
    }
    if !batch.is_empty() {
        migrate::write(db, batch)?;
    }
    if lost != Lost::default() {
        salvage::seen(path)?;
        tell(&lost);
    }
    Ok(())
}

/// Says what was damaged: what it cost, and whom.
fn tell(lost: &Lost) {
    if *lost == Lost::default() {
        tracing::error!("something stored was damaged, and nobody whom it concerns is known");
    }
    if lost.put_right > 0 {
        tracing::warn!(
            rows = lost.put_right,
            "flipped bits in the store were put right"
        );
    }
    for portal in &lost.portals {
        tracing::error!(%portal, "rows of a chat were damaged: it is set aside and can't go on");
    }
    for row in &lost.others {
        tracing::error!(family = row.family, owner = %row.owner, "a row was damaged and is lost");
    }
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // A torn end of the log is what a crash leaves. Anything else was found before, or is refused:
    // the default would silently lose whatever was stored after the damage. See `salvage.rs`.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // A bridge holds megabytes, not terabytes; small buffers keep its memory small.
    options.set_db_write_buffer_size(16 << 20);
    options.set_max_total_wal_size(32 << 20);
    options.set_max_open_files(256);
    options.set_keep_log_file_num(3);
    // RocksDB's list of its files names the first and last key of each, of former ones too until it
    // is written anew.
    options.set_max_manifest_file_size(16 << 10);
    // RocksDB's own log names keys of damaged blocks; only warnings are worth that.
    options.set_log_level(rocksdb::LogLevel::Warn);
    options
}

fn family_options() -> Options {
    // Neither compressed, nor keys as differences to each other: in a damaged block all other rows
    // must still read. See `rescue.rs`.
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_restart_interval(1);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(4 << 20);
    options
}

fn durable() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

impl Store for RocksStore {
    type Transaction<'a> = RocksTransaction<'a>;

    fn begin(&self) -> RocksTransaction<'_> {
        RocksTransaction::new(self.shared(), &self.health, &self.deleted)
    }

    fn mend(&self) -> bool {
        if !self.health.is_broken() || !self.health.may_try() {
            return false;
        }
        match self.reopen() {
            Ok(()) => {
                self.health.works();
                tracing::info!("the store works again");
                true
            }
            Err(trouble) => {
                self.health.is(trouble);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
