//! Performs what was decided: in order within a lane, lanes beside each other, each effect until
//! it is done or refused for good. What waits here waits on disk too, so a restart goes on where
//! the last run stopped.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use vestibule_bridge::effect::{Effect, Lane, Words};
use vestibule_bridge::id::EffectId;
use vestibule_bridge::input::{Input, Outcome};
use vestibule_bridge::store::{Facts, Read, Store, StoreError};

use crate::drive::Driver;
use crate::store::RocksStore;

/// How many homeserver calls of the outbox run at once.
const AT_ONCE: usize = 16;
/// How many effects are read from the store at a time at start.
const PAGE: usize = 512;
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// An effect could not be performed now, but may be later.
#[derive(Debug)]
pub struct Later {
    /// How long the homeserver asked to wait.
    pub after: Option<Duration>,
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
    Finished(Lane),
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
    pub fn push(&self, effects: Vec<(EffectId, Lane)>, unstored: Vec<(EffectId, Words)>) {
        self.waiting.fetch_add(effects.len(), Ordering::Relaxed);
        let _stopped = self.news.send(News::New { effects, unstored });
    }

    /// How many effects wait or are being performed.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Unstarted {
    /// Reads what an earlier run left, then performs until the program ends. To be called before
    /// anything can be decided.
    pub fn start<P: Perform>(
        self,
        store: Arc<RocksStore>,
        driver: Driver,
        perform: Arc<P>,
    ) -> Read<()> {
        let (left, damaged) = left_over(&store)?;
        let resumed = left.iter().map(|(id, _)| *id).collect();
        self.outbox.push(left, Vec::new());
        let shared = Shared {
            store,
            driver,
            perform,
            calls: Semaphore::new(AT_ONCE),
            resumed,
        };
        let shared = Arc::new(shared);
        for id in damaged {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move { shared.clear_away(id).await });
        }
        tokio::spawn(dispatch(self.news, self.outbox, shared));
        Ok(())
    }
}

/// What waits, and what waits and doesn't read.
type LeftOver = (Vec<(EffectId, Lane)>, Vec<EffectId>);

fn left_over(store: &RocksStore) -> Read<LeftOver> {
    let rows = store.begin();
    let (mut left, mut damaged) = (Vec::new(), Vec::new());
    let mut last = None;
    loop {
        let page = rows.effects(last, PAGE)?;
        if page.is_empty() {
            return Ok((left, damaged));
        }
        for (id, effect) in page {
            last = Some(id);
            match effect {
                Some(effect) => left.push((id, effect.lane())),
                None => damaged.push(id),
            }
        }
    }
}

struct Shared<P> {
    store: Arc<RocksStore>,
    driver: Driver,
    perform: Arc<P>,
    calls: Semaphore,
    /// What an earlier run left; it may have been tried there.
    resumed: HashSet<EffectId>,
}

async fn dispatch<P: Perform>(
    mut news: mpsc::UnboundedReceiver<News>,
    outbox: Outbox,
    shared: Arc<Shared<P>>,
) {
    let mut lanes: HashMap<Lane, VecDeque<EffectId>> = HashMap::new();
    let mut busy: HashSet<Lane> = HashSet::new();
    let mut words: HashMap<EffectId, Words> = HashMap::new();
    while let Some(next) = news.recv().await {
        let ready = match next {
            News::New { effects, unstored } => {
                words.extend(unstored);
                let ready: Vec<Lane> = effects.iter().map(|(_, lane)| lane.clone()).collect();
                for (id, lane) in effects {
                    lanes.entry(lane).or_default().push_back(id);
                }
                ready
            }
            News::Finished(lane) => {
                busy.remove(&lane);
                vec![lane]
            }
        };
        for lane in ready {
            if busy.contains(&lane) {
                continue;
            }
            let Some(id) = lanes.get_mut(&lane).and_then(VecDeque::pop_front) else {
                lanes.remove(&lane);
                continue;
            };
            busy.insert(lane.clone());
            let (shared, outbox) = (Arc::clone(&shared), outbox.clone());
            let words = words.remove(&id);
            tokio::spawn(async move {
                shared.finish(id, words.as_ref()).await;
                outbox.waiting.fetch_sub(1, Ordering::Relaxed);
                let _stopped = outbox.news.send(News::Finished(lane));
            });
        }
    }
}

impl<P: Perform> Shared<P> {
    /// Performs one effect to its end, and has the end stored.
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
                    pause(&mut tries, None).await;
                }
            }
        };
        let outcome = self.outcome(id, &effect, words).await;
        self.store_outcome(id, outcome).await;
    }

    /// Has an effect whose row doesn't read taken out of the outbox, and its chat set aside.
    async fn clear_away(&self, id: EffectId) {
        let errcode = "DAMAGED".to_owned();
        self.store_outcome(id, Outcome::Refused { errcode }).await;
    }

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
            tracing::error!(effect = %id, error = &error as &dyn std::error::Error, "an outcome can't be stored");
            pause(&mut tries, None).await;
        }
    }

    async fn outcome(&self, id: EffectId, effect: &Effect, words: Option<&Words>) -> Outcome {
        let mut repeated = self.resumed.contains(&id);
        let mut tries = 0;
        loop {
            let tried = {
                // The semaphore is never closed; without a permit there is only more haste.
                let _permit = self.calls.acquire().await;
                self.perform.perform(id, effect, repeated, words).await
            };
            match tried {
                Ok(outcome) => {
                    if let Outcome::Refused { errcode } = &outcome {
                        tracing::warn!(effect = effect.name(), id = %id, errcode, "the homeserver refused");
                    }
                    return outcome;
                }
                Err(later) => {
                    tracing::warn!(effect = effect.name(), id = %id, tries, why = later.why, "will be tried again");
                    repeated = true;
                    pause(&mut tries, later.after).await;
                }
            }
        }
    }
}

/// Waits before the next try: as long as was asked for, or else twice as long each time.
async fn pause(tries: &mut u32, asked: Option<Duration>) {
    let doubled = Duration::from_millis(250).saturating_mul(1 << (*tries).min(8));
    *tries = tries.saturating_add(1);
    tokio::time::sleep(asked.unwrap_or(doubled).min(LONGEST_PAUSE)).await;
}
