//! Why a connection ends, and what the page is told of it.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use tokio::time::timeout;
use vestibule_bridge::frame::ServerFrame;
use vestibule_bridge::store::StoreError;

use super::socket::send;
use crate::app::App;

/// Tells the page why the connection ends, and closes it; that may take as long as `last_word`.
pub async fn part(socket: &mut WebSocket, closing: &Closing, app: &App, last_word: Duration) {
    match closing {
        Closing::Store(StoreError::Damaged(row)) => {
            // If that can't be stored now, the next hello finds the same row.
            let _later = app.driver.set_aside(row.clone()).await;
        }
        Closing::Store(error) => tracing::error!(
            error = error as &dyn std::error::Error,
            "a socket had to be closed"
        ),
        _ => {}
    }
    if let Some((code, message)) = closing.words() {
        let _gone = send(
            socket,
            &ServerFrame::Error {
                code,
                message: message.to_owned(),
            },
        )
        .await;
    }
    let close = CloseFrame {
        code: axum::extract::ws::close_code::NORMAL,
        reason: "".into(),
    };
    let _gone = timeout(last_word, socket.send(Message::Close(Some(close)))).await;
}

/// Why a connection ends.
#[derive(Debug)]
pub enum Closing {
    /// The browser went away, or the chat was seen to its end.
    Gone,
    /// The first frame was no hello, or none came.
    NotGreeted,
    /// The signature doesn't hold, or the device isn't this chat's.
    BadSignature,
    /// No chat has this id.
    UnknownChat,
    /// A frame doesn't read.
    BadFrame,
    /// A frame is too large.
    TooLarge,
    /// Another connection of this browser took over.
    Replaced,
    /// The browser doesn't keep up.
    TooSlow,
    /// The program stops.
    Stopping,
    /// The homeserver or the store can't be asked.
    Unavailable,
    /// A row can't be read.
    Store(StoreError),
}

impl Closing {
    /// What a failed read means.
    pub fn from_axum(error: &axum::Error) -> Self {
        // tungstenite's error lies under axum's, which has no kinds of its own.
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            if inner.to_string().contains("too long") {
                return Self::TooLarge;
            }
            source = inner.source();
        }
        Self::Gone
    }

    /// The code and the words that the page is told; none when nobody is there to read them.
    pub fn words(&self) -> Option<(&'static str, &'static str)> {
        Some(match self {
            Self::Gone => return None,
            Self::NotGreeted => ("not_greeted", "The first frame must be a hello."),
            Self::BadSignature => (
                "bad_signature",
                "This browser could not prove that the chat is its own.",
            ),
            Self::UnknownChat => ("unknown_chat", "This chat is not known here."),
            Self::BadFrame => ("bad_frame", "This frame is not understood."),
            Self::TooLarge => ("too_large", "This frame is too large."),
            Self::Replaced => ("replaced", "The chat is open in another place."),
            Self::TooSlow => ("too_slow", "The connection does not keep up."),
            Self::Stopping => ("stopping", "The bridge restarts; please connect again."),
            Self::Store(StoreError::Damaged(_)) => (
                "damaged",
                "This chat can't go on: part of it can't be read any more. Please ask for a new link.",
            ),
            Self::Unavailable | Self::Store(_) => {
                ("unavailable", "This does not work at the moment.")
            }
        })
    }
}
