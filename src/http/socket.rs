//! `GET /api/v1/socket`: one browser's connection, from its acceptance to its last word.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::time::{sleep, timeout};
use vestibule_bridge::id::PortalId;
use vestibule_bridge::input::Input;

use super::chat::Chat;
use super::closing::{Closing, part};
use super::error::ApiError;
use super::greet::greet;
use super::visitor::Visitor;
use crate::app::App;

/// The largest frame that is taken, in bytes.
pub const FRAME: usize = 64 * 1024;
/// The largest that is read to its end. To close a connection of which something is unread is to
/// reset it, and then the page may never read why.
const READ: usize = 2 * FRAME;
/// How often a silent browser is asked whether it is there.
pub const HEARTBEAT: Duration = Duration::from_secs(25);
/// How long a browser may take to accept one frame.
pub const SLOWEST: Duration = Duration::from_secs(20);
/// How long one has that was there when it ended: whoever is blocked must not hold a connection open.
/// What it didn't acknowledge comes again when it does.
const CUT: Duration = Duration::from_millis(600);
/// How long the last word may take then.
const LAST_WORD: Duration = Duration::from_millis(200);

/// Accepts the connection of the page itself, and of no other site.
pub async fn open(
    State(app): State<Arc<App>>,
    Visitor(place): Visitor,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let origin = headers
        .get(header::ORIGIN)
        .and_then(|origin| origin.to_str().ok());
    if origin != Some(app.guests.origin.as_str()) {
        return ApiError::wrong_origin().into_response();
    }
    let Ok(upgrade) = upgrade else {
        return ApiError::bad_request("Only a WebSocket is accepted here.").into_response();
    };
    let Some(sitting) = app.crowd.sit(place) else {
        return ApiError::too_many_tries(HEARTBEAT).into_response();
    };
    upgrade
        .max_message_size(READ)
        .max_frame_size(READ)
        // The defaults hold 128 KiB for a connection that says a few hundred bytes a minute.
        .read_buffer_size(2048)
        .write_buffer_size(0)
        .on_upgrade(async move |socket| {
            let tasks = app.tasks.clone();
            tasks.spawn(async move {
                converse(socket, app).await;
                drop(sitting);
            });
        })
}

/// Sends one frame, or finds that the browser is gone or too slow.
pub async fn send<T: Serialize>(socket: &mut WebSocket, frame: &T) -> Result<(), Closing> {
    let Ok(text) = serde_json::to_string(frame) else {
        return Err(Closing::Unavailable);
    };
    match timeout(SLOWEST, socket.send(Message::Text(text.into()))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Closing::Gone),
        Err(_) => Err(Closing::TooSlow),
    }
}

async fn converse(mut socket: WebSocket, app: Arc<App>) {
    app.metrics.sockets.inc();
    let mut proven = None;
    let mut last_word = SLOWEST;
    let closing = match greet(&mut socket, &app).await {
        Ok(greeted) => {
            let portal = greeted.portal;
            proven = Some(portal);
            // Not awaited: whoever waits for the store waits long when its disk is slow.
            let noted = Arc::clone(&app);
            app.tasks
                .spawn(async move { note_presence(&noted, portal).await });
            let chat = Chat::new(Arc::clone(&app), &greeted);
            let over = chat.over();
            let cut = async {
                over.cancelled().await;
                sleep(CUT).await;
            };
            // Also in the middle of a question to the homeserver, or of a frame that the browser
            // doesn't take.
            let closing = tokio::select! {
                biased;
                closing = chat.run(&mut socket, greeted.last_n) => closing,
                () = cut => Closing::Gone,
            };
            if over.is_cancelled() {
                last_word = LAST_WORD;
            }
            closing
        }
        Err(closing) => closing,
    };
    part(&mut socket, &closing, &app, last_word).await;
    drop(socket);
    app.metrics.sockets.dec();
    if let Some(portal) = proven {
        app.moments.gone(portal);
        note_presence(&app, portal).await;
    }
}

/// Tells the domain that the guest is there, or was until now: the host hears of a long absence.
async fn note_presence(app: &App, portal: PortalId) {
    // When it can't be stored, the driver says so; at worst the host hears of an absence too early.
    let _answer = app.driver.submit(Input::Seen { portal }).await;
}
