//! Damage, disorder, restarts.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::raw::*;
use crate::common::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use vestibule_crypto::{Item, Machine, Prepare, Undecryptable, decode_base64, encode_base64};
use vodozemac::megolm::MegolmMessage;

/// Each bit of a base64 text in turn.
fn flipped(text: &str) -> impl Iterator<Item = String> {
    let bytes = decode_base64(text).unwrap();
    (0..bytes.len() * 8).map(move |bit| {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        encode_base64(&bytes)
    })
}

/// That a device may need a new session is all that an unreadable message may leave.
fn without_healing(guest: &Device) -> BTreeMap<String, Vec<u8>> {
    let mut records = guest.records.clone();
    records.remove("healing");
    records
}

#[test]
fn no_flipped_bit_of_an_olm_message_is_accepted() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    let payload = raw.room_key(&guest);
    let key = curve25519(&guest).to_base64();
    // A pre-key message, then one more of the same session.
    for _ in 0..2 {
        let event = raw.olm(&guest, &payload);
        let before = without_healing(&guest);
        let text = event["content"]["ciphertext"][&key]["body"]
            .as_str()
            .unwrap();
        for (bit, damaged) in flipped(text).enumerate() {
            let mut event = event.clone();
            event["content"]["ciphertext"][&key]["body"] = json!(damaged);
            let received = guest.receive_olm(&event, NOW);
            assert!(received.refused.is_some(), "bit {bit}");
        }
        assert!(
            without_healing(&guest) == before,
            "a damaged message changed the state"
        );
        assert_eq!(guest.receive_olm(&event, NOW).refused, None);
    }
}

#[test]
fn no_flipped_bit_of_a_megolm_message_is_accepted() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    raw.share(&mut guest);
    let inbound = |guest: &Device| {
        let mut records = guest.records.clone();
        records.retain(|key, _| !key.starts_with("waiting"));
        records
    };
    // The index of the first is zero, which protobuf may leave out.
    for event_id in ["$0", "$1"] {
        let event = raw.text(event_id, "hello");
        let before = inbound(&guest);
        let text = event["content"]["ciphertext"].as_str().unwrap();
        for (bit, damaged) in flipped(text).enumerate() {
            let mut event = event.clone();
            event["content"]["ciphertext"] = json!(damaged);
            let item = guest.event(&event);
            assert!(
                matches!(item, Item::Undecryptable { .. }),
                "bit {bit}: {item:?}"
            );
        }
        assert!(
            inbound(&guest) == before,
            "a damaged message changed the state"
        );
        assert_eq!(body(&guest.event(&event)), "hello");
    }
}

#[test]
fn flipped_room_keys_are_refused() {
    let (_, mut guest, _, mut raw) = guest_and_raw();
    let good = raw.room_key(&guest);
    let text = good["content"]["session_key"].as_str().unwrap().to_owned();
    for damaged in flipped(&text).step_by(7) {
        let mut payload = good.clone();
        payload["content"]["session_key"] = json!(damaged);
        let event = raw.olm(&guest, &payload);
        assert!(guest.receive_olm(&event, NOW).refused.is_some());
    }
}

#[derive(Debug, Clone)]
enum Op {
    Send {
        guest: bool,
    },
    /// Delivers a waiting to-device event, not always the first.
    ToDevice {
        pick: usize,
        again: bool,
    },
    LoseToDevice {
        pick: usize,
    },
    Event {
        pick: usize,
        again: bool,
    },
    LoseEvent {
        pick: usize,
    },
    Restart {
        guest: bool,
    },
    Hours(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let pick = 0..8usize;
    prop_oneof![
        6 => any::<bool>().prop_map(|guest| Op::Send { guest }),
        5 => (pick.clone(), prop::bool::weighted(0.2))
            .prop_map(|(pick, again)| Op::ToDevice { pick, again }),
        1 => pick.clone().prop_map(|pick| Op::LoseToDevice { pick }),
        6 => (pick.clone(), prop::bool::weighted(0.2))
            .prop_map(|(pick, again)| Op::Event { pick, again }),
        1 => pick.prop_map(|pick| Op::LoseEvent { pick }),
        2 => any::<bool>().prop_map(|guest| Op::Restart { guest }),
        1 => (1..100u64).prop_map(Op::Hours),
    ]
}

/// Both sides, and everything on its way between them.
struct World {
    server: Server,
    guest: Device,
    host: Device,
    events: Vec<Value>,
    texts: BTreeMap<String, String>,
    shown: BTreeMap<String, String>,
    indices: BTreeSet<(String, u32)>,
    now: u64,
}

impl World {
    fn new() -> Self {
        let (server, guest, host) = pair();
        Self {
            server,
            guest,
            host,
            events: Vec::new(),
            texts: BTreeMap::new(),
            shown: BTreeMap::new(),
            indices: BTreeSet::new(),
            now: NOW,
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Send { guest } => self.send(guest),
            Op::ToDevice { pick, again } => {
                if let Some(place) = place(pick, self.server.inbox.len()) {
                    let sent = self.server.inbox[place].clone();
                    if !again {
                        self.server.inbox.remove(place);
                    }
                    let device = if sent.0 == GUEST {
                        &mut self.guest
                    } else {
                        &mut self.host
                    };
                    let items = device.receive_olm(&sent.2, self.now).items;
                    items.iter().for_each(|item| self.show(item));
                }
            }
            Op::LoseToDevice { pick } => {
                if let Some(place) = place(pick, self.server.inbox.len()) {
                    self.server.inbox.remove(place);
                }
            }
            Op::Event { pick, again } => {
                if let Some(place) = place(pick, self.events.len()) {
                    let event = self.events[place].clone();
                    if !again {
                        self.events.remove(place);
                    }
                    let device = if event["sender"] == HOST {
                        &mut self.guest
                    } else {
                        &mut self.host
                    };
                    let item = device.event(&event);
                    self.show(&item);
                }
            }
            Op::LoseEvent { pick } => {
                if let Some(place) = place(pick, self.events.len()) {
                    self.events.remove(place);
                }
            }
            Op::Restart { guest: true } => self.guest.restart(),
            Op::Restart { guest: false } => self.host.restart(),
            Op::Hours(hours) => self.now += hours * HOUR,
        }
    }

    fn send(&mut self, guest: bool) {
        let device = if guest {
            &mut self.guest
        } else {
            &mut self.host
        };
        assert_eq!(settle(&mut self.server, device, self.now), Prepare::Ready);
        let event_id = format!("${}", self.texts.len());
        let text = format!("text {event_id}");
        let content = device.encrypt(&text, self.now);
        let ciphertext = content["ciphertext"].as_str().unwrap();
        let index = MegolmMessage::from_base64(ciphertext)
            .unwrap()
            .message_index();
        let session = content["session_id"].as_str().unwrap().to_owned();
        assert!(
            self.indices.insert((session, index)),
            "an index was used twice"
        );
        self.events
            .push(room_event(&device.user(), &event_id, &content));
        self.texts.insert(event_id, text);
    }

    /// What is shown is what was sent, and nothing is ever taken for a replay.
    fn show(&mut self, item: &Item) {
        match item {
            Item::Text { event_id, body, .. } => {
                assert_eq!(self.texts[event_id], *body);
                self.shown.insert(event_id.clone(), body.clone());
            }
            Item::Undecryptable { reason, .. } => assert_eq!(*reason, Undecryptable::NoKey),
            other => panic!("{other:?}"),
        }
    }
}

fn place(pick: usize, len: usize) -> Option<usize> {
    (len > 0).then(|| pick % len)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Loss, disorder, repetition, restarts and passing time: what is shown is true, no key stream
    /// is used twice, and whatever isn't lost is read in the end, if it comes within the eight days
    /// for which a room key is kept after the next one.
    #[test]
    fn random_transcripts(ops in prop::collection::vec(op(), 1..80)) {
        let mut world = World::new();
        let hours: u64 = ops.iter().map(|op| if let Op::Hours(hours) = op { *hours } else { 0 }).sum();
        let mut lossless = hours <= 8 * 24;
        for op in ops {
            lossless &= !matches!(op, Op::LoseToDevice { .. } | Op::LoseEvent { .. });
            world.run(op);
        }
        while !world.server.inbox.is_empty() {
            world.run(Op::ToDevice { pick: 0, again: false });
        }
        while !world.events.is_empty() {
            world.run(Op::Event { pick: 0, again: false });
        }
        if lossless {
            prop_assert_eq!(world.shown, world.texts);
        }
    }

    #[test]
    fn no_input_makes_a_panic(text in "\\PC{0,60}", number: u64, bytes: Vec<u8>) {
        let (_, mut guest, _, _) = guest_and_raw();
        let blob = encode_base64(&bytes);
        let key = curve25519(&guest).to_base64();
        for (event_type, content) in [
            ("m.room.encrypted", json!({"algorithm": "m.olm.v1.curve25519-aes-sha2",
                "sender_key": text, "ciphertext": {&key: {"type": number % 3, "body": blob}}})),
            ("m.room.encrypted", json!({"algorithm": "m.olm.v1.curve25519-aes-sha2",
                "sender_key": key, "ciphertext": {&key: {"type": number % 3, "body": blob}}})),
            ("m.room.encrypted", json!({"algorithm": "m.megolm.v1.aes-sha2",
                "session_id": text, "ciphertext": blob})),
            (text.as_str(), json!({"algorithm": text})),
        ] {
            let event = json!({"type": event_type, "sender": HOST, "content": content,
                "event_id": text, "origin_server_ts": number});
            prop_assert!(guest.receive_olm(&event, NOW).refused.is_some());
            let _ = guest.machine.receive_event(ROOM, &event);
        }
        let answer = json!({"device_keys": {HOST: {&text: {"user_id": HOST, "device_id": &text,
            "keys": {format!("ed25519:{text}"): blob, format!("curve25519:{text}"): blob}}}},
            "master_keys": {HOST: {"user_id": HOST, "usage": ["master"],
                "keys": {format!("ed25519:{blob}"): blob}}}});
        let _ = guest.machine.receive_keys(&answer, number);
        let _ = Machine::open([(text.clone(), bytes.clone())]);
        for kind in ["account", "host", "peer:x", "olm:x", "inbound:x", "outbound:x", "waiting:0", "held:0"] {
            let record = [&[2], bytes.as_slice()].concat();
            prop_assert!(Machine::open([(kind.to_owned(), record)]).is_err());
        }
    }
}

#[test]
fn nothing_secret_is_printed() {
    let (mut server, mut guest, mut host) = pair();
    let event = send(&mut server, &mut host, "$1", "a secret text", NOW);
    deliver(&mut server, &mut guest, NOW);
    guest.event(&event);
    let step = guest.machine.prepare(ROOM, &[HOST], NOW).unwrap();
    assert_eq!(
        format!("{:?}", guest.machine),
        format!("Machine {{ user_id: {GUEST:?}, device_id: \"GUESTDEV\", .. }}")
    );
    // Keys of records are shown, their bytes are not.
    let (_, changes) = Machine::create(GUEST, "GUESTDEV", NOW).unwrap();
    assert_eq!(
        format!("{changes:?}"),
        r#"{"account", "cross_signing", "steps"}"#
    );
    assert!(!format!("{step:?}").contains("pickle"));
}
