//! A host: a Matrix user of the homeserver with one device, which is a crypto machine of its own.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use vestibule_crypto::{Item, Machine, Prepare, Step};

use crate::bridge::BEGINNING;
use crate::homeserver::Homeserver;
use crate::homeserver::state::{BOT, Device, State, User};

/// The host's time; nothing of theirs depends on it.
const NOW: u64 = BEGINNING.0;

/// One host.
pub struct Host {
    pub user: String,
    pub device: String,
    /// Where they talk with the bot.
    pub management: String,
    machine: Option<Machine>,
    read: BTreeSet<String>,
    pub items: Vec<Item>,
    transactions: u64,
}

impl Host {
    /// A user of the homeserver who has started a direct chat with the bot.
    pub fn new(homeserver: &Homeserver, name: &str) -> Self {
        let user = format!("@{}:example.org", name.to_lowercase());
        let management = homeserver.with(|state| {
            let kept = User {
                display_name: Some(name.to_owned()),
                ..User::default()
            };
            state.users.insert(user.clone(), kept);
            start_direct_chat(state, &user, false)
        });
        let device = "HOSTDEVICE".to_owned();
        Self {
            user,
            device,
            management,
            machine: None,
            read: BTreeSet::new(),
            items: Vec::new(),
            transactions: 0,
        }
    }

    /// The same, and the chat is encrypted.
    pub fn encrypted(homeserver: &Homeserver, name: &str) -> Self {
        let mut host = Self::new(homeserver, name);
        host.management = homeserver.with(|state| {
            let plain = host.management.clone();
            state.rooms.remove(&plain);
            state
                .events
                .retain(|event| event["room_id"] != plain.as_str());
            start_direct_chat(state, &host.user, true)
        });
        host.publish_device(homeserver, BOT);
        host
    }

    /// Publishes a device that can talk with this user.
    pub fn publish_device(&mut self, homeserver: &Homeserver, other: &str) {
        if self.machine.is_none() {
            self.new_device(homeserver, true);
        }
        unstored(self.machine().meet(other).unwrap());
    }

    /// A device with an identity of its own, which signs it or doesn't.
    pub fn new_device(&mut self, homeserver: &Homeserver, signed: bool) {
        let (mut machine, _) = Machine::create(&self.user, &self.device, NOW).unwrap();
        let mut keys = serde_json::to_value(machine.public_keys().unwrap()).unwrap();
        unstored(machine.mark_published().unwrap());
        if !signed {
            let own = format!("ed25519:{}", self.device);
            let signatures = keys["device_keys"]["signatures"][&self.user].as_object_mut();
            signatures.unwrap().retain(|key, _| *key == own);
        }
        homeserver.with(|state| {
            let devices = &mut state.users.get_mut(&self.user).unwrap().devices;
            devices.insert(self.device.clone(), Device::default());
            state.upload_keys(&self.user, &self.device, &keys).unwrap();
            if !signed {
                return;
            }
            let cross_signing = json!({
                "master_key": keys["master_key"], "self_signing_key": keys["self_signing_key"],
            });
            state
                .upload_cross_signing(&self.user, &cross_signing)
                .unwrap();
        });
        self.machine = Some(machine);
    }

    /// The same person on another device.
    pub fn second_device(&self, homeserver: &Homeserver, device: &str, signed: bool) -> Self {
        let mut other = Self {
            user: self.user.clone(),
            device: device.to_owned(),
            management: self.management.clone(),
            machine: None,
            read: BTreeSet::new(),
            items: Vec::new(),
            transactions: 1000,
        };
        other.new_device(homeserver, signed);
        other
    }

    fn transaction(&mut self) -> String {
        self.transactions += 1;
        format!("{}-{}", self.user, self.transactions)
    }

    /// Writes to the bot.
    pub fn command(&mut self, homeserver: &Homeserver, text: &str) {
        let content = json!({ "msgtype": "m.text", "body": text });
        let (txn, room) = (self.transaction(), self.management.clone());
        homeserver.with(|state| {
            state
                .send(&room, &self.user, "m.room.message", &txn, content)
                .unwrap()
        });
    }

    /// What the bot said so far.
    pub fn notices(&self, state: &State) -> Vec<String> {
        let said = self.said(state).into_iter();
        said.filter(|content| content["msgtype"] == "m.notice")
            .filter_map(|content| Some(content["body"].as_str()?.to_owned()))
            .collect()
    }

    /// The pictures that the bot showed the host.
    pub fn pictures(&self, state: &State) -> Vec<Value> {
        let said = self.said(state).into_iter();
        said.filter(|content| content["msgtype"] == "m.image")
            .collect()
    }

    fn said(&self, state: &State) -> Vec<Value> {
        let Some(room) = state.rooms.get(&self.management) else {
            return Vec::new();
        };
        let said = room
            .timeline
            .iter()
            .filter(|event| event.sender == BOT && event.event_type == "m.room.message");
        said.map(|event| event.content.clone()).collect()
    }

    /// Rooms to which a ghost invited the host.
    pub fn invitations(&self, state: &State) -> Vec<String> {
        let invited = |room: &&String| state.rooms[*room].membership(&self.user) == "invite";
        state.rooms.keys().filter(invited).cloned().collect()
    }

    pub fn accept(&self, homeserver: &Homeserver, room: &str) {
        homeserver.with(|state| {
            state
                .set_member(room, &self.user, &self.user, "join")
                .unwrap()
        });
    }

    /// Changes somebody's membership, the host's own too.
    pub fn set_member(&self, homeserver: &Homeserver, room: &str, target: &str, membership: &str) {
        homeserver.with(|state| {
            state
                .set_member(room, &self.user, target, membership)
                .unwrap()
        });
    }

    /// Sends any event to a room.
    pub fn send(
        &mut self,
        homeserver: &Homeserver,
        room: &str,
        event_type: &str,
        content: Value,
    ) -> String {
        let txn = self.transaction();
        let sent = homeserver
            .with(|state| state.send(room, &self.user, event_type, &txn, content))
            .unwrap();
        sent["event_id"].as_str().unwrap().to_owned()
    }

    /// Says something, encrypted, with the keys before it.
    pub fn say(&mut self, homeserver: &Homeserver, room: &str, text: &str) -> String {
        let content = self.encrypt(homeserver, room, text);
        self.send(homeserver, room, "m.room.encrypted", content)
    }

    /// Encrypts something, and sends the keys, but not what is encrypted.
    pub fn encrypt(&mut self, homeserver: &Homeserver, room: &str, text: &str) -> Value {
        let members = self.members(homeserver, room);
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        self.share_keys(homeserver, room, &members);
        unstored(
            self.machine()
                .encrypt_text(room, &members, text, NOW)
                .unwrap(),
        )
    }

    /// Who else is in a room.
    fn members(&mut self, homeserver: &Homeserver, room: &str) -> Vec<String> {
        let own = self.user.clone();
        let members: Vec<String> = homeserver.with(|state| {
            let kept = &state.rooms[room];
            let joined = |user: &&String| **user != own && kept.membership(user) == "join";
            state.users.keys().filter(joined).cloned().collect()
        });
        for member in &members {
            unstored(self.machine().meet(member).unwrap());
        }
        members
    }

    /// Does all that the machine asks for before it can encrypt.
    fn share_keys(&mut self, homeserver: &Homeserver, room: &str, members: &[&str]) {
        loop {
            match unstored(self.machine().prepare(room, members, NOW).unwrap()) {
                Prepare::Ready => return,
                Prepare::KeysQuery { users } => {
                    let answer = homeserver.with(|state| state.query_keys(&asked(&users)));
                    unstored(self.machine().receive_keys(&answer, NOW).unwrap());
                }
                Prepare::KeysClaim { devices } => {
                    let of_user = |(user, devices): (String, Vec<String>)| {
                        let wanted: Value = devices
                            .into_iter()
                            .map(|id| (id, json!("signed_curve25519")))
                            .collect();
                        (user, wanted)
                    };
                    let wanted: Value = devices.into_iter().map(of_user).collect();
                    let body = json!({ "one_time_keys": wanted });
                    let answer = homeserver.with(|state| state.claim_keys(&body));
                    unstored(self.machine().receive_claim(&answer, NOW).unwrap());
                }
                Prepare::ToDevice {
                    id,
                    event_type,
                    messages,
                } => {
                    let body = json!({ "messages": messages });
                    let txn = self.transaction();
                    homeserver.with(|state| {
                        state
                            .send_to_device(&self.user, &event_type, &txn, &body)
                            .unwrap()
                    });
                    unstored(self.machine().to_device_stored(&id).unwrap());
                }
                blocked @ Prepare::Blocked { .. } => panic!("{blocked:?}"),
            }
        }
    }

    fn machine(&mut self) -> &mut Machine {
        self.machine.as_mut().expect("a device was published")
    }

    /// Takes in what came for the device and into the room; gives all texts of others so far.
    pub fn read(&mut self, homeserver: &Homeserver, room: &str) -> Vec<String> {
        let own = self.user.clone();
        let met: Vec<String> = self.machine().peers().map(str::to_owned).collect();
        let (inbox, timeline, keys) = homeserver.with(|state| {
            let inbox: Vec<(u64, Value)> = state
                .device(&self.user, &self.device)
                .unwrap()
                .inbox
                .drain(..)
                .collect();
            let keys = state.query_keys(&asked(&met));
            (inbox, state.rooms[room].timeline.clone(), keys)
        });
        if keys["device_keys"]
            .as_object()
            .is_some_and(|of| !of.is_empty())
        {
            unstored(self.machine().receive_keys(&keys, NOW).unwrap());
        }
        for (_, event) in inbox {
            let received = self
                .machine()
                .receive_to_device(&event, NOW)
                .unwrap()
                .output;
            self.items.extend(received.items);
        }
        for event in timeline {
            let new = event.sender != own && event.event_type == "m.room.encrypted";
            if new && self.read.insert(event.event_id.clone()) {
                let items = self
                    .machine()
                    .receive_event(room, &event.to_json(room))
                    .unwrap()
                    .output;
                self.items.extend(items);
            }
        }
        self.texts()
    }

    fn texts(&self) -> Vec<String> {
        let text = |item: &Item| match item {
            Item::Text { body, .. } => Some(body.clone()),
            _ => None,
        };
        self.items.iter().filter_map(text).collect()
    }
}

/// A host's device lives as long as its test, so its changes are never read again.
fn unstored<T>(step: Step<T>) -> T {
    step.output
}

/// The body of a query for these users.
fn asked(users: &[String]) -> Value {
    let users: Value = users.iter().map(|user| (user.clone(), json!([]))).collect();
    json!({ "device_keys": users })
}

/// A room of the user into which the bot is invited.
fn start_direct_chat(state: &mut State, user: &str, encrypted: bool) -> String {
    let encryption = json!({
        "type": "m.room.encryption", "state_key": "",
        "content": { "algorithm": "m.megolm.v1.aes-sha2" },
    });
    let initial = if encrypted {
        vec![encryption]
    } else {
        Vec::new()
    };
    let body = json!({
        "preset": "trusted_private_chat", "is_direct": true, "invite": [BOT],
        "initial_state": initial,
    });
    let room = state.create_room(user, &body).unwrap();
    room["room_id"].as_str().unwrap().to_owned()
}
