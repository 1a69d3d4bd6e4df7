//! What a browser is answered when something is wrong.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use vestibule_bridge::frame::ErrorBody;
use vestibule_bridge::refusal::Refusal;

/// An error answer: a status and the body of `docs/protocol.md`.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    body: ErrorBody,
}

impl ApiError {
    /// The request doesn't read; `problem` says where, without repeating what was sent.
    pub fn bad_request(problem: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", problem)
    }

    /// The keys don't hold; `problem` names the check.
    pub fn bad_keys(problem: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_keys", problem)
    }

    /// The body is larger than is read.
    pub fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "The request is too large.",
        )
    }

    /// Nothing can be stored or asked at the moment.
    pub fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "This does not work at the moment. Please try again soon.",
        )
    }

    /// Another site tries to open a socket.
    pub fn wrong_origin() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "wrong_origin",
            "Only the page itself may connect.",
        )
    }

    /// Too much came from this address; the next may come after so long.
    pub fn too_many_tries(wait: Duration) -> Self {
        let mut error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_tries",
            "Too many tries came from your address. Please wait a moment, then try again.",
        );
        error.body.retry_after_ms = u64::try_from(wait.as_millis().max(1)).ok();
        error
    }

    /// There is nothing under this path.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is nothing here.")
    }

    /// Whether it says that there is no such link.
    #[must_use]
    pub fn is_unknown_link(&self) -> bool {
        self.body.code == Refusal::LinkUnknown.code()
    }

    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            body: ErrorBody {
                code,
                message: message.into(),
                retry_after_ms: None,
                tries_left: None,
            },
        }
    }
}

/// The body for a refusal.
#[must_use]
pub fn refusal_body(refusal: &Refusal) -> ErrorBody {
    let retry_after_ms = refusal
        .retry_after()
        .and_then(|after| u64::try_from(after.as_millis()).ok());
    ErrorBody {
        code: refusal.code(),
        message: refusal.to_string(),
        retry_after_ms,
        tries_left: refusal.tries_left(),
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::LinkUnknown | Refusal::UnknownChat => StatusCode::NOT_FOUND,
            Refusal::LinkUsed => StatusCode::CONFLICT,
            Refusal::LinkExpired
            | Refusal::LinkRevoked
            | Refusal::PasscodeSpent
            | Refusal::Ended
            | Refusal::Damaged => StatusCode::GONE,
            Refusal::HostBusy | Refusal::Paused => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::PasscodeNeeded => StatusCode::UNAUTHORIZED,
            Refusal::PasscodeWrong { .. } => StatusCode::FORBIDDEN,
            Refusal::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Refusal::BadName
            | Refusal::NameOfHost
            | Refusal::BadKeys
            | Refusal::NotOpen
            | Refusal::Gap { .. }
            | Refusal::NotEncrypted
            | Refusal::BadRequest => StatusCode::BAD_REQUEST,
        };
        Self {
            status,
            body: refusal_body(&refusal),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.body }))).into_response()
    }
}
