//! The devices of a guest and of a host, with every secret, and what a homeserver that is honest
//! answers of them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use vestibule_crypto::{Machine, decode_base64};
use vodozemac::megolm::GroupSession;
use vodozemac::olm::{Account, Session};

use crate::common::raw::{Identity, RawDevice, sign};
use crate::common::{Device, HOST};

const FIXTURE: &str = include_str!("../../../crypto/tests/fixtures/fuzz.json");
const ONE_HOST: &str = include_str!("../../../crypto/tests/fixtures/one-host.json");

pub fn fixture() -> &'static Value {
    static READ: OnceLock<Value> = OnceLock::new();
    READ.get_or_init(|| serde_json::from_str(FIXTURE).expect("a fixture"))
}

/// Records as they were when a machine knew one other user.
pub fn of_one_host() -> &'static Value {
    static READ: OnceLock<Value> = OnceLock::new();
    READ.get_or_init(|| serde_json::from_str(ONE_HOST).expect("a fixture"))
}

pub fn part<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_value(fixture()[name].clone()).expect("a part of the fixture")
}

pub fn stored(fixture: &Value) -> BTreeMap<String, Vec<u8>> {
    let records = fixture["records"].as_object().expect("records");
    let bytes = |text: &Value| decode_base64(text.as_str().expect("text")).expect("base64");
    records
        .iter()
        .map(|(key, text)| (key.clone(), bytes(text)))
        .collect()
}

pub fn guest() -> Device {
    let records = stored(fixture());
    let machine = Machine::open(records.clone()).expect("stored records");
    Device { machine, records }
}

pub fn account(name: &str) -> Account {
    Account::from_pickle(part(name))
}

pub fn session(name: &str) -> Session {
    Session::from_pickle(part(name))
}

pub fn identity() -> Identity {
    Identity {
        master: part("master"),
        self_signing: part("self_signing"),
    }
}

pub fn raw() -> RawDevice {
    let mut raw = RawDevice::of("RAW", account("account"), Some(&identity()));
    raw.session = Some(session("olm"));
    raw.group = GroupSession::from_pickle(part("group"));
    raw
}

pub fn own_curve25519(guest: &Device) -> String {
    crate::common::raw::curve25519(guest).to_base64()
}

/// The honest answer to a key query.
pub fn query() -> Value {
    let mut server = crate::common::Server::default();
    let identity = identity();
    identity.publish(&mut server);
    let second = RawDevice::of("SECOND", account("second"), Some(&identity));
    let devices = server.device_keys.entry(HOST.to_owned()).or_default();
    devices.insert("RAW".to_owned(), raw().device_keys);
    devices.insert("SECOND".to_owned(), second.device_keys);
    server.query(HOST)
}

/// The same answer with each signature made anew, whatever is signed.
pub fn signed_query(mut answer: Value) -> Value {
    let identity = identity();
    let own = &identity.self_signing;
    let own_id = own.public_key().to_base64();
    for (id, name) in [("RAW", "account"), ("SECOND", "second")] {
        if let Some(device) = answer.pointer_mut(&format!("/device_keys/{HOST}/{id}"))
            && device.is_object()
        {
            resign(device, id, &account(name));
            sign(device, HOST, &own_id, |bytes| own.sign(bytes));
        }
    }
    if let Some(key) = answer.pointer_mut(&format!("/self_signing_keys/{HOST}"))
        && key.is_object()
    {
        let master_id = identity.master.public_key().to_base64();
        key["signatures"] = json!({});
        sign(key, HOST, &master_id, |bytes| identity.master.sign(bytes));
    }
    answer
}

/// The honest answer to a claim for the device that the guest has no session with.
pub fn claim() -> Value {
    let account = account("second");
    let key = account.curve25519_key().to_base64();
    let mut key = json!({"key": key, "fallback": true});
    resign(&mut key, "SECOND", &account);
    json!({"one_time_keys": {HOST: {"SECOND": {"signed_curve25519:AAAAAQ": key}}}, "failures": {}})
}

pub fn resign(object: &mut Value, id: &str, account: &Account) {
    if object.is_object() {
        object["signatures"] = json!({});
        sign(object, HOST, id, |bytes| account.sign(bytes));
    }
}
