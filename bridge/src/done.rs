//! What follows when the outbox performed an effect.

use crate::bridge::{Answer, Decision, Undecided};
use crate::command::invite;
use crate::draft::Draft;
use crate::effect::Effect;
use crate::frame::InboxFrame;
use crate::guest::visible_text;
use crate::guest_input;
use crate::host::Host;
use crate::id::{EffectId, PortalId, UserId};
use crate::input::Outcome;
use crate::management;
use crate::opening;
use crate::store::Change;
use crate::upkeep;

/// How many characters of a host's display name a guest is shown.
const HOST_NAME_LENGTH: usize = 100;

pub(crate) fn done(
    id: EffectId,
    outcome: Outcome,
    mut draft: Draft<'_>,
) -> Result<Decision, Undecided> {
    // An effect that is not stored was done before, and its outcome comes a second time.
    if let Some(effect) = draft.facts.effect(id)? {
        draft.put(Change::DeleteEffect(id));
        follow(effect, outcome, &mut draft)?;
    }
    Ok(draft.answer(Answer::Stored))
}

fn follow(effect: Effect, outcome: Outcome, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    match effect {
        Effect::RegisterGhost { portal, .. }
        | Effect::NameGhost { portal, .. }
        | Effect::PutDevice { portal, .. }
        | Effect::UploadKeys { portal, .. }
        | Effect::UploadCrossSigning { portal, .. }
        | Effect::UploadSignatures { portal, .. } => opening::step(portal, &outcome, draft),
        Effect::GhostJoins(step)
        | Effect::BotLeaves(step)
        | Effect::InviteHost(step)
        | Effect::GiveUpPower(step) => opening::step(step.portal, &outcome, draft),
        Effect::CreateRoom { portal, .. } => opening::room_created(portal, outcome, draft),
        Effect::VerifySeal(step) => opening::verified(step, &outcome, draft),
        Effect::SendEvent { portal, n, .. } => {
            // So that the guest can take it back.
            if let Outcome::Sent(event) = &outcome {
                let digest = guest_input::own_digest(event);
                draft.put(Change::RememberDigest { portal, digest });
            }
            sent(portal, n, outcome, draft)
        }
        Effect::Redact { portal, n, .. } => sent(portal, n, outcome, draft),
        Effect::BotJoins { room, host } => {
            management::joined(room, host, &outcome, draft);
            Ok(())
        }
        Effect::FetchHostName { host, .. } => named(host, outcome, draft),
        Effect::ShareLink { link, .. } => match outcome {
            Outcome::WordsLost => invite::share_again(link, draft),
            _ => Ok(()),
        },
        Effect::SendToDevice { .. }
        | Effect::GhostLeaves { .. }
        | Effect::BotLeavesUnused { .. }
        | Effect::DeleteDevice { .. }
        | Effect::RestoreProfile { .. }
        | Effect::Deactivate { .. }
        | Effect::BotDeclines { .. }
        | Effect::Notice { .. }
        | Effect::Report { .. }
        | Effect::SendEncrypted { .. } => Ok(()),
    }
}

fn sent(
    portal: PortalId,
    n: u64,
    outcome: Outcome,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    let Some(portal) = draft
        .facts
        .portal(portal)?
        .filter(|portal| !portal.is_closed())
    else {
        return Ok(());
    };
    let frame = match outcome {
        Outcome::Sent(event_id) => InboxFrame::Delivered { n, event_id },
        Outcome::Refused { errcode } => {
            // Perhaps the ghost isn't in the room any more.
            upkeep::look_again(&portal, draft);
            InboxFrame::Undelivered { n, code: errcode }
        }
        _ => return Ok(()),
    };
    let mut edit = draft.edit(portal);
    edit.frame(draft, frame);
    edit.save(draft);
    Ok(())
}

fn named(user: UserId, outcome: Outcome, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let Outcome::HostName(name) = outcome else {
        return Ok(());
    };
    let shown = |name: String| {
        visible_text(&name)
            .chars()
            .take(HOST_NAME_LENGTH)
            .collect::<String>()
    };
    let known = draft.facts.host(&user)?;
    draft.put(Change::PutHost(Host {
        display_name: name.map(shown),
        ..known.unwrap_or_else(|| Host::new(user))
    }));
    Ok(())
}
