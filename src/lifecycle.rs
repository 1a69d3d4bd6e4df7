//! From start to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use rand::Rng as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use vestibule_appservice::registration::Registration;

use crate::app::{App, Wakeup};
use crate::bot::Bot;
use crate::catchup::CatchUp;
use crate::clock::{Clock, monotonic, seeded_rng};
use crate::config::{Config, ConfigError};
use crate::deny::Lists;
use crate::doctor::Probe;
use crate::drive::Driver;
use crate::homeserver::{Homeserver, SetupError};
use crate::http::GuestSide;
use crate::http::asked::{self, Asked};
use crate::http::assets::{Assets, ORGANISATION};
use crate::http::crowd::Crowd;
use crate::http::visitor::{Peer, Proxies};
use crate::hub::Hub;
use crate::inbound::Inbound;
use crate::limits;
use crate::listener::unread::thrown_away;
use crate::listener::{Admission, Listener};
use crate::moments::Moments;
use crate::outbox::Outbox;
use crate::presence::Presence;
use crate::reports::Performer;
use crate::store::{OpenError, RocksStore};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::watch::{Watch, end_what_is_due, rounds, watch_homeserver};

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_secs(5);
/// How long open connections may take to end after the signal to stop.
const GRACE: Duration = Duration::from_secs(8);
/// How long may take what is only a matter of moments after that.
const MOMENT: Duration = Duration::from_secs(2);
/// How often is looked whether the sockets are gone.
const BEAT: Duration = Duration::from_millis(10);
/// After how long a guest's connection is closed on which nothing comes: an open socket is heard of
/// every 25 seconds, and proxies in front close unused connections sooner.
const SILENCE: Duration = Duration::from_secs(180);
/// How many connections the homeserver and the operator may have.
const OTHERS: usize = 128;

/// Why the bridge could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// What waits in the store.
    #[error("what the last run left to do can't be read")]
    Outbox(#[from] vestibule_bridge::store::StoreError),
    /// The client for the homeserver.
    #[error(transparent)]
    Homeserver(#[from] SetupError),
    /// The public URL.
    #[error("guests.public_url can't be used")]
    PublicUrl(#[from] http::Error),
    /// A port.
    #[error("{key}: can't listen on {address}: {source}")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The operating system.
    #[error("the operating system refused {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A running bridge.
pub struct Running {
    /// Its parts.
    pub app: Arc<App>,
    /// Where guests reach it.
    pub guests: SocketAddr,
    /// Where the homeserver reaches it.
    pub appservice: SocketAddr,
    /// Where it tells of itself, if it does.
    pub ops: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Opens the store, binds the listeners, and starts everything. The homeserver may be down: then
/// it is waited for.
pub async fn start(config: &Config, clock: Arc<dyn Clock>) -> Result<Running, StartError> {
    let app = build(config, clock)?;
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();

    let (_, hs_token) = config.tokens()?;
    let homeserver_side =
        vestibule_appservice::http::router(hs_token.reveal(), Arc::new(Inbound(Arc::clone(&app))));
    let listener = bind("appservice.listen", config.appservice.listen).await?;
    let listener = Listener::new(listener, app.other_ports.clone());
    let appservice = serve(&mut tasks, listener, homeserver_side, stopping.clone())?;
    let listener = bind("guests.listen", config.guests.listen).await?;
    let guests = serve(
        &mut tasks,
        Listener::new(listener, app.guest_port.clone()),
        crate::http::router(&app),
        stopping.clone(),
    )?;
    let ops = match config.ops.listen {
        Some(address) => {
            let listener = bind("ops.listen", address).await?;
            Some(serve(
                &mut tasks,
                Listener::new(listener, app.other_ports.clone()),
                crate::ops::router(Arc::clone(&app)),
                stopping.clone(),
            )?)
        }
        None => None,
    };
    tasks.spawn(until_stopped(stopping.clone(), tick(Arc::clone(&app))));
    tasks.spawn(until_stopped(
        stopping.clone(),
        watch_homeserver(Arc::clone(&app), config.appservice.id.clone()),
    ));
    tasks.spawn(until_stopped(
        stopping.clone(),
        crate::ops::watch(Arc::clone(&app)),
    ));
    tasks.spawn(until_stopped(
        stopping.clone(),
        crate::reaper::run(Arc::clone(&app)),
    ));
    tasks.spawn(until_stopped(
        stopping.clone(),
        crate::sweep::run(Arc::clone(&app), config.store.sweep()?),
    ));
    tasks.spawn(until_stopped(
        stopping.clone(),
        crate::deny::follow(Arc::clone(&app), config.permissions.deny_lists.clone()),
    ));
    tasks.spawn(until_stopped(
        stopping.clone(),
        Arc::clone(&app.bot).rounds(),
    ));
    tasks.spawn(until_stopped(stopping, rounds(Arc::clone(&app))));
    tracing::info!(%guests, %appservice, ops = ?ops, "the bridge is running");
    Ok(Running {
        app,
        guests,
        appservice,
        ops,
        stop,
        tasks,
    })
}

fn build(config: &Config, clock: Arc<dyn Clock>) -> Result<Arc<App>, StartError> {
    let system = |what| {
        move |source: std::io::Error| StartError::System {
            what,
            source: source.into(),
        }
    };
    let random = |source: rand::rngs::SysError| StartError::System {
        what: "randomness",
        source: Box::new(source),
    };
    let policy = Arc::new(config.policy()?);
    let metrics = Arc::new(Metrics::default());
    let store = Arc::new(RocksStore::open(&config.store.path)?);
    let hub = Arc::new(Hub::default());
    let (as_token, _) = config.tokens()?;
    let mut rng = seeded_rng().map_err(random)?;
    let mut homeserver = Homeserver::new(
        &config.homeserver.address,
        as_token.reveal(),
        &policy,
        Arc::clone(&metrics),
        rng.next_u64(),
    )?;
    if config.guests.qr_code {
        homeserver = homeserver.drawing_links(&policy.public_url);
    }
    let homeserver = Arc::new(homeserver);
    let (outbox, unstarted) = Outbox::new();
    let wakeup = Wakeup {
        hub: Arc::clone(&hub),
        outbox: outbox.clone(),
        metrics: Arc::clone(&metrics),
    };
    let driver = Driver::start(
        Arc::clone(&store),
        Arc::clone(&policy),
        Arc::clone(&clock),
        rng,
        store.last_effect()?,
        wakeup,
    )
    .map_err(system("a thread"))?;
    let tasks = Tasks::default();
    let bot = Arc::new(Bot::new(
        Arc::clone(&homeserver),
        driver.clone(),
        Arc::clone(&store),
        Arc::clone(&policy),
        Arc::clone(&clock),
        tasks.clone(),
    ));
    let performer = Arc::new(Performer::new(
        Arc::clone(&homeserver),
        Arc::clone(&bot),
        &config.appservice.id,
    ));
    unstarted.start(
        Arc::clone(&store),
        driver.clone(),
        Arc::clone(&performer),
        &policy.server_name,
    )?;
    let catchup = Arc::new(CatchUp::new(
        Arc::clone(&homeserver),
        driver.clone(),
        Arc::clone(&store),
        Arc::clone(&hub),
        tasks.clone(),
        policy.moments.receipts,
    ));
    let moments = Moments::new(
        policy.moments,
        Arc::clone(&homeserver),
        Arc::clone(&store),
        tasks.clone(),
    );
    let presence = Presence::new(
        policy.moments.presence,
        Arc::clone(&homeserver),
        Arc::clone(&store),
        tasks.clone(),
    );
    let organisation = config.guests.organisation.json();
    let assets = Assets::load().and_then(|page| page.with(ORGANISATION, organisation));
    let assets = assets.map_err(system("to unpack the page"))?;
    let app = Arc::new(App {
        guests: GuestSide::new(&policy.public_url)?,
        assets,
        asked: Asked::new(asked::QUESTIONS),
        greetings: Asked::new(asked::GREETINGS),
        crowd: Arc::new(Crowd::new(config.guests.allowance())),
        proxies: Proxies::new(config.guests.proxies()?, config.guests.forwarded_header),
        rng: Mutex::new(seeded_rng().map_err(random)?),
        guest_port: Admission::new(limits::guest_connections(), tasks.stopping())
            .silent_for(SILENCE),
        other_ports: Admission::new(OTHERS, tasks.stopping()),
        tasks,
        policy,
        store,
        driver,
        outbox,
        homeserver,
        bot,
        catchup,
        moments,
        presence,
        watch: Watch::default(),
        lists: Lists::default(),
        probe: Probe::default(),
        hub,
        clock,
        started: monotonic(),
        metrics,
    });
    performer.report_about(&app);
    Ok(app)
}

async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen {
            key,
            address,
            source,
        })
}

fn serve(
    tasks: &mut JoinSet<()>,
    listener: Listener,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) -> Result<SocketAddr, StartError> {
    let address =
        axum::serve::Listener::local_addr(&listener).map_err(|source| StartError::System {
            what: "an address",
            source: source.into(),
        })?;
    tasks.spawn(async move {
        let stopped = async move {
            let _gone = stopping.wait_for(|stop| *stop).await;
        };
        let router = router.layer(from_fn(thrown_away));
        let router = router.into_make_service_with_connect_info::<Peer>();
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
            tracing::error!(error = &error as &dyn std::error::Error, %address, "a listener failed");
        }
    });
    Ok(address)
}

async fn until_stopped(mut stopping: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        _ = stopping.wait_for(|stop| *stop) => {}
        () = work => {}
    }
}

async fn tick(app: Arc<App>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // That the store fails is said when it begins (`ops/problem.rs`), not with each beat.
        if let Err(error) = end_what_is_due(&app).await
            && app.store.trouble().is_none()
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "deadlines could not be looked at"
            );
        }
    }
}

impl Running {
    /// Ends everything: sockets are told, requests and calls in flight are ended well or cut off,
    /// what the driver was given is stored. When this returns the store is closed.
    pub async fn stop(self) {
        tracing::info!("stopping");
        let Self {
            app,
            stop,
            mut tasks,
            ..
        } = self;
        app.hub.stop();
        let _nobody_listens = stop.send(true);
        let all_ended = async {
            while tasks.join_next().await.is_some() {}
            // A connection that became a socket is out of its listener's care.
            while app.metrics.sockets.get() > 0 {
                tokio::time::sleep(BEAT).await;
            }
        };
        let (ended, ()) = tokio::join!(timeout(GRACE, all_ended), app.outbox.stop(GRACE));
        // This also cuts off the connections that are left.
        app.tasks.stop().await;
        if ended.is_err() {
            tracing::warn!("some connections did not end in time");
            let all_cut = async { while tasks.join_next().await.is_some() {} };
            let _after_all = timeout(MOMENT, all_cut).await;
        }
        // Last, because everything else may still have something to store.
        let stored = timeout(GRACE, app.driver.stop()).await.is_ok();
        let store = Arc::downgrade(&app.store);
        drop((app, tasks));
        let closed = async {
            while store.strong_count() > 0 {
                tokio::time::sleep(BEAT).await;
            }
        };
        if timeout(MOMENT, closed).await.is_err() || !stored {
            tracing::warn!("the store is still in use, and is closed with the process");
        }
        tracing::info!("stopped");
    }
}

/// What `vestibule registration` writes.
pub fn registration(config: &Config) -> Result<Registration, ConfigError> {
    let (as_token, hs_token) = config.tokens()?;
    Ok(Registration::new(
        &config.appservice.id,
        &config.appservice_url(),
        as_token.reveal(),
        hs_token.reveal(),
        &config.appservice.bot_localpart,
        &config.homeserver.domain,
        vestibule_bridge::ghost::LOCALPART_PREFIX,
    ))
}

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{} can't be written: {source}", path.display())]
pub struct WriteError {
    path: PathBuf,
    source: std::io::Error,
}

/// Writes a file that holds secrets: readable for its owner and group alone.
pub fn write_secret_file(path: &std::path::Path, text: &str) -> Result<(), WriteError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o640);
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| WriteError {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
