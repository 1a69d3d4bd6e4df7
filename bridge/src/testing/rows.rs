//! The rows in memory, and the indexes over them, kept as a store on disk would keep them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

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
    AsideChat, Change, DamagedRow, Digest, Owner, REMEMBERED_TRANSACTIONS, Read, StoreError,
};
use crate::time::Timestamp;

#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    links: BTreeMap<LinkId, Link>,
    links_by_token: BTreeMap<[u8; 32], LinkId>,
    portals: BTreeMap<PortalId, Portal>,
    portals_by_room: BTreeMap<RoomId, PortalId>,
    portals_by_ghost: BTreeMap<UserId, PortalId>,
    deadlines: BTreeSet<(Timestamp, PortalId)>,
    hosts: BTreeMap<UserId, Host>,
    management_rooms: BTreeMap<RoomId, ManagementRoom>,
    effects: BTreeMap<EffectId, Effect>,
    frames: BTreeMap<(PortalId, u64), InboxFrame>,
    transactions: VecDeque<String>,
    digests: BTreeSet<(PortalId, Digest)>,
    alarms: BTreeSet<(Timestamp, Subject)>,
    blocks: BTreeMap<(UserId, String), Block>,
    counts: Counts,
    steering: Steering,
    audit: BTreeMap<AuditId, AuditEntry>,
    rules: BTreeSet<Rule>,
    set_aside: BTreeMap<PortalId, Timestamp>,
    bot: BTreeMap<String, BotRecord>,
}

impl Rows {
    pub(super) fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::PutLink(link) => {
                self.links_by_token.insert(link.token_hash.0, link.id);
                self.links.insert(link.id, link);
            }
            Change::PutPortal {
                portal,
                was_due,
                due,
            } => self.put_portal(*portal, was_due, due),
            Change::PutHost(host) => {
                self.hosts.insert(host.user.clone(), host);
            }
            Change::PutManagementRoom(room) => {
                self.management_rooms.insert(room.room.clone(), room);
            }
            Change::DeleteManagementRoom(room) => {
                self.management_rooms.remove(&room);
            }
            Change::PutBotRecord { key, record } => {
                self.bot.insert(key, record);
            }
            Change::DeleteBotRecord(key) => {
                self.bot.remove(&key);
            }
            Change::ForgetBot => self.bot.clear(),
            Change::PutFrame { portal, seq, frame } => {
                self.frames.insert((portal, seq), frame);
            }
            Change::DeleteFrames { portal, through } => {
                self.frames
                    .retain(|(of, seq), _| *of != portal || *seq > through);
            }
            Change::PutEffect { id, effect } => {
                self.effects.insert(id, effect);
            }
            Change::DeleteEffect(id) => {
                self.effects.remove(&id);
            }
            Change::RememberTransaction(txn) => self.remember_transaction(txn),
            Change::RememberDigest { portal, digest } => {
                self.digests.insert((portal, digest));
            }
            Change::SetAlarm { subject, was, at } => {
                was.map(|was| self.alarms.remove(&(was, subject)));
                at.map(|at| self.alarms.insert((at, subject)));
            }
            Change::PutBlock(block) => {
                let key = (block.host.clone(), block.key.clone());
                self.blocks.insert(key, block);
            }
            Change::DeleteBlock { host, key } => {
                self.blocks.remove(&(host, key));
            }
            Change::PutCounts(counts) => self.counts = counts,
            Change::PutSteering(steering) => self.steering = steering,
            Change::PutAudit(entry) => {
                self.audit.insert(entry.id, entry);
            }
            Change::DeleteAudit(id) => {
                self.audit.remove(&id);
            }
            Change::PutRule(rule) => {
                self.rules.insert(rule);
            }
            Change::DeleteRule(rule) => {
                self.rules.remove(&rule);
            }
            Change::ErasePortal(portal) => self.erase_portal(&portal),
            Change::EraseLink(link) => {
                self.links_by_token.remove(&link.token_hash.0);
                self.links.remove(&link.id);
            }
            Change::SetAside { portal, at } => {
                self.set_aside.entry(portal).or_insert(at);
                self.deadlines.retain(|(_, of)| *of != portal);
            }
            Change::EraseAside(portal) => self.erase_aside(portal),
        }
    }

    fn put_portal(&mut self, portal: Portal, was_due: Option<Timestamp>, due: Option<Timestamp>) {
        if let Some(was_due) = was_due {
            self.deadlines.remove(&(was_due, portal.id));
        }
        if let Some(due) = due {
            self.deadlines.insert((due, portal.id));
        }
        if let Some(room) = portal.room() {
            self.portals_by_room.insert(room.clone(), portal.id);
        }
        self.portals_by_ghost
            .insert(portal.ghost.clone(), portal.id);
        self.portals.insert(portal.id, portal);
    }

    fn erase_portal(&mut self, portal: &Portal) {
        if let Some(room) = portal.room() {
            self.portals_by_room.remove(room);
        }
        self.portals_by_ghost.remove(&portal.ghost);
        self.portals.remove(&portal.id);
        self.frames.retain(|(of, _), _| *of != portal.id);
        self.digests.retain(|(of, _)| *of != portal.id);
    }

    fn erase_aside(&mut self, id: PortalId) {
        if let Some(portal) = self.portals.get(&id).cloned() {
            self.erase_portal(&portal);
        }
        self.deadlines.retain(|(_, of)| *of != id);
        self.alarms.retain(|(_, of)| *of != Subject::Portal(id));
        self.set_aside.remove(&id);
    }

    pub(super) fn set_aside_until(&self, until: Timestamp, limit: usize) -> Vec<AsideChat> {
        let long_ago = self.set_aside.iter().filter(|(_, at)| **at <= until);
        let chats = long_ago.map(|(portal, _)| AsideChat {
            portal: *portal,
            host: self.portals.get(portal).map(|row| row.host.clone()),
        });
        chats.take(limit).collect()
    }

    fn remember_transaction(&mut self, txn: String) {
        if self.transaction_seen(&txn) {
            return;
        }
        self.transactions.push_back(txn);
        let kept = usize::try_from(REMEMBERED_TRANSACTIONS).unwrap_or(usize::MAX);
        if self.transactions.len() > kept {
            self.transactions.pop_front();
        }
    }

    pub(super) fn link(&self, id: LinkId) -> Option<Link> {
        self.links.get(&id).cloned()
    }

    /// A link that was given another token is not found by its former one.
    pub(super) fn link_by_token(&self, hash: &TokenHash) -> Option<Link> {
        let link = self.link(*self.links_by_token.get(&hash.0)?)?;
        (link.token_hash == *hash).then_some(link)
    }

    pub(super) fn links_of_host(&self, host: &UserId) -> Vec<Link> {
        self.links
            .values()
            .filter(|link| link.host == *host)
            .cloned()
            .collect()
    }

    /// The portal, unless it was set aside.
    pub(super) fn readable(&self, id: Option<PortalId>) -> Read<Option<Portal>> {
        match id {
            Some(id) if self.is_set_aside(id) => Err(StoreError::Damaged(DamagedRow {
                family: "set aside",
                owner: Owner::Portal(id),
            })),
            Some(id) => Ok(self.portals.get(&id).cloned()),
            None => Ok(None),
        }
    }

    pub(super) fn id_by_room(&self, room: &RoomId) -> Option<PortalId> {
        self.portals_by_room.get(room).copied()
    }

    pub(super) fn id_by_ghost(&self, ghost: &UserId) -> Option<PortalId> {
        self.portals_by_ghost.get(ghost).copied()
    }

    pub(super) fn portals_of_host(&self, host: &UserId) -> Vec<Portal> {
        self.portals
            .values()
            .filter(|portal| portal.host == *host && !self.is_set_aside(portal.id))
            .cloned()
            .collect()
    }

    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<PortalId> {
        let due = self
            .deadlines
            .iter()
            .take_while(|(deadline, _)| *deadline <= now);
        due.take(limit).map(|(_, portal)| *portal).collect()
    }

    pub(super) fn alarms(&self, now: Timestamp, limit: usize) -> Vec<(Timestamp, Subject)> {
        let ringing = self.alarms.iter().take_while(|(at, _)| *at <= now);
        ringing.take(limit).copied().collect()
    }

    pub(super) fn block(&self, host: &UserId, key: &str) -> Option<Block> {
        self.blocks.get(&(host.clone(), key.to_owned())).cloned()
    }

    pub(super) fn blocks_of_host(&self, host: &UserId) -> Vec<Block> {
        let theirs = self.blocks.values().filter(|block| block.host == *host);
        theirs.cloned().collect()
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn host(&self, user: &UserId) -> Option<Host> {
        self.hosts.get(user).cloned()
    }

    pub(super) fn hosts(&self, after: Option<&UserId>, limit: usize) -> Vec<Host> {
        let later = |host: &&Host| after.is_none_or(|after| host.user > *after);
        self.hosts
            .values()
            .filter(later)
            .take(limit)
            .cloned()
            .collect()
    }

    pub(super) fn link_by_serial(&self, serial: u64) -> Option<Link> {
        let known = |link: &&Link| link.serial == serial && serial > 0;
        self.links.values().find(known).cloned()
    }

    pub(super) fn links_before(&self, before: Option<u64>, limit: usize) -> Vec<Link> {
        let below =
            |link: &&Link| link.serial > 0 && before.is_none_or(|before| link.serial < before);
        let mut links: Vec<Link> = self.links.values().filter(below).cloned().collect();
        links.sort_by_key(|link| std::cmp::Reverse(link.serial));
        links.truncate(limit);
        links
    }

    pub(super) fn steering(&self) -> Steering {
        self.steering.clone()
    }

    pub(super) fn audit(&self, before: Option<AuditId>, limit: usize) -> Vec<AuditEntry> {
        let newest = self.audit.iter().rev();
        let earlier = newest.filter(|(id, _)| before.is_none_or(|before| **id < before));
        earlier
            .take(limit)
            .map(|(_, entry)| entry.clone())
            .collect()
    }

    pub(super) fn audit_until(&self, until: Timestamp, limit: usize) -> Vec<AuditId> {
        let old = self.audit.keys().rev().filter(|id| id.at <= until);
        old.take(limit).copied().collect()
    }

    pub(super) fn rules(&self, shelf: RuleShelf, entity: Option<&str>) -> Vec<Rule> {
        let there = |rule: &&Rule| {
            rule.shelf() == shelf && entity.is_none_or(|entity| rule.entity == entity)
        };
        self.rules.iter().filter(there).cloned().collect()
    }

    pub(super) fn management_room(&self, room: &RoomId) -> Option<ManagementRoom> {
        self.management_rooms.get(room).cloned()
    }

    pub(super) fn bot_records(&self) -> BTreeMap<String, BotRecord> {
        self.bot.clone()
    }

    pub(super) fn effect(&self, id: EffectId) -> Option<Effect> {
        self.effects.get(&id).cloned()
    }

    pub(super) fn effects(
        &self,
        after: Option<EffectId>,
        limit: usize,
    ) -> Vec<(EffectId, Option<Effect>)> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let waiting = self.effects.range((after, Bound::Unbounded));
        waiting
            .take(limit)
            .map(|(id, effect)| (*id, Some(effect.clone())))
            .collect()
    }

    pub(super) fn frames(
        &self,
        portal: PortalId,
        after: u64,
        limit: usize,
    ) -> Vec<(u64, InboxFrame)> {
        let range = (
            Bound::Excluded((portal, after)),
            Bound::Included((portal, u64::MAX)),
        );
        // A range whose ends are the same excluded and included key is empty, and not allowed.
        if after == u64::MAX {
            return Vec::new();
        }
        self.frames
            .range(range)
            .take(limit)
            .map(|((_, seq), frame)| (*seq, frame.clone()))
            .collect()
    }

    pub(super) fn transaction_seen(&self, txn: &str) -> bool {
        self.transactions.iter().any(|known| known == txn)
    }

    pub(super) fn digest_seen(&self, portal: PortalId, digest: Digest) -> bool {
        self.digests.contains(&(portal, digest))
    }

    pub(super) fn is_set_aside(&self, portal: PortalId) -> bool {
        self.set_aside.contains_key(&portal)
    }
}
