//! What the homeserver pushes: a transaction becomes inputs, to-device events first, and is
//! answered when the one commit that holds all of it is done. Nothing is asked of the homeserver
//! on the way.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use vestibule_appservice::http::{HandlerError, HandlerFuture, TransactionHandler};
use vestibule_appservice::transaction::{self, Ephemeral, Transaction};
use vestibule_bridge::ghost::is_ghost;
use vestibule_bridge::id::{DeviceId, EventId, PortalId, RoomId, UserId};
use vestibule_bridge::input::{Came, Input, Membership, RoomEvent, RoomEventKind, ToDevice};
use vestibule_bridge::portal::HostRead;
use vestibule_bridge::store::{Facts, Read, Store};
use vestibule_bridge::time::Timestamp;

use crate::app::App;
use crate::bot;
use crate::drive::DriveError;
use crate::homeserver::profile;
use crate::hub::Signal;
use crate::moments;

/// How long a transaction may take. A homeserver that is told "not now" comes again; what it brought may
/// be stored all the same, and is recognised then.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes transactions for the bridge.
pub struct Inbound(pub Arc<App>);

impl TransactionHandler for Inbound {
    fn handle(&self, transaction: Transaction) -> HandlerFuture<'_> {
        Box::pin(self.take(transaction))
    }
}

impl Inbound {
    async fn take(&self, transaction: Transaction) -> Result<(), HandlerError> {
        let app = &self.0;
        let to_device = transaction
            .to_device
            .iter()
            .filter(|event| event.to_user_id != app.policy.bot.as_str())
            .map(|event| Input::ToDevice(to_device_event(event)));
        let to_device: Vec<Input> = to_device.collect();
        let read = self.host_reads(&transaction);
        let receipts: Vec<Input> = read
            .iter()
            .map(|(portal, read)| Input::HostRead {
                portal: *portal,
                read: read.clone(),
            })
            .collect();
        let inputs = |mut by_bot: bot::Read| -> Vec<Input> {
            let events = transaction.events.iter().flat_map(|event| {
                let shown = ghost_shown(event, &app.policy.server_name);
                let message = by_bot.messages.remove(&event.event_id);
                let event = message.or_else(|| room_event(event).map(Input::Room));
                event.into_iter().chain(shown)
            });
            let events: Vec<Input> = events.collect();
            let keyed = to_device.into_iter().chain(by_bot.earlier);
            keyed.chain(events).chain(receipts).collect()
        };
        if transaction.skipped > 0 {
            tracing::warn!(
                transaction = transaction.id,
                skipped = transaction.skipped,
                "events that don't read were left out"
            );
        }
        let taken = app.bot.take(&transaction, identity(&transaction), inputs);
        let taken = timeout(PATIENCE, taken).await;
        if let Err(error) = taken.unwrap_or(Err(DriveError::Late(PATIENCE).into())) {
            app.metrics.failed_transactions.inc();
            // The homeserver repeats the room events, but not the room keys beside them.
            app.watch.nudge();
            tracing::error!(
                transaction = transaction.id,
                error = &error as &dyn std::error::Error,
                "a transaction was not stored"
            );
            return Err(HandlerError::Unavailable);
        }
        app.metrics.transactions.inc();
        app.lists.note(&transaction);
        app.probe.note(&transaction);
        if let Err(error) = self.fetch_room_keys(&transaction) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "room keys could not be looked for"
            );
        }
        for (portal, read) in read {
            app.hub.signal(portal, Signal::Read(read.event));
        }
        if let Err(error) = self.signal(&transaction) {
            // Signals are of the moment: a browser asks for all of this itself when it connects.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "browsers could not be told of keys"
            );
        }
        Ok(())
    }

    /// The room key of a new Megolm session is the one thing that must not be lost, and the push
    /// path loses some.
    fn fetch_room_keys(&self, transaction: &Transaction) -> Read<()> {
        let app = &self.0;
        for event in &transaction.events {
            let session = event.content.get("session_id").and_then(Value::as_str);
            let Some(session) = session.filter(|_| event.event_type == "m.room.encrypted") else {
                continue;
            };
            let sender = UserId::new(event.sender.as_str());
            if is_ghost(&sender, &app.policy.server_name)
                || !app.catchup.begins_session(&event.room_id, session)
            {
                continue;
            }
            let room = RoomId::new(event.room_id.as_str());
            let portal = app.store.begin().portal_by_room(&room)?;
            if let Some(portal) = portal.filter(|portal| portal.host == sender) {
                app.catchup.read_later(portal.id);
            }
        }
        Ok(())
    }

    /// How far hosts have read, where that is news.
    fn host_reads(&self, transaction: &Transaction) -> Vec<(PortalId, HostRead)> {
        let app = &self.0;
        if !app.policy.moments.receipts || transaction.ephemeral.is_empty() {
            return Vec::new();
        }
        let rows = app.store.begin();
        let host_read = |event: &Ephemeral| {
            let room = RoomId::new(event.room_id.as_deref()?);
            // One that can't be read now comes again by the truth path.
            let portal = rows.portal_by_room(&room).ok()??;
            let read = moments::read_by(&portal.host, std::slice::from_ref(event))?;
            let is_news = !portal.is_closed() && read.is_after(portal.host_read.as_ref());
            is_news.then_some((portal.id, read))
        };
        transaction.ephemeral.iter().filter_map(host_read).collect()
    }

    /// Tells open sockets what is of the moment: changed devices, key counts, who is typing.
    fn signal(&self, transaction: &Transaction) -> Read<()> {
        let app = &self.0;
        if app.hub.seated() == 0 {
            return Ok(());
        }
        let rows = app.store.begin();
        for user in &transaction.device_lists_changed {
            let user = UserId::new(user.as_str());
            // Making a ghost changes the device list of the ghost several times; that is our own echo.
            if is_ghost(&user, &app.policy.server_name) || user == app.policy.bot {
                continue;
            }
            for portal in rows.portals_of_host(&user)? {
                app.hub.signal(portal.id, Signal::KeysChanged);
            }
        }
        let typing = transaction.ephemeral.iter();
        for event in typing.filter(|event| event.event_type == "m.typing") {
            let Some(room) = event
                .room_id
                .as_deref()
                .filter(|_| app.policy.moments.typing)
            else {
                continue;
            };
            let portal = rows.portal_by_room(&RoomId::new(room))?;
            let portal = portal.filter(|portal| !portal.is_closed());
            if let Some((portal, typing)) =
                portal.and_then(|portal| Some((portal.id, moments::types(&portal.host, event)?)))
            {
                app.hub.signal(portal, Signal::Typing(typing));
            }
        }
        for (user, devices) in &transaction.one_time_keys {
            let user = UserId::new(user.as_str());
            if !is_ghost(&user, &app.policy.server_name) {
                continue;
            }
            let Some(portal) = rows.portal_by_ghost(&user)? else {
                continue;
            };
            let Some(count) = devices.get(portal.visit.device.as_str()) else {
                continue;
            };
            let unused = transaction
                .unused_fallback
                .get(user.as_str())
                .and_then(|devices| devices.get(portal.visit.device.as_str()));
            let fallback_unused = unused
                .is_none_or(|algorithms| algorithms.iter().any(|name| name == "signed_curve25519"));
            app.hub.signal(
                portal.id,
                Signal::OneTimeKeys {
                    count: *count,
                    fallback_unused,
                },
            );
        }
        Ok(())
    }
}

/// What a transaction is recognised by when it comes again: its id and its events together.
///
/// The id alone is not enough: Synapse begins again at 1 after a restart, and whoever went by the
/// id would throw new messages away. To-device events are left out, because a repetition comes
/// without them; they are recognised one by one. A transaction without events needs no name.
fn identity(transaction: &Transaction) -> Option<String> {
    if transaction.events.is_empty() {
        return None;
    }
    let mut hash = Sha256::new();
    for part in std::iter::once(&transaction.id)
        .chain(transaction.events.iter().map(|event| &event.event_id))
    {
        // Lengths keep neighbours apart.
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    Some(vestibule_crypto::encode_base64(&hash.finalize()))
}

fn to_device_event(event: &transaction::ToDevice) -> ToDevice {
    ToDevice {
        ghost: UserId::new(event.to_user_id.as_str()),
        device: DeviceId::new(event.to_device_id.as_str()),
        sender: UserId::new(event.sender.as_str()),
        event_type: event.event_type.clone(),
        content: event.content.clone(),
    }
}

/// How a ghost is shown in a room from this event on, if that is what it tells.
fn ghost_shown(event: &transaction::RoomEvent, server_name: &str) -> Option<Input> {
    let ghost = UserId::new(event.state_key.as_deref()?);
    let membership = event.content.get("membership").and_then(Value::as_str);
    let shows = event.event_type == "m.room.member"
        && membership == Some("join")
        && is_ghost(&ghost, server_name);
    shows.then(|| {
        let (name, pictured) = profile(&event.content);
        Input::GhostShown {
            ghost,
            name,
            pictured,
        }
    })
}

/// The event as the domain knows it; none when its ids are no Matrix ids.
pub fn room_event(event: &transaction::RoomEvent) -> Option<RoomEvent> {
    let is_id = event.room_id.starts_with('!')
        && event.event_id.starts_with('$')
        && event.sender.starts_with('@');
    is_id.then(|| RoomEvent {
        room: RoomId::new(event.room_id.as_str()),
        event_id: EventId::new(event.event_id.as_str()),
        sender: UserId::new(event.sender.as_str()),
        at: Timestamp(event.origin_server_ts),
        kind: kind(event),
    })
}

fn kind(event: &transaction::RoomEvent) -> RoomEventKind {
    let text = |name: &str| event.content.get(name).and_then(Value::as_str);
    match (event.event_type.as_str(), event.state_key.as_deref()) {
        ("m.room.member", Some(target)) => {
            let membership = match text("membership") {
                Some("invite") => Membership::Invite,
                Some("join") => Membership::Join,
                Some("ban") => Membership::Ban,
                Some("knock") => Membership::Knock,
                _ => Membership::Leave,
            };
            RoomEventKind::Member {
                target: UserId::new(target),
                membership,
            }
        }
        ("m.room.encryption", Some("")) => RoomEventKind::Encryption,
        (_, Some(_)) => RoomEventKind::State,
        ("m.room.encrypted", None) => RoomEventKind::Encrypted {
            content: event.content.clone(),
        },
        ("m.room.message", None) => RoomEventKind::Message {
            msgtype: text("msgtype").unwrap_or_default().to_owned(),
            body: text("body").unwrap_or_default().to_owned(),
            related: event.content.get("m.relates_to").is_some(),
            came: Came::Plain,
        },
        // Room version 11 moved the field into the content (MSC2174); the server still sends both.
        ("m.room.redaction", None) => match event.redacts.as_deref().or_else(|| text("redacts")) {
            Some(redacts) => RoomEventKind::Redaction {
                redacts: EventId::new(redacts),
            },
            None => RoomEventKind::Other,
        },
        (_, None) => RoomEventKind::Other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn transaction(id: &str, event_ids: &[&str], to_device: usize) -> Transaction {
        let event = |id: &&str| json!({ "type": "m.room.message", "room_id": "!r", "sender": "@a:b", "event_id": id });
        let olm = json!({ "type": "m.room.encrypted", "sender": "@a:b", "to_user_id": "@c:b", "to_device_id": "D" });
        let body = json!({
            "events": event_ids.iter().map(event).collect::<Vec<_>>(),
            "to_device": vec![olm; to_device],
        });
        Transaction::parse(id, body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_repetition_is_recognised_though_it_lacks_to_device_events() {
        let first = identity(&transaction("7", &["$a", "$b"], 2));
        assert!(first.is_some());
        assert_eq!(first, identity(&transaction("7", &["$a", "$b"], 0)));
    }

    #[test]
    fn an_id_that_is_used_again_for_other_events_is_another_transaction() {
        let first = identity(&transaction("1", &["$a"], 0));
        assert_ne!(first, identity(&transaction("1", &["$b"], 0)));
        assert_ne!(first, identity(&transaction("1", &["$a", "$b"], 0)));
        assert_ne!(first, identity(&transaction("2", &["$a"], 0)));
        assert_eq!(identity(&transaction("1", &[], 1)), None);
    }
}
