//! The crypto machine for the page: JSON strings in and out, no logic of its own. A page talks with one
//! user, its host, so that none of its calls names them.
//!
//! Every error is thrown as a JavaScript `Error` whose `name` is a stable code. What a call changed
//! is collected until [`Machine::changes`] takes it; the page stores that durably before anything
//! leaves or is shown.

use serde::Serialize;
use serde_json::{Map, Value};
use vestibule_crypto::{
    Blocked, Changes, CryptoError, HostIdentity, Item, Machine as Inner, Message, OpenError,
    Prepare, Step, decode_base64, encode_base64, to_json,
};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// JavaScript's `Error`, whose name can be set.
    #[wasm_bindgen(js_name = Error)]
    type JsErrorObject;

    #[wasm_bindgen(constructor, js_class = "Error")]
    fn new(message: &str) -> JsErrorObject;

    #[wasm_bindgen(method, setter)]
    fn set_name(this: &JsErrorObject, name: &str);
}

/// A failed call, by its stable code. The page has no use for words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure(&'static str);

impl Failure {
    /// The code that becomes the error's name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0
    }
}

impl From<CryptoError> for Failure {
    fn from(error: CryptoError) -> Self {
        Self(error.code())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self(error.code())
    }
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> Self {
        let error = JsErrorObject::new("");
        error.set_name(failure.code());
        error.into()
    }
}

/// The crypto machine of one chat.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Machine {
    inner: Inner,
    host: String,
    changes: Changes,
}

#[wasm_bindgen]
impl Machine {
    /// Makes a device, with its one-time keys to follow: see `makeKeys`. Times are milliseconds since
    /// the Unix epoch.
    #[wasm_bindgen(js_name = create)]
    pub fn create(
        user_id: &str,
        device_id: &str,
        host_id: &str,
        now_ms: f64,
    ) -> Result<Machine, Failure> {
        let (mut inner, mut changes) = Inner::begin(user_id, device_id, millis(now_ms))?;
        changes.merge(inner.meet(host_id)?.changes);
        Ok(Self {
            inner,
            host: host_id.to_owned(),
            changes,
        })
    }

    /// Makes up to `most` of the one-time keys of a new device; whether some are missing. Until none
    /// is, nothing of the device may be stored or leave.
    #[wasm_bindgen(js_name = makeKeys)]
    pub fn make_keys(&mut self, most: u32) -> Result<bool, Failure> {
        let step = self.inner.make_one_time_keys(most.into())?;
        Ok(self.keep(step))
    }

    /// Opens a machine from all its records: JSON `{key: base64}`.
    #[wasm_bindgen(js_name = open)]
    pub fn open(records: &str) -> Result<Machine, Failure> {
        let mut opened = Vec::new();
        for (key, value) in parse(records)?.as_object().ok_or(CryptoError::BadInput)? {
            let bytes = value.as_str().and_then(decode_base64);
            opened.push((key.clone(), bytes.ok_or(CryptoError::BadInput)?));
        }
        let inner = Inner::open(opened)?;
        let host = inner.peers().next().ok_or(OpenError::Missing("peer"))?;
        Ok(Self {
            host: host.to_owned(),
            inner,
            changes: Changes::default(),
        })
    }

    /// All that changed since the last call, JSON `{key: base64 | null}`.
    #[wasm_bindgen(js_name = changes)]
    pub fn changes(&mut self) -> Result<String, Failure> {
        let changes = std::mem::take(&mut self.changes);
        let mut records = Map::new();
        for (key, value) in changes.iter() {
            let value = value.map_or(Value::Null, |bytes| encode_base64(bytes).into());
            records.insert(key.to_owned(), value);
        }
        json(&records)
    }

    /// The `keys` of a join, JSON.
    #[wasm_bindgen(js_name = publicKeys)]
    pub fn public_keys(&self) -> Result<String, Failure> {
        json(&self.inner.public_keys()?)
    }

    /// The bridge accepted the keys that were to be published.
    #[wasm_bindgen(js_name = markPublished)]
    pub fn mark_published(&mut self) -> Result<(), Failure> {
        let step = self.inner.mark_published()?;
        self.keep(step);
        Ok(())
    }

    /// The signature of a `hello` frame.
    #[wasm_bindgen(js_name = signHello)]
    pub fn sign_hello(&self, origin: &str, portal: &str, nonce: &str) -> String {
        self.inner.sign_hello(origin, portal, nonce)
    }

    /// Takes in a to-device event; gives the items that its key decrypts, JSON.
    #[wasm_bindgen(js_name = receiveToDevice)]
    pub fn receive_to_device(&mut self, event: &str, now_ms: f64) -> Result<String, Failure> {
        let step = self
            .inner
            .receive_to_device(&parse(event)?, millis(now_ms))?;
        json(&self.keep(step).items)
    }

    /// Takes in a room event; gives the items to show, JSON.
    #[wasm_bindgen(js_name = receiveEvent)]
    pub fn receive_event(
        &mut self,
        room_id: &str,
        event: &str,
        _now_ms: f64,
    ) -> Result<String, Failure> {
        let step = self.inner.receive_event(room_id, &parse(event)?)?;
        json(&self.keep(step))
    }

    /// Takes in a `/keys/query` answer; gives `{"identity", "devices", "items"}`, JSON.
    #[wasm_bindgen(js_name = receiveKeys)]
    pub fn receive_keys(&mut self, response: &str, now_ms: f64) -> Result<String, Failure> {
        let step = self.inner.receive_keys(&parse(response)?, millis(now_ms))?;
        let received = self.keep(step);
        let host = received.peers.first().ok_or(CryptoError::NoKeys)?;
        json(&Keys {
            identity: host.identity,
            devices: host.devices,
            items: &received.items,
        })
    }

    /// The guest accepted the changed identity; gives the items that can be read now, JSON.
    #[wasm_bindgen(js_name = acceptIdentity)]
    pub fn accept_identity(&mut self) -> Result<String, Failure> {
        let step = self.inner.accept_identity(&self.host)?;
        json(&self.keep(step))
    }

    /// The host's device list is outdated.
    #[wasm_bindgen(js_name = keysChanged)]
    pub fn keys_changed(&mut self) -> Result<(), Failure> {
        let step = self.inner.keys_changed(&self.host)?;
        self.keep(step);
        Ok(())
    }

    /// Whether a key waits for a `/keys/query` answer, so that one should be asked for at once.
    #[wasm_bindgen(js_name = wantsKeys)]
    pub fn wants_keys(&self) -> bool {
        !self.inner.wants_keys().is_empty()
    }

    /// What must happen before the next message can be encrypted, JSON.
    #[wasm_bindgen(js_name = prepare)]
    pub fn prepare(&mut self, room_id: &str, now_ms: f64) -> Result<String, Failure> {
        let step = self.inner.prepare(room_id, &[&self.host], millis(now_ms))?;
        let need = self.keep(step);
        self.need(need)
    }

    /// Whether `heal` has something to do now.
    #[wasm_bindgen(js_name = wantsHealing)]
    pub fn wants_healing(&self, now_ms: f64) -> bool {
        self.inner.wants_healing(millis(now_ms))
    }

    /// What must happen so that devices whose messages can't be read begin a new session, in the
    /// shape of `prepare`, JSON.
    #[wasm_bindgen(js_name = heal)]
    pub fn heal(&mut self, now_ms: f64) -> Result<String, Failure> {
        let step = self.inner.heal(millis(now_ms))?;
        let need = self.keep(step);
        self.need(need)
    }

    /// Takes in a `/keys/claim` answer.
    #[wasm_bindgen(js_name = receiveClaim)]
    pub fn receive_claim(&mut self, response: &str, now_ms: f64) -> Result<(), Failure> {
        let step = self
            .inner
            .receive_claim(&parse(response)?, millis(now_ms))?;
        self.keep(step);
        Ok(())
    }

    /// The bridge stored the messages that `prepare` gave under that id.
    #[wasm_bindgen(js_name = toDeviceStored)]
    pub fn to_device_stored(&mut self, id: &str) -> Result<(), Failure> {
        let step = self.inner.to_device_stored(id)?;
        self.keep(step);
        Ok(())
    }

    /// Encrypts one of the messages that the machine knows, JSON; gives the content of the event, JSON.
    #[wasm_bindgen(js_name = encrypt)]
    pub fn encrypt(
        &mut self,
        room_id: &str,
        message: &str,
        now_ms: f64,
    ) -> Result<String, Failure> {
        let message = parse(message)?;
        let message = Message::from_json(&message)?;
        let members = [self.host.as_str()];
        let step = self
            .inner
            .encrypt(room_id, &members, &message, millis(now_ms))?;
        json(&self.keep(step))
    }

    /// Keys to upload, JSON, or `null`.
    #[wasm_bindgen(js_name = oneTimeKeys)]
    pub fn one_time_keys(
        &mut self,
        count: f64,
        fallback_unused: bool,
        now_ms: f64,
    ) -> Result<String, Failure> {
        let step = self
            .inner
            .one_time_keys(millis(count), fallback_unused, millis(now_ms))?;
        json(&self.keep(step))
    }

    /// When keys that are needed but were refused by `oneTimeKeys` may be made, in milliseconds
    /// since the Unix epoch, or `undefined`.
    #[wasm_bindgen(js_name = oneTimeKeysAt)]
    pub fn one_time_keys_at(&self, count: f64, fallback_unused: bool) -> Option<f64> {
        // Exact for the next 280,000 years.
        let at = self.inner.one_time_keys_at(millis(count), fallback_unused);
        at.map(|at| at as f64)
    }

    /// The code that host and guest compare, or `undefined` if the host has no identity.
    #[wasm_bindgen(js_name = safetyCode)]
    pub fn safety_code(&self) -> Option<String> {
        self.inner.safety_code(&self.host)
    }

    /// The host joined, left or was invited.
    #[wasm_bindgen(js_name = membershipChanged)]
    pub fn membership_changed(&mut self, room_id: &str) -> Result<(), Failure> {
        let step = self.inner.membership_changed(room_id, &self.host)?;
        self.keep(step);
        Ok(())
    }
}

/// What a key query said of the host.
#[derive(Serialize)]
struct Keys<'a> {
    identity: HostIdentity,
    devices: usize,
    items: &'a [Item],
}

/// [`Prepare`] where all is about the host.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Need {
    KeysQuery,
    KeysClaim {
        devices: Vec<String>,
    },
    ToDevice {
        id: String,
        event_type: String,
        messages: Value,
    },
    Ready,
    Blocked {
        reason: Blocked,
    },
}

impl Machine {
    fn need(&self, prepare: Prepare) -> Result<String, Failure> {
        json(&match prepare {
            Prepare::KeysQuery { .. } => Need::KeysQuery,
            // Looked up and not taken out: taking something out of a map is a kilobyte of code.
            Prepare::KeysClaim { devices } => Need::KeysClaim {
                devices: devices.get(&self.host).cloned().unwrap_or_default(),
            },
            Prepare::ToDevice {
                id,
                event_type,
                messages,
            } => Need::ToDevice {
                id,
                event_type,
                messages: messages.get(&self.host).cloned().unwrap_or_default(),
            },
            Prepare::Ready => Need::Ready,
            Prepare::Blocked { reason, .. } => Need::Blocked { reason },
        })
    }

    fn keep<T>(&mut self, step: Step<T>) -> T {
        self.changes.merge(step.changes);
        step.output
    }
}

/// JavaScript has one kind of number; the cast saturates, so nothing can overflow.
fn millis(number: f64) -> u64 {
    number as u64
}

fn parse(text: &str) -> Result<Value, Failure> {
    // The same reader as for stored records, so that the page carries it once.
    serde_json::from_slice(text.as_bytes()).map_err(|_| CryptoError::BadInput.into())
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    to_json(value).ok_or(CryptoError::Unencodable.into())
}
