//! What can go wrong with a call to the homeserver, and what that means for trying again.
//!
//! No `Display` and no `Debug` here shows a token, an address with its query, or anything of a
//! body but the error code.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Why no client for the homeserver could be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The base URL is none.
    #[error("the homeserver's address must be a URL such as http://127.0.0.1:8008")]
    Address,
    /// The token doesn't fit into a header.
    #[error("the as_token holds characters that no header can carry")]
    Token,
    /// TLS can't be set up.
    #[error("TLS can't be set up")]
    Tls(#[source] rustls::Error),
}

/// Why a call brought no answer that could be used.
#[derive(thiserror::Error)]
pub enum CallError {
    /// It never left: an argument can't stand in a request.
    #[error("the {what} can't be sent")]
    Unsendable {
        /// Which argument.
        what: &'static str,
    },
    /// The connection could not be made, or broke off.
    #[error("{}", if *connected { "the connection broke off" } else { "no connection could be made" })]
    Transport {
        /// Whether there had been a connection: then the call may have had its effect.
        connected: bool,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// No whole answer came in time. The call may have had its effect.
    #[error("no answer came within {} s", after.as_secs_f64())]
    Timeout {
        /// The time that was given to it.
        after: Duration,
    },
    /// The homeserver, or a proxy before it, answered with an error.
    #[error("the answer was {status} {errcode}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// `M_…`, or `HTTP_<status>` when the answer held none.
        errcode: String,
        /// The homeserver's words. They can hold names and ids, so they are not shown.
        message: String,
        /// How long the homeserver wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The answer was a success in which the homeserver refused what had been asked for.
    #[error("the answer was a refusal, {errcode}")]
    Refused {
        /// `M_…`.
        errcode: String,
    },
    /// The answer was a success that doesn't read.
    #[error("the answer doesn't read, from column {column} of line {line}")]
    Malformed {
        /// The line, from 1; 0 when it is of the right form and lacks something.
        line: usize,
        /// The column, likewise.
        column: usize,
    },
}

impl fmt::Debug for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallError({self})")
    }
}

/// What a failed call means for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallErrorKind {
    /// The same call, with the same transaction id, can succeed later: the network, a time-out, a
    /// rate limit, a homeserver in trouble.
    Later {
        /// Not before this time has passed, says the homeserver.
        after: Option<Duration>,
    },
    /// The homeserver doesn't know our `as_token`: nothing works until a person mends that.
    Unauthorized,
    /// The same call will fail again.
    Refused {
        /// `M_…`, `HTTP_<status>` when there was none, or `UNSENDABLE` when it never left.
        errcode: String,
    },
}

/// The code of a call that never left.
const UNSENDABLE: &str = "UNSENDABLE";

impl CallError {
    /// Whether the homeserver only asks to be called less often.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::Status { status: 429, .. })
    }

    /// What it means for trying again.
    #[must_use]
    pub fn kind(&self) -> CallErrorKind {
        let after = match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        };
        match self.errcode() {
            Some(errcode) => CallErrorKind::Refused {
                errcode: errcode.to_owned(),
            },
            None if self.is_unknown_token() => CallErrorKind::Unauthorized,
            None => CallErrorKind::Later { after },
        }
    }

    /// The error code, when the homeserver refused for good; none when it may be tried again.
    #[must_use]
    pub fn errcode(&self) -> Option<&str> {
        match self {
            Self::Unsendable { .. } => Some(UNSENDABLE),
            Self::Refused { errcode } => Some(errcode),
            Self::Status {
                status, errcode, ..
            } => {
                let for_good = !is_passing(*status, errcode) && !self.is_unknown_token();
                for_good.then_some(errcode.as_str())
            }
            // An answer that doesn't read is no refusal: mostly a proxy's page.
            Self::Transport { .. } | Self::Timeout { .. } | Self::Malformed { .. } => None,
        }
    }

    fn is_unknown_token(&self) -> bool {
        matches!(self, Self::Status { errcode, .. } if matches!(errcode.as_str(), "M_UNKNOWN_TOKEN" | "M_MISSING_TOKEN"))
    }
}

/// Whether an answer says nothing about the call itself. A redirection is a proxy's, as no
/// endpoint that is used here redirects.
fn is_passing(status: u16, errcode: &str) -> bool {
    matches!(status, ..400 | 408 | 429 | 500..) || errcode == "M_LIMIT_EXCEEDED"
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{CallError, CallErrorKind};

    fn status(status: u16, errcode: &str) -> CallError {
        CallError::Status {
            status,
            errcode: errcode.to_owned(),
            message: "Alice said hello".to_owned(),
            retry_after: Some(Duration::from_secs(3)),
        }
    }

    #[test]
    fn what_passes_is_tried_again() {
        let later = CallErrorKind::Later {
            after: Some(Duration::from_secs(3)),
        };
        let passing = [
            (429, "M_LIMIT_EXCEEDED"),
            (400, "M_LIMIT_EXCEEDED"),
            (500, "M_UNKNOWN"),
            (502, "HTTP_502"),
            (408, "HTTP_408"),
            (302, "HTTP_302"),
        ];
        for (code, errcode) in passing {
            assert_eq!(status(code, errcode).kind(), later, "{code} {errcode}");
            assert_eq!(status(code, errcode).errcode(), None);
        }
        let without_delay = CallErrorKind::Later { after: None };
        let broken = CallError::Transport {
            connected: true,
            source: "reset".into(),
        };
        assert_eq!(broken.kind(), without_delay);
        assert_eq!(
            CallError::Timeout {
                after: Duration::from_secs(1)
            }
            .kind(),
            without_delay
        );
        assert_eq!(
            CallError::Malformed { line: 1, column: 1 }.kind(),
            without_delay
        );
    }

    #[test]
    fn what_is_refused_is_refused() {
        for (code, errcode) in [
            (403, "M_FORBIDDEN"),
            (400, "M_USER_IN_USE"),
            (401, "HTTP_401"),
            (404, "HTTP_404"),
        ] {
            let error = status(code, errcode);
            assert_eq!(
                error.kind(),
                CallErrorKind::Refused {
                    errcode: errcode.to_owned()
                }
            );
            assert_eq!(error.errcode(), Some(errcode));
        }
        assert_eq!(
            CallError::Unsendable { what: "room" }.errcode(),
            Some("UNSENDABLE")
        );
        assert_eq!(
            CallError::Refused {
                errcode: "M_INVALID_SIGNATURE".to_owned()
            }
            .errcode(),
            Some("M_INVALID_SIGNATURE")
        );
    }

    #[test]
    fn our_own_token_is_a_case_of_its_own() {
        for errcode in ["M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"] {
            assert_eq!(status(401, errcode).kind(), CallErrorKind::Unauthorized);
            assert_eq!(status(401, errcode).errcode(), None);
        }
    }

    #[test]
    fn the_homeservers_words_are_not_shown() {
        let error = status(403, "M_FORBIDDEN");
        assert_eq!(error.to_string(), "the answer was 403 M_FORBIDDEN");
        assert!(!format!("{error:?}").contains("Alice"));
    }
}
