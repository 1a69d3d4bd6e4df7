//! Our machine.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use vestibule_crypto::{Changes, HostIdentity, Item, Machine, Prepare, Step};

use crate::server::Server;
use crate::{GUEST, HOST, NOW, ROOM};

/// The guest: our machine, restarted from its records whenever a test wants.
pub struct Guest {
    pub machine: Machine,
    pub records: BTreeMap<String, Vec<u8>>,
}

impl Guest {
    pub fn join(server: &mut Server) -> Self {
        let (machine, changes) = Machine::create(GUEST, "GUESTDEV", NOW).unwrap();
        let mut guest = Self {
            machine,
            records: BTreeMap::new(),
        };
        guest.store(changes);
        let step = guest.machine.meet(HOST).unwrap();
        guest.step(step);
        let keys = serde_json::to_value(guest.machine.public_keys().unwrap()).unwrap();
        let devices = server.devices.entry(GUEST.to_owned()).or_default();
        devices.insert("GUESTDEV".to_owned(), keys["device_keys"].clone());
        server
            .master
            .insert(GUEST.to_owned(), keys["master_key"].clone());
        server
            .self_signing
            .insert(GUEST.to_owned(), keys["self_signing_key"].clone());
        let (one_time, fallback) = (keys["one_time_keys"].clone(), keys["fallback_keys"].clone());
        server.upload(GUEST, "GUESTDEV", one_time, fallback);
        let step = guest.machine.mark_published().unwrap();
        guest.step(step);
        guest
    }

    pub fn store(&mut self, changes: Changes) {
        for (key, value) in changes.into_records() {
            match value {
                Some(value) => self.records.insert(key, value),
                None => self.records.remove(&key),
            };
        }
    }

    pub fn step<T>(&mut self, step: Step<T>) -> T {
        self.store(step.changes);
        step.output
    }

    pub fn restart(&mut self) {
        self.machine = Machine::open(self.records.clone()).unwrap();
    }

    pub fn receive_keys(&mut self, server: &Server) -> HostIdentity {
        let step = self.machine.receive_keys(&server.query(HOST), NOW).unwrap();
        self.step(step).peers[0].identity
    }

    pub fn send(&mut self, server: &mut Server, body: &str) -> Value {
        loop {
            let step = self.machine.prepare(ROOM, &[HOST], NOW).unwrap();
            match self.step(step) {
                Prepare::KeysQuery { .. } => {
                    self.receive_keys(server);
                }
                Prepare::KeysClaim { devices } => {
                    let keys: Map<String, Value> = devices[HOST]
                        .iter()
                        .map(|d| (d.clone(), server.claim(HOST, d)))
                        .collect();
                    let answer = json!({"one_time_keys": { HOST: keys }});
                    let step = self.machine.receive_claim(&answer, NOW).unwrap();
                    self.step(step);
                }
                Prepare::ToDevice {
                    id,
                    event_type,
                    messages,
                } => {
                    for (device, content) in messages[HOST].as_object().unwrap() {
                        let event =
                            json!({"type": event_type, "sender": GUEST, "content": content});
                        server.inbox.push((HOST.to_owned(), device.clone(), event));
                    }
                    let step = self.machine.to_device_stored(&id).unwrap();
                    self.step(step);
                }
                Prepare::Ready => break,
                Prepare::Blocked { reason, .. } => panic!("blocked: {reason:?}"),
            }
        }
        let step = self.machine.encrypt_text(ROOM, &[HOST], body, NOW).unwrap();
        self.step(step)
    }

    pub fn read(&mut self, server: &mut Server, event: &Value) -> Vec<Item> {
        for event in server.take(GUEST, "GUESTDEV") {
            let step = self.machine.receive_to_device(&event, NOW).unwrap();
            let received = self.step(step);
            assert_eq!(received.refused, None);
        }
        let step = self.machine.receive_event(ROOM, event).unwrap();
        self.step(step)
    }
}
