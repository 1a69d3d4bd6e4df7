//! A decision while it is being made.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;

use crate::alarm::Subject;
use crate::audit::{Act, Actor, AuditEntry, AuditId, Target};
use crate::bridge::{Answer, Context, Decision};
use crate::count::Counts;
use crate::effect::{Effect, Words};
use crate::frame::{HostView, InboxFrame};
use crate::host::Host;
use crate::id::{EffectId, LinkId, PortalId, RoomId, UserId};
use crate::link::Link;
use crate::policy::Policy;
use crate::portal::Portal;
use crate::store::{Change, Changes, Facts, Read, StoreError};
use crate::time::Timestamp;

/// What is known, and what was decided so far.
pub(crate) struct Draft<'a> {
    /// What is stored.
    pub facts: &'a dyn Facts,
    /// The numbers and permissions.
    pub policy: &'a Policy,
    /// The time.
    pub now: Timestamp,
    /// Randomness.
    pub rng: &'a mut dyn CryptoRng,
    /// Who acts, as far as a command of an admin is concerned.
    pub acting: Actor,
    last_effect: &'a mut Option<EffectId>,
    changes: Changes,
    unstored: Vec<(EffectId, Words)>,
    /// Rows that this decision changed already, for whoever reads them after that.
    links: BTreeMap<LinkId, Link>,
    hosts: BTreeMap<UserId, Host>,
    /// As they are stored, and as they will be.
    counts: Option<(Counts, Counts)>,
    /// Portals that this decision ended; as they are stored they go on.
    ended: BTreeSet<PortalId>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(facts: &'a dyn Facts, policy: &'a Policy, cx: Context<'a>) -> Self {
        Self {
            facts,
            policy,
            now: cx.now,
            rng: cx.rng,
            acting: Actor::Bridge,
            last_effect: cx.last_effect,
            changes: Changes::default(),
            unstored: Vec::new(),
            links: BTreeMap::new(),
            hosts: BTreeMap::new(),
            counts: None,
            ended: BTreeSet::new(),
        }
    }

    /// Adds a change.
    pub(crate) fn put(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Whether nothing was decided yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Adds an effect after all others.
    pub(crate) fn effect(&mut self, effect: Effect) -> EffectId {
        let id = EffectId::after(*self.last_effect, self.now, self.rng);
        *self.last_effect = Some(id);
        self.put(Change::PutEffect { id, effect });
        id
    }

    /// Lets the bot say something.
    pub(crate) fn say(&mut self, room: &RoomId, text: Words) {
        self.effect(Effect::Notice {
            room: room.clone(),
            text,
        });
    }

    /// Hands words to the shell for an effect that must not be stored with them.
    pub(crate) fn hand_over(&mut self, effect: EffectId, words: Words) {
        self.unstored.push((effect, words));
    }

    /// A host as a guest sees them.
    pub(crate) fn host_view(&self, user: &UserId) -> Read<HostView> {
        host_view(self.facts, user)
    }

    /// A link, as this decision left it.
    pub(crate) fn link(&self, id: LinkId) -> Read<Option<Link>> {
        match self.links.get(&id) {
            Some(link) => Ok(Some(link.clone())),
            None => self.facts.link(id),
        }
    }

    /// Inserts or replaces a link, and sees to it that its alarm rings in time.
    pub(crate) fn put_link(&mut self, link: Link) {
        let wanted = link.next_look(&self.policy.times);
        let alarm = earlier(link.alarm_at, wanted);
        self.put_link_with_alarm(link, alarm);
    }

    /// Inserts or replaces a link whose alarm is to ring at exactly this time, or not at all.
    pub(crate) fn put_link_with_alarm(&mut self, mut link: Link, alarm: Option<Timestamp>) {
        self.set_alarm(Subject::Link(link.id), &mut link.alarm_at, alarm);
        self.links.insert(link.id, link.clone());
        self.put(Change::PutLink(link));
    }

    /// Inserts a portal that is not stored yet.
    pub(crate) fn put_new_portal(&mut self, portal: Portal) {
        let edit = Edit {
            was_due: None,
            portal,
        };
        edit.save(self);
    }

    fn set_alarm(
        &mut self,
        subject: Subject,
        stored: &mut Option<Timestamp>,
        at: Option<Timestamp>,
    ) {
        let was = std::mem::replace(stored, at);
        if was != at {
            self.put(Change::SetAlarm { subject, was, at });
        }
    }

    /// Gives out the next number of this host.
    pub(crate) fn next_number(&mut self, user: &UserId) -> Read<u32> {
        let known = match self.hosts.remove(user) {
            Some(host) => Some(host),
            None => self.facts.host(user)?,
        };
        let mut host = known.unwrap_or_else(|| Host::new(user.clone()));
        host.last_number = host.last_number.saturating_add(1);
        let number = host.last_number;
        self.hosts.insert(user.clone(), host.clone());
        self.put(Change::PutHost(host));
        Ok(number)
    }

    /// Gives out the next serial of all links.
    pub(crate) fn next_serial(&mut self) -> Read<u64> {
        // A count that was lost must not begin anew while links have greater ones.
        let greatest = self.facts.links_before(None, 1)?;
        let greatest = greatest.first().map_or(0, |link| link.serial);
        let counts = self.counts()?;
        counts.last_serial = counts.last_serial.max(greatest).saturating_add(1);
        Ok(counts.last_serial)
    }

    /// Writes an entry into the audit trail.
    pub(crate) fn audit(&mut self, act: Act, by: Actor, to: Target) -> Read<()> {
        let at = self.now;
        let counts = self.counts()?;
        counts.audited = counts.audited.saturating_add(1);
        let id = AuditId {
            at,
            number: counts.audited,
        };
        self.put(Change::PutAudit(AuditEntry { id, by, act, to }));
        Ok(())
    }

    /// Remembers that this decision ended a portal.
    pub(crate) fn note_end(&mut self, portal: PortalId) {
        self.ended.insert(portal);
    }

    /// Whether this decision ended a portal.
    pub(crate) fn is_ended(&self, portal: PortalId) -> bool {
        self.ended.contains(&portal)
    }

    /// The counts, to read and to change.
    pub(crate) fn counts(&mut self) -> Read<&mut Counts> {
        let (before, now) = match self.counts {
            Some(counts) => counts,
            None => {
                let stored = self.facts.counts()?;
                (stored, stored)
            }
        };
        Ok(&mut self.counts.insert((before, now)).1)
    }

    /// Begins to change a stored portal.
    pub(crate) fn edit(&self, portal: Portal) -> Edit {
        Edit {
            was_due: portal.deadline(),
            portal,
        }
    }

    /// The decision.
    pub(crate) fn answer(mut self, answer: Answer) -> Decision {
        if let Some((before, now)) = self.counts
            && before != now
        {
            self.put(Change::PutCounts(now));
        }
        Decision {
            changes: self.changes,
            unstored: self.unstored,
            answer,
        }
    }
}

/// A host as a guest sees them.
pub(crate) fn host_view(facts: &dyn Facts, user: &UserId) -> Read<HostView> {
    let host = facts.host(user)?.unwrap_or_else(|| Host::new(user.clone()));
    Ok(HostView {
        display_name: host.shown_name().to_owned(),
        user_id: host.user,
    })
}

/// What was read, and nothing when the row is damaged: for rows beside the one that a decision is
/// about, so that a damaged one doesn't keep the others from going on.
pub(crate) fn readable<T: Default>(read: Read<T>) -> Read<T> {
    match read {
        Err(StoreError::Damaged { .. }) => Ok(T::default()),
        other => other,
    }
}

/// Which of two alarms comes first. One that rings too early costs a look; setting it anew with
/// each message would cost two rows.
fn earlier(set: Option<Timestamp>, wanted: Option<Timestamp>) -> Option<Timestamp> {
    [set, wanted].into_iter().flatten().min()
}

/// A portal that is being changed: it remembers under which deadline the row stands.
#[must_use = "an edit counts when it is saved"]
pub(crate) struct Edit {
    /// The portal as it will be.
    pub portal: Portal,
    was_due: Option<Timestamp>,
}

impl Edit {
    /// Puts a frame into the inbox.
    pub(crate) fn frame(&mut self, draft: &mut Draft<'_>, frame: InboxFrame) {
        self.portal.last_seq += 1;
        draft.put(Change::PutFrame {
            portal: self.portal.id,
            seq: self.portal.last_seq,
            frame,
        });
    }

    /// The guest gave a sign.
    pub(crate) fn seen(&mut self, draft: &Draft<'_>) {
        self.portal.visit.seen_at = draft.now;
    }

    /// One side wrote: the time until the end begins anew.
    pub(crate) fn wrote(&mut self, draft: &Draft<'_>) {
        self.portal.last_message_at = draft.now;
        self.portal.ends_at = draft.now + draft.policy.idle_limit;
    }

    /// Adds the changed portal to the draft, and sees to it that its alarm rings in time.
    pub(crate) fn save(self, draft: &mut Draft<'_>) {
        let wanted = self.portal.next_look(&draft.policy.times);
        let alarm = earlier(self.portal.alarm_at, wanted);
        self.save_with_alarm(draft, alarm);
    }

    /// Adds the changed portal to the draft; its alarm is to ring at exactly this time, or not at
    /// all.
    pub(crate) fn save_with_alarm(mut self, draft: &mut Draft<'_>, alarm: Option<Timestamp>) {
        let subject = Subject::Portal(self.portal.id);
        draft.set_alarm(subject, &mut self.portal.alarm_at, alarm);
        let due = self.portal.deadline();
        draft.put(Change::PutPortal {
            portal: Box::new(self.portal),
            was_due: self.was_due,
            due,
        });
    }
}
