//! A join without a browser.

use std::time::SystemTime;

use serde_json::{Value, json};
use vestibule_crypto::Machine;

/// The body of `POST /api/v1/join` for a new device of this ghost, with all its keys.
///
/// # Panics
/// When the keys can't be made.
#[expect(clippy::unwrap_used, reason = "for tests, where it is the failure")]
#[must_use]
pub fn join_body(token: &str, ghost: &str, device: &str, name: &str) -> Value {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let now = u64::try_from(since.as_millis()).unwrap();
    let (machine, _) = Machine::create(ghost, device, now).unwrap();
    json!({
        "token": token,
        "name": name,
        "device_id": device,
        "keys": machine.public_keys().unwrap(),
    })
}
