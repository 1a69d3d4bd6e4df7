//! What the homeserver pushes: the body of `PUT /_matrix/app/v1/transactions/{txnId}`.
//!
//! Stable names and those of MSC2409, MSC3202 and MSC4203 meet here and nowhere else; when a body
//! holds both, the stable one counts. A single event that doesn't read is counted and left out: a
//! homeserver repeats a refused transaction until it is taken, so refusing the whole would let
//! anybody who can send one odd event stop all chats.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;

/// The key algorithm whose counts matter. Source: client-server API, "Key algorithms".
const ONE_TIME_KEY: &str = "signed_curve25519";

/// By user id, then by device id. Synapse lists cross-signing keys among the devices; whoever reads
/// this leaves unknown ids alone.
pub type ByDevice<T> = BTreeMap<String, BTreeMap<String, T>>;

/// One transaction.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Its id; the same again when the homeserver repeats it. Opaque.
    pub id: String,
    /// Room events, in order.
    pub events: Vec<RoomEvent>,
    /// To-device events for devices of ghosts and the bot, in order (MSC4203).
    pub to_device: Vec<ToDevice>,
    /// Typing, receipts, presence.
    pub ephemeral: Vec<Ephemeral>,
    /// Who has new, changed or fewer devices (MSC3202).
    pub device_lists_changed: Vec<String>,
    /// Who shares no room with us any more (MSC3202). Synapse never fills it.
    pub device_lists_left: Vec<String>,
    /// How many one-time keys are left (MSC3202). Zero when the homeserver says `{}`.
    pub one_time_keys: ByDevice<u64>,
    /// The algorithms of which the fallback key was not used yet (MSC3202).
    pub unused_fallback: ByDevice<Vec<String>>,
    /// How many parts were left out because they don't read.
    pub skipped: usize,
}

/// A room event. `Debug` leaves the content out.
#[derive(Clone, PartialEq, Deserialize)]
pub struct RoomEvent {
    /// The room.
    pub room_id: String,
    /// Its id.
    pub event_id: String,
    /// Who sent it.
    pub sender: String,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its state key, if it is a state event.
    #[serde(default)]
    pub state_key: Option<String>,
    /// Its content.
    #[serde(default)]
    pub content: Value,
    /// When it was sent, in milliseconds since the Unix epoch, as the sender's homeserver says. 0
    /// when that is no such number, which old room versions allow.
    #[serde(default, deserialize_with = "milliseconds")]
    pub origin_server_ts: u64,
    /// What it redacts; from room version 11 on this stands in the content alone (MSC2174).
    #[serde(default)]
    pub redacts: Option<String>,
    /// What the homeserver adds, `invite_room_state` for example.
    #[serde(default)]
    pub unsigned: Value,
}

impl fmt::Debug for RoomEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomEvent")
            .field("room_id", &self.room_id)
            .field("event_id", &self.event_id)
            .field("sender", &self.sender)
            .field("event_type", &self.event_type)
            .field("state_key", &self.state_key)
            .finish_non_exhaustive()
    }
}

/// A to-device event for one of our devices. `Debug` leaves the content out.
#[derive(Clone, PartialEq, Deserialize)]
pub struct ToDevice {
    /// For whom.
    pub to_user_id: String,
    /// For which device.
    pub to_device_id: String,
    /// Who sent it.
    pub sender: String,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its content.
    #[serde(default)]
    pub content: Value,
}

impl fmt::Debug for ToDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToDevice")
            .field("to_user_id", &self.to_user_id)
            .field("to_device_id", &self.to_device_id)
            .field("sender", &self.sender)
            .field("event_type", &self.event_type)
            .finish_non_exhaustive()
    }
}

/// Something of the moment.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Ephemeral {
    /// Its type: `m.typing`, `m.receipt`, `m.presence`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The room; none for presence.
    #[serde(default)]
    pub room_id: Option<String>,
    /// Whose presence; none for the others.
    #[serde(default)]
    pub sender: Option<String>,
    /// Its content, as the client-server API has it in `/sync`.
    #[serde(default)]
    pub content: Value,
}

/// A body that is no transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    /// It is no JSON.
    #[error("the body is no JSON")]
    NotJson,
    /// It is JSON of another form.
    #[error("{what} has the wrong form")]
    WrongForm {
        /// What.
        what: &'static str,
    },
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DeviceLists {
    changed: Vec<String>,
    left: Vec<String>,
}

impl Transaction {
    /// Reads a body.
    pub fn parse(id: &str, body: &[u8]) -> Result<Self, TransactionError> {
        let mut fields = Fields::parse(body)?;
        let events = fields.list("events", &["events"])?;
        let to_device =
            fields.list("to_device", &["to_device", "de.sorunome.msc2409.to_device"])?;
        let ephemeral =
            fields.list("ephemeral", &["ephemeral", "de.sorunome.msc2409.ephemeral"])?;
        let lists: DeviceLists =
            fields.object(&["device_lists", "org.matrix.msc3202.device_lists"]);
        let counts: ByDevice<BTreeMap<String, u64>> = fields.object(&[
            "device_one_time_keys_count",
            "device_one_time_key_counts",
            "org.matrix.msc3202.device_one_time_keys_count",
            "org.matrix.msc3202.device_one_time_key_counts",
        ]);
        let unused_fallback = fields.object(&[
            "device_unused_fallback_key_types",
            "org.matrix.msc3202.device_unused_fallback_key_types",
        ]);
        Ok(Self {
            id: id.to_owned(),
            events,
            to_device,
            ephemeral,
            device_lists_changed: lists.changed,
            device_lists_left: lists.left,
            one_time_keys: of_one_algorithm(counts),
            unused_fallback,
            skipped: fields.skipped,
        })
    }
}

/// The fields of the body, unread. Unread parts may be nested as deeply as they like; only reading
/// one has a limit.
struct Fields {
    unread: BTreeMap<String, Box<RawValue>>,
    skipped: usize,
}

impl Fields {
    fn parse(body: &[u8]) -> Result<Self, TransactionError> {
        let unread = serde_json::from_slice(body).map_err(|error| match error.classify() {
            Category::Data => TransactionError::WrongForm { what: "the body" },
            _ => TransactionError::NotJson,
        })?;
        Ok(Self { unread, skipped: 0 })
    }

    /// The first of these fields that is there and isn't null.
    fn take(&mut self, names: &[&str]) -> Option<Box<RawValue>> {
        names
            .iter()
            .filter_map(|name| self.unread.remove(*name))
            .find(|raw| raw.get() != "null")
    }

    /// A list of events. If it is no list, nothing can be said of what would be lost, and the whole
    /// is refused.
    fn list<T: DeserializeOwned>(
        &mut self,
        what: &'static str,
        names: &[&str],
    ) -> Result<Vec<T>, TransactionError> {
        let Some(raw) = self.take(names) else {
            return Ok(Vec::new());
        };
        let unread: Vec<&RawValue> =
            serde_json::from_str(raw.get()).map_err(|_| TransactionError::WrongForm { what })?;
        let count = unread.len();
        let read: Vec<T> = unread
            .into_iter()
            .filter_map(|event| serde_json::from_str(event.get()).ok())
            .collect();
        self.skipped += count - read.len();
        Ok(read)
    }

    /// A hint of the moment, without which all goes on.
    fn object<T: DeserializeOwned + Default>(&mut self, names: &[&str]) -> T {
        let Some(raw) = self.take(names) else {
            return T::default();
        };
        serde_json::from_str(raw.get()).unwrap_or_else(|_| {
            self.skipped += 1;
            T::default()
        })
    }
}

/// The counts of the one algorithm that is in use; what isn't named is zero.
fn of_one_algorithm(counts: ByDevice<BTreeMap<String, u64>>) -> ByDevice<u64> {
    let of_device = |(device, counts): (String, BTreeMap<String, u64>)| {
        (
            device,
            counts.get(ONE_TIME_KEY).copied().unwrap_or_default(),
        )
    };
    let of_user = |(user, devices): (String, BTreeMap<String, _>)| {
        (user, devices.into_iter().map(of_device).collect())
    };
    counts.into_iter().map(of_user).collect()
}

fn milliseconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Ok(Value::deserialize(deserializer)?
        .as_u64()
        .unwrap_or_default())
}

#[cfg(test)]
mod tests;
