//! To-device messages: sent, and read from a device's own inbox; and a room's latest events beside
//! them. Source: client-server API, "Send-to-Device messaging", `/sync`, `/messages`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ruma::api::client::filter::{FilterDefinition, RoomEventFilter};
use ruma::api::client::message::get_message_events;
use ruma::api::client::sync::sync_events;
use ruma::api::client::to_device::send_event_to_device;
use ruma::presence::PresenceState;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{Done, Intent, id_in_path, in_path};
use crate::error::CallError;
use crate::transaction::{Ephemeral, RoomEvent};

/// The one algorithm of one-time keys that is in use.
const ONE_TIME_KEY: &str = "signed_curve25519";

/// What tells how far somebody has read.
const RECEIPT: &str = "m.receipt";

/// How many of a room's latest events a reading brings.
const TIMELINE: u32 = 20;
/// How many events one page of a room's past holds.
const PAST: u32 = 100;

/// What `/sync` had for a device, and for the one room that was asked about.
#[derive(Debug, Default, PartialEq)]
pub struct DeviceBatch {
    /// The to-device events, oldest first.
    pub to_device: Vec<InboxEvent>,
    /// The room's latest events by others, oldest first, that of its leaving included.
    pub events: Vec<RoomEvent>,
    /// Where the room's past goes on, when it has more than `events`.
    pub earlier: Option<String>,
    /// How far the room's members have read.
    pub receipts: Vec<Ephemeral>,
    /// Where to go on. Given as `since`, the homeserver forgets all to-device events before it.
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

/// One page of a room's past.
#[derive(Debug, Default, PartialEq)]
pub struct Past {
    /// The events by others, newest first.
    pub events: Vec<RoomEvent>,
    /// Where it goes on; none at the room's beginning.
    pub earlier: Option<String>,
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
    rooms: Rooms,
    #[serde(default)]
    device_lists: DeviceLists,
    device_one_time_keys_count: Option<BTreeMap<String, u64>>,
    device_unused_fallback_key_types: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Events {
    events: Vec<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rooms {
    join: BTreeMap<String, Room>,
    leave: BTreeMap<String, Room>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Room {
    timeline: Timeline,
    ephemeral: Events,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Timeline {
    events: Vec<Box<RawValue>>,
    limited: bool,
    prev_batch: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DeviceLists {
    changed: Vec<String>,
}

#[derive(Deserialize)]
struct PastAnswer {
    #[serde(default)]
    chunk: Vec<Box<RawValue>>,
    end: Option<String>,
}

impl DeviceBatch {
    fn from(mut answer: Answer, room: Option<&str>) -> Self {
        // Anybody can send to a ghost's device, so no event may keep the others from being read.
        let count = answer.to_device.events.len();
        let read = answer.to_device.events.iter();
        let to_device: Vec<InboxEvent> = read
            .filter_map(|event| serde_json::from_str(event.get()).ok())
            .collect();
        let mut skipped = count - to_device.len();
        let found = room.and_then(|room| {
            let rooms = &mut answer.rooms;
            let found = rooms.join.remove(room).or_else(|| rooms.leave.remove(room));
            found.map(|found| (room, found))
        });
        let (mut events, mut receipts, mut earlier) = (Vec::new(), Vec::new(), None);
        if let Some((room, found)) = found {
            events = in_room(room, &found.timeline.events, &mut skipped);
            receipts = in_room(room, &found.ephemeral.events, &mut skipped);
            let timeline = found.timeline;
            earlier = timeline.prev_batch.filter(|_| timeline.limited);
        }
        let left =
            |counts: BTreeMap<String, u64>| counts.get(ONE_TIME_KEY).copied().unwrap_or_default();
        let unused = |algorithms: Vec<String>| algorithms.iter().any(|name| name == ONE_TIME_KEY);
        Self {
            to_device,
            events,
            earlier,
            receipts,
            next_batch: answer.next_batch,
            one_time_keys: answer.device_one_time_keys_count.map(left),
            fallback_unused: answer.device_unused_fallback_key_types.map(unused),
            device_lists_changed: answer.device_lists.changed,
            skipped,
        }
    }
}

/// Events of a known room, which `/sync` doesn't name in each of them.
fn in_room<T: DeserializeOwned>(
    room: &str,
    events: &[Box<RawValue>],
    skipped: &mut usize,
) -> Vec<T> {
    let read: Vec<T> = events
        .iter()
        .filter_map(|event| {
            let mut event: Map<String, Value> = serde_json::from_str(event.get()).ok()?;
            event.insert("room_id".to_owned(), room.into());
            serde_json::from_value(Value::Object(event)).ok()
        })
        .collect();
    *skipped += events.len() - read.len();
    read
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

    /// Reads the device's inbox by `/sync` without waiting, and beside it what others last wrote
    /// in one room, which may have been left meanwhile. Without `since` everything comes that was
    /// not acknowledged; `since` acknowledges what came before it, so it must be fresh: Synapse
    /// that was set back to a backup takes one from before as the order to delete what nobody read.
    ///
    /// Synapse also answers a request that it had in the last two minutes from a cache; `unlike`,
    /// a number that was not used lately, makes the request differ. The user doesn't appear as
    /// online by this.
    pub async fn sync_device(
        &self,
        since: Option<&str>,
        room: Option<&str>,
        unlike: u64,
    ) -> Result<DeviceBatch, CallError> {
        let mut filter = FilterDefinition::ignore_all();
        // Presence is ignored as a whole, so that leaving a user out of it changes nothing else.
        filter.presence.not_senders =
            vec![id_in_path("user id", &format!("@{unlike}:unlike.invalid"))?];
        if let Some(room) = room {
            filter.room.rooms = Some(vec![id_in_path("room id", room)?]);
            filter.room.include_leave = true;
            filter.room.timeline = self.by_others(TIMELINE)?;
            filter.room.state = RoomEventFilter::ignore_all();
            filter.room.ephemeral.types = Some(vec![RECEIPT.to_owned()]);
            filter.room.account_data = RoomEventFilter::ignore_all();
        }
        let mut request = sync_events::v3::Request::new();
        request.filter = Some(filter.into());
        request.since = since.map(str::to_owned);
        request.timeout = Some(Duration::ZERO);
        request.set_presence = PresenceState::Offline;
        let answer: Answer = self.ask(request).await?;
        Ok(DeviceBatch::from(answer, room))
    }

    /// What others wrote in a room before the place `from`.
    pub async fn past(&self, room: &str, from: &str) -> Result<Past, CallError> {
        let mut request = get_message_events::v3::Request::backward(id_in_path("room id", room)?);
        request.from = Some(from.to_owned());
        request.limit = PAST.into();
        request.filter = self.by_others(PAST)?;
        let answer: PastAnswer = self.ask(request).await?;
        let mut skipped = 0;
        Ok(Past {
            events: in_room(room, &answer.chunk, &mut skipped),
            earlier: answer.end,
            skipped,
        })
    }

    fn by_others(&self, limit: u32) -> Result<RoomEventFilter, CallError> {
        let mut filter = RoomEventFilter::empty();
        filter.limit = Some(limit.into());
        filter.not_senders = vec![id_in_path("user id", self.user)?];
        Ok(filter)
    }
}
