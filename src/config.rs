//! The configuration: one YAML file, with any value from the environment as
//! `VESTIBULE__SECTION__KEY`, and secrets also from files (`…_file`).

mod guests;
mod organisation;
mod permissions;
mod secret;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Environment, File, FileFormat};
use serde::Deserialize;
use vestibule_bridge::id::UserId;
use vestibule_bridge::policy::{Permissions, Policy, Times};

pub use guests::Guests;
pub use organisation::Organisation;
pub use permissions::PermissionsSection;
pub use secret::Secret;

/// Why the configuration can't be used. `Display` is written for the person who edits it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It can't be read or lacks something.
    #[error("the configuration {} can't be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<config::ConfigError>,
    },
    /// A secret's file can't be read.
    #[error("the secret file {} can't be read: {source}", path.display())]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: std::io::Error,
    },
    /// A value doesn't make sense.
    #[error("{key}: {problem}")]
    Invalid {
        /// Its name, `section.key`.
        key: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
}

/// The whole configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The homeserver beside which the bridge runs.
    pub homeserver: Homeserver,
    /// How the homeserver reaches the bridge.
    pub appservice: Appservice,
    /// How guests reach the bridge, and the rules for them.
    pub guests: Guests,
    /// Where health and metrics are served.
    #[serde(default)]
    pub ops: Ops,
    /// Where the rows are kept.
    pub store: StoreSection,
    /// Who may do what.
    #[serde(default)]
    pub permissions: PermissionsSection,
    /// What admins are given.
    #[serde(default)]
    pub admin: Admin,
    /// What is logged, and how.
    #[serde(default)]
    pub telemetry: Telemetry,
}

/// Section `admin`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// How many days the audit trail is kept.
    pub audit_days: f64,
}

impl Default for Admin {
    fn default() -> Self {
        Self { audit_days: 90.0 }
    }
}

/// Section `homeserver`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Homeserver {
    /// The base URL of its client-server API.
    pub address: String,
    /// Its server name, the part after the colon in its users' ids.
    pub domain: String,
}

/// Section `appservice`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appservice {
    /// The registration's id.
    #[serde(default = "default_id")]
    pub id: String,
    /// Where the bridge listens for the homeserver; never to be reached from outside.
    pub listen: SocketAddr,
    /// The URL under which the homeserver reaches it; `http://<listen>` unless given.
    pub address: Option<String>,
    as_token: Option<Secret>,
    as_token_file: Option<PathBuf>,
    hs_token: Option<Secret>,
    hs_token_file: Option<PathBuf>,
    /// The bot's localpart.
    #[serde(default = "default_bot")]
    pub bot_localpart: String,
}

/// Section `ops`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ops {
    /// Where `/live`, `/ready` and `/metrics` are served; nowhere unless given.
    pub listen: Option<SocketAddr>,
}

/// Section `store`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    /// The folder of the database.
    pub path: PathBuf,
    /// After how many minutes at most the bytes of what was deleted are gone from its files.
    #[serde(default = "default_sweep")]
    pub sweep_minutes: f64,
}

impl StoreSection {
    /// How often the files are swept.
    pub fn sweep(&self) -> Result<Duration, ConfigError> {
        let seconds = self.sweep_minutes * 60.0;
        if (1.0..=7.0 * 24.0 * 3600.0).contains(&seconds) {
            Ok(Duration::from_secs_f64(seconds))
        } else {
            invalid(
                "store.sweep_minutes",
                "must be from a second (0.017) to a week (10080)",
            )
        }
    }
}

/// Section `telemetry`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// A filter as `tracing-subscriber` reads it, for example `info` or `vestibule=debug`.
    pub filter: String,
    /// Lines for people or for programs.
    pub format: LogFormat,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn default_id() -> String {
    "vestibule".to_owned()
}
fn default_sweep() -> f64 {
    60.0
}
fn default_bot() -> String {
    "guestbot".to_owned()
}
impl Config {
    /// Reads the file, lays the environment over it, and checks the whole.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable {
            path: path.into(),
            source: Box::new(source),
        };
        let loaded = config::Config::builder()
            .add_source(File::from(path).format(FileFormat::Yaml))
            .add_source(
                Environment::with_prefix("VESTIBULE")
                    .prefix_separator("__")
                    .separator("__")
                    .try_parsing(true),
            )
            .build()
            .map_err(unreadable)?;
        let config: Self = loaded.try_deserialize().map_err(unreadable)?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if !is_http_url(&self.homeserver.address) {
            return invalid(
                "homeserver.address",
                "must be a URL such as http://127.0.0.1:8008",
            );
        }
        if self.homeserver.domain.is_empty() || self.homeserver.domain.contains(['/', '@', ' ']) {
            return invalid(
                "homeserver.domain",
                "must be a server name such as example.org",
            );
        }
        let localpart = &self.appservice.bot_localpart;
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._=-/+".contains(c);
        if localpart.is_empty() || !localpart.chars().all(allowed) {
            return invalid(
                "appservice.bot_localpart",
                "may hold a to z, 0 to 9 and ._=-/+",
            );
        }
        if localpart.starts_with(vestibule_bridge::ghost::LOCALPART_PREFIX) {
            return invalid(
                "appservice.bot_localpart",
                "must not begin like the ghosts of guests",
            );
        }
        self.tokens()?;
        self.store.sweep()?;
        self.keep_audit()?;
        self.permissions.validate()?;
        self.guests.validate()
    }

    /// The two tokens, `as_token` first.
    pub fn tokens(&self) -> Result<(Secret, Secret), ConfigError> {
        let section = &self.appservice;
        let as_token = Secret::resolve(
            "appservice.as_token",
            section.as_token.as_ref(),
            section.as_token_file.as_deref(),
        )?;
        let hs_token = Secret::resolve(
            "appservice.hs_token",
            section.hs_token.as_ref(),
            section.hs_token_file.as_deref(),
        )?;
        Ok((as_token, hs_token))
    }

    /// The URL under which the homeserver reaches the bridge.
    #[must_use]
    pub fn appservice_url(&self) -> String {
        let address = self.appservice.address.clone();
        address.unwrap_or_else(|| format!("http://{}", self.appservice.listen))
    }

    /// The bot's user id.
    #[must_use]
    pub fn bot(&self) -> UserId {
        UserId::new(format!(
            "@{}:{}",
            self.appservice.bot_localpart, self.homeserver.domain
        ))
    }

    fn keep_audit(&self) -> Result<Duration, ConfigError> {
        guests::days("admin.audit_days", self.admin.audit_days)
    }

    /// The rules, as the domain knows them.
    pub fn policy(&self) -> Result<Policy, ConfigError> {
        let guests = &self.guests;
        Ok(Policy {
            bot: self.bot(),
            server_name: self.homeserver.domain.clone(),
            public_url: guests.public_url.trim_end_matches('/').to_owned(),
            link_lifetime: guests.link_lifetime()?,
            idle_limit: guests.idle_limit()?,
            open_links: guests.open_links,
            open_chats: guests.open_chats,
            message_bytes: guests.message_bytes,
            guest_rate: guests.rate(),
            permissions: Permissions(self.permissions.roles.clone()),
            times: Times {
                keep_audit: self.keep_audit()?,
                ..guests.times()?
            },
            limits: guests.limits(),
            moments: guests.moments(),
        })
    }
}

fn is_http_url(text: &str) -> bool {
    let uri: Result<http::Uri, _> = text.parse();
    uri.is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

/// A refused value, with the name of its key.
fn invalid<T>(key: &'static str, problem: &str) -> Result<T, ConfigError> {
    Err(ConfigError::Invalid {
        key,
        problem: problem.to_owned(),
    })
}

#[cfg(test)]
mod tests;
