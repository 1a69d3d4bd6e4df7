//! What becomes of a thing on its way.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use vestibule_crypto::{decode_base64, encode_base64};

/// A call to the homeserver that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFault {
    /// `/keys/query` fails.
    Query,
    /// `/keys/claim` fails.
    Claim,
    /// `/keys/claim` brings no key.
    NoKeys,
    /// `/sendToDevice` fails.
    ToDevice,
    /// `/sendToDevice` succeeds, and its answer is lost.
    ToDeviceAnswer,
    /// The machine ends after it has encrypted, before that is stored.
    Unstored,
}

/// What becomes of a to-device event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Arrive,
    /// It arrives twice.
    Twice,
    /// It comes later than what was sent after it.
    Late,
    /// It never arrives.
    Lost,
    /// It arrives with one bit turned over.
    Damaged,
}

/// The fate of one to-device event, of the same kind for each who is sent one in the same step.
/// `salt` is the step's, `whom` and `what` name the event.
#[must_use]
pub fn fate(salt: u64, whom: &str, what: &str) -> (Fate, u64) {
    if salt == CALM {
        return (Fate::Arrive, 0);
    }
    let mut seed = [0; 32];
    for (index, byte) in salt
        .to_le_bytes()
        .into_iter()
        .chain(whom.bytes())
        .chain(what.bytes())
        .enumerate()
    {
        seed[index % 32] ^= byte.wrapping_add(u8::try_from(index % 251).unwrap());
    }
    let mut rng = ChaCha8Rng::from_seed(seed);
    let fate = match rng.random_range(0..100) {
        0..70 => Fate::Arrive,
        70..77 => Fate::Twice,
        77..86 => Fate::Late,
        86..93 => Fate::Lost,
        _ => Fate::Damaged,
    };
    (fate, rng.random())
}

/// The salt of a step in which nothing goes wrong.
pub const CALM: u64 = 0;

/// Turns one bit of a base64 text over; which one follows from `draw`.
#[must_use]
pub fn flip(text: &str, draw: u64) -> String {
    let mut bytes = decode_base64(text).unwrap();
    let bit = usize::try_from(draw % (bytes.len() as u64 * 8)).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    encode_base64(&bytes)
}

/// Turns one bit of an Olm message over. Other events stay as they are.
pub fn damage(content: &mut Value, draw: u64) {
    let Some(ciphertexts) = content.get_mut("ciphertext").and_then(Value::as_object_mut) else {
        return;
    };
    for ciphertext in ciphertexts.values_mut() {
        let body = ciphertext["body"].as_str().unwrap();
        ciphertext["body"] = Value::String(flip(body, draw));
    }
}
