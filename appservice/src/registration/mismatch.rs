//! Where a registration file isn't what the configuration needs.

use std::fmt;

use super::{Namespace, Registration};
use crate::auth::Token;

/// One difference. `Display` says it for the person who has to mend it, and never shows a token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// A value is another, or missing.
    Value {
        /// The key.
        key: &'static str,
        /// What the file says.
        found: Option<String>,
        /// What it must say.
        expected: String,
    },
    /// A token is another, or missing.
    Token {
        /// The key.
        key: &'static str,
    },
    /// A switch is off that must be on, or the reverse.
    Switch {
        /// The key.
        key: &'static str,
        /// What it must be.
        expected: bool,
    },
    /// The ghosts don't belong to the bridge alone.
    Ghosts {
        /// The expression that must stand there.
        regex: String,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value {
                key,
                found: Some(found),
                expected,
            } => {
                write!(f, "`{key}` is {found:?}, but must be {expected:?}")
            }
            Self::Value {
                key,
                found: None,
                expected,
            } => write!(f, "`{key}` is missing; it must be {expected:?}"),
            Self::Token { key } => write!(f, "`{key}` is not the one of the configuration"),
            Self::Switch { key, expected } => write!(f, "`{key}` must be {expected}"),
            Self::Ghosts { regex } => {
                write!(
                    f,
                    "`namespaces.users` must list `{regex}` with `exclusive: true`"
                )
            }
        }
    }
}

/// All differences that matter, in the order of the file.
pub(super) fn between(found: &Registration, expected: &Registration) -> Vec<Mismatch> {
    let differences = [
        value("id", Some(found.id.as_str()), Some(expected.id.as_str())),
        value("url", found.url.as_deref(), expected.url.as_deref()),
        token("as_token", &found.as_token, &expected.as_token),
        token("hs_token", &found.hs_token, &expected.hs_token),
        value(
            "sender_localpart",
            Some(found.sender_localpart.as_str()),
            Some(expected.sender_localpart.as_str()),
        ),
        // When it is missing, homeservers limit.
        switch(
            "rate_limited",
            found.rate_limited.unwrap_or(true),
            expected.rate_limited.unwrap_or(true),
        ),
        ghosts(&found.namespaces.users, &expected.namespaces.users),
        switch(
            "receive_ephemeral",
            found.receive_ephemeral || found.push_ephemeral,
            expected.receive_ephemeral,
        ),
        switch("org.matrix.msc3202", found.key_counts, expected.key_counts),
        switch(
            "io.element.msc4190",
            found.device_management,
            expected.device_management,
        ),
    ];
    differences.into_iter().flatten().collect()
}

fn value(key: &'static str, found: Option<&str>, expected: Option<&str>) -> Option<Mismatch> {
    let found = found.filter(|text| !text.is_empty());
    let expected = expected.unwrap_or_default();
    (found != Some(expected)).then(|| Mismatch::Value {
        key,
        found: found.map(str::to_owned),
        expected: expected.to_owned(),
    })
}

fn token(key: &'static str, found: &Token, expected: &Token) -> Option<Mismatch> {
    (!found.matches(expected.reveal())).then_some(Mismatch::Token { key })
}

fn switch(key: &'static str, found: bool, expected: bool) -> Option<Mismatch> {
    (found != expected).then_some(Mismatch::Switch { key, expected })
}

fn ghosts(found: &[Namespace], expected: &[Namespace]) -> Option<Mismatch> {
    let missing = expected
        .iter()
        .find(|namespace| !found.contains(namespace))?;
    Some(Mismatch::Ghosts {
        regex: missing.regex.clone(),
    })
}
