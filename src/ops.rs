//! For whoever runs the bridge: `/live`, `/ready` and `/metrics`, on a listener of their own.

mod problem;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::app::App;

pub use problem::{Problem, problems, watch};

/// The routes.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/live", get(async || "alive\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(app)
}

/// Whether guests can be served, and if not, why, in plain words.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let problems: Vec<String> = problems(&app)
        .into_iter()
        .map(|problem| problem.words)
        .collect();
    let status = if problems.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(json!({
            "ready": problems.is_empty(),
            "problems": problems,
            // These can't go on, but nobody else suffers from it.
            "chats_set_aside": app.store.set_aside().ok(),
            "ending": app.outbox.ending().map(|ending| ending.to_string()),
        })),
    )
        .into_response()
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    app.metrics
        .outbox
        .set(i64::try_from(app.outbox.waiting()).unwrap_or(i64::MAX));
    let ending = app.outbox.ending();
    let chats = ending.map_or(0, |ending| ending.chats);
    let left = ending.and_then(|ending| ending.left).unwrap_or_default();
    app.metrics
        .ending
        .set(i64::try_from(chats).unwrap_or(i64::MAX));
    app.metrics
        .ending_seconds
        .set(i64::try_from(left.as_secs()).unwrap_or(i64::MAX));
    if let Ok(set_aside) = app.store.set_aside() {
        let set_aside = i64::try_from(set_aside).unwrap_or(i64::MAX);
        app.metrics.set_aside.set(set_aside);
    }
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], app.metrics.text()).into_response()
}
