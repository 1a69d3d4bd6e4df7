//! A value that must not be shown.

use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::ConfigError;

/// A token. `Debug` doesn't show it.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The value itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The one that is given, directly or in a file.
    pub(super) fn resolve(
        key: &'static str,
        direct: Option<&Self>,
        file: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let invalid = |problem: &str| {
            Err(ConfigError::Invalid {
                key,
                problem: problem.to_owned(),
            })
        };
        let secret = match (direct, file) {
            (Some(secret), None) => secret.clone(),
            (None, Some(path)) => {
                let text =
                    std::fs::read_to_string(path).map_err(|source| ConfigError::SecretFile {
                        path: path.to_owned(),
                        source,
                    })?;
                Self(text.trim().to_owned())
            }
            (None, None) => return invalid("is missing; give it here or as a file with _file"),
            (Some(_), Some(_)) => return invalid("is given twice, directly and as a file"),
        };
        // A token goes into a header: it must be one visible word, and long enough not to be guessed.
        if secret.0.len() < 16 || !secret.0.chars().all(|c| c.is_ascii_graphic()) {
            return invalid("must have at least 16 characters without spaces; use 64 random ones");
        }
        Ok(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
