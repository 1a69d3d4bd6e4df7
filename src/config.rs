//! The configuration: one YAML file, with any value from the environment as
//! `VESTIBULE__SECTION__KEY`, and secrets also from files (`…_file`).

mod secret;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Environment, File, FileFormat};
use serde::Deserialize;
use vestibule_bridge::id::UserId;
use vestibule_bridge::policy::{GuestRate, Permissions, Policy, Role};

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
    /// Who may do what: `"*"`, a server name or a user id to `none`, `host` or `admin`.
    #[serde(default)]
    pub permissions: BTreeMap<String, Role>,
    /// What is logged, and how.
    #[serde(default)]
    pub telemetry: Telemetry,
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

/// Section `guests`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guests {
    /// Where the bridge listens for guests, usually behind a proxy that adds TLS.
    pub listen: SocketAddr,
    /// The URL under which guests reach it; links are `<public_url>/#<token>`.
    pub public_url: String,
    /// How many days an unused link lives.
    #[serde(default = "default_link_days")]
    pub link_days: f64,
    /// After how many days without a message a chat ends.
    #[serde(default = "default_idle_days")]
    pub idle_days: f64,
    /// How many unused links a host may have.
    #[serde(default = "default_open_links")]
    pub open_links: usize,
    /// How many chats a host may have at once.
    #[serde(default = "default_open_chats")]
    pub open_chats: usize,
    /// The longest encrypted message, in bytes.
    #[serde(default = "default_message_bytes")]
    pub message_bytes: usize,
    /// How many messages a guest may send at once.
    #[serde(default = "default_burst")]
    pub burst: u32,
    /// How many messages a guest may send per second after that.
    #[serde(default = "default_rate")]
    pub messages_per_second: f64,
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
fn default_bot() -> String {
    "guestbot".to_owned()
}
fn default_link_days() -> f64 {
    7.0
}
fn default_idle_days() -> f64 {
    10.0
}
fn default_open_links() -> usize {
    20
}
fn default_open_chats() -> usize {
    50
}
fn default_message_bytes() -> usize {
    16 * 1024
}
fn default_burst() -> u32 {
    10
}
fn default_rate() -> f64 {
    1.0
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
        let invalid = |key, problem: &str| {
            Err(ConfigError::Invalid {
                key,
                problem: problem.to_owned(),
            })
        };
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
        if !is_http_url(&self.guests.public_url) || self.guests.public_url.contains(['#', '?']) {
            return invalid(
                "guests.public_url",
                "must be a URL such as https://chat.example.org, without # and ?",
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
        days("guests.link_days", self.guests.link_days)?;
        days("guests.idle_days", self.guests.idle_days)?;
        if self.guests.burst == 0 {
            return invalid("guests.burst", "must be at least 1");
        }
        if !(self.guests.messages_per_second > 0.0 && self.guests.messages_per_second <= 1000.0) {
            return invalid(
                "guests.messages_per_second",
                "must be above 0 and at most 1000",
            );
        }
        if !(1024..=60_000).contains(&self.guests.message_bytes) {
            return invalid("guests.message_bytes", "must be from 1024 to 60000");
        }
        Ok(())
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

    /// The rules, as the domain knows them.
    pub fn policy(&self) -> Result<Policy, ConfigError> {
        Ok(Policy {
            bot: self.bot(),
            server_name: self.homeserver.domain.clone(),
            public_url: self.guests.public_url.trim_end_matches('/').to_owned(),
            link_lifetime: days("guests.link_days", self.guests.link_days)?,
            idle_limit: days("guests.idle_days", self.guests.idle_days)?,
            open_links: self.guests.open_links,
            open_chats: self.guests.open_chats,
            message_bytes: self.guests.message_bytes,
            guest_rate: GuestRate {
                burst: self.guests.burst,
                interval: Duration::from_secs_f64(1.0 / self.guests.messages_per_second),
            },
            permissions: Permissions(self.permissions.clone()),
        })
    }
}

fn is_http_url(text: &str) -> bool {
    let uri: Result<http::Uri, _> = text.parse();
    uri.is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

fn days(key: &'static str, days: f64) -> Result<Duration, ConfigError> {
    const SECONDS: f64 = 86_400.0;
    if days > 0.0 && days <= 3650.0 {
        Ok(Duration::from_secs_f64(days * SECONDS))
    } else {
        Err(ConfigError::Invalid {
            key,
            problem: "must be above 0 and at most 3650 days".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests;
