//! What reaches the crypto machine from outside. Random bytes never pass a signature or a message
//! authentication, so most inputs are what stands inside: they are encrypted or signed here, by
//! devices whose secrets are in a fixture.
//!
//! An input begins with a character that chooses how the rest is used. "Laid over" means: the rest
//! is a JSON object, and its members replace those of an honest one; `"-"` takes a member away.

use serde_json::{Value, json};
use vestibule_crypto::{
    Blocked, CryptoError, HostIdentity, Item, Machine, Prepare, encode_base64, verify_hello,
    verify_one_time_keys, verify_public_keys,
};
use vodozemac::megolm::GroupSession;

use crate::common::raw::{ed25519, text_payload};
use crate::common::{Device, GUEST, HOST, NOW, ROOM, SECOND};

mod fixture;
mod message;

use fixture::*;
pub use message::message;

/// When the guest may claim again for the device that had no key.
const LATER: u64 = NOW + 31 * SECOND;

/// A to-device event. Only an honest payload brings a room key.
pub fn to_device(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    let mut guest = guest();
    let mut raw = raw();
    raw.group = GroupSession::from_pickle(part("new_group"));
    let honest = raw.room_key(&guest);
    let mut payload = None;
    let event = match mode {
        b'0' => read(rest),
        b'1' | b'2' => {
            if *mode == b'2' {
                raw.session = Some(session("unseen_olm"));
            }
            payload = read(rest);
            Some(raw.olm_bytes(&guest, rest))
        }
        b'3' | b'4' => {
            if *mode == b'4' {
                raw.session = Some(session("unseen_olm"));
            }
            payload = read(rest).map(|patch| laid_over(honest, &patch));
            payload.as_ref().map(|payload| raw.olm(&guest, payload))
        }
        b'5' => rest.split_first().map(|(message_type, body)| {
            let mut event = raw.olm(&guest, &honest);
            let own = own_curve25519(&guest);
            event["content"]["ciphertext"][own] =
                json!({"type": message_type % 3, "body": encode_base64(body)});
            event
        }),
        _ => read(rest).map(|patch| {
            payload = Some(honest.clone());
            laid_over(raw.olm(&guest, &honest), &patch)
        }),
    };
    let Some(event) = event else { return };
    let keys = |guest: &Device| {
        let kinds = ["inbound", "held"];
        let is_key = |key: &&String| kinds.iter().any(|kind| key.starts_with(kind));
        guest.records.keys().filter(is_key).count()
    };
    let before = keys(&guest);
    let step = match guest.machine.receive_to_device(&event, NOW) {
        Ok(step) => step,
        Err(error) => {
            assert_eq!(error, CryptoError::BadInput);
            return assert!(!event.is_object());
        }
    };
    let received = guest.step(step);
    guest.restart();
    let honest = matches!(mode, b'3' | b'4' | b'6') && rest == b"{}";
    assert!(!honest || keys(&guest) > before, "{received:?}");
    if keys(&guest) > before || !received.items.is_empty() {
        let payload = payload.expect("a key came from a message that nobody encrypted");
        assert_eq!(event["sender"], HOST);
        assert_eq!(event["type"], "m.room.encrypted");
        assert_eq!(payload["type"], "m.room_key");
        assert_eq!(payload["sender"], HOST);
        assert_eq!(payload["recipient"], GUEST);
        assert_eq!(payload["recipient_keys"]["ed25519"], ed25519(&guest));
        assert_eq!(payload["content"]["algorithm"], "m.megolm.v1.aes-sha2");
        let own = raw.account.ed25519_key().to_base64();
        let held = received.refused.is_some();
        assert!(held || payload["keys"]["ed25519"] == own);
    }
}

/// An event of the room. Only what stands inside the encryption is shown, and only in its room.
pub fn room_event(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    let mut guest = guest();
    let mut raw = raw();
    let honest = text_payload("honest");
    let mut payload = None;
    let event = match mode {
        b'0' => read(rest),
        b'1' => {
            payload = read(rest);
            Some(raw.megolm_bytes("$1", rest))
        }
        b'2' => {
            payload = read(rest).map(|patch| laid_over(honest, &patch));
            payload.as_ref().map(|payload| raw.megolm("$1", payload))
        }
        b'3' => {
            let mut event = raw.megolm("$1", &honest);
            event["content"]["ciphertext"] = json!(encode_base64(rest));
            Some(event)
        }
        _ => read(rest).map(|patch| {
            payload = Some(honest.clone());
            laid_over(raw.megolm("$1", &honest), &patch)
        }),
    };
    let Some(event) = event else { return };
    let items = match guest.machine.receive_event(ROOM, &event) {
        Ok(step) => guest.step(step),
        Err(error) => return assert_eq!(error, CryptoError::BadInput),
    };
    guest.restart();
    let honest = matches!(mode, b'2' | b'4') && rest == b"{}";
    assert!(
        !honest || matches!(&*items, [Item::Text { .. }]),
        "{items:?}"
    );
    for item in &items {
        serde_json::to_string(item).expect("an item can be written");
        if let Item::Text { body, sender, .. } = item {
            let payload = payload.as_ref().expect("a text that nobody encrypted");
            assert_eq!(sender, HOST);
            assert!(!event["unencrypted"].as_bool().unwrap_or_default());
            assert_eq!(payload["room_id"], ROOM);
            assert_eq!(payload["type"], "m.room.message");
            assert_eq!(payload["content"]["body"], *body);
        }
    }
    // What came a second time under another id is never shown.
    let mut again = event;
    if again["event_id"] != "$2" {
        again["event_id"] = json!("$2");
        if let Ok(step) = guest.machine.receive_event(ROOM, &again) {
            let items = guest.step(step);
            assert!(!items.iter().any(|item| matches!(item, Item::Text { .. })));
        }
    }
}

/// The answers of `/keys/query` and `/keys/claim`. Nothing goes to a device that the owner has not
/// signed.
pub fn keys(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    let Some(given) = read(rest) else { return };
    let mut guest = guest();
    let honest = query();
    match mode {
        b'0' => queried(&mut guest, &given, false),
        b'1' => {
            queried(&mut guest, &laid_over(honest, &given), false);
            if rest == b"{}" {
                assert!(matches!(guest.prepare(LATER), Prepare::KeysClaim { .. }));
            }
        }
        b'2' => queried(&mut guest, &signed_query(laid_over(honest, &given)), true),
        b'3' => claimed(&mut guest, &given),
        b'4' => claimed(&mut guest, &laid_over(claim(), &given)),
        _ => {
            let mut answer = laid_over(claim(), &given);
            let keys = answer.pointer_mut(&format!("/one_time_keys/{HOST}/SECOND"));
            let keys = keys.and_then(Value::as_object_mut);
            for key in keys.into_iter().flatten().map(|(_, key)| key) {
                resign(key, "SECOND", &account("second"));
            }
            claimed(&mut guest, &answer);
            if rest == b"{}" {
                assert!(matches!(guest.prepare(LATER), Prepare::ToDevice { .. }));
            }
        }
    }
    guest.restart();
}

fn queried(guest: &mut Device, answer: &Value, resigned: bool) {
    let changed = match guest.machine.receive_keys(answer, LATER) {
        Ok(step) => {
            let received = guest.step(step);
            let mut peers = received.peers.iter();
            peers.any(|peer| peer.identity == HostIdentity::Changed)
        }
        Err(error) => {
            assert_eq!(error, CryptoError::NoKeys);
            false
        }
    };
    let need = guest.prepare(LATER);
    if changed {
        let blocked =
            matches!(&need, Prepare::Blocked { reason, .. } if *reason == Blocked::IdentityChanged);
        assert!(blocked, "{need:?}");
        let error = guest.try_encrypt("x", LATER).unwrap_err();
        assert_eq!(error, CryptoError::NotReady);
    } else if !resigned {
        let named = format!("{need:?}");
        let told = matches!(&need, Prepare::ToDevice { event_type, .. } if event_type == "m.room_key.withheld");
        let known = ["SECOND", "RAW"].iter().any(|id| named.contains(id));
        let waits = matches!(need, Prepare::Ready | Prepare::Blocked { .. });
        assert!(told || known || waits, "{need:?}");
    }
}

fn claimed(guest: &mut Device, answer: &Value) {
    let need = guest.prepare(LATER);
    assert!(matches!(need, Prepare::KeysClaim { .. }), "{need:?}");
    guest.receive_claim(answer, LATER);
    let _ = guest.prepare(LATER);
}

/// Stored records with one of them altered: the first byte chooses it, from 128 on among those of the
/// first format. After `+` the rest is laid over its object, after `*` over its pickle, else it is
/// the whole.
pub fn records(data: &[u8]) {
    let [which, mode, rest @ ..] = data else {
        return;
    };
    let mut records = if *which < 128 {
        stored(fixture())
    } else {
        stored(of_one_host())
    };
    let key = records.keys().nth(usize::from(*which) % records.len());
    let key = key.expect("there are records").clone();
    let old = records.remove(&key).expect("a record");
    let new = match mode {
        b'+' | b'*' => {
            let Some(patch) = read(rest) else { return };
            altered(&old, &patch, *mode == b'*')
        }
        _ => data.get(1..).unwrap_or_default().to_vec(),
    };
    records.insert(key, new);
    let Ok(machine) = Machine::open(records.clone()) else {
        let unaltered = matches!(mode, b'+' | b'*') && rest == b"{}";
        return assert!(!unaltered, "records that nobody altered");
    };
    let _ = format!("{machine:?}");
    let mut guest = Device { machine, records };
    let mut raw = raw();
    let _ = guest.machine.public_keys();
    let _ = (guest.machine.steps(), guest.machine.safety_code(HOST));
    let _ = guest.machine.one_time_keys(0, false, LATER);
    let _ = guest.machine.wants_healing(LATER);
    let _ = guest.machine.heal(LATER);
    let _ = guest.machine.prepare(ROOM, &[HOST], LATER);
    let _ = guest.machine.encrypt_text(ROOM, &[HOST], "x", LATER);
    let event = raw.megolm("$9", &text_payload("honest"));
    let _ = guest.machine.receive_event(ROOM, &event);
    let payload = raw.room_key(&self::guest());
    let event = raw.olm(&self::guest(), &payload);
    let _ = guest.machine.receive_to_device(&event, LATER);
    let _ = guest.machine.receive_keys(&query(), LATER);
    let _ = guest.machine.prepare(ROOM, &[HOST], LATER);
}

fn altered(old: &[u8], patch: &Value, pickle: bool) -> Vec<u8> {
    let line = old
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(old.len());
    let (object, secret) = old.split_at(line);
    let lay = |bytes: &[u8]| {
        let honest = serde_json::from_slice(bytes).unwrap_or(Value::Null);
        laid_over(honest, patch).to_string().into_bytes()
    };
    let (version, object) = object.split_first().expect("a version");
    let parts = if pickle {
        [
            object.to_vec(),
            b"\n".to_vec(),
            lay(secret.get(1..).unwrap_or_default()),
        ]
    } else {
        [lay(object), secret.to_vec(), Vec::new()]
    };
    [vec![*version], parts.concat()].concat()
}

/// What a browser publishes, and how it greets. What passes is what was signed.
pub fn published(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else {
        return;
    };
    if *mode == b'9' {
        return greeted(rest);
    }
    let Some(given) = read(rest) else { return };
    let honest = || fixture()["public_keys"].clone();
    let check = |keys: &Value| verify_public_keys(keys, GUEST, "GUESTDEV");
    match mode {
        b'0' => assert!(check(&given).is_err(), "keys that nobody signed"),
        b'1' => {
            let honest = honest();
            let passed = check(&laid_over(honest.clone(), &given));
            assert!(rest != b"{}" || passed.is_ok(), "{passed:?}");
            if let Ok(passed) = passed {
                assert_eq!(passed.device_keys, honest["device_keys"]);
                assert_eq!(passed.self_signing_key, honest["self_signing_key"]);
                assert_eq!(passed.user_signing_key, honest["user_signing_key"]);
                assert_eq!(passed.master_key["keys"], honest["master_key"]["keys"]);
                for name in ["one_time_keys", "fallback_keys"] {
                    let passed = if name == "one_time_keys" {
                        &passed.one_time_keys
                    } else {
                        &passed.fallback_keys
                    };
                    for key in passed.as_object().expect("keys").values() {
                        let mut known = honest[name].as_object().expect("keys").values();
                        assert!(known.any(|known| known == key), "{key}");
                    }
                }
            }
        }
        b'2' => {
            // As keys of a host's device, signed anew.
            let mut object = laid_over(raw().device_keys, &given);
            resign(&mut object, "RAW", &account("account"));
            let keys = json!({"device_keys": object});
            let _ = check(&laid_over(honest(), &keys));
        }
        _ => {
            let account = account("account");
            let key = account.ed25519_key().to_base64();
            let mut lists = laid_over(json!({"one_time_keys": {}, "fallback_keys": {}}), &given);
            if *mode == b'4' {
                for list in ["one_time_keys", "fallback_keys"] {
                    let keys = lists.get_mut(list).and_then(Value::as_object_mut);
                    for key in keys.into_iter().flatten().map(|(_, key)| key) {
                        resign(key, "RAW", &account);
                    }
                }
            }
            let (one_time, fallback) = (&lists["one_time_keys"], &lists["fallback_keys"]);
            if let Ok(passed) = verify_one_time_keys(&key, HOST, "RAW", one_time, fallback) {
                assert_eq!(*mode, b'4', "keys that nobody signed");
                assert_eq!(
                    (&passed.one_time_keys, &passed.fallback_keys),
                    (one_time, fallback)
                );
            }
        }
    }
}

/// The lines are key, origin, portal, device, nonce and signature.
fn greeted(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(6, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (key, origin, portal, device, nonce, signature) =
        (line(), line(), line(), line(), line(), line());
    let account = account("account");
    let own = account.ed25519_key().to_base64();
    assert!(verify_hello(&own, origin, portal, device, nonce, signature).is_err());
    let _ = verify_hello(key, origin, portal, device, nonce, signature);
}

fn read(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

fn laid_over(honest: Value, patch: &Value) -> Value {
    match (honest, patch) {
        (Value::Object(mut members), Value::Object(patches)) => {
            for (name, patch) in patches {
                let old = members.remove(name).unwrap_or(Value::Null);
                if patch != "-" {
                    members.insert(name.clone(), laid_over(old, patch));
                }
            }
            Value::Object(members)
        }
        // Members of a list go by their place.
        (Value::Array(mut values), Value::Object(patches)) => {
            for (place, value) in values.iter_mut().enumerate() {
                if let Some(patch) = patches.get(&place.to_string()) {
                    *value = laid_over(value.take(), patch);
                }
            }
            Value::Array(values)
        }
        (honest, Value::Object(patches)) if patches.is_empty() => honest,
        (_, patch) => patch.clone(),
    }
}
