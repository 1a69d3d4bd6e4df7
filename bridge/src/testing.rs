//! For tests: a store in memory, and the tests that every store must pass.

pub mod conformance;
pub mod frail;
mod rows;
pub mod sample;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::alarm::Subject;
use crate::audit::{AuditEntry, AuditId};
use crate::block::Block;
use crate::bot_record::BotRecord;
use crate::count::Counts;
use crate::effect::Effect;
use crate::frame::InboxFrame;
use crate::host::{Host, ManagementRoom};
use crate::id::{EffectId, LinkId, PortalId, RoomId, UserId};
use crate::link::{Link, TokenHash};
use crate::permission::{Rule, RuleShelf};
use crate::portal::Portal;
use crate::steering::Steering;
use crate::store::{AsideChat, Changes, Digest, Facts, Read, Store, StoreTransaction};
use crate::time::Timestamp;

use rows::Rows;

/// A store that forgets everything when it is dropped. A transaction works on a copy.
#[derive(Debug, Default)]
pub struct MemoryStore {
    rows: Mutex<Rows>,
}

impl MemoryStore {
    /// A store without rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        // A test that panicked elsewhere leaves whole rows: a commit replaces them at once.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    type Transaction<'a> = MemoryTransaction<'a>;

    fn begin(&self) -> MemoryTransaction<'_> {
        MemoryTransaction {
            rows: self.rows().clone(),
            store: self,
        }
    }
}

/// An open round on a [`MemoryStore`].
#[derive(Debug)]
pub struct MemoryTransaction<'a> {
    store: &'a MemoryStore,
    rows: Rows,
}

impl StoreTransaction for MemoryTransaction<'_> {
    fn apply(&mut self, changes: &Changes) -> Read<()> {
        changes.0.iter().for_each(|change| self.rows.apply(change));
        Ok(())
    }

    fn commit(self) -> Read<()> {
        *self.store.rows() = self.rows;
        Ok(())
    }
}

/// Reads from whatever `$rows` gives: the committed rows of a store, or a transaction's own.
macro_rules! facts {
    ($name:ty, |$this:ident| $rows:expr) => {
        impl Facts for $name {
            fn link(&self, id: LinkId) -> Read<Option<Link>> {
                let $this = self;
                Ok($rows.link(id))
            }
            fn link_by_token(&self, hash: &TokenHash) -> Read<Option<Link>> {
                let $this = self;
                Ok($rows.link_by_token(hash))
            }
            fn links_of_host(&self, host: &UserId) -> Read<Vec<Link>> {
                let $this = self;
                Ok($rows.links_of_host(host))
            }
            fn portal(&self, id: PortalId) -> Read<Option<Portal>> {
                let $this = self;
                $rows.readable(Some(id))
            }
            fn portal_by_room(&self, room: &RoomId) -> Read<Option<Portal>> {
                let $this = self;
                let id = $rows.id_by_room(room);
                $rows.readable(id)
            }
            fn portal_by_ghost(&self, ghost: &UserId) -> Read<Option<Portal>> {
                let $this = self;
                let id = $rows.id_by_ghost(ghost);
                $rows.readable(id)
            }
            fn portals_of_host(&self, host: &UserId) -> Read<Vec<Portal>> {
                let $this = self;
                Ok($rows.portals_of_host(host))
            }
            fn due(&self, now: Timestamp, limit: usize) -> Read<Vec<PortalId>> {
                let $this = self;
                Ok($rows.due(now, limit))
            }
            fn alarms(&self, now: Timestamp, limit: usize) -> Read<Vec<(Timestamp, Subject)>> {
                let $this = self;
                Ok($rows.alarms(now, limit))
            }
            fn block(&self, host: &UserId, key: &str) -> Read<Option<Block>> {
                let $this = self;
                Ok($rows.block(host, key))
            }
            fn blocks_of_host(&self, host: &UserId) -> Read<Vec<Block>> {
                let $this = self;
                Ok($rows.blocks_of_host(host))
            }
            fn counts(&self) -> Read<Counts> {
                let $this = self;
                Ok($rows.counts())
            }
            fn host(&self, user: &UserId) -> Read<Option<Host>> {
                let $this = self;
                Ok($rows.host(user))
            }
            fn hosts(&self, after: Option<&UserId>, limit: usize) -> Read<Vec<Host>> {
                let $this = self;
                Ok($rows.hosts(after, limit))
            }
            fn link_by_serial(&self, serial: u64) -> Read<Option<Link>> {
                let $this = self;
                Ok($rows.link_by_serial(serial))
            }
            fn links_before(&self, before: Option<u64>, limit: usize) -> Read<Vec<Link>> {
                let $this = self;
                Ok($rows.links_before(before, limit))
            }
            fn steering(&self) -> Read<Steering> {
                let $this = self;
                Ok($rows.steering())
            }
            fn audit(&self, before: Option<AuditId>, limit: usize) -> Read<Vec<AuditEntry>> {
                let $this = self;
                Ok($rows.audit(before, limit))
            }
            fn audit_until(&self, until: Timestamp, limit: usize) -> Read<Vec<AuditId>> {
                let $this = self;
                Ok($rows.audit_until(until, limit))
            }
            fn rules(&self, shelf: RuleShelf, entity: Option<&str>) -> Read<Vec<Rule>> {
                let $this = self;
                Ok($rows.rules(shelf, entity))
            }
            fn management_room(&self, room: &RoomId) -> Read<Option<ManagementRoom>> {
                let $this = self;
                Ok($rows.management_room(room))
            }
            fn bot_records(&self) -> Read<BTreeMap<String, BotRecord>> {
                let $this = self;
                Ok($rows.bot_records())
            }
            fn effect(&self, id: EffectId) -> Read<Option<Effect>> {
                let $this = self;
                Ok($rows.effect(id))
            }
            fn effects(
                &self,
                after: Option<EffectId>,
                limit: usize,
            ) -> Read<Vec<(EffectId, Option<Effect>)>> {
                let $this = self;
                Ok($rows.effects(after, limit))
            }
            fn frames(
                &self,
                portal: PortalId,
                after: u64,
                limit: usize,
            ) -> Read<Vec<(u64, InboxFrame)>> {
                let $this = self;
                Ok($rows.frames(portal, after, limit))
            }
            fn transaction_seen(&self, txn: &str) -> Read<bool> {
                let $this = self;
                Ok($rows.transaction_seen(txn))
            }
            fn digest_seen(&self, portal: PortalId, digest: Digest) -> Read<bool> {
                let $this = self;
                Ok($rows.digest_seen(portal, digest))
            }
            fn is_set_aside(&self, portal: PortalId) -> Read<bool> {
                let $this = self;
                Ok($rows.is_set_aside(portal))
            }
            fn set_aside_until(&self, until: Timestamp, limit: usize) -> Read<Vec<AsideChat>> {
                let $this = self;
                Ok($rows.set_aside_until(until, limit))
            }
        }
    };
}

facts!(MemoryStore, |store| store.rows());
facts!(MemoryTransaction<'_>, |transaction| transaction.rows);
