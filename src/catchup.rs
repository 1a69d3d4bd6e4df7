//! The truth path. Synapse forgets to-device events of every failed transaction on its push path
//! (element-hq/synapse#14710), room keys among them, but keeps them in the device's inbox until a
//! `/sync` of that device acknowledges them. So the bridge reads that inbox too: at start, when a
//! browser connects, now and then while it stays, after any transaction that could not be stored,
//! and when a host begins a Megolm session: of to-device events to two users at once Synapse's push
//! path forgets one, though nothing failed. What came both ways is recognised by its content.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use tokio::sync::{Mutex, Semaphore};
use vestibule_bridge::id::PortalId;
use vestibule_bridge::input::{Input, ToDevice};
use vestibule_bridge::store::{Facts, Store, StoreError};
use vestibule_bridge::time::Timestamp;

use crate::drive::{DriveError, Driver};
use crate::homeserver::{CallFailed, Homeserver};
use crate::store::RocksStore;

/// How many inboxes are read at once.
const AT_ONCE: usize = 4;
/// How many rooms' Megolm sessions are remembered; then all are forgotten, which costs one reading each.
const ROOMS: usize = 10_000;
/// Portals share locks; two of one lock wait for each other now and then.
const LOCKS: usize = 64;

/// Why an inbox could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CatchUpError {
    /// The homeserver.
    #[error("the ghost's inbox could not be read")]
    Homeserver(#[from] CallFailed),
    /// The store, reading.
    #[error("the portal could not be read")]
    Store(#[from] StoreError),
    /// The store, writing.
    #[error("the ghost's inbox could not be stored")]
    Drive(#[from] DriveError),
}

/// What the homeserver says of the ghost's keys, when it says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Unclaimed one-time keys.
    pub one_time_keys: Option<u64>,
    /// Whether the fallback key was not used yet.
    pub fallback_unused: Option<bool>,
}

/// Reads the inboxes of ghosts.
pub struct CatchUp {
    homeserver: Arc<Homeserver>,
    driver: Driver,
    store: Arc<RocksStore>,
    locks: [Mutex<()>; LOCKS],
    turns: Semaphore,
    /// The last Megolm session that a host wrote with, by room.
    sessions: std::sync::Mutex<HashMap<String, String>>,
    /// How far each inbox was read since the start.
    read: std::sync::Mutex<HashMap<PortalId, String>>,
}

impl CatchUp {
    /// Reads for these.
    #[must_use]
    pub fn new(homeserver: Arc<Homeserver>, driver: Driver, store: Arc<RocksStore>) -> Self {
        let locks = std::array::from_fn(|_| Mutex::new(()));
        Self {
            homeserver,
            driver,
            store,
            locks,
            turns: Semaphore::new(AT_ONCE),
            sessions: std::sync::Mutex::default(),
            read: std::sync::Mutex::default(),
        }
    }

    /// Reads one portal's inbox to its end.
    pub async fn read(&self, portal: PortalId) -> Result<Counts, CatchUpError> {
        // Two readers at once would only do the work twice.
        let index = usize::try_from(portal.as_u128() % LOCKS as u128).unwrap_or_default();
        let _alone = match self.locks.get(index) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        };
        let stored = self.store.begin().portal(portal)?;
        // With the end of a portal its ghost's device goes, and the inbox with it.
        let Some(stored) = stored.filter(|stored| !stored.is_closed()) else {
            return Ok(Counts::default());
        };
        let mut since = self.read_until().get(&portal).cloned();
        loop {
            let batch = self
                .homeserver
                .read_inbox(&stored, since.as_deref())
                .await?;
            // Always on from the last answer, an empty one too: Synapse serves a repeated request
            // from a cache for two minutes, so the same question twice is no question.
            let moved = since.as_ref() != Some(&batch.next);
            let last = batch.events.is_empty() || !moved;
            let inputs: Vec<Input> = batch
                .events
                .into_iter()
                .map(|event| inbox_event(&stored.ghost, &stored.visit.device, event))
                .collect();
            if !inputs.is_empty() {
                self.driver.submit_all(inputs, None).await?;
            }
            self.read_until().insert(portal, batch.next.clone());
            if last {
                return Ok(batch.counts);
            }
            since = Some(batch.next);
        }
    }

    fn read_until(&self) -> std::sync::MutexGuard<'_, HashMap<PortalId, String>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an encrypted event begins a Megolm session, so that a room key came just before it.
    ///
    /// After a restart each room's next event does, once.
    pub fn begins_session(&self, room: &str, session: &str) -> bool {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.get(room).is_some_and(|known| known == session) {
            return false;
        }
        if sessions.len() >= ROOMS {
            sessions.clear();
        }
        sessions.insert(room.to_owned(), session.to_owned());
        true
    }

    /// Reads one portal's inbox beside everything else.
    pub fn read_later(self: &Arc<Self>, portal: PortalId) {
        let this = Arc::clone(self);
        tokio::spawn(async move { this.read_or_say(portal).await });
    }

    /// Reads the inboxes of all portals that are not over, beside everything else.
    pub fn read_all_later(self: &Arc<Self>) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            // The index of deadlines holds exactly the portals that are not over.
            let portals = match this.store.begin().due(Timestamp(u64::MAX), usize::MAX) {
                Ok(portals) => portals,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "the open portals can't be listed"
                    );
                    return;
                }
            };
            for portal in portals {
                let this = Arc::clone(&this);
                tokio::spawn(async move { this.read_or_say(portal).await });
            }
        });
    }

    async fn read_or_say(&self, portal: PortalId) {
        // The semaphore is never closed; without a permit there is only more haste.
        let _turn = self.turns.acquire().await;
        if let Err(error) = self.read(portal).await {
            tracing::warn!(%portal, error = &error as &dyn std::error::Error, "an inbox could not be read");
        }
    }
}

/// One to-device event of an inbox: its sender, type and content.
pub struct InboxEvent {
    /// Who sent it.
    pub sender: String,
    /// Its type.
    pub event_type: String,
    /// Its content.
    pub content: serde_json::Value,
}

fn inbox_event(
    ghost: &vestibule_bridge::id::UserId,
    device: &vestibule_bridge::id::DeviceId,
    event: InboxEvent,
) -> Input {
    Input::ToDevice(ToDevice {
        ghost: ghost.clone(),
        device: device.clone(),
        sender: vestibule_bridge::id::UserId::new(event.sender),
        event_type: event.event_type,
        content: event.content,
    })
}
