//! What this device can say: a closed list, so that nobody who holds the machine can have it say
//! anything else.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::compact;
use crate::error::CryptoError;
use crate::object::{Object, Secret, flag, text};

/// Ciphertexts come in few sizes, so that their length tells little about what is inside.
const SMALLEST_STEP: usize = 256;
const DOUBLING_UP_TO: usize = 4096;
const STEP_ABOVE: usize = 512;

/// One message before it is encrypted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// What the person wrote: `m.text`.
    Text {
        /// The text.
        body: &'a str,
    },
    /// What the page says by itself: `m.notice`, which no bot answers.
    Notice {
        /// The text.
        body: &'a str,
    },
    /// No to an `m.call.invite`. Version 0 of calls knows no reject and is hung up instead.
    Reject {
        /// The call.
        call_id: &'a str,
        /// The invitation is of version 0.
        hangup: bool,
    },
    /// No to a MatrixRTC call (MSC4310).
    Decline {
        /// The event that rang.
        event_id: &'a str,
    },
}

impl<'a> Message<'a> {
    /// Reads one from JSON: `{"kind":"text","body"}`, `{"kind":"notice","body"}`,
    /// `{"kind":"reject","call_id","hangup"}` or `{"kind":"decline","event_id"}`.
    ///
    /// # Errors
    /// [`CryptoError::BadInput`] if it is none of them.
    pub fn from_json(value: &'a Value) -> Result<Self, CryptoError> {
        value
            .as_object()
            .and_then(Self::read)
            .ok_or(CryptoError::BadInput)
    }

    fn read(object: &'a Map<String, Value>) -> Option<Self> {
        let member = |name| text(object, name);
        Some(match member("kind")? {
            "text" => Self::Text {
                body: member("body")?,
            },
            "notice" => Self::Notice {
                body: member("body")?,
            },
            "reject" => Self::Reject {
                call_id: member("call_id")?,
                hangup: flag(object, "hangup")?,
            },
            "decline" => Self::Decline {
                event_id: member("event_id")?,
            },
            _ => return None,
        })
    }

    /// The event's type, and the content as it is encrypted.
    fn write(&self, device_id: &str) -> (&'static str, Object) {
        let said = |msgtype, body| {
            let content = Object::default().text("msgtype", msgtype);
            ("m.room.message", content.text("body", body))
        };
        match *self {
            Self::Text { body } => said("m.text", body),
            Self::Notice { body } => said("m.notice", body),
            Self::Reject { call_id, hangup } => {
                let content = Object::default().text("call_id", call_id);
                if hangup {
                    return ("m.call.hangup", content.number("version", 0));
                }
                let content = content.text("party_id", device_id).text("version", "1");
                ("m.call.reject", content)
            }
            Self::Decline { event_id } => {
                let relation = Object::default()
                    .text("rel_type", "m.reference")
                    .text("event_id", event_id);
                let content = Object::default().object("m.relates_to", relation);
                ("org.matrix.msc4310.rtc.decline", content)
            }
        }
    }

    /// The payload of the encrypted event.
    pub(crate) fn payload(
        &self,
        room_id: &str,
        device_id: &str,
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let (event_type, content) = self.write(device_id);
        padded(room_id, event_type, content.into_map())
    }
}

/// The payload of an encrypted event, padded by a member that clients ignore.
pub(crate) fn padded(
    room_id: &str,
    event_type: &str,
    content: Map<String, Value>,
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let mut payload = Object::default()
        .text("type", event_type)
        .text("room_id", room_id)
        .value("content", Value::Object(content))
        .text("vestibule.padding", "");
    let bare = encode(&payload)?.len();
    payload = payload.text("vestibule.padding", &" ".repeat(padded_len(bare) - bare));
    let padded = encode(&payload);
    drop(Secret(payload.into_value()));
    padded
}

fn encode(payload: &Object) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let mut out = Zeroizing::new(Vec::new());
    compact::write(payload.members(), &mut out).ok_or(CryptoError::Unencodable)?;
    Ok(out)
}

/// The next size step: doubling at first, so that short texts look alike, then closer, so that
/// long ones still fit.
fn padded_len(len: usize) -> usize {
    if len <= DOUBLING_UP_TO {
        len.next_power_of_two().max(SMALLEST_STEP)
    } else {
        len.next_multiple_of(STEP_ABOVE)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn payload(message: &Message<'_>) -> Value {
        let bytes = message.payload("!r:b", "DEVICE").unwrap();
        assert_eq!(bytes.len(), 256, "an answer looks like a short text");
        let mut payload: Value = serde_json::from_slice(&bytes).unwrap();
        let object = payload.as_object_mut().unwrap();
        assert!(object.remove("vestibule.padding").is_some());
        payload
    }

    #[test]
    fn payloads_have_few_sizes() {
        for (length, expected) in [(0, 256), (1, 256), (100, 256), (200, 512), (3000, 4096)] {
            let body = "x".repeat(length);
            let payload = Message::Text { body: &body }.payload("!r:b", "D").unwrap();
            assert_eq!(payload.len(), expected, "{length}");
        }
        assert_eq!(padded_len(4096), 4096);
        assert_eq!(padded_len(4097), 4608);
        assert_eq!(padded_len(10_000), 10_240);
    }

    #[test]
    fn each_message_is_written_as_clients_read_it() {
        for (json, event_type, content) in [
            (
                json!({"kind": "text", "body": "hi"}),
                "m.room.message",
                json!({"msgtype": "m.text", "body": "hi"}),
            ),
            (
                json!({"kind": "notice", "body": "no"}),
                "m.room.message",
                json!({"msgtype": "m.notice", "body": "no"}),
            ),
            (
                json!({"kind": "reject", "call_id": "c1", "hangup": false}),
                "m.call.reject",
                json!({"call_id": "c1", "party_id": "DEVICE", "version": "1"}),
            ),
            (
                json!({"kind": "reject", "call_id": "c1", "hangup": true}),
                "m.call.hangup",
                json!({"call_id": "c1", "version": 0}),
            ),
            (
                json!({"kind": "decline", "event_id": "$1"}),
                "org.matrix.msc4310.rtc.decline",
                json!({"m.relates_to": {"rel_type": "m.reference", "event_id": "$1"}}),
            ),
        ] {
            let message = Message::from_json(&json).unwrap();
            let expected = json!({"type": event_type, "room_id": "!r:b", "content": content});
            assert_eq!(payload(&message), expected);
        }
    }

    #[test]
    fn nothing_else_can_be_said() {
        for json in [
            json!({"kind": "m.room.message", "body": "x"}),
            json!({"kind": "image", "body": "x"}),
            json!({"type": "m.sticker", "content": {}}),
            json!({"kind": "text"}),
            json!({"kind": "text", "body": {"msgtype": "m.image"}}),
            json!({"kind": "reject", "call_id": "c"}),
            json!({"kind": "decline", "event_id": 1}),
            json!({}),
            json!("text"),
            Value::Null,
        ] {
            assert!(
                Message::from_json(&json).is_err_and(|error| error == CryptoError::BadInput),
                "{json}"
            );
        }
        // What else is in it is not said.
        let json = json!({"kind": "text", "body": "x", "msgtype": "m.image", "url": "mxc://a/b"});
        let content = payload(&Message::from_json(&json).unwrap());
        assert_eq!(
            content.get("content"),
            Some(&json!({"msgtype": "m.text", "body": "x"}))
        );
    }
}
