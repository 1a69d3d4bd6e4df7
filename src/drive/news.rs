//! What a round leaves for the rest of the program to do.

use std::collections::BTreeSet;

use vestibule_bridge::audit::AuditEntry;
use vestibule_bridge::effect::{Effect, Queued, Words};
use vestibule_bridge::frame::InboxFrame;
use vestibule_bridge::id::{EffectId, PortalId};
use vestibule_bridge::store::{Change, Changes, DamagedRow};

/// What of a round concerns the rest of the program.
#[derive(Debug, Default)]
pub struct News {
    /// Portals whose inbox or state changed.
    pub portals: BTreeSet<PortalId>,
    /// Portals that ended.
    pub ended: BTreeSet<PortalId>,
    /// New effects, in order.
    pub effects: Vec<Queued>,
    /// Words for some of them that must not be stored: a link's token stands in them.
    pub unstored: Vec<(EffectId, Words)>,
    /// How many messages of hosts went into inboxes.
    pub from_hosts: u64,
    /// How many messages of guests went into the outbox.
    pub from_guests: u64,
    /// New entries of the audit trail.
    pub audit: Vec<AuditEntry>,
    /// Rows that don't read, met for the first time.
    pub damaged: BTreeSet<DamagedRow>,
    /// The store failed before and is well again. What was said to have failed may be stored all
    /// the same, so `effects` are all that wait, and any inbox may hold something new.
    pub healed: bool,
}

impl News {
    pub(super) fn note(&mut self, changes: &Changes) {
        for change in &changes.0 {
            match change {
                Change::PutFrame { portal, frame, .. } => {
                    self.portals.insert(*portal);
                    if matches!(frame, InboxFrame::Ended { .. }) {
                        self.ended.insert(*portal);
                    }
                    self.from_hosts += u64::from(matches!(frame, InboxFrame::Event { .. }));
                }
                // A socket of a portal that can't go on must hear of it.
                Change::SetAside { portal, .. } => {
                    self.portals.insert(*portal);
                }
                // A portal that opens has a socket waiting for it, without a frame.
                Change::PutPortal { portal, .. } => {
                    self.portals.insert(portal.id);
                }
                Change::PutAudit(entry) => self.audit.push(entry.clone()),
                Change::PutEffect { id, effect } => {
                    self.effects.push(Queued::new(*id, effect));
                    self.from_guests += u64::from(matches!(effect, Effect::SendEvent { .. }));
                }
                _ => {}
            }
        }
    }
}
