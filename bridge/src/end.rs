//! How a portal ends.

use std::collections::BTreeSet;

use crate::alarm;
use crate::audit::{self, Act, Target};
use crate::bridge::{Answer, Decision, Undecided};
use crate::draft::{Draft, readable};
use crate::effect::Effect;
use crate::frame::InboxFrame;
use crate::id::PortalId;
use crate::notice;
use crate::policy::Policy;
use crate::portal::{EndReason, Portal, PortalState};
use crate::steering;
use crate::store::{Change, StoreError};
use crate::words::in_words;

/// How many portals one tick ends; the shell ticks again while there are more.
const ENDS_PER_TICK: usize = 50;

pub(crate) fn tick(
    unread: &BTreeSet<PortalId>,
    mut draft: Draft<'_>,
) -> Result<Decision, Undecided> {
    let due = draft.facts.due(draft.now, ENDS_PER_TICK + unread.len())?;
    let mut ended = BTreeSet::new();
    for id in due.into_iter().filter(|id| !unread.contains(id)) {
        match draft.facts.portal(id) {
            Ok(Some(portal)) => {
                close(portal, EndReason::Expired, &mut draft)?;
                ended.insert(id);
            }
            Ok(None) => {}
            // One chat that can't be read must not keep all others from their end.
            Err(StoreError::Damaged(_)) => {
                draft.counts()?.chat_over();
                draft.put(Change::SetAside {
                    portal: id,
                    at: draft.now,
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
    alarm::ring(&ended, &mut draft)?;
    alarm::clear_aside(&mut draft)?;
    steering::go_on(&mut draft)?;
    audit::forget(&mut draft)?;
    Ok(draft.answer(Answer::Stored))
}

/// Ends a portal for good; one that is over already stays as it is. Frames that the browser has
/// not stored yet stay in the inbox, before the last one that says why it is over.
pub(crate) fn close(
    portal: Portal,
    reason: EndReason,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    let room = match &portal.state {
        PortalState::Closed { .. } => return Ok(()),
        PortalState::Opening { room, .. } => {
            if let Some(room) = room.clone() {
                // The step that takes the bot out may be what failed.
                draft.effect(Effect::BotLeavesUnused {
                    portal: portal.id,
                    room,
                });
            }
            room.clone()
        }
        PortalState::Open { room, .. } => Some(room.clone()),
    };
    let ghost = portal.ghost.clone();
    if let Some(room) = room.clone() {
        let words = leaving_words(reason, &portal, draft.policy);
        draft.effect(Effect::GhostLeaves {
            portal: portal.id,
            ghost: ghost.clone(),
            room,
            reason: words,
        });
    }
    let device = portal.visit.device.clone();
    draft.effect(Effect::DeleteDevice {
        portal: portal.id,
        ghost: ghost.clone(),
        device,
    });
    draft.effect(Effect::Deactivate {
        portal: portal.id,
        ghost,
    });

    draft.counts()?.chat_over();
    let link = readable(draft.link(portal.link))?;
    let target = Target::chat(&portal.host, portal.id, link.as_ref());
    draft.audit(
        Act::ChatEnded { reason },
        audit::ender(reason, draft),
        target,
    )?;
    if let Some(mut link) = link {
        notice::ended(&portal, &link, reason, draft)?;
        link.chat_ended_at = Some(draft.now);
        draft.put_link(link);
    }

    let mut edit = draft.edit(portal);
    edit.frame(draft, InboxFrame::Ended { reason });
    edit.portal.state = PortalState::Closed {
        room,
        at: draft.now,
        reason,
    };
    draft.note_end(edit.portal.id);
    edit.save(draft);
    Ok(())
}

/// What the host's client shows beside the guest's leaving.
fn leaving_words(reason: EndReason, portal: &Portal, policy: &Policy) -> String {
    match reason {
        EndReason::Host => "The chat was ended.".to_owned(),
        EndReason::Guest => "The guest ended the chat.".to_owned(),
        EndReason::Expired => {
            format!(
                "The chat ended after {} without a message.",
                in_words(policy.idle_limit)
            )
        }
        EndReason::Failed if portal.is_open() => {
            "The chat ended because its room is not safe any more.".to_owned()
        }
        EndReason::Failed => "The chat could not be set up safely.".to_owned(),
        EndReason::ThirdParty => {
            "The chat ended because somebody else came into the room.".to_owned()
        }
        EndReason::Admin => "The chat was ended by an administrator.".to_owned(),
    }
}
