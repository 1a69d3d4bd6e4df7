//! What the domain reads.

use std::collections::BTreeMap;

use vestibule_bridge::alarm::Subject;
use vestibule_bridge::audit::{AuditEntry, AuditId};
use vestibule_bridge::block::Block;
use vestibule_bridge::bot_record::BotRecord;
use vestibule_bridge::count::Counts;
use vestibule_bridge::effect::Effect;
use vestibule_bridge::frame::InboxFrame;
use vestibule_bridge::host::{Host, ManagementRoom};
use vestibule_bridge::id::{EffectId, LinkId, PortalId, RoomId, UserId};
use vestibule_bridge::link::{Link, TokenHash};
use vestibule_bridge::permission::{Rule, RuleShelf};
use vestibule_bridge::portal::Portal;
use vestibule_bridge::steering::Steering;
use vestibule_bridge::store::{AsideChat, Digest, Facts, Read};
use vestibule_bridge::time::Timestamp;

use super::codec::{
    after_prefix, alarm, audit_id, audit_key, from_json, id_prefix, joined, serial_key,
    shelf_prefix, trailing_id, trailing_number, whole_id,
};
use super::damage::damaged;
use super::families::Family;
use super::rows::Row;
use super::transaction::Quarantined;
use super::{COUNTS_KEY, RocksTransaction, STEERING_KEY};

impl RocksTransaction<'_> {
    pub(super) fn row<T: serde::de::DeserializeOwned>(
        &self,
        family: Family,
        key: &[u8],
    ) -> Read<Option<T>> {
        self.rows
            .get(family, key)?
            .map(|payload| from_json(family, key, &payload))
            .transpose()
    }

    /// The id that a row of an index leads to.
    fn target(&self, index: Family, key: &[u8]) -> Read<Option<u128>> {
        self.rows
            .get(index, key)?
            .map(|payload| whole_id(index, key, &payload))
            .transpose()
    }

    /// The row that an index leads to. Both are deleted together: a row that isn't there was lost.
    fn there<T>(&self, family: Family, id: u128, row: Read<Option<T>>) -> Read<T> {
        row?.ok_or_else(|| damaged(family, &id.to_be_bytes(), &[]))
    }

    fn portal_by(&self, index: Family, key: &str) -> Read<Option<Portal>> {
        let Some(id) = self.target(index, key.as_bytes())? else {
            return Ok(None);
        };
        let portal = self.portal(PortalId::from_u128(id));
        self.there(Family::PortalidPortal, id, portal).map(Some)
    }

    /// The ids behind all keys `host … id` of an index. An entry that is damaged is left out.
    fn ids_of(&self, index: Family, host: &UserId) -> Read<Vec<u128>> {
        let mut ids = Vec::new();
        for Row { key, payload } in self.rows.prefix(index, &id_prefix(host.as_str()))? {
            let id = payload.and_then(|_| trailing_id(index, &key));
            ids.extend(self.rows.or_leave_out(id)?);
        }
        Ok(ids)
    }

    fn listed<T>(
        &self,
        (index, family): (Family, Family),
        host: &UserId,
        read: impl Fn(u128) -> Read<Option<T>>,
    ) -> Read<Vec<T>> {
        let mut listed = Vec::new();
        for id in self.ids_of(index, host)? {
            let row = self.there(family, id, read(id));
            listed.extend(self.rows.or_leave_out(row)?);
        }
        Ok(listed)
    }

    /// The host of a chat, by the index of their chats: for one whose own row doesn't read.
    fn host_of(&self, portal: PortalId) -> Read<Option<UserId>> {
        let end = portal.as_u128().to_be_bytes();
        let index = self
            .rows
            .range(Family::HostidPortalid, &[], None, usize::MAX)?;
        let host = index.iter().find_map(|row| {
            let host = row
                .key
                .strip_suffix(&end)?
                .strip_suffix(id_prefix("").as_slice())?;
            std::str::from_utf8(host).ok()
        });
        Ok(host.map(UserId::new))
    }

    /// Up to `limit` rows of a family, from `from` on and before `end`, in order. Rows that are
    /// left out don't count, or a few of them would hide everybody else.
    fn page<T>(
        &self,
        family: Family,
        from: &[u8],
        end: Option<&[u8]>,
        limit: usize,
        read: impl Fn(&[u8], &[u8]) -> Read<T>,
    ) -> Read<Vec<T>> {
        let mut found = Vec::new();
        let mut from = from.to_vec();
        while found.len() < limit {
            let wanted = limit - found.len();
            let rows = self.rows.range(family, &from, end, wanted)?;
            let complete = rows.len() < wanted;
            if let Some(last) = rows.last() {
                from = joined(&last.key, &[0]);
            }
            for Row { key, payload } in rows {
                let one = payload.and_then(|payload| read(&key, &payload));
                found.extend(self.rows.or_leave_out(one)?);
            }
            if complete {
                break;
            }
        }
        Ok(found)
    }
}

impl Facts for RocksTransaction<'_> {
    fn link(&self, id: LinkId) -> Read<Option<Link>> {
        self.row(Family::LinkidLink, &id.as_u128().to_be_bytes())
    }

    fn link_by_token(&self, hash: &TokenHash) -> Read<Option<Link>> {
        let Some(id) = self.target(Family::TokenhashLinkid, &hash.0)? else {
            return Ok(None);
        };
        let link = self.there(Family::LinkidLink, id, self.link(LinkId::from_u128(id)))?;
        // Looking a key up compares bytes until they differ; this comparison takes the same time
        // for every hash.
        Ok(Some(link).filter(|link| link.token_hash == *hash))
    }

    fn links_of_host(&self, host: &UserId) -> Read<Vec<Link>> {
        let families = (Family::HostidLinkid, Family::LinkidLink);
        self.listed(families, host, |id| self.link(LinkId::from_u128(id)))
    }

    fn portal(&self, id: PortalId) -> Read<Option<Portal>> {
        let key = id.as_u128().to_be_bytes();
        if self.is_set_aside(id)? {
            return Err(damaged(Family::PortalidQuarantine, &key, &[]));
        }
        self.row(Family::PortalidPortal, &key)
    }

    fn portal_by_room(&self, room: &RoomId) -> Read<Option<Portal>> {
        self.portal_by(Family::RoomidPortalid, room.as_str())
    }

    fn portal_by_ghost(&self, ghost: &UserId) -> Read<Option<Portal>> {
        self.portal_by(Family::GhostidPortalid, ghost.as_str())
    }

    fn portals_of_host(&self, host: &UserId) -> Read<Vec<Portal>> {
        let families = (Family::HostidPortalid, Family::PortalidPortal);
        self.listed(families, host, |id| self.portal(PortalId::from_u128(id)))
    }

    fn due(&self, now: Timestamp, limit: usize) -> Read<Vec<PortalId>> {
        let family = Family::DeadlinePortalid;
        let end = now.0.checked_add(1).map(u64::to_be_bytes);
        let end = end.as_ref().map(<[u8; 8]>::as_slice);
        self.page(family, &[], end, limit, |key, _| {
            trailing_id(family, key).map(PortalId::from_u128)
        })
    }

    fn alarms(&self, now: Timestamp, limit: usize) -> Read<Vec<(Timestamp, Subject)>> {
        let family = Family::TimeAlarm;
        let end = now.0.checked_add(1).map(u64::to_be_bytes);
        let end = end.as_ref().map(<[u8; 8]>::as_slice);
        self.page(family, &[], end, limit, |key, _| alarm(family, key))
    }

    fn block(&self, host: &UserId, key: &str) -> Read<Option<Block>> {
        let key = joined(&id_prefix(host.as_str()), key.as_bytes());
        self.row(Family::HostidKeyBlock, &key)
    }

    fn blocks_of_host(&self, host: &UserId) -> Read<Vec<Block>> {
        let family = Family::HostidKeyBlock;
        let mut blocks = Vec::new();
        for Row { key, payload } in self.rows.prefix(family, &id_prefix(host.as_str()))? {
            let block = payload.and_then(|payload| from_json(family, &key, &payload));
            blocks.extend(self.rows.or_leave_out(block)?);
        }
        Ok(blocks)
    }

    fn counts(&self) -> Read<Counts> {
        // Without them the maxima of the whole bridge are reached later than they should be.
        let counts = self.row(Family::GlobalSchema, COUNTS_KEY);
        Ok(self
            .rows
            .or_leave_out(counts)?
            .flatten()
            .unwrap_or_default())
    }

    fn host(&self, user: &UserId) -> Read<Option<Host>> {
        // A host without a row has no name yet, which is put right when the name is fetched again.
        let host = self.row(Family::HostidHost, user.as_str().as_bytes());
        Ok(self.rows.or_leave_out(host)?.flatten())
    }

    fn hosts(&self, after: Option<&UserId>, limit: usize) -> Read<Vec<Host>> {
        let family = Family::HostidHost;
        let from = after.map_or_else(Vec::new, |after| joined(after.as_str().as_bytes(), &[0]));
        self.page(family, &from, None, limit, |key, row| {
            from_json(family, key, row)
        })
    }

    fn link_by_serial(&self, serial: u64) -> Read<Option<Link>> {
        let Some(id) = self.target(Family::SerialLinkid, &serial_key(serial))? else {
            return Ok(None);
        };
        let link = self.link(LinkId::from_u128(id));
        self.there(Family::LinkidLink, id, link).map(Some)
    }

    fn links_before(&self, before: Option<u64>, limit: usize) -> Read<Vec<Link>> {
        let family = Family::SerialLinkid;
        let from = match before {
            Some(0) => return Ok(Vec::new()),
            Some(before) => serial_key(before - 1).to_vec(),
            None => Vec::new(),
        };
        self.page(family, &from, None, limit, |key, row| {
            let id = whole_id(family, key, row)?;
            let link = self.link(LinkId::from_u128(id));
            self.there(Family::LinkidLink, id, link)
        })
    }

    fn steering(&self) -> Read<Steering> {
        let steering = self.row(Family::GlobalSchema, STEERING_KEY);
        Ok(steering?.unwrap_or_default())
    }

    fn audit(&self, before: Option<AuditId>, limit: usize) -> Read<Vec<AuditEntry>> {
        let family = Family::AuditEntry;
        let from = before.map_or_else(Vec::new, |before| joined(&audit_key(before), &[0]));
        self.page(family, &from, None, limit, |key, row| {
            from_json(family, key, row)
        })
    }

    fn audit_until(&self, until: Timestamp, limit: usize) -> Read<Vec<AuditId>> {
        let family = Family::AuditEntry;
        let from = (!until.0).to_be_bytes();
        let rows = self.rows.range(family, &from, None, limit)?;
        // One that doesn't read is erased like the others.
        rows.iter().map(|row| audit_id(family, &row.key)).collect()
    }

    fn rules(&self, shelf: RuleShelf, entity: Option<&str>) -> Read<Vec<Rule>> {
        let family = Family::ShelfEntityRule;
        let prefix = shelf_prefix(shelf, entity);
        let mut rules = Vec::new();
        for Row { key, payload } in self.rows.prefix(family, &prefix)? {
            let rule = payload.and_then(|payload| from_json(family, &key, &payload));
            rules.extend(self.rows.or_leave_out(rule)?);
        }
        Ok(rules)
    }

    fn management_room(&self, room: &RoomId) -> Read<Option<ManagementRoom>> {
        self.row(Family::RoomidManagement, room.as_str().as_bytes())
    }

    fn bot_records(&self) -> Read<BTreeMap<String, BotRecord>> {
        let family = Family::BotCrypto;
        let mut records = BTreeMap::new();
        for Row { key, payload } in self.rows.prefix(family, &[])? {
            let record = BotRecord(payload?);
            let key =
                String::from_utf8(key).map_err(|error| damaged(family, error.as_bytes(), &[]))?;
            records.insert(key, record);
        }
        Ok(records)
    }

    fn effect(&self, id: EffectId) -> Read<Option<Effect>> {
        self.row(Family::EffectidEffect, &id.as_u128().to_be_bytes())
    }

    fn effects(
        &self,
        after: Option<EffectId>,
        limit: usize,
    ) -> Read<Vec<(EffectId, Option<Effect>)>> {
        let family = Family::EffectidEffect;
        let Some(first) = after.map_or(Some(0), |id| id.as_u128().checked_add(1)) else {
            return Ok(Vec::new());
        };
        let rows = self.rows.range(family, &first.to_be_bytes(), None, limit)?;
        let mut effects = Vec::new();
        for Row { key, payload } in rows {
            let Some(id) = self.rows.or_leave_out(trailing_id(family, &key))? else {
                continue;
            };
            let effect = payload.and_then(|payload| from_json(family, &key, &payload));
            effects.push((EffectId::from_u128(id), self.rows.or_leave_out(effect)?));
        }
        Ok(effects)
    }

    fn frames(&self, portal: PortalId, after: u64, limit: usize) -> Read<Vec<(u64, InboxFrame)>> {
        let family = Family::PortalSeqFrame;
        let Some(first) = after.checked_add(1) else {
            return Ok(Vec::new());
        };
        let prefix = portal.as_u128().to_be_bytes();
        let from = joined(&prefix, &first.to_be_bytes());
        let rows = self
            .rows
            .range(family, &from, after_prefix(&prefix).as_deref(), limit)?;
        rows.into_iter()
            .map(|Row { key, payload }| {
                let frame = from_json(family, &key, &payload?)?;
                Ok((trailing_number(family, &key)?, frame))
            })
            .collect()
    }

    fn transaction_seen(&self, txn: &str) -> Read<bool> {
        self.rows.exists(Family::TxnidNumber, txn.as_bytes())
    }

    fn digest_seen(&self, portal: PortalId, digest: Digest) -> Read<bool> {
        let key = joined(&portal.as_u128().to_be_bytes(), &digest.0);
        self.rows.exists(Family::PortalDigestSeen, &key)
    }

    fn is_set_aside(&self, portal: PortalId) -> Read<bool> {
        let key = portal.as_u128().to_be_bytes();
        self.rows.exists(Family::PortalidQuarantine, &key)
    }

    fn set_aside_until(&self, until: Timestamp, limit: usize) -> Read<Vec<AsideChat>> {
        let family = Family::PortalidQuarantine;
        let mut chats = Vec::new();
        for Row { key, payload } in self.rows.range(family, &[], None, usize::MAX)? {
            let row = payload.and_then(|payload| from_json::<Quarantined>(family, &key, &payload));
            // Where the note itself is damaged it is written anew when the chat is in the way again.
            let Some(at) = row.ok().and_then(|row| row.at) else {
                continue;
            };
            if at <= until && chats.len() < limit {
                let portal = PortalId::from_u128(trailing_id(family, &key)?);
                let host = self.host_of(portal)?;
                chats.push(AsideChat { portal, host });
            }
        }
        Ok(chats)
    }
}
