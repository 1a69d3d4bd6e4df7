//! Stored state of every format so far.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::raw::*;
use crate::common::*;
use serde_json::{Value, json};
use vestibule_crypto::{Blocked, Machine, Prepare, decode_base64, encode_base64};
use vodozemac::megolm::MegolmMessage;

fn records_of(fixture: &Value) -> BTreeMap<String, Vec<u8>> {
    let records = fixture["records"].as_object().unwrap().iter();
    records
        .map(|(key, value)| (key.clone(), decode_base64(value.as_str().unwrap()).unwrap()))
        .collect()
}

/// Records as the first version wrote them, with an event that the stored room key reads, one that
/// waits, and a to-device event for a stored Olm session.
const FIRST_FORMAT: &str = include_str!("../fixtures/records-1.json");

#[test]
fn records_of_the_first_format_still_open() {
    let fixture: Value = serde_json::from_str(FIRST_FORMAT).unwrap();
    let records = records_of(&fixture);
    let kinds: BTreeSet<&str> = records
        .keys()
        .map(|key| key.split(':').next().unwrap())
        .collect();
    let all = [
        "account",
        "cross_signing",
        "held",
        "host",
        "inbound",
        "olm",
        "outbound",
        "waiting",
    ];
    assert_eq!(kinds, all.into_iter().collect());
    let machine = Machine::open(records.clone()).unwrap();
    assert_eq!(
        (machine.user_id(), machine.device_id()),
        (GUEST, "GUESTDEV")
    );
    assert_eq!(machine.peers().collect::<Vec<_>>(), [HOST]);
    let mut guest = Device { machine, records };
    assert_eq!(
        body(&guest.event(&fixture["event"])),
        "read by the stored key"
    );
    let received = guest.receive_olm(&fixture["to_device"], NOW);
    assert_eq!(
        received.items.iter().map(body).collect::<Vec<_>>(),
        ["waited"]
    );
    assert_eq!(guest.prepare(NOW), Prepare::Ready);
    let content = guest.encrypt("x", NOW);
    let message = MegolmMessage::from_base64(content["ciphertext"].as_str().unwrap()).unwrap();
    assert_eq!(message.message_index(), 3);
}

/// Records as the last version wrote them that talked with one host only, with everything on its way
/// that can be: a room key and a greeting handed out and not confirmed, a device still to be healed,
/// one whose claims failed, a notice that there is no key.
const ONE_HOST: &str = include_str!("../fixtures/one-host.json");

fn one_host() -> (Value, Device) {
    let fixture: Value = serde_json::from_str(ONE_HOST).unwrap();
    let records = records_of(&fixture);
    assert!(records.contains_key("host") && records.contains_key("healing"));
    let machine = Machine::open(records.clone()).unwrap();
    (fixture, Device { machine, records })
}

/// Two restarts, without a change and after the first one, which writes the old records anew.
fn both_ways(check: impl Fn(&Value, Device)) {
    let (fixture, guest) = one_host();
    check(&fixture, guest);
    let (fixture, mut guest) = one_host();
    guest.keys_changed("@nobody:example.org");
    assert!(!guest.records.contains_key("host"));
    assert!(guest.records.contains_key(&format!("peer:{HOST}")));
    for (key, record) in &guest.records {
        let named = ["olm", "outbound", "healing", "peer", "steps"]
            .iter()
            .any(|kind| key.starts_with(kind));
        assert_eq!(record[0], if named { 2 } else { 1 }, "{key}");
    }
    guest.restart();
    check(&fixture, guest);
}

#[test]
fn what_a_machine_of_one_host_handed_out_comes_again_from_one_of_several() {
    both_ways(|fixture, mut guest| {
        assert_eq!(guest.peers(), [HOST]);
        let Prepare::ToDevice {
            id,
            event_type,
            messages,
        } = guest.prepare(NOW)
        else {
            panic!()
        };
        let of_host = json!({"kind": "to_device", "id": id, "event_type": event_type,
            "messages": messages[HOST]});
        assert_eq!(of_host, fixture["handed_out"]);
        guest.stored(&id);
        // UNSIGNED was told already, SILENT is in its pause.
        assert_eq!(guest.prepare(NOW), Prepare::Ready);
        let content = guest.encrypt("x", NOW);
        let message = MegolmMessage::from_base64(content["ciphertext"].as_str().unwrap()).unwrap();
        assert_eq!(message.message_index(), 3);
        let again = guest.prepare(NOW + 30 * SECOND);
        assert_eq!(
            again,
            Prepare::KeysClaim {
                devices: just(HOST, "SILENT")
            }
        );

        let step = guest.machine.heal(NOW).unwrap();
        let Prepare::ToDevice { id, messages, .. } = guest.step(step) else {
            panic!()
        };
        assert_eq!(messages[HOST], fixture["greeting"]["messages"]);
        assert_eq!(json!(id), fixture["greeting"]["id"]);
        guest.stored(&id);
        let step = guest.machine.heal(NOW).unwrap();
        let devices = just(HOST, "SECOND");
        assert_eq!(guest.step(step), Prepare::KeysClaim { devices });
    });
}

#[test]
fn what_a_machine_of_one_host_could_read_one_of_several_reads() {
    both_ways(|fixture, mut guest| {
        assert_eq!(
            body(&guest.event(&fixture["event"])),
            "read by the stored key"
        );
        let received = guest.receive_olm(&fixture["to_device"], NOW);
        let bodies: Vec<&str> = received.items.iter().map(body).collect();
        assert_eq!(bodies, ["waited"]);
        assert!(guest.records.contains_key("held:0"));
    });
}

#[test]
fn a_change_of_identity_that_an_older_machine_noticed_still_stops_it() {
    let (fixture, mut guest) = one_host();
    let changed = fixture["host_with_changed_identity"].as_str().unwrap();
    guest
        .records
        .insert("host".to_owned(), decode_base64(changed).unwrap());
    guest.restart();
    let [was, is] = [0, 1].map(|n| fixture["masters"][n].as_str().unwrap());
    let own = serde_json::to_value(guest.machine.public_keys().unwrap()).unwrap();
    let own = own["master_key"]["keys"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap()
        .clone();
    let code =
        |master| vestibule_crypto::safety_code((HOST, master), (GUEST, own.as_str().unwrap()));
    for _ in 0..2 {
        let blocked = Prepare::Blocked {
            reason: Blocked::IdentityChanged,
            users: vec![HOST.to_owned()],
        };
        assert_eq!(guest.prepare(NOW), blocked);
        assert_eq!(guest.machine.safety_code(HOST), code(is));
        assert_ne!(code(is), code(was));
        guest.restart();
    }
    guest.accept(HOST);
    assert!(matches!(guest.prepare(NOW), Prepare::KeysClaim { .. }));
}

/// Records as this version writes them.
const SECOND_FORMAT: &str = include_str!("../fixtures/records-2.json");

#[test]
fn records_of_the_second_format_open() {
    let fixture: Value = serde_json::from_str(SECOND_FORMAT).unwrap();
    let records = records_of(&fixture);
    assert!(records.values().all(|record| record[0] == 2));
    let machine = Machine::open(records.clone()).unwrap();
    assert_eq!(json!(machine.steps()), fixture["steps"]);
    let mut guest = Device { machine, records };
    assert_eq!(
        body(&guest.event(&fixture["event"])),
        "read by the stored key"
    );
    let received = guest.receive_olm(&fixture["to_device"], NOW);
    assert_eq!(
        received.items.iter().map(body).collect::<Vec<_>>(),
        ["waited"]
    );
    assert_eq!(guest.prepare(NOW), Prepare::Ready);
}

#[test]
#[ignore = "writes the fixture anew, for a new format"]
fn write_fixture() {
    let (mut server, mut guest, _, mut raw) = guest_and_raw();
    raw.share(&mut guest);
    let event = raw.text("$1", "read by the stored key");
    settle(&mut server, &mut guest, NOW);
    for _ in 0..3 {
        guest.encrypt("x", NOW);
    }
    let mut unknown = RawDevice::new("UNKNOWN", None);
    unknown.connect(&mut server, &guest);
    let payload = unknown.room_key(&guest);
    let held = unknown.olm(&guest, &payload);
    guest.receive_olm(&held, NOW);
    guest.receive_keys(&server.query(HOST), NOW);
    raw.group = vodozemac::megolm::GroupSession::new(Default::default());
    let payload = raw.room_key(&guest);
    let waiting = raw.text("$2", "waited");
    guest.event(&waiting);
    let to_device = raw.olm(&guest, &payload);
    let records: BTreeMap<&String, String> = guest
        .records
        .iter()
        .map(|(key, value)| (key, encode_base64(value)))
        .collect();
    let fixture = json!({"records": records, "event": event, "to_device": to_device,
        "steps": guest.machine.steps()});
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/records-2.json");
    std::fs::write(path, serde_json::to_string_pretty(&fixture).unwrap() + "\n").unwrap();
}

#[test]
fn a_later_format_is_named_and_not_touched() {
    let (_, guest, _, _) = guest_and_raw();
    let mut records = guest.records.clone();
    records.get_mut("account").unwrap()[0] = 3;
    assert_eq!(Machine::open(records).unwrap_err().code(), "records_newer");
    let mut records = guest.records.clone();
    records.insert("future:1".to_owned(), vec![1]);
    assert_eq!(Machine::open(records).unwrap_err().code(), "records_newer");
    for missing in ["account", "cross_signing"] {
        let mut records = guest.records.clone();
        records.remove(missing);
        assert_eq!(
            Machine::open(records).unwrap_err().code(),
            "records_missing"
        );
    }
    let mut records = guest.records.clone();
    let peer = format!("peer:{HOST}");
    records.get_mut(&peer).unwrap().truncate(10);
    assert_eq!(
        Machine::open(records).unwrap_err().code(),
        "records_damaged"
    );
}
