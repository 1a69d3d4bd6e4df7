//! The one task that decides and commits. Each round drains the queue, decides every input over
//! the facts as its predecessors left them, and stores everything in one batch with one fsync.
//! It never waits for the network. Nothing is answered, sent or shown before its commit.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot};
use vestibule_bridge::bridge::{Answer, Context, Decision, Undecided, decide};
use vestibule_bridge::effect::{Effect, Lane, Words};
use vestibule_bridge::frame::InboxFrame;
use vestibule_bridge::id::{EffectId, PortalId};
use vestibule_bridge::input::Input;
use vestibule_bridge::policy::Policy;
use vestibule_bridge::refusal::Refusal;
use vestibule_bridge::store::{
    Change, Changes, DamagedRow, Facts, Owner, Store, StoreError, StoreTransaction,
};

use crate::clock::Clock;

/// How many jobs one round takes at most, so that the first is not kept waiting for the last.
const ROUND: usize = 256;
/// How many jobs may wait; whoever brings more waits with them.
const QUEUE: usize = 4096;

/// Why a job was not done. Nothing of it is stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DriveError {
    /// A row could not be read or written.
    #[error("the store failed")]
    Store(#[source] Arc<StoreError>),
    /// The program is stopping.
    #[error("the bridge is stopping")]
    Stopping,
}

/// What each input of a job was answered, in order.
pub type Answers = Vec<Result<Answer, Refusal>>;

/// Inputs that are stored together or not at all.
struct Job {
    inputs: Vec<Input>,
    transaction: Option<String>,
    /// A row that somebody met who only reads.
    damaged: Option<DamagedRow>,
    reply: oneshot::Sender<Result<Answers, DriveError>>,
}

/// What the rest of the program is woken with after a commit.
pub trait Wake: Send + 'static {
    /// This was committed.
    fn committed(&self, news: News);
}

/// What of a round concerns the rest of the program.
#[derive(Debug, Default)]
pub struct News {
    /// Portals whose inbox or state changed.
    pub portals: BTreeSet<PortalId>,
    /// New effects and their lanes, in order.
    pub effects: Vec<(EffectId, Lane)>,
    /// Words for some of them that must not be stored: a link's token stands in them.
    pub unstored: Vec<(EffectId, Words)>,
    /// How many messages of hosts went into inboxes.
    pub from_hosts: u64,
    /// How many messages of guests went into the outbox.
    pub from_guests: u64,
    /// Rows that don't read, met for the first time.
    pub damaged: BTreeSet<DamagedRow>,
}

/// Brings inputs to the driver.
#[derive(Clone)]
pub struct Driver {
    jobs: mpsc::Sender<Job>,
    healthy: Arc<AtomicBool>,
}

impl Driver {
    /// Starts the driver on a thread of its own, because RocksDB blocks. The thread ends when the
    /// last handle is dropped. `last_effect` is the greatest id that waits in the store: new ones
    /// must come after it, also when the clock was set back meanwhile.
    pub fn start<S, W>(
        store: Arc<S>,
        policy: Arc<Policy>,
        clock: Arc<dyn Clock>,
        rng: StdRng,
        last_effect: Option<EffectId>,
        wake: W,
    ) -> std::io::Result<Self>
    where
        S: Store + Send + Sync + 'static,
        W: Wake,
    {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let healthy = Arc::new(AtomicBool::new(true));
        let mut worker = Worker {
            store,
            policy,
            clock,
            rng,
            wake,
            last_effect,
            healthy: Arc::clone(&healthy),
        };
        std::thread::Builder::new()
            .name("driver".to_owned())
            .spawn(move || worker.run(queue))?;
        Ok(Self { jobs, healthy })
    }

    /// Has one input decided and stored.
    pub async fn submit(&self, input: Input) -> Result<Result<Answer, Refusal>, DriveError> {
        let answers = self.submit_all(vec![input], None).await?;
        answers.into_iter().next().ok_or(DriveError::Stopping)
    }

    /// Has inputs decided in order and stored as a whole; once for each transaction identity.
    pub async fn submit_all(
        &self,
        inputs: Vec<Input>,
        transaction: Option<String>,
    ) -> Result<Answers, DriveError> {
        self.bring(inputs, transaction, None).await
    }

    /// Has whom a damaged row concerns set aside.
    pub async fn set_aside(&self, row: DamagedRow) -> Result<(), DriveError> {
        self.bring(Vec::new(), None, Some(row)).await.map(|_| ())
    }

    async fn bring(
        &self,
        inputs: Vec<Input>,
        transaction: Option<String>,
        damaged: Option<DamagedRow>,
    ) -> Result<Answers, DriveError> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            inputs,
            transaction,
            damaged,
            reply,
        };
        self.jobs
            .send(job)
            .await
            .map_err(|_| DriveError::Stopping)?;
        answer.await.map_err(|_| DriveError::Stopping)?
    }

    /// Whether the last round could be stored.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }
}

struct Worker<S, W> {
    store: Arc<S>,
    policy: Arc<Policy>,
    clock: Arc<dyn Clock>,
    rng: StdRng,
    wake: W,
    last_effect: Option<EffectId>,
    healthy: Arc<AtomicBool>,
}

impl<S: Store, W: Wake> Worker<S, W> {
    fn run(&mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let mut round = vec![first];
            while round.len() < ROUND {
                let Ok(next) = queue.try_recv() else { break };
                round.push(next);
            }
            self.settle(round);
        }
    }

    /// Does a round. When it fails, each job is tried alone: one that can't be done must not take
    /// the others with it.
    fn settle(&mut self, round: Vec<Job>) {
        self.store.mend();
        let mut attempt = self.attempt(round.iter());
        // What was wrong may be put right by now: then nobody needs to hear of it.
        if attempt.is_err() && self.store.mend() {
            attempt = self.attempt(round.iter());
        }
        match attempt {
            Ok(answers) => {
                self.healthy.store(true, Ordering::Relaxed);
                for (job, answers) in round.into_iter().zip(answers) {
                    // Whoever asked may be gone; what was decided is stored all the same.
                    let _gone = job.reply.send(Ok(answers));
                }
            }
            Err(_) if round.len() > 1 => round.into_iter().for_each(|job| self.settle(vec![job])),
            Err(error) => {
                // Once, and not for each input while the disk is full.
                if self.healthy.swap(false, Ordering::Relaxed) {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "an input could not be stored"
                    );
                }
                let error = DriveError::Store(Arc::new(error));
                for job in round {
                    let _gone = job.reply.send(Err(error.clone()));
                }
            }
        }
    }

    fn attempt<'a>(
        &mut self,
        jobs: impl Iterator<Item = &'a Job>,
    ) -> Result<Vec<Answers>, StoreError> {
        let store = Arc::clone(&self.store);
        let mut round = store.begin();
        let mut news = News::default();
        let answers = jobs
            .map(|job| self.decide_job(job, &mut round, &mut news))
            .collect::<Result<_, _>>()?;
        round.commit()?;
        for row in &news.damaged {
            tracing::error!(family = row.family, owner = %row.owner, "a damaged row was set aside");
        }
        self.wake.committed(news);
        Ok(answers)
    }

    fn decide_job(
        &mut self,
        job: &Job,
        round: &mut S::Transaction<'_>,
        news: &mut News,
    ) -> Result<Answers, StoreError> {
        if let Some(transaction) = &job.transaction {
            if round.transaction_seen(transaction)? {
                return Ok(Answers::new());
            }
            round.apply(&Changes(vec![Change::RememberTransaction(
                transaction.clone(),
            )]))?;
        }
        if let Some(row) = &job.damaged {
            self.set_aside(row.clone(), None, round, news)?;
        }
        let mut answers = Answers::new();
        for input in &job.inputs {
            let now = self.clock.now();
            let context = Context {
                now,
                rng: &mut self.rng,
                last_effect: &mut self.last_effect,
            };
            match decide(input.clone(), round, &self.policy, context) {
                Ok(Decision {
                    changes,
                    unstored,
                    answer,
                }) => {
                    round.apply(&changes)?;
                    news.note(&changes);
                    news.unstored.extend(unstored);
                    answers.push(Ok(answer));
                }
                Err(Undecided::Refused(refusal)) => answers.push(Err(refusal)),
                // Only this input is set aside: all others of the job are somebody else's.
                Err(Undecided::Store(StoreError::Damaged(row))) => {
                    self.set_aside(row, Some(input), round, news)?;
                    answers.push(Err(Refusal::Damaged));
                }
                Err(Undecided::Store(error)) => return Err(error),
            }
            for row in round.left_out() {
                self.set_aside(row, None, round, news)?;
            }
        }
        Ok(answers)
    }

    /// Remembers that a row doesn't read; its chat, if it is one's, can't go on.
    fn set_aside(
        &self,
        row: DamagedRow,
        input: Option<&Input>,
        round: &mut S::Transaction<'_>,
        news: &mut News,
    ) -> Result<(), StoreError> {
        let mut changes = Changes::default();
        let mut new = true;
        if let Owner::Portal(portal) = row.owner {
            new = !round.is_set_aside(portal)?;
            changes.push(Change::SetAside {
                portal,
                at: self.clock.now(),
            });
        }
        // An effect that is done and can't be followed up is done all the same.
        if let Some(Input::Done { effect, .. }) = input {
            changes.push(Change::DeleteEffect(*effect));
        }
        round.apply(&changes)?;
        news.note(&changes);
        if new {
            news.damaged.insert(row);
        }
        Ok(())
    }
}

impl News {
    fn note(&mut self, changes: &Changes) {
        for change in &changes.0 {
            match change {
                Change::PutFrame { portal, frame, .. } => {
                    self.portals.insert(*portal);
                    self.from_hosts += u64::from(matches!(frame, InboxFrame::Event { .. }));
                }
                // A socket of a portal that can't go on must hear of it.
                Change::SetAside { portal, .. } => {
                    self.portals.insert(*portal);
                }
                // A portal that opens has a socket waiting for it, without a frame.
                Change::PutPortal { portal, .. } => {
                    self.portals.insert(portal.id);
                }
                Change::PutEffect { id, effect } => {
                    self.effects.push((*id, effect.lane()));
                    self.from_guests += u64::from(matches!(effect, Effect::SendEvent { .. }));
                }
                _ => {}
            }
        }
    }
}
