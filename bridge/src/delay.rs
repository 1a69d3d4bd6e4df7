//! What a host is told when the homeserver makes a chat wait. A host's own limit on invitations is
//! the usual cause: it holds for whoever is invited, however privileged the bridge is.

use std::time::Duration;

use crate::bridge::{Answer, Decision, Undecided};
use crate::draft::Draft;
use crate::effect::{Effect, Lane};
use crate::id::EffectId;
use crate::notice::{self, whom};
use crate::portal::PortalState;
use crate::store::Change;
use crate::words::about;

/// Tells the host, once for each chat, and only while the chat is being made: what comes later
/// waits no longer than a message may take anyway.
pub(crate) fn delayed(
    id: EffectId,
    retry_after: Duration,
    mut draft: Draft<'_>,
) -> Result<Decision, Undecided> {
    if let Some(effect) = draft.facts.effect(id)? {
        tell(&effect, retry_after, &mut draft)?;
    }
    Ok(draft.answer(Answer::Stored))
}

fn tell(effect: &Effect, retry_after: Duration, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let Lane::Portal(portal) = effect.lane() else {
        // In a management room the bot could say it only after the very effect that waits.
        return Ok(());
    };
    let Some(portal) = draft.facts.portal(portal)? else {
        return Ok(());
    };
    if !matches!(portal.state, PortalState::Opening { .. }) {
        return Ok(());
    }
    let Some(link) = draft.facts.link(portal.link)? else {
        return Ok(());
    };
    let told = format!("delayed:{}", portal.id);
    if draft.facts.transaction_seen(&told)? {
        return Ok(());
    }
    draft.put(Change::RememberTransaction(told));
    let whom = whom(link.label.as_deref());
    let about = about(retry_after);
    let words = match effect {
        Effect::InviteHost(_) => format!(
            "The chat with {whom} is ready, but your homeserver limits how many invitations you get at once. \
             Yours comes in about {about}, by itself."
        ),
        _ => format!(
            "The homeserver limits how fast chats are made, so the one with {whom} takes about {about} longer. \
             It goes on by itself."
        ),
    };
    notice::tell(&link, |_| words, draft)
}
