//! A host, a guest and a clock, for tests that read like sentences.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;

use crate::bridge::{Answer, Context, Joined, Undecided, decide};
use crate::effect::{Effect, Words};
use crate::frame::InboxFrame;
use crate::host::ManagementRoom;
use crate::id::{DeviceId, EffectId, EventId, PortalId, RoomId, UserId};
use crate::input::{Input, Join, Membership, Outcome, RoomEvent, RoomEventKind, ToDevice};
use crate::link::{Link, Token};
use crate::policy::{GuestRate, Limits, Moments, Permissions, Policy, Role, Times};
use crate::portal::Portal;
use crate::refusal::Refusal;
use crate::store::{Change, Changes, Facts, Store, StoreTransaction};
use crate::testing::{MemoryStore, sample};
use crate::time::Timestamp;

mod samples;

pub use samples::*;

pub const START: Timestamp = Timestamp(1_795_364_370_566);
pub const DEVICE: &str = "ABCDEFGHIJ";
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub fn alice() -> UserId {
    sample::user("alice")
}

pub fn bot() -> UserId {
    sample::user("guestbot")
}

pub fn management() -> RoomId {
    RoomId::new("!management:example.org")
}

/// The room that the homeserver makes for the guest of this number.
pub fn sealed(number: u64) -> RoomId {
    sample::room(number)
}

pub fn policy() -> Policy {
    Policy {
        bot: bot(),
        server_name: sample::SERVER.to_owned(),
        public_url: "https://chat.example.org/guest".to_owned(),
        link_lifetime: 7 * DAY,
        idle_limit: 10 * DAY,
        open_links: 20,
        open_chats: 50,
        message_bytes: 16 * 1024,
        guest_rate: GuestRate {
            burst: 10,
            interval: Duration::from_secs(1),
        },
        permissions: Permissions(BTreeMap::from([(sample::SERVER.to_owned(), Role::Host)])),
        times: Times::default(),
        limits: Limits::default(),
        moments: Moments::default(),
    }
}

/// A decision whose changes are in the store already.
#[derive(Debug)]
pub struct Stored {
    pub changes: Changes,
    pub unstored: Vec<(EffectId, Words)>,
    pub answer: Answer,
}

/// Everything that a decision is made over, and what came of it.
pub struct World {
    pub store: MemoryStore,
    pub policy: Policy,
    pub now: Timestamp,
    /// What was handed over unstored, by effect.
    pub unstored: BTreeMap<EffectId, Words>,
    rng: StdRng,
    last_effect: Option<EffectId>,
    events: u64,
}

impl World {
    /// Alice and the bot have a management room.
    pub fn new() -> Self {
        Self::with(policy())
    }

    pub fn with(policy: Policy) -> Self {
        let world = Self {
            store: MemoryStore::new(),
            policy,
            now: START,
            unstored: BTreeMap::new(),
            rng: StdRng::seed_from_u64(1),
            last_effect: None,
            events: 0,
        };
        world.put_room(sample::management_room(management(), alice()));
        world
    }

    pub fn put_room(&self, room: ManagementRoom) {
        self.put(vec![Change::PutManagementRoom(room)]);
    }

    /// Changes rows without a decision.
    pub fn put(&self, changes: Vec<Change>) {
        let mut transaction = self.store.begin();
        transaction.apply(&Changes(changes)).unwrap();
        transaction.commit().unwrap();
    }

    /// Decides and stores.
    pub fn submit(&mut self, input: Input) -> Result<Stored, Refusal> {
        let mut transaction = self.store.begin();
        let cx = Context {
            now: self.now,
            rng: &mut self.rng,
            last_effect: &mut self.last_effect,
        };
        let decision = match decide(input, &transaction, &self.policy, cx) {
            Ok(decision) => decision,
            Err(Undecided::Refused(refusal)) => return Err(refusal),
            Err(Undecided::Store(error)) => panic!("{error}"),
        };
        transaction.apply(&decision.changes).unwrap();
        transaction.commit().unwrap();
        self.unstored.extend(decision.unstored.iter().cloned());
        Ok(Stored {
            changes: decision.changes,
            unstored: decision.unstored,
            answer: decision.answer,
        })
    }

    /// Lets ticks do what they do, until there is nothing left to do now.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            if self.submit(tick()).unwrap().changes.is_empty() {
                return;
            }
        }
        panic!("ticks find no end");
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    pub fn portal(&self, id: PortalId) -> Portal {
        self.store.portal(id).unwrap().unwrap()
    }

    pub fn frames(&self, portal: PortalId) -> Vec<InboxFrame> {
        self.store
            .frames(portal, 0, usize::MAX)
            .unwrap()
            .into_iter()
            .map(|(_, frame)| frame)
            .collect()
    }

    /// Effects that wait, in order.
    pub fn effects(&self) -> Vec<(EffectId, Effect)> {
        let effects = self.store.effects(None, usize::MAX).unwrap();
        effects
            .into_iter()
            .map(|(id, effect)| (id, effect.unwrap()))
            .collect()
    }

    /// Their names.
    pub fn waiting(&self) -> Vec<&'static str> {
        self.effects()
            .iter()
            .map(|(_, effect)| effect.name())
            .collect()
    }

    /// Lets the first waiting effect of this name have this outcome.
    pub fn perform(&mut self, name: &str, outcome: Outcome) -> Stored {
        let waiting = self.effects();
        let (effect, _) = waiting
            .iter()
            .find(|(_, effect)| effect.name() == name)
            .expect(name);
        self.submit(Input::Done {
            effect: *effect,
            outcome,
        })
        .unwrap()
    }

    /// Alice writes to the bot; what it says to that, and leaves nothing waiting.
    pub fn write(&mut self, body: &str) -> Vec<Words> {
        self.write_in(&management(), &alice(), body)
    }

    pub fn write_in(&mut self, room: &RoomId, author: &UserId, body: &str) -> Vec<Words> {
        self.room_event(room, author, text(body));
        self.said()
    }

    /// Takes what the bot waits to say.
    pub fn said(&mut self) -> Vec<Words> {
        let mut said = Vec::new();
        for (id, effect) in self.effects() {
            match effect {
                Effect::Notice { text, .. } => said.push(text),
                Effect::ShareLink { .. } => said.extend(self.unstored.remove(&id)),
                Effect::FetchHostName { .. } => {}
                _ => continue,
            }
            self.submit(Input::Done {
                effect: id,
                outcome: Outcome::Done,
            })
            .unwrap();
        }
        said
    }

    /// Alice asks for a link.
    pub fn invite(&mut self) -> Token {
        let said = self.write("invite Bob");
        token_in(&said.last().unwrap().plain)
    }

    pub fn link(&self, token: &Token) -> Link {
        self.store.link_by_token(&token.hash()).unwrap().unwrap()
    }

    pub fn join(&mut self, token: &Token) -> Result<Joined, Refusal> {
        let join = self.join_input(token);
        self.join_with(join)
    }

    pub fn join_input(&self, token: &Token) -> Join {
        let ghost = self
            .store
            .link_by_token(&token.hash())
            .unwrap()
            .map_or_else(|| sample::ghost(1), |link| link.ghost);
        Join {
            token_hash: token.hash(),
            name: "Maya".to_owned(),
            ghost,
            device: DeviceId::new(DEVICE),
            ed25519: "ed25519key".to_owned(),
            keys: keys(),
            passcode: None,
        }
    }

    pub fn join_with(&mut self, join: Join) -> Result<Joined, Refusal> {
        match self.submit(Input::Join(Box::new(join)))?.answer {
            Answer::Joined(joined) => Ok(joined),
            other => panic!("{other:?}"),
        }
    }

    /// A guest who pressed *Start chat*.
    pub fn opening(&mut self) -> PortalId {
        let token = self.invite();
        self.join(&token).unwrap().portal
    }

    /// A guest whose room was made and waits for its seal.
    pub fn sealing(&mut self, number: u64) -> PortalId {
        let portal = self.opening();
        for step in [
            "register_ghost",
            "name_ghost",
            "put_device",
            "upload_keys",
            "upload_cross_signing",
            "upload_signatures",
        ] {
            self.perform(step, Outcome::Done);
        }
        self.perform("create_room", Outcome::RoomCreated(sealed(number)));
        portal
    }

    /// A guest whose chat is open, in the room of this number.
    pub fn open(&mut self, number: u64) -> PortalId {
        let portal = self.sealing(number);
        for step in ["ghost_joins", "bot_leaves", "invite_host", "give_up_power"] {
            self.perform(step, Outcome::Done);
        }
        self.perform("verify_seal", Outcome::Sealed { host_joined: false });
        assert!(self.waiting().is_empty());
        portal
    }

    pub fn room_event(&mut self, room: &RoomId, sender: &UserId, kind: RoomEventKind) -> Stored {
        self.events += 1;
        let event_id = EventId::new(format!("$event{}", self.events));
        let at = Timestamp(self.now.0 - 5);
        self.submit(Input::Room(RoomEvent {
            room: room.clone(),
            event_id,
            sender: sender.clone(),
            at,
            kind,
        }))
        .unwrap()
    }

    pub fn member(
        &mut self,
        room: &RoomId,
        sender: &UserId,
        target: &UserId,
        membership: Membership,
    ) -> Stored {
        self.room_event(
            room,
            sender,
            RoomEventKind::Member {
                target: target.clone(),
                membership,
            },
        )
    }

    pub fn send(&mut self, portal: PortalId, n: u64) -> Result<Answer, Refusal> {
        self.send_content(portal, n, megolm("AwgAEnACgAkL"))
    }

    pub fn send_content(
        &mut self,
        portal: PortalId,
        n: u64,
        content: Value,
    ) -> Result<Answer, Refusal> {
        self.submit(Input::Send { portal, n, content })
            .map(|decision| decision.answer)
    }

    pub fn send_to_device(
        &mut self,
        portal: PortalId,
        n: u64,
        event_type: &str,
        content: Value,
    ) -> Result<Answer, Refusal> {
        let messages = BTreeMap::from([(DeviceId::new("HOSTDEVICE"), content)]);
        let input = Input::SendToDevice {
            portal,
            n,
            event_type: event_type.to_owned(),
            messages,
        };
        self.submit(input).map(|decision| decision.answer)
    }

    /// An Olm message of Alice to the guest's device.
    pub fn olm_from_alice(&self, portal: PortalId, body: &str) -> ToDevice {
        ToDevice {
            ghost: self.portal(portal).ghost,
            device: DeviceId::new(DEVICE),
            sender: alice(),
            event_type: "m.room.encrypted".to_owned(),
            content: olm(body),
        }
    }
}

/// The token of the link that stands in these words.
pub fn token_in(words: &str) -> Token {
    let (_, after) = words.split_once("/#").expect("a link");
    Token::parse(&after[..crate::link::TOKEN_LENGTH]).unwrap()
}

/// Time went by, and every inbox could be read.
pub fn tick() -> Input {
    Input::Tick {
        unread: BTreeSet::new(),
    }
}
