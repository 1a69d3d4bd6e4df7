//! Whom a damaged row concerns.

use vestibule_bridge::id::{EffectId, LinkId, PortalId, RoomId};
use vestibule_bridge::store::{DamagedRow, Owner, StoreError};

use super::families::Family;

/// How long an id of ours is as text.
const ID_TEXT: usize = 26;

/// A row that doesn't read. `left` is what is left of it.
pub fn damaged(family: Family, key: &[u8], left: &[u8]) -> StoreError {
    StoreError::Damaged(damaged_row(family, key, left))
}

/// The same, without being an error yet.
pub fn damaged_row(family: Family, key: &[u8], left: &[u8]) -> DamagedRow {
    DamagedRow {
        family: family.name(),
        owner: owner(family, key, left),
    }
}

/// Whose row this is, by its key, or else by an id that stands in what is left of it.
fn owner(family: Family, key: &[u8], left: &[u8]) -> Owner {
    let first_id = || key.first_chunk::<16>().map(|id| u128::from_be_bytes(*id));
    let last_id = || key.last_chunk::<16>().map(|id| u128::from_be_bytes(*id));
    let value_id = || left.last_chunk::<16>().map(|id| u128::from_be_bytes(*id));
    let portal = |id: Option<u128>| id.map(|id| Owner::Portal(PortalId::from_u128(id)));
    let link = |id: Option<u128>| id.map(|id| Owner::Link(LinkId::from_u128(id)));
    let room = || {
        let room = String::from_utf8(key.to_vec()).ok();
        room.map(|room| Owner::Room(RoomId::new(room)))
    };
    let named = match family {
        Family::PortalidPortal
        | Family::PortalSeqFrame
        | Family::PortalDigestSeen
        | Family::PortalidQuarantine => portal(first_id()),
        Family::HostidPortalid | Family::DeadlinePortalid => portal(last_id()),
        Family::RoomidPortalid | Family::GhostidPortalid => portal(value_id()),
        Family::LinkidLink => link(first_id()),
        Family::HostidLinkid => link(last_id()),
        Family::TokenhashLinkid | Family::SerialLinkid => link(value_id()),
        Family::EffectidEffect => {
            let effect = || first_id().map(|id| Owner::Effect(EffectId::from_u128(id)));
            portal_in(left).map(Owner::Portal).or_else(effect)
        }
        Family::RoomidManagement => room(),
        Family::TimeAlarm => match key.get(8) {
            Some(0) => link(last_id()),
            Some(1) => portal(last_id()),
            _ => None,
        },
        Family::HostidHost
        | Family::HostidKeyBlock
        | Family::AuditEntry
        | Family::ShelfEntityRule
        | Family::TxnidNumber
        | Family::NumberTxnid
        | Family::BotCrypto
        | Family::GlobalSchema => None,
    };
    named.unwrap_or(Owner::Unknown)
}

/// The portal that stands in what is left of an effect.
fn portal_in(left: &[u8]) -> Option<PortalId> {
    const FIELD: &[u8] = br#""portal":""#;
    let start = left.windows(FIELD.len()).position(|part| part == FIELD)? + FIELD.len();
    let text = left.get(start..start.checked_add(ID_TEXT)?)?;
    PortalId::parse(std::str::from_utf8(text).ok()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn an_effect_is_its_portals_as_long_as_that_can_be_read() {
        let portal = PortalId::from_u128(7);
        let key = 9u128.to_be_bytes();
        let row = format!(r#"x{{"effect":"deactiv!te","portal":"{portal}","gh"#);
        let whose = |left: &[u8]| owner(Family::EffectidEffect, &key, left);
        assert_eq!(whose(row.as_bytes()), Owner::Portal(portal));
        let unnamed = Owner::Effect(EffectId::from_u128(9));
        assert_eq!(whose(&row.as_bytes()[..40]), unnamed);
        assert_eq!(whose(b""), unnamed);
    }

    #[test]
    fn a_row_of_an_index_is_its_targets() {
        let id = 5u128.to_be_bytes();
        let portal = Owner::Portal(PortalId::from_u128(5));
        let row = [b"\x02crc_".as_slice(), &id].concat();
        assert_eq!(owner(Family::RoomidPortalid, b"!room", &row), portal);
        let key = [b"\0\0\0\0\0\0\x01\0".as_slice(), &id].concat();
        assert_eq!(owner(Family::DeadlinePortalid, &key, b""), portal);
        assert_eq!(
            owner(Family::DeadlinePortalid, b"short", b""),
            Owner::Unknown
        );
    }
}
