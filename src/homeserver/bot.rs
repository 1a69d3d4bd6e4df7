//! What is asked for the bot's own device, and for the rooms in which it talks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use vestibule_appservice::error::CallError;
use vestibule_appservice::intent::{InboxEvent, Intent};
use vestibule_bridge::id::{EventId, RoomId};

use super::{CallFailed, Homeserver};
use crate::catchup::Counts;

/// What the bot's device is called in the hosts' clients.
const DEVICE_NAME: &str = "Guest chats";
/// The type of the account data in which the bot remembers how far its device is.
const STATE: &str = "org.vestibule.bot";

/// How far the bot's device was when it last sent something. It is kept at the homeserver, so that
/// a store that was set back to a backup is noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BotState {
    /// The device.
    pub device: String,
    /// Its ratchet steps.
    pub steps: u64,
}

/// What waited for the bot's device.
pub struct BotInbox {
    /// The to-device events, oldest first.
    pub to_device: Vec<InboxEvent>,
    /// Who has new, changed or fewer devices.
    pub changed: Vec<String>,
    /// What acknowledges the to-device events.
    pub next: String,
    /// How many keys the homeserver has left.
    pub counts: Counts,
}

/// What kind of room it is.
pub struct RoomView {
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Who is in it, the bot left out.
    pub members: BTreeSet<String>,
}

impl Homeserver {
    fn as_bot_device<'a>(&'a self, device: &'a str) -> Intent<'a> {
        self.as_bot().with_device(device)
    }

    /// Makes the bot's device, or names it.
    pub async fn put_bot_device(&self, device: &str) -> Result<(), CallFailed> {
        let put = self.as_bot().put_device(device, DEVICE_NAME).await;
        self.counted("put_device", put)
    }

    /// Deletes a device of the bot's.
    pub async fn delete_bot_device(&self, device: &str) -> Result<(), CallFailed> {
        let deleted = self.as_bot().delete_device(device).await;
        self.counted("delete_device", deleted)
    }

    /// How far the bot's device was; none when nothing that reads is kept.
    pub async fn bot_state(&self) -> Result<Option<BotState>, CallFailed> {
        let kept = self.counted("account_data", self.as_bot().account_data(STATE).await)?;
        Ok(kept.and_then(|kept| serde_json::from_value(kept).ok()))
    }

    /// Keeps how far the bot's device is.
    pub async fn keep_bot_state(&self, state: &BotState) -> Result<(), CallFailed> {
        let content = json!({ "device": state.device, "steps": state.steps });
        let kept = self.as_bot().set_account_data(STATE, &content).await;
        self.counted("set_account_data", kept)
    }

    /// Uploads keys of the bot's device; empty ones are left out.
    pub async fn upload_bot_keys(
        &self,
        device: &str,
        device_keys: Option<&Value>,
        one_time: &Map<String, Value>,
        fallback: &Map<String, Value>,
    ) -> Result<(), CallFailed> {
        let given = |keys: &Map<String, Value>| {
            Some(keys)
                .filter(|keys| !keys.is_empty())
                .map(|keys| Value::Object(keys.clone()))
        };
        let (one_time, fallback) = (given(one_time), given(fallback));
        let uploaded = self
            .as_bot_device(device)
            .upload_keys(device_keys, one_time.as_ref(), fallback.as_ref())
            .await;
        self.counted("keys_upload", uploaded).map(|_| ())
    }

    /// Uploads the bot's cross-signing keys, and the signature of its device.
    pub async fn sign_bot_device(
        &self,
        device: &str,
        [master, self_signing, user_signing]: [&Value; 3],
        device_keys: &Value,
    ) -> Result<(), CallFailed> {
        let bot = self.as_bot();
        let uploaded = bot.upload_cross_signing(master, self_signing, user_signing);
        self.counted("upload_cross_signing", uploaded.await)?;
        let signed = json!({ self.bot.as_str(): { device: device_keys } });
        let uploaded = bot.upload_signatures(&signed).await;
        self.counted("upload_signatures", uploaded)
    }

    /// The answer of `/keys/query` for these users.
    pub async fn query_as_bot(&self, device: &str, users: &[String]) -> Result<Value, CallFailed> {
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        let answer = self.as_bot_device(device).keys_query(&users).await;
        self.counted("keys_query", answer)
    }

    /// The answer of `/keys/claim` for these devices, by their users.
    pub async fn claim_as_bot(
        &self,
        device: &str,
        devices: &BTreeMap<String, Vec<String>>,
    ) -> Result<Value, CallFailed> {
        let devices: Vec<(&str, &str)> = devices
            .iter()
            .flat_map(|(user, devices)| devices.iter().map(|id| (user.as_str(), id.as_str())))
            .collect();
        let answer = self.as_bot_device(device).keys_claim(&devices).await;
        self.counted("keys_claim", answer)
    }

    /// Sends to-device messages of the bot's device: user id, device id, content.
    pub async fn send_as_bot_device(
        &self,
        device: &str,
        event_type: &str,
        transaction: &str,
        messages: Map<String, Value>,
    ) -> Result<(), CallFailed> {
        let sent = self
            .as_bot_device(device)
            .send_to_device(event_type, transaction, &Value::Object(messages))
            .await;
        self.counted("send_to_device", sent)
    }

    /// Sends an encrypted event of the bot's.
    pub async fn send_encrypted_as_bot(
        &self,
        room: &RoomId,
        transaction: &str,
        content: &Value,
    ) -> Result<EventId, CallFailed> {
        let sent = self
            .as_bot()
            .send_event(room.as_str(), "m.room.encrypted", transaction, content)
            .await;
        self.counted("send_encrypted", sent).map(EventId::new)
    }

    /// Reads what waits for the bot's device; `since` as for [`Homeserver::read_inbox`].
    pub async fn read_bot_inbox(
        &self,
        device: &str,
        since: Option<&str>,
    ) -> Result<BotInbox, CallFailed> {
        let unlike = self.unlike.fetch_add(1, Ordering::Relaxed);
        let bot = self.as_bot_device(device);
        let read = bot.sync_device(since, None, unlike).await;
        // Synapse fails at this for the user of an application service itself, by intention. That
        // must not look as if it were ill.
        let batch = match read {
            Err(source)
                if matches!(
                    source,
                    CallError::Status {
                        status: 500 | 501,
                        ..
                    }
                ) =>
            {
                self.metrics.call("sync", "refused");
                return Err(CallFailed {
                    call: "sync",
                    source,
                });
            }
            read => self.counted("sync", read)?,
        };
        if batch.skipped > 0 {
            let count = batch.skipped;
            tracing::warn!(count, "events for the bot that don't read were left out");
        }
        Ok(BotInbox {
            to_device: batch.to_device,
            changed: batch.device_lists_changed,
            next: batch.next_batch,
            counts: Counts {
                one_time_keys: batch.one_time_keys,
                fallback_unused: batch.fallback_unused,
            },
        })
    }

    /// What kind of room it is, and who is in it.
    pub async fn view_room(&self, room: &RoomId) -> Result<RoomView, CallFailed> {
        let state = self.room_state(self.as_bot(), room).await?;
        let joined = |event: &&crate::seal::StateEvent| {
            event.event_type == "m.room.member"
                && event.content.get("membership").and_then(Value::as_str) == Some("join")
        };
        let members = state.iter().filter(joined);
        Ok(RoomView {
            encrypted: state
                .iter()
                .any(|event| event.event_type == "m.room.encryption"),
            members: members
                .map(|event| event.state_key.clone())
                .filter(|user| user != self.bot.as_str())
                .collect(),
        })
    }

    /// Uploads a file that is encrypted already; what is in it stands nowhere.
    pub async fn upload_encrypted(&self, file: Vec<u8>) -> Result<String, CallFailed> {
        let bot = self.as_bot();
        let uploaded = bot
            .upload_media("application/octet-stream", "file", file)
            .await;
        // A media store that is off or full says nothing about the homeserver.
        let result = if uploaded.is_ok() { "ok" } else { "failed" };
        self.metrics.call("upload_media", result);
        uploaded.map_err(|source| CallFailed {
            call: "upload_media",
            source,
        })
    }
}
