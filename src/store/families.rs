//! The catalogue: every family of rows, named `<key>_<value>`. Keys are raw bytes, numbers in
//! them big-endian, so that their order is the order of iteration.

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
    /// portal id → `next_batch`.
    PortalidSince,
    /// transaction id → its number (8).
    TxnidNumber,
    /// number (8) → transaction id, to forget the oldest.
    NumberTxnid,
    /// time in milliseconds (8), 0 for a link or 1 for a portal, its id (16) → nothing.
    TimeAlarm,
    /// host, `0xff`, the browser's Ed25519 key → entry of the host's block list.
    HostidKeyBlock,
    /// name → value: `schema` is the layout's version.
    GlobalSchema,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 19] = [
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
        Self::PortalidSince,
        Self::TxnidNumber,
        Self::NumberTxnid,
        Self::TimeAlarm,
        Self::HostidKeyBlock,
        Self::GlobalSchema,
    ];

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
            Self::PortalidSince => "portalid_since",
            Self::TxnidNumber => "txnid_number",
            Self::NumberTxnid => "number_txnid",
            Self::TimeAlarm => "time_alarm",
            Self::HostidKeyBlock => "hostid_key_block",
            Self::GlobalSchema => "global_schema",
        }
    }
}
