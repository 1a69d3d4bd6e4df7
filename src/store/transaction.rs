//! An open round: what its changes make of the rows.

use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};
use vestibule_bridge::id::PortalId;
use vestibule_bridge::link::Link;
use vestibule_bridge::permission::Rule;
use vestibule_bridge::portal::Portal;
use vestibule_bridge::store::{
    Change, Changes, DamagedRow, Facts as _, REMEMBERED_TRANSACTIONS, Read, StoreTransaction,
};
use vestibule_bridge::time::Timestamp;

use super::codec::{
    after_prefix, alarm_key, audit_key, backend, id_pair, id_prefix, joined, serial_key,
    shelf_prefix, to_json, trailing_number,
};
use super::families::Family;
use super::health::Health;
use super::rows::{Opened, Row, Rows, handle};
use super::sweep::Deleted;
use super::{COUNTS_KEY, STEERING_KEY, TRANSACTIONS_KEY, durable};

/// The rows with the round's changes laid over them.
pub struct RocksTransaction<'a> {
    pub(super) rows: Rows<'a>,
    health: &'a Health,
    deleted: &'a Deleted,
}

/// That a portal was set aside.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// When it was found first; none when that was while the store was opened.
    pub at: Option<Timestamp>,
    /// How often it was in the way.
    pub count: u64,
}

impl<'a> RocksTransaction<'a> {
    pub(super) fn new(db: Opened<'a>, health: &'a Health, deleted: &'a Deleted) -> Self {
        Self {
            rows: Rows::new(db, health),
            health,
            deleted,
        }
    }

    fn put<T: Serialize>(&mut self, family: Family, key: impl Into<Vec<u8>>, row: &T) -> Read<()> {
        self.rows.put(family, key, &to_json(family, row)?);
        Ok(())
    }

    fn put_link(&mut self, link: &Link) -> Read<()> {
        let id = link.id.as_u128();
        // A link whose words were lost gets a new token; the old one must lead nowhere.
        let before = self.link(link.id);
        if let Some(before) = self.rows.or_leave_out(before)?.flatten()
            && before.token_hash != link.token_hash
        {
            self.rows
                .delete(Family::TokenhashLinkid, before.token_hash.0);
        }
        self.put(Family::LinkidLink, id.to_be_bytes(), link)?;
        self.rows.put(
            Family::TokenhashLinkid,
            link.token_hash.0,
            &id.to_be_bytes(),
        );
        self.rows
            .put(Family::HostidLinkid, id_pair(link.host.as_str(), id), &[]);
        if link.serial > 0 {
            self.rows.put(
                Family::SerialLinkid,
                serial_key(link.serial),
                &id.to_be_bytes(),
            );
        }
        Ok(())
    }

    fn put_portal(
        &mut self,
        portal: &Portal,
        was_due: Option<Timestamp>,
        due: Option<Timestamp>,
    ) -> Read<()> {
        let id = portal.id.as_u128().to_be_bytes();
        self.put(Family::PortalidPortal, id, portal)?;
        self.put_index(Family::GhostidPortalid, portal.ghost.as_str(), id);
        self.rows.put(
            Family::HostidPortalid,
            id_pair(portal.host.as_str(), portal.id.as_u128()),
            &[],
        );
        if let Some(room) = portal.room() {
            self.put_index(Family::RoomidPortalid, room.as_str(), id);
        }
        if was_due != due {
            if let Some(was_due) = was_due {
                self.rows.delete(
                    Family::DeadlinePortalid,
                    joined(&was_due.0.to_be_bytes(), &id),
                );
            }
            if let Some(due) = due {
                self.rows.put(
                    Family::DeadlinePortalid,
                    joined(&due.0.to_be_bytes(), &id),
                    &[],
                );
            }
        }
        Ok(())
    }

    fn put_index(&mut self, family: Family, key: &str, id: [u8; 16]) {
        self.rows.put(family, key, &id);
    }

    fn delete_frames(&mut self, portal: PortalId, through: u64) -> Read<()> {
        let portal = portal.as_u128().to_be_bytes();
        let end = match through.checked_add(1) {
            Some(next) => Some(joined(&portal, &next.to_be_bytes())),
            None => after_prefix(&portal),
        };
        let family = Family::PortalSeqFrame;
        for Row { key, .. } in self
            .rows
            .range(family, &portal, end.as_deref(), usize::MAX)?
        {
            self.rows.delete(family, key);
        }
        Ok(())
    }

    fn remember_transaction(&mut self, txn: &str) -> Read<()> {
        if self.transaction_seen(txn)? {
            return Ok(());
        }
        let last = self.row::<u64>(Family::GlobalSchema, TRANSACTIONS_KEY);
        let next = match self.rows.or_leave_out(last)? {
            Some(Some(last)) => last.saturating_add(1),
            Some(None) => 0,
            None => self.numbers_end()?,
        };
        self.put(Family::GlobalSchema, TRANSACTIONS_KEY, &next)?;
        self.rows.put(Family::TxnidNumber, txn, &next.to_be_bytes());
        self.rows
            .put(Family::NumberTxnid, next.to_be_bytes(), txn.as_bytes());
        let Some(oldest) = next.checked_sub(REMEMBERED_TRANSACTIONS) else {
            return Ok(());
        };
        let forgotten = self.rows.get(Family::NumberTxnid, &oldest.to_be_bytes());
        // One that doesn't read is never forgotten, which costs its few bytes.
        if let Some(forgotten) = self.rows.or_leave_out(forgotten)?.flatten() {
            self.rows.delete(Family::TxnidNumber, forgotten);
            self.rows.delete(Family::NumberTxnid, oldest.to_be_bytes());
        }
        Ok(())
    }

    /// The number after the last transaction's, found by the transactions themselves.
    fn numbers_end(&self) -> Read<u64> {
        let family = Family::NumberTxnid;
        let numbers = self.rows.range(family, &[], None, usize::MAX)?;
        let mut end = 0;
        for Row { key, .. } in numbers {
            let number = self.rows.or_leave_out(trailing_number(family, &key))?;
            end = end.max(number.unwrap_or_default().saturating_add(1));
        }
        Ok(end)
    }

    /// Sets a portal aside; it is not due any more either, under whatever deadline it stands.
    pub(super) fn set_aside(&mut self, portal: PortalId, at: Option<Timestamp>) -> Read<()> {
        let key = portal.as_u128().to_be_bytes();
        let before = self.row::<Quarantined>(Family::PortalidQuarantine, &key);
        let before = self.rows.or_leave_out(before)?.flatten();
        let known_since = before.as_ref().and_then(|before| before.at);
        // What was set aside while the store was opened is still due.
        if known_since.is_none() {
            let family = Family::DeadlinePortalid;
            for Row { key: deadline, .. } in self.rows.range(family, &[], None, usize::MAX)? {
                if deadline.ends_with(&key) {
                    self.rows.delete(family, deadline);
                }
            }
        }
        let row = Quarantined {
            at: known_since.or(at),
            count: before.map_or(0, |before| before.count).saturating_add(1),
        };
        self.put(Family::PortalidQuarantine, key, &row)
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
            for Row { key, .. } in self.rows.prefix(family, &id.to_be_bytes())? {
                self.rows.delete(family, key);
            }
        }
        Ok(())
    }

    /// Its own row may not read, so whatever leads to it is looked for.
    fn erase_aside(&mut self, portal: PortalId) -> Read<()> {
        let id = portal.as_u128().to_be_bytes();
        for family in [
            Family::PortalidPortal,
            Family::PortalSeqFrame,
            Family::PortalDigestSeen,
            Family::PortalidQuarantine,
        ] {
            for Row { key, .. } in self.rows.prefix(family, &id)? {
                self.rows.delete(family, key);
            }
        }
        let alarm = joined(&[1], &id);
        for (family, end) in [
            (Family::HostidPortalid, id.as_slice()),
            (Family::DeadlinePortalid, id.as_slice()),
            (Family::TimeAlarm, alarm.as_slice()),
        ] {
            for Row { key, .. } in self.rows.range(family, &[], None, usize::MAX)? {
                if key.ends_with(end) {
                    self.rows.delete(family, key);
                }
            }
        }
        for family in [Family::GhostidPortalid, Family::RoomidPortalid] {
            for Row { key, payload } in self.rows.range(family, &[], None, usize::MAX)? {
                if payload.is_ok_and(|payload| payload == id) {
                    self.rows.delete(family, key);
                }
            }
        }
        Ok(())
    }

    fn erase_link(&mut self, link: &Link) {
        let id = link.id.as_u128();
        self.rows.delete(Family::LinkidLink, id.to_be_bytes());
        self.rows.delete(Family::TokenhashLinkid, link.token_hash.0);
        self.rows
            .delete(Family::HostidLinkid, id_pair(link.host.as_str(), id));
        self.rows
            .delete(Family::SerialLinkid, serial_key(link.serial));
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
            Change::PutBotRecord { key, record } => {
                self.rows.put(Family::BotCrypto, key.as_str(), &record.0);
                Ok(())
            }
            Change::DeleteBotRecord(key) => {
                self.rows.delete(Family::BotCrypto, key.as_str());
                Ok(())
            }
            Change::ForgetBot => {
                for Row { key, .. } in self.rows.prefix(Family::BotCrypto, &[])? {
                    self.rows.delete(Family::BotCrypto, key);
                }
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
                    &[],
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
                        .put(Family::TimeAlarm, alarm_key(*at, *subject), &[]);
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
            Change::PutCounts(counts) => self.put(Family::GlobalSchema, COUNTS_KEY, counts),
            Change::PutSteering(steering) => self.put(Family::GlobalSchema, STEERING_KEY, steering),
            Change::PutAudit(entry) => self.put(Family::AuditEntry, audit_key(entry.id), entry),
            Change::DeleteAudit(id) => {
                self.rows.delete(Family::AuditEntry, audit_key(*id));
                Ok(())
            }
            Change::PutRule(rule) => self.put(Family::ShelfEntityRule, rule_key(rule), rule),
            Change::DeleteRule(rule) => {
                self.rows.delete(Family::ShelfEntityRule, rule_key(rule));
                Ok(())
            }
            Change::ErasePortal(portal) => self.erase_portal(portal),
            Change::EraseLink(link) => {
                self.erase_link(link);
                Ok(())
            }
            Change::SetAside { portal, at } => self.set_aside(*portal, Some(*at)),
            Change::EraseAside(portal) => self.erase_aside(*portal),
        }
    }
}

fn rule_key(rule: &Rule) -> Vec<u8> {
    let prefix = shelf_prefix(rule.shelf(), Some(&rule.entity));
    joined(&prefix, rule.room.as_str().as_bytes())
}

impl StoreTransaction for RocksTransaction<'_> {
    fn apply(&mut self, changes: &Changes) -> Read<()> {
        changes
            .0
            .iter()
            .try_for_each(|change| self.apply_one(change))
    }

    fn left_out(&mut self) -> Vec<DamagedRow> {
        self.rows.left_out()
    }

    fn commit(self) -> Read<()> {
        if self.rows.overlay.is_empty() {
            return Ok(());
        }
        let family = Family::GlobalSchema;
        let db = self.rows.db(family)?;
        if self.health.is_broken() {
            return Err(backend(family, self.health.closed()));
        }
        let mut batch = WriteBatch::default();
        for ((number, key), value) in &self.rows.overlay {
            let Some(family) = Family::ALL.get(*number) else {
                continue;
            };
            let handle = handle(db, *family)?;
            match value {
                Some(value) => batch.put_cf(handle, key, value),
                None => {
                    // Told too often rather than not: the commit may fail.
                    self.deleted.note(*family);
                    batch.delete_cf(handle, key);
                }
            }
        }
        db.write_opt(batch, &durable()).map_err(|error| {
            self.health.failed(&error);
            backend(family, error)
        })?;
        self.health.acknowledged(db.latest_sequence_number());
        Ok(())
    }
}
