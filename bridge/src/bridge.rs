//! The one function that decides.

use rand_core::CryptoRng;

use crate::delay;
use crate::done;
use crate::draft::Draft;
use crate::effect::Words;
use crate::end;
use crate::guest_input;
use crate::host_input;
use crate::id::{EffectId, PortalId};
use crate::input::Input;
use crate::join;
use crate::management;
use crate::permission;
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::store::{Changes, Facts, StoreError};
use crate::time::Timestamp;
use crate::upkeep;

/// What a decision may draw on besides the stored facts.
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// Randomness, for tokens and ids.
    pub rng: &'a mut dyn CryptoRng,
    /// The greatest effect id given out so far; [`decide`] moves it on.
    pub last_effect: &'a mut Option<EffectId>,
}

/// What follows from an input.
#[must_use = "a decision counts when its changes are stored"]
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// What is to be stored, effects and frames included.
    pub changes: Changes,
    /// Words for effects of these changes that must never be stored, to be kept in memory until
    /// the effect is done: a link's token stands in them.
    pub unstored: Vec<(EffectId, Words)>,
    /// What whoever brought the input is told, after the commit.
    pub answer: Answer,
}

/// What whoever brought the input is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// Only that it is stored.
    #[default]
    Stored,
    /// No, and something of it is stored all the same: that a passcode was tried.
    Refused(Refusal),
    /// The guest is in.
    Joined(Joined),
    /// A numbered frame was counted, now or before.
    Counted {
        /// When the chat ends if nobody writes.
        deadline: Option<Timestamp>,
    },
}

/// The answer to a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The new portal.
    pub portal: PortalId,
    /// The guest's name with its label.
    pub name: String,
    /// The host as the guest sees them.
    pub host: crate::frame::HostView,
}

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum Undecided {
    /// The domain said no; nothing is changed.
    #[error("refused: {}", .0.code())]
    Refused(Refusal),
    /// A fact could not be read.
    #[error("a fact could not be read")]
    Store(#[from] StoreError),
}

impl From<Refusal> for Undecided {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Decides one input over the facts.
pub fn decide<'a>(
    input: Input,
    facts: &'a dyn Facts,
    policy: &'a Policy,
    cx: Context<'a>,
) -> Result<Decision, Undecided> {
    let draft = Draft::new(facts, policy, cx);
    match input {
        Input::Join(join) => join::join(*join, draft),
        Input::Send { portal, n, content } => guest_input::send(portal, n, content, draft),
        Input::SendToDevice {
            portal,
            n,
            event_type,
            messages,
        } => guest_input::send_to_device(portal, n, event_type, messages, draft),
        Input::Redact { portal, n, event } => guest_input::redact(portal, n, event, draft),
        Input::Ack { portal, seq } => guest_input::ack(portal, seq, draft),
        Input::Recount { portal, last_n } => guest_input::recount(portal, last_n, draft),
        Input::Leave { portal } => guest_input::leave(portal, draft),
        Input::Seen { portal } => guest_input::seen(portal, draft),
        Input::Looked { token_hash } => join::looked(&token_hash, draft),
        Input::Room(event) => host_input::room_event(event, draft),
        Input::Past(event) => host_input::past_event(event, draft),
        Input::ToDevice(event) => host_input::to_device(event, draft),
        Input::HostRead { portal, read } => host_input::host_read(portal, read, draft),
        Input::GhostShown {
            ghost,
            name,
            pictured,
        } => upkeep::shown(&ghost, name.as_deref(), pictured, draft),
        Input::Doubted { portal } => upkeep::doubted(portal, draft),
        Input::CutOff { portal } => upkeep::cut_off(portal, draft),
        Input::RoomSeen { room, encrypted } => management::seen(&room, encrypted, draft),
        Input::IdentityReset { user, rooms } => management::identity_reset(&user, &rooms, draft),
        Input::Done { effect, outcome } => done::done(effect, outcome, draft),
        Input::Tick { unread } => end::tick(&unread, draft),
        Input::ListRead {
            room,
            followed,
            rules,
        } => {
            let mut draft = draft;
            permission::list_read(room, followed, rules, &mut draft)?;
            Ok(draft.answer(Answer::Stored))
        }
        Input::Delayed {
            effect,
            retry_after,
        } => delay::delayed(effect, retry_after, draft),
    }
}
