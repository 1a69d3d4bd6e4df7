//! Whatever the order in which guest, host, homeserver and clock act, whatever comes twice, and
//! wherever the bridge is torn away: in the end everything is as if all had come in order, once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use vestibule_bridge::effect::Lane;
use vestibule_bridge::input::Outcome;
use vestibule_bridge::portal::PortalState;
use vestibule_bridge::testing::MemoryStore;
use vestibule_bridge::testing::frail::{Fate, FrailStore};

use super::outside::{MESSAGES, Outside, Seen};
use super::step::{Step, Torn, step};
use super::*;
use crate::store::RocksStore;

/// A store that outlives the bridge.
trait Disk {
    type Store: Store;
    /// Opens it, when nobody has it open any more.
    fn open(&self) -> Arc<FrailStore<Self::Store>>;
}

struct Memory(Arc<FrailStore<MemoryStore>>);

impl Disk for Memory {
    type Store = MemoryStore;
    fn open(&self) -> Arc<FrailStore<MemoryStore>> {
        self.0.set(Fate::Well);
        Arc::clone(&self.0)
    }
}

struct Folder(tempfile::TempDir);

impl Disk for Folder {
    type Store = RocksStore;
    fn open(&self) -> Arc<FrailStore<RocksStore>> {
        Arc::new(FrailStore::new(RocksStore::open(self.0.path()).unwrap()))
    }
}

/// The bridge as far as a crash takes it away: the driver, and the outbox's memory.
struct Run<S: Store> {
    worker: Worker<FrailStore<S>, Told>,
    store: Arc<FrailStore<S>>,
    told: Told,
    lanes: BTreeMap<Lane, VecDeque<EffectId>>,
    /// Effects whose words are still known.
    words: BTreeSet<EffectId>,
    /// Effects that may have been tried before.
    repeated: BTreeSet<EffectId>,
}

impl<S: Store> Run<S> {
    fn start(store: Arc<FrailStore<S>>, clock: Arc<MockClock>, seed: u64) -> Self {
        let left = all_effects(&*store).unwrap().waiting;
        let told = Told::default();
        let worker = Worker {
            store: Arc::clone(&store),
            policy: Arc::new(sample::policy()),
            clock,
            rng: StdRng::seed_from_u64(seed),
            wake: told.clone(),
            last_effect: left.last().map(|effect| effect.id),
            health: Arc::default(),
        };
        let repeated = left.iter().map(|effect| effect.id).collect();
        let mut run = Self {
            worker,
            store,
            told,
            lanes: BTreeMap::new(),
            words: BTreeSet::new(),
            repeated,
        };
        run.queue(left);
        run
    }

    fn queue(&mut self, effects: Vec<Queued>) {
        for Queued { id, lane, .. } in effects {
            self.lanes.entry(lane).or_default().push_back(id);
        }
    }

    /// Has inputs decided and stored; none when the answer is lost.
    fn submit(&mut self, inputs: Vec<Input>, transaction: Option<String>) -> Option<Answers> {
        let (reply, mut answer) = oneshot::channel();
        self.worker.settle(vec![Job {
            own: Changes::default(),
            inputs,
            transaction,
            damaged: None,
            reply,
        }]);
        for news in self.told.take() {
            self.words.extend(news.unstored.iter().map(|(id, _)| *id));
            self.queue(news.effects);
        }
        answer.try_recv().unwrap().ok()
    }

    /// The effect whose turn it is in the lane of this number.
    fn next(&mut self, lane: usize) -> Option<(Lane, EffectId, Effect)> {
        let lanes: Vec<Lane> = self.lanes.keys().cloned().collect();
        let lane = lanes.get(lane % lanes.len().max(1))?.clone();
        let waiting = self.lanes.get_mut(&lane)?;
        while let Some(id) = waiting.front().copied() {
            if let Some(effect) = self.store.begin().effect(id).unwrap() {
                return Some((lane, id, effect));
            }
            waiting.pop_front();
        }
        self.lanes.remove(&lane);
        None
    }
}

struct Model<D: Disk> {
    disk: D,
    clock: Arc<MockClock>,
    run: Option<Run<D::Store>>,
    outside: Outside,
    outcomes: Vec<(EffectId, Outcome)>,
    crashes: u64,
}

impl<D: Disk> Model<D> {
    fn new(disk: D) -> Self {
        let (outside, rows) = Outside::new();
        let store = disk.open();
        put(&*store, rows);
        let clock = Arc::new(MockClock::at(START));
        let run = Some(Run::start(store, Arc::clone(&clock), 0));
        Self {
            disk,
            clock,
            run,
            outside,
            outcomes: Vec::new(),
            crashes: 0,
        }
    }

    fn run(&mut self) -> &mut Run<D::Store> {
        self.run.as_mut().unwrap()
    }

    fn crash(&mut self) {
        self.run = None;
        self.crashes += 1;
        let run = Run::start(self.disk.open(), Arc::clone(&self.clock), self.crashes);
        self.run = Some(run);
    }

    fn submit(
        &mut self,
        inputs: Vec<Input>,
        transaction: Option<String>,
        torn: Torn,
    ) -> Option<Answers> {
        let fate = match torn {
            Torn::Fails => Fate::Fails,
            Torn::FailsAfterwards => Fate::FailsAfterwards,
            Torn::Not | Torn::Before | Torn::After => Fate::Well,
        };
        if torn == Torn::Before {
            self.crash();
            return None;
        }
        self.run().store.set(fate);
        let answers = self.run().submit(inputs, transaction);
        self.run().store.set(Fate::Well);
        if torn == Torn::After {
            self.crash();
            return None;
        }
        answers
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Guest { again, torn } => self.guest(again, torn),
            Step::Host => {
                self.outside.host_acts();
            }
            Step::Push { events, torn } => self.push(events, torn),
            Step::PushAgain { which, renumbered } => {
                if let Some(old) = self.outside.old_transaction(which, renumbered) {
                    self.submit(old.inputs(), old.identity(), Torn::Not);
                }
            }
            Step::Sync { torn } => {
                let inputs = self.outside.synced();
                self.submit(inputs, None, torn);
            }
            Step::Perform {
                lane,
                done,
                answered,
                torn,
            } => self.perform(lane, done, answered, torn),
            Step::OutcomeAgain { which } => {
                let count = self.outcomes.len().max(1);
                if let Some((effect, outcome)) = self.outcomes.get(which % count).cloned() {
                    self.submit(vec![Input::Done { effect, outcome }], None, Torn::Not);
                }
            }
            Step::Read { acknowledged } => self.read(acknowledged),
            Step::Tick { millis } => {
                self.clock.advance(Duration::from_millis(millis));
                self.submit(vec![super::tick()], None, Torn::Not);
            }
        }
    }

    fn guest(&mut self, again: Option<u64>, torn: Torn) {
        let Some(input) = self.outside.guest(again) else {
            return;
        };
        let repeated = again.is_some() && self.outside.portal.is_some();
        let answers = self.submit(vec![input], None, torn);
        match answers.as_deref() {
            Some([Ok(Answer::Joined(joined))]) => self.outside.portal = Some(joined.portal),
            Some([Ok(Answer::Counted { .. })]) if !repeated || self.outside.confirmed == 0 => {
                self.outside.confirmed += 1;
            }
            Some([Ok(_) | Err(Refusal::NotOpen)]) | None => {}
            other => panic!("{other:?}"),
        }
    }

    fn push(&mut self, events: usize, torn: Torn) {
        let Some(transaction) = self.outside.transaction(events) else {
            return;
        };
        let identity = transaction.identity();
        if self.submit(transaction.inputs(), identity, torn).is_some() {
            self.outside.acknowledged.push(transaction);
            self.outside.in_flight = None;
        } else {
            self.outside.in_flight = Some(transaction.again());
        }
    }

    fn perform(&mut self, lane: usize, done: bool, answered: bool, torn: Torn) {
        let Some((lane, id, effect)) = self.run().next(lane) else {
            return;
        };
        let run = self.run.as_mut().unwrap();
        let repeated = !run.repeated.insert(id);
        if !done {
            return;
        }
        let words = run.words.contains(&id);
        let outcome = self.outside.perform(id, &effect, repeated, words);
        if !answered {
            return;
        }
        self.outcomes.push((id, outcome.clone()));
        let outcome = Input::Done {
            effect: id,
            outcome,
        };
        // An outcome that could not be stored is brought again before the lane goes on.
        while self.submit(vec![outcome.clone()], None, torn).is_none() {
            if matches!(torn, Torn::Before | Torn::After) {
                return;
            }
            self.run().store.set(Fate::Well);
            if self.run().submit(vec![outcome.clone()], None).is_some() {
                break;
            }
        }
        if let Some(waiting) = self.run().lanes.get_mut(&lane) {
            waiting.retain(|waiting| *waiting != id);
        }
    }

    /// The browser takes what is in its inbox.
    fn read(&mut self, acknowledged: bool) {
        let Some(portal) = self.outside.portal else {
            return;
        };
        let before = self.outside.frames.len() as u64;
        let frames = self.run().store.begin().frames(portal, before, usize::MAX);
        for (place, (seq, frame)) in frames.unwrap().into_iter().enumerate() {
            assert_eq!(seq, before + place as u64 + 1, "no gap");
            self.outside.frames.push(frame);
        }
        if acknowledged {
            let seq = self.outside.frames.len() as u64;
            self.submit(vec![Input::Ack { portal, seq }], None, Torn::Not);
        }
    }

    /// Everybody does what is left to do, in order.
    fn settle(&mut self) {
        for _ in 0..1000 {
            let host = self.outside.host_acts();
            self.guest(None, Torn::Not);
            let pushed = self.outside.transaction(100).is_some();
            self.push(100, Torn::Not);
            let lanes = self.run().lanes.len();
            for lane in 0..lanes {
                self.perform(lane, true, true, Torn::Not);
            }
            if !host && !pushed && lanes == 0 && self.outside.guest_is_done() {
                let inputs = self.outside.synced();
                self.submit(inputs, None, Torn::Not);
                self.read(true);
                return;
            }
        }
        panic!("it never ends");
    }

    fn end(&mut self) {
        let portal = self.outside.portal.unwrap();
        for _ in 0..2 {
            self.submit(vec![Input::Leave { portal }], None, Torn::Not);
        }
    }

    fn state(&mut self) -> State {
        let portal = self.outside.portal.unwrap();
        let seen = self.outside.seen();
        let rows = self.run().store.begin();
        let stored = rows.portal(portal).unwrap().unwrap();
        let links = rows.links_of_host(&alice()).unwrap();
        let effects = rows.effects(None, 1).unwrap();
        assert!(effects.is_empty(), "left: {effects:?}");
        let due = rows.due(Timestamp(u64::MAX), usize::MAX).unwrap();
        let inbox = rows.frames(portal, 0, usize::MAX).unwrap();
        State {
            open: matches!(
                stored.state,
                PortalState::Open {
                    host_joined: true,
                    ..
                }
            ),
            closed: stored.is_closed(),
            last_n: stored.visit.last_n,
            last_seq: stored.last_seq,
            links: links.len(),
            portals: rows.portals_of_host(&alice()).unwrap().len(),
            due: due.len(),
            inbox: inbox.len(),
            seen,
        }
    }
}

/// What is compared in the end.
#[derive(Debug, PartialEq, Eq)]
struct State {
    open: bool,
    closed: bool,
    last_n: u64,
    last_seq: u64,
    links: usize,
    portals: usize,
    due: usize,
    inbox: usize,
    seen: Seen,
}

/// Lets this happen, then all that is left, then the chat's end, and a little more of the same.
fn live<D: Disk>(disk: D, steps: &[Step], after: &[Step]) -> [State; 2] {
    let mut model = Model::new(disk);
    steps.iter().for_each(|step| model.step(step));
    model.settle();
    let open = model.state();
    model.end();
    after.iter().for_each(|step| model.step(step));
    model.settle();
    [open, model.state()]
}

fn memory() -> Memory {
    Memory(Arc::new(FrailStore::new(MemoryStore::new())))
}

#[test]
fn the_orderly_run_is_what_it_should_be() {
    let [open, closed] = live(memory(), &[], &[]);
    assert!(open.open && !open.closed && closed.closed);
    let n = 2 * MESSAGES as u64;
    assert_eq!((open.last_n, open.links, open.portals), (n, 2, 1));
    // Each message of the host with its key, each of the guest delivered, the host's joining.
    assert_eq!(open.last_seq, 3 * MESSAGES as u64 + 1);
    assert_eq!((open.due, closed.due, closed.inbox), (1, 0, 0));
    assert_eq!(closed.last_seq, open.last_seq + 1);
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn in_memory_any_order_ends_as_the_orderly_one(steps in steps(200), after in steps(20)) {
        prop_assert_eq!(live(memory(), &steps, &after), live(memory(), &[], &[]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(6) })]

    #[test]
    fn on_disk_any_order_ends_as_the_orderly_one(steps in steps(120), after in steps(10)) {
        let folder = Folder(tempfile::tempdir().unwrap());
        prop_assert_eq!(live(folder, &steps, &after), live(memory(), &[], &[]));
    }
}
