//! `POST /api/v1/join`: uses a link. The keys are verified here, at the edge, because the domain
//! knows no cryptography.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use vestibule_bridge::bridge::{Answer, Undecided};
use vestibule_bridge::id::DeviceId;
use vestibule_bridge::input::{Input, Join, JoinKeys};
use vestibule_bridge::link::{Link, LinkState, Token};
use vestibule_bridge::passcode::Passcode;
use vestibule_bridge::refusal::Refusal;
use vestibule_bridge::store::{Facts, Read, Store};
use vestibule_crypto::verify_public_keys;

use super::error::ApiError;
use super::visitor::{Place, Trying};
use crate::app::App;

/// The body.
#[derive(Deserialize)]
pub struct Request {
    token: String,
    name: String,
    device_id: String,
    #[serde(default)]
    passcode: String,
    keys: Value,
}

/// Lets the guest in, once.
pub async fn join(
    State(app): State<Arc<App>>,
    Trying(place): Trying,
    body: Result<Json<Request>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let joined = let_in(&app, body).await;
    joined.inspect_err(|error| note_wrong(&app, place, error))
}

/// Remembers that somebody tried a link that there isn't.
pub fn note_wrong(app: &App, place: Place, error: &ApiError) {
    if error.is_unknown_link() {
        app.crowd.was_wrong(place, app.started.elapsed());
    }
}

async fn let_in(
    app: &App,
    body: Result<Json<Request>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let request = readable(body)?;
    let token = Token::parse(&request.token)?;
    let token_hash = token.hash();
    let link = app
        .store
        .begin()
        .link_by_token(&token_hash)
        .map_err(|error| undecided(&error.into()))?;
    let link = link.ok_or(Refusal::LinkUnknown)?;
    let device = DeviceId::new(request.device_id);
    // The answer is the domain's, but whoever can't get in must not cost us fifty signatures.
    let may_enter = may_enter(app, &link, &device).map_err(|error| undecided(&error.into()))?;
    if !may_enter {
        link.usable(app.clock.now())?;
        return Err(Refusal::LinkUsed.into());
    }
    let keys = verify_public_keys(&request.keys, link.ghost.as_str(), device.as_str())
        .map_err(|error| ApiError::bad_keys(error.to_string()))?;
    let join = Join {
        token_hash,
        name: request.name,
        ghost: link.ghost,
        device,
        ed25519: keys.ed25519,
        keys: JoinKeys {
            device_keys: keys.device_keys,
            master_key: keys.master_key,
            self_signing_key: keys.self_signing_key,
            user_signing_key: keys.user_signing_key,
            one_time_keys: keys.one_time_keys,
            fallback_keys: keys.fallback_keys,
        },
        passcode: Passcode::parse(&request.passcode).map(|passcode| passcode.hash(&token)),
    };
    match app.driver.submit(Input::Join(Box::new(join))).await {
        Ok(Ok(Answer::Joined(joined))) => {
            app.metrics.joins.inc();
            Ok(Json(
                json!({ "portal": joined.portal, "name": joined.name, "host": joined.host }),
            ))
        }
        Ok(Ok(Answer::Refused(refusal))) => Err(refusal.into()),
        Ok(Ok(Answer::Stored | Answer::Counted { .. })) | Err(_) => Err(ApiError::unavailable()),
        Ok(Err(refusal)) => Err(refusal.into()),
    }
}

/// Whether the link is open, or was used by this very device, whose answer may have been lost.
fn may_enter(app: &App, link: &Link, device: &DeviceId) -> Read<bool> {
    match link.state {
        LinkState::Open => Ok(app.clock.now() < link.expires_at),
        LinkState::Used { portal, .. } => Ok(app
            .store
            .begin()
            .portal(portal)?
            .is_some_and(|portal| portal.visit.device == *device)),
        LinkState::Revoked { .. } | LinkState::Expired { .. } => Ok(false),
    }
}

/// The body, or what is wrong with it.
pub fn readable<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, ApiError> {
    match body {
        Ok(Json(request)) => Ok(request),
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(ApiError::too_large())
        }
        Err(JsonRejection::MissingJsonContentType(_)) => Err(ApiError::bad_request(
            "The content type must be application/json.",
        )),
        Err(_) => Err(ApiError::bad_request(
            "The body is not the JSON that is expected here.",
        )),
    }
}

/// The answer when there is no decision; a failing store is logged, because nobody else will.
pub fn undecided(error: &Undecided) -> ApiError {
    match error {
        Undecided::Refused(refusal) => (*refusal).into(),
        Undecided::Store(_) => {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "a request could not be answered"
            );
            ApiError::unavailable()
        }
    }
}
