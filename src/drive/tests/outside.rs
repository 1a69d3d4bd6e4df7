//! All that a crash of the bridge leaves alone: a homeserver that keeps what it got by transaction
//! id, a host who writes, a browser that keeps what it saw.

use std::collections::{BTreeMap, BTreeSet};

use vestibule_bridge::id::DeviceId;
use vestibule_bridge::input::{Join, JoinKeys, Membership, Outcome, ToDevice};
use vestibule_bridge::link::{Link, Token, TokenHash};

use super::*;

/// How many messages each side writes.
pub const MESSAGES: usize = 4;
const DEVICE: &str = "GUESTDEVICE";

/// One transaction of the homeserver.
#[derive(Clone, Debug)]
pub struct Transaction {
    id: usize,
    events: Vec<RoomEvent>,
    to_device: Vec<ToDevice>,
}

impl Transaction {
    /// Recognised as the real one is, by its id and its events.
    pub fn identity(&self) -> Option<String> {
        let events: Vec<&str> = self
            .events
            .iter()
            .map(|event| event.event_id.as_str())
            .collect();
        (!events.is_empty()).then(|| format!("{} {}", self.id, events.join(" ")))
    }

    pub fn inputs(&self) -> Vec<Input> {
        let to_device = self.to_device.iter().cloned().map(Input::ToDevice);
        to_device
            .chain(self.events.iter().cloned().map(Input::Room))
            .collect()
    }

    /// As Synapse repeats it: without to-device events.
    pub fn again(&self) -> Self {
        Self {
            to_device: Vec::new(),
            ..self.clone()
        }
    }
}

/// The homeserver and the people.
pub struct Outside {
    link: Link,
    pub portal: Option<PortalId>,
    /// How many frames the guest knows to be counted.
    pub confirmed: u64,
    pub frames: Vec<InboxFrame>,
    /// What the homeserver was sent, by transaction id.
    sent: BTreeMap<EffectId, EventId>,
    /// Who wrote what into the sealed room.
    pub timeline: Vec<(UserId, String)>,
    /// Which frames of the guest reached the host's device.
    pub keys: Vec<EffectId>,
    pub rooms: BTreeMap<PortalId, Vec<RoomId>>,
    invited: bool,
    /// How far the host's script went.
    written: usize,
    /// All room events that the bridge is to be told of, and how many were taken.
    stream: Vec<RoomEvent>,
    taken: usize,
    /// The same for to-device events.
    inbox: Vec<ToDevice>,
    told: usize,
    pub in_flight: Option<Transaction>,
    pub acknowledged: Vec<Transaction>,
    next: usize,
}

impl Outside {
    /// A host with a link, of which the guest knows the token.
    pub fn new() -> (Self, Vec<Change>) {
        let mut link = sample::link(1, &alice());
        link.token_hash = token();
        link.expires_at = Timestamp(u64::MAX);
        let rows = vec![management_room(), Change::PutLink(link.clone())];
        let outside = Self {
            link,
            portal: None,
            confirmed: 0,
            frames: Vec::new(),
            sent: BTreeMap::new(),
            timeline: Vec::new(),
            keys: Vec::new(),
            rooms: BTreeMap::new(),
            invited: false,
            written: 0,
            stream: Vec::new(),
            taken: 0,
            inbox: Vec::new(),
            told: 0,
            in_flight: None,
            acknowledged: Vec::new(),
            next: 1,
        };
        (outside, rows)
    }

    /// What the guest's browser does next, or did before.
    pub fn guest(&self, again: Option<u64>) -> Option<Input> {
        let Some(portal) = self.portal else {
            return Some(self.join());
        };
        let n = match again {
            Some(which) => 1 + which % self.confirmed.max(1),
            None => self.confirmed + 1,
        };
        (n <= 2 * MESSAGES as u64).then(|| frame(portal, n))
    }

    fn join(&self) -> Input {
        Input::Join(Box::new(Join {
            token_hash: token(),
            name: "Maya".to_owned(),
            ghost: self.link.ghost.clone(),
            device: DeviceId::new(DEVICE),
            ed25519: "key".to_owned(),
            keys: JoinKeys {
                device_keys: json!({}),
                master_key: json!({}),
                self_signing_key: json!({}),
                user_signing_key: json!({}),
                one_time_keys: json!({}),
                fallback_keys: json!({}),
            },
            passcode: None,
        }))
    }

    pub fn guest_is_done(&self) -> bool {
        self.confirmed == 2 * MESSAGES as u64
    }

    /// The host does the next of what they want to do; whether there was something.
    pub fn host_acts(&mut self) -> bool {
        let step = self.written;
        if step == 0 {
            let command = RoomEventKind::Message {
                msgtype: "m.text".to_owned(),
                body: "invite Noor".to_owned(),
                related: false,
                came: vestibule_bridge::input::Came::Plain,
            };
            self.happens(management(), alice(), command);
        } else if let Some(room) = self.room().filter(|_| self.invited && step <= MESSAGES + 1) {
            if step == 1 {
                let joined = RoomEventKind::Member {
                    target: alice(),
                    membership: Membership::Join,
                };
                self.happens(room, alice(), joined);
            } else {
                self.writes(room, &format!("host {step}"));
            }
        } else {
            return false;
        }
        self.written += 1;
        true
    }

    fn writes(&mut self, room: RoomId, text: &str) {
        self.inbox.push(ToDevice {
            ghost: self.link.ghost.clone(),
            device: DeviceId::new(DEVICE),
            sender: alice(),
            event_type: "m.room.encrypted".to_owned(),
            content: json!({ "algorithm": "m.olm.v1.curve25519-aes-sha2", "for": text }),
        });
        self.timeline.push((alice(), text.to_owned()));
        let content = megolm(text);
        self.happens(room, alice(), RoomEventKind::Encrypted { content });
    }

    fn happens(&mut self, room: RoomId, sender: UserId, kind: RoomEventKind) {
        let id = format!("$event{}", self.stream.len());
        self.stream.push(event(&id, room, sender, kind));
    }

    fn room(&self) -> Option<RoomId> {
        self.rooms.get(&self.portal?)?.first().cloned()
    }

    /// The transaction that is pushed now: the one in flight, or else the next.
    pub fn transaction(&mut self, events: usize) -> Option<Transaction> {
        if self.in_flight.is_none() {
            let end = self.stream.len().min(self.taken + events);
            let transaction = Transaction {
                id: self.next,
                events: self.stream[self.taken..end].to_vec(),
                to_device: self.inbox[self.told..].to_vec(),
            };
            if transaction.inputs().is_empty() {
                return None;
            }
            self.next += 1;
            self.taken = end;
            self.told = self.inbox.len();
            self.in_flight = Some(transaction);
        }
        self.in_flight.clone()
    }

    /// One that was acknowledged before, as a restarted homeserver might number it.
    pub fn old_transaction(&self, which: usize, renumbered: bool) -> Option<Transaction> {
        let count = self.acknowledged.len().max(1);
        let mut old = self.acknowledged.get(which % count)?.clone();
        if renumbered {
            old.id = which;
        }
        Some(old)
    }

    /// All that is in the inbox of the guest's device, as `/sync` gives it.
    pub fn synced(&self) -> Vec<Input> {
        self.inbox.iter().cloned().map(Input::ToDevice).collect()
    }

    /// Performs an effect as the homeserver does.
    pub fn perform(
        &mut self,
        id: EffectId,
        effect: &Effect,
        repeated: bool,
        words: bool,
    ) -> Outcome {
        match effect {
            Effect::CreateRoom { portal, .. } => {
                let rooms = self.rooms.entry(*portal).or_default();
                if !repeated || rooms.is_empty() {
                    rooms.push(sample::room(rooms.len() as u64));
                }
                Outcome::RoomCreated(rooms[0].clone())
            }
            Effect::InviteHost(_) => {
                self.invited = true;
                Outcome::Done
            }
            Effect::VerifySeal(_) => Outcome::Sealed { host_joined: false },
            Effect::SendEvent {
                content,
                ghost,
                room,
                ..
            } => {
                let text = content["ciphertext"].as_str().unwrap().to_owned();
                let new = !self.sent.contains_key(&id);
                let event_id = self.event_id(id);
                if new {
                    self.timeline.push((ghost.clone(), text));
                    let content = content.clone();
                    let echo = RoomEventKind::Encrypted { content };
                    self.happens(room.clone(), ghost.clone(), echo);
                }
                Outcome::Sent(event_id)
            }
            Effect::SendToDevice { .. } => {
                if !self.keys.contains(&id) {
                    self.keys.push(id);
                }
                Outcome::Done
            }
            Effect::FetchHostName { .. } => Outcome::HostName(Some("Alice".to_owned())),
            Effect::ShareLink { .. } if !words => Outcome::WordsLost,
            Effect::ShareLink { .. } | Effect::Notice { .. } => Outcome::Sent(self.event_id(id)),
            _ => Outcome::Done,
        }
    }

    fn event_id(&mut self, id: EffectId) -> EventId {
        let number = self.sent.len();
        let event = self.sent.entry(id);
        event
            .or_insert_with(|| EventId::new(format!("$sent{number}")))
            .clone()
    }

    /// What counts in the end, without anything that is random.
    pub fn seen(&self) -> Seen {
        let texts = |of: &dyn Fn(&UserId) -> bool| -> Vec<String> {
            let written = self.timeline.iter().filter(|(sender, _)| of(sender));
            written.map(|(_, text)| text.clone()).collect()
        };
        let mut seen = Seen {
            by_host: texts(&|sender| *sender == alice()),
            by_guest: texts(&|sender| *sender == self.link.ghost),
            keys: self.keys.len(),
            rooms: self.rooms.values().map(Vec::len).collect(),
            ..Seen::default()
        };
        let mut room_keys = BTreeSet::new();
        for frame in &self.frames {
            match frame {
                InboxFrame::Event { event, .. } => seen
                    .read
                    .push(event.content["ciphertext"].as_str().unwrap().to_owned()),
                InboxFrame::ToDevice { event } => {
                    assert!(room_keys.insert(event.content.to_string()), "twice");
                }
                InboxFrame::Delivered { n, .. } => seen.delivered.push(*n),
                other => seen.others.push(format!("{other:?}")),
            }
        }
        seen.room_keys = room_keys.len();
        seen
    }
}

/// What people and the homeserver have in the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    by_host: Vec<String>,
    by_guest: Vec<String>,
    /// How many to-device frames of the guest arrived.
    keys: usize,
    /// How many rooms were made for each portal.
    rooms: Vec<usize>,
    /// What the page shows of the host.
    read: Vec<String>,
    room_keys: usize,
    delivered: Vec<u64>,
    others: Vec<String>,
}

/// The hash of the token that the guest has.
fn token() -> TokenHash {
    Token::parse(&"a".repeat(26)).unwrap().hash()
}

/// The guest's frame of this number: a room key before each message.
fn frame(portal: PortalId, n: u64) -> Input {
    if n.is_multiple_of(2) {
        let content = megolm(&format!("guest {n}"));
        return Input::Send { portal, n, content };
    }
    let content = json!({
        "algorithm": "m.olm.v1.curve25519-aes-sha2",
        "sender_key": "key",
        "ciphertext": { "host": { "type": 0, "body": n.to_string() } },
    });
    Input::SendToDevice {
        portal,
        n,
        event_type: "m.room.encrypted".to_owned(),
        messages: BTreeMap::from([(DeviceId::new("HOSTDEVICE"), content)]),
    }
}
