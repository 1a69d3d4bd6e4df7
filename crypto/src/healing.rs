//! Devices whose Olm messages can't be read any more, and the new sessions that put that right
//! (Matrix specification, "Recovering from undecryptable messages").

use serde_json::{Map, Value};

use crate::error::OpenError;
use crate::identity::elapsed;
use crate::object::{Object, list, number};
use crate::place::Place;
use crate::records::{Changes, Record, kind};

/// A device gets one new session in this time: whoever sends rubbish in its name must not use up
/// its one-time keys.
const PAUSE_MS: u64 = 3_600_000;

#[derive(Default)]
pub(crate) struct Healing {
    /// Devices that need a new session.
    wedged: Vec<Place>,
    /// Devices that got one, and when.
    healed: Vec<(Place, u64)>,
    /// The first messages of new sessions by user and device, until they are sure to be delivered.
    pending: Map<String, Value>,
    /// Counts what was handed out, so that each has its own id.
    handed_out: u64,
}

impl Healing {
    pub(crate) fn open(bytes: &[u8], host: Option<&str>) -> Result<Self, OpenError> {
        let record = Record::read(kind::HEALING, bytes)?;
        let host = record.host(host);
        record.parse(|object| {
            let place = |device: &Map<String, Value>| Place::from_object(device, host);
            Some(Self {
                wedged: list(object, "wedged", place)?,
                healed: list(object, "healed", |device| {
                    Some((place(device)?, number(device, "at")?))
                })?,
                pending: by_user(object.get("pending")?, host)?,
                handed_out: number(object, "handed_out")?,
            })
        })
    }

    pub(crate) fn save(&self, changes: &mut Changes) {
        let object = Object::default()
            .list("wedged", &self.wedged, Place::to_object)
            .list("healed", &self.healed, |(device, at)| {
                device.to_object().number("at", *at)
            })
            .value("pending", Value::Object(self.pending.clone()))
            .number("handed_out", self.handed_out);
        changes.put(kind::HEALING.to_owned(), object);
    }

    /// A message of that device could not be read. Whether that makes it one to heal.
    pub(crate) fn notice(&mut self, device: Place, now: u64) -> bool {
        let lately = |(known, at): &(Place, u64)| *known == device && elapsed(*at, now) < PAUSE_MS;
        if self.is_wedged(&device) || self.healed.iter().any(lately) {
            return false;
        }
        self.wedged.push(device);
        true
    }

    pub(crate) fn is_wedged(&self, device: &Place) -> bool {
        self.wedged.contains(device)
    }

    pub(crate) fn wedged(&self) -> impl Iterator<Item = &Place> {
        self.wedged.iter()
    }

    /// The device has a new session, of which this is the first message.
    pub(crate) fn healed(&mut self, device: &Place, first: Value, now: u64) {
        self.wedged.retain(|known| known != device);
        self.healed
            .retain(|(known, at)| known != device && elapsed(*at, now) < PAUSE_MS);
        self.healed.push((device.clone(), now));
        device.address(&mut self.pending, first);
        self.handed_out = self.handed_out.saturating_add(1);
    }

    /// Nothing more is done for devices of that user.
    pub(crate) fn forget(&mut self, user_id: &str, changes: &mut Changes) {
        self.wedged.retain(|device| device.user_id != user_id);
        self.healed.retain(|(device, _)| device.user_id != user_id);
        self.pending.remove(user_id);
        self.save(changes);
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

/// Messages by user and device. The first format has them by device alone, all for its one `host`.
pub(crate) fn by_user(messages: &Value, host: Option<&str>) -> Option<Map<String, Value>> {
    let messages = messages.as_object()?.clone();
    Some(match host {
        Some(host) if !messages.is_empty() => Object::default()
            .value(host, Value::Object(messages))
            .into_map(),
        _ => messages,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    const ALICE: &str = "@alice:example.org";
    const BOB: &str = "@bob:example.org";

    #[test]
    fn who_was_healed_is_remembered_for_an_hour_and_no_longer() {
        let mut healing = Healing::default();
        let [one, two, three] = ["ONE", "TWO", "THREE"].map(|id| Place::new(ALICE, id));
        healing.healed(&one, Value::Null, 0);
        healing.healed(&two, Value::Null, PAUSE_MS - 1);
        assert!(!healing.notice(one.clone(), PAUSE_MS - 1));
        healing.healed(&three, Value::Null, PAUSE_MS);
        let known = [(two.clone(), PAUSE_MS - 1), (three.clone(), PAUSE_MS)];
        assert_eq!(healing.healed, known);
        assert!(healing.notice(one, PAUSE_MS));
        healing.healed(&two, Value::Null, PAUSE_MS + 1);
        assert_eq!(healing.healed, [(three, PAUSE_MS), (two, PAUSE_MS + 1)]);
    }

    #[test]
    fn of_who_is_forgotten_nothing_is_healed() {
        let mut healing = Healing::default();
        for user_id in [ALICE, BOB] {
            healing.healed(&Place::new(user_id, "HEALED"), Value::Null, 0);
            assert!(healing.notice(Place::new(user_id, "WEDGED"), 0));
        }
        let mut changes = Changes::default();
        healing.forget(ALICE, &mut changes);
        let stored = changes.into_records().remove(kind::HEALING).unwrap();
        let stored = Healing::open(&stored.unwrap(), None).unwrap();
        for healing in [healing, stored] {
            assert_eq!(healing.wedged, [Place::new(BOB, "WEDGED")]);
            assert_eq!(healing.healed, [(Place::new(BOB, "HEALED"), 0)]);
            let (_, messages) = healing.pending().unwrap();
            assert_eq!(
                Value::from(messages.clone()),
                json!({BOB: {"HEALED": null}})
            );
        }
    }

    #[test]
    fn no_messages_of_the_first_format_are_none_for_its_host() {
        let read = |messages: Value, host| Value::from(by_user(&messages, host).unwrap());
        assert_eq!(read(json!({}), Some(ALICE)), json!({}));
        let (first, second) = (json!({"DEV": 1}), json!({ALICE: {"DEV": 1}}));
        assert_eq!(read(first, Some(ALICE)), second);
        assert_eq!(read(second.clone(), None), second);
    }
}
