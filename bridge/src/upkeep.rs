//! What keeps an open chat as it must be: the seal of its room, the ghost's place in it, the ghost's
//! name. Nothing of it can be changed by host or guest; whoever runs the homeserver can.

use std::time::Duration;

use crate::bridge::{Answer, Decision, Undecided};
use crate::draft::Draft;
use crate::effect::{Effect, InRoom};
use crate::end;
use crate::id::{PortalId, UserId};
use crate::input::Outcome;
use crate::portal::{EndReason, Portal, PortalState, PutBack};

/// How often a ghost's profile is put back within [`PUT_BACK_SPAN`]. A homeserver that changes every
/// name it is given must not be asked for ever.
const PUT_BACKS: u32 = 5;
/// See [`PUT_BACKS`].
const PUT_BACK_SPAN: Duration = Duration::from_secs(60 * 60);

/// The homeserver shows a ghost with this name and perhaps a picture.
pub(crate) fn shown(
    ghost: &UserId,
    name: Option<&str>,
    pictured: bool,
    mut draft: Draft<'_>,
) -> Result<Decision, Undecided> {
    let portal = draft.facts.portal_by_ghost(ghost)?;
    let altered = |portal: &Portal| {
        let is_own = name == Some(portal.name.labelled().as_str());
        portal.is_open() && (!is_own || pictured)
    };
    if let Some(portal) = portal.filter(altered) {
        let known = portal.put_back;
        let known = known.filter(|known| draft.now.since(known.since) < PUT_BACK_SPAN);
        let times = known.map_or(0, |known| known.times);
        if times < PUT_BACKS {
            draft.effect(Effect::RestoreProfile {
                portal: portal.id,
                ghost: portal.ghost.clone(),
                name: portal.name.clone(),
            });
            let mut edit = draft.edit(portal);
            edit.portal.put_back = Some(PutBack {
                since: known.map_or(draft.now, |known| known.since),
                times: times + 1,
            });
            edit.save(&mut draft);
        }
    }
    Ok(draft.answer(Answer::Stored))
}

/// Something speaks against the room being as it must be.
pub(crate) fn doubted(portal: PortalId, mut draft: Draft<'_>) -> Result<Decision, Undecided> {
    if let Some(portal) = draft.facts.portal(portal)? {
        look_again(&portal, &mut draft);
    }
    Ok(draft.answer(Answer::Stored))
}

/// The ghost's device is gone: what the host writes can't reach the browser any more.
pub(crate) fn cut_off(portal: PortalId, mut draft: Draft<'_>) -> Result<Decision, Undecided> {
    let portal = draft.facts.portal(portal)?;
    if let Some(portal) = portal.filter(Portal::is_open) {
        end::close(portal, EndReason::Failed, &mut draft)?;
    }
    Ok(draft.answer(Answer::Stored))
}

/// Has the whole state of an open portal's room read and compared once more; whether it is open.
pub(crate) fn look_again(portal: &Portal, draft: &mut Draft<'_>) -> bool {
    let PortalState::Open { room, .. } = &portal.state else {
        return false;
    };
    draft.effect(Effect::VerifySeal(InRoom {
        portal: portal.id,
        room: room.clone(),
        ghost: portal.ghost.clone(),
        host: portal.host.clone(),
    }));
    true
}

/// What the look at an open portal's room found. That the homeserver refuses it for another reason
/// than that the ghost is not there says nothing about the room.
pub(crate) fn looked(
    portal: Portal,
    outcome: &Outcome,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    match outcome {
        Outcome::SealBroken | Outcome::NotThere => end::close(portal, EndReason::Failed, draft),
        Outcome::ThirdParty => end::close(portal, EndReason::ThirdParty, draft),
        _ => Ok(()),
    }
}
