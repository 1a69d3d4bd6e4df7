//! What the domain reads.

use vestibule_bridge::alarm::Subject;
use vestibule_bridge::block::Block;
use vestibule_bridge::count::Counts;
use vestibule_bridge::effect::Effect;
use vestibule_bridge::frame::InboxFrame;
use vestibule_bridge::host::{Host, ManagementRoom};
use vestibule_bridge::id::{EffectId, LinkId, PortalId, RoomId, UserId};
use vestibule_bridge::link::{Link, TokenHash};
use vestibule_bridge::portal::Portal;
use vestibule_bridge::store::{Digest, Facts, Read};
use vestibule_bridge::time::Timestamp;

use super::RocksTransaction;
use super::codec::{
    after_prefix, alarm, decode, id_prefix, joined, trailing_id, trailing_number, whole_id,
};
use super::families::Family;

impl RocksTransaction<'_> {
    fn row<T: serde::de::DeserializeOwned>(&self, family: Family, key: &[u8]) -> Read<Option<T>> {
        self.rows
            .get(family, key)?
            .map(|bytes| decode(family, &bytes))
            .transpose()
    }

    fn portal_by(&self, index: Family, key: &str) -> Read<Option<Portal>> {
        match self.rows.get(index, key.as_bytes())? {
            Some(id) => self.portal(PortalId::from_u128(whole_id(index, &id)?)),
            None => Ok(None),
        }
    }

    /// The ids behind all keys `host … id` of an index.
    fn ids_of(&self, index: Family, host: &UserId) -> Read<Vec<u128>> {
        let rows = self.rows.prefix(index, &id_prefix(host.as_str()))?;
        rows.iter()
            .map(|(key, _)| trailing_id(index, key))
            .collect()
    }
}

impl Facts for RocksTransaction<'_> {
    fn link(&self, id: LinkId) -> Read<Option<Link>> {
        self.row(Family::LinkidLink, &id.as_u128().to_be_bytes())
    }

    fn link_by_token(&self, hash: &TokenHash) -> Read<Option<Link>> {
        let Some(id) = self.rows.get(Family::TokenhashLinkid, &hash.0)? else {
            return Ok(None);
        };
        let link = self.link(LinkId::from_u128(whole_id(Family::TokenhashLinkid, &id)?))?;
        // Looking a key up compares bytes until they differ; this comparison takes the same time
        // for every hash.
        Ok(link.filter(|link| link.token_hash == *hash))
    }

    fn links_of_host(&self, host: &UserId) -> Read<Vec<Link>> {
        let ids = self.ids_of(Family::HostidLinkid, host)?;
        ids.into_iter()
            .filter_map(|id| self.link(LinkId::from_u128(id)).transpose())
            .collect()
    }

    fn portal(&self, id: PortalId) -> Read<Option<Portal>> {
        self.row(Family::PortalidPortal, &id.as_u128().to_be_bytes())
    }

    fn portal_by_room(&self, room: &RoomId) -> Read<Option<Portal>> {
        self.portal_by(Family::RoomidPortalid, room.as_str())
    }

    fn portal_by_ghost(&self, ghost: &UserId) -> Read<Option<Portal>> {
        self.portal_by(Family::GhostidPortalid, ghost.as_str())
    }

    fn portals_of_host(&self, host: &UserId) -> Read<Vec<Portal>> {
        let ids = self.ids_of(Family::HostidPortalid, host)?;
        ids.into_iter()
            .filter_map(|id| self.portal(PortalId::from_u128(id)).transpose())
            .collect()
    }

    fn due(&self, now: Timestamp, limit: usize) -> Read<Vec<PortalId>> {
        let end = now.0.checked_add(1).map(u64::to_be_bytes);
        let rows = self.rows.range(
            Family::DeadlinePortalid,
            &[],
            end.as_ref().map(<[u8; 8]>::as_slice),
            limit,
        )?;
        rows.iter()
            .map(|(key, _)| trailing_id(Family::DeadlinePortalid, key).map(PortalId::from_u128))
            .collect()
    }

    fn alarms(&self, now: Timestamp, limit: usize) -> Read<Vec<(Timestamp, Subject)>> {
        let family = Family::TimeAlarm;
        let end = now.0.checked_add(1).map(u64::to_be_bytes);
        let end = end.as_ref().map(<[u8; 8]>::as_slice);
        let rows = self.rows.range(family, &[], end, limit)?;
        rows.iter().map(|(key, _)| alarm(family, key)).collect()
    }

    fn block(&self, host: &UserId, key: &str) -> Read<Option<Block>> {
        let key = joined(&id_prefix(host.as_str()), key.as_bytes());
        self.row(Family::HostidKeyBlock, &key)
    }

    fn blocks_of_host(&self, host: &UserId) -> Read<Vec<Block>> {
        let family = Family::HostidKeyBlock;
        let rows = self.rows.prefix(family, &id_prefix(host.as_str()))?;
        rows.iter().map(|(_, row)| decode(family, row)).collect()
    }

    fn counts(&self) -> Read<Counts> {
        Ok(self
            .row(Family::GlobalSchema, b"counts")?
            .unwrap_or_default())
    }

    fn host(&self, user: &UserId) -> Read<Option<Host>> {
        self.row(Family::HostidHost, user.as_str().as_bytes())
    }

    fn management_room(&self, room: &RoomId) -> Read<Option<ManagementRoom>> {
        self.row(Family::RoomidManagement, room.as_str().as_bytes())
    }

    fn effect(&self, id: EffectId) -> Read<Option<Effect>> {
        self.row(Family::EffectidEffect, &id.as_u128().to_be_bytes())
    }

    fn effects(&self, after: Option<EffectId>, limit: usize) -> Read<Vec<(EffectId, Effect)>> {
        let Some(first) = after.map_or(Some(0), |id| id.as_u128().checked_add(1)) else {
            return Ok(Vec::new());
        };
        let rows = self
            .rows
            .range(Family::EffectidEffect, &first.to_be_bytes(), None, limit)?;
        rows.iter()
            .map(|(key, value)| {
                let id = EffectId::from_u128(whole_id(Family::EffectidEffect, key)?);
                Ok((id, decode(Family::EffectidEffect, value)?))
            })
            .collect()
    }

    fn frames(&self, portal: PortalId, after: u64, limit: usize) -> Read<Vec<(u64, InboxFrame)>> {
        let Some(first) = after.checked_add(1) else {
            return Ok(Vec::new());
        };
        let prefix = portal.as_u128().to_be_bytes();
        let from = joined(&prefix, &first.to_be_bytes());
        let rows = self.rows.range(
            Family::PortalSeqFrame,
            &from,
            after_prefix(&prefix).as_deref(),
            limit,
        )?;
        rows.iter()
            .map(|(key, value)| {
                Ok((
                    trailing_number(Family::PortalSeqFrame, key)?,
                    decode(Family::PortalSeqFrame, value)?,
                ))
            })
            .collect()
    }

    fn transaction_seen(&self, txn: &str) -> Read<bool> {
        Ok(self
            .rows
            .get(Family::TxnidNumber, txn.as_bytes())?
            .is_some())
    }

    fn digest_seen(&self, portal: PortalId, digest: Digest) -> Read<bool> {
        let key = joined(&portal.as_u128().to_be_bytes(), &digest.0);
        Ok(self.rows.get(Family::PortalDigestSeen, &key)?.is_some())
    }
}
