//! What is said, as it comes in.

use serde_json::{Value, json};

use super::DEVICE;
use crate::id::RoomId;
use crate::input::{Came, JoinKeys, Outcome, RoomEventKind};

pub fn text(body: &str) -> RoomEventKind {
    RoomEventKind::Message {
        msgtype: "m.text".to_owned(),
        body: body.to_owned(),
        related: false,
        came: Came::Plain,
    }
}

pub fn encrypted() -> RoomEventKind {
    RoomEventKind::Encrypted {
        content: megolm("AwgBEnACgAkL"),
    }
}

pub fn megolm(ciphertext: &str) -> Value {
    json!({
        "algorithm": "m.megolm.v1.aes-sha2",
        "ciphertext": ciphertext,
        "session_id": "X3lUlvLELLYxeTx4yOVu6UDpasGEVO0Jbu+QFnm0cKQ",
        "device_id": DEVICE,
        "sender_key": "RF3s+E7RkTQTGF2d8Deol0FkQvgII2aJDf3/Jp5mxVU",
    })
}

pub fn olm(body: &str) -> Value {
    json!({
        "algorithm": "m.olm.v1.curve25519-aes-sha2",
        "sender_key": "RF3s+E7RkTQTGF2d8Deol0FkQvgII2aJDf3/Jp5mxVU",
        "ciphertext": {"7qZcfnBmbEGzxxaWfBjElJuvn7BZx+lSz/SvFrDF/z8": {"type": 0, "body": body}},
    })
}

pub fn withheld(room: &RoomId) -> Value {
    json!({
        "algorithm": "m.megolm.v1.aes-sha2",
        "code": "m.unverified",
        "room_id": room,
        "session_id": "X3lUlvLELLYxeTx4yOVu6UDpasGEVO0Jbu+QFnm0cKQ",
        "sender_key": "RF3s+E7RkTQTGF2d8Deol0FkQvgII2aJDf3/Jp5mxVU",
    })
}

pub fn keys() -> JoinKeys {
    JoinKeys {
        device_keys: json!({"device_id": DEVICE}),
        master_key: json!({"usage": ["master"]}),
        self_signing_key: json!({"usage": ["self_signing"]}),
        user_signing_key: json!({"usage": ["user_signing"]}),
        one_time_keys: json!({"signed_curve25519:AAAAAQ": {"key": "one"}}),
        fallback_keys: json!({"signed_curve25519:AAAAAg": {"key": "two", "fallback": true}}),
    }
}

pub fn refused() -> Outcome {
    Outcome::Refused {
        errcode: "M_FORBIDDEN".to_owned(),
    }
}
