//! A store that fails when it is told to, in the ways in which a disk does.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

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
use crate::store::{
    AsideChat, Changes, DamagedRow, Digest, Facts, Read, Store, StoreError, StoreTransaction,
};
use crate::time::Timestamp;

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// It is done.
    #[default]
    Well,
    /// It fails and leaves nothing.
    Fails,
    /// It is done, and yet said to have failed: an fsync that went wrong.
    FailsAfterwards,
    /// It waits until it is told otherwise.
    Hangs,
}

/// Another store, the commits of which can be made to fail.
#[derive(Debug, Default)]
pub struct FrailStore<S> {
    inner: S,
    fate: Mutex<Fate>,
    changed: Condvar,
}

impl<S> FrailStore<S> {
    /// Stands before this store.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            fate: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// From now on commits, also those that hang, go like this.
    pub fn set(&self, fate: Fate) {
        *self.fate() = fate;
        self.changed.notify_all();
    }

    fn fate(&self) -> MutexGuard<'_, Fate> {
        // A fate can't be left half-done by a test that panicked.
        self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fate of a commit that begins now, once there is one.
    fn decided(&self) -> Fate {
        let mut fate = self.fate();
        while *fate == Fate::Hangs {
            fate = self
                .changed
                .wait(fate)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *fate
    }
}

impl<S: Store> Store for FrailStore<S> {
    type Transaction<'a>
        = FrailTransaction<'a, S>
    where
        S: 'a;

    fn begin(&self) -> FrailTransaction<'_, S> {
        FrailTransaction {
            round: self.inner.begin(),
            store: self,
        }
    }

    fn mend(&self) -> bool {
        self.inner.mend()
    }
}

/// An open round on a [`FrailStore`].
pub struct FrailTransaction<'a, S: Store + 'a> {
    round: S::Transaction<'a>,
    store: &'a FrailStore<S>,
}

impl<'a, S: Store + 'a> StoreTransaction for FrailTransaction<'a, S> {
    fn apply(&mut self, changes: &Changes) -> Read<()> {
        self.round.apply(changes)
    }

    fn left_out(&mut self) -> Vec<DamagedRow> {
        self.round.left_out()
    }

    fn commit(self) -> Read<()> {
        let fate = self.store.decided();
        if fate != Fate::Fails {
            self.round.commit()?;
        }
        if fate == Fate::Well {
            return Ok(());
        }
        Err(StoreError::Backend {
            family: "all",
            source: "no space left on device".into(),
        })
    }
}

impl<'a, S: Store + 'a> Facts for FrailTransaction<'a, S> {
    fn link(&self, id: LinkId) -> Read<Option<Link>> {
        self.round.link(id)
    }
    fn link_by_token(&self, hash: &TokenHash) -> Read<Option<Link>> {
        self.round.link_by_token(hash)
    }
    fn links_of_host(&self, host: &UserId) -> Read<Vec<Link>> {
        self.round.links_of_host(host)
    }
    fn portal(&self, id: PortalId) -> Read<Option<Portal>> {
        self.round.portal(id)
    }
    fn portal_by_room(&self, room: &RoomId) -> Read<Option<Portal>> {
        self.round.portal_by_room(room)
    }
    fn portal_by_ghost(&self, ghost: &UserId) -> Read<Option<Portal>> {
        self.round.portal_by_ghost(ghost)
    }
    fn portals_of_host(&self, host: &UserId) -> Read<Vec<Portal>> {
        self.round.portals_of_host(host)
    }
    fn due(&self, now: Timestamp, limit: usize) -> Read<Vec<PortalId>> {
        self.round.due(now, limit)
    }
    fn alarms(&self, now: Timestamp, limit: usize) -> Read<Vec<(Timestamp, Subject)>> {
        self.round.alarms(now, limit)
    }
    fn block(&self, host: &UserId, key: &str) -> Read<Option<Block>> {
        self.round.block(host, key)
    }
    fn blocks_of_host(&self, host: &UserId) -> Read<Vec<Block>> {
        self.round.blocks_of_host(host)
    }
    fn counts(&self) -> Read<Counts> {
        self.round.counts()
    }
    fn host(&self, user: &UserId) -> Read<Option<Host>> {
        self.round.host(user)
    }
    fn hosts(&self, after: Option<&UserId>, limit: usize) -> Read<Vec<Host>> {
        self.round.hosts(after, limit)
    }
    fn link_by_serial(&self, serial: u64) -> Read<Option<Link>> {
        self.round.link_by_serial(serial)
    }
    fn links_before(&self, before: Option<u64>, limit: usize) -> Read<Vec<Link>> {
        self.round.links_before(before, limit)
    }
    fn steering(&self) -> Read<Steering> {
        self.round.steering()
    }
    fn audit(&self, before: Option<AuditId>, limit: usize) -> Read<Vec<AuditEntry>> {
        self.round.audit(before, limit)
    }
    fn audit_until(&self, until: Timestamp, limit: usize) -> Read<Vec<AuditId>> {
        self.round.audit_until(until, limit)
    }
    fn rules(&self, shelf: RuleShelf, entity: Option<&str>) -> Read<Vec<Rule>> {
        self.round.rules(shelf, entity)
    }
    fn management_room(&self, room: &RoomId) -> Read<Option<ManagementRoom>> {
        self.round.management_room(room)
    }
    fn bot_records(&self) -> Read<BTreeMap<String, BotRecord>> {
        self.round.bot_records()
    }
    fn effect(&self, id: EffectId) -> Read<Option<Effect>> {
        self.round.effect(id)
    }
    fn effects(
        &self,
        after: Option<EffectId>,
        limit: usize,
    ) -> Read<Vec<(EffectId, Option<Effect>)>> {
        self.round.effects(after, limit)
    }
    fn frames(&self, portal: PortalId, after: u64, limit: usize) -> Read<Vec<(u64, InboxFrame)>> {
        self.round.frames(portal, after, limit)
    }
    fn transaction_seen(&self, txn: &str) -> Read<bool> {
        self.round.transaction_seen(txn)
    }
    fn digest_seen(&self, portal: PortalId, digest: Digest) -> Read<bool> {
        self.round.digest_seen(portal, digest)
    }
    fn is_set_aside(&self, portal: PortalId) -> Read<bool> {
        self.round.is_set_aside(portal)
    }
    fn set_aside_until(&self, until: Timestamp, limit: usize) -> Read<Vec<AsideChat>> {
        self.round.set_aside_until(until, limit)
    }
}
