//! Random doings of guests, hosts, strangers, the homeserver and the clock, and what must hold
//! after each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::plain::{Asked, Plain};
use super::reach::{Cause, assert_reach, cause};
use super::world::*;
use crate::bridge::Answer;
use crate::effect::{Effect, Lane, Words};
use crate::frame::InboxFrame;
use crate::id::{DeviceId, EffectId, EventId, PortalId, UserId};
use crate::input::{Input, Join, Membership, Outcome, RoomEvent, RoomEventKind};
use crate::link::{LinkState, Token};
use crate::passcode::Passcode;
use crate::portal::PortalState;
use crate::store::{Change, Changes, Facts};
use crate::testing::sample;
use crate::time::Timestamp;

mod check;

/// One doing: what, and two numbers that choose among the possibilities.
type Doing = (u8, u8, u8);

/// What the model knows beside the store.
struct Model {
    world: World,
    /// Links as they were told, with their passcodes.
    tokens: Vec<(Token, Option<Passcode>)>,
    portals: Vec<PortalId>,
    /// Portals of which the homeserver said that the seal holds.
    sealed: BTreeSet<PortalId>,
    closed: BTreeSet<PortalId>,
    erased: BTreeSet<PortalId>,
    ends: BTreeSet<String>,
    /// How many frames each portal was given.
    frames: BTreeMap<PortalId, u64>,
    last_effect: Option<EffectId>,
    rooms: u64,
    commands: u64,
    /// How many wrong passcodes were counted, and how many links were refused for the day's limit.
    spent: u64,
    limited: u64,
    /// Whether only guests act, and the homeserver performs what they cause.
    guests_only: bool,
}

impl Model {
    fn new(guests_only: bool) -> Self {
        let mut world = World::new();
        world.policy.open_chats = 4;
        world.policy.open_links = 6;
        world.policy.limits.links_a_day = 6;
        let tokens = (0..3).map(|_| (world.invite(), None)).collect();
        Self {
            world,
            tokens,
            portals: Vec::new(),
            sealed: BTreeSet::new(),
            closed: BTreeSet::new(),
            erased: BTreeSet::new(),
            ends: BTreeSet::new(),
            frames: BTreeMap::new(),
            last_effect: None,
            rooms: 0,
            commands: 0,
            spent: 0,
            limited: 0,
            guests_only,
        }
    }

    fn step(&mut self, (what, which, how): Doing) {
        let Some(input) = self.input(what, which, how) else {
            return;
        };
        let before = Plain::of(&self.world);
        // A refusal carries no changes that could be stored.
        let answer = match self.world.submit(input.clone()) {
            Ok(stored) => {
                self.check(&stored.changes);
                Ok(stored.answer)
            }
            Err(refusal) => Err(refusal),
        };
        self.spent += u64::from(matches!(answer, Ok(Answer::Refused(_))));
        before.assert_followed_by(&Plain::of(&self.world), &input, &answer, &self.world);
        self.check_portals();
        if matches!(input, Input::Tick { .. }) {
            self.world.settle();
        } else if !matches!(answer, Ok(Answer::Refused(_))) {
            // A wrong passcode is counted each time.
            self.check_again(&input);
        }
        self.check_counts();
    }

    /// A command in the management room does exactly what the plain reference says, and nothing
    /// else.
    fn command(&mut self, which: u8, how: u8) {
        let asked = Asked::choose(which, how);
        self.commands += 1;
        let before = Plain::of(&self.world);
        let event = RoomEvent {
            room: management(),
            event_id: EventId::new(format!("$command{}", self.commands)),
            sender: alice(),
            at: Timestamp(1),
            kind: text(&asked.written()),
        };
        let stored = self.world.submit(Input::Room(event.clone())).unwrap();
        self.check(&stored.changes);
        self.check_again(&Input::Room(event));
        let said = self.world.said();
        assert!(!said.is_empty(), "every command is answered");
        let of_today = |words: &&Words| words.plain.contains("links in 24 hours");
        self.limited += u64::try_from(said.iter().filter(of_today).count()).unwrap();
        let made = said.iter().filter(|words| words.plain.contains("/#"));
        let passcode = |words: &str| Passcode::parse(words.split_once("Passcode: ")?.1.get(..6)?);
        self.tokens
            .extend(made.map(|words| (token_in(&words.plain), passcode(&words.plain))));
        assert_eq!(
            Plain::of(&self.world),
            before.clone().after(&asked, &self.world.policy),
            "{asked:?} after {before:?}"
        );
        self.check_portals();
        self.check_counts();
    }

    /// Notices wait in no lane that the model performs.
    fn check_counts(&mut self) {
        self.world.said();
        let plain = Plain::of(&self.world);
        let counts = self.world.store.counts().unwrap();
        assert_eq!(counts.open_chats, plain.chats());
        assert!(counts.open_links >= plain.unused());
        let stored = self.world.store.links_of_host(&alice()).unwrap();
        let open = stored.iter().filter(|link| link.state == LinkState::Open);
        assert_eq!(counts.open_links, u64::try_from(open.count()).unwrap());
    }

    fn input(&mut self, what: u8, which: u8, how: u8) -> Option<Input> {
        match what % 16 {
            0 => self.join(which, how),
            1 | 2 => self.numbered(which, how),
            3 => Some(Input::Ack {
                portal: self.pick(which)?,
                seq: u64::from(how % 8),
            }),
            4 if how < 40 => Some(Input::Leave {
                portal: self.pick(which)?,
            }),
            5..=7 | 13..=15 => self.outcome(which, how),
            8 => {
                self.world.now = match how {
                    0..16 => Timestamp(self.world.now.0.saturating_sub(3_600_000)),
                    216..250 => self.world.now + DAY,
                    250.. => self.world.now + 10 * DAY,
                    _ => self.world.now + Duration::from_millis(u64::from(how) * 20),
                };
                Some(tick())
            }
            9 if !self.guests_only => self.room_event(which, how),
            10 if !self.guests_only => {
                let portal = self.pick(which)?;
                self.world.store.portal(portal).unwrap()?;
                let mut event = self
                    .world
                    .olm_from_alice(portal, &format!("olm {}", how % 8));
                if how > 200 {
                    event.sender = sample::user("mallory");
                }
                Some(Input::ToDevice(event))
            }
            11 | 12 if !self.guests_only => {
                self.command(which, how);
                None
            }
            _ => None,
        }
    }

    fn pick(&self, which: u8) -> Option<PortalId> {
        // Mostly one that lives, now and then one that is over or forgotten.
        let live: Vec<_> = self
            .portals
            .iter()
            .filter(|id| which.is_multiple_of(8) || !self.closed.contains(id))
            .collect();
        let place = usize::from(which / 8).checked_rem(live.len())?;
        live.get(place).map(|id| **id)
    }

    fn join(&self, which: u8, how: u8) -> Option<Input> {
        let (token, passcode) = &self.tokens[usize::from(which) % self.tokens.len()];
        let tried = match how / 2 % 4 {
            0 => None,
            1 => Passcode::parse("000000"),
            _ => passcode.clone(),
        };
        let ed25519 = format!("key{}", how % 2);
        Some(Input::Join(Box::new(Join {
            ed25519,
            passcode: tried.map(|tried| tried.hash(token)),
            ..self.world.join_input(token)
        })))
    }

    fn numbered(&self, which: u8, how: u8) -> Option<Input> {
        let portal = self.pick(which)?;
        let stored = self.world.store.portal(portal).unwrap();
        let last = stored.map_or(0, |stored| stored.visit.last_n);
        let n = (last + u64::from(how % 4)).saturating_sub(1);
        if how >= 208 {
            let event = EventId::new(format!("$sent{}", how % 32));
            return Some(Input::Redact { portal, n, event });
        }
        Some(match how / 4 % 4 {
            0 => Input::SendToDevice {
                portal,
                n,
                event_type: "m.room.encrypted".to_owned(),
                messages: BTreeMap::from([(DeviceId::new("HOSTDEVICE"), olm("x"))]),
            },
            1 => Input::Send {
                portal,
                n,
                content: serde_json::json!({"body": "clear"}),
            },
            _ => Input::Send {
                portal,
                n,
                content: megolm("x"),
            },
        })
    }

    /// Performs the first effect of some lane, as the outbox does, mostly with success.
    fn outcome(&mut self, which: u8, how: u8) -> Option<Input> {
        let mut first: BTreeMap<Lane, (EffectId, Effect)> = BTreeMap::new();
        for (id, effect) in self.world.effects() {
            first.entry(effect.lane()).or_insert((id, effect));
        }
        let lane = usize::from(which).checked_rem(first.len())?;
        let (id, effect) = first.into_values().nth(lane)?;
        let outcome = if how < 8 {
            refused()
        } else {
            self.success(&effect, how)
        };
        Some(Input::Done {
            effect: id,
            outcome,
        })
    }

    fn success(&mut self, effect: &Effect, how: u8) -> Outcome {
        match effect {
            Effect::CreateRoom { .. } => {
                self.rooms += 1;
                Outcome::RoomCreated(sealed(self.rooms))
            }
            Effect::VerifySeal(_) if how < 24 => Outcome::SealBroken,
            Effect::VerifySeal(step) => {
                self.sealed.insert(step.portal);
                Outcome::Sealed {
                    host_joined: how.is_multiple_of(2),
                }
            }
            Effect::SendEvent { .. } | Effect::Redact { .. } => {
                Outcome::Sent(EventId::new(format!("$sent{how}")))
            }
            _ => Outcome::Done,
        }
    }

    fn room_event(&self, which: u8, how: u8) -> Option<Input> {
        let portal = self.world.store.portal(self.pick(which)?).unwrap()?;
        let room = portal.room()?.clone();
        let senders = [
            alice(),
            alice(),
            portal.ghost.clone(),
            sample::user("mallory"),
            bot(),
        ];
        let sender = senders[usize::from(how) % senders.len()].clone();
        let kind = match how / 5 % 8 {
            0 => self.membership(&portal.ghost, which / 16, how / 40),
            1 => RoomEventKind::Redaction {
                redacts: EventId::new("$x"),
            },
            2 => text("clear"),
            3 => RoomEventKind::State,
            _ => encrypted(),
        };
        let event_id = EventId::new(format!("$event{}", how / 2));
        Some(Input::Room(RoomEvent {
            room,
            event_id,
            sender,
            at: Timestamp(1),
            kind,
        }))
    }

    fn membership(&self, ghost: &UserId, which: u8, how: u8) -> RoomEventKind {
        let mallory = sample::user("mallory");
        let targets = [alice(), ghost.clone(), bot(), mallory.clone(), mallory];
        let memberships = [
            Membership::Join,
            Membership::Ban,
            Membership::Invite,
            Membership::Leave,
        ];
        RoomEventKind::Member {
            target: targets[usize::from(how) % targets.len()].clone(),
            membership: memberships[usize::from(which) % memberships.len()],
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn whatever_happens_the_rules_hold(doings in prop::collection::vec(any::<Doing>(), 1..150)) {
        let mut model = Model::new(false);
        doings.into_iter().for_each(|doing| model.step(doing));
    }

    #[test]
    fn guests_cause_nothing_but_the_closed_list(doings in prop::collection::vec(any::<Doing>(), 1..150)) {
        let mut model = Model::new(true);
        doings.into_iter().for_each(|doing| model.step(doing));
    }
}

/// The model would prove little if its doings never came as far as an open chat.
#[test]
fn the_model_reaches_open_chats_and_every_end() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut opened, mut erased, mut commands, mut spent, mut limited) = (0, 0, 0, 0, 0);
    let mut ends = BTreeSet::new();
    for _ in 0..100 {
        let doings = prop::collection::vec(any::<Doing>(), 150)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut model = Model::new(false);
        for doing in doings {
            model.step(doing);
        }
        opened += model.sealed.len();
        erased += model.erased.len();
        commands += model.world.store.blocks_of_host(&alice()).unwrap().len();
        spent += model.spent;
        limited += model.limited;
        ends.extend(model.ends);
    }
    assert!(opened > 20, "{opened}");
    assert!(erased > 20, "{erased}");
    assert!(commands > 20, "{commands}");
    assert!(spent > 10, "{spent}");
    assert!(limited > 10, "{limited}");
    assert_eq!(ends.len(), 5, "{ends:?}");
}
