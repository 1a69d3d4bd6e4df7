//! The outbound Megolm session of a room: when it ends, who has its key, and what is on its way.

use serde_json::{Map, Value};
use vodozemac::megolm::{GroupSession, SessionConfig};

use crate::error::OpenError;
use crate::healing::by_user;
use crate::identity::elapsed;
use crate::object::{Object, flag, list, number, owned, text};
use crate::peer::Peers;
use crate::place::Place;
use crate::records::{Changes, Record, kind};

/// Messages under one session.
const MAX_MESSAGES: u32 = 100;
/// Age of one session: seven days.
const MAX_AGE_MS: u64 = 7 * 24 * 3_600_000;

/// The current session of each room.
#[derive(Default)]
pub(crate) struct OutboundRooms(Vec<Outbound>);

pub(crate) struct Outbound {
    room_id: String,
    pub(crate) session: GroupSession,
    created_at: u64,
    /// Devices that have the key.
    shared: Vec<Shared>,
    /// Devices that were told that they don't get it.
    withheld: Vec<(Place, Withheld)>,
    pending: Option<Pending>,
    /// Counts what was handed out for this session, so that each has its own id.
    handed_out: u64,
}

/// A device and the Curve25519 key that the room key was encrypted for.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) device: Place,
    pub(crate) curve25519: String,
    /// It has the key and may not be able to read it, so it gets it again. It counts on as one that
    /// has it: when the device goes, the session ends.
    pub(crate) again: bool,
}

/// Why a device gets no key (Matrix specification, "m.room_key.withheld").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Withheld {
    /// Its owner hasn't signed it.
    Unverified,
    /// No Olm session could be made with it.
    NoOlm,
}

/// To-device messages handed out and not yet known to be stored by the bridge.
#[derive(Clone)]
pub(crate) struct Pending {
    pub(crate) id: String,
    /// By user and device.
    pub(crate) messages: Map<String, Value>,
    purpose: Purpose,
}

#[derive(Clone)]
enum Purpose {
    Share(Vec<Shared>),
    Withhold(Withheld),
}

impl OutboundRooms {
    pub(crate) fn open_record(
        &mut self,
        bytes: &[u8],
        host: Option<&str>,
    ) -> Result<(), OpenError> {
        self.0.push(Outbound::open(bytes, host)?);
        Ok(())
    }

    pub(crate) fn save_all(&self, changes: &mut Changes) {
        self.0.iter().for_each(|outbound| outbound.save(changes));
    }

    /// Ends the sessions that `over` says are over; before the next message there is a new one.
    pub(crate) fn end(&mut self, over: impl Fn(&Outbound) -> bool, changes: &mut Changes) {
        self.0.retain(|outbound| {
            let over = over(outbound);
            if over {
                changes.delete(outbound.record_key());
            }
            !over
        });
    }

    pub(crate) fn get(&self, room_id: &str) -> Option<&Outbound> {
        self.0.iter().find(|outbound| outbound.room_id == room_id)
    }

    pub(crate) fn get_mut(&mut self, room_id: &str) -> Option<&mut Outbound> {
        self.0
            .iter_mut()
            .find(|outbound| outbound.room_id == room_id)
    }

    /// Begins a new session for the room; the former one ends.
    pub(crate) fn begin(&mut self, room_id: &str, now: u64, changes: &mut Changes) {
        let outbound = Outbound::new(room_id, now);
        outbound.save(changes);
        self.0.retain(|former| former.room_id != room_id);
        self.0.push(outbound);
    }

    /// That device gets the keys of all current sessions once more.
    pub(crate) fn unshare(&mut self, device: &Place, changes: &mut Changes) {
        for outbound in &mut self.0 {
            let on_its_way = outbound.pending.iter_mut().flat_map(Pending::shared);
            let mut marked = false;
            for shared in outbound.shared.iter_mut().chain(on_its_way) {
                if shared.device == *device && !shared.again {
                    shared.again = true;
                    marked = true;
                }
            }
            if marked {
                outbound.save(changes);
            }
        }
    }

    /// The bridge has stored what was handed out under that id; only now do its devices count.
    pub(crate) fn stored(&mut self, id: &str, changes: &mut Changes) {
        for outbound in &mut self.0 {
            if outbound.stored(id) {
                outbound.save(changes);
            }
        }
    }
}

impl Outbound {
    fn new(room_id: &str, now: u64) -> Self {
        Self {
            room_id: room_id.to_owned(),
            session: GroupSession::new(SessionConfig::version_1()),
            created_at: now,
            shared: Vec::new(),
            withheld: Vec::new(),
            pending: None,
            handed_out: 0,
        }
    }

    fn open(bytes: &[u8], host: Option<&str>) -> Result<Self, OpenError> {
        let record = Record::read(kind::OUTBOUND, bytes)?;
        let host = record.host(host);
        let session = GroupSession::from_pickle(record.unpickle()?);
        record.parse(|object| {
            Some(Self {
                room_id: owned(object, "room_id")?,
                session,
                created_at: number(object, "created_at")?,
                shared: list(object, "shared", |o| Shared::from_object(o, host))?,
                withheld: list(object, "withheld", |o| {
                    Some((
                        Place::from_object(o, host)?,
                        Withheld::from_code(text(o, "code")?)?,
                    ))
                })?,
                pending: match object.get("pending")? {
                    Value::Null => None,
                    pending => Some(Pending::from_object(pending.as_object()?, host)?),
                },
                handed_out: number(object, "handed_out")?,
            })
        })
    }

    pub(crate) fn save(&self, changes: &mut Changes) {
        let pending = self.pending.as_ref().map(|p| p.to_object().into_value());
        let object = Object::default()
            .text("room_id", &self.room_id)
            .number("created_at", self.created_at)
            .list("shared", &self.shared, Shared::to_object)
            .list("withheld", &self.withheld, |(device, why)| {
                device.to_object().text("code", why.code())
            })
            .value("pending", pending.unwrap_or_default())
            .number("handed_out", self.handed_out);
        changes.put_pickle(self.record_key(), object, &self.session.pickle());
    }

    fn record_key(&self) -> String {
        format!("{}:{}", kind::OUTBOUND, self.room_id)
    }

    pub(crate) fn is_of(&self, room_id: &str) -> bool {
        self.room_id == room_id
    }

    /// Whether a device of that user has the key, or is about to get it.
    pub(crate) fn concerns(&self, user_id: &str) -> bool {
        let pending = self.pending.as_ref();
        self.shared.iter().any(|s| s.device.user_id == user_id)
            || pending.is_some_and(|p| p.messages.contains_key(user_id))
    }

    /// Whether a new session must replace this one: it is used up, old, or a device has its key
    /// that must not read on.
    pub(crate) fn is_over(&self, peers: &Peers, members: &[&str], now: u64) -> bool {
        self.session.message_index() >= MAX_MESSAGES
            || elapsed(self.created_at, now) >= MAX_AGE_MS
            || self.shared.iter().any(|shared| {
                let member = members.contains(&shared.device.user_id.as_str());
                let peer = peers.get(&shared.device.user_id).filter(|_| member);
                peer.and_then(|peer| peer.trusted_device(&shared.device.device_id))
                    .is_none_or(|device| device.curve25519 != shared.curve25519)
            })
    }

    pub(crate) fn is_shared_with_anyone(&self) -> bool {
        self.shared.iter().any(|shared| !shared.again)
    }

    pub(crate) fn is_shared_with(&self, device: &Place) -> bool {
        self.shared
            .iter()
            .any(|shared| shared.device == *device && !shared.again)
    }

    pub(crate) fn is_withheld_from(&self, device: &Place, why: Withheld) -> bool {
        self.withheld
            .iter()
            .any(|(known, reason)| known == device && *reason == why)
    }

    pub(crate) fn pending(&self) -> Option<&Pending> {
        self.pending.as_ref()
    }

    /// Puts a room key on its way to these devices.
    pub(crate) fn share(&mut self, messages: Map<String, Value>, devices: Vec<Shared>) {
        self.hand_out(messages, Purpose::Share(devices));
    }

    /// Puts the word that there is no key on its way.
    pub(crate) fn withhold(&mut self, messages: Map<String, Value>, why: Withheld) {
        self.hand_out(messages, Purpose::Withhold(why));
    }

    fn hand_out(&mut self, messages: Map<String, Value>, purpose: Purpose) {
        let id = format!("{}.{}", self.session.session_id(), self.handed_out);
        self.handed_out = self.handed_out.saturating_add(1);
        self.pending = Some(Pending {
            id,
            messages,
            purpose,
        });
    }

    fn stored(&mut self, id: &str) -> bool {
        let Some(pending) = self.pending.take_if(|pending| pending.id == id) else {
            return false;
        };
        match pending.purpose {
            Purpose::Share(devices) => {
                self.shared
                    .retain(|old| devices.iter().all(|new| new.device != old.device));
                self.shared.extend(devices);
            }
            Purpose::Withhold(why) => {
                for (user_id, devices) in &pending.messages {
                    let ids = devices.as_object().into_iter().flat_map(Map::keys);
                    let places = ids.map(|id| (Place::new(user_id, id), why));
                    self.withheld.extend(places);
                }
            }
        }
        true
    }
}

impl Withheld {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Unverified => "m.unverified",
            Self::NoOlm => "m.no_olm",
        }
    }

    fn from_code(code: &str) -> Option<Self> {
        [Self::Unverified, Self::NoOlm]
            .into_iter()
            .find(|why| why.code() == code)
    }
}

impl Shared {
    fn to_object(&self) -> Object {
        let object = self.device.to_object().text("curve25519", &self.curve25519);
        if self.again {
            object.flag("again", true)
        } else {
            object
        }
    }

    fn from_object(object: &Map<String, Value>, host: Option<&str>) -> Option<Self> {
        Some(Self {
            device: Place::from_object(object, host)?,
            curve25519: owned(object, "curve25519")?,
            again: flag(object, "again").unwrap_or(false),
        })
    }
}

impl Pending {
    /// The devices that a key is on its way to.
    fn shared(&mut self) -> &mut [Shared] {
        match &mut self.purpose {
            Purpose::Share(devices) => devices,
            Purpose::Withhold(_) => &mut [],
        }
    }

    pub(crate) fn event_type(&self) -> &'static str {
        match self.purpose {
            Purpose::Share(_) => "m.room.encrypted",
            Purpose::Withhold(_) => "m.room_key.withheld",
        }
    }

    fn to_object(&self) -> Object {
        let object = Object::default()
            .text("id", &self.id)
            .value("messages", Value::Object(self.messages.clone()));
        match &self.purpose {
            Purpose::Share(devices) => object.list("share", devices, Shared::to_object),
            Purpose::Withhold(why) => object.text("withhold", why.code()),
        }
    }

    fn from_object(object: &Map<String, Value>, host: Option<&str>) -> Option<Self> {
        let purpose = match text(object, "withhold") {
            Some(code) => Purpose::Withhold(Withheld::from_code(code)?),
            None => Purpose::Share(list(object, "share", |o| Shared::from_object(o, host))?),
        };
        Some(Self {
            id: owned(object, "id")?,
            messages: by_user(object.get("messages")?, host)?,
            purpose,
        })
    }
}
