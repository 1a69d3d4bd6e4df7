//! The beginning of a socket: challenge, hello, and what the page is told of its chat.

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use vestibule_bridge::frame::{ClientFrame, HostView, PROTOCOL, ServerFrame, Welcome};
use vestibule_bridge::id::{DeviceId, PortalId, RoomId};
use vestibule_bridge::portal::Portal;
use vestibule_bridge::store::{Facts, Store};
use vestibule_crypto::verify_hello;

use super::closing::Closing;
use super::socket::{FRAME, send};
use crate::app::App;

/// How long a browser may take for its hello.
const PATIENCE: Duration = Duration::from_secs(15);

/// Which browser this is, proven.
pub struct Greeted {
    /// Its chat.
    pub portal: PortalId,
    /// The highest sequence number it has stored.
    pub last_seq: u64,
    /// What it knows to be counted, if it asks for everything anew.
    pub last_n: Option<u64>,
}

/// Sends the challenge and checks the hello.
pub async fn greet(socket: &mut WebSocket, app: &App) -> Result<Greeted, Closing> {
    let nonce = app.nonce();
    send(
        socket,
        &ServerFrame::Challenge {
            nonce: nonce.clone(),
            protocol: PROTOCOL,
            store_id: app.store.id().map_err(Closing::Store)?,
        },
    )
    .await?;
    let message = tokio::time::timeout(PATIENCE, next_text(socket))
        .await
        .map_err(|_| Closing::NotGreeted)??;
    let (portal, device, signature, last_seq, last_n) = match serde_json::from_str(&message) {
        Ok(ClientFrame::Hello {
            portal,
            device,
            signature,
            last_seq,
            last_n,
        }) => (portal, device, signature, last_seq, last_n),
        Ok(_) => return Err(Closing::NotGreeted),
        Err(_) => return Err(Closing::BadFrame),
    };
    let stored = app
        .store
        .begin()
        .portal(portal)
        .map_err(Closing::Store)?
        .ok_or(Closing::UnknownChat)?;
    let proven = stored.visit.device == device && signed(&stored, app, &device, &nonce, &signature);
    if proven {
        Ok(Greeted {
            portal,
            last_seq,
            last_n,
        })
    } else {
        Err(Closing::BadSignature)
    }
}

fn signed(stored: &Portal, app: &App, device: &DeviceId, nonce: &str, signature: &str) -> bool {
    let portal = stored.id.to_string();
    verify_hello(
        &stored.visit.ed25519,
        &app.guests.origin,
        &portal,
        device.as_str(),
        nonce,
        signature,
    )
    .is_ok()
}

async fn next_text(socket: &mut WebSocket) -> Result<String, Closing> {
    loop {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) if text.len() > FRAME => return Err(Closing::TooLarge),
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(_))) => return Err(Closing::BadFrame),
            Some(Ok(Message::Close(_))) | None => return Err(Closing::Gone),
            Some(Err(error)) => return Err(Closing::from_axum(&error)),
        }
    }
}

/// Reads what the push path may have lost, asks for the host's keys, and puts the welcome
/// together.
pub async fn welcome(
    app: &App,
    portal: &Portal,
    room: &RoomId,
    host_joined: bool,
) -> Result<ServerFrame, Closing> {
    let unavailable = |what: &'static str| {
        move |error: crate::homeserver::CallFailed| {
            tracing::warn!(portal = %portal.id, error = &error as &dyn std::error::Error, what, "a browser has to wait");
            Closing::Unavailable
        }
    };
    let counts = app.catchup.read(portal.id).await.map_err(|error| {
        tracing::warn!(portal = %portal.id, error = &error as &dyn std::error::Error, "a browser has to wait");
        Closing::Unavailable
    })?;
    let keys = app
        .homeserver
        .host_keys(portal)
        .await
        .map_err(unavailable("keys_query"))?;
    let host = app
        .store
        .begin()
        .host(&portal.host)
        .map_err(Closing::Store)?;
    let display_name = host.map_or_else(
        || portal.host.localpart().to_owned(),
        |host| host.shown_name().to_owned(),
    );
    let rows = app.store.begin();
    let stored = rows.portal(portal.id).map_err(Closing::Store)?;
    let stored = stored.ok_or(Closing::UnknownChat)?;
    let last_seq = stored.last_seq;
    let moments = app.policy.moments;
    let host_read = stored.host_read.filter(|_| moments.receipts);
    // Read after the number: a frame that comes in between must not count as acknowledged.
    let waiting = rows.frames(portal.id, 0, 1).map_err(Closing::Store)?;
    let first_waiting = waiting.first().map(|(seq, _)| *seq);
    let deadline = portal.deadline().ok_or(Closing::Unavailable)?;
    Ok(ServerFrame::Welcome(Box::new(Welcome {
        room_id: room.clone(),
        ghost: portal.ghost.clone(),
        name: portal.name.labelled(),
        host: HostView {
            user_id: portal.host.clone(),
            display_name,
        },
        host_joined,
        last_n: portal.visit.last_n,
        acked_seq: first_waiting.map_or(last_seq, |seq| seq.saturating_sub(1)),
        last_seq,
        deadline,
        idle_limit_ms: u64::try_from(app.policy.idle_limit.as_millis()).unwrap_or(u64::MAX),
        keys,
        one_time_keys: counts.one_time_keys,
        fallback_unused: counts.fallback_unused,
        host_read: host_read.map(|read| read.event),
        typing: moments.typing,
        receipts: moments.receipts,
    })))
}
