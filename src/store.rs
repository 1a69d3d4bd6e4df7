//! The store on RocksDB: one writer, one `WriteBatch` and one fsync a round.

mod codec;
mod facts;
pub mod families;
mod rows;

use std::path::{Path, PathBuf};

use rocksdb::{
    ColumnFamilyDescriptor, DB, DBCompressionType, IteratorMode, Options, WriteBatch, WriteOptions,
};
use vestibule_bridge::id::{EffectId, PortalId};
use vestibule_bridge::link::Link;
use vestibule_bridge::portal::Portal;
use vestibule_bridge::store::{
    Change, Changes, Facts as _, REMEMBERED_TRANSACTIONS, Read, Store, StoreTransaction,
};
use vestibule_bridge::time::Timestamp;

use codec::{
    after_prefix, alarm_key, backend, decode, encode, id_pair, id_prefix, joined, whole_id,
};
use families::Family;
use rows::{Overlay, Rows, handle};

/// The layout of the families that this program knows.
const SCHEMA: u64 = 1;
const SCHEMA_KEY: &[u8] = b"schema";

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
    db: DB,
}

impl RocksStore {
    /// Opens the store in this folder, and makes it when there is none.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let other = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Backend {
            path: path.into(),
            source,
        };
        std::fs::create_dir_all(path).map_err(|source| other(source.into()))?;
        let families =
            Family::ALL.map(|family| ColumnFamilyDescriptor::new(family.name(), family_options()));
        let db =
            DB::open_cf_descriptors(&database_options(), path, families).map_err(|source| {
                // RocksDB holds a lock file and has no error kind for "it is held".
                if source.to_string().to_ascii_lowercase().contains("lock") {
                    OpenError::InUse { path: path.into() }
                } else {
                    other(source.into())
                }
            })?;
        let store = Self { db };
        match store.schema().map_err(|source| other(source.into()))? {
            None => store
                .write_schema()
                .map_err(|source| other(source.into()))?,
            Some(SCHEMA) => {}
            Some(_) => return Err(OpenError::TooNew { path: path.into() }),
        }
        Ok(store)
    }

    /// The stored rows, for reading only.
    #[must_use]
    pub fn read(&self) -> RocksTransaction<'_> {
        self.begin()
    }

    /// The greatest id of all effects that wait.
    pub fn last_effect(&self) -> Read<Option<EffectId>> {
        let family = Family::EffectidEffect;
        let last = self
            .db
            .iterator_cf(handle(&self.db, family)?, IteratorMode::End)
            .next();
        let last = last.transpose().map_err(|source| backend(family, source))?;
        last.map(|(key, _)| whole_id(family, &key).map(EffectId::from_u128))
            .transpose()
    }

    fn schema(&self) -> Read<Option<u64>> {
        let row = self
            .db
            .get_cf(handle(&self.db, Family::GlobalSchema)?, SCHEMA_KEY);
        let row = row.map_err(|source| backend(Family::GlobalSchema, source))?;
        row.map(|bytes| decode(Family::GlobalSchema, &bytes))
            .transpose()
    }

    fn write_schema(&self) -> Read<()> {
        let mut batch = WriteBatch::default();
        batch.put_cf(
            handle(&self.db, Family::GlobalSchema)?,
            SCHEMA_KEY,
            encode(Family::GlobalSchema, &SCHEMA)?,
        );
        self.db
            .write_opt(batch, &durable())
            .map_err(|source| backend(Family::GlobalSchema, source))
    }
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // A bridge holds megabytes, not terabytes; small buffers keep its memory small.
    options.set_db_write_buffer_size(16 << 20);
    options.set_max_total_wal_size(32 << 20);
    options.set_max_open_files(256);
    options.set_keep_log_file_num(3);
    // RocksDB's own log names keys of damaged blocks; only warnings are worth that.
    options.set_log_level(rocksdb::LogLevel::Warn);
    options
}

fn family_options() -> Options {
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::Lz4);
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
        RocksTransaction {
            rows: Rows {
                db: &self.db,
                overlay: Overlay::new(),
            },
        }
    }
}

/// An open round: the rows with its changes laid over them.
pub struct RocksTransaction<'a> {
    rows: Rows<'a>,
}

impl RocksTransaction<'_> {
    fn put<T: serde::Serialize>(
        &mut self,
        family: Family,
        key: impl Into<Vec<u8>>,
        row: &T,
    ) -> Read<()> {
        self.rows.put(family, key, encode(family, row)?);
        Ok(())
    }

    fn put_link(&mut self, link: &Link) -> Read<()> {
        let id = link.id.as_u128();
        // A link whose words were lost gets a new token; the old one must lead nowhere.
        if let Some(before) = self.link(link.id)?
            && before.token_hash != link.token_hash
        {
            self.rows
                .delete(Family::TokenhashLinkid, before.token_hash.0);
        }
        self.put(Family::LinkidLink, id.to_be_bytes(), link)?;
        self.rows
            .put(Family::TokenhashLinkid, link.token_hash.0, id.to_be_bytes());
        self.rows
            .put(Family::HostidLinkid, id_pair(link.host.as_str(), id), []);
        Ok(())
    }

    fn put_portal(
        &mut self,
        portal: &Portal,
        was_due: Option<Timestamp>,
        due: Option<Timestamp>,
    ) -> Read<()> {
        let id = portal.id.as_u128();
        self.put(Family::PortalidPortal, id.to_be_bytes(), portal)?;
        self.rows.put(
            Family::GhostidPortalid,
            portal.ghost.as_str(),
            id.to_be_bytes(),
        );
        self.rows.put(
            Family::HostidPortalid,
            id_pair(portal.host.as_str(), id),
            [],
        );
        if let Some(room) = portal.room() {
            self.rows
                .put(Family::RoomidPortalid, room.as_str(), id.to_be_bytes());
        }
        if was_due != due {
            if let Some(was_due) = was_due {
                self.rows.delete(
                    Family::DeadlinePortalid,
                    joined(&was_due.0.to_be_bytes(), &id.to_be_bytes()),
                );
            }
            if let Some(due) = due {
                self.rows.put(
                    Family::DeadlinePortalid,
                    joined(&due.0.to_be_bytes(), &id.to_be_bytes()),
                    [],
                );
            }
        }
        Ok(())
    }

    fn erase_portal(&mut self, portal: &Portal) -> Read<()> {
        let id = portal.id.as_u128();
        self.rows.delete(Family::PortalidPortal, id.to_be_bytes());
        self.rows
            .delete(Family::GhostidPortalid, portal.ghost.as_str());
        self.rows
            .delete(Family::HostidPortalid, id_pair(portal.host.as_str(), id));
        if let Some(room) = portal.room() {
            self.rows.delete(Family::RoomidPortalid, room.as_str());
        }
        for family in [Family::PortalSeqFrame, Family::PortalDigestSeen] {
            for (key, _) in self.rows.prefix(family, &id.to_be_bytes())? {
                self.rows.delete(family, key);
            }
        }
        Ok(())
    }

    fn delete_frames(&mut self, portal: PortalId, through: u64) -> Read<()> {
        let portal = portal.as_u128().to_be_bytes();
        let end = match through.checked_add(1) {
            Some(next) => Some(joined(&portal, &next.to_be_bytes())),
            None => after_prefix(&portal),
        };
        for (key, _) in
            self.rows
                .range(Family::PortalSeqFrame, &portal, end.as_deref(), usize::MAX)?
        {
            self.rows.delete(Family::PortalSeqFrame, key);
        }
        Ok(())
    }

    fn remember_transaction(&mut self, txn: &str) -> Read<()> {
        if self.transaction_seen(txn)? {
            return Ok(());
        }
        let next = match self.rows.get(Family::GlobalSchema, b"transactions")? {
            Some(bytes) => decode::<u64>(Family::GlobalSchema, &bytes)? + 1,
            None => 0,
        };
        self.put(Family::GlobalSchema, *b"transactions", &next)?;
        self.rows.put(Family::TxnidNumber, txn, next.to_be_bytes());
        self.rows.put(Family::NumberTxnid, next.to_be_bytes(), txn);
        let Some(oldest) = next.checked_sub(REMEMBERED_TRANSACTIONS) else {
            return Ok(());
        };
        if let Some(forgotten) = self.rows.get(Family::NumberTxnid, &oldest.to_be_bytes())? {
            self.rows.delete(Family::TxnidNumber, forgotten);
            self.rows.delete(Family::NumberTxnid, oldest.to_be_bytes());
        }
        Ok(())
    }

    fn apply_one(&mut self, change: &Change) -> Read<()> {
        match change {
            Change::PutLink(link) => self.put_link(link),
            Change::PutPortal {
                portal,
                was_due,
                due,
            } => self.put_portal(portal, *was_due, *due),
            Change::PutHost(host) => self.put(Family::HostidHost, host.user.as_str(), host),
            Change::PutManagementRoom(room) => {
                self.put(Family::RoomidManagement, room.room.as_str(), room)
            }
            Change::DeleteManagementRoom(room) => {
                self.rows.delete(Family::RoomidManagement, room.as_str());
                Ok(())
            }
            Change::PutFrame { portal, seq, frame } => {
                let key = joined(&portal.as_u128().to_be_bytes(), &seq.to_be_bytes());
                self.put(Family::PortalSeqFrame, key, frame)
            }
            Change::DeleteFrames { portal, through } => self.delete_frames(*portal, *through),
            Change::PutEffect { id, effect } => {
                self.put(Family::EffectidEffect, id.as_u128().to_be_bytes(), effect)
            }
            Change::DeleteEffect(id) => {
                self.rows
                    .delete(Family::EffectidEffect, id.as_u128().to_be_bytes());
                Ok(())
            }
            Change::RememberTransaction(txn) => self.remember_transaction(txn),
            Change::RememberDigest { portal, digest } => {
                self.rows.put(
                    Family::PortalDigestSeen,
                    joined(&portal.as_u128().to_be_bytes(), &digest.0),
                    [],
                );
                Ok(())
            }
            Change::SetAlarm { subject, was, at } => {
                if let Some(was) = was {
                    self.rows
                        .delete(Family::TimeAlarm, alarm_key(*was, *subject));
                }
                if let Some(at) = at {
                    self.rows
                        .put(Family::TimeAlarm, alarm_key(*at, *subject), []);
                }
                Ok(())
            }
            Change::PutBlock(block) => {
                let key = joined(&id_prefix(block.host.as_str()), block.key.as_bytes());
                self.put(Family::HostidKeyBlock, key, block)
            }
            Change::DeleteBlock { host, key } => {
                let key = joined(&id_prefix(host.as_str()), key.as_bytes());
                self.rows.delete(Family::HostidKeyBlock, key);
                Ok(())
            }
            Change::PutCounts(counts) => self.put(Family::GlobalSchema, *b"counts", counts),
            Change::ErasePortal(portal) => self.erase_portal(portal),
            Change::EraseLink(link) => {
                let id = link.id.as_u128();
                self.rows.delete(Family::LinkidLink, id.to_be_bytes());
                self.rows.delete(Family::TokenhashLinkid, link.token_hash.0);
                self.rows
                    .delete(Family::HostidLinkid, id_pair(link.host.as_str(), id));
                Ok(())
            }
        }
    }
}

impl StoreTransaction for RocksTransaction<'_> {
    fn apply(&mut self, changes: &Changes) -> Read<()> {
        changes
            .0
            .iter()
            .try_for_each(|change| self.apply_one(change))
    }

    fn commit(self) -> Read<()> {
        let mut batch = WriteBatch::default();
        for ((number, key), value) in &self.rows.overlay {
            let Some(family) = Family::ALL.get(*number) else {
                continue;
            };
            let handle = self.rows.handle(*family)?;
            match value {
                Some(value) => batch.put_cf(handle, key, value),
                None => batch.delete_cf(handle, key),
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.rows
            .db
            .write_opt(batch, &durable())
            .map_err(|source| backend(Family::GlobalSchema, source))
    }
}

#[cfg(test)]
mod tests;
