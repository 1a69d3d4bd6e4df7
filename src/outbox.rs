//! Performs what was decided: in order within a lane, lanes beside each other, each effect until
//! it is done or refused for good. What waits here waits on disk too, so a restart goes on where
//! the last run stopped.

mod ending;
mod lanes;
mod slots;
mod tries;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use vestibule_bridge::effect::{Effect, Lane, Queued, Urgency, Words};
use vestibule_bridge::id::EffectId;
use vestibule_bridge::input::{Input, Outcome};
use vestibule_bridge::store::{Facts, Read, Store, StoreError};

use crate::drive::{AllEffects, Driver, all_effects};
pub use ending::Ending;
use ending::Progress;
use lanes::{Begun, Lanes};
use slots::Slots;
use tries::{Tried, doubled};

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
    progress: Arc<Progress>,
}

enum News {
    New {
        effects: Vec<Queued>,
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
            progress: Arc::default(),
        };
        (outbox.clone(), Unstarted { outbox, news })
    }

    /// New effects, committed already, and the words of some of them that are kept in memory only.
    /// One that is told twice is done once: when its second turn comes it isn't stored any more.
    pub fn push(&self, effects: Vec<Queued>, unstored: Vec<(EffectId, Words)>) {
        self.waiting.fetch_add(effects.len(), Ordering::Relaxed);
        let _stopped = self.news.send(News::New { effects, unstored });
    }

    /// How many effects wait or are being performed.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The chats that are over and that the homeserver is not done with, if there are any.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        self.progress.ending()
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
        let resumed = left.iter().map(|effect| effect.id).collect();
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
            progress: Arc::clone(&self.outbox.progress),
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
    /// How far chats that are over were cleaned up after, and whether the last call got an answer
    /// that could be used.
    progress: Arc<Progress>,
    /// Wakes those who wait for the homeserver when it answers again.
    up: Notify,
}

/// What became of an effect.
enum Ended {
    /// It is done, or left for the next start.
    Done,
    /// It only cleans up, and is tried again when it is its turn once more.
    Again { id: EffectId, tries: u32 },
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
    let mut running: JoinSet<(Lane, Urgency, Ended)> = JoinSet::new();
    loop {
        let ready = tokio::select! {
            Some(Ok((lane, urgency, ended))) = running.join_next() => {
                match ended {
                    Ended::Done => {
                        waiting.fetch_sub(1, Ordering::Relaxed);
                        lanes.done(&lane, urgency);
                    }
                    Ended::Again { id, tries } => lanes.put_back(&lane, id, urgency, tries),
                }
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
        let mut begun: Vec<Begun> = ready.iter().filter_map(|lane| lanes.next(lane)).collect();
        begun.extend(std::iter::from_fn(|| lanes.next_cleaning()));
        shared.progress.is(lanes.unclean());
        for begun in begun {
            let shared = Arc::clone(&shared);
            running.spawn(async move {
                let ended = shared.finish(&begun).await;
                (begun.lane, begun.urgency, ended)
            });
        }
    }
}

impl<S: Store, P: Perform> Shared<S, P> {
    /// Performs one effect to its end, and has the end stored; or leaves it for later.
    async fn finish(&self, begun: &Begun) -> Ended {
        let id = begun.id;
        let mut tries = 0;
        let effect = loop {
            let read = self.store.begin().effect(id);
            match read {
                Ok(Some(effect)) => break effect,
                Ok(None) => return Ended::Done,
                // Its lane must not wait for it.
                Err(StoreError::Damaged(_)) => {
                    self.clear_away(id).await;
                    return Ended::Done;
                }
                Err(error) => {
                    tracing::error!(effect = %id, error = &error as &dyn std::error::Error, "an effect can't be read");
                    if !self.pause(doubled(&mut tries)).await {
                        return Ended::Done;
                    }
                }
            }
        };
        match self.outcome(begun, &effect).await {
            Tried::Outcome(outcome) => self.store_outcome(id, outcome).await,
            Tried::Stopped => {}
            Tried::InVain(tries) => return Ended::Again { id, tries },
        }
        Ended::Done
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

#[cfg(test)]
mod tests;
