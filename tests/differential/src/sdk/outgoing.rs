//! What it asks of the homeserver, and what it sends.

use matrix_sdk_crypto::types::requests::{
    AnyIncomingResponse, AnyOutgoingRequest, ToDeviceRequest,
};
use matrix_sdk_crypto::{EncryptionSettings, OlmError};
use ruma_sdk::api::IncomingResponse;
use ruma_sdk::api::client::keys::{claim_keys, get_keys, upload_keys, upload_signatures};
use ruma_sdk::api::client::to_device::send_event_to_device;
use ruma_sdk::exports::http;
use ruma_sdk::serde::Raw;
use ruma_sdk::{OwnedRoomId, OwnedTransactionId, OwnedUserId, TransactionId};
use serde_json::{Value, json};

use super::Sdk;
use crate::fate::CallFault;
use crate::server::{Batch, Post, Server};

impl Sdk {
    /// Performs what the machine wants to send; gives the to-device events among it. `None` if the
    /// call that `fault` names was among it.
    pub async fn settle(
        &self,
        server: &mut Server,
        fault: Option<CallFault>,
    ) -> Option<Vec<Batch>> {
        let mut out = Vec::new();
        for request in self.machine.outgoing_requests().await.unwrap() {
            let query = matches!(request.request(), AnyOutgoingRequest::KeysQuery(_));
            if query && fault == Some(CallFault::Query) {
                return None;
            }
            let id = request.request_id();
            out.extend(self.answer(server, id, request.request()).await);
        }
        Some(out)
    }

    pub(super) async fn answer(
        &self,
        server: &mut Server,
        id: &TransactionId,
        request: &AnyOutgoingRequest,
    ) -> Option<Batch> {
        let (user, device) = (self.user.as_str(), self.device.as_str());
        match request {
            AnyOutgoingRequest::KeysUpload(upload) => {
                if let Some(keys) = &upload.device_keys {
                    let keys = keys.deserialize_as_unchecked::<Value>().unwrap();
                    let devices = server.devices.entry(user.to_owned()).or_default();
                    devices.insert(device.to_owned(), keys);
                }
                let one_time = serde_json::to_value(&upload.one_time_keys).unwrap();
                let fallback = serde_json::to_value(&upload.fallback_keys).unwrap();
                server.upload(user, device, &one_time, &fallback);
                let (count, _) = server.counts(user, device);
                let answer = json!({"one_time_key_counts": {"signed_curve25519": count}});
                let answer = response::<upload_keys::v3::Response>(answer);
                self.mark(id, AnyIncomingResponse::KeysUpload(&answer))
                    .await;
            }
            AnyOutgoingRequest::KeysQuery(query) => {
                let users: Vec<&str> = query.device_keys.keys().map(|u| u.as_str()).collect();
                let all = server.query(&users);
                let answer = response::<get_keys::v3::Response>(all);
                self.mark(id, AnyIncomingResponse::KeysQuery(&answer)).await;
            }
            AnyOutgoingRequest::SignatureUpload(upload) => {
                for (user, signed) in &upload.signed_keys {
                    for (place, object) in signed.iter() {
                        let object: Value = serde_json::from_str(object.get()).unwrap();
                        let devices = server.devices.get_mut(user.as_str());
                        if let Some(keys) = devices.and_then(|devices| devices.get_mut(place)) {
                            merge(&mut keys["signatures"], object["signatures"].clone());
                        }
                    }
                }
                let answer = response::<upload_signatures::v3::Response>(json!({"failures": {}}));
                self.mark(id, AnyIncomingResponse::SignatureUpload(&answer))
                    .await;
            }
            AnyOutgoingRequest::ToDeviceRequest(request) => {
                self.sent(&request.txn_id).await;
                return Some(batch(request));
            }
            other => panic!("unexpected: {other:?}"),
        }
        None
    }

    pub(super) async fn mark(&self, id: &TransactionId, answer: AnyIncomingResponse<'_>) {
        let marked = self.machine.mark_request_as_sent(id, answer).await;
        marked.unwrap();
    }

    async fn sent(&self, id: &TransactionId) {
        let answer = response::<send_event_to_device::v3::Response>(json!({}));
        self.mark(id, AnyIncomingResponse::ToDevice(&answer)).await;
    }

    /// Shares the key of the room with these users. What it gives to devices goes into `out`;
    /// `None` if the call that `fault` names was made, or it may not send.
    pub async fn share(
        &self,
        server: &mut Server,
        room: &str,
        users: &[&str],
        fault: Option<CallFault>,
        out: &mut Vec<Batch>,
    ) -> Option<()> {
        let users: Vec<OwnedUserId> = users.iter().map(|u| (*u).try_into().unwrap()).collect();
        let users = || users.iter().map(AsRef::as_ref);
        out.extend(self.settle(server, fault).await?);
        if let Some((id, claim)) = self.machine.get_missing_sessions(users()).await.unwrap() {
            if fault == Some(CallFault::Claim) {
                return None;
            }
            self.claim(server, &id, &claim, fault).await;
        }
        let room: OwnedRoomId = room.try_into().unwrap();
        let settings = EncryptionSettings {
            sharing_strategy: self.strategy.clone(),
            rotation_period_msgs: self.rotation,
            ..Default::default()
        };
        let shared = self.machine.share_room_key(&room, users(), settings).await;
        let requests = match shared {
            Ok(requests) => requests,
            Err(OlmError::SessionRecipientCollectionError(_)) => return None,
            Err(error) => panic!("{error}"),
        };
        for request in requests {
            if fault == Some(CallFault::ToDevice) {
                return None;
            }
            out.push(batch(&request));
            if fault == Some(CallFault::ToDeviceAnswer) {
                return None;
            }
            self.sent(&request.txn_id).await;
        }
        Some(())
    }

    async fn claim(
        &self,
        server: &mut Server,
        id: &OwnedTransactionId,
        claim: &claim_keys::v3::Request,
        fault: Option<CallFault>,
    ) {
        let mut keys = json!({});
        for (user, devices) in &claim.one_time_keys {
            for device in devices.keys() {
                let claimed = server.claim(user.as_str(), device.as_str());
                if let Some(key) = claimed.filter(|_| fault != Some(CallFault::NoKeys)) {
                    let key = json!({ user.as_str(): { device.as_str(): key } });
                    merge(&mut keys, key);
                }
            }
        }
        let answer = json!({"one_time_keys": keys, "failures": {}});
        let answer = response::<claim_keys::v3::Response>(answer);
        self.mark(id, AnyIncomingResponse::KeysClaim(&answer)).await;
    }

    /// Encrypts an event for the room, whose key was shared.
    pub async fn encrypt(&self, room: &str, event_type: &str, content: &Value) -> Value {
        let room: OwnedRoomId = room.try_into().unwrap();
        let content = Raw::from_json_string(content.to_string()).unwrap();
        let encrypted = self
            .machine
            .encrypt_room_event_raw(&room, event_type, &content)
            .await
            .unwrap();
        encrypted.content.deserialize_as_unchecked().unwrap()
    }
}

fn batch(request: &ToDeviceRequest) -> Batch {
    let mut posts = Vec::new();
    for (user, messages) in &request.messages {
        for (device, content) in messages {
            posts.push(Post {
                user: user.to_string(),
                device: device.to_string(),
                event_type: request.event_type.to_string(),
                content: content.deserialize_as_unchecked().unwrap(),
            });
        }
    }
    Batch {
        txn: request.txn_id.to_string(),
        posts,
    }
}

pub(super) fn response<T: IncomingResponse>(body: Value) -> T {
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
