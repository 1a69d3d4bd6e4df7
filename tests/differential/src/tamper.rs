//! An event that somebody changed on its way.

use serde_json::{Value, json};

use crate::fate::flip;
use crate::plan::Tamper;

/// Somebody who isn't in the room.
const STRANGER: &str = "@mallory:example.org";

/// `event` changed, under another id. `other` is another event of the same side. Gives what was
/// really changed: a session or device may be the same.
pub(crate) fn tampered(
    event: &Value,
    other: &Value,
    tamper: Tamper,
    draw: u64,
    id: &str,
) -> (Value, Tamper) {
    let mut event = event.clone();
    event["event_id"] = json!(id);
    let content = |name: &str| {
        (
            event["content"][name].clone(),
            other["content"][name].clone(),
        )
    };
    let mut really = tamper;
    match tamper {
        Tamper::Id => {}
        Tamper::Sender => event["sender"] = json!(STRANGER),
        Tamper::Room => event["room_id"] = json!("!other:example.org"),
        Tamper::Bit => {
            let ciphertext = event["content"]["ciphertext"].as_str().unwrap();
            event["content"]["ciphertext"] = json!(flip(ciphertext, draw));
        }
        Tamper::Session => {
            let (own, foreign) = content("session_id");
            if own == foreign {
                really = Tamper::Id;
            }
            event["content"]["session_id"] = foreign;
        }
        Tamper::Device => {
            for name in ["sender_key", "device_id"] {
                event["content"][name] = other["content"][name].clone();
            }
            if event["content"] == other["content"] {
                really = Tamper::Id;
            }
        }
    }
    (event, really)
}
