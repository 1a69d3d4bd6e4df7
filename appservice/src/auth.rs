//! The two tokens of a registration, and how the homeserver's is checked.

use std::fmt;

use axum::extract::Request;
use ruma::api::auth_scheme::extract_bearer_or_query_token;
use serde::{Deserialize, Deserializer, Serialize, de};
use subtle::ConstantTimeEq as _;

/// A token. It is compared in constant time, and neither `Debug` nor an error shows it.
#[derive(Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// This text as a token.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Whether the other is the same, in a time that tells at most the length. An empty token is
    /// none, and equals nothing.
    #[must_use]
    pub fn matches(&self, other: &str) -> bool {
        !self.0.is_empty() && bool::from(self.0.as_bytes().ct_eq(other.as_bytes()))
    }

    /// The token itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's own complaint about a wrong type would show the value.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Found {
            Text(String),
            Other(de::IgnoredAny),
        }
        match Found::deserialize(deserializer)? {
            Found::Text(text) => Ok(Self(text)),
            Found::Other(_) => Err(de::Error::custom("a token must be text; put it in quotes")),
        }
    }
}

/// Why a request is not from our homeserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It brought no token.
    #[error("a token is missing")]
    Missing,
    /// It brought another token.
    #[error("the token is wrong")]
    Wrong,
}

/// Checks the `hs_token`, in the header `Authorization` or, as before Matrix 1.4, in the query
/// parameter `access_token`. Source: application-service API, "Authorization".
pub fn authorize(request: &Request, hs_token: &Token) -> Result<(), AuthError> {
    match extract_bearer_or_query_token(request) {
        Ok(Some(token)) if hs_token.matches(&token) => Ok(()),
        Ok(Some(_)) => Err(AuthError::Wrong),
        Ok(None) | Err(_) => Err(AuthError::Missing),
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn only_the_same_token_matches() {
        let token = Token::new("sesame");
        assert!(token.matches("sesame"));
        for other in ["", "sesam", "sesame ", "Sesame", "sesamf"] {
            assert!(!token.matches(other), "{other}");
        }
        assert!(!Token::default().matches(""));
    }

    #[test]
    fn debug_hides_it() {
        assert_eq!(format!("{:?}", Token::new("sesame")), "Token(…)");
    }
}
