//! What runs beside everything else and for which nobody waits: readers of inboxes, sockets,
//! questions. Kept together so that a stop can end all of it, and with it whatever it holds of the
//! store.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks that end with the program.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stopping: CancellationToken,
}

impl Tasks {
    /// Starts a task that is dropped, wherever it is, when the program stops.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stopping = self.stopping.clone();
        // Whoever joins these tasks does it by the tracker.
        let _detached = self.tracker.spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Tells when the program stops.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Ends all tasks, those that are started from now on too.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_stop_ends_what_runs_and_what_comes() {
        let tasks = Tasks::default();
        let held = Arc::new(());
        for _ in 0..3 {
            let held = Arc::clone(&held);
            tasks.spawn(async move {
                pending::<()>().await;
                drop(held);
            });
        }
        tasks.stop().await;
        assert_eq!(Arc::strong_count(&held), 1);
        let late = Arc::clone(&held);
        tasks.spawn(async move {
            pending::<()>().await;
            drop(late);
        });
        tasks.stop().await;
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
