//! The guest's crypto machine against matrix-sdk-crypto's `OlmMachine` as the host, without a
//! network: a few lines of key server stand between them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;

use matrix_sdk::deserialized_responses::{VerificationLevel, VerificationState};
use matrix_sdk::ruma::api::IncomingResponse;
use matrix_sdk::ruma::api::client::keys::{
    claim_keys, get_keys, upload_keys, upload_signatures, upload_signing_keys,
};
use matrix_sdk::ruma::api::client::sync::sync_events::DeviceLists;
use matrix_sdk::ruma::api::client::to_device::send_event_to_device;
use matrix_sdk::ruma::events::AnyToDeviceEvent;
use matrix_sdk::ruma::exports::http;
use matrix_sdk::ruma::serde::Raw;
use matrix_sdk::ruma::{OwnedRoomId, OwnedUserId, TransactionId};
use matrix_sdk_crypto::types::requests::{
    AnyIncomingResponse, AnyOutgoingRequest, ToDeviceRequest,
};
use matrix_sdk_crypto::{
    CollectStrategy, DecryptionSettings, EncryptionSettings, EncryptionSyncChanges, MegolmError,
    OlmMachine, TrustRequirement,
};
use serde_json::{Map, Value, json};
use vestibule_crypto::{Changes, HostIdentity, Item, Machine, Prepare, Step};

const GUEST: &str = "@_vestibule_7d1f:example.org";
const HOST: &str = "@alice:example.org";
const ROOM: &str = "!sealed:example.org";
const NOW: u64 = 1_795_364_370_566;

/// Keys and to-device events, as a homeserver keeps them.
#[derive(Default)]
struct Server {
    devices: BTreeMap<String, Map<String, Value>>,
    master: Map<String, Value>,
    self_signing: Map<String, Value>,
    user_signing: Map<String, Value>,
    one_time: BTreeMap<(String, String), Map<String, Value>>,
    fallback: BTreeMap<(String, String), Map<String, Value>>,
    inbox: Vec<(String, String, Value)>,
}

impl Server {
    fn upload(&mut self, user: &str, device: &str, one_time: Value, fallback: Value) {
        let place = (user.to_owned(), device.to_owned());
        let keys = serde_json::from_value::<Map<_, _>>(one_time).unwrap();
        self.one_time.entry(place.clone()).or_default().extend(keys);
        self.fallback
            .insert(place, serde_json::from_value(fallback).unwrap());
    }

    fn query(&self, user: &str) -> Value {
        let of = |keys: &Map<String, Value>| {
            keys.get(user).map_or(json!({}), |key| json!({ user: key }))
        };
        json!({
            "device_keys": { user: self.devices.get(user).cloned().unwrap_or_default() },
            "master_keys": of(&self.master),
            "self_signing_keys": of(&self.self_signing),
            "user_signing_keys": of(&self.user_signing),
            "failures": {},
        })
    }

    fn claim(&mut self, user: &str, device: &str) -> Value {
        let place = (user.to_owned(), device.to_owned());
        let keys = self.one_time.get_mut(&place).unwrap();
        let first = keys.keys().next().cloned();
        match first {
            Some(id) => json!({ id.clone(): keys.remove(&id).unwrap() }),
            None => Value::Object(self.fallback[&place].clone()),
        }
    }

    fn take(&mut self, user: &str, device: &str) -> Vec<Value> {
        let taken = std::mem::take(&mut self.inbox);
        let (mine, rest): (Vec<_>, Vec<_>) = taken
            .into_iter()
            .partition(|(u, d, _)| u == user && d == device);
        self.inbox = rest;
        mine.into_iter().map(|(_, _, event)| event).collect()
    }
}

/// The guest: our machine, restarted from its records whenever a test wants.
struct Guest {
    machine: Machine,
    records: BTreeMap<String, Vec<u8>>,
}

impl Guest {
    fn join(server: &mut Server) -> Self {
        let (machine, changes) = Machine::create(GUEST, "GUESTDEV", HOST, NOW).unwrap();
        let mut guest = Self {
            machine,
            records: BTreeMap::new(),
        };
        guest.store(changes);
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

    fn store(&mut self, changes: Changes) {
        for (key, value) in changes.into_records() {
            match value {
                Some(value) => self.records.insert(key, value),
                None => self.records.remove(&key),
            };
        }
    }

    fn step<T>(&mut self, step: Step<T>) -> T {
        self.store(step.changes);
        step.output
    }

    fn restart(&mut self) {
        self.machine = Machine::open(self.records.clone()).unwrap();
    }

    fn receive_keys(&mut self, server: &Server) -> HostIdentity {
        let step = self.machine.receive_keys(&server.query(HOST), NOW).unwrap();
        self.step(step).identity
    }

    fn send(&mut self, server: &mut Server, body: &str) -> Value {
        loop {
            let step = self.machine.prepare(ROOM, NOW).unwrap();
            match self.step(step) {
                Prepare::KeysQuery => {
                    self.receive_keys(server);
                }
                Prepare::KeysClaim { devices } => {
                    let keys: Map<String, Value> = devices
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
                    for (device, content) in messages {
                        let event =
                            json!({"type": event_type, "sender": GUEST, "content": content});
                        server.inbox.push((HOST.to_owned(), device, event));
                    }
                    let step = self.machine.to_device_stored(&id).unwrap();
                    self.step(step);
                }
                Prepare::Ready => break,
                Prepare::Blocked { reason } => panic!("blocked: {reason:?}"),
            }
        }
        let step = self.machine.encrypt_text(ROOM, body, NOW).unwrap();
        self.step(step)
    }

    fn read(&mut self, server: &mut Server, event: &Value) -> Vec<Item> {
        for event in server.take(GUEST, "GUESTDEV") {
            let step = self.machine.receive_to_device(&event, NOW).unwrap();
            let received = self.step(step);
            assert_eq!(received.refused, None);
        }
        let step = self.machine.receive_event(ROOM, event).unwrap();
        self.step(step)
    }
}

/// One device of the host.
struct Host {
    machine: OlmMachine,
    trust: TrustRequirement,
    strategy: CollectStrategy,
}

impl Host {
    async fn new(device: &str) -> Self {
        let user: OwnedUserId = HOST.try_into().unwrap();
        Self {
            machine: OlmMachine::new(&user, device.into()).await,
            trust: TrustRequirement::Untrusted,
            strategy: CollectStrategy::default(),
        }
    }

    /// A device with a cross-signing identity, which knows the guest.
    async fn signed(device: &str, server: &mut Server) -> Self {
        let host = Self::new(device).await;
        host.settle(server).await;
        let bootstrap = host.machine.bootstrap_cross_signing(true).await.unwrap();
        let keys = bootstrap.upload_signing_keys_req;
        for (place, key) in [
            (&mut server.master, keys.master_key),
            (&mut server.self_signing, keys.self_signing_key),
            (&mut server.user_signing, keys.user_signing_key),
        ] {
            place.insert(HOST.to_owned(), serde_json::to_value(key.unwrap()).unwrap());
        }
        let request = AnyOutgoingRequest::SignatureUpload(bootstrap.upload_signatures_req);
        host.answer(server, &TransactionId::new(), &request).await;
        let signing = response::<upload_signing_keys::v3::Response>(json!({}));
        host.machine
            .mark_request_as_sent(
                &TransactionId::new(),
                AnyIncomingResponse::SigningKeysUpload(&signing),
            )
            .await
            .unwrap();
        host.track(server).await;
        host
    }

    /// Learns the keys of everybody in the room, anew.
    async fn track(&self, server: &mut Server) {
        let users: [OwnedUserId; 2] = [GUEST.try_into().unwrap(), HOST.try_into().unwrap()];
        let users = users.each_ref().map(AsRef::as_ref);
        self.machine.update_tracked_users(users).await.unwrap();
        self.machine
            .mark_all_tracked_users_as_dirty()
            .await
            .unwrap();
        self.settle(server).await;
    }

    /// Performs what the machine wants to send.
    async fn settle(&self, server: &mut Server) {
        for request in self.machine.outgoing_requests().await.unwrap() {
            self.answer(server, request.request_id(), request.request())
                .await;
        }
    }

    async fn answer(&self, server: &mut Server, id: &TransactionId, request: &AnyOutgoingRequest) {
        let device = self.machine.device_id().to_string();
        match request {
            AnyOutgoingRequest::KeysUpload(upload) => {
                if let Some(keys) = &upload.device_keys {
                    let keys = keys.deserialize_as_unchecked::<Value>().unwrap();
                    let devices = server.devices.entry(HOST.to_owned()).or_default();
                    devices.insert(device.clone(), keys);
                }
                let one_time = serde_json::to_value(&upload.one_time_keys).unwrap();
                let fallback = serde_json::to_value(&upload.fallback_keys).unwrap();
                server.upload(HOST, &device, one_time, fallback);
                let answer = json!({"one_time_key_counts": {"signed_curve25519": 50}});
                let answer = response::<upload_keys::v3::Response>(answer);
                self.machine
                    .mark_request_as_sent(id, &answer)
                    .await
                    .unwrap();
            }
            AnyOutgoingRequest::KeysQuery(query) => {
                let mut all = json!({});
                for user in query.device_keys.keys() {
                    merge(&mut all, server.query(user.as_str()));
                }
                let answer = response::<get_keys::v3::Response>(all);
                self.machine
                    .mark_request_as_sent(id, &answer)
                    .await
                    .unwrap();
            }
            AnyOutgoingRequest::SignatureUpload(upload) => {
                for (user, signed) in &upload.signed_keys {
                    for (place, object) in signed.iter() {
                        let object: Value = serde_json::from_str(object.get()).unwrap();
                        if let Some(keys) = server
                            .devices
                            .get_mut(user.as_str())
                            .and_then(|devices| devices.get_mut(place))
                        {
                            merge(&mut keys["signatures"], object["signatures"].clone());
                        }
                    }
                }
                let answer = response::<upload_signatures::v3::Response>(json!({"failures": {}}));
                self.machine
                    .mark_request_as_sent(id, &answer)
                    .await
                    .unwrap();
            }
            AnyOutgoingRequest::ToDeviceRequest(request) => {
                self.deliver(server, request).await;
            }
            other => panic!("unexpected: {other:?}"),
        }
    }

    async fn deliver(&self, server: &mut Server, request: &ToDeviceRequest) {
        for (user, messages) in &request.messages {
            for (device, content) in messages {
                let content = content.deserialize_as_unchecked::<Value>().unwrap();
                let event = json!({"type": request.event_type, "sender": HOST, "content": content});
                server
                    .inbox
                    .push((user.to_string(), device.to_string(), event));
            }
        }
        let answer = response::<send_event_to_device::v3::Response>(json!({}));
        self.machine
            .mark_request_as_sent(&request.txn_id, &answer)
            .await
            .unwrap();
    }

    async fn send(&self, server: &mut Server, body: &str) -> Value {
        self.send_raw(
            server,
            "m.room.message",
            json!({"msgtype": "m.text", "body": body}),
        )
        .await
    }

    async fn send_raw(&self, server: &mut Server, event_type: &str, content: Value) -> Value {
        let guest: OwnedUserId = GUEST.try_into().unwrap();
        let users = || std::iter::once(guest.as_ref());
        if let Some((id, claim)) = self.machine.get_missing_sessions(users()).await.unwrap() {
            let mut keys = json!({});
            for (user, devices) in &claim.one_time_keys {
                for device in devices.keys() {
                    let key = server.claim(user.as_str(), device.as_str());
                    merge(
                        &mut keys,
                        json!({ user.as_str(): { device.as_str(): key } }),
                    );
                }
            }
            let answer = json!({"one_time_keys": keys, "failures": {}});
            let answer = response::<claim_keys::v3::Response>(answer);
            self.machine
                .mark_request_as_sent(&id, &answer)
                .await
                .unwrap();
        }
        let room: OwnedRoomId = ROOM.try_into().unwrap();
        let settings = EncryptionSettings {
            sharing_strategy: self.strategy.clone(),
            ..Default::default()
        };
        for request in self
            .machine
            .share_room_key(&room, users(), settings)
            .await
            .unwrap()
        {
            self.deliver(server, &request).await;
        }
        let content = Raw::from_json_string(content.to_string()).unwrap();
        let encrypted = self
            .machine
            .encrypt_room_event_raw(&room, event_type, &content)
            .await
            .unwrap();
        encrypted.content.deserialize_as_unchecked().unwrap()
    }

    /// Takes in what waits for this device, and decrypts: the body and how it was verified.
    async fn read(
        &self,
        server: &mut Server,
        event: &Value,
    ) -> Result<(String, VerificationState), MegolmError> {
        let settings = DecryptionSettings {
            sender_device_trust_requirement: self.trust,
        };
        let events = server.take(HOST, self.machine.device_id().as_str());
        let to_device_events = events
            .into_iter()
            .map(|event| Raw::<AnyToDeviceEvent>::from_json_string(event.to_string()).unwrap())
            .collect();
        let changes = EncryptionSyncChanges {
            to_device_events,
            changed_devices: &DeviceLists::default(),
            one_time_keys_counts: &BTreeMap::new(),
            unused_fallback_keys: None,
            next_batch_token: None,
        };
        self.machine
            .receive_sync_changes(changes, &settings)
            .await
            .unwrap();
        let room: OwnedRoomId = ROOM.try_into().unwrap();
        let event = Raw::from_json_string(event.to_string()).unwrap();
        let decrypted = self
            .machine
            .decrypt_room_event(&event, &room, &settings)
            .await?;
        let event: Value = decrypted.event.deserialize_as_unchecked().unwrap();
        let body = event["content"]["body"].as_str().unwrap().to_owned();
        Ok((body, decrypted.encryption_info.verification_state.clone()))
    }
}

fn response<T: IncomingResponse>(body: Value) -> T {
    let body = serde_json::to_vec(&body).unwrap();
    T::try_from_http_response(http::Response::builder().status(200).body(body).unwrap())
        .unwrap_or_else(|_| panic!("the answer doesn't fit"))
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(json!({})), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn event(sender: &str, id: &str, content: &Value) -> Value {
    json!({"type": "m.room.encrypted", "event_id": id, "sender": sender, "room_id": ROOM,
        "origin_server_ts": NOW, "content": content})
}

fn text(items: &[Item]) -> &str {
    match items {
        [Item::Text { body, .. }] => body,
        other => panic!("no single text: {other:?}"),
    }
}

/// As from a device that its owner has signed, whose owner the host hasn't compared keys with.
fn signed_by_owner(state: &VerificationState) -> bool {
    *state == VerificationState::Unverified(VerificationLevel::UnverifiedIdentity)
}

async fn ten_each_way(guest: &mut Guest, host: &Host, server: &mut Server) {
    for n in 0..10 {
        let content = guest.send(server, &format!("guest {n} 🙂"));
        let sent = event(GUEST, &format!("$g{n}:x"), &content);
        let (body, state) = host.read(server, &sent).await.unwrap();
        assert_eq!(body, format!("guest {n} 🙂"));
        assert!(signed_by_owner(&state), "{state:?}");

        let content = host.send(server, &format!("host {n}")).await;
        let sent = event(HOST, &format!("$h{n}:x"), &content);
        assert_eq!(text(&guest.read(server, &sent)), format!("host {n}"));
        // A reload of the page between any two messages.
        guest.restart();
    }
}

#[tokio::test]
async fn both_directions_with_the_default_of_the_host() {
    let mut server = Server::default();
    let mut guest = Guest::join(&mut server);
    let host = Host::signed("HOSTDEV", &mut server).await;
    assert_eq!(guest.receive_keys(&server), HostIdentity::First);
    ten_each_way(&mut guest, &host, &mut server).await;
}

#[tokio::test]
async fn both_directions_when_the_host_excludes_insecure_devices() {
    let mut server = Server::default();
    let mut guest = Guest::join(&mut server);
    let mut host = Host::signed("HOSTDEV", &mut server).await;
    host.trust = TrustRequirement::CrossSigned;
    host.strategy = CollectStrategy::new_identity_based();
    assert_eq!(guest.receive_keys(&server), HostIdentity::First);
    ten_each_way(&mut guest, &host, &mut server).await;
}

#[tokio::test]
async fn the_host_may_write_first() {
    let mut server = Server::default();
    let mut guest = Guest::join(&mut server);
    let host = Host::signed("HOSTDEV", &mut server).await;
    guest.receive_keys(&server);
    let content = host.send(&mut server, "hello").await;
    assert_eq!(
        text(&guest.read(&mut server, &event(HOST, "$1:x", &content))),
        "hello"
    );
    ten_each_way(&mut guest, &host, &mut server).await;
}

#[tokio::test]
async fn a_host_without_cross_signing() {
    let mut server = Server::default();
    let mut guest = Guest::join(&mut server);
    let host = Host::new("HOSTDEV").await;
    host.settle(&mut server).await;
    host.track(&mut server).await;
    assert_eq!(guest.receive_keys(&server), HostIdentity::None);
    ten_each_way(&mut guest, &host, &mut server).await;
}

#[tokio::test]
async fn an_unsigned_device_of_the_host_is_told_that_it_gets_no_key() {
    let mut server = Server::default();
    let mut guest = Guest::join(&mut server);
    let signed = Host::signed("HOSTDEV", &mut server).await;
    let unsigned = Host::new("UNSIGNED").await;
    unsigned.settle(&mut server).await;
    unsigned.track(&mut server).await;
    signed.track(&mut server).await;
    guest.receive_keys(&server);

    let content = guest.send(&mut server, "only for signed devices");
    let sent = event(GUEST, "$1:x", &content);
    let for_unsigned: Vec<&Value> = server
        .inbox
        .iter()
        .filter(|(_, d, _)| d == "UNSIGNED")
        .map(|(_, _, e)| e)
        .collect();
    assert_eq!(for_unsigned.len(), 1);
    assert_eq!(for_unsigned[0]["type"], "m.room_key.withheld");
    assert!(signed.read(&mut server, &sent).await.is_ok());
    match unsigned.read(&mut server, &sent).await {
        Err(MegolmError::MissingRoomKey(Some(code))) => assert_eq!(code.as_str(), "m.unverified"),
        other => panic!("{other:?}"),
    }

    // And what the unsigned device writes is not shown, until its owner signs it.
    let content = unsigned
        .send(&mut server, "from nobody in particular")
        .await;
    let sent = event(HOST, "$2:x", &content);
    for event in server.take(GUEST, "GUESTDEV") {
        let step = guest.machine.receive_to_device(&event, NOW).unwrap();
        assert!(guest.step(step).refused.is_some());
    }
    let items = guest.read(&mut server, &sent);
    assert!(
        matches!(items[..], [Item::Undecryptable { .. }]),
        "{items:?}"
    );
}

#[tokio::test]
async fn what_is_no_text_is_named() {
    let mut server = Server::default();
    let mut guest = Guest::join(&mut server);
    let host = Host::signed("HOSTDEV", &mut server).await;
    guest.receive_keys(&server);
    let content = json!({"call_id": "1", "version": "1", "lifetime": 1,
        "offer": {"type": "offer", "sdp": ""}, "party_id": "a"});
    let content = host.send_raw(&mut server, "m.call.invite", content).await;
    let items = guest.read(&mut server, &event(HOST, "$1:x", &content));
    let json = serde_json::to_value(&items).unwrap();
    assert_eq!(
        (&json[0]["kind"], &json[0]["what"]),
        (&json!("unsupported"), &json!("call"))
    );
}
