//! matrix-sdk-crypto's machine.

use std::collections::BTreeMap;

use matrix_sdk::deserialized_responses::VerificationState;
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
use serde_json::{Value, json};

use crate::server::Server;
use crate::{GUEST, HOST, ROOM};

/// One device of the host.
pub struct Host {
    pub machine: OlmMachine,
    pub trust: TrustRequirement,
    pub strategy: CollectStrategy,
}

impl Host {
    pub async fn new(device: &str) -> Self {
        let user: OwnedUserId = HOST.try_into().unwrap();
        Self {
            machine: OlmMachine::new(&user, device.into()).await,
            trust: TrustRequirement::Untrusted,
            strategy: CollectStrategy::default(),
        }
    }

    /// A device with a cross-signing identity, which knows the guest.
    pub async fn signed(device: &str, server: &mut Server) -> Self {
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
    pub async fn track(&self, server: &mut Server) {
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
    pub async fn settle(&self, server: &mut Server) {
        for request in self.machine.outgoing_requests().await.unwrap() {
            self.answer(server, request.request_id(), request.request())
                .await;
        }
    }

    pub async fn answer(
        &self,
        server: &mut Server,
        id: &TransactionId,
        request: &AnyOutgoingRequest,
    ) {
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

    pub async fn deliver(&self, server: &mut Server, request: &ToDeviceRequest) {
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

    pub async fn send(&self, server: &mut Server, body: &str) -> Value {
        self.send_raw(
            server,
            "m.room.message",
            json!({"msgtype": "m.text", "body": body}),
        )
        .await
    }

    pub async fn send_raw(&self, server: &mut Server, event_type: &str, content: Value) -> Value {
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
    pub async fn read(
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
