//! The catalogue: every family of rows, named `<key>_<value>`. Keys are raw bytes, numbers in
//! them big-endian, so that their order is the order of iteration. `docs/store.md` tells the same
//! to whoever runs the bridge.

/// One column family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Family {
    /// link id (16) → link.
    LinkidLink,
    /// token hash (32) → link id.
    TokenhashLinkid,
    /// host, `0xff`, link id → nothing.
    HostidLinkid,
    /// portal id (16) → portal.
    PortalidPortal,
    /// room → portal id.
    RoomidPortalid,
    /// ghost → portal id.
    GhostidPortalid,
    /// host, `0xff`, portal id → nothing.
    HostidPortalid,
    /// deadline in milliseconds (8), portal id → nothing.
    DeadlinePortalid,
    /// host → host.
    HostidHost,
    /// room → management room.
    RoomidManagement,
    /// effect id (16) → effect.
    EffectidEffect,
    /// portal id, sequence number (8) → inbox frame.
    PortalSeqFrame,
    /// portal id, digest (16) → nothing.
    PortalDigestSeen,
    /// portal id → that it was set aside, since when, and how often it was in the way.
    PortalidQuarantine,
    /// transaction id → its number (8).
    TxnidNumber,
    /// number (8) → transaction id, to forget the oldest.
    NumberTxnid,
    /// time in milliseconds (8), 0 for a link or 1 for a portal, its id (16) → nothing.
    TimeAlarm,
    /// host, `0xff`, the browser's Ed25519 key → entry of the host's block list.
    HostidKeyBlock,
    /// all bits of the serial (8) turned, so that the greatest comes first → link id.
    SerialLinkid,
    /// all bits of the time in milliseconds (8) and of the entry's number (8) turned, so that the
    /// newest comes first → entry of the audit trail.
    AuditEntry,
    /// shelf (1), entity, `0xff`, room → rule of a deny list.
    ShelfEntityRule,
    /// record key → record of the bot's own device, with its private keys.
    BotCrypto,
    /// name → value: `schema` is the layout's version, `transactions` the last transaction's
    /// number, `store_id` the store's random name, `counts` what is open on the whole bridge, `steering`
    /// what admins set; `migrating` and `rescued:…` are there while such work is under way.
    GlobalSchema,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::LinkidLink,
        Self::TokenhashLinkid,
        Self::HostidLinkid,
        Self::PortalidPortal,
        Self::RoomidPortalid,
        Self::GhostidPortalid,
        Self::HostidPortalid,
        Self::DeadlinePortalid,
        Self::HostidHost,
        Self::RoomidManagement,
        Self::EffectidEffect,
        Self::PortalSeqFrame,
        Self::PortalDigestSeen,
        Self::PortalidQuarantine,
        Self::TxnidNumber,
        Self::NumberTxnid,
        Self::TimeAlarm,
        Self::HostidKeyBlock,
        Self::SerialLinkid,
        Self::AuditEntry,
        Self::ShelfEntityRule,
        Self::BotCrypto,
        Self::GlobalSchema,
    ];

    /// Families of earlier layouts, which are dropped.
    pub const DROPPED: [&str; 1] = ["portalid_since"];

    /// Whether a row's payload is JSON, and not an id of an index.
    #[must_use]
    pub fn is_json(self) -> bool {
        matches!(
            self,
            Self::LinkidLink
                | Self::PortalidPortal
                | Self::HostidHost
                | Self::RoomidManagement
                | Self::EffectidEffect
                | Self::PortalSeqFrame
                | Self::PortalidQuarantine
                | Self::HostidKeyBlock
                | Self::AuditEntry
                | Self::ShelfEntityRule
                | Self::GlobalSchema
        )
    }

    /// The name on disk.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LinkidLink => "linkid_link",
            Self::TokenhashLinkid => "tokenhash_linkid",
            Self::HostidLinkid => "hostid_linkid",
            Self::PortalidPortal => "portalid_portal",
            Self::RoomidPortalid => "roomid_portalid",
            Self::GhostidPortalid => "ghostid_portalid",
            Self::HostidPortalid => "hostid_portalid",
            Self::DeadlinePortalid => "deadline_portalid",
            Self::HostidHost => "hostid_host",
            Self::RoomidManagement => "roomid_management",
            Self::EffectidEffect => "effectid_effect",
            Self::PortalSeqFrame => "portal_seq_frame",
            Self::PortalDigestSeen => "portal_digest_seen",
            Self::PortalidQuarantine => "portalid_quarantine",
            Self::TxnidNumber => "txnid_number",
            Self::NumberTxnid => "number_txnid",
            Self::TimeAlarm => "time_alarm",
            Self::HostidKeyBlock => "hostid_key_block",
            Self::SerialLinkid => "serial_linkid",
            Self::AuditEntry => "audit_entry",
            Self::ShelfEntityRule => "shelf_entity_rule",
            Self::BotCrypto => "bot_crypto",
            Self::GlobalSchema => "global_schema",
        }
    }
}
