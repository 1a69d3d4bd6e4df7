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
            start_direct_chat(state, &user)
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

    /// Publishes a device that can talk with this ghost.
    pub fn publish_device(&mut self, homeserver: &Homeserver, ghost: &str) {
        let (mut machine, _) = Machine::create(&self.user, &self.device, NOW).unwrap();
        unstored(machine.meet(ghost).unwrap());
        let keys = serde_json::to_value(machine.public_keys().unwrap()).unwrap();
        unstored(machine.mark_published().unwrap());
        homeserver.with(|state| {
            let devices = &mut state.users.get_mut(&self.user).unwrap().devices;
            devices.insert(self.device.clone(), Device::default());
            state.upload_keys(&self.user, &self.device, &keys).unwrap();
            let cross_signing = json!({
                "master_key": keys["master_key"], "self_signing_key": keys["self_signing_key"],
            });
            state
                .upload_cross_signing(&self.user, &cross_signing)
                .unwrap();
        });
        self.machine = Some(machine);
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
        self.share_keys(homeserver, room);
        let ghost = self.ghost();
        let step = self.machine().encrypt_text(room, &[&ghost], text, NOW);
        let content = unstored(step.unwrap());
        self.send(homeserver, room, "m.room.encrypted", content)
    }

    /// Does all that the machine asks for before it can encrypt.
    fn share_keys(&mut self, homeserver: &Homeserver, room: &str) {
        let ghost = self.ghost();
        loop {
            match unstored(self.machine().prepare(room, &[&ghost], NOW).unwrap()) {
                Prepare::Ready => return,
                Prepare::KeysQuery { .. } => {
                    let answer = homeserver
                        .with(|state| state.query_keys(&json!({ "device_keys": { &ghost: [] } })));
                    unstored(self.machine().receive_keys(&answer, NOW).unwrap());
                }
                Prepare::KeysClaim { devices } => {
                    let wanted = |ids: Vec<String>| -> Value {
                        let ids = ids.into_iter();
                        ids.map(|id| (id, json!("signed_curve25519"))).collect()
                    };
                    let devices = devices.into_iter();
                    let wanted: Value = devices.map(|(user, ids)| (user, wanted(ids))).collect();
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

    /// The one ghost that this host talks with.
    fn ghost(&mut self) -> String {
        let ghost = self.machine().peers().next();
        ghost.expect("a ghost was met").to_owned()
    }

    fn machine(&mut self) -> &mut Machine {
        self.machine.as_mut().expect("a device was published")
    }

    /// Takes in what came for the device and into the room; gives all texts of the guest so far.
    pub fn read(&mut self, homeserver: &Homeserver, room: &str) -> Vec<String> {
        let ghost = self.ghost();
        let (inbox, timeline, keys) = homeserver.with(|state| {
            let inbox: Vec<(u64, Value)> = state
                .device(&self.user, &self.device)
                .unwrap()
                .inbox
                .drain(..)
                .collect();
            let keys = state.query_keys(&json!({ "device_keys": { &ghost: [] } }));
            (inbox, state.rooms[room].timeline.clone(), keys)
        });
        if keys["device_keys"].get(&ghost).is_some() {
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
            let new = event.sender == ghost && event.event_type == "m.room.encrypted";
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

/// A room of the user into which the bot is invited.
fn start_direct_chat(state: &mut State, user: &str) -> String {
    let body = json!({ "preset": "trusted_private_chat", "is_direct": true, "invite": [BOT] });
    let room = state.create_room(user, &body).unwrap();
    room["room_id"].as_str().unwrap().to_owned()
}
