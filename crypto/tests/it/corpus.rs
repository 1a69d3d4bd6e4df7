//! What the fuzzer kept, replayed.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vestibule_crypto::encode_base64;
use vodozemac::megolm::{GroupSession, SessionConfig};
use vodozemac::olm::Account;

use crate::common::raw::*;
use crate::common::*;

#[path = "../../../fuzz/src/replay.rs"]
mod corpora;
#[path = "../../../fuzz/src/crypto/mod.rs"]
mod targets;

use corpora::replay;

#[test]
fn to_device() {
    replay("to_device", targets::to_device);
}

#[test]
fn room_event() {
    replay("room_event", targets::room_event);
}

#[test]
fn keys() {
    replay("keys", targets::keys);
}

#[test]
fn records() {
    replay("records", targets::records);
}

#[test]
fn published() {
    replay("published", targets::published);
}

#[test]
fn message() {
    replay("message", targets::message);
}

fn without_one_time_keys(account: &Account) -> Value {
    let mut pickle = serde_json::to_value(account.pickle()).unwrap();
    pickle["one_time_keys"]["private_keys"] = json!({});
    pickle
}

/// A guest and the devices of a host, with every secret: what the targets encrypt and sign with.
#[test]
#[ignore = "writes the fixture anew; a corpus that depends on it must then be grown anew"]
fn write_fuzz_fixture() {
    let (mut server, mut guest, identity, mut raw) = guest_and_raw();
    let mut second = RawDevice::new("SECOND", Some(&identity));
    second.publish(&mut server);
    guest.receive_keys(&server.query(HOST), NOW);
    // A session whose first message the guest hasn't seen.
    raw.connect(&mut server, &guest);
    let unseen = raw.session.take();
    raw.connect(&mut server, &guest);
    raw.share(&mut guest);
    server
        .one_time_keys
        .remove(&(HOST.to_owned(), "SECOND".to_owned()));
    settle(&mut server, &mut guest, NOW);
    // The guest's answer, after which the other session has nothing of a first message any more.
    let event = server.take(HOST, "RAW").remove(0);
    let own = raw.account.curve25519_key().to_base64();
    let ciphertext = &event["content"]["ciphertext"][&own];
    let message = vodozemac::olm::OlmMessage::from_parts(
        ciphertext["type"].as_u64().unwrap() as usize,
        &vodozemac::base64_decode(ciphertext["body"].as_str().unwrap()).unwrap(),
    );
    raw.session
        .as_mut()
        .unwrap()
        .decrypt(&message.unwrap())
        .unwrap();
    // Opening a machine takes mostly as long as its one-time keys take, so the others go.
    let unclaimed = &server.one_time_keys[&(GUEST.to_owned(), "GUESTDEV".to_owned())];
    let account = guest.records.get_mut("account").unwrap();
    let line = account.iter().position(|byte| *byte == b'\n').unwrap();
    let mut pickle: Value = serde_json::from_slice(&account[line + 1..]).unwrap();
    let secrets = pickle["one_time_keys"]["private_keys"].as_object_mut();
    secrets.unwrap().retain(|id, _| {
        let id = encode_base64(&id.parse::<u64>().unwrap().to_be_bytes());
        !unclaimed.contains_key(&format!("signed_curve25519:{id}"))
    });
    account.truncate(line + 1);
    account.extend(pickle.to_string().bytes());
    let records: BTreeMap<&String, String> = guest
        .records
        .iter()
        .map(|(key, value)| (key, encode_base64(value)))
        .collect();
    let unpublished = Device::new(GUEST, "GUESTDEV", HOST, NOW);
    let fixture = json!({
        "records": records,
        "public_keys": unpublished.machine.public_keys().unwrap(),
        "master": identity.master,
        "self_signing": identity.self_signing,
        "account": without_one_time_keys(&raw.account),
        "group": raw.group.pickle(),
        "new_group": GroupSession::new(SessionConfig::version_1()).pickle(),
        "olm": raw.session.unwrap().pickle(),
        "unseen_olm": unseen.unwrap().pickle(),
        "second": without_one_time_keys(&second.account),
    });
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fuzz.json");
    std::fs::write(path, serde_json::to_string_pretty(&fixture).unwrap() + "\n").unwrap();
}
