//! From *Start chat* to the sealed room, one step after the other. A portal that was closed on the
//! way lets the steps which are already in its lane run out, and never goes on.

use crate::audit::{Act, Actor, Target};
use crate::bridge::Undecided;
use crate::draft::{Draft, readable};
use crate::effect::{Effect, InRoom};
use crate::end;
use crate::frame::InboxFrame;
use crate::id::{PortalId, RoomId};
use crate::input::Outcome;
use crate::portal::{EndReason, Portal, PortalState};
use crate::upkeep;

/// A step that only has to succeed.
pub(crate) fn step(
    portal: PortalId,
    outcome: &Outcome,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    match (outcome, draft.facts.portal(portal)?) {
        (Outcome::Done, _) | (_, None) => Ok(()),
        (_, Some(portal)) => fail(portal, draft),
    }
}

pub(crate) fn room_created(
    portal: PortalId,
    outcome: Outcome,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    let Some(portal) = draft.facts.portal(portal)? else {
        // It was made too late: all else of this portal is forgotten.
        if let Outcome::RoomCreated(room) = outcome {
            draft.effect(Effect::BotLeavesUnused { portal, room });
        }
        return Ok(());
    };
    let Outcome::RoomCreated(room) = outcome else {
        return fail(portal, draft);
    };
    match portal.state.clone() {
        PortalState::Opening {
            room: None,
            host_joined,
        } => {
            seal(&portal, &room, draft);
            let mut edit = draft.edit(portal);
            edit.portal.state = PortalState::Opening {
                room: Some(room),
                host_joined,
            };
            edit.save(draft);
        }
        PortalState::Closed {
            room: None,
            at,
            reason,
        } => {
            draft.effect(Effect::BotLeavesUnused {
                portal: portal.id,
                room: room.clone(),
            });
            // Remembered, so that what still happens in this room is known to be over.
            let mut edit = draft.edit(portal);
            edit.portal.state = PortalState::Closed {
                room: Some(room),
                at,
                reason,
            };
            edit.save(draft);
        }
        PortalState::Opening { .. } | PortalState::Open { .. } | PortalState::Closed { .. } => {}
    }
    Ok(())
}

/// The bot leaves before the host is invited: some clients don't take a room of three for a
/// direct chat.
fn seal(portal: &Portal, room: &RoomId, draft: &mut Draft<'_>) {
    let step = InRoom {
        portal: portal.id,
        room: room.clone(),
        ghost: portal.ghost.clone(),
        host: portal.host.clone(),
    };
    draft.effect(Effect::GhostJoins(step.clone()));
    draft.effect(Effect::BotLeaves(step.clone()));
    draft.effect(Effect::InviteHost(step.clone()));
    draft.effect(Effect::GiveUpPower(step.clone()));
    draft.effect(Effect::VerifySeal(step));
}

pub(crate) fn verified(
    step: InRoom,
    outcome: &Outcome,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    let Some(portal) = draft.facts.portal(step.portal)? else {
        return Ok(());
    };
    let (room, before) = match portal.state.clone() {
        PortalState::Opening {
            room: Some(room),
            host_joined,
        } => (room, host_joined),
        PortalState::Open { .. } => return upkeep::looked(portal, outcome, draft),
        PortalState::Opening { .. } | PortalState::Closed { .. } => return Ok(()),
    };
    match outcome {
        Outcome::Sealed { host_joined } if room == step.room => {
            let mut edit = draft.edit(portal);
            if *host_joined && !before {
                edit.frame(draft, InboxFrame::Host { joined: true });
            }
            edit.portal.state = PortalState::Open {
                room,
                host_joined: *host_joined || before,
            };
            let link = readable(draft.link(edit.portal.link))?;
            let target = Target::chat(&edit.portal.host, edit.portal.id, link.as_ref());
            draft.audit(Act::ChatOpened, Actor::Bridge, target)?;
            edit.save(draft);
            Ok(())
        }
        _ => fail(portal, draft),
    }
}

/// Ends a portal that could not be opened.
fn fail(portal: Portal, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    if !matches!(portal.state, PortalState::Opening { .. }) {
        return Ok(());
    }
    end::close(portal, EndReason::Failed, draft)
}
