//! A guest without a browser: the same crypto machine, and `docs/protocol.md` to the letter.

pub mod socket;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use vestibule::clock::{Clock as _, MockClock};
use vestibule_crypto::{Item, Machine, Prepare, Step};

use crate::bridge::Bridge;
use crate::web::Answer;
use socket::Socket;

/// One guest in one browser.
pub struct Guest {
    pub machine: Machine,
    /// What the browser keeps over a reload.
    records: BTreeMap<String, Vec<u8>>,
    pub ghost: String,
    pub host: String,
    pub portal: String,
    pub room: String,
    pub last_seq: u64,
    pub last_n: u64,
    /// Every numbered frame of the bridge, in order.
    pub inbox: Vec<Value>,
    /// What a page would show.
    pub items: Vec<Item>,
    /// Frames of the moment.
    pub signals: Vec<Value>,
    pub welcome: Value,
    /// Whether the end came and the connection is over.
    pub ended: Option<String>,
    joined_with: Option<Value>,
    next_id: u64,
    clock: Arc<MockClock>,
    socket: Option<Socket>,
}

impl Guest {
    /// Looks at the link and makes keys for its ghost.
    pub async fn of_link(bridge: &Bridge, token: &str, device: &str) -> Self {
        let look = bridge.look(token).await;
        assert_eq!(look.status, 200, "{}", look.text());
        let look = look.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self::new(
            bridge,
            &text(&look["ghost"]),
            &text(&look["host"]["user_id"]),
            device,
        )
    }

    pub fn new(bridge: &Bridge, ghost: &str, host: &str, device: &str) -> Self {
        let clock = Arc::clone(&bridge.clock);
        let (machine, changes) = Machine::create(ghost, device, clock.now().0).unwrap();
        let mut guest = Self {
            machine,
            records: BTreeMap::new(),
            ghost: ghost.to_owned(),
            host: host.to_owned(),
            portal: String::new(),
            room: String::new(),
            last_seq: 0,
            last_n: 0,
            inbox: Vec::new(),
            items: Vec::new(),
            signals: Vec::new(),
            welcome: Value::Null,
            ended: None,
            joined_with: None,
            next_id: 0,
            clock,
            socket: None,
        };
        guest.kept(Step {
            changes,
            output: (),
        });
        let step = guest.machine.meet(host).unwrap();
        guest.kept(step);
        guest
    }

    /// Keeps what a step of the machine changed, before anything leaves.
    fn kept<T>(&mut self, step: Step<T>) -> T {
        for (key, value) in step.changes.into_records() {
            match value {
                Some(value) => self.records.insert(key, value),
                None => self.records.remove(&key),
            };
        }
        step.output
    }

    fn now(&self) -> u64 {
        self.clock.now().0
    }

    /// The body of a join.
    pub fn join_body(&self, token: &str, name: &str) -> Value {
        json!({
            "token": token, "name": name, "device_id": self.machine.device_id(),
            "keys": self.machine.public_keys().unwrap(),
        })
    }

    /// Presses *Start chat*; after the first success the same request goes out again.
    pub async fn join(&mut self, bridge: &Bridge, token: &str, name: &str) -> Answer {
        let body = self
            .joined_with
            .clone()
            .unwrap_or_else(|| self.join_body(token, name));
        let answer = bridge.web.post(&bridge.url("/api/v1/join"), &body).await;
        if answer.status == 200 {
            self.portal = answer.json()["portal"].as_str().unwrap().to_owned();
            let step = self.machine.mark_published().unwrap();
            self.kept(step);
            self.joined_with = Some(body);
        }
        answer
    }

    /// The hello for this challenge.
    pub fn hello(&self, bridge: &Bridge, challenge: &Value) -> Value {
        assert_eq!(challenge["type"], "challenge");
        assert_eq!(challenge["protocol"], 1);
        let nonce = challenge["nonce"].as_str().unwrap();
        json!({
            "type": "hello", "portal": self.portal, "device": self.machine.device_id(),
            "signature": self.machine.sign_hello(&bridge.origin, &self.portal, nonce), "last_seq": self.last_seq,
        })
    }

    /// Connects and says hello; what comes then is for whoever asks.
    pub async fn connect(&mut self, bridge: &Bridge) -> &mut Socket {
        let mut socket = Socket::of_page(bridge).await;
        let challenge = socket.next().await.expect("a challenge");
        let hello = self.hello(bridge, &challenge);
        socket.send(&hello).await;
        self.socket.insert(socket)
    }

    /// Goes on over this connection.
    pub fn adopt(&mut self, socket: Socket) {
        self.socket = Some(socket);
    }

    /// Connects until the chat is open or over, as often as it takes.
    pub async fn open(&mut self, bridge: &Bridge) {
        let opened = async {
            loop {
                self.connect(bridge).await;
                self.welcome = Value::Null;
                while self.welcome.is_null() && self.ended.is_none() {
                    if !self.take_next().await {
                        break;
                    }
                }
                if !self.welcome.is_null() || self.ended.is_some() {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(crate::homeserver::PATIENCE, opened)
            .await
            .expect("the chat opens or ends");
    }

    /// Closes the tab.
    pub fn disconnect(&mut self) {
        self.socket = None;
    }

    /// Reloads the page: all that is left is what was kept.
    pub fn reload(&mut self) {
        self.socket = None;
        self.machine = Machine::open(self.records.clone()).unwrap();
    }

    pub fn socket(&mut self) -> &mut Socket {
        self.socket.as_mut().expect("connected")
    }

    /// Takes in one frame; false when the connection is over.
    async fn take_next(&mut self) -> bool {
        let Some(frame) = self.socket().next().await else {
            return false;
        };
        self.take(frame).await;
        true
    }

    async fn take(&mut self, frame: Value) {
        if let Some(seq) = frame["seq"].as_u64() {
            assert_eq!(
                seq,
                self.last_seq + 1,
                "the inbox has a gap or repeats itself: {frame}"
            );
            self.last_seq = seq;
            self.inbox.push(frame.clone());
            self.take_numbered(&frame);
            self.socket()
                .send(&json!({ "type": "ack", "seq": seq }))
                .await;
            return;
        }
        match frame["type"].as_str().unwrap() {
            "welcome" => self.take_welcome(frame),
            _ => self.signals.push(frame),
        }
    }

    fn take_welcome(&mut self, frame: Value) {
        self.room = frame["room_id"].as_str().unwrap().to_owned();
        assert_eq!(frame["ghost"], json!(self.ghost));
        assert!(
            frame["last_n"].as_u64() >= Some(self.last_n),
            "a committed frame was forgotten: {frame}"
        );
        if frame["keys"]["device_keys"].get(&self.host).is_some() {
            let step = self
                .machine
                .receive_keys(&frame["keys"], self.now())
                .unwrap();
            let received = self.kept(step);
            self.items.extend(received.items);
        }
        self.welcome = frame;
    }

    fn take_numbered(&mut self, frame: &Value) {
        let now = self.now();
        let items = match frame["type"].as_str().unwrap() {
            "event" => {
                let step = self
                    .machine
                    .receive_event(&self.room, &frame["event"])
                    .unwrap();
                self.kept(step)
            }
            "to_device" => {
                let step = self
                    .machine
                    .receive_to_device(&frame["event"], now)
                    .unwrap();
                self.kept(step).items
            }
            "ended" => {
                self.ended = Some(frame["reason"].as_str().unwrap().to_owned());
                Vec::new()
            }
            _ => Vec::new(),
        };
        self.items.extend(items);
    }

    /// Takes in frames until there is what is looked for.
    pub async fn until<T>(&mut self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(
                self.take_next().await,
                "the connection ended: {what}; signals: {:?}",
                self.signals
            );
        }
    }

    /// Waits for an inbox frame of this type that holds this.
    pub async fn until_frame(&mut self, frame_type: &str, field: &str, value: Value) {
        let is = |frame: &Value| frame["type"] == frame_type && frame[field] == value;
        self.until(frame_type, |guest| guest.inbox.iter().any(is).then_some(()))
            .await;
    }

    /// Sends a frame with the next id and waits for its answer.
    pub async fn ask(&mut self, mut frame: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        frame["id"] = json!(id);
        self.answered(frame, "id", id).await
    }

    /// Sends a numbered frame and waits for its answer.
    pub async fn send_numbered(&mut self, mut frame: Value) -> Value {
        let n = self.last_n + 1;
        frame["n"] = json!(n);
        let result = self.answered(frame, "n", n).await;
        if result["ok"] == true {
            self.last_n = n;
        }
        result
    }

    async fn answered(&mut self, frame: Value, field: &str, number: u64) -> Value {
        self.socket().send(&frame).await;
        let is = |signal: &Value| signal["type"] == "result" && signal[field] == json!(number);
        let place = self
            .until(&frame["type"].to_string(), |guest| {
                guest.signals.iter().position(is)
            })
            .await;
        self.signals.remove(place)
    }

    /// Does all that the machine asks for, then encrypts.
    pub async fn encrypt(&mut self, text: &str) -> Value {
        let room = self.room.clone();
        loop {
            let now = self.now();
            let step = self.machine.prepare(&room, &[&self.host], now).unwrap();
            match self.kept(step) {
                Prepare::Ready => break,
                Prepare::KeysQuery { .. } => {
                    let answer = self.ask(json!({ "type": "keys_query" })).await;
                    let step = self.machine.receive_keys(&answer["body"], now).unwrap();
                    self.kept(step);
                }
                Prepare::KeysClaim { mut devices } => {
                    let devices = devices.remove(&self.host);
                    let answer = self
                        .ask(json!({ "type": "keys_claim", "devices": devices }))
                        .await;
                    let step = self.machine.receive_claim(&answer["body"], now).unwrap();
                    self.kept(step);
                }
                Prepare::ToDevice {
                    id,
                    event_type,
                    mut messages,
                } => {
                    let messages = messages.remove(&self.host);
                    let frame = json!({ "type": "to_device", "event_type": event_type, "messages": messages });
                    let answer = self.send_numbered(frame).await;
                    assert_eq!(answer["ok"], true, "{answer}");
                    let step = self.machine.to_device_stored(&id).unwrap();
                    self.kept(step);
                }
                blocked @ Prepare::Blocked { .. } => panic!("{blocked:?}"),
            }
        }
        let now = self.now();
        let members = [self.host.as_str()];
        let step = self
            .machine
            .encrypt_text(&room, &members, text, now)
            .unwrap();
        self.kept(step)
    }

    /// Says something; gives the number of its frame.
    pub async fn say(&mut self, text: &str) -> u64 {
        let content = self.encrypt(text).await;
        let answer = self
            .send_numbered(json!({ "type": "send", "content": content }))
            .await;
        assert_eq!(answer["ok"], true, "{answer}");
        self.last_n
    }

    /// Waits until the homeserver has the message that was sent as this frame.
    pub async fn until_delivered(&mut self, n: u64) {
        self.until_frame("delivered", "n", json!(n)).await;
    }

    /// The code that the page shows in its menu.
    pub fn safety_code(&self) -> Option<String> {
        self.machine.safety_code(&self.host)
    }

    /// What the host wrote, as the page shows it.
    pub fn texts(&self) -> Vec<String> {
        let text = |item: &Item| match item {
            Item::Text { body, .. } => Some(body.clone()),
            _ => None,
        };
        self.items.iter().filter_map(text).collect()
    }

    /// Waits until so many texts of the host are there.
    pub async fn until_texts(&mut self, count: usize) -> Vec<String> {
        self.until("texts", |guest| {
            (guest.texts().len() >= count).then(|| guest.texts())
        })
        .await
    }

    /// Waits for the end of the chat, and gives its reason.
    pub async fn until_ended(&mut self) -> String {
        self.until("the end", |guest| guest.ended.clone()).await
    }
}
