//! To-device messages: sent, and read from a device's own inbox. Source: client-server API,
//! "Send-to-Device messaging" and `/sync`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ruma::api::client::filter::FilterDefinition;
use ruma::api::client::sync::sync_events;
use ruma::api::client::to_device::send_event_to_device;
use ruma::presence::PresenceState;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Done, Intent, in_path};
use crate::error::CallError;

/// The one algorithm of one-time keys that is in use.
const ONE_TIME_KEY: &str = "signed_curve25519";

/// What a device's inbox held.
#[derive(Debug, Default, PartialEq)]
pub struct ToDeviceBatch {
    /// The events, oldest first.
    pub to_device: Vec<InboxEvent>,
    /// Where to go on. Given as `since`, the homeserver forgets all events before it.
    pub next_batch: String,
    /// How many one-time keys the homeserver has left; none when it doesn't say.
    pub one_time_keys: Option<u64>,
    /// Whether the fallback key was not used yet; none when it doesn't say.
    pub fallback_unused: Option<bool>,
    /// Who has new, changed or fewer devices.
    pub device_lists_changed: Vec<String>,
    /// How many events were left out because they don't read.
    pub skipped: usize,
}

/// A to-device event. `Debug` leaves the content out.
#[derive(Clone, PartialEq, Deserialize)]
pub struct InboxEvent {
    /// Who sent it.
    pub sender: String,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its content.
    #[serde(default)]
    pub content: Value,
}

impl fmt::Debug for InboxEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboxEvent")
            .field("sender", &self.sender)
            .field("event_type", &self.event_type)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer {
    next_batch: String,
    #[serde(default)]
    to_device: Events,
    #[serde(default)]
    device_lists: DeviceLists,
    device_one_time_keys_count: Option<BTreeMap<String, u64>>,
    device_unused_fallback_key_types: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Events {
    events: Vec<Box<serde_json::value::RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DeviceLists {
    changed: Vec<String>,
}

impl From<Answer> for ToDeviceBatch {
    fn from(answer: Answer) -> Self {
        let events = answer.to_device.events;
        let count = events.len();
        // Anybody can send to a ghost's device, so no event may keep the others from being read.
        let to_device: Vec<InboxEvent> = events
            .into_iter()
            .filter_map(|event| serde_json::from_str(event.get()).ok())
            .collect();
        let left =
            |counts: BTreeMap<String, u64>| counts.get(ONE_TIME_KEY).copied().unwrap_or_default();
        let unused = |algorithms: Vec<String>| algorithms.iter().any(|name| name == ONE_TIME_KEY);
        Self {
            skipped: count - to_device.len(),
            to_device,
            next_batch: answer.next_batch,
            one_time_keys: answer.device_one_time_keys_count.map(left),
            fallback_unused: answer.device_unused_fallback_key_types.map(unused),
            device_lists_changed: answer.device_lists.changed,
        }
    }
}

impl Intent<'_> {
    /// Sends to-device messages: their contents by user id and then by device id.
    pub async fn send_to_device(
        &self,
        event_type: &str,
        transaction: &str,
        messages: &Value,
    ) -> Result<(), CallError> {
        let request = send_event_to_device::v3::Request::new_raw(
            in_path("event type", event_type)?.into(),
            in_path("transaction id", transaction)?.into(),
            BTreeMap::new(),
        );
        let _sent: Done = self
            .ask_with(request, &json!({ "messages": messages }))
            .await?;
        Ok(())
    }

    /// Reads the device's inbox by `/sync`, without any room and without waiting. `since`
    /// acknowledges everything that came before it. The user doesn't appear as online by this.
    pub async fn sync_to_device(&self, since: Option<&str>) -> Result<ToDeviceBatch, CallError> {
        let mut request = sync_events::v3::Request::new();
        request.filter = Some(FilterDefinition::ignore_all().into());
        request.since = since.map(str::to_owned);
        request.timeout = Some(Duration::ZERO);
        request.set_presence = PresenceState::Offline;
        let answer: Answer = self.ask(request).await?;
        Ok(answer.into())
    }
}
