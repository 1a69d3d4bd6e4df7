//! Two people, a homeserver that keeps keys, and machines whose every change goes through a store.

pub mod raw;
pub mod several;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use vestibule_crypto::{
    Changes, CryptoError, HostIdentity, Item, Machine, Message, Prepare, Received, Step,
    Undecryptable,
};

pub const GUEST: &str = "@_vestibule_1:example.org";
pub const HOST: &str = "@alice:example.org";
pub const ROOM: &str = "!room:example.org";
pub const NOW: u64 = 1_795_364_370_566;
pub const SECOND: u64 = 1000;
pub const HOUR: u64 = 3_600_000;
pub const DAY: u64 = 24 * HOUR;

/// A machine that lives only in its records: it can be restarted at any point.
pub struct Device {
    pub machine: Machine,
    pub records: BTreeMap<String, Vec<u8>>,
}

/// What a key query said of the one peer that it was about.
#[derive(Debug, Clone, PartialEq)]
pub struct Keys {
    pub identity: HostIdentity,
    pub devices: usize,
    pub items: Vec<Item>,
}

impl Device {
    /// A device that has met one user.
    pub fn new(user: &str, device: &str, other: &str, now: u64) -> Self {
        let mut device = Self::alone(user, device, now);
        device.meet(other);
        device
    }

    /// A device that has met nobody.
    pub fn alone(user: &str, device: &str, now: u64) -> Self {
        let (machine, changes) = Machine::create(user, device, now).unwrap();
        let mut device = Self {
            machine,
            records: BTreeMap::new(),
        };
        device.store(changes);
        device
    }

    pub fn meet(&mut self, user: &str) {
        let step = self.machine.meet(user).unwrap();
        self.step(step);
    }

    /// As if it had never met them.
    pub fn meet_anew(&mut self, user: &str) {
        let step = self.machine.forget(user).unwrap();
        self.step(step);
        self.meet(user);
    }

    /// Everybody it has met: all of them are in the room.
    pub fn peers(&self) -> Vec<String> {
        self.machine.peers().map(str::to_owned).collect()
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

    pub fn user(&self) -> String {
        self.machine.user_id().to_owned()
    }

    pub fn id(&self) -> String {
        self.machine.device_id().to_owned()
    }

    pub fn receive_keys(&mut self, response: &Value, now: u64) -> Keys {
        let step = self.machine.receive_keys(response, now).unwrap();
        let mut received = self.step(step);
        assert_eq!(received.peers.len(), 1);
        let peer = received.peers.remove(0);
        Keys {
            identity: peer.identity,
            devices: peer.devices,
            items: received.items,
        }
    }

    pub fn prepare(&mut self, now: u64) -> Prepare {
        let peers = self.peers();
        self.prepare_for(&strs(&peers), now)
    }

    pub fn prepare_for(&mut self, members: &[&str], now: u64) -> Prepare {
        let step = self.machine.prepare(ROOM, members, now).unwrap();
        self.step(step)
    }

    pub fn stored(&mut self, id: &str) {
        let step = self.machine.to_device_stored(id).unwrap();
        self.step(step);
    }

    pub fn receive_claim(&mut self, response: &Value, now: u64) {
        let step = self.machine.receive_claim(response, now).unwrap();
        self.step(step);
    }

    pub fn encrypt(&mut self, body: &str, now: u64) -> Value {
        let content = self.try_encrypt(body, now);
        content.unwrap()
    }

    pub fn try_encrypt(&mut self, body: &str, now: u64) -> Result<Value, CryptoError> {
        let peers = self.peers();
        let step = self.machine.encrypt_text(ROOM, &strs(&peers), body, now)?;
        Ok(self.step(step))
    }

    pub fn accept(&mut self, user: &str) -> Vec<Item> {
        let step = self.machine.accept_identity(user).unwrap();
        self.step(step)
    }

    pub fn encrypt_message(
        &mut self,
        message: &Message<'_>,
        now: u64,
    ) -> Result<Value, CryptoError> {
        let peers = self.peers();
        let step = self.machine.encrypt(ROOM, &strs(&peers), message, now)?;
        Ok(self.step(step))
    }

    pub fn keys_changed(&mut self, user: &str) {
        let step = self.machine.keys_changed(user).unwrap();
        self.step(step);
    }

    pub fn receive_olm(&mut self, event: &Value, now: u64) -> Received {
        let step = self.machine.receive_to_device(event, now).unwrap();
        self.step(step)
    }

    pub fn event(&mut self, event: &Value) -> Item {
        let step = self.machine.receive_event(ROOM, event).unwrap();
        let mut items = self.step(step);
        assert_eq!(items.len(), 1);
        items.remove(0)
    }

    pub fn publish(&mut self, server: &mut Server) {
        let keys = serde_json::to_value(self.machine.public_keys().unwrap()).unwrap();
        server.publish(&self.user(), &self.id(), &keys);
        let step = self.machine.mark_published().unwrap();
        self.step(step);
    }
}

/// What the homeserver knows of everybody's keys.
#[derive(Default, Clone)]
pub struct Server {
    pub device_keys: BTreeMap<String, Map<String, Value>>,
    pub master_keys: Map<String, Value>,
    pub self_signing_keys: Map<String, Value>,
    pub one_time_keys: BTreeMap<(String, String), Map<String, Value>>,
    pub fallback_keys: BTreeMap<(String, String), Map<String, Value>>,
    /// To-device events by receiving user and device.
    pub inbox: Vec<(String, String, Value)>,
}

impl Server {
    pub fn publish(&mut self, user: &str, device: &str, keys: &Value) {
        let place = (user.to_owned(), device.to_owned());
        let devices = self.device_keys.entry(user.to_owned()).or_default();
        let old = devices.insert(device.to_owned(), keys["device_keys"].clone());
        if old.is_some_and(|old| old != keys["device_keys"]) {
            // Another device under the same id: the one before was deleted, with its keys.
            self.one_time_keys.remove(&place);
            self.fallback_keys.remove(&place);
        }
        self.master_keys
            .insert(user.to_owned(), keys["master_key"].clone());
        self.self_signing_keys
            .insert(user.to_owned(), keys["self_signing_key"].clone());
        self.upload(place, keys);
    }

    pub fn upload(&mut self, place: (String, String), keys: &Value) {
        let known = self.one_time_keys.entry(place.clone()).or_default();
        for (id, key) in keys["one_time_keys"].as_object().unwrap() {
            // As Synapse does: the same again is fine, another under the same id is refused.
            let old = known.insert(id.clone(), key.clone());
            assert!(old.is_none_or(|old| old == *key), "{id} exists");
        }
        let fallback = keys["fallback_keys"].as_object().unwrap().clone();
        if !fallback.is_empty() {
            self.fallback_keys.insert(place, fallback);
        }
    }

    /// Forgets a user's cross-signing, as if there had never been any.
    pub fn without_cross_signing(&mut self, user: &str) {
        self.master_keys.remove(user);
        self.self_signing_keys.remove(user);
    }

    pub fn query(&self, user: &str) -> Value {
        self.query_all(&[user.to_owned()])
    }

    pub fn query_all(&self, users: &[String]) -> Value {
        let mut answer = json!({
            "device_keys": {}, "master_keys": {}, "self_signing_keys": {}, "failures": {},
        });
        for user in users {
            let devices = self.device_keys.get(user).cloned().unwrap_or_default();
            answer["device_keys"][user] = Value::Object(devices);
            if let Some(key) = self.master_keys.get(user) {
                answer["master_keys"][user] = key.clone();
            }
            if let Some(key) = self.self_signing_keys.get(user) {
                answer["self_signing_keys"][user] = key.clone();
            }
        }
        answer
    }

    /// The answer to what [`Prepare::KeysClaim`] asks.
    pub fn claim_all(&mut self, devices: &BTreeMap<String, Vec<String>>) -> Value {
        let mut answer = json!({"one_time_keys": {}, "failures": {}});
        for (user, devices) in devices {
            let of_user = self.claim(user, devices)["one_time_keys"][user].take();
            answer["one_time_keys"][user] = of_user;
        }
        answer
    }

    pub fn claim(&mut self, user: &str, devices: &[String]) -> Value {
        let mut answer = json!({"one_time_keys": { user: {} }, "failures": {}});
        for device in devices {
            let place = (user.to_owned(), device.clone());
            let one_time = self.one_time_keys.entry(place.clone()).or_default();
            let first = one_time.keys().next().cloned();
            let key = match first {
                Some(id) => Some((id.clone(), one_time.remove(&id).unwrap())),
                None => self
                    .fallback_keys
                    .get(&place)
                    .and_then(|keys| keys.iter().next())
                    .map(|(id, key)| (id.clone(), key.clone())),
            };
            if let Some((id, key)) = key {
                answer["one_time_keys"][user][device] = json!({ id: key });
            }
        }
        answer
    }

    pub fn send(&mut self, from: &str, event_type: &str, messages: &Map<String, Value>) {
        for (to, messages) in messages {
            for (device, content) in messages.as_object().unwrap() {
                let event = json!({"type": event_type, "sender": from, "content": content});
                self.inbox.push((to.clone(), device.clone(), event));
            }
        }
    }

    pub fn take(&mut self, user: &str, device: &str) -> Vec<Value> {
        let (mine, rest) = std::mem::take(&mut self.inbox)
            .into_iter()
            .partition(|(u, d, _)| u == user && d == device);
        self.inbox = rest;
        let mine: Vec<(String, String, Value)> = mine;
        mine.into_iter().map(|(_, _, event)| event).collect()
    }
}

/// Both published, and each knows the other's keys.
pub fn pair() -> (Server, Device, Device) {
    let mut server = Server::default();
    let mut guest = Device::new(GUEST, "GUESTDEV", HOST, NOW);
    let mut host = Device::new(HOST, "HOSTDEV", GUEST, NOW);
    guest.publish(&mut server);
    host.publish(&mut server);
    assert_eq!(
        guest.receive_keys(&server.query(HOST), NOW).identity,
        HostIdentity::First
    );
    assert_eq!(
        host.receive_keys(&server.query(GUEST), NOW).identity,
        HostIdentity::First
    );
    (server, guest, host)
}

/// Does what `prepare` asks until it says ready or blocked, and gives that.
pub fn settle(server: &mut Server, device: &mut Device, now: u64) -> Prepare {
    let me = device.user();
    for _ in 0..20 {
        match device.prepare(now) {
            Prepare::KeysQuery { users } => {
                let answer = server.query_all(&users);
                let step = device.machine.receive_keys(&answer, now).unwrap();
                device.step(step);
            }
            Prepare::KeysClaim { devices } => {
                let answer = server.claim_all(&devices);
                device.receive_claim(&answer, now);
            }
            Prepare::ToDevice {
                id,
                event_type,
                messages,
            } => {
                server.send(&me, &event_type, &messages);
                device.stored(&id);
            }
            done => return done,
        }
    }
    panic!("prepare never ends");
}

pub fn strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// One device of one user, as [`Prepare::KeysClaim`] names it.
pub fn just(user: &str, device: &str) -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([(user.to_owned(), vec![device.to_owned()])])
}

/// A room event of that sender.
pub fn room_event(sender: &str, event_id: &str, content: &Value) -> Value {
    json!({"type": "m.room.encrypted", "event_id": event_id, "sender": sender,
        "origin_server_ts": NOW, "content": content})
}

/// Prepares, encrypts, and gives the event as the other side gets it.
pub fn send(server: &mut Server, from: &mut Device, event_id: &str, body: &str, now: u64) -> Value {
    assert_eq!(settle(server, from, now), Prepare::Ready);
    let content = from.encrypt(body, now);
    room_event(&from.user(), event_id, &content)
}

/// Delivers what waits for this device.
pub fn deliver(server: &mut Server, to: &mut Device, now: u64) -> Vec<Received> {
    let events = server.take(&to.user(), &to.id());
    events
        .iter()
        .map(|event| to.receive_olm(event, now))
        .collect()
}

pub fn body(item: &Item) -> &str {
    match item {
        Item::Text { body, .. } => body,
        other => panic!("no text: {other:?}"),
    }
}

pub fn reason(item: &Item) -> Undecryptable {
    match item {
        Item::Undecryptable { reason, .. } => *reason,
        other => panic!("readable: {other:?}"),
    }
}

/// The Megolm session of an event's content.
pub fn session_of(content: &Value) -> String {
    content["session_id"].as_str().unwrap().to_owned()
}

/// What waits on the server for that device of the host, by type.
pub fn inbox(server: &Server, device: &str) -> Vec<String> {
    let mine = server.inbox.iter().filter(|(_, d, _)| d == device);
    mine.map(|(_, _, event)| event["type"].as_str().unwrap().to_owned())
        .collect()
}
