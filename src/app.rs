//! The parts of the running program, put together once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::Instant;
use vestibule_bridge::policy::Policy;

use crate::bot::Bot;
use crate::catchup::CatchUp;
use crate::clock::Clock;
use crate::deny::Lists;
use crate::doctor::Probe;
use crate::drive::{Driver, News, Wake};
use crate::homeserver::Homeserver;
use crate::http::GuestSide;
use crate::http::asked::Asked;
use crate::http::assets::Assets;
use crate::http::crowd::Crowd;
use crate::http::visitor::Proxies;
use crate::hub::Hub;
use crate::listener::Admission;
use crate::moments::Moments;
use crate::outbox::Outbox;
use crate::presence::Presence;
use crate::store::RocksStore;
use crate::tasks::Tasks;
use crate::telemetry::{self, Metrics};
use crate::watch::Watch;

/// Everything that requests share.
pub struct App {
    /// The rules.
    pub policy: Arc<Policy>,
    /// The rows, here for reading only.
    pub store: Arc<RocksStore>,
    /// Decides and stores.
    pub driver: Driver,
    /// What waits for the homeserver.
    pub outbox: Outbox,
    /// Asks the homeserver.
    pub homeserver: Arc<Homeserver>,
    /// The bot's own device.
    pub bot: Arc<Bot>,
    /// Reads the inboxes of ghosts.
    pub catchup: Arc<CatchUp>,
    /// Shows hosts who types and who has read.
    pub moments: Moments,
    /// Shows hosts whose page is open.
    pub presence: Presence,
    /// Sets right what a gap may have left.
    pub watch: Watch,
    /// The deny lists that are followed.
    pub lists: Lists,
    /// What a doctor waits to see.
    pub probe: Probe,
    /// The open sockets.
    pub hub: Arc<Hub>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// When the program started.
    pub started: Instant,
    /// The page's files.
    pub assets: Assets,
    /// How often browsers asked about keys.
    pub asked: Asked,
    /// How often browsers connected, by the time since the start.
    pub greetings: Asked,
    /// How much comes from one address.
    pub crowd: Arc<Crowd>,
    /// Who is believed when they say from which.
    pub proxies: Proxies,
    /// The public side.
    pub guests: GuestSide,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Who may connect to the listener for guests.
    pub guest_port: Admission,
    /// Who may connect to the others.
    pub other_ports: Admission,
    /// What runs beside.
    pub tasks: Tasks,
    /// Randomness for nonces.
    pub rng: Mutex<StdRng>,
}

impl App {
    /// A random time below `limit`, so that what is done by the clock isn't done all at once.
    #[must_use]
    pub fn jitter(&self, limit: Duration) -> Duration {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        limit.mul_f64(f64::from(rng.next_u32()) / f64::from(u32::MAX))
    }

    /// 128 random bits in hex, for one hello.
    #[must_use]
    pub fn nonce(&self) -> String {
        // A generator can't be left half-done by a panic.
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64())
    }
}

/// Wakes the rest of the program after a commit.
pub struct Wakeup {
    /// The sockets.
    pub hub: Arc<Hub>,
    /// What has to be done at the homeserver.
    pub outbox: Outbox,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Wake for Wakeup {
    fn committed(&self, news: News) {
        // Whoever is woken finds the rest done.
        news.audit.iter().for_each(telemetry::log_audit);
        self.metrics.messages("host", news.from_hosts);
        self.metrics.messages("guest", news.from_guests);
        if !news.effects.is_empty() {
            self.outbox.push(news.effects, news.unstored);
        }
        if news.healed {
            self.hub.wake_all();
        }
        for portal in &news.portals {
            self.hub.wake(*portal);
        }
        for portal in &news.ended {
            self.hub.end(*portal);
        }
    }
}
