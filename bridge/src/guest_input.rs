//! What a guest's browser sends after it joined.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::bridge::{Answer, Decision, Undecided};
use crate::content::{self, digest};
use crate::draft::{Draft, Edit};
use crate::effect::Effect;
use crate::end;
use crate::frame::InboxFrame;
use crate::id::{DeviceId, EventId, PortalId, RoomId};
use crate::portal::{EndReason, Portal, PortalState};
use crate::refusal::Refusal;
use crate::store::{Change, Digest};

/// Why a removal is told as undelivered that never went to the homeserver.
const UNKNOWN_EVENT: &str = "unknown_event";

/// How exactly it is remembered when the guest was there.
const SIGN: Duration = Duration::from_secs(60 * 60);

pub(crate) fn send(
    portal: PortalId,
    n: u64,
    content: Value,
    mut draft: Draft<'_>,
) -> Result<Decision, Undecided> {
    let (portal, room) = match number(find(portal, &draft)?, n)? {
        Numbered::Before(answer) => return Ok(draft.answer(answer)),
        Numbered::Next(portal, room) => (*portal, room),
    };
    content::check_megolm(&content, draft.policy.message_bytes)?;
    let mut edit = count(portal, n, &draft)?;
    edit.wrote(&draft);
    draft.effect(Effect::SendEvent {
        portal: edit.portal.id,
        ghost: edit.portal.ghost.clone(),
        device: edit.portal.visit.device.clone(),
        room,
        n,
        content,
    });
    Ok(counted(edit, draft))
}

pub(crate) fn send_to_device(
    portal: PortalId,
    n: u64,
    event_type: String,
    messages: BTreeMap<DeviceId, Value>,
    mut draft: Draft<'_>,
) -> Result<Decision, Undecided> {
    let (portal, room) = match number(find(portal, &draft)?, n)? {
        Numbered::Before(answer) => return Ok(draft.answer(answer)),
        Numbered::Next(portal, room) => (*portal, room),
    };
    content::check_to_device(&event_type, &messages, &room)?;
    let edit = count(portal, n, &draft)?;
    draft.effect(Effect::SendToDevice {
        portal: edit.portal.id,
        ghost: edit.portal.ghost.clone(),
        device: edit.portal.visit.device.clone(),
        host: edit.portal.host.clone(),
        event_type,
        n: Some(n),
        messages,
    });
    Ok(counted(edit, draft))
}

/// Only what the homeserver took as a message of this guest can be taken back: of other events that
/// the ghost made, such as its membership with the guest's name, nothing may be missing. It is no
/// message, so it moves no deadline.
///
/// An event that isn't known as such is told as undelivered and not refused, for it may be one that
/// this store has forgotten, and the page has sent this frame before.
pub(crate) fn redact(
    portal: PortalId,
    n: u64,
    event: EventId,
    mut draft: Draft<'_>,
) -> Result<Decision, Undecided> {
    let (portal, room) = match number(find(portal, &draft)?, n)? {
        Numbered::Before(answer) => return Ok(draft.answer(answer)),
        Numbered::Next(portal, room) => (*portal, room),
    };
    if !event.as_str().starts_with('$') {
        return Err(Refusal::BadRequest.into());
    }
    let is_own = draft.facts.digest_seen(portal.id, own_digest(&event))?;
    let mut edit = count(portal, n, &draft)?;
    if is_own {
        draft.effect(Effect::Redact {
            portal: edit.portal.id,
            ghost: edit.portal.ghost.clone(),
            room,
            n,
            event,
        });
    } else {
        let code = UNKNOWN_EVENT.to_owned();
        edit.frame(&mut draft, InboxFrame::Undelivered { n, code });
    }
    Ok(counted(edit, draft))
}

/// Takes the next number for a frame that is good, if the guest's rate allows it.
fn count(portal: Portal, n: u64, draft: &Draft<'_>) -> Result<Edit, Refusal> {
    let mut edit = draft.edit(portal);
    edit.portal
        .visit
        .spend(&draft.policy.guest_rate, draft.now)?;
    edit.portal.visit.last_n = n;
    edit.seen(draft);
    Ok(edit)
}

/// The frame was counted, and this is all that follows.
fn counted(edit: Edit, mut draft: Draft<'_>) -> Decision {
    let deadline = edit.portal.deadline();
    edit.save(&mut draft);
    draft.answer(Answer::Counted { deadline })
}

/// Under which a message of the guest is remembered.
pub(crate) fn own_digest(event: &EventId) -> Digest {
    digest(&["own", event.as_str()])
}

pub(crate) fn ack(portal: PortalId, seq: u64, mut draft: Draft<'_>) -> Result<Decision, Undecided> {
    let portal = find(portal, &draft)?;
    if seq > portal.last_seq {
        return Err(Refusal::BadRequest.into());
    }
    let first = draft.facts.frames(portal.id, 0, 1)?;
    if first.iter().any(|(waiting, _)| *waiting <= seq) {
        draft.put(Change::DeleteFrames {
            portal: portal.id,
            through: seq,
        });
    }
    let knows_the_end = portal.is_closed() && seq == portal.last_seq;
    if knows_the_end {
        // What is left of the chat can be forgotten sooner.
        let wanted = portal.next_look(&draft.policy.times);
        let sooner = |wanted| portal.alarm_at.is_none_or(|alarm| wanted < alarm);
        if wanted.is_some_and(sooner) {
            draft.edit(portal).save(&mut draft);
        }
    } else {
        note_sign(portal, &mut draft);
    }
    Ok(draft.answer(Answer::Stored))
}

/// The guest's page is there.
pub(crate) fn seen(portal: PortalId, mut draft: Draft<'_>) -> Result<Decision, Undecided> {
    let portal = find(portal, &draft)?;
    note_sign(portal, &mut draft);
    Ok(draft.answer(Answer::Stored))
}

/// Remembers when the guest was there, to the hour: a page that is there all day must not cost a
/// row each time.
fn note_sign(portal: Portal, draft: &mut Draft<'_>) {
    let known = portal.visit.seen_at;
    // A clock that was set back makes what is known the future.
    let is_news = draft.now < known || draft.now.since(known) >= SIGN;
    if is_news && !portal.is_closed() {
        let mut edit = draft.edit(portal);
        edit.seen(draft);
        edit.save(draft);
    }
}

/// Only ever forwards: what this store counted stays counted.
pub(crate) fn recount(
    portal: PortalId,
    last_n: u64,
    mut draft: Draft<'_>,
) -> Result<Decision, Undecided> {
    let portal = find(portal, &draft)?;
    if last_n > portal.visit.last_n && !portal.is_closed() {
        let mut edit = draft.edit(portal);
        edit.portal.visit.last_n = last_n;
        edit.save(&mut draft);
    }
    Ok(draft.answer(Answer::Stored))
}

pub(crate) fn leave(portal: PortalId, mut draft: Draft<'_>) -> Result<Decision, Undecided> {
    let portal = find(portal, &draft)?;
    end::close(portal, EndReason::Guest, &mut draft)?;
    Ok(draft.answer(Answer::Stored))
}

fn find(portal: PortalId, draft: &Draft<'_>) -> Result<Portal, Undecided> {
    Ok(draft.facts.portal(portal)?.ok_or(Refusal::UnknownChat)?)
}

/// Where a numbered frame stands.
enum Numbered {
    /// It was counted before; this is the answer again.
    Before(Answer),
    /// It is the next one, and the chat is open in this room.
    Next(Box<Portal>, RoomId),
}

/// A frame that was counted stays counted after the chat's end too, so that a browser which lost
/// the answer can mark its message as sent.
fn number(portal: Portal, n: u64) -> Result<Numbered, Refusal> {
    if n == 0 {
        return Err(Refusal::BadRequest);
    }
    let last = portal.visit.last_n;
    if n <= last {
        return Ok(Numbered::Before(Answer::Counted {
            deadline: portal.deadline(),
        }));
    }
    let room = match &portal.state {
        PortalState::Closed { .. } => return Err(Refusal::Ended),
        PortalState::Opening { .. } => return Err(Refusal::NotOpen),
        PortalState::Open { room, .. } => room.clone(),
    };
    let expected = last.saturating_add(1);
    if n == expected {
        Ok(Numbered::Next(Box::new(portal), room))
    } else {
        Err(Refusal::Gap { expected })
    }
}
