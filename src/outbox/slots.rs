//! How many homeserver calls run at once, so that some which hang don't keep all others waiting.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

/// How many calls run at once. A homeserver does not get faster by more.
const AT_ONCE: usize = 16;
/// How many more may hang meanwhile.
const HANGING: usize = 64;
/// After how long a call counts as hanging.
const LONG: Duration = Duration::from_secs(3);
/// How many calls that ask one other server run at once: a server that is dead holds each for as
/// long as a call may take.
const PER_SERVER: usize = 4;
/// From how many servers on those are forgotten that nobody asks.
const MANY: usize = 256;

/// The places for calls.
#[derive(Debug)]
pub struct Slots {
    quick: Semaphore,
    hanging: Semaphore,
    servers: Mutex<HashMap<String, Arc<Semaphore>>>,
    long: Duration,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            quick: Semaphore::new(AT_ONCE),
            hanging: Semaphore::new(HANGING),
            servers: Mutex::default(),
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

    /// Makes a call when there is a place. `server` is the other server it has to wait for, if any.
    pub async fn during<T>(&self, server: Option<&str>, call: impl Future<Output = T>) -> T {
        // No semaphore here is ever closed; without a permit there is only more haste.
        let _one_of_few = match server {
            Some(server) => self.of(server).acquire_owned().await.ok(),
            None => None,
        };
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
    fn hang(slots: &Arc<Slots>, server: Option<&'static str>, count: usize) -> Arc<AtomicUsize> {
        let running = Arc::new(AtomicUsize::new(0));
        for _ in 0..count {
            let (slots, running) = (Arc::clone(slots), Arc::clone(&running));
            tokio::spawn(async move {
                let call = async {
                    running.fetch_add(1, Ordering::Relaxed);
                    pending::<()>().await;
                };
                slots.during(server, call).await;
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
        let running = hang(&slots, None, AT_ONCE);
        until_running(&running, AT_ONCE).await;
        assert_eq!(slots.during(None, async { 1 }).await, 1);
        // And there is an end to it.
        let running = hang(&slots, None, 2 * HANGING);
        until_running(&running, HANGING).await;
        let waited = slots.during(None, async {});
        let waited = tokio::time::timeout(Duration::from_millis(100), waited).await;
        assert!(waited.is_err());
        assert_eq!(running.load(Ordering::Relaxed), HANGING);
    }

    #[tokio::test]
    async fn a_dead_server_holds_few_places() {
        let slots = Arc::new(Slots::hanging_after(Duration::from_millis(5)));
        let running = hang(&slots, Some("dead.example"), 1000);
        until_running(&running, PER_SERVER).await;
        for _ in 0..100 {
            slots.during(None, async {}).await;
            slots.during(Some("alive.example"), async {}).await;
        }
        // Those that hang make no room for more of theirs.
        until_running(&hang(&slots, None, AT_ONCE), AT_ONCE).await;
        assert_eq!(running.load(Ordering::Relaxed), PER_SERVER);
    }
}
