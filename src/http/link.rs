//! `POST /api/v1/link`: looks at a link without using it up.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::Deserialize;
use serde_json::{Value, json};
use vestibule_bridge::link::{Token, look as look_at};
use vestibule_bridge::store::Store;

use super::error::ApiError;
use super::join::{readable, undecided};
use crate::app::App;

/// The body.
#[derive(Deserialize)]
pub struct Request {
    token: String,
}

/// Answers who invites, or why the link can't be used.
pub async fn look(
    State(app): State<Arc<App>>,
    body: Result<Json<Request>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let hash = Token::parse(&readable(body)?.token)?.hash();
    let view = look_at(&app.store.begin(), &hash, &app.policy, app.clock.now())
        .map_err(|error| undecided(&error))?;
    Ok(Json(json!(view)))
}
