//! Keys that a device publishes, and what a bridge lets pass.

use crate::common::*;
use serde_json::{Map, Value, json};
use vestibule_crypto::{KeyError, Machine, verify_hello, verify_one_time_keys, verify_public_keys};

pub fn published() -> (Device, Value) {
    let device = Device::new(GUEST, "GUESTDEV", HOST, NOW);
    let keys = serde_json::to_value(device.machine.public_keys().unwrap()).unwrap();
    (device, keys)
}

pub fn verify(keys: &Value) -> Result<(), KeyError> {
    verify_public_keys(keys, GUEST, "GUESTDEV").map(|_| ())
}

fn upload(device: &mut Device, count: u64, unused: bool, now: u64) -> Option<Value> {
    let step = device.machine.one_time_keys(count, unused, now).unwrap();
    device
        .step(step)
        .map(|upload| serde_json::to_value(upload).unwrap())
}

#[test]
fn the_keys_of_a_new_machine_pass_whole() {
    let (_, keys) = published();
    let verified = verify_public_keys(&keys, GUEST, "GUESTDEV").unwrap();
    assert_eq!(verified.device_keys, keys["device_keys"]);
    assert_eq!(verified.master_key, keys["master_key"]);
    assert_eq!(verified.self_signing_key, keys["self_signing_key"]);
    assert_eq!(verified.user_signing_key, keys["user_signing_key"]);
    assert_eq!(verified.one_time_keys, keys["one_time_keys"]);
    assert_eq!(verified.fallback_keys, keys["fallback_keys"]);
    assert_eq!(
        verified.ed25519,
        keys["device_keys"]["keys"]["ed25519:GUESTDEV"]
    );
    assert_eq!(
        verified.curve25519,
        keys["device_keys"]["keys"]["curve25519:GUESTDEV"]
    );
    assert_eq!(keys["one_time_keys"].as_object().unwrap().len(), 50);
    assert_eq!(keys["fallback_keys"].as_object().unwrap().len(), 1);
    assert!(keys.to_string().len() < 20_000);
}

#[test]
fn keys_of_another_user_or_device_do_not_pass() {
    let (_, keys) = published();
    assert!(verify_public_keys(&keys, "@_vestibule_2:example.org", "GUESTDEV").is_err());
    assert_eq!(
        verify_public_keys(&keys, GUEST, "OTHER"),
        Err(KeyError::Mismatch("device_keys"))
    );
}

/// Every string of the object altered in turn, every member removed in turn: none passes, except
/// that there may be fewer one-time keys.
#[test]
fn nothing_can_be_altered_or_left_out() {
    let (_, mut keys) = published();
    let one_time = keys["one_time_keys"].as_object_mut().unwrap();
    while one_time.len() > 2 {
        let first = one_time.keys().next().unwrap().clone();
        one_time.remove(&first);
    }
    assert_eq!(verify(&keys), Ok(()));
    let mut paths = Vec::new();
    collect(&keys, String::new(), &mut paths);
    assert!(paths.len() > 50);
    for path in paths {
        let mut altered = keys.clone();
        match altered.pointer_mut(&path).unwrap() {
            Value::String(text) => {
                let first = text.remove(0);
                text.insert(0, if first == 'A' { 'B' } else { 'A' });
            }
            Value::Bool(flag) => *flag = !*flag,
            other => *other = json!("x"),
        }
        assert!(verify(&altered).is_err(), "altered {path}");
        let (parent, name) = path.rsplit_once('/').unwrap();
        let name = name.replace("~1", "/").replace("~0", "~");
        let mut shorter = keys.clone();
        if let Value::Object(members) = shorter.pointer_mut(parent).unwrap() {
            members.remove(&name);
            let fewer = parent == "/one_time_keys";
            assert_eq!(verify(&shorter).is_ok(), fewer, "without {path}");
        }
    }
}

fn collect(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                collect(value, format!("{path}/{name}"), paths);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                collect(value, format!("{path}/{index}"), paths);
            }
        }
        _ => {}
    }
    if !path.is_empty() {
        paths.push(path);
    }
}

#[test]
fn nothing_can_be_added() {
    let (_, keys) = published();
    for place in [
        "",
        "/device_keys",
        "/device_keys/keys",
        "/device_keys/signatures",
        "/device_keys/signatures/@_vestibule_1:example.org",
        "/master_key",
        "/master_key/keys",
        "/self_signing_key",
        "/self_signing_key/signatures",
        "/user_signing_key",
        "/one_time_keys",
        "/fallback_keys",
    ] {
        for name in ["unsigned", "extra", "ed25519:x"] {
            let mut more = keys.clone();
            more.pointer_mut(place).unwrap()[name] = json!({"x": "y"});
            assert!(verify(&more).is_err(), "{name} in {place}");
        }
    }
}

#[test]
fn counts_and_sizes_are_limited() {
    let (_, keys) = published();
    let (id, key) = keys["one_time_keys"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    let with = |field: &str, count: usize| {
        let mut many = keys.clone();
        let same: Map<String, Value> = (0..count)
            .map(|n| (format!("{id}{n}"), key.clone()))
            .collect();
        many[field] = Value::Object(same);
        verify(&many)
    };
    assert_eq!(with("one_time_keys", 100), Ok(()));
    assert_eq!(
        with("one_time_keys", 101),
        Err(KeyError::Count("one_time_keys"))
    );
    assert_eq!(
        with("one_time_keys", 0),
        Err(KeyError::Count("one_time_keys"))
    );
    assert_eq!(with("one_time_keys", 1000), Err(KeyError::TooLarge));
    // As text, with its quotes.
    let of_size = |bytes: usize| verify(&json!("x".repeat(bytes - 2)));
    assert_eq!(of_size(48 * 1024), Err(KeyError::Malformed("keys")));
    assert_eq!(of_size(48 * 1024 + 1), Err(KeyError::TooLarge));
    assert_eq!(
        with("fallback_keys", 2),
        Err(KeyError::Count("fallback_keys"))
    );
    assert_eq!(
        with("fallback_keys", 0),
        Err(KeyError::Count("fallback_keys"))
    );
}

#[test]
fn a_fallback_key_is_not_a_one_time_key() {
    let (_, keys) = published();
    let mut swapped = keys.clone();
    swapped["one_time_keys"] = keys["fallback_keys"].clone();
    assert_eq!(verify(&swapped), Err(KeyError::Malformed("one_time_keys")));
}

#[test]
fn later_keys_are_checked_against_the_device() {
    let (mut device, keys) = published();
    let ed25519 = keys["device_keys"]["keys"]["ed25519:GUESTDEV"]
        .as_str()
        .unwrap();
    let step = device.machine.mark_published().unwrap();
    device.step(step);
    let more = upload(&mut device, 0, false, NOW + HOUR).unwrap();
    let (one_time, fallback) = (&more["one_time_keys"], &more["fallback_keys"]);
    let verified = verify_one_time_keys(ed25519, GUEST, "GUESTDEV", one_time, fallback).unwrap();
    assert_eq!(
        (&verified.one_time_keys, &verified.fallback_keys),
        (one_time, fallback)
    );
    let check = |key: &str, user: &str, device: &str, one_time: &Value, fallback: &Value| {
        verify_one_time_keys(key, user, device, one_time, fallback).is_ok()
    };
    let empty = json!({});
    assert!(check(ed25519, GUEST, "GUESTDEV", one_time, &empty));
    assert!(check(ed25519, GUEST, "GUESTDEV", &empty, fallback));
    assert!(!check(ed25519, GUEST, "GUESTDEV", &empty, &empty));
    assert!(!check(ed25519, GUEST, "OTHER", one_time, fallback));
    assert!(!check(ed25519, HOST, "GUESTDEV", one_time, fallback));
    assert!(!check(
        &"A".repeat(44),
        GUEST,
        "GUESTDEV",
        one_time,
        fallback
    ));
    assert!(!check(ed25519, GUEST, "GUESTDEV", &json!([]), fallback));
}

#[test]
fn the_same_keys_again_until_they_are_published() {
    let (mut device, keys) = published();
    let first = upload(&mut device, 50, true, NOW).unwrap();
    assert_eq!(first["one_time_keys"], keys["one_time_keys"]);
    let step = device.machine.mark_published().unwrap();
    device.step(step);
    assert_eq!(upload(&mut device, 50, true, NOW + HOUR), None);
    assert_eq!(upload(&mut device, 25, true, NOW + HOUR), None);
    let refill = upload(&mut device, 24, true, NOW + HOUR).unwrap();
    assert_eq!(refill["one_time_keys"].as_object().unwrap().len(), 26);
    assert_eq!(refill["fallback_keys"], json!({}));
    device.restart();
    assert_eq!(
        upload(&mut device, 0, true, NOW + 2 * HOUR).unwrap(),
        refill
    );
    let step = device.machine.mark_published().unwrap();
    device.step(step);
    device.restart();
    assert_eq!(upload(&mut device, 50, true, NOW + 2 * HOUR), None);
}

#[test]
fn draining_makes_no_flood() {
    let (mut device, _) = published();
    let step = device.machine.mark_published().unwrap();
    device.step(step);
    assert_eq!(upload(&mut device, 0, true, NOW + 9 * SECOND), None);
    assert!(upload(&mut device, 0, true, NOW + 10 * SECOND).is_some());
    let step = device.machine.mark_published().unwrap();
    device.step(step);
    assert_eq!(upload(&mut device, 0, true, NOW + 19 * SECOND), None);
}

#[test]
fn what_comes_too_soon_is_due_later() {
    let (mut device, _) = published();
    let step = device.machine.mark_published().unwrap();
    device.step(step);
    let due = |device: &Device, count, unused| device.machine.one_time_keys_at(count, unused);
    assert_eq!(due(&device, 25, true), None);
    assert_eq!(due(&device, 24, true), Some(NOW + 10 * SECOND));
    assert_eq!(due(&device, 25, false), Some(NOW + HOUR));
    assert_eq!(due(&device, 0, false), Some(NOW + 10 * SECOND));
    for (count, unused) in [(24, true), (25, false)] {
        let at = due(&device, count, unused).unwrap();
        assert_eq!(upload(&mut device, count, unused, at - 1), None);
        assert!(upload(&mut device, count, unused, at).is_some());
        let step = device.machine.mark_published().unwrap();
        device.step(step);
    }
}

/// A device whose clock was years ahead when its keys were made refills them all the same.
#[test]
fn a_clock_that_was_set_back_stops_no_refill() {
    let (mut device, _) = published();
    let step = device.machine.mark_published().unwrap();
    device.step(step);
    let then = NOW - 1_000 * HOUR;
    let first = upload(&mut device, 0, false, then).unwrap();
    assert_eq!(first["one_time_keys"].as_object().unwrap().len(), 50);
    assert_eq!(first["fallback_keys"].as_object().unwrap().len(), 1);
    let step = device.machine.mark_published().unwrap();
    device.step(step);
    assert_eq!(
        upload(&mut device, 0, false, then + 9 * SECOND),
        None,
        "by the new clock"
    );
    assert!(upload(&mut device, 0, false, then + 10 * SECOND).is_some());
}

/// Each replaced fallback key opens messages until the next replacement, which is an hour away.
#[test]
fn a_replaced_fallback_key_is_kept_for_an_hour() {
    let (mut server, mut guest, mut host) = pair();
    let place = (GUEST.to_owned(), "GUESTDEV".to_owned());
    server.one_time_keys.remove(&place);
    let early = send(&mut server, &mut host, "$1", "in flight", NOW);
    for (at, replaced) in [(NOW + HOUR, true), (NOW + 2 * HOUR - 1, false)] {
        assert_eq!(upload(&mut guest, 50, false, at).is_some(), replaced);
        let step = guest.machine.mark_published().unwrap();
        guest.step(step);
        guest.restart();
    }
    deliver(&mut server, &mut guest, NOW + 2 * HOUR - 1);
    assert_eq!(body(&guest.event(&early)), "in flight");
}

#[test]
fn a_used_fallback_key_is_replaced_and_still_works() {
    let (mut server, mut guest, mut host) = pair();
    let place = (GUEST.to_owned(), "GUESTDEV".to_owned());
    server.one_time_keys.remove(&place);
    let event = send(&mut server, &mut host, "$1", "over the fallback key", NOW);
    let new = upload(&mut guest, 50, false, NOW + HOUR).unwrap();
    assert_eq!(new["fallback_keys"].as_object().unwrap().len(), 1);
    assert_eq!(new["one_time_keys"], json!({}));
    let step = guest.machine.mark_published().unwrap();
    guest.step(step);
    guest.restart();
    assert_eq!(
        upload(&mut guest, 50, false, NOW + HOUR),
        None,
        "at most once an hour"
    );
    deliver(&mut server, &mut guest, NOW + HOUR);
    assert_eq!(body(&guest.event(&event)), "over the fallback key");
}

#[test]
fn a_greeting_is_bound_to_all_its_parts() {
    let (device, keys) = published();
    let key = keys["device_keys"]["keys"]["ed25519:GUESTDEV"]
        .as_str()
        .unwrap();
    let signature = device
        .machine
        .sign_hello("https://a.example", "01k", "nonce");
    let check = |key: &str, origin: &str, portal: &str, device: &str, nonce: &str, s: &str| {
        verify_hello(key, origin, portal, device, nonce, s).is_ok()
    };
    let origin = "https://a.example";
    assert!(check(key, origin, "01k", "GUESTDEV", "nonce", &signature));
    assert!(!check(
        key,
        "https://b.example",
        "01k",
        "GUESTDEV",
        "nonce",
        &signature
    ));
    assert!(!check(key, origin, "02k", "GUESTDEV", "nonce", &signature));
    assert!(!check(key, origin, "01k", "OTHER", "nonce", &signature));
    assert!(!check(key, origin, "01k", "GUESTDEV", "other", &signature));
    assert!(!check(key, origin, "01k", "GUESTDEV", "nonce", "AAAA"));
    assert!(!check(
        &"A".repeat(44),
        origin,
        "01k",
        "GUESTDEV",
        "nonce",
        &signature
    ));
    let other = vodozemac::Ed25519SecretKey::new().public_key().to_base64();
    assert!(!check(
        &other, origin, "01k", "GUESTDEV", "nonce", &signature
    ));
    // A key of small order verifies almost anything unless it is refused.
    let identity = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let forged = vodozemac::base64_encode([[1].as_slice(), &[0; 63]].concat());
    assert!(!check(
        identity, origin, "01k", "GUESTDEV", "nonce", &forged
    ));
}

/// A slow phone makes its keys a few at a time.
#[test]
fn keys_made_in_pieces_are_published_as_if_made_at_once() {
    // The last piece may be a whole one.
    for (most, pieces) in [(6, 9), (25, 2), (50, 1), (1_000, 1)] {
        made_in_pieces(most, pieces);
    }
}

fn made_in_pieces(most: u64, pieces: usize) {
    let (mut machine, mut changes) = Machine::begin(GUEST, "GUESTDEV", NOW).unwrap();
    for left in (0..pieces).rev() {
        let step = machine.make_one_time_keys(most).unwrap();
        changes.merge(step.changes);
        assert_eq!(step.output, left > 0, "{left} of {pieces} are left");
    }
    let keys = serde_json::to_value(machine.public_keys().unwrap()).unwrap();
    assert_eq!(keys["one_time_keys"].as_object().unwrap().len(), 50);
    // Fallback keys are numbered apart: the first one has the name of the first one-time key.
    let (name, fallback) = keys["fallback_keys"]
        .as_object()
        .unwrap()
        .iter()
        .next()
        .unwrap();
    assert_ne!(keys["one_time_keys"][name], *fallback);
    verify_public_keys(&keys, GUEST, "GUESTDEV").unwrap();

    // Nothing is missing of what was stored, and no more is made.
    let stored = changes
        .iter()
        .filter_map(|(key, bytes)| Some((key.to_owned(), bytes?.to_vec())));
    let mut opened = Machine::open(stored).unwrap();
    assert!(!opened.make_one_time_keys(most).unwrap().output);
    assert_eq!(
        serde_json::to_value(opened.public_keys().unwrap()).unwrap(),
        keys
    );

    // What was published is not offered again.
    let _stored = machine.mark_published().unwrap();
    let after = machine.public_keys().unwrap();
    assert!(after.one_time_keys.is_empty() && after.fallback_keys.is_empty());
}
