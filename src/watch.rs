//! Watches the homeserver, and sets right what a gap may have left: whenever it was away, whenever a
//! transaction could not be stored, and at start. Beside that it reads every chat's inbox now and
//! then, also of those whose browser is away, so that nothing depends on one push or one visit.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, sleep};
use vestibule_bridge::id::PortalId;
use vestibule_bridge::input::Input;
use vestibule_bridge::store::{Facts, Read, Store};
use vestibule_bridge::time::Timestamp;

use crate::app::App;
use crate::drive::DriveError;
use crate::hub::Signal;

/// How often is looked whether the homeserver is there. A restart takes Synapse longer.
const LOOK: Duration = Duration::from_secs(2);
/// How many looks lie at most between two recoveries.
const LONGEST_REST: u32 = 63;
/// How long a homeserver that holds something back has to deliver it after a ping.
const QUIET: Duration = Duration::from_secs(1);
/// The pause between two inboxes of the round through all chats: with 100,000 of them the
/// homeserver still notices nothing.
const STEP: Duration = Duration::from_millis(200);
/// The pause after a round through all chats; up to a quarter is added.
const ROUND: Duration = Duration::from_secs(6 * 60 * 60);

/// How many chats whose deadline has passed are looked at in one go.
const ENDS: usize = 64;

/// What the watch is told from outside.
#[derive(Debug, Default)]
pub struct Watch {
    gap: Notify,
    round: Notify,
}

impl Watch {
    /// Something was lost or refused: everything that could be missing is to be looked for.
    pub fn nudge(&self) {
        self.gap.notify_one();
    }
}

/// Watches until the program ends.
pub async fn watch_homeserver(app: Arc<App>, appservice_id: String) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut state = State {
        gap: true,
        named: false,
        away: false,
        rest: 0,
        rested: 0,
    };
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = app.watch.gap.notified() => state.gap = true,
        }
        state.look(&app, &appservice_id).await;
    }
}

struct State {
    /// Whether something may be missing.
    gap: bool,
    /// Whether the bot has its name.
    named: bool,
    /// Whether the homeserver's absence was told.
    away: bool,
    /// How many more looks to wait before looking for what is missing once more, and how many the
    /// last time. A call that fails again and again must not cause ever more calls.
    rest: u32,
    rested: u32,
}

impl State {
    async fn look(&mut self, app: &Arc<App>, appservice_id: &str) {
        if let Err(error) = app.homeserver.is_up().await {
            self.gap = true;
            if !std::mem::replace(&mut self.away, true) {
                let problem = app.homeserver.problem().unwrap_or_default();
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "waiting for the homeserver. {problem}"
                );
            }
            return;
        }
        self.gap |= app.homeserver.take_failure();
        if std::mem::take(&mut self.away) {
            tracing::info!("the homeserver is back");
            (self.rest, self.rested) = (0, 0);
        }
        if !self.named {
            app.homeserver.name_bot().await;
            app.tasks.spawn(crate::reaper::run(Arc::clone(app)));
            self.named = true;
        }
        // While the store can't be written, nothing that is fetched could be kept.
        if !self.gap {
            (self.rest, self.rested) = (0, 0);
        } else if self.rest > 0 {
            self.rest -= 1;
        } else if app.driver.trouble().is_none() {
            self.gap = !recover(app, appservice_id).await;
            self.rested = (2 * self.rested + 1).min(LONGEST_REST);
            self.rest = self.rested;
        }
    }
}

/// Looks for what may be missing; whether all could be looked at.
async fn recover(app: &Arc<App>, appservice_id: &str) -> bool {
    // First the past, then what the homeserver holds back: so the order stays.
    let bot = app.bot.recover().await.inspect_err(|error| {
        let error = error as &dyn std::error::Error;
        tracing::warn!(
            error,
            "the bot's device could not be put up, or its inbox not be read"
        );
    });
    let seated = app.hub.portals();
    let unread = app.catchup.read_each(seated.iter().copied()).await;
    let pushed = app.metrics.transactions.get();
    match app.homeserver.ping(appservice_id, &app.nonce()).await {
        Ok(()) => tracing::info!("the homeserver and the bridge reach each other"),
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "the homeserver does not reach the bridge: is its registration file current, and appservice.address right?"
        ),
    }
    sleep(QUIET).await;
    if app.metrics.transactions.get() == pushed
        && let Err(error) = app.homeserver.wake(&app.nonce()).await
    {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the homeserver could not be woken: it may hold messages back until somebody writes"
        );
    }
    // News of devices is lost as room keys are, and so is that somebody stopped to type.
    for portal in seated {
        app.hub.signal(portal, Signal::KeysChanged);
        app.hub.signal(portal, Signal::Typing(false));
    }
    app.lists.nudge();
    app.watch.round.notify_one();
    unread.is_empty() && bot.is_ok()
}

/// Goes through all chats, again and again, until the program ends.
pub async fn rounds(app: Arc<App>) {
    loop {
        // One that is asked for during a round begins when that is over.
        tokio::select! {
            () = app.watch.round.notified() => {}
            () = sleep(ROUND + app.jitter(ROUND / 4)) => {}
        }
        if let Err(error) = round(&app).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the open chats can't be listed"
            );
        }
    }
}

async fn round(app: &Arc<App>) -> Read<()> {
    // The index of deadlines holds exactly the portals that are not over. With very many of them
    // this takes a while, and at start the first messages must not wait for it.
    let store = Arc::clone(&app.store);
    let listed = spawn_blocking(move || store.begin().due(Timestamp(u64::MAX), usize::MAX)).await;
    // It fails only when the program stops.
    let portals = listed.unwrap_or(Ok(Vec::new()))?;
    for portal in portals {
        while app.homeserver.problem().is_some() {
            sleep(LOOK).await;
        }
        app.catchup.read_each([portal]).await;
        inspect(app, portal).await;
        sleep(STEP).await;
    }
    Ok(())
}

/// Looks whether a chat's room still is as it must be: that it is changed may have been lost too.
async fn inspect(app: &App, portal: PortalId) {
    let stored = app.store.begin().portal(portal);
    // One that doesn't read is found by everybody else who reads it.
    let open = stored.ok().flatten().and_then(|portal| {
        let room = portal.room().cloned();
        room.filter(|_| portal.is_open()).map(|room| (portal, room))
    });
    let Some((portal, room)) = open else {
        return;
    };
    match app.homeserver.inspect(&portal, &room).await {
        // What can't be stored now is found again by the next round.
        Ok(Some(input)) => {
            let _later = app.driver.submit(input).await;
        }
        Ok(None) => {}
        Err(error) => tracing::debug!(
            portal = %portal.id,
            error = &error as &dyn std::error::Error,
            "a room could not be looked at"
        ),
    }
}

/// Ends the chats whose deadline has passed. Their inboxes are read before, because a message may
/// wait there that moves the deadline; where that can't be done now, the chat doesn't end yet.
pub async fn end_what_is_due(app: &Arc<App>) -> Result<(), DriveError> {
    if app.store.trouble().is_some() {
        // Only the driver gets it working again, and who reads first from a store that is closed
        // never comes to the driver. So it is given a round for nothing.
        app.driver.submit_all(Vec::new(), None).await?;
    }
    let due = app.store.begin().due(app.clock.now(), ENDS);
    let unread = app
        .catchup
        .read_each(due.map_err(|error| DriveError::Store(Arc::new(error)))?);
    let unread = unread.await;
    app.driver.submit(Input::Tick { unread }).await.map(|_| ())
}
