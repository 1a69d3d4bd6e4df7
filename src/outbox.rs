//! Performs what was decided: in order within a lane, lanes beside each other, each effect until
//! it is done or refused for good. What waits here waits on disk too, so a restart goes on where
//! the last run stopped.

mod slots;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use vestibule_bridge::effect::{Effect, Lane, Words};
use vestibule_bridge::id::EffectId;
use vestibule_bridge::input::{Input, Outcome};
use vestibule_bridge::store::{Facts, Read, Store, StoreError};

use crate::drive::{AllEffects, Driver, all_effects};
use slots::Slots;

/// The first pause between two tries; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause that nobody asked for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A wait that the homeserver asks for is told from this length on; a shorter one is over before
/// anybody has read of it.
const WORTH_TELLING: Duration = Duration::from_secs(10);

/// An effect could not be performed now, but may be later.
#[derive(Debug)]
pub struct Later {
    /// How long the homeserver asked to wait.
    pub after: Option<Duration>,
    /// Whether it asked because of a rate limit, and so is well otherwise.
    pub limited: bool,
    /// What happened, for the log.
    pub why: String,
}

/// Performs one effect.
pub trait Perform: Send + Sync + 'static {
    /// One try. `repeated` says that an earlier try may have reached the homeserver without its
    /// answer reaching us; `words` are what was decided with the effect and never stored.
    fn perform(
        &self,
        id: EffectId,
        effect: &Effect,
        repeated: bool,
        words: Option<&Words>,
    ) -> impl Future<Output = Result<Outcome, Later>> + Send;
}

/// Tells the outbox of new effects.
#[derive(Clone)]
pub struct Outbox {
    news: mpsc::UnboundedSender<News>,
    waiting: Arc<AtomicUsize>,
}

enum News {
    New {
        effects: Vec<(EffectId, Lane)>,
        unstored: Vec<(EffectId, Words)>,
    },
    Stop {
        grace: Duration,
        stopped: oneshot::Sender<()>,
    },
}

/// The other end of an [`Outbox`], until it is started.
pub struct Unstarted {
    outbox: Outbox,
    news: mpsc::UnboundedReceiver<News>,
}

impl Outbox {
    /// An outbox that collects until it is started. It is made before the driver, which wakes it,
    /// and started after, because it brings outcomes to the driver.
    #[must_use]
    pub fn new() -> (Self, Unstarted) {
        // Unbounded, because it holds ids of what already lies on disk and the driver must not wait.
        let (sender, news) = mpsc::unbounded_channel();
        let outbox = Self {
            news: sender,
            waiting: Arc::default(),
        };
        (outbox.clone(), Unstarted { outbox, news })
    }

    /// New effects, committed already, and the words of some of them that are kept in memory only.
    /// One that is told twice is done once: when its second turn comes it isn't stored any more.
    pub fn push(&self, effects: Vec<(EffectId, Lane)>, unstored: Vec<(EffectId, Words)>) {
        self.waiting.fetch_add(effects.len(), Ordering::Relaxed);
        let _stopped = self.news.send(News::New { effects, unstored });
    }

    /// How many effects wait or are being performed.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Begins no more effects, and waits for those that are being performed, but not longer than
    /// `grace`. What isn't done then is done after the next start.
    pub async fn stop(&self, grace: Duration) {
        let (sender, stopped) = oneshot::channel();
        let stop = News::Stop {
            grace,
            stopped: sender,
        };
        // It may have ended before, or never have been started.
        if self.news.send(stop).is_ok() {
            let _ended = stopped.await;
        }
    }
}

impl Unstarted {
    /// Reads what an earlier run left, then performs until it is stopped. To be called before
    /// anything can be decided. `own_server` is the name of our homeserver.
    pub fn start<S, P>(
        self,
        store: Arc<S>,
        driver: Driver,
        perform: Arc<P>,
        own_server: &str,
    ) -> Read<()>
    where
        S: Store + Send + Sync + 'static,
        P: Perform,
    {
        let AllEffects {
            waiting: left,
            damaged,
        } = all_effects(&*store)?;
        let resumed = left.iter().map(|(id, _)| *id).collect();
        self.outbox.push(left, Vec::new());
        let (stop, stopping) = watch::channel(false);
        let shared = Shared {
            store,
            driver,
            perform,
            own_server: own_server.to_owned(),
            slots: Slots::default(),
            resumed,
            stopping,
            down: AtomicBool::new(false),
            up: Notify::new(),
        };
        let shared = Arc::new(shared);
        for id in damaged {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move { shared.clear_away(id).await });
        }
        tokio::spawn(dispatch(self.news, self.outbox.waiting, shared, stop));
        Ok(())
    }
}

struct Shared<S, P> {
    store: Arc<S>,
    driver: Driver,
    perform: Arc<P>,
    own_server: String,
    slots: Slots,
    /// What an earlier run left; it may have been tried there.
    resumed: HashSet<EffectId>,
    stopping: watch::Receiver<bool>,
    /// Whether the last call got no answer that could be used.
    down: AtomicBool,
    /// Wakes those who wait for the homeserver when it answers again.
    up: Notify,
}

/// What waits, and what is being performed.
#[derive(Default)]
struct Lanes {
    waiting: HashMap<Lane, VecDeque<EffectId>>,
    busy: HashSet<Lane>,
    words: HashMap<EffectId, Words>,
}

impl Lanes {
    /// Takes in new effects; gives their lanes.
    fn take_in(
        &mut self,
        effects: Vec<(EffectId, Lane)>,
        unstored: Vec<(EffectId, Words)>,
    ) -> Vec<Lane> {
        self.words.extend(unstored);
        let lanes = effects.iter().map(|(_, lane)| lane.clone()).collect();
        for (id, lane) in effects {
            self.waiting.entry(lane).or_default().push_back(id);
        }
        lanes
    }

    /// The effect that may begin now in this lane.
    fn next(&mut self, lane: &Lane) -> Option<(EffectId, Option<Words>)> {
        if self.busy.contains(lane) {
            return None;
        }
        let Some(id) = self.waiting.get_mut(lane).and_then(VecDeque::pop_front) else {
            self.waiting.remove(lane);
            return None;
        };
        self.busy.insert(lane.clone());
        Some((id, self.words.remove(&id)))
    }
}

async fn dispatch<S, P>(
    mut news: mpsc::UnboundedReceiver<News>,
    waiting: Arc<AtomicUsize>,
    shared: Arc<Shared<S, P>>,
    stop: watch::Sender<bool>,
) where
    S: Store + Send + Sync + 'static,
    P: Perform,
{
    let mut lanes = Lanes::default();
    // With the set, whatever still runs in it ends.
    let mut running: JoinSet<Lane> = JoinSet::new();
    loop {
        let ready = tokio::select! {
            Some(Ok(lane)) = running.join_next() => {
                waiting.fetch_sub(1, Ordering::Relaxed);
                lanes.busy.remove(&lane);
                vec![lane]
            }
            next = news.recv() => match next {
                Some(News::New { effects, unstored }) => lanes.take_in(effects, unstored),
                Some(News::Stop { grace, stopped }) => {
                    let _nobody_waits = stop.send(true);
                    let ended = async { while running.join_next().await.is_some() {} };
                    if tokio::time::timeout(grace, ended).await.is_err() {
                        tracing::info!(calls = running.len(), "what the homeserver did not answer is asked again at the next start");
                    }
                    running.shutdown().await;
                    drop(shared);
                    let _gone = stopped.send(());
                    return;
                }
                None => return,
            },
        };
        for lane in ready {
            if let Some((id, words)) = lanes.next(&lane) {
                let shared = Arc::clone(&shared);
                running.spawn(async move {
                    shared.finish(id, words.as_ref()).await;
                    lane
                });
            }
        }
    }
}

impl<S: Store, P: Perform> Shared<S, P> {
    /// Performs one effect to its end, and has the end stored; or leaves it for the next start.
    async fn finish(&self, id: EffectId, words: Option<&Words>) {
        let mut tries = 0;
        let effect = loop {
            let read = self.store.begin().effect(id);
            match read {
                Ok(Some(effect)) => break effect,
                Ok(None) => return,
                // Its lane must not wait for it.
                Err(StoreError::Damaged(_)) => return self.clear_away(id).await,
                Err(error) => {
                    tracing::error!(effect = %id, error = &error as &dyn std::error::Error, "an effect can't be read");
                    if !self.pause(doubled(&mut tries)).await {
                        return;
                    }
                }
            }
        };
        let Some(outcome) = self.outcome(id, &effect, words).await else {
            return;
        };
        self.store_outcome(id, outcome).await;
    }

    /// Has an effect whose row doesn't read taken out of the outbox, and its chat set aside.
    async fn clear_away(&self, id: EffectId) {
        let errcode = "DAMAGED".to_owned();
        self.store_outcome(id, Outcome::Refused { errcode }).await;
    }

    /// Has an outcome stored, or leaves it for the next start.
    async fn store_outcome(&self, id: EffectId, outcome: Outcome) {
        let mut tries = 0;
        while let Err(error) = self
            .driver
            .submit(Input::Done {
                effect: id,
                outcome: outcome.clone(),
            })
            .await
        {
            if tries == 0 {
                tracing::error!(effect = %id, error = &error as &dyn std::error::Error, "an outcome can't be stored yet");
            }
            if !self.pause(doubled(&mut tries)).await {
                return;
            }
        }
    }

    /// Tries until there is an outcome; none when the program stops.
    async fn outcome(
        &self,
        id: EffectId,
        effect: &Effect,
        words: Option<&Words>,
    ) -> Option<Outcome> {
        let mut repeated = self.resumed.contains(&id);
        let mut tries = 0;
        let mut told = false;
        let server = effect
            .asks()
            .map(|host| host.server_name())
            .filter(|server| *server != self.own_server);
        loop {
            let call = async {
                if *self.stopping.borrow() {
                    return None;
                }
                Some(self.perform.perform(id, effect, repeated, words).await)
            };
            match self.slots.during(server, call).await? {
                Ok(outcome) => {
                    self.answered();
                    if let Outcome::Refused { errcode } = &outcome {
                        tracing::warn!(effect = effect.name(), id = %id, errcode, "the homeserver refused");
                    }
                    return Some(outcome);
                }
                Err(later) => {
                    repeated = true;
                    if tries == 0 {
                        tracing::info!(effect = effect.name(), id = %id, why = later.why, "will be tried until it succeeds");
                    } else {
                        tracing::debug!(effect = effect.name(), id = %id, tries, why = later.why, "tried again in vain");
                    }
                    if !told {
                        told = self.tell(id, &later).await;
                    }
                    if !self.wait(&later, &mut tries).await {
                        return None;
                    }
                }
            }
        }
    }

    /// Lets the domain know of a long wait; whether there was one.
    async fn tell(&self, id: EffectId, later: &Later) -> bool {
        let Some(retry_after) = later.after.filter(|after| *after >= WORTH_TELLING) else {
            return false;
        };
        if !later.limited {
            return false;
        }
        let told = Input::Delayed {
            effect: id,
            retry_after,
        };
        // Whoever can't be told now may be told at the next try.
        self.driver.submit(told).await.is_ok()
    }

    /// Waits before the next try: as long as was asked for, or else twice as long each time, but no
    /// longer than until the homeserver answers somebody again. False when the program stops.
    async fn wait(&self, later: &Later, tries: &mut u32) -> bool {
        let doubled = doubled(tries);
        if let Some(asked) = later.after {
            return self.pause(asked).await;
        }
        let up = self.up.notified();
        if !later.limited {
            self.down.store(true, Ordering::Relaxed);
        }
        tokio::select! {
            // That it answers somebody doesn't mean that it can answer this.
            going_on = async { up.await; self.pause(doubled / 16).await } => going_on,
            going_on = self.pause(doubled) => going_on,
        }
    }

    fn answered(&self) {
        if self.down.swap(false, Ordering::Relaxed) {
            self.up.notify_waiters();
        }
    }

    /// Waits; false when the program stops.
    async fn pause(&self, time: Duration) -> bool {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            // Also when there is nobody left who could stop it.
            _ = stopping.wait_for(|stop| *stop) => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}

/// The next pause: twice as long each time.
fn doubled(tries: &mut u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(1 << (*tries).min(8));
    *tries = tries.saturating_add(1);
    pause.min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;
