//! The one task that decides and commits. Each round drains the queue, decides every input over
//! the facts as its predecessors left them, and stores everything in one batch with one fsync.
//! It never waits for the network. Nothing is answered, sent or shown before its commit.

mod health;
mod left;
mod news;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot};
use vestibule_bridge::bridge::{Answer, Context, Decision, Undecided, decide};
use vestibule_bridge::id::EffectId;
use vestibule_bridge::input::Input;
use vestibule_bridge::policy::Policy;
use vestibule_bridge::refusal::Refusal;
use vestibule_bridge::store::{
    Change, Changes, DamagedRow, Facts, Owner, Store, StoreError, StoreTransaction,
};

use crate::clock::Clock;
use health::Health;
pub use health::Trouble;
pub use left::{AllEffects, all_effects};
pub use news::News;

/// How many jobs one round takes at most, so that the first is not kept waiting for the last.
const ROUND: usize = 256;
/// How many jobs may wait; whoever brings more waits with them.
const QUEUE: usize = 4096;
/// How long a job may take, waiting included. A homeserver or a browser that is answered "not now"
/// comes again; one that is never answered keeps everything behind it waiting.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a job was not answered. Unless it says otherwise, nothing of it is stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DriveError {
    /// A row could not be read or written.
    #[error("the store failed")]
    Store(#[source] Arc<StoreError>),
    /// The store takes too long. The job may still be done, and then counts: whoever brings it
    /// again is recognised, as everybody is whose answer was lost.
    #[error("the store did not answer within {} s", .0.as_secs_f64())]
    Late(Duration),
    /// The program is stopping.
    #[error("the bridge is stopping")]
    Stopping,
}

/// What each input of a job was answered, in order.
pub type Answers = Vec<Result<Answer, Refusal>>;

/// Inputs that are stored together or not at all.
struct Job {
    /// What the shell itself has to store with them. It is stored also when the transaction was
    /// before: it says how far the bot's device is, and that is so in any case.
    own: Changes,
    inputs: Vec<Input>,
    transaction: Option<String>,
    /// A row that somebody met who only reads.
    damaged: Option<DamagedRow>,
    reply: oneshot::Sender<Result<Answers, DriveError>>,
}

/// What the worker is told.
enum Work {
    Do(Job),
    /// End, after everything that came before.
    Stop,
}

/// What the rest of the program is woken with after a commit.
pub trait Wake: Send + 'static {
    /// This was committed.
    fn committed(&self, news: News);
}

/// Brings inputs to the driver.
#[derive(Clone)]
pub struct Driver {
    work: mpsc::Sender<Work>,
    health: Arc<Health>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    patience: Duration,
}

impl Driver {
    /// Starts the driver on a thread of its own, because RocksDB blocks. The thread ends with
    /// [`Driver::stop`], or when the last handle is dropped. `last_effect` is the greatest id that waits in the store: new ones
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
        let (work, queue) = mpsc::channel(QUEUE);
        let health = Arc::new(Health::default());
        let mut worker = Worker {
            store,
            policy,
            clock,
            rng,
            wake,
            last_effect,
            health: Arc::clone(&health),
        };
        let thread = std::thread::Builder::new()
            .name("driver".to_owned())
            .spawn(move || worker.run(queue))?;
        Ok(Self {
            work,
            health,
            thread: Arc::new(Mutex::new(Some(thread))),
            patience: PATIENCE,
        })
    }

    /// The same driver for somebody with more or less patience than ten seconds.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
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
        self.bring(Changes::default(), inputs, transaction, None)
            .await
    }

    /// The same, with changes of the shell's own before the inputs; effects among them are not told
    /// to the outbox. However long it takes: whoever brings them has to know whether they are stored.
    pub async fn submit_with(
        &self,
        own: Changes,
        inputs: Vec<Input>,
        transaction: Option<String>,
    ) -> Result<Answers, DriveError> {
        let patient = self.clone().with_patience(Duration::MAX);
        patient.bring(own, inputs, transaction, None).await
    }

    /// Has whom a damaged row concerns set aside.
    pub async fn set_aside(&self, row: DamagedRow) -> Result<(), DriveError> {
        self.bring(Changes::default(), Vec::new(), None, Some(row))
            .await
            .map(|_| ())
    }

    async fn bring(
        &self,
        own: Changes,
        inputs: Vec<Input>,
        transaction: Option<String>,
        damaged: Option<DamagedRow>,
    ) -> Result<Answers, DriveError> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            own,
            inputs,
            transaction,
            damaged,
            reply,
        };
        let answered = async {
            let handed_over = self.work.send(Work::Do(job)).await;
            handed_over.map_err(|_| DriveError::Stopping)?;
            answer.await.map_err(|_| DriveError::Stopping)?
        };
        tokio::time::timeout(self.patience, answered)
            .await
            .map_err(|_| DriveError::Late(self.patience))?
    }

    /// What is wrong with storing, if anything is.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.health.trouble()
    }

    /// Ends the driver after all jobs that came before, and waits until its thread has let go of
    /// the store. Later jobs are answered [`DriveError::Stopping`].
    pub async fn stop(&self) {
        // It may have ended before.
        let _ended = self.work.send(Work::Stop).await;
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A driver that panicked has let go of the store as well.
            let _panicked = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

struct Worker<S, W> {
    store: Arc<S>,
    policy: Arc<Policy>,
    clock: Arc<dyn Clock>,
    rng: StdRng,
    wake: W,
    last_effect: Option<EffectId>,
    health: Arc<Health>,
}

impl<S: Store, W: Wake> Worker<S, W> {
    fn run(&mut self, mut queue: mpsc::Receiver<Work>) {
        while let Some(Work::Do(first)) = queue.blocking_recv() {
            let mut round = vec![first];
            let mut last = false;
            while round.len() < ROUND && !last {
                match queue.try_recv() {
                    Ok(Work::Do(next)) => round.push(next),
                    Ok(Work::Stop) => last = true,
                    Err(_) => break,
                }
            }
            self.health.begin();
            self.settle(round);
            self.health.end();
            if last {
                return;
            }
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
                for (job, answers) in round.into_iter().zip(answers) {
                    // Whoever asked may be gone; what was decided is stored all the same.
                    let _gone = job.reply.send(Ok(answers));
                }
            }
            Err(_) if round.len() > 1 => round.into_iter().for_each(|job| self.settle(vec![job])),
            Err(error) => {
                self.failed(&error);
                let error = DriveError::Store(Arc::new(error));
                for job in round {
                    let _gone = job.reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// Says once that the store fails; `/ready` says it as long as it lasts.
    fn failed(&self, error: &StoreError) {
        let backend = matches!(error, StoreError::Backend { .. });
        if !backend || self.health.set_failing(true) {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "an input could not be stored"
            );
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
        if self.health.is_failing() {
            // A round that changes nothing is stored without a write. This one is to show whether
            // the store can be written again; it is the last to be remembered for that.
            let probe = format!("probe:{}", self.clock.now().0);
            round.apply(&Changes(vec![Change::RememberTransaction(probe)]))?;
        }
        round.commit()?;
        for row in &news.damaged {
            tracing::error!(family = row.family, owner = %row.owner, "a damaged row was set aside");
        }
        if self.health.is_failing() {
            news.effects = all_effects(&*store)?.waiting;
            news.healed = true;
            self.health.set_failing(false);
            tracing::info!("inputs are stored again");
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
        round.apply(&job.own)?;
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
            // When its own row reads it may have been over already.
            if new && !matches!(round.portal(portal), Ok(Some(portal)) if portal.is_closed()) {
                let mut counts = round.counts()?;
                counts.chat_over();
                changes.push(Change::PutCounts(counts));
            }
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

#[cfg(test)]
mod tests;
