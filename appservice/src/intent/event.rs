//! Events, typing, receipts and presence. Source: client-server API, "Sending events to a room",
//! "Redactions", "Typing notifications", "Receipts", "Presence".

use std::time::Duration;

use ruma::api::client::message::send_message_event;
use ruma::api::client::presence::{get_presence, set_presence};
use ruma::api::client::receipt::create_receipt;
use ruma::api::client::redact::redact_event;
use ruma::api::client::typing::create_typing_event;
use ruma::presence::PresenceState;
use ruma::serde::Raw;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Done, Intent, id_in_path, in_path};
use crate::error::CallError;

/// The homeserver took an event.
#[derive(Deserialize)]
pub(super) struct Sent {
    pub(super) event_id: String,
}

#[derive(Deserialize)]
struct Presence {
    presence: PresenceState,
}

impl Intent<'_> {
    /// Sends a message-like event and gives its id. Transaction ids must be unique over all rooms
    /// and types: Synapse answers with the old event when one comes again.
    pub async fn send_event(
        &self,
        room: &str,
        event_type: &str,
        transaction: &str,
        content: &Value,
    ) -> Result<String, CallError> {
        let unused = Raw::new(&json!({})).map_err(|_| CallError::Unsendable { what: "content" })?;
        let request = send_message_event::v3::Request::new_raw(
            id_in_path("room id", room)?,
            in_path("transaction id", transaction)?.into(),
            in_path("event type", event_type)?.into(),
            unused.cast_unchecked(),
        );
        let sent: Sent = self.ask_with(request, content).await?;
        Ok(sent.event_id)
    }

    /// Redacts an event and gives the redaction's id.
    pub async fn redact(
        &self,
        room: &str,
        event: &str,
        transaction: &str,
        reason: Option<&str>,
    ) -> Result<String, CallError> {
        let mut request = redact_event::v3::Request::new(
            id_in_path("room id", room)?,
            id_in_path("event id", event)?,
            in_path("transaction id", transaction)?.into(),
        );
        request.reason = reason.map(str::to_owned);
        let sent: Sent = self.ask(request).await?;
        Ok(sent.event_id)
    }

    /// Shows the user as typing for so long, or no more.
    pub async fn typing(&self, room: &str, shown_for: Option<Duration>) -> Result<(), CallError> {
        let state = match shown_for {
            Some(timeout) => create_typing_event::v3::Typing::Yes(
                create_typing_event::v3::TypingInfo::new(timeout),
            ),
            None => create_typing_event::v3::Typing::No,
        };
        let user = id_in_path("user id", self.user)?;
        let request =
            create_typing_event::v3::Request::new(user, id_in_path("room id", room)?, state);
        let _shown: Done = self.ask(request).await?;
        Ok(())
    }

    /// Shows the user as online, for as long as the homeserver keeps that up.
    pub async fn set_online(&self) -> Result<(), CallError> {
        let user = id_in_path("user id", self.user)?;
        let request = set_presence::v3::Request::new(user, PresenceState::Online);
        let _shown: Done = self.ask(request).await?;
        Ok(())
    }

    /// Whether the user is shown as online; never on a homeserver without presence.
    pub async fn is_online(&self) -> Result<bool, CallError> {
        let user = id_in_path("user id", self.user)?;
        let shown: Presence = self.ask(get_presence::v3::Request::new(user)).await?;
        Ok(shown.presence == PresenceState::Online)
    }

    /// Marks everything up to this event as read, for all to see.
    pub async fn receipt(&self, room: &str, event: &str) -> Result<(), CallError> {
        let request = create_receipt::v3::Request::new(
            id_in_path("room id", room)?,
            create_receipt::v3::ReceiptType::Read,
            id_in_path("event id", event)?,
        );
        let _marked: Done = self.ask(request).await?;
        Ok(())
    }
}
