//! Devices whose Olm messages can't be read any more, and the new sessions that put that right
//! (Matrix specification, "Recovering from undecryptable messages").

use serde_json::{Map, Value};

use crate::error::OpenError;
use crate::identity::elapsed;
use crate::object::{Object, list, number, owned};
use crate::records::{Changes, Record, kind};

/// A device gets one new session in this time: whoever sends it rubbish must not use up the
/// one-time keys of the host.
const PAUSE_MS: u64 = 3_600_000;

#[derive(Default)]
pub(crate) struct Healing {
    /// Devices that need a new session.
    wedged: Vec<String>,
    /// Devices that got one, and when.
    healed: Vec<(String, u64)>,
    /// The first messages of new sessions, until they are sure to be delivered.
    pending: Map<String, Value>,
    /// Counts what was handed out, so that each has its own id.
    handed_out: u64,
}

impl Healing {
    pub(crate) fn open(bytes: &[u8]) -> Result<Self, OpenError> {
        Record::read(kind::HEALING, bytes)?.parse(|object| {
            Some(Self {
                wedged: list(object, "wedged", |device| owned(device, "id"))?,
                healed: list(object, "healed", |device| {
                    Some((owned(device, "id")?, number(device, "at")?))
                })?,
                pending: object.get("pending")?.as_object()?.clone(),
                handed_out: number(object, "handed_out")?,
            })
        })
    }

    pub(crate) fn save(&self, changes: &mut Changes) {
        let device = |id: &str| Object::default().text("id", id);
        let object = Object::default()
            .list("wedged", &self.wedged, |id| device(id))
            .list("healed", &self.healed, |(id, at)| {
                device(id).number("at", *at)
            })
            .value("pending", Value::Object(self.pending.clone()))
            .number("handed_out", self.handed_out);
        changes.put(kind::HEALING.to_owned(), object);
    }

    /// A message of that device could not be read. Whether that makes it one to heal.
    pub(crate) fn notice(&mut self, device_id: &str, now: u64) -> bool {
        let lately = |(id, at): &(String, u64)| id == device_id && elapsed(*at, now) < PAUSE_MS;
        if self.is_wedged(device_id) || self.healed.iter().any(lately) {
            return false;
        }
        self.wedged.push(device_id.to_owned());
        true
    }

    pub(crate) fn is_wedged(&self, device_id: &str) -> bool {
        self.wedged.iter().any(|id| id == device_id)
    }

    pub(crate) fn wedged(&self) -> impl Iterator<Item = &str> {
        self.wedged.iter().map(String::as_str)
    }

    /// The device has a new session, of which this is the first message.
    pub(crate) fn healed(&mut self, device_id: &str, first: Value, now: u64) {
        self.wedged.retain(|id| id != device_id);
        self.healed
            .retain(|(id, at)| id != device_id && elapsed(*at, now) < PAUSE_MS);
        self.healed.push((device_id.to_owned(), now));
        self.pending.insert(device_id.to_owned(), first);
        self.handed_out = self.handed_out.saturating_add(1);
    }

    /// What is to be delivered, and the name that it is confirmed by.
    pub(crate) fn pending(&self) -> Option<(String, &Map<String, Value>)> {
        (!self.pending.is_empty()).then(|| (self.id(), &self.pending))
    }

    /// Whether that was awaited.
    pub(crate) fn stored(&mut self, id: &str) -> bool {
        let awaited = !self.pending.is_empty() && self.id() == id;
        if awaited {
            self.pending.clear();
        }
        awaited
    }

    /// Never the id of a room key, which begins with a Megolm session's.
    fn id(&self) -> String {
        format!("heal.{}", self.handed_out)
    }
}
