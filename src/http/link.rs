//! `POST /api/v1/link`: looks at a link without using it up.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::Deserialize;
use serde_json::{Value, json};
use vestibule_bridge::input::Input;
use vestibule_bridge::link::{Token, look as look_at};
use vestibule_bridge::store::Store;

use super::error::ApiError;
use super::join::{note_wrong, readable, undecided};
use super::visitor::Trying;
use crate::app::App;

/// The body.
#[derive(Deserialize)]
pub struct Request {
    token: String,
}

/// Answers who invites, or why the link can't be used.
pub async fn look(
    State(app): State<Arc<App>>,
    Trying(place): Trying,
    body: Result<Json<Request>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let looked = readable(body).and_then(|request| Ok(Token::parse(&request.token)?.hash()));
    let looked = looked.and_then(|hash| {
        look_at(&app.store.begin(), &hash, &app.policy, app.clock.now())
            .map(|view| (hash, view))
            .map_err(|error| undecided(&error))
    });
    let (hash, view) = looked.inspect_err(|error| note_wrong(&app, place, error))?;
    if !view.opened {
        let looked = Input::Looked { token_hash: hash };
        // When it can't be stored, the driver says so; the host is not told this time, and the guest
        // is not concerned.
        let _answer = app.driver.submit(looked).await;
    }
    Ok(Json(json!(view)))
}
