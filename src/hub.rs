//! Which sockets are open, and how to wake them. Only a cache: what a socket must not miss is in
//! the store, and a socket that wakes looks there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use vestibule_bridge::id::{EventId, PortalId};

/// How many transient signals may wait for a socket; more are dropped, they repeat themselves.
const TRANSIENT: usize = 16;

/// A signal of the moment, never stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The host's devices changed.
    KeysChanged,
    /// The homeserver told how many keys it has left.
    OneTimeKeys {
        /// One-time keys.
        count: u64,
        /// Whether the fallback key was not used yet.
        fallback_unused: bool,
    },
    /// The host began or stopped to type.
    Typing(bool),
    /// The host has read everything up to this event.
    Read(EventId),
    /// Another connection of the same browser took this one's place.
    Replaced,
    /// The program is stopping.
    Stopping,
}

/// The open sockets.
#[derive(Default)]
pub struct Hub {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    sockets: HashMap<PortalId, Entry>,
    next: u64,
    stopping: bool,
}

struct Entry {
    number: u64,
    wake: Arc<Notify>,
    signals: mpsc::Sender<Signal>,
    over: CancellationToken,
}

/// One socket's place in the hub; dropping it gives the place up.
pub struct Seat {
    hub: Arc<Hub>,
    portal: PortalId,
    number: u64,
    /// Wakes when something new is in the store for this portal.
    pub wake: Arc<Notify>,
    /// What is of the moment.
    pub signals: mpsc::Receiver<Signal>,
    /// Cancelled when the chat ends while this socket is open.
    pub over: CancellationToken,
}

impl Hub {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        // Nothing in here can be left half-done by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the portal's place; whoever had it is told so.
    pub fn sit(self: &Arc<Self>, portal: PortalId) -> Seat {
        let (sender, signals) = mpsc::channel(TRANSIENT);
        let wake = Arc::new(Notify::new());
        let over = CancellationToken::new();
        let mut inner = self.inner();
        inner.next += 1;
        let number = inner.next;
        if inner.stopping {
            let _closed = sender.try_send(Signal::Stopping);
        }
        let entry = Entry {
            number,
            wake: Arc::clone(&wake),
            signals: sender,
            over: over.clone(),
        };
        if let Some(old) = inner.sockets.insert(portal, entry) {
            let _closed = old.signals.try_send(Signal::Replaced);
        }
        drop(inner);
        Seat {
            hub: Arc::clone(self),
            portal,
            number,
            wake,
            signals,
            over,
        }
    }

    /// Something new is in the store for this portal.
    pub fn wake(&self, portal: PortalId) {
        if let Some(entry) = self.inner().sockets.get(&portal) {
            entry.wake.notify_one();
        }
    }

    /// This portal's chat is over.
    pub fn end(&self, portal: PortalId) {
        if let Some(entry) = self.inner().sockets.get(&portal) {
            entry.over.cancel();
        }
    }

    /// Something new may be in the store for any portal.
    pub fn wake_all(&self) {
        for entry in self.inner().sockets.values() {
            entry.wake.notify_one();
        }
    }

    /// Something of the moment for this portal.
    pub fn signal(&self, portal: PortalId, signal: Signal) {
        if let Some(entry) = self.inner().sockets.get(&portal) {
            let _full_or_closed = entry.signals.try_send(signal);
        }
    }

    /// Whether a socket of this portal is open.
    #[must_use]
    pub fn is_seated(&self, portal: PortalId) -> bool {
        self.inner().sockets.contains_key(&portal)
    }

    /// The portals whose socket is open.
    #[must_use]
    pub fn portals(&self) -> Vec<PortalId> {
        self.inner().sockets.keys().copied().collect()
    }

    /// How many sockets are open.
    #[must_use]
    pub fn seated(&self) -> usize {
        self.inner().sockets.len()
    }

    /// Tells every socket, also those to come, to close.
    pub fn stop(&self) {
        let mut inner = self.inner();
        inner.stopping = true;
        for entry in inner.sockets.values() {
            let _full_or_closed = entry.signals.try_send(Signal::Stopping);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.hub.inner();
        if inner
            .sockets
            .get(&self.portal)
            .is_some_and(|entry| entry.number == self.number)
        {
            inner.sockets.remove(&self.portal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_socket_replaces_the_first_and_the_first_gives_up_nothing() {
        let hub = Arc::new(Hub::default());
        let portal = PortalId::from_u128(1);
        let mut first = hub.sit(portal);
        let second = hub.sit(portal);
        assert_eq!(first.signals.recv().await, Some(Signal::Replaced));
        drop(first);
        assert!(hub.is_seated(portal));
        hub.wake(portal);
        second.wake.notified().await;
        drop(second);
        assert!(!hub.is_seated(portal));
    }

    #[tokio::test]
    async fn stopping_reaches_sockets_of_now_and_later() {
        let hub = Arc::new(Hub::default());
        let mut now = hub.sit(PortalId::from_u128(1));
        hub.stop();
        let mut later = hub.sit(PortalId::from_u128(2));
        assert_eq!(now.signals.recv().await, Some(Signal::Stopping));
        assert_eq!(later.signals.recv().await, Some(Signal::Stopping));
    }
}
