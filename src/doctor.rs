//! What is wrong with the set-up: looked at from outside by `vestibule doctor`, and from inside by the
//! command of the admin room. Each finding says what is so, and what to do when it should be
//! otherwise.

mod checks;
mod probe;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use vestibule_appservice::intent;
use vestibule_bridge::effect::Words;
use vestibule_bridge::id::UserId;

use crate::app::App;
use crate::bot::Standing;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::homeserver::SetupError;
use crate::http::assets::Assets;
use crate::ops::problems;

use checks::Patient;
pub use probe::Probe;

/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The client for the homeserver.
    #[error(transparent)]
    Homeserver(#[from] SetupError),
    /// The page can't be unpacked.
    #[error("the page can't be unpacked")]
    Page(#[source] std::io::Error),
    /// No randomness.
    #[error("the operating system gives no randomness")]
    Random(#[from] rand::rngs::SysError),
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub grade: Grade,
    /// In words that say what to do.
    pub words: String,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Well,
    /// It works, but something about it is to be known; or it could not be seen.
    Note,
    /// It doesn't work.
    Wrong,
}

impl Finding {
    fn new(grade: Grade, words: impl Into<String>) -> Self {
        Self {
            grade,
            words: words.into(),
        }
    }
}

/// Looks at the bridge that runs.
pub async fn of_running(app: &App, appservice_id: &str) -> Vec<Finding> {
    let marker = app.nonce();
    let patient = Patient {
        client: app.homeserver.client(),
        address: app.homeserver.address(),
        bot: &app.policy.bot,
        server_name: &app.policy.server_name,
        appservice_id,
        public_url: &app.policy.public_url,
        page: app.assets.entry().map(|page| &page[..]),
        clock: &*app.clock,
        marker: &marker,
        probe: Some(&app.probe),
    };
    let mut findings = patient.findings().await;
    findings.push(match app.bot.standing() {
        Standing::Ready => Finding::new(
            Grade::Well,
            "The bot's own device stands: it reads and writes in encrypted rooms.",
        ),
        Standing::NotYet => Finding::new(
            Grade::Wrong,
            "The bot's own device does not stand at the homeserver, so the bot can't answer in encrypted rooms. The log \
             says why; it is tried again by itself.",
        ),
    });
    // What concerns homeserver and page was just looked at more closely.
    let others = problems(app)
        .into_iter()
        .filter(|problem| !matches!(problem.kind, "homeserver" | "page"));
    findings.extend(others.map(|problem| Finding::new(Grade::Wrong, problem.words)));
    findings
}

/// Looks at the set-up of this configuration. When no bridge runs, the homeserver is listened to for a
/// moment in its place, and everything that it brings is refused, so that it brings it again.
pub async fn of_config(config: &Config, clock: &dyn Clock) -> Result<Vec<Finding>, DoctorError> {
    let (as_token, hs_token) = config.tokens()?;
    let client = intent::Homeserver::new(&config.homeserver.address, as_token.reveal(), TIMEOUT)?;
    let assets = Assets::load().map_err(DoctorError::Page)?;
    let probe = Arc::new(Probe::default());
    let listener = TcpListener::bind(config.appservice.listen).await.ok();
    let listens = listener.is_some();
    let served = listener.map(|listener| {
        let router = vestibule_appservice::http::router(hs_token.reveal(), probe.clone());
        tokio::spawn(async move { axum::serve(listener, router).await })
    });
    let marker = format!(
        "{:016x}",
        rand::Rng::next_u64(&mut crate::clock::seeded_rng()?)
    );
    let bot: UserId = config.bot();
    let patient = Patient {
        client: &client,
        address: &config.homeserver.address,
        bot: &bot,
        server_name: &config.homeserver.domain,
        appservice_id: &config.appservice.id,
        public_url: config.guests.public_url.trim_end_matches('/'),
        page: assets.entry().map(|page| &page[..]),
        clock,
        marker: &marker,
        probe: listens.then_some(&*probe),
    };
    let findings = patient.findings().await;
    if let Some(served) = served {
        served.abort();
    }
    Ok(findings)
}

/// Whether nothing is wrong.
#[must_use]
pub fn is_well(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.grade != Grade::Wrong)
}

/// The findings for people, what is wrong first.
#[must_use]
pub fn in_words(findings: &[Finding]) -> Words {
    let of = |grade| {
        findings
            .iter()
            .filter(move |finding| finding.grade == grade)
    };
    let wrong = of(Grade::Wrong).count();
    let first = match wrong {
        0 => "Nothing is wrong as far as I can see.".to_owned(),
        1 => "One thing is wrong:".to_owned(),
        wrong => format!("{wrong} things are wrong:"),
    };
    let lines = [
        ("WRONG", Grade::Wrong),
        ("note", Grade::Note),
        ("ok", Grade::Well),
    ];
    let lines = lines.into_iter().flat_map(|(mark, grade)| {
        of(grade).map(move |finding| format!("{mark}: {}", finding.words))
    });
    let text: Vec<String> = std::iter::once(first).chain(lines).collect();
    Words::new(text.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_first() {
        let well = Finding::new(Grade::Well, "The token is known.");
        let note = Finding::new(Grade::Note, "It is Tuesday.");
        let wrong = Finding::new(Grade::Wrong, "The clock is late.");
        let said = |findings: &[Finding]| in_words(findings).plain;
        assert_eq!(
            said(&[well.clone(), wrong.clone(), note.clone()]),
            "One thing is wrong:\nWRONG: The clock is late.\nnote: It is Tuesday.\nok: The token is known."
        );
        assert!(said(&[wrong.clone(), wrong.clone()]).starts_with("2 things are wrong:"));
        assert!(said(&[well.clone(), note.clone()]).starts_with("Nothing is wrong"));
        assert!(is_well(&[well, note]));
        assert!(!is_well(&[wrong]));
    }
}
