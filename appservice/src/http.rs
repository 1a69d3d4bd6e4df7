//! What the homeserver calls. Source: application-service API, "Pushing events", "Pinging",
//! "Querying", and its legacy routes without the prefix.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde_json::json;

use crate::auth::{AuthError, Token, authorize};
use crate::transaction::{Transaction, TransactionError};

/// The largest transaction. Synapse puts at most 100 room events and 100 to-device events into one,
/// each of up to 64 KiB and state with its predecessor beside it. One that is refused for its size
/// would be repeated for ever, so there is room to spare; only our homeserver gets as far as a body.
const LARGEST: usize = 64 * 1024 * 1024;

/// What a handler makes of a transaction, in time.
pub type HandlerFuture<'a> = Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send + 'a>>;

/// Takes transactions.
pub trait TransactionHandler: Send + Sync + 'static {
    /// Stores all of a transaction. Only when this says `Ok` does the homeserver hear that it
    /// arrived; on an error, or when the connection ends before, it comes again under the same id.
    fn handle(&self, transaction: Transaction) -> HandlerFuture<'_>;
}

/// Why a transaction was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// It can't be stored now.
    #[error("the transaction can't be stored now")]
    Unavailable,
}

#[derive(Clone)]
struct Listener {
    hs_token: Arc<Token>,
    handler: Arc<dyn TransactionHandler>,
}

/// All routes; each of them, known or not, only for the bearer of the `hs_token`.
pub fn router(hs_token: &str, handler: Arc<dyn TransactionHandler>) -> Router {
    let listener = Listener {
        hs_token: Arc::new(Token::new(hs_token)),
        handler,
    };
    let mut router = Router::new().route("/_matrix/app/v1/ping", post(ping));
    for prefix in ["/_matrix/app/v1", ""] {
        router = router
            .route(&format!("{prefix}/transactions/{{transaction}}"), put(take))
            .route(&format!("{prefix}/users/{{user}}"), get(unknown))
            .route(&format!("{prefix}/rooms/{{alias}}"), get(unknown));
    }
    router
        .fallback(async || Refusal::UNRECOGNIZED)
        .method_not_allowed_fallback(async || Refusal {
            status: StatusCode::METHOD_NOT_ALLOWED,
            ..Refusal::UNRECOGNIZED
        })
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(middleware::from_fn_with_state(listener.clone(), guard))
        .with_state(listener)
}

/// Refuses everybody but the homeserver, whatever the body may be.
async fn guard(State(listener): State<Listener>, request: Request, next: Next) -> Response {
    match authorize(&request, &listener.hs_token) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            tracing::warn!(%error, "a request to the appservice listener was refused");
            Refusal::from(error).into_response()
        }
    }
}

async fn take(
    State(listener): State<Listener>,
    id: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let Path(id) = id.map_err(|_| Refusal::BAD_ID)?;
    let transaction = Transaction::parse(&id, &body?)?;
    listener.handler.handle(transaction).await?;
    Ok(Json(json!({})))
}

/// The homeserver asks whether it reaches us.
async fn ping() -> Json<serde_json::Value> {
    Json(json!({}))
}

/// The homeserver asks for a user or an alias that it doesn't know, so that we could make it. The
/// bridge makes its ghosts itself.
async fn unknown() -> Refusal {
    Refusal {
        status: StatusCode::NOT_FOUND,
        errcode: "M_NOT_FOUND",
        error: "There is nothing under this name.",
    }
}

/// An error as Matrix writes it.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    status: StatusCode,
    errcode: &'static str,
    error: &'static str,
}

impl Refusal {
    const UNRECOGNIZED: Self = Self {
        status: StatusCode::NOT_FOUND,
        errcode: "M_UNRECOGNIZED",
        error: "There is no such endpoint.",
    };
    const BAD_ID: Self = Self {
        status: StatusCode::BAD_REQUEST,
        errcode: "M_INVALID_PARAM",
        error: "The transaction id doesn't read.",
    };
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (
            self.status,
            Json(json!({ "errcode": self.errcode, "error": self.error })),
        )
            .into_response()
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => Self {
                status: StatusCode::UNAUTHORIZED,
                errcode: "M_UNAUTHORIZED",
                error: "The hs_token is missing.",
            },
            AuthError::Wrong => Self {
                status: StatusCode::FORBIDDEN,
                errcode: "M_FORBIDDEN",
                error: "The hs_token is wrong.",
            },
        }
    }
}

impl From<BytesRejection> for Refusal {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self {
                status: StatusCode::PAYLOAD_TOO_LARGE,
                errcode: "M_TOO_LARGE",
                error: "The transaction is too large.",
            },
            _ => Self {
                status: StatusCode::BAD_REQUEST,
                errcode: "M_UNKNOWN",
                error: "The body broke off.",
            },
        }
    }
}

impl From<TransactionError> for Refusal {
    fn from(error: TransactionError) -> Self {
        let (errcode, error) = match error {
            TransactionError::NotJson => ("M_NOT_JSON", "The body is no JSON."),
            TransactionError::WrongForm { .. } => ("M_BAD_JSON", "The body is no transaction."),
        };
        Self {
            status: StatusCode::BAD_REQUEST,
            errcode,
            error,
        }
    }
}

impl From<HandlerError> for Refusal {
    fn from(error: HandlerError) -> Self {
        match error {
            HandlerError::Unavailable => Self {
                status: StatusCode::SERVICE_UNAVAILABLE,
                errcode: "M_UNKNOWN",
                error: "The transaction can't be stored now; send it again.",
            },
        }
    }
}

#[cfg(test)]
mod tests;
