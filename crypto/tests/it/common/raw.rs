//! A device of the host that does what no honest client does: it writes any payload, to anybody.

use serde_json::{Map, Value, json};
use vestibule_crypto::Item;
use vodozemac::megolm::{GroupSession, SessionConfig as MegolmConfig};
use vodozemac::olm::{Account, OlmMessage, Session, SessionConfig};
use vodozemac::{Curve25519PublicKey, Ed25519SecretKey, Ed25519Signature};

use super::{Device, GUEST, HOST, NOW, ROOM, Server};

/// A cross-signing identity of which the test holds every key.
pub struct Identity {
    pub master: Ed25519SecretKey,
    pub self_signing: Ed25519SecretKey,
}

impl Identity {
    pub fn new() -> Self {
        Self {
            master: Ed25519SecretKey::new(),
            self_signing: Ed25519SecretKey::new(),
        }
    }

    pub fn publish(&self, server: &mut Server) {
        self.publish_for(server, HOST);
    }

    pub fn publish_for(&self, server: &mut Server, user: &str) {
        let key = |usage: &str, key: &Ed25519SecretKey| {
            let public = key.public_key().to_base64();
            json!({"user_id": user, "usage": [usage],
                "keys": { format!("ed25519:{public}"): public }})
        };
        let master = key("master", &self.master);
        let mut self_signing = key("self_signing", &self.self_signing);
        let master_id = self.master.public_key().to_base64();
        sign(&mut self_signing, user, &master_id, |b| self.master.sign(b));
        server.master_keys.insert(user.to_owned(), master);
        server
            .self_signing_keys
            .insert(user.to_owned(), self_signing);
    }
}

pub struct RawDevice {
    pub user: String,
    pub id: String,
    pub account: Account,
    pub device_keys: Value,
    pub session: Option<Session>,
    pub group: GroupSession,
}

impl RawDevice {
    /// A device of the host.
    pub fn new(id: &str, identity: Option<&Identity>) -> Self {
        Self::owned_by(HOST, id, identity)
    }

    pub fn owned_by(user: &str, id: &str, identity: Option<&Identity>) -> Self {
        Self::make(user, id, Account::new(), identity)
    }

    /// A device of the host with that account.
    pub fn of(id: &str, account: Account, identity: Option<&Identity>) -> Self {
        Self::make(HOST, id, account, identity)
    }

    fn make(user: &str, id: &str, account: Account, identity: Option<&Identity>) -> Self {
        let mut device_keys = json!({
            "user_id": user, "device_id": id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": { format!("curve25519:{id}"): account.curve25519_key().to_base64(),
                format!("ed25519:{id}"): account.ed25519_key().to_base64() },
        });
        sign(&mut device_keys, user, id, |b| account.sign(b));
        if let Some(identity) = identity {
            let key = &identity.self_signing;
            sign(&mut device_keys, user, &key.public_key().to_base64(), |b| {
                key.sign(b)
            });
        }
        let group = GroupSession::new(MegolmConfig::version_1());
        Self {
            user: user.to_owned(),
            id: id.to_owned(),
            account,
            device_keys,
            session: None,
            group,
        }
    }

    pub fn publish(&mut self, server: &mut Server) {
        let devices = server.device_keys.entry(self.user.clone()).or_default();
        devices.insert(self.id.clone(), self.device_keys.clone());
        self.account.generate_one_time_keys(10);
        let mut keys = Map::new();
        for (id, key) in self.account.one_time_keys() {
            let mut object = json!({"key": key.to_base64()});
            sign(&mut object, &self.user, &self.id, |b| self.account.sign(b));
            keys.insert(format!("signed_curve25519:{}", id.to_base64()), object);
        }
        self.account.mark_keys_as_published();
        server
            .one_time_keys
            .insert((self.user.clone(), self.id.clone()), keys);
    }

    /// Makes an Olm session with a one-time key of the guest.
    pub fn connect(&mut self, server: &mut Server, guest: &Device) {
        let user = guest.user();
        let answer = server.claim(&user, &[guest.id()]);
        let key = answer["one_time_keys"][&user][guest.id()]
            .as_object()
            .unwrap();
        let key = key.values().next().unwrap()["key"].as_str().unwrap();
        let one_time = Curve25519PublicKey::from_base64(key).unwrap();
        let session = self
            .account
            .create_outbound_session(SessionConfig::version_1(), curve25519(guest), one_time)
            .unwrap();
        self.session = Some(session);
    }

    /// Decrypts what the guest sent to this device; `None` if that was by another session.
    pub fn read(&mut self, event: &Value) -> Option<Vec<u8>> {
        let own = self.account.curve25519_key().to_base64();
        let ciphertext = &event["content"]["ciphertext"][own];
        let message_type = ciphertext["type"].as_u64().unwrap() as usize;
        let body = vodozemac::base64_decode(ciphertext["body"].as_str().unwrap()).unwrap();
        let message = OlmMessage::from_parts(message_type, &body).unwrap();
        self.session.as_mut().unwrap().decrypt(&message).ok()
    }

    /// The payload of an honest room key.
    pub fn room_key(&self, guest: &Device) -> Value {
        json!({
            "type": "m.room_key",
            "content": {"algorithm": "m.megolm.v1.aes-sha2", "room_id": ROOM,
                "session_id": self.group.session_id(),
                "session_key": self.group.session_key().to_base64()},
            "sender": self.user, "recipient": guest.user(),
            "recipient_keys": {"ed25519": ed25519(guest)},
            "keys": {"ed25519": self.account.ed25519_key().to_base64()},
            "sender_device_keys": self.device_keys,
        })
    }

    /// Any payload as an Olm event to the guest.
    pub fn olm(&mut self, guest: &Device, payload: &Value) -> Value {
        self.olm_bytes(guest, payload.to_string().as_bytes())
    }

    pub fn olm_bytes(&mut self, guest: &Device, plaintext: &[u8]) -> Value {
        let session = self.session.as_mut().unwrap();
        let (message_type, body) = session.encrypt(plaintext).unwrap().to_parts();
        json!({"type": "m.room.encrypted", "sender": self.user, "content": {
            "algorithm": "m.olm.v1.curve25519-aes-sha2",
            "sender_key": self.account.curve25519_key().to_base64(),
            "ciphertext": { curve25519(guest).to_base64(): {
                "type": message_type, "body": vodozemac::base64_encode(body) } },
        }})
    }

    /// Any payload as a Megolm event.
    pub fn megolm(&mut self, event_id: &str, payload: &Value) -> Value {
        self.megolm_bytes(event_id, payload.to_string().as_bytes())
    }

    pub fn megolm_bytes(&mut self, event_id: &str, plaintext: &[u8]) -> Value {
        let ciphertext = self.group.encrypt(plaintext).to_base64();
        json!({"type": "m.room.encrypted", "sender": self.user, "event_id": event_id,
            "origin_server_ts": NOW, "content": {
                "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": ciphertext,
                "session_id": self.group.session_id()}})
    }

    pub fn text(&mut self, event_id: &str, body: &str) -> Value {
        self.megolm(event_id, &text_payload(body))
    }

    /// Shares the key honestly and checks that it was taken.
    pub fn share(&mut self, guest: &mut Device) -> Vec<Item> {
        let payload = self.room_key(guest);
        let event = self.olm(guest, &payload);
        let received = guest.receive_olm(&event, NOW);
        assert_eq!(received.refused, None);
        received.items
    }
}

pub fn text_payload(body: &str) -> Value {
    json!({"type": "m.room.message", "room_id": ROOM,
        "content": {"msgtype": "m.text", "body": body}})
}

/// A guest that knows a host with an identity and one signed device.
pub fn guest_and_raw() -> (Server, Device, Identity, RawDevice) {
    let mut server = Server::default();
    let mut guest = Device::new(GUEST, "GUESTDEV", HOST, NOW);
    guest.publish(&mut server);
    let identity = Identity::new();
    identity.publish(&mut server);
    let mut raw = RawDevice::new("RAW", Some(&identity));
    raw.publish(&mut server);
    raw.connect(&mut server, &guest);
    guest.receive_keys(&server.query(HOST), NOW);
    (server, guest, identity, raw)
}

pub fn curve25519(device: &Device) -> Curve25519PublicKey {
    let keys = device.machine.public_keys().unwrap().device_keys;
    let id = format!("curve25519:{}", device.id());
    Curve25519PublicKey::from_base64(keys["keys"][&id].as_str().unwrap()).unwrap()
}

pub fn ed25519(device: &Device) -> String {
    let keys = device.machine.public_keys().unwrap().device_keys;
    keys["keys"][format!("ed25519:{}", device.id())]
        .as_str()
        .unwrap()
        .to_owned()
}

pub fn sign(
    object: &mut Value,
    user: &str,
    key_id: &str,
    sign: impl Fn(&[u8]) -> Ed25519Signature,
) {
    let mut bare = object.clone();
    bare.as_object_mut().unwrap().remove("signatures");
    let signature = sign(canonical(&bare).as_bytes()).to_base64();
    object["signatures"][user][format!("ed25519:{key_id}")] = json!(signature);
}

/// Written apart from the crate's own, so that each checks the other.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: std::collections::BTreeMap<_, _> = members.iter().collect();
            let inner: Vec<String> = sorted
                .iter()
                .map(|(k, v)| format!("{}:{}", json!(k), canonical(v)))
                .collect();
            format!("{{{}}}", inner.join(","))
        }
        Value::Array(values) => {
            let inner: Vec<String> = values.iter().map(canonical).collect();
            format!("[{}]", inner.join(","))
        }
        other => other.to_string(),
    }
}
