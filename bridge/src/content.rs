//! What a guest's browser may hand to the homeserver: ciphertext in exactly the shapes of the
//! client-server API, and nothing beside it. What is inside can't be seen here; what is outside
//! could be read by both servers, so there is no room for it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::id::{DeviceId, RoomId};
use crate::refusal::Refusal;
use crate::store::Digest;

/// The algorithm of room messages.
pub(crate) const MEGOLM: &str = "m.megolm.v1.aes-sha2";
/// The algorithm of messages to a device.
pub(crate) const OLM: &str = "m.olm.v1.curve25519-aes-sha2";
/// The type of everything encrypted.
pub(crate) const ENCRYPTED: &str = "m.room.encrypted";
/// The type that says why a device gets no room key.
pub(crate) const WITHHELD: &str = "m.room_key.withheld";

/// How many devices one frame may address.
const DEVICES: usize = 100;
/// How many bytes of JSON the contents of one to-device frame may have; Synapse refuses more for a
/// single device already.
const TO_DEVICE_BYTES: usize = 64 * 1024;
/// How many Curve25519 keys one Olm content may name; ours names the receiver's only.
const OLM_RECEIVERS: usize = 1;
/// The codes of `m.room_key.withheld` (client-server API, "Reporting that decryption keys are
/// withheld").
const WITHHELD_CODES: [&str; 5] = [
    "m.blacklisted",
    "m.unverified",
    "m.unauthorised",
    "m.unavailable",
    "m.no_olm",
];

/// Checks the content of an `m.room.encrypted` event: Megolm, and at most `limit` bytes of JSON.
pub(crate) fn check_megolm(content: &Value, limit: usize) -> Result<(), Refusal> {
    if json_length(content) > limit {
        return Err(Refusal::TooLarge);
    }
    let object = content.as_object().ok_or(Refusal::NotEncrypted)?;
    let known = [
        "algorithm",
        "ciphertext",
        "session_id",
        "device_id",
        "sender_key",
    ];
    let sound = only_strings(object, &known)
        && is(object, "algorithm", MEGOLM)
        && object.contains_key("ciphertext")
        && object.contains_key("session_id");
    if sound {
        Ok(())
    } else {
        Err(Refusal::NotEncrypted)
    }
}

/// Checks to-device messages for devices of the host. `room` is the portal's: a guest says nothing
/// about keys of another room.
pub(crate) fn check_to_device(
    event_type: &str,
    messages: &BTreeMap<DeviceId, Value>,
    room: &RoomId,
) -> Result<(), Refusal> {
    if !(1..=DEVICES).contains(&messages.len()) {
        return Err(Refusal::BadRequest);
    }
    // "*" would address every device at once, also those that get no keys.
    if messages
        .keys()
        .any(|device| device.as_str().is_empty() || device.as_str() == "*")
    {
        return Err(Refusal::BadRequest);
    }
    if messages.values().map(json_length).sum::<usize>() > TO_DEVICE_BYTES {
        return Err(Refusal::TooLarge);
    }
    let sound: fn(&Map<String, Value>, &RoomId) -> bool = match event_type {
        ENCRYPTED => is_olm,
        WITHHELD => is_withheld,
        _ => return Err(Refusal::BadRequest),
    };
    let all = messages.values().all(|content| {
        content
            .as_object()
            .is_some_and(|object| sound(object, room))
    });
    if all {
        Ok(())
    } else {
        Err(Refusal::NotEncrypted)
    }
}

/// `{"algorithm", "sender_key", "ciphertext": {"<key>": {"type": 0 or 1, "body"}}}`, and the id that
/// clients add to trace a message.
fn is_olm(object: &Map<String, Value>, _room: &RoomId) -> bool {
    let known = ["algorithm", "sender_key", "ciphertext", "org.matrix.msgid"];
    let id = object.get("org.matrix.msgid").is_none_or(Value::is_string);
    let ciphertext = object
        .get("ciphertext")
        .and_then(Value::as_object)
        .is_some_and(|receivers| {
            receivers.len() == OLM_RECEIVERS && receivers.values().all(is_olm_message)
        });
    only(object, &known)
        && id
        && ciphertext
        && is(object, "algorithm", OLM)
        && object.get("sender_key").is_some_and(Value::is_string)
}

fn is_olm_message(message: &Value) -> bool {
    message.as_object().is_some_and(|message| {
        only(message, &["type", "body"])
            && message
                .get("type")
                .and_then(Value::as_u64)
                .is_some_and(|kind| kind <= 1)
            && message.get("body").is_some_and(Value::is_string)
    })
}

/// No `reason`: it is free text that both servers could read.
fn is_withheld(object: &Map<String, Value>, room: &RoomId) -> bool {
    let known = [
        "algorithm",
        "code",
        "room_id",
        "session_id",
        "sender_key",
        "from_device",
    ];
    let code = object.get("code").and_then(Value::as_str);
    only_strings(object, &known)
        && is(object, "algorithm", MEGOLM)
        && code.is_some_and(|code| WITHHELD_CODES.contains(&code))
        && object
            .get("room_id")
            .is_none_or(|named| named.as_str() == Some(room.as_str()))
}

fn is(object: &Map<String, Value>, key: &str, value: &str) -> bool {
    object.get(key).and_then(Value::as_str) == Some(value)
}

fn only(object: &Map<String, Value>, known: &[&str]) -> bool {
    object.keys().all(|key| known.contains(&key.as_str()))
}

fn only_strings(object: &Map<String, Value>, known: &[&str]) -> bool {
    only(object, known) && object.values().all(Value::is_string)
}

fn json_length(value: &Value) -> usize {
    value.to_string().len()
}

/// Recognises an event by parts of it: each part is hashed with its length, so that no two lists
/// of parts give the same bytes.
pub(crate) fn digest(parts: &[&str]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let hash: [u8; 32] = hasher.finalize().into();
    let mut digest = [0u8; 16];
    digest
        .iter_mut()
        .zip(hash)
        .for_each(|(to, from)| *to = from);
    Digest(digest)
}

/// JSON with sorted keys. serde_json sorts too, but not any more as soon as some crate in the
/// build asks for its feature `preserve_order`.
pub(crate) fn sorted_json(value: &Value) -> String {
    let mut text = String::new();
    write_sorted(value, &mut text);
    text
}

/// Recurses no deeper than the 128 levels that serde_json reads.
fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<_, _> = object.iter().collect();
            let mut before = '{';
            for (key, value) in sorted {
                text.push(before);
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                write_sorted(value, text);
                before = ',';
            }
            text.push_str(if object.is_empty() { "{}" } else { "}" });
        }
        Value::Array(items) => {
            let mut before = '[';
            for item in items {
                text.push(before);
                write_sorted(item, text);
                before = ',';
            }
            text.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn json_is_sorted_at_every_depth() {
        let table = [
            (
                r#"{"b":1,"a":{"d":[{"z":1,"y":2},null],"c":"\"x\n"}}"#,
                r#"{"a":{"c":"\"x\n","d":[{"y":2,"z":1},null]},"b":1}"#,
            ),
            (r#"{}"#, r#"{}"#),
            (r#"[]"#, r#"[]"#),
            (r#"[1, -2, true, "ä", {}]"#, r#"[1,-2,true,"ä",{}]"#),
            (r#"{"a\"b":[]}"#, r#"{"a\"b":[]}"#),
        ];
        for (text, expected) in table {
            let sorted = sorted_json(&serde_json::from_str(text).unwrap());
            assert_eq!(sorted, expected);
            assert_eq!(
                serde_json::from_str::<Value>(&sorted).unwrap(),
                serde_json::from_str::<Value>(text).unwrap()
            );
        }
    }

    #[test]
    fn a_digest_tells_parts_apart() {
        let different = [
            digest(&[]),
            digest(&[""]),
            digest(&["ab", "c"]),
            digest(&["a", "bc"]),
            digest(&["abc"]),
        ];
        let unique: std::collections::BTreeSet<_> = different.iter().collect();
        assert_eq!(unique.len(), different.len());
        assert_eq!(digest(&["ab", "c"]), digest(&["ab", "c"]));
    }
}
