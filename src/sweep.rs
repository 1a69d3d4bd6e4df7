//! Now and then has the bytes of deleted rows taken out of the store's files: so often that it is done
//! soon after a chat was forgotten, and so seldom that nobody notices.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::app::App;

/// Sweeps once in each `period`, until the program ends.
pub async fn run(app: Arc<App>, period: Duration) {
    loop {
        sleep(period).await;
        let stopping = app.tasks.stopping();
        let (store, now) = (Arc::clone(&app.store), app.clock.now());
        let keep = app.policy.times.keep_chat;
        let swept = spawn_blocking(move || store.sweep(now, keep, || stopping.is_cancelled()));
        // Joining fails only when the program stops.
        if let Ok(Err(error)) = swept.await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what was deleted could not be taken out of the store's files; it is tried again"
            );
        }
    }
}
