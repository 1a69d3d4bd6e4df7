//! The registration file, by which a homeserver knows the bridge. Source: application-service API,
//! "Registration", with the fields of MSC2409 (ephemeral and to-device events), MSC3202 (key counts
//! and device lists) and MSC4190 (devices without logging in).

mod mismatch;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::auth::Token;

pub use mismatch::Mismatch;

/// What stands above the written file: what else the homeserver has to be told.
const HEADER: &str = "\
# Written by `vestibule registration`. It holds two secrets: only the homeserver may read it.
# Synapse wants it listed in homeserver.yaml, and two features that are off by default:
#   app_service_config_files: [/path/to/this/file]
#   experimental_features:
#     msc2409_to_device_messages_enabled: true
#     msc3202_transaction_extensions: true
";

/// A registration file that can't be used. The parser's own words are left out: they would quote
/// the file, tokens included.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// It can't be read from the disk.
    #[error("the registration {} can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no registration.
    #[error("{} is no registration file{}", path.display(), line.map(|line| format!(": line {line} doesn't fit")).unwrap_or_default())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where, counted from 1.
        line: Option<usize>,
    },
    /// It can't be written as YAML.
    #[error("the registration can't be written as YAML")]
    Unwritable,
}

/// A registration. What is missing from a file that was read is empty or false here, and so comes
/// out as a [`Mismatch`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Registration {
    id: String,
    url: Option<String>,
    as_token: Token,
    hs_token: Token,
    sender_localpart: String,
    rate_limited: Option<bool>,
    namespaces: Namespaces,
    receive_ephemeral: bool,
    /// The name of `receive_ephemeral` in older Synapse.
    #[serde(rename = "de.sorunome.msc2409.push_ephemeral")]
    push_ephemeral: bool,
    #[serde(rename = "org.matrix.msc3202")]
    key_counts: bool,
    #[serde(rename = "io.element.msc4190")]
    device_management: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Namespaces {
    users: Vec<Namespace>,
    aliases: Vec<Namespace>,
    rooms: Vec<Namespace>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Namespace {
    exclusive: bool,
    regex: String,
}

impl Registration {
    /// The registration of a bridge that the homeserver reaches at `url`, whose bot is
    /// `@<bot_localpart>:<server_name>` and whose ghosts are all of
    /// `@<ghost_prefix>…:<server_name>`.
    #[must_use]
    pub fn new(
        id: &str,
        url: &str,
        as_token: &str,
        hs_token: &str,
        bot_localpart: &str,
        server_name: &str,
        ghost_prefix: &str,
    ) -> Self {
        let ghosts = Namespace {
            exclusive: true,
            regex: format!("^@{}.*:{}$", escaped(ghost_prefix), escaped(server_name)),
        };
        Self {
            id: id.to_owned(),
            url: Some(url.to_owned()),
            as_token: Token::new(as_token),
            hs_token: Token::new(hs_token),
            sender_localpart: bot_localpart.to_owned(),
            rate_limited: Some(false),
            namespaces: Namespaces {
                users: vec![ghosts],
                ..Namespaces::default()
            },
            receive_ephemeral: true,
            push_ephemeral: true,
            key_counts: true,
            device_management: true,
        }
    }

    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, RegistrationError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| RegistrationError::Unreadable {
                path: path.to_owned(),
                source,
            })?;
        serde_norway::from_str(&text).map_err(|error| RegistrationError::Malformed {
            path: path.to_owned(),
            line: error.location().map(|location| location.line()),
        })
    }

    /// The file's text, tokens included.
    pub fn to_yaml(&self) -> Result<String, RegistrationError> {
        let yaml = serde_norway::to_string(self).map_err(|_| RegistrationError::Unwritable)?;
        Ok(format!("{HEADER}{yaml}"))
    }

    /// Compares what was read with what it should be. Everything that would keep the bridge from
    /// working is listed; what it holds beyond that is left alone.
    #[must_use]
    pub fn check(&self, expected: &Self) -> Vec<Mismatch> {
        mismatch::between(self, expected)
    }
}

/// The text with all characters quoted that mean something in a regular expression.
fn escaped(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}

#[cfg(test)]
mod tests;
