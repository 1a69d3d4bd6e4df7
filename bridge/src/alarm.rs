//! What is done when its time has come, besides ending chats: a warning, a word about an absence,
//! the expiry of a link, forgetting what is over.
//!
//! Each link and each portal has at most one alarm in an index that is kept in the order of time, so
//! that a tick reads only what rings. An alarm may ring too early, because a message that moves a
//! deadline does not move the alarm: then it is set anew. It never rings too late.

use std::collections::BTreeSet;

use crate::audit::{Act, Actor, Target};
use crate::bridge::Undecided;
use crate::draft::{Draft, Edit, readable};
use crate::frame::InboxFrame;
use crate::id::{LinkId, PortalId};
use crate::link::{Link, LinkState};
use crate::notice;
use crate::policy::Times;
use crate::portal::{Portal, PortalState};
use crate::store::{AsideChat, Change};
use crate::time::Timestamp;

/// How many alarms one tick answers; the shell ticks again.
const ALARMS_PER_TICK: usize = 50;
/// How many waiting frames are looked through for a message of the host.
const FRAMES_LOOKED_AT: usize = 100;

/// Whose alarm it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A link's.
    Link(LinkId),
    /// A portal's.
    Portal(PortalId),
}

/// Answers the alarms that ring. Portals that were `ended` just now wait for the next tick: their
/// rows are not as they are stored any more.
pub(crate) fn ring(ended: &BTreeSet<PortalId>, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let ringing = draft
        .facts
        .alarms(draft.now, ALARMS_PER_TICK + ended.len())?;
    for (at, subject) in ringing {
        match subject {
            Subject::Portal(id) if ended.contains(&id) => {}
            Subject::Portal(id) => match readable(draft.facts.portal(id))? {
                Some(portal) if portal.alarm_at == Some(at) => look_at_portal(portal, draft)?,
                _ => {
                    put_away(subject, at, draft);
                    note_since_when(id, draft)?;
                }
            },
            Subject::Link(id) => match readable(draft.link(id))? {
                Some(link) if link.alarm_at == Some(at) => look_at_link(link, draft)?,
                _ => put_away(subject, at, draft),
            },
        }
    }
    Ok(())
}

/// A chat that was set aside while the store was opened, when nobody asked for the time. If it isn't
/// over, its deadline will come and tell the same.
fn note_since_when(id: PortalId, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    if draft.facts.is_set_aside(id)? {
        let all = draft.facts.due(Timestamp(u64::MAX), usize::MAX)?;
        if !all.contains(&id) {
            draft.put(Change::SetAside {
                portal: id,
                at: draft.now,
            });
        }
    }
    Ok(())
}

/// Forgets chats that were set aside, as late as any other that is over, and has their links
/// forgotten at their time.
pub(crate) fn clear_aside(draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let until = draft.now.before(draft.policy.times.keep_chat);
    for AsideChat { portal, host } in draft.facts.set_aside_until(until, ALARMS_PER_TICK)? {
        if let Some(host) = host {
            let is_its = |link: &Link| matches!(link.state, LinkState::Used { portal: of, .. } if of == portal);
            let links = draft.facts.links_of_host(&host)?;
            if let Some(link) = links.into_iter().find(is_its)
                && let Some(mut link) = readable(draft.link(link.id))?
            {
                link.chat_ended_at.get_or_insert(until);
                draft.put_link(link);
            }
        }
        draft.put(Change::EraseAside(portal));
    }
    Ok(())
}

/// The row is gone, unreadable, or knows of another alarm.
fn put_away(subject: Subject, at: Timestamp, draft: &mut Draft<'_>) {
    draft.put(Change::SetAlarm {
        subject,
        was: Some(at),
        at: None,
    });
}

fn look_at_link(mut link: Link, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let due = link.next_look(&draft.policy.times);
    let is_due = due.is_some_and(|due| due <= draft.now);
    match link.state {
        LinkState::Open if is_due => {
            link.state = LinkState::Expired { at: draft.now };
            draft.counts()?.link_over();
            draft.audit(Act::LinkExpired, Actor::Bridge, Target::link(&link))?;
            notice::link_expired(&link, draft)?;
            let due = link.next_look(&draft.policy.times);
            draft.put_link_with_alarm(link, due);
        }
        _ if is_due => {
            if let Some(at) = link.alarm_at {
                put_away(Subject::Link(link.id), at, draft);
            }
            draft.put(Change::EraseLink(Box::new(link)));
        }
        _ => draft.put_link_with_alarm(link, due),
    }
    Ok(())
}

fn look_at_portal(portal: Portal, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    if let PortalState::Closed { at, .. } = portal.state {
        return forget(portal, at, draft);
    }
    let mut edit = draft.edit(portal);
    warn(&mut edit, draft)?;
    tell_absence(&mut edit, draft)?;
    let next = edit.portal.next_look(&draft.policy.times);
    edit.save_with_alarm(draft, next);
    Ok(())
}

/// Warns both sides, once for each deadline. When that is over already there is nothing to warn of:
/// the end only waits until the inbox can be read, or until the next tick.
fn warn(edit: &mut Edit, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let deadline = edit.portal.ends_at;
    let is_due = edit
        .portal
        .warning_at(&draft.policy.times)
        .is_some_and(|at| at <= draft.now);
    if !is_due {
        return Ok(());
    }
    edit.portal.told.deadline = Some(deadline);
    if deadline <= draft.now {
        return Ok(());
    }
    edit.frame(draft, InboxFrame::Deadline { deadline });
    notice::ends_soon(&edit.portal, draft)
}

/// Tells the host of an absence, once, and only while a message of theirs waits for the guest. When
/// nothing waits, it is looked again later.
fn tell_absence(edit: &mut Edit, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let is_due = edit
        .portal
        .absence_at(&draft.policy.times)
        .is_some_and(|at| at <= draft.now);
    if !is_due {
        return Ok(());
    }
    let waiting = readable(draft.facts.frames(edit.portal.id, 0, FRAMES_LOOKED_AT))?;
    let is_message = |frame: &InboxFrame| matches!(frame, InboxFrame::Event { .. });
    if !waiting.iter().any(|(_, frame)| is_message(frame)) {
        edit.portal.told.looked_at = Some(draft.now);
        return Ok(());
    }
    edit.portal.told.absence = Some(edit.portal.last_sign());
    notice::absent(&edit.portal, draft)
}

fn forget(portal: Portal, ended: Timestamp, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let times = &draft.policy.times;
    let acknowledged = readable(draft.facts.frames(portal.id, 0, 1))?.is_empty();
    let keep = if acknowledged {
        times.keep_acknowledged.min(times.keep_chat)
    } else {
        times.keep_chat
    };
    let due = ended + keep;
    if due > draft.now {
        draft.edit(portal).save_with_alarm(draft, Some(due));
        return Ok(());
    }
    if let Some(at) = portal.alarm_at {
        put_away(Subject::Portal(portal.id), at, draft);
    }
    draft.put(Change::ErasePortal(Box::new(portal)));
    Ok(())
}

impl Portal {
    /// The last sign of the guest.
    pub(crate) fn last_sign(&self) -> Timestamp {
        self.visit.seen_at.max(self.created_at)
    }

    /// When both sides are to be warned of the deadline, if that was not done.
    fn warning_at(&self, times: &Times) -> Option<Timestamp> {
        let told = self.told.deadline == Some(self.ends_at);
        let is_open = matches!(self.state, PortalState::Open { .. });
        let half = self.ends_at.since(self.last_message_at) / 2;
        (is_open && !told).then(|| self.ends_at.before(times.warning.min(half)))
    }

    /// When the host is to be told that the guest is away, if that was not done.
    fn absence_at(&self, times: &Times) -> Option<Timestamp> {
        let told = self.told.absence == Some(self.last_sign());
        let is_open = matches!(self.state, PortalState::Open { .. });
        let first = self.last_sign() + times.absence;
        let again = self.told.looked_at.map(|at| at + times.absence / 3);
        (is_open && !told).then(|| again.map_or(first, |again| again.max(first)))
    }

    /// When the tick has to look at it next, besides its deadline.
    pub(crate) fn next_look(&self, times: &Times) -> Option<Timestamp> {
        match &self.state {
            PortalState::Opening { .. } => None,
            PortalState::Open { .. } => [self.warning_at(times), self.absence_at(times)]
                .into_iter()
                .flatten()
                .min(),
            PortalState::Closed { at, .. } => {
                Some(*at + times.keep_acknowledged.min(times.keep_chat))
            }
        }
    }
}
