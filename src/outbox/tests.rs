#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_bridge::id::{PortalId, RoomId};
use vestibule_bridge::store::{Change, Changes, StoreTransaction as _};
use vestibule_bridge::testing::{MemoryStore, sample};
use vestibule_bridge::time::Timestamp;

use super::*;
use crate::clock::MockClock;
use crate::drive::{News as Committed, Wake};

/// How long a test waits for something; only one that fails waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Done,
    Refused,
    /// Done, and answered after some milliseconds.
    Slow,
    /// Answered with an error after which it is tried again.
    Later(Option<Duration>),
    Hangs,
}

/// A homeserver that answers as it is told to, and well when it isn't.
#[derive(Default)]
struct Fake {
    fates: Mutex<HashMap<EffectId, VecDeque<Fate>>>,
    calls: Mutex<Vec<(EffectId, bool)>>,
    called: Notify,
}

impl Fake {
    fn plan(&self, id: u128, fates: &[Fate]) {
        let id = EffectId::from_u128(id);
        let planned = fates.iter().copied().collect();
        self.fates.lock().unwrap().insert(id, planned);
    }

    fn calls(&self) -> Vec<u128> {
        let calls = self.calls.lock().unwrap();
        calls.iter().map(|(id, _)| id.as_u128()).collect()
    }

    /// Waits until this effect was tried.
    async fn until_called(&self, id: u128) {
        let reached = async {
            loop {
                let called = self.called.notified();
                if self.calls().contains(&id) {
                    return;
                }
                called.await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        reached.expect("the call is made");
    }

    async fn until_calls(&self, count: usize) -> Vec<u128> {
        let reached = async {
            loop {
                let called = self.called.notified();
                let calls = self.calls();
                if calls.len() >= count {
                    return calls;
                }
                called.await;
            }
        };
        tokio::time::timeout(PATIENCE, reached)
            .await
            .expect("the calls are made")
    }
}

impl Perform for Fake {
    async fn perform(
        &self,
        id: EffectId,
        _: &Effect,
        repeated: bool,
        _: Option<&Words>,
    ) -> Result<Outcome, Later> {
        self.calls.lock().unwrap().push((id, repeated));
        self.called.notify_waiters();
        let fate = self
            .fates
            .lock()
            .unwrap()
            .get_mut(&id)
            .and_then(VecDeque::pop_front);
        match fate.unwrap_or(Fate::Done) {
            Fate::Done => Ok(Outcome::Done),
            Fate::Slow => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(Outcome::Done)
            }
            Fate::Refused => Ok(Outcome::Refused {
                errcode: "M_FORBIDDEN".to_owned(),
            }),
            Fate::Later(after) => Err(Later {
                after,
                limited: after.is_some(),
                why: "a test".to_owned(),
            }),
            Fate::Hangs => std::future::pending().await,
        }
    }
}

struct Nobody;

impl Wake for Nobody {
    fn committed(&self, _: Committed) {}
}

/// An outbox in front of a fake homeserver.
struct World {
    store: Arc<MemoryStore>,
    fake: Arc<Fake>,
    outbox: Outbox,
}

impl World {
    /// Starts with these effects left over from an earlier run: their ids and lanes.
    fn start(left: &[(u128, u64)]) -> Self {
        let store = Arc::new(MemoryStore::new());
        put(&store, left);
        Self::over(store, Arc::default())
    }

    fn over(store: Arc<MemoryStore>, fake: Arc<Fake>) -> Self {
        let clock = Arc::new(MockClock::at(Timestamp(1)));
        let rng = StdRng::seed_from_u64(1);
        let (outbox, unstarted) = Outbox::new();
        let driver = Driver::start(
            Arc::clone(&store),
            Arc::new(sample::policy()),
            clock,
            rng,
            None,
            Nobody,
        );
        let perform = Arc::clone(&fake);
        unstarted
            .start(Arc::clone(&store), driver.unwrap(), perform, sample::SERVER)
            .unwrap();
        Self {
            store,
            fake,
            outbox,
        }
    }

    /// Hands over new effects.
    fn push(&self, effects: &[(u128, u64)]) {
        let effects = effects.iter().map(|(id, lane)| (*id, effect(*lane)));
        self.push_effects(effects.collect());
    }

    fn push_effects(&self, effects: Vec<(u128, Effect)>) {
        let queued = effects
            .iter()
            .map(|(id, effect)| Queued::new(EffectId::from_u128(*id), effect));
        let queued = queued.collect();
        put_effects(&self.store, effects);
        self.outbox.push(queued, Vec::new());
    }

    async fn until_idle(&self) {
        let idle = async {
            while self.outbox.waiting() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, idle)
            .await
            .expect("all is done");
        assert_eq!(self.store.effects(None, 1).unwrap(), []);
    }
}

fn effect(lane: u64) -> Effect {
    Effect::BotDeclines {
        room: RoomId::new(format!("!{lane}")),
    }
}

fn put(store: &MemoryStore, effects: &[(u128, u64)]) {
    let effects = effects.iter().map(|(id, lane)| (*id, effect(*lane)));
    put_effects(store, effects.collect());
}

fn put_effects(store: &MemoryStore, effects: Vec<(u128, Effect)>) {
    let mut transaction = store.begin();
    for (id, effect) in effects {
        let id = EffectId::from_u128(id);
        let change = Change::PutEffect { id, effect };
        transaction.apply(&Changes(vec![change])).unwrap();
    }
    transaction.commit().unwrap();
}

#[tokio::test]
async fn a_lane_keeps_its_order_and_holds_up_no_other() {
    let world = World::start(&[]);
    let soon = Some(Duration::from_millis(20));
    world
        .fake
        .plan(1, &[Fate::Later(None), Fate::Later(soon), Fate::Refused]);
    world.push(&[(1, 1), (2, 1), (3, 2), (4, 1), (5, 2)]);
    world.until_idle().await;
    let calls = world.fake.calls();
    let of = |lane: &[u128]| -> Vec<u128> {
        let calls = calls.iter().copied();
        calls.filter(|id| lane.contains(id)).collect()
    };
    assert_eq!(of(&[1, 2, 4]), [1, 1, 1, 2, 4]);
    assert_eq!(of(&[3, 5]), [3, 5]);
    let place = |id: u128| calls.iter().position(|call| *call == id);
    assert!(
        place(5) < place(2),
        "the other lane did not wait: {calls:?}"
    );
}

#[tokio::test]
async fn what_the_homeserver_asks_for_is_waited_for() {
    let world = World::start(&[]);
    let asked = Duration::from_millis(700);
    world.fake.plan(1, &[Fate::Later(Some(asked))]);
    world.push(&[(1, 1)]);
    world.fake.until_calls(1).await;
    // Twice as long as the first pause that nobody asks for.
    let second = tokio::time::timeout(Duration::from_millis(500), world.fake.until_calls(2));
    assert!(second.await.is_err(), "too soon");
    world.until_idle().await;
    assert_eq!(world.fake.calls(), [1, 1]);
}

/// After a long outage nobody waits for a minute's pause to end.
#[tokio::test]
async fn an_answer_to_one_ends_the_pauses_of_the_others() {
    let world = World::start(&[]);
    // Four pauses are 250, 500, 1000 and 2000 ms long.
    world.fake.plan(1, &[Fate::Later(None); 5]);
    world.push(&[(1, 1)]);
    world.fake.until_calls(4).await;
    world.push(&[(2, 2)]);
    // A sixteenth of the fourth pause instead of all of it.
    let next = tokio::time::timeout(Duration::from_millis(1000), world.fake.until_calls(6));
    assert_eq!(next.await.expect("woken"), [1, 1, 1, 1, 2, 1]);
}

#[tokio::test]
async fn what_was_left_is_done_first_and_may_have_been_tried() {
    let world = World::start(&[(1, 1), (2, 2)]);
    world.push(&[(3, 1)]);
    world.until_idle().await;
    let mut calls = world.fake.calls.lock().unwrap().clone();
    calls.sort();
    let expected = [(1, true), (2, true), (3, false)];
    assert_eq!(
        calls,
        expected.map(|(id, tried)| (EffectId::from_u128(id), tried))
    );
}

#[tokio::test]
async fn a_stop_begins_nothing_and_waits_for_what_has_begun() {
    let world = World::start(&[]);
    world.fake.plan(1, &[Fate::Hangs]);
    let long = Some(Duration::from_secs(3600));
    world.fake.plan(3, &[Fate::Later(long)]);
    world.push(&[(1, 1), (2, 1), (3, 2), (4, 2)]);
    world.fake.until_calls(2).await;
    let grace = Duration::from_millis(100);
    tokio::time::timeout(PATIENCE, world.outbox.stop(grace))
        .await
        .expect("neither the call nor the pause is waited for");
    world.push(&[(5, 3)]);
    assert_eq!(world.fake.calls().len(), 2);
    assert_eq!(Arc::strong_count(&world.fake), 1, "nobody is left");
    // Stopping twice is no mistake.
    world.outbox.stop(grace).await;

    let World { store, fake, .. } = world;
    let world = World::over(store, fake);
    world.until_idle().await;
    let calls = world.fake.calls();
    let again: Vec<u128> = calls.iter().skip(2).copied().collect();
    assert_eq!(again.len(), 5, "{again:?}");
    let place = |id: u128| again.iter().position(|call| *call == id);
    assert!(place(1) < place(2) && place(3) < place(4), "{again:?}");
}

fn leaving(portal: u128) -> Effect {
    Effect::GhostLeaves {
        portal: PortalId::from_u128(portal),
        ghost: sample::user("ghost"),
        room: RoomId::new("!room"),
        reason: "over".to_owned(),
    }
}

fn deactivation(portal: u128) -> Effect {
    Effect::Deactivate {
        portal: PortalId::from_u128(portal),
        ghost: sample::user("ghost"),
    }
}

/// Many chats end at once, and a chat that goes on doesn't notice.
#[tokio::test]
async fn chats_that_are_over_wait_for_those_that_go_on() {
    let world = World::start(&[]);
    // More than there are places for.
    let chats = 100;
    for chat in 1..=chats {
        world.fake.plan(chat, &[Fate::Slow]);
    }
    let ends =
        (1..=chats).flat_map(|chat| [(chat, leaving(chat)), (chats + chat, deactivation(chat))]);
    world.push_effects(ends.collect());
    world.fake.until_calls(1).await;
    let ending = world.outbox.ending().unwrap();
    assert_eq!(ending.chats, 100);
    assert!(ending.left.is_some_and(|left| !left.is_zero()));
    for message in 1..=50 {
        world.push(&[(1000 + message, 1)]);
    }
    world.fake.until_called(1050).await;
    let calls = world.fake.calls();
    let ends = calls.iter().filter(|call| **call < 1000).count();
    assert!(ends < 10, "{calls:?}");
    world.until_idle().await;
    assert_eq!(world.outbox.ending(), None);
    let calls = world.fake.calls();
    assert_eq!(calls.len(), 250);
    // Within a chat in order; of all chats the rooms first, since hosts see them.
    let place = |id: u128| calls.iter().position(|call| *call == id).unwrap();
    assert!((1..=chats).all(|chat| place(chat) < place(chats + chat)));
    let last_room = (1..=chats).map(place).max().unwrap();
    let early = (1..=chats)
        .filter(|chat| place(chats + chat) < last_room)
        .count();
    assert_eq!(early, 0);
}

/// Some ends that always fail keep no other from being done.
#[tokio::test]
async fn an_end_that_fails_for_ever_gives_its_place_up() {
    let world = World::start(&[]);
    let stuck = 40;
    for chat in 1..=stuck {
        world.fake.plan(chat, &[Fate::Later(None); 3]);
    }
    let ends = (1..=stuck + 1).map(|chat| (chat, leaving(chat)));
    world.push_effects(ends.collect());
    world.fake.until_called(stuck + 1).await;
    world.until_idle().await;
    let calls = world.fake.calls();
    assert_eq!(calls.len(), 40 * 4 + 1);
    let first = calls.iter().position(|call| *call == stuck + 1).unwrap();
    assert!(first < 100, "{calls:?}");
    let of_one = world.fake.calls.lock().unwrap().clone();
    let of_one = of_one.into_iter().filter(|(id, _)| id.as_u128() == 1);
    assert_eq!(
        of_one.map(|(_, repeated)| repeated).collect::<Vec<_>>(),
        [false, true, true, true]
    );
}
