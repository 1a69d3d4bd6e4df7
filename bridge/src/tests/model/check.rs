//! What must hold after each doing.

use super::*;

impl Model {
    pub(super) fn check(&mut self, changes: &Changes) {
        for change in &changes.0 {
            match change {
                Change::PutPortal { portal, .. } if !self.portals.contains(&portal.id) => {
                    self.portals.push(portal.id)
                }
                Change::PutFrame { portal, seq, frame } => {
                    let given = self.frames.entry(*portal).or_default();
                    *given += 1;
                    assert_eq!(seq, given, "sequence numbers have no gaps");
                    assert!(!self.closed.contains(portal), "an end is the last frame");
                    if let InboxFrame::Ended { reason } = frame {
                        self.ends.insert(format!("{reason:?}"));
                        self.closed.insert(*portal);
                    }
                }
                Change::ErasePortal(portal) => {
                    assert!(self.closed.contains(&portal.id), "what lives is kept");
                    self.erased.insert(portal.id);
                }
                Change::PutEffect { id, effect } => {
                    assert!(Some(*id) > self.last_effect, "effects come in order");
                    self.last_effect = Some(*id);
                    assert!(
                        !self.guests_only || cause(effect) == Cause::Guest,
                        "{}",
                        effect.name()
                    );
                }
                _ => {}
            }
        }
        assert_reach(changes, &self.world.store);
    }

    pub(super) fn check_portals(&self) {
        let facts = &self.world.store;
        for id in &self.portals {
            let Some(portal) = facts.portal(*id).unwrap() else {
                assert!(self.closed.contains(id), "what lives is kept");
                assert_eq!(facts.frames(*id, 0, 1).unwrap(), []);
                continue;
            };
            assert_eq!(
                portal.is_closed(),
                self.closed.contains(id),
                "closed stays closed, and says so"
            );
            assert_eq!(portal.last_seq, self.frames.get(id).copied().unwrap_or(0));
            if matches!(portal.state, PortalState::Open { .. }) {
                assert!(
                    self.sealed.contains(id),
                    "nobody is let into a room without a seal"
                );
            }
            let due = |now| facts.due(now, usize::MAX).unwrap().contains(id);
            assert_eq!(due(portal.ends_at), !portal.is_closed());
            assert!(!due(Timestamp(portal.ends_at.0 - 1)));
            let found = facts.portal_by_ghost(&portal.ghost).unwrap();
            assert_eq!(found.as_ref(), Some(&portal));
        }
        let open = self
            .portals
            .iter()
            .filter(|id| !self.closed.contains(id))
            .count();
        assert!(open <= self.world.policy.open_chats);
    }

    /// What came once and comes again changes nothing.
    pub(super) fn check_again(&mut self, input: &Input) {
        if let Ok(stored) = self.world.submit(input.clone()) {
            assert!(
                stored.changes.is_empty(),
                "{input:?} again: {:?}",
                stored.changes
            );
        }
    }
}
