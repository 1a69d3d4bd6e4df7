//! The truth path. Synapse forgets to-device events of every failed transaction on its push path
//! (element-hq/synapse#14710), room keys among them, but keeps them in the device's inbox until a
//! `/sync` of that device acknowledges them. A crash of Synapse, or a store of either side that was
//! set back to a backup, loses room events too. So the bridge also reads the inbox and the room's
//! latest events: at start, when a browser connects, now and then while it stays, before a deadline
//! ends a chat, after any transaction that could not be stored, whenever the homeserver was away,
//! and when a host begins a Megolm session: of to-device events to two users at once Synapse's push
//! path forgets one, though nothing failed. What came both ways is recognised by its content.
//!
//! Every reading begins with all that was never acknowledged, and acknowledges with the token of the
//! answer just before. No such token is kept: one from before a homeserver was set back to a backup
//! would delete what nobody read.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};

use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;
use vestibule_appservice::intent::InboxEvent;
use vestibule_appservice::transaction::RoomEvent;
use vestibule_bridge::id::{EventId, PortalId, UserId};
use vestibule_bridge::input::{Input, ToDevice};
use vestibule_bridge::portal::Portal;
use vestibule_bridge::store::{Facts, Read, Store, StoreError};
use vestibule_bridge::was_relayed;

use crate::drive::{DriveError, Driver};
use crate::homeserver::{CallFailed, Homeserver, Inbox};
use crate::hub::{Hub, Signal};
use crate::inbound;
use crate::moments::read_by;
use crate::store::RocksStore;
use crate::tasks::Tasks;

/// How many inboxes are read at once.
const AT_ONCE: usize = 4;
/// How many rooms' Megolm sessions are remembered; then all are forgotten, which costs one reading each.
const ROOMS: usize = 10_000;
/// How many pages of a room's past are read, of 100 events each, before the rest is given up.
const PAGES: usize = 50;
/// How many events are stored in one go.
const ROUND: usize = 200;

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
    hub: Arc<Hub>,
    tasks: Tasks,
    /// Whether receipts are relayed.
    receipts: bool,
    /// Whose inbox is being read. Each has a lock of its own: a call that hangs holds up its own
    /// chat and no other.
    reading: std::sync::Mutex<HashMap<PortalId, Arc<Mutex<()>>>>,
    turns: Semaphore,
    /// The last Megolm session that a host wrote with, by room.
    sessions: std::sync::Mutex<HashMap<String, String>>,
}

impl CatchUp {
    /// Reads for these.
    #[must_use]
    pub fn new(
        homeserver: Arc<Homeserver>,
        driver: Driver,
        store: Arc<RocksStore>,
        hub: Arc<Hub>,
        tasks: Tasks,
        receipts: bool,
    ) -> Self {
        Self {
            homeserver,
            driver,
            store,
            hub,
            tasks,
            receipts,
            reading: std::sync::Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
            sessions: std::sync::Mutex::default(),
        }
    }

    /// Reads one portal's inbox to its end, and what its room has that was never relayed.
    pub async fn read(&self, portal: PortalId) -> Result<Counts, CatchUpError> {
        // Two readers of one inbox at once would only do the work twice.
        let lock = self.lock_of(portal);
        let alone = lock.lock().await;
        let counts = self.read_alone(portal).await;
        drop(alone);
        self.forget_lock(portal, lock);
        counts
    }

    fn lock_of(&self, portal: PortalId) -> Arc<Mutex<()>> {
        // Nothing in there can be left half-done by a panic.
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(reading.entry(portal).or_default())
    }

    fn forget_lock(&self, portal: PortalId, lock: Arc<Mutex<()>>) {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        drop(lock);
        // One that nobody else holds or waits for: then only the map has it.
        if reading
            .get(&portal)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            reading.remove(&portal);
        }
    }

    async fn read_alone(&self, portal: PortalId) -> Result<Counts, CatchUpError> {
        let stored = self.store.begin().portal(portal)?;
        // With the end of a portal its ghost's device goes, and the inbox with it.
        let Some(stored) = stored.filter(|stored| !stored.is_closed()) else {
            return Ok(Counts::default());
        };
        let mut since = None;
        loop {
            let read = self.homeserver.read_inbox(&stored, since.as_deref());
            let inbox = match read.await {
                Ok(inbox) => inbox,
                Err(failed) => {
                    self.follow_refusal(&stored, &failed).await?;
                    return Err(failed.into());
                }
            };
            let counts = inbox.counts;
            since = (!inbox.to_device.is_empty()).then(|| inbox.next.clone());
            self.take(&stored, inbox).await?;
            if since.is_none() {
                return Ok(counts);
            }
        }
    }

    /// An inbox that the homeserver will never let be read: without its device the chat is over;
    /// anything else may be wrong with the ghost's place in the room.
    async fn follow_refusal(&self, portal: &Portal, failed: &CallFailed) -> Result<(), DriveError> {
        // While a portal opens, its device may not be made yet.
        if !portal.is_open() || !failed.is_refused() {
            return Ok(());
        }
        let portal = portal.id;
        let input = if failed.lacks_device() {
            Input::CutOff { portal }
        } else {
            Input::Doubted { portal }
        };
        self.driver.submit(input).await.map(|_| ())
    }

    /// Has what was read stored, to-device events first: a room key goes before what it opens.
    async fn take(&self, portal: &Portal, inbox: Inbox) -> Result<(), CatchUpError> {
        let mut events = inbox.events;
        if let Some(earlier) = inbox.earlier {
            self.fill(portal, &mut events, earlier).await?;
        }
        let mut inputs: Vec<Input> = inbox
            .to_device
            .into_iter()
            .map(|event| inbox_event(portal, event))
            .collect();
        for event in &events {
            if !self.knows(portal, event)? {
                inputs.extend(inbound::room_event(event).map(Input::Past));
            }
        }
        let host_read = read_by(&portal.host, &inbox.receipts)
            .filter(|read| self.receipts && read.is_after(portal.host_read.as_ref()));
        if let Some(read) = host_read.clone() {
            let portal = portal.id;
            inputs.push(Input::HostRead { portal, read });
        }
        let mut inputs = inputs.into_iter().peekable();
        while inputs.peek().is_some() {
            let round = inputs.by_ref().take(ROUND).collect();
            self.driver.submit_all(round, None).await?;
        }
        if let Some(read) = host_read {
            self.hub.signal(portal.id, Signal::Read(read.event));
        }
        Ok(())
    }

    /// Reads the room's past until something in it is known.
    async fn fill(
        &self,
        portal: &Portal,
        events: &mut Vec<RoomEvent>,
        earlier: String,
    ) -> Result<(), CatchUpError> {
        let Some(room) = portal.room() else {
            return Ok(());
        };
        let mut earlier = Some(earlier);
        let mut page = events.clone();
        for _ in 0..PAGES {
            let Some(from) = earlier else {
                return Ok(());
            };
            for event in &page {
                if self.knows(portal, event)? {
                    return Ok(());
                }
            }
            let past = self.homeserver.read_past(portal, room, &from).await?;
            page = past.events;
            page.reverse();
            events.splice(0..0, page.iter().cloned());
            earlier = past.earlier;
        }
        tracing::warn!(portal = %portal.id, "a room's past was not read to its end");
        Ok(())
    }

    fn knows(&self, portal: &Portal, event: &RoomEvent) -> Read<bool> {
        let event = EventId::new(event.event_id.as_str());
        was_relayed(&self.store.begin(), portal.id, &event)
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
        self.tasks.spawn(async move {
            this.read_each([portal]).await;
        });
    }

    /// Reads these portals' inboxes, a few at once; gives back those that could not be read now.
    pub async fn read_each(
        self: &Arc<Self>,
        portals: impl IntoIterator<Item = PortalId>,
    ) -> BTreeSet<PortalId> {
        let mut reading = JoinSet::new();
        for portal in portals {
            let this = Arc::clone(self);
            reading.spawn(async move { (portal, this.read_and_tell(portal).await) });
        }
        let mut unread = BTreeSet::new();
        let mut failure = None;
        while let Some(read) = reading.join_next().await {
            if let Ok((portal, Err(error))) = read {
                // What will never be read has nothing that could be waited for.
                if !error.is_for_good() {
                    unread.insert(portal);
                }
                failure = Some((portal, error));
            }
        }
        // One line for all: they fail together, when the homeserver is away.
        if let Some((portal, error)) = failure {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(%portal, error, more = unread.len().saturating_sub(1), "an inbox could not be read");
        }
        unread
    }

    /// Reads one portal's inbox when it is its turn, and tells an open socket how many keys are
    /// left, which the homeserver says to nobody by itself.
    async fn read_and_tell(&self, portal: PortalId) -> Result<(), CatchUpError> {
        // The semaphore is never closed; without a permit there is only more haste.
        let _turn = self.turns.acquire().await;
        let counts = self.read(portal).await?;
        if let Some(count) = counts.one_time_keys {
            let fallback_unused = counts.fallback_unused.unwrap_or(true);
            let signal = Signal::OneTimeKeys {
                count,
                fallback_unused,
            };
            self.hub.signal(portal, signal);
        }
        Ok(())
    }
}

impl CatchUpError {
    /// Whether the homeserver will never let this inbox be read, so that nothing can wait there.
    fn is_for_good(&self) -> bool {
        matches!(self, Self::Homeserver(failed) if failed.is_refused())
    }
}

fn inbox_event(portal: &Portal, event: InboxEvent) -> Input {
    Input::ToDevice(ToDevice {
        ghost: portal.ghost.clone(),
        device: portal.visit.device.clone(),
        sender: UserId::new(event.sender),
        event_type: event.event_type,
        content: event.content,
    })
}
