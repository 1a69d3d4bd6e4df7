//! Whether a guest's page is open, shown to the host as presence, where the homeserver has it.
//!
//! A homeserver forgets presence after half a minute, so it is said again with each heartbeat of the
//! socket, and never taken back: a page that is closed is shown as away soon, and one that is only
//! loaded again doesn't flicker. Homeserver calls are what a bridge is shortest of, so there is a
//! limit to how many pages are shown; and nobody asks a homeserver for long that has no presence.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use vestibule_bridge::id::PortalId;
use vestibule_bridge::store::{Facts, Store};

use crate::clock::monotonic;
use crate::homeserver::{CallFailed, Homeserver};
use crate::store::RocksStore;
use crate::tasks::Tasks;

/// How many pages are shown at once: with a heartbeat of 25 seconds these are eight calls a second.
const SHOWN: usize = 200;
/// How long Synapse shows somebody as online who doesn't say so again, by default.
const LAPSE: Duration = Duration::from_secs(30);
/// How many calls are on their way at once.
const CALLS: usize = 4;
/// How long a homeserver without presence is left alone.
const REST: Duration = Duration::from_secs(60 * 60);

/// Shows guests as online. Cheap to clone.
#[derive(Clone)]
pub struct Presence(Arc<Shared>);

struct Shared {
    enabled: bool,
    homeserver: Arc<Homeserver>,
    store: Arc<RocksStore>,
    tasks: Tasks,
    calls: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When each page was last shown.
    shown: HashMap<PortalId, Instant>,
    /// Whether the homeserver has presence: until when the answer holds.
    known: Option<(bool, Instant)>,
    /// The last look found a guest offline who had just been shown.
    missed: bool,
}

impl State {
    /// Whether this page is to be shown now.
    fn admit(&mut self, portal: PortalId, now: Instant) -> bool {
        if matches!(self.known, Some((false, until)) if now < until) {
            return false;
        }
        if self.shown.len() >= SHOWN && !self.shown.contains_key(&portal) {
            self.shown
                .retain(|_, last| now.duration_since(*last) < LAPSE);
        }
        let admitted = self.shown.len() < SHOWN || self.shown.contains_key(&portal);
        if admitted {
            self.shown.insert(portal, now);
        }
        admitted
    }

    /// Whether it should be looked if the homeserver has presence at all.
    fn is_unsure(&self, now: Instant) -> bool {
        self.known.is_none_or(|(_, until)| now >= until)
    }

    fn learn(&mut self, has_presence: bool, now: Instant) {
        // Once says nothing: the ghost's own reading of its inbox may just have ended, and with it
        // its presence.
        if !has_presence && !std::mem::replace(&mut self.missed, true) {
            return;
        }
        self.missed = false;
        self.known = Some((has_presence, now + REST));
        if !has_presence {
            self.shown.clear();
        }
    }
}

impl Presence {
    /// Shows nobody unless it is `enabled`.
    #[must_use]
    pub fn new(
        enabled: bool,
        homeserver: Arc<Homeserver>,
        store: Arc<RocksStore>,
        tasks: Tasks,
    ) -> Self {
        Self(Arc::new(Shared {
            enabled,
            homeserver,
            store,
            tasks,
            calls: Semaphore::new(CALLS),
            state: Mutex::default(),
        }))
    }

    /// The page of this open chat is there.
    pub fn here(&self, portal: PortalId) {
        if self.0.enabled && self.0.state().admit(portal, monotonic()) {
            let shared = Arc::clone(&self.0);
            self.0.tasks.spawn(async move {
                if let Err(error) = shared.show(portal).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(%portal, error, "a guest was not shown as present");
                }
            });
        }
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing in there can be left half-done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn show(&self, portal: PortalId) -> Result<(), CallFailed> {
        // With so many on their way the homeserver has other cares.
        let Ok(_turn) = self.calls.try_acquire() else {
            return Ok(());
        };
        // One that doesn't read is found by everybody else who reads it.
        let stored = self.store.begin().portal(portal).ok().flatten();
        let Some(portal) = stored.filter(vestibule_bridge::portal::Portal::is_open) else {
            return Ok(());
        };
        self.homeserver.show_online(&portal).await?;
        if self.state().is_unsure(monotonic()) {
            let has_presence = self.homeserver.is_shown_online(&portal).await?;
            self.state().learn(has_presence, monotonic());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: usize) -> PortalId {
        PortalId::from_u128(number as u128)
    }

    #[test]
    fn no_more_are_shown_than_the_homeserver_can_bear() {
        let mut state = State::default();
        let start = monotonic();
        for number in 0..SHOWN {
            assert!(state.admit(page(number), start));
        }
        assert!(!state.admit(page(SHOWN), start));
        assert!(
            state.admit(page(0), start + LAPSE / 2),
            "it is shown already"
        );
        // The others lapsed.
        assert!(state.admit(page(SHOWN), start + LAPSE));
        assert_eq!(state.shown.len(), 2);
    }

    #[test]
    fn a_homeserver_without_presence_is_left_alone_for_a_while() {
        let mut state = State::default();
        let start = monotonic();
        assert!(state.is_unsure(start));
        state.learn(true, start);
        assert!(!state.is_unsure(start));
        assert!(state.admit(page(1), start));
        assert!(
            state.is_unsure(start + REST),
            "it may have been switched off"
        );
        state.learn(false, start);
        assert!(state.admit(page(1), start), "one look says nothing");
        state.learn(false, start);
        assert!(!state.admit(page(1), start));
        assert!(state.admit(page(1), start + REST));
    }
}
