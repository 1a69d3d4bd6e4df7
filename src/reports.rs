//! What admins and hosts ask for: worked out here, beside the driver, over the rows as they are stored by then.
//! Everything else that is to be performed goes to the homeserver as it is.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::task::spawn_blocking;
use vestibule_bridge::effect::{Effect, Words};
use vestibule_bridge::id::{EffectId, RoomId};
use vestibule_bridge::input::Outcome;
use vestibule_bridge::report::{self, Outside, Report};
use vestibule_bridge::store::{Facts, Store};

use crate::app::App;
use crate::bot::{Bot, Unsaid, Voice};
use crate::doctor;
use crate::homeserver::Homeserver;
use crate::ops::problems;
use crate::outbox::{Later, Perform};
use crate::safety;

/// The pause before another try, when the program is not up yet or a row can't be read.
const PAUSE: Duration = Duration::from_secs(1);

/// Performs effects.
pub struct Performer {
    homeserver: Arc<Homeserver>,
    bot: Arc<Bot>,
    appservice_id: String,
    app: OnceLock<Weak<App>>,
}

impl Performer {
    /// One that can't report yet: the program isn't put together.
    #[must_use]
    pub fn new(homeserver: Arc<Homeserver>, bot: Arc<Bot>, appservice_id: &str) -> Self {
        Self {
            homeserver,
            bot,
            appservice_id: appservice_id.to_owned(),
            app: OnceLock::new(),
        }
    }

    /// From now on reports are about this program.
    pub fn report_about(&self, app: &Arc<App>) {
        // Set once, when the program is put together.
        let _set_before = self.app.set(Arc::downgrade(app));
    }

    async fn words(&self, room: &RoomId, report: &Report) -> Result<Option<Words>, Later> {
        let Some(app) = self.app.get().and_then(Weak::upgrade) else {
            return Err(later("the program is starting or stopping"));
        };
        if *report == Report::Doctor {
            let rows = app.store.begin().management_room(room);
            let is_admin = rows.map_err(|error| later(&error.to_string()))?;
            return Ok(match is_admin.filter(|room| room.admin) {
                Some(_) => Some(doctor::in_words(
                    &doctor::of_running(&app, &self.appservice_id).await,
                )),
                None => None,
            });
        }
        if let Report::Safety { portal } = report {
            return safety::in_words(&app, *portal, room)
                .await
                .map_err(|error| later(&error.to_string()));
        }
        let (room, report) = (room.clone(), report.clone());
        let worked_out = spawn_blocking(move || {
            let outside = outside(&app);
            let rows = app.store.begin();
            report::words(
                &report,
                &room,
                &rows,
                &app.policy,
                app.clock.now(),
                &outside,
            )
        });
        let words = worked_out
            .await
            .map_err(|_| later("it was not worked out"))?;
        words.map_err(|error| later(&error.to_string()))
    }
}

impl Perform for Performer {
    async fn perform(
        &self,
        id: EffectId,
        effect: &Effect,
        repeated: bool,
        words: Option<&Words>,
    ) -> Result<Outcome, Later> {
        let (Effect::Notice { room, .. }
        | Effect::Report { room, .. }
        | Effect::ShareLink { room, .. }
        | Effect::SendEncrypted { room, .. }) = effect
        else {
            return self.homeserver.perform(id, effect, repeated, words).await;
        };
        match self.bot.stored(id).map_err(|error| unsaid(&error))? {
            // Encrypted at an earlier try.
            Some(sealed @ Effect::SendEncrypted { .. }) => {
                return self.send(id, &sealed, repeated, words).await;
            }
            Some(_) => {}
            None => return Ok(Outcome::Done),
        }
        let voice = match self.bot.voice(room).await {
            Ok(voice) => voice,
            Err(error) => return given_up(&error),
        };
        let worked_out = match effect {
            Effect::Notice { text, .. } => Some(text.clone()),
            Effect::Report { report, .. } => match self.words(room, report).await? {
                Some(text) => Some(text),
                None => return Ok(Outcome::Done),
            },
            _ => words.cloned(),
        };
        match (voice, worked_out) {
            (Voice::Plain, Some(text)) if matches!(effect, Effect::Report { .. }) => {
                let room = room.clone();
                let notice = Effect::Notice { room, text };
                self.homeserver.perform(id, &notice, repeated, None).await
            }
            (Voice::Plain, _) => self.homeserver.perform(id, effect, repeated, words).await,
            (Voice::Encrypted, Some(text)) => match self.bot.seal(id, room, &text).await {
                Ok(sealed) => self.send(id, &sealed, repeated, words).await,
                Err(error) => given_up(&error),
            },
            (Voice::Encrypted, None) => Ok(Outcome::WordsLost),
        }
    }
}

impl Performer {
    /// Sends what is encrypted, and after a link its picture.
    async fn send(
        &self,
        id: EffectId,
        sealed: &Effect,
        repeated: bool,
        words: Option<&Words>,
    ) -> Result<Outcome, Later> {
        if let Err(error) = self.bot.before_sending().await {
            return given_up(&error);
        }
        let outcome = self.homeserver.perform(id, sealed, repeated, None).await?;
        if let (Effect::SendEncrypted { room, .. }, Some(link), Outcome::Sent(_)) =
            (sealed, words, &outcome)
        {
            let transaction = sealed.transaction(id);
            self.bot.show_link(room, &transaction, link).await;
        }
        Ok(outcome)
    }
}

/// What is never said because it can't be, or is tried again.
fn given_up(error: &Unsaid) -> Result<Outcome, Later> {
    if error.is_for_good() {
        let errcode = "UNSAID".to_owned();
        let error = error as &dyn std::error::Error;
        tracing::warn!(error, "the bot could not say something");
        return Ok(Outcome::Refused { errcode });
    }
    Err(unsaid(error))
}

fn unsaid(error: &dyn std::error::Error) -> Later {
    let cause = error.source().map(|cause| format!(": {cause}"));
    Later {
        after: None,
        limited: false,
        why: format!("{error}{}", cause.unwrap_or_default()),
    }
}

fn outside(app: &App) -> Outside {
    let problems = problems(app).into_iter().map(|problem| problem.words);
    Outside {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime: app.started.elapsed(),
        // The report itself is one of them.
        outbox: app.outbox.waiting().saturating_sub(1),
        ending: app.outbox.ending().map(|ending| ending.to_string()),
        browsers: usize::try_from(app.metrics.sockets.get()).unwrap_or_default(),
        problems: problems.collect(),
    }
}

fn later(why: &str) -> Later {
    Later {
        after: Some(PAUSE),
        limited: false,
        why: why.to_owned(),
    }
}
