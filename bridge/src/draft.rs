//! A decision while it is being made.

use rand_core::CryptoRng;

use crate::bridge::{Answer, Context, Decision};
use crate::effect::{Effect, Words};
use crate::frame::{HostView, InboxFrame};
use crate::host::Host;
use crate::id::{EffectId, RoomId, UserId};
use crate::policy::Policy;
use crate::portal::Portal;
use crate::store::{Change, Changes, Facts, Read};
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
    last_effect: &'a mut Option<EffectId>,
    changes: Changes,
    unstored: Vec<(EffectId, Words)>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(facts: &'a dyn Facts, policy: &'a Policy, cx: Context<'a>) -> Self {
        Self {
            facts,
            policy,
            now: cx.now,
            rng: cx.rng,
            last_effect: cx.last_effect,
            changes: Changes::default(),
            unstored: Vec::new(),
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

    /// Begins to change a stored portal.
    pub(crate) fn edit(&self, portal: Portal) -> Edit {
        Edit {
            was_due: portal.deadline(),
            portal,
        }
    }

    /// The decision.
    pub(crate) fn answer(self, answer: Answer) -> Decision {
        Decision {
            changes: self.changes,
            unstored: self.unstored,
            answer,
        }
    }
}

/// A host as a guest sees them.
pub(crate) fn host_view(facts: &dyn Facts, user: &UserId) -> Read<HostView> {
    let host = facts.host(user)?.unwrap_or(Host {
        user: user.clone(),
        display_name: None,
    });
    Ok(HostView {
        display_name: host.shown_name().to_owned(),
        user_id: host.user,
    })
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

    /// One side wrote: the time until the end begins anew.
    pub(crate) fn wrote(&mut self, draft: &Draft<'_>) {
        self.portal.last_message_at = draft.now;
        self.portal.ends_at = draft.now + draft.policy.idle_limit;
    }

    /// Adds the changed portal to the draft.
    pub(crate) fn save(self, draft: &mut Draft<'_>) {
        let due = self.portal.deadline();
        draft.put(Change::PutPortal {
            portal: Box::new(self.portal),
            was_due: self.was_due,
            due,
        });
    }
}
