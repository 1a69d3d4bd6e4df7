//! How many homeserver calls run at once, so that some which hang don't keep all others waiting.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Turn, Semaphore};
use tokio::time::{Instant, sleep, sleep_until};

use super::ending::Progress;
use crate::clock::monotonic;

/// How many calls run at once. A homeserver does not get faster by more.
const AT_ONCE: usize = 16;
/// How many more may hang meanwhile.
const HANGING: usize = 64;
/// After how long a call counts as hanging.
const LONG: Duration = Duration::from_secs(3);
/// How many calls that ask one other server run at once: a server that is dead holds each for as
/// long as a call may take.
const PER_SERVER: usize = 4;
/// After a call that only cleans up, the next one waits so many times as long as it took. One at a
/// time with these pauses, a third of the homeserver's time goes into chats that are over, however
/// slow it is.
const REST: u32 = 2;
/// The longest such pause.
const LONGEST_REST: Duration = Duration::from_secs(2);
/// From how many servers on those are forgotten that nobody asks.
const MANY: usize = 256;

/// The places for calls.
#[derive(Debug)]
pub struct Slots {
    quick: Semaphore,
    hanging: Semaphore,
    servers: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// From when on the next call may be made that only cleans up.
    rested: Turn<Option<Instant>>,
    long: Duration,
}

/// What kind of call it is.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// Our homeserver answers it.
    Usual,
    /// It has to ask this other server, and waits for it.
    Asking(&'a str),
    /// It only cleans up after a chat, and must slow down nobody.
    Cleaning(&'a Progress),
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            quick: Semaphore::new(AT_ONCE),
            hanging: Semaphore::new(HANGING),
            servers: Mutex::default(),
            rested: Turn::default(),
            long: LONG,
        }
    }
}

impl Slots {
    /// The same, for tests: calls count as hanging after this time.
    #[cfg(test)]
    pub fn hanging_after(long: Duration) -> Self {
        Self {
            long,
            ..Self::default()
        }
    }

    /// Makes a call when there is a place.
    pub async fn during<T>(&self, kind: Call<'_>, call: impl Future<Output = T>) -> T {
        match kind {
            Call::Usual => self.in_place(call).await,
            Call::Asking(server) => {
                // No semaphore here is ever closed; without a permit there is only more haste.
                let _one_of_few = self.of(server).acquire_owned().await.ok();
                self.in_place(call).await
            }
            Call::Cleaning(progress) => self.one_at_a_time(progress, call).await,
        }
    }

    /// One call after the other, with pauses. One that hangs is not waited for.
    async fn one_at_a_time<T>(&self, progress: &Progress, call: impl Future<Output = T>) -> T {
        let mut rested = self.rested.lock().await;
        if let Some(time) = *rested {
            sleep_until(time).await;
        }
        let began = monotonic();
        let mut call = pin!(self.in_place(call));
        let done = tokio::select! {
            biased;
            done = &mut call => Some(done),
            () = sleep(self.long) => None,
        };
        let took = began.elapsed();
        let rest = (took * REST).min(LONGEST_REST);
        *rested = Some(monotonic() + rest);
        progress.took(took + rest);
        drop(rested);
        match done {
            Some(done) => done,
            None => call.await,
        }
    }

    async fn in_place<T>(&self, call: impl Future<Output = T>) -> T {
        let quick = self.quick.acquire().await;
        let mut call = pin!(call);
        tokio::select! {
            biased;
            done = &mut call => return done,
            () = sleep(self.long) => {}
        }
        tokio::select! {
            biased;
            done = &mut call => done,
            _hanging = self.hanging.acquire() => {
                drop(quick);
                call.await
            }
        }
    }

    fn of(&self, server: &str) -> Arc<Semaphore> {
        // Nothing in here can be left half-done by a panic.
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.len() >= MANY {
            servers.retain(|_, places| Arc::strong_count(places) > 1);
        }
        let places = servers.entry(server.to_owned());
        Arc::clone(places.or_insert_with(|| Arc::new(Semaphore::new(PER_SERVER))))
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Starts so many calls without end; gives how many of them run, when all that can do.
    fn hang(slots: &Arc<Slots>, kind: Call<'static>, count: usize) -> Arc<AtomicUsize> {
        let running = Arc::new(AtomicUsize::new(0));
        for _ in 0..count {
            let (slots, running) = (Arc::clone(slots), Arc::clone(&running));
            tokio::spawn(async move {
                let call = async {
                    running.fetch_add(1, Ordering::Relaxed);
                    pending::<()>().await;
                };
                slots.during(kind, call).await;
            });
        }
        running
    }

    async fn until_running(running: &AtomicUsize, count: usize) {
        let reached = async {
            while running.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(20), reached).await;
        assert!(reached.is_ok(), "{running:?} of {count}");
    }

    #[tokio::test]
    async fn hanging_calls_make_room_for_others() {
        let slots = Arc::new(Slots::hanging_after(Duration::from_millis(5)));
        let running = hang(&slots, Call::Usual, AT_ONCE);
        until_running(&running, AT_ONCE).await;
        assert_eq!(slots.during(Call::Usual, async { 1 }).await, 1);
        // And there is an end to it.
        let running = hang(&slots, Call::Usual, 2 * HANGING);
        until_running(&running, HANGING).await;
        let waited = slots.during(Call::Usual, async {});
        let waited = tokio::time::timeout(Duration::from_millis(100), waited).await;
        assert!(waited.is_err());
        assert_eq!(running.load(Ordering::Relaxed), HANGING);
    }

    #[tokio::test]
    async fn a_dead_server_holds_few_places() {
        let slots = Arc::new(Slots::hanging_after(Duration::from_millis(5)));
        let running = hang(&slots, Call::Asking("dead.example"), 1000);
        until_running(&running, PER_SERVER).await;
        for _ in 0..100 {
            slots.during(Call::Usual, async {}).await;
            slots.during(Call::Asking("alive.example"), async {}).await;
        }
        // Those that hang make no room for more of theirs.
        until_running(&hang(&slots, Call::Usual, AT_ONCE), AT_ONCE).await;
        assert_eq!(running.load(Ordering::Relaxed), PER_SERVER);
    }

    #[tokio::test]
    async fn cleaning_up_rests_after_each_call_and_nobody_else_waits() {
        let slots = Slots::default();
        let progress = Progress::default();
        let time = Duration::from_millis(20);
        let began = monotonic();
        let call = || slots.during(Call::Cleaning(&progress), async { sleep(time).await });
        tokio::join!(call(), call(), call());
        assert!(began.elapsed() >= time * 7, "{:?}", began.elapsed());
        let cleaning = slots.during(Call::Cleaning(&progress), pending::<()>());
        let others = async {
            for _ in 0..100 {
                slots.during(Call::Usual, async {}).await;
            }
        };
        tokio::select! {
            biased;
            () = cleaning => {}
            () = others => {}
        }
    }

    #[tokio::test]
    async fn a_call_that_hangs_does_not_stop_the_cleaning() {
        let slots = Slots::hanging_after(Duration::from_millis(5));
        let progress = Progress::default();
        let hanging = slots.during(Call::Cleaning(&progress), pending::<()>());
        let other = slots.during(Call::Cleaning(&progress), async {});
        tokio::select! {
            biased;
            () = hanging => {}
            () = sleep(Duration::from_secs(20)) => panic!("it waits for the one that hangs"),
            () = other => {}
        }
    }
}
