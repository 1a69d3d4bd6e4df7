//! What is written: a page's messages, and JSON as it is signed.

use serde_json::Value;
use vestibule_crypto::{CryptoError, Message, Prepare, decode_base64};

use super::fixture::*;
use super::read;
use crate::common::raw::sign;
use crate::common::{HOST, NOW};

/// What the page wants said, and arbitrary JSON as it is signed.
pub fn message(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    let Some(given) = read(rest) else { return };
    if *mode == b'0' {
        said(&given);
    } else {
        signed(given);
    }
}

fn said(given: &Value) {
    let message = match Message::from_json(given) {
        Ok(message) => message,
        Err(error) => return assert_eq!(error, CryptoError::BadInput),
    };
    let mut guest = guest();
    assert_eq!(guest.prepare(NOW), Prepare::Ready);
    match guest.encrypt_message(&message, NOW) {
        Ok(content) => {
            assert!(content.to_string().len() <= 16 * 1024);
            let ciphertext = decode_base64(content["ciphertext"].as_str().expect("a ciphertext"));
            assert!(ciphertext.expect("base64").len() > 256);
        }
        Err(error) => assert_eq!(error, CryptoError::TooLong),
    }
}

/// A device signed over arbitrary JSON counts, if that JSON is canonical JSON's. Whoever signs here
/// writes it down by other code than whoever checks.
fn signed(given: Value) {
    let sound = is_canonical(&given);
    let mut answer = query();
    let device = &mut answer["device_keys"][HOST]["RAW"];
    device["x"] = given;
    resign(device, "RAW", &account("account"));
    let key = identity().self_signing;
    let id = key.public_key().to_base64();
    sign(device, HOST, &id, |bytes| key.sign(bytes));
    answer["device_keys"][HOST]
        .as_object_mut()
        .expect("devices")
        .retain(|id, _| id == "RAW");
    let received = guest().receive_keys(&answer, NOW);
    assert_eq!(received.devices, usize::from(sound));
}

fn is_canonical(value: &Value) -> bool {
    match value {
        Value::Number(number) => number
            .as_i64()
            .is_some_and(|number| number.unsigned_abs() < 1 << 53),
        Value::Array(values) => values.iter().all(is_canonical),
        Value::Object(members) => members.values().all(is_canonical),
        _ => true,
    }
}
