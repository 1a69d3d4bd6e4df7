//! Our machine.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use vestibule_crypto::{
    Blocked, Changes, HostIdentity, Item, KeysReceived, Machine, Prepare, Received, Step,
};

use crate::fate::CallFault;
use crate::server::{Batch, Post, Server};
use crate::{GUEST, GUEST_DEVICE, HOST, ROOM};

/// What became of an attempt to send.
#[derive(Debug, Clone, PartialEq)]
pub enum Sent {
    /// The content of the encrypted event.
    Content(Value),
    /// A call failed; it may be tried again.
    Stopped,
    /// Nothing can be sent now.
    Blocked(Blocked),
}

/// Our machine and what it has stored; opened anew from that whenever a test wants. A guest who talks
/// with a host, unless a test makes it somebody else.
pub struct Guest {
    user: String,
    /// Who is in the room, besides itself.
    pub members: Vec<String>,
    /// The machine.
    pub machine: Machine,
    /// Every record, as a store would keep them.
    pub records: BTreeMap<String, Vec<u8>>,
    /// What could be read while it did something else.
    pub items: Vec<Item>,
    /// What was handed out and isn't confirmed: the same must come again.
    unconfirmed: Option<Batch>,
}

impl Guest {
    /// Makes a guest's machine and publishes its keys.
    pub fn join(server: &mut Server, now: u64) -> Self {
        Self::join_as(GUEST, &[HOST], server, now)
    }

    /// Makes the machine of that user, who meets these, and publishes its keys.
    pub fn join_as(user: &str, members: &[&str], server: &mut Server, now: u64) -> Self {
        let (machine, changes) = Machine::create(user, GUEST_DEVICE, now).unwrap();
        let mut guest = Self {
            user: user.to_owned(),
            members: members.iter().map(|member| (*member).to_owned()).collect(),
            machine,
            records: BTreeMap::new(),
            items: Vec::new(),
            unconfirmed: None,
        };
        guest.store(changes);
        for member in members {
            let step = guest.machine.meet(member).unwrap();
            guest.step(step);
        }
        let keys = serde_json::to_value(guest.machine.public_keys().unwrap()).unwrap();
        let devices = server.devices.entry(user.to_owned()).or_default();
        devices.insert(GUEST_DEVICE.to_owned(), keys["device_keys"].clone());
        for (place, name) in [
            (&mut server.master, "master_key"),
            (&mut server.self_signing, "self_signing_key"),
        ] {
            place.insert(user.to_owned(), keys[name].clone());
        }
        let (one_time, fallback) = (&keys["one_time_keys"], &keys["fallback_keys"]);
        server.upload(user, GUEST_DEVICE, one_time, fallback);
        let step = guest.machine.mark_published().unwrap();
        guest.step(step);
        guest
    }

    fn store(&mut self, changes: Changes) {
        for (key, value) in changes.into_records() {
            match value {
                Some(value) => self.records.insert(key, value),
                None => self.records.remove(&key),
            };
        }
    }

    /// Stores what a call changed, and gives what it was made for.
    pub fn step<T>(&mut self, step: Step<T>) -> T {
        self.store(step.changes);
        step.output
    }

    /// Opens the machine anew from its records.
    pub fn restart(&mut self) {
        self.machine = Machine::open(self.records.clone()).unwrap();
    }

    /// The homeserver says that the host's devices changed.
    pub fn notice(&mut self) {
        let step = self.machine.keys_changed(HOST).unwrap();
        self.step(step);
    }

    /// Asks for the keys of everybody it has met.
    pub fn query(&mut self, server: &Server, now: u64) -> KeysReceived {
        let peers: Vec<&str> = self.machine.peers().collect();
        let answer = server.query(&peers);
        let step = self.machine.receive_keys(&answer, now).unwrap();
        self.step(step)
    }

    /// Asks for the host's keys, and gives what it says of their identity.
    pub fn identity(&mut self, server: &Server, now: u64) -> HostIdentity {
        let received = self.query(server, now);
        received.peers.first().unwrap().identity
    }

    /// Somebody came into the room, or left it.
    pub fn membership_changed(&mut self, user: &str, is_member: bool) {
        self.members.retain(|member| member != user);
        if is_member {
            self.members.push(user.to_owned());
        }
        let step = self.machine.membership_changed(ROOM, user).unwrap();
        self.step(step);
    }

    /// Accepts the host's changed identity.
    pub fn accept_identity(&mut self) -> Vec<Item> {
        self.accept_identity_of(HOST)
    }

    /// Accepts that user's changed identity.
    pub fn accept_identity_of(&mut self, user: &str) -> Vec<Item> {
        let step = self.machine.accept_identity(user).unwrap();
        self.step(step)
    }

    /// Takes in a to-device event.
    pub fn receive_to_device(&mut self, event: &Value, now: u64) -> Received {
        let step = self.machine.receive_to_device(event, now).unwrap();
        self.step(step)
    }

    /// Takes in an event of a room, which it names itself.
    pub fn receive_room_event(&mut self, event: &Value) -> Vec<Item> {
        let room = event["room_id"].as_str().unwrap();
        let step = self.machine.receive_event(room, event).unwrap();
        self.step(step)
    }

    /// Tops up the keys on the homeserver. With `killed` the machine ends before it hears of it.
    pub fn refill(&mut self, server: &mut Server, killed: bool, now: u64) {
        let (count, unused) = server.counts(&self.user, GUEST_DEVICE);
        let step = self.machine.one_time_keys(count, unused, now).unwrap();
        let Some(upload) = self.step(step) else {
            return;
        };
        let fallback = Value::Object(upload.fallback_keys);
        let one_time = Value::Object(upload.one_time_keys);
        server.upload(&self.user, GUEST_DEVICE, &one_time, &fallback);
        if killed {
            self.restart();
        } else {
            let step = self.machine.mark_published().unwrap();
            self.step(step);
        }
    }

    /// Does what must be done before a message can leave, and encrypts it. What it gives to other
    /// devices goes into `out`.
    pub fn send(
        &mut self,
        server: &mut Server,
        body: &str,
        fault: Option<CallFault>,
        out: &mut Vec<Batch>,
        now: u64,
    ) -> Sent {
        loop {
            let members: Vec<&str> = self.members.iter().map(String::as_str).collect();
            let step = self.machine.prepare(ROOM, &members, now).unwrap();
            match self.step(step) {
                Prepare::Ready => break,
                Prepare::Blocked { reason, .. } => return Sent::Blocked(reason),
                need => {
                    if self.perform(server, need, fault, out, now).is_none() {
                        return Sent::Stopped;
                    }
                }
            }
        }
        if fault == Some(CallFault::Unstored) {
            // The step is lost with the machine before it was stored, so nothing may have left.
            drop(self.encrypt(body, now));
            self.restart();
        }
        let step = self.encrypt(body, now);
        Sent::Content(self.step(step))
    }

    fn encrypt(&mut self, body: &str, now: u64) -> Step<Value> {
        let members: Vec<&str> = self.members.iter().map(String::as_str).collect();
        let step = self.machine.encrypt_text(ROOM, &members, body, now);
        step.unwrap()
    }

    /// Replaces Olm sessions that can't be read any more.
    pub fn heal(&mut self, server: &mut Server, out: &mut Vec<Batch>, now: u64) {
        while self.machine.wants_healing(now) {
            let step = self.machine.heal(now).unwrap();
            let need = self.step(step);
            if need == Prepare::Ready {
                break;
            }
            self.perform(server, need, None, out, now).unwrap();
        }
    }

    /// Makes the call that is needed; `None` if it failed.
    fn perform(
        &mut self,
        server: &mut Server,
        need: Prepare,
        fault: Option<CallFault>,
        out: &mut Vec<Batch>,
        now: u64,
    ) -> Option<()> {
        match need {
            Prepare::KeysQuery { users } => {
                if fault == Some(CallFault::Query) {
                    return None;
                }
                let users: Vec<&str> = users.iter().map(String::as_str).collect();
                let answer = server.query(&users);
                let step = self.machine.receive_keys(&answer, now).unwrap();
                let received = self.step(step);
                self.items.extend(received.items);
            }
            Prepare::KeysClaim { devices } => {
                if fault == Some(CallFault::Claim) {
                    return None;
                }
                let mut keys = Map::new();
                for (user, devices) in devices {
                    let claimed = devices.iter().filter_map(|device| {
                        let claimed = server.claim(&user, device)?;
                        (fault != Some(CallFault::NoKeys)).then(|| (device.clone(), claimed))
                    });
                    let claimed = Value::Object(claimed.collect());
                    keys.insert(user, claimed);
                }
                let answer = json!({"one_time_keys": keys, "failures": {}});
                let step = self.machine.receive_claim(&answer, now).unwrap();
                self.step(step);
            }
            Prepare::ToDevice {
                id,
                event_type,
                messages,
            } => {
                let mut posts = Vec::new();
                for (user, messages) in messages {
                    for (device, content) in messages.as_object().into_iter().flatten() {
                        posts.push(Post {
                            user: user.clone(),
                            device: device.clone(),
                            event_type: event_type.clone(),
                            content: content.clone(),
                        });
                    }
                }
                let txn = id.clone();
                let batch = Batch { txn, posts };
                if let Some(before) = self.unconfirmed.take().filter(|b| b.txn == batch.txn) {
                    assert_eq!(before, batch, "other messages under the same id");
                }
                if fault == Some(CallFault::ToDevice) {
                    self.unconfirmed = Some(batch);
                    return None;
                }
                out.push(batch.clone());
                if fault == Some(CallFault::ToDeviceAnswer) {
                    self.unconfirmed = Some(batch);
                    return None;
                }
                let step = self.machine.to_device_stored(&id).unwrap();
                self.step(step);
            }
            Prepare::Ready | Prepare::Blocked { .. } => {}
        }
        Some(())
    }
}
