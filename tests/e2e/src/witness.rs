//! What must never be seen on the wire, whatever fails.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::Value;

use crate::Way;

/// Looks at everything that passes the proxies, and remembers.
#[derive(Debug, Default)]
pub struct Witness(Mutex<Seen>);

/// New keys on their way from a browser.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Upload {
    /// The public keys by id.
    pub keys: BTreeMap<String, String>,
    /// How many uploads were answered with success before this one left.
    pub answered_before: usize,
}

#[derive(Debug, Default)]
struct Seen {
    /// Ciphertexts by Megolm session and message index.
    ciphertexts: HashMap<(String, u64), String>,
    /// Public one-time and fallback keys by device and key id.
    keys: HashMap<(String, String), String>,
    /// Devices that said hello, by connection.
    devices: HashMap<u64, String>,
    last_upload: Upload,
    /// Uploads whose answer is still to come, by connection and id.
    open_uploads: HashSet<(u64, u64)>,
    answered_uploads: usize,
    complaints: Vec<String>,
}

impl Witness {
    /// What was seen that must not be.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        self.seen().complaints.clone()
    }

    /// How many messages, each with its own index, guests have encrypted.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.seen().ciphertexts.len()
    }

    /// How many public keys of guests were seen.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.seen().keys.len()
    }

    /// The last upload that left a browser, arrived or not.
    #[must_use]
    pub fn last_upload(&self) -> Upload {
        self.seen().last_upload.clone()
    }

    /// How many uploads were answered with success to a browser.
    #[must_use]
    pub fn answered_uploads(&self) -> usize {
        self.seen().answered_uploads
    }

    pub(crate) fn request(&self, target: &str, body: &[u8]) {
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return;
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut seen = self.seen();
        if path.contains("/send/m.room.encrypted/") && query.contains("user_id=") {
            seen.message(&body);
        } else if path.ends_with("/keys/upload") {
            let device = query
                .split('&')
                .find_map(|part| part.strip_prefix("device_id="));
            seen.key_sets(device.unwrap_or_default(), &body);
        } else if path.ends_with("/api/v1/join") {
            let device = body.get("device_id").and_then(Value::as_str);
            let keys = body.get("keys").unwrap_or(&Value::Null);
            seen.key_sets(device.unwrap_or_default(), keys);
        }
    }

    pub(crate) fn answer(&self, line: &str, status: u16, body: &[u8]) {
        if line.ends_with("/keys/upload") && (400..500).contains(&status) {
            let text = String::from_utf8_lossy(body);
            self.seen()
                .complaints
                .push(format!("keys refused with {status}: {text}"));
        }
    }

    pub(crate) fn frame(&self, connection: u64, way: Way, frame: &Value) {
        let mut seen = self.seen();
        let id = frame.get("id").and_then(Value::as_u64);
        match frame.get("type").and_then(Value::as_str) {
            _ if way == Way::Out => {
                let is_ok = frame.get("ok").and_then(Value::as_bool) == Some(true);
                let id = id.unwrap_or_default();
                if seen.open_uploads.remove(&(connection, id)) && is_ok {
                    seen.answered_uploads += 1;
                }
            }
            Some("hello") => {
                let device = frame.get("device").and_then(Value::as_str);
                seen.devices
                    .insert(connection, device.unwrap_or_default().to_owned());
            }
            Some("send") => seen.message(frame.get("content").unwrap_or(&Value::Null)),
            Some("keys_upload") => {
                seen.open_uploads
                    .insert((connection, id.unwrap_or_default()));
                seen.last_upload = Upload {
                    keys: public_keys(frame),
                    answered_before: seen.answered_uploads,
                };
                let device = seen.devices.get(&connection).cloned();
                seen.key_sets(&device.unwrap_or_default(), frame);
            }
            _ => {}
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn message(&mut self, content: &Value) {
        let text = |name| content.get(name).and_then(Value::as_str);
        let (Some(session), Some(ciphertext)) = (text("session_id"), text("ciphertext")) else {
            self.complaints
                .push("a message that is not Megolm".to_owned());
            return;
        };
        let Some(index) = message_index(ciphertext) else {
            self.complaints
                .push("a ciphertext without an index".to_owned());
            return;
        };
        match self.ciphertexts.entry((session.to_owned(), index)) {
            Entry::Vacant(place) => {
                place.insert(ciphertext.to_owned());
            }
            Entry::Occupied(known) if known.get() == ciphertext => {}
            Entry::Occupied(_) => self.complaints.push(format!(
                "the index {index} of the Megolm session {session} has two ciphertexts"
            )),
        }
    }

    fn key_sets(&mut self, device: &str, body: &Value) {
        for (id, key) in public_keys(body) {
            let place = (device.to_owned(), id.clone());
            let known = self.keys.entry(place).or_insert_with(|| key.clone());
            if *known != key {
                self.complaints
                    .push(format!("the key {id} of {device} has two values"));
            }
        }
    }
}

/// The one-time and fallback keys of an upload, by set and id: the two sets count for themselves.
fn public_keys(body: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for set in ["one_time_keys", "fallback_keys"] {
        let keys = body.get(set).and_then(Value::as_object);
        for (id, key) in keys.into_iter().flatten() {
            let key = key.get("key").and_then(Value::as_str).unwrap_or_default();
            all.insert(format!("{id} of {set}"), key.to_owned());
        }
    }
    all
}

/// The index of a Megolm message: version 3, then the tag 0x08 and the index as a varint.
/// Source: the Megolm specification, "Message format".
fn message_index(ciphertext: &str) -> Option<u64> {
    let bytes = STANDARD_NO_PAD.decode(ciphertext).ok()?;
    let mut bytes = bytes.iter();
    if bytes.next() != Some(&3) || bytes.next() != Some(&8) {
        return None;
    }
    let mut index = 0;
    for shift in (0..35).step_by(7) {
        let byte = bytes.next()?;
        index |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(index);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::indexing_slicing, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn content(index: &[u8], rest: &[u8]) -> Value {
        let ciphertext = STANDARD_NO_PAD.encode([&[3, 8][..], index, rest].concat());
        json!({"session_id": "s", "ciphertext": ciphertext})
    }

    #[test]
    fn two_ciphertexts_of_one_index_are_noticed() {
        let witness = Witness::default();
        let send =
            |content| witness.frame(1, Way::In, &json!({"type": "send", "content": content}));
        send(content(&[0], b"one"));
        send(content(&[0], b"one"));
        send(content(&[0x81, 0x01], b"other index"));
        assert_eq!(witness.complaints(), Vec::<String>::new());
        assert_eq!(witness.messages(), 2);
        send(content(&[0x81, 0x01], b"again"));
        let [complaint] = &witness.complaints()[..] else {
            panic!("{:?}", witness.complaints())
        };
        assert!(complaint.contains("index 129"), "{complaint}");
    }

    #[test]
    fn two_keys_of_one_id_are_noticed() {
        let witness = Witness::default();
        let keys = |key: &str| json!({"one_time_keys": {"signed_curve25519:AAAA": {"key": key}}});
        witness.frame(1, Way::In, &json!({"type": "hello", "device": "D"}));
        let mut frame = keys("first");
        frame["type"] = json!("keys_upload");
        witness.frame(1, Way::In, &frame);
        let target = "/_matrix/client/v3/keys/upload?user_id=%40g&device_id=D";
        witness.request(target, keys("first").to_string().as_bytes());
        let other = "/_matrix/client/v3/keys/upload?user_id=%40g&device_id=E";
        witness.request(other, keys("second").to_string().as_bytes());
        assert_eq!(witness.complaints(), Vec::<String>::new());
        witness.request(target, keys("second").to_string().as_bytes());
        assert_eq!(witness.complaints().len(), 1);
        let line = "POST /_matrix/client/v3/keys/upload";
        witness.answer(
            line,
            400,
            b"One time key signed_curve25519:AAAA already exists",
        );
        assert_eq!(witness.complaints().len(), 2);
    }
}
