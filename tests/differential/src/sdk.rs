//! matrix-sdk-crypto's machine: a device of the host, or the guest's twin.

use std::collections::BTreeMap;
use std::sync::Arc;

use matrix_sdk_common::deserialized_responses::{
    ProcessedToDeviceEvent, VerificationLevel, VerificationState,
};
use matrix_sdk_crypto::store::{CryptoStore as _, MemoryStore};
use matrix_sdk_crypto::types::requests::{AnyIncomingResponse, AnyOutgoingRequest};
use matrix_sdk_crypto::{
    CollectStrategy, DecryptionSettings, EncryptionSyncChanges, MegolmError, OlmMachine,
    TrustRequirement,
};
use ruma_sdk::api::client::keys::upload_signing_keys;
use ruma_sdk::api::client::sync::sync_events::DeviceLists;
use ruma_sdk::events::AnyToDeviceEvent;
use ruma_sdk::serde::Raw;
use ruma_sdk::{OneTimeKeyAlgorithm, OwnedDeviceId, OwnedRoomId, OwnedUserId, TransactionId, UInt};
use serde_json::{Map, Value, json};

use self::outgoing::response;
use crate::server::Server;

mod outgoing;

/// What it says of a room event.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is read.
    Read {
        /// The decrypted event's sender.
        sender: String,
        /// The text.
        body: String,
        /// What a client draws a shield from.
        state: VerificationState,
    },
    /// There is no key, and perhaps the sender said why.
    NoKey(Option<String>),
    /// The key is there, and its sender isn't trusted.
    Untrusted(VerificationLevel),
    /// Anything else.
    Refused(String),
}

impl Verdict {
    /// Whether it is read.
    #[must_use]
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Read { .. })
    }
}

/// One device, and its store, from which it is opened anew whenever a test wants.
pub struct Sdk {
    user: OwnedUserId,
    device: OwnedDeviceId,
    store: Arc<MemoryStore>,
    /// The machine.
    pub machine: OlmMachine,
    /// Whose room keys it reads with.
    pub trust: TrustRequirement,
    /// To whom it gives its own.
    pub strategy: CollectStrategy,
    /// After how many messages it begins a new Megolm session.
    pub rotation: u64,
}

impl Sdk {
    /// A new device, of which nobody knows yet.
    pub async fn new(user: &str, device: &str) -> Self {
        let user: OwnedUserId = user.try_into().unwrap();
        let device = OwnedDeviceId::from(device);
        let store = Arc::new(MemoryStore::new());
        let machine = OlmMachine::with_store(&user, &device, store.clone(), None);
        Self {
            machine: machine.await.unwrap(),
            user,
            device,
            store,
            trust: TrustRequirement::Untrusted,
            strategy: CollectStrategy::default(),
            rotation: 100,
        }
    }

    /// Opens it anew from its store.
    pub async fn restart(&mut self) {
        // The store in memory forgets the private cross-signing keys with every write.
        let identity = self.machine.export_cross_signing_keys().await.unwrap();
        self.open().await;
        if let Some(identity) = identity.filter(|keys| keys.master_key.is_some()) {
            let imported = self.machine.import_cross_signing_keys(identity);
            imported.await.unwrap();
        }
    }

    /// The same without its cross-signing keys.
    pub async fn open(&mut self) {
        let machine = OlmMachine::with_store(&self.user, &self.device, self.store.clone(), None);
        self.machine = machine.await.unwrap();
    }

    /// Whether it would go on after a restart as it would without: of several Olm sessions with one
    /// device it takes the youngest, and within a second that is only known until it is closed.
    pub async fn may_restart(&self, server: &Server) -> bool {
        for keys in server.devices.values().flat_map(Map::values) {
            let id = keys["device_id"].as_str().unwrap();
            let key = keys["keys"][format!("curve25519:{id}")].as_str().unwrap();
            let sessions = self.store.get_sessions(key).await.unwrap();
            if sessions.is_some_and(|sessions| sessions.len() > 1) {
                return false;
            }
        }
        true
    }

    /// Its device id.
    #[must_use]
    pub fn device_id(&self) -> &str {
        self.device.as_str()
    }

    /// Makes a new cross-signing identity for its user, and signs itself with it.
    pub async fn cross_sign(&self, server: &mut Server) {
        let bootstrap = self.machine.bootstrap_cross_signing(true).await.unwrap();
        let keys = bootstrap.upload_signing_keys_req;
        for (place, key) in [
            (&mut server.master, keys.master_key),
            (&mut server.self_signing, keys.self_signing_key),
            (&mut server.user_signing, keys.user_signing_key),
        ] {
            let key = serde_json::to_value(key.unwrap()).unwrap();
            place.insert(self.user.to_string(), key);
        }
        let request = AnyOutgoingRequest::SignatureUpload(bootstrap.upload_signatures_req);
        self.answer(server, &TransactionId::new(), &request).await;
        let signing = response::<upload_signing_keys::v3::Response>(json!({}));
        let signing = AnyIncomingResponse::SigningKeysUpload(&signing);
        self.mark(&TransactionId::new(), signing).await;
    }

    /// Signs another device of its user.
    pub async fn sign(&self, server: &mut Server, device: &str) {
        let device = self.machine.get_device(&self.user, device.into(), None);
        let signed = device.await.unwrap().unwrap().verify().await.unwrap();
        let request = AnyOutgoingRequest::SignatureUpload(signed);
        self.answer(server, &TransactionId::new(), &request).await;
    }

    /// Learns the keys of these users, anew.
    pub async fn track(&self, server: &mut Server, users: &[&str]) {
        let users: Vec<OwnedUserId> = users.iter().map(|u| (*u).try_into().unwrap()).collect();
        let users = users.iter().map(AsRef::as_ref);
        self.machine.update_tracked_users(users).await.unwrap();
        let all = self.machine.mark_all_tracked_users_as_dirty().await;
        all.unwrap();
        self.settle(server, None).await.unwrap();
    }

    /// The homeserver says that this user's devices changed.
    pub async fn notice(&self, user: &str) {
        let mut lists = DeviceLists::new();
        lists.changed.push(user.try_into().unwrap());
        self.sync(Vec::new(), &lists, None).await;
    }

    /// Uploads its keys. A fallback key is made only when a sync says that there is none.
    pub async fn publish(&self, server: &mut Server) {
        self.settle(server, None).await.unwrap();
        self.count(server).await;
        self.settle(server, None).await.unwrap();
    }

    /// Hears how many of its keys are left.
    pub async fn count(&self, server: &Server) {
        let counts = server.counts(self.user.as_str(), self.device.as_str());
        self.sync(Vec::new(), &DeviceLists::default(), Some(counts))
            .await;
    }

    /// Takes in a to-device event, and says whether it could use it.
    pub async fn receive_to_device(&self, event: &Value) -> bool {
        let event = Raw::<AnyToDeviceEvent>::from_json_string(event.to_string()).unwrap();
        let processed = self.sync(vec![event], &DeviceLists::default(), None).await;
        matches!(processed[..], [ProcessedToDeviceEvent::Decrypted { .. }])
    }

    async fn sync(
        &self,
        to_device_events: Vec<Raw<AnyToDeviceEvent>>,
        changed_devices: &DeviceLists,
        counts: Option<(u64, bool)>,
    ) -> Vec<ProcessedToDeviceEvent> {
        let mut one_time_keys_counts = BTreeMap::new();
        let mut unused: Option<&[OneTimeKeyAlgorithm]> = None;
        if let Some((count, fallback_unused)) = counts {
            let count = UInt::try_from(count).unwrap();
            one_time_keys_counts.insert(OneTimeKeyAlgorithm::SignedCurve25519, count);
            unused = Some(if fallback_unused {
                &[OneTimeKeyAlgorithm::SignedCurve25519]
            } else {
                &[]
            });
        }
        let changes = EncryptionSyncChanges {
            to_device_events,
            changed_devices,
            one_time_keys_counts: &one_time_keys_counts,
            unused_fallback_keys: unused,
            next_batch_token: None,
        };
        let settings = self.decryption();
        let synced = self.machine.receive_sync_changes(changes, &settings).await;
        synced.unwrap().0
    }

    /// Begins a new Megolm session with the next message.
    pub async fn rotate(&self, room: &str) {
        let room: OwnedRoomId = room.try_into().unwrap();
        self.machine.discard_room_key(&room).await.unwrap();
    }

    /// Decrypts an event of the room that it names.
    pub async fn read(&self, event: &Value) -> Verdict {
        let room: OwnedRoomId = event["room_id"].as_str().unwrap().try_into().unwrap();
        let event = Raw::from_json_string(event.to_string()).unwrap();
        let settings = self.decryption();
        let decrypted = self.machine.decrypt_room_event(&event, &room, &settings);
        match decrypted.await {
            Ok(decrypted) => {
                let event: Value = decrypted.event.deserialize_as_unchecked().unwrap();
                Verdict::Read {
                    sender: event["sender"].as_str().unwrap().to_owned(),
                    body: event["content"]["body"].as_str().unwrap().to_owned(),
                    state: decrypted.encryption_info.verification_state.clone(),
                }
            }
            Err(MegolmError::MissingRoomKey(code)) => {
                Verdict::NoKey(code.map(|code| code.as_str().to_owned()))
            }
            Err(MegolmError::Decryption(
                matrix_sdk_crypto::vodozemac::megolm::DecryptionError::UnknownMessageIndex(..),
            )) => Verdict::NoKey(None),
            Err(MegolmError::SenderIdentityNotTrusted(level)) => Verdict::Untrusted(level),
            Err(error) => Verdict::Refused(error.to_string()),
        }
    }

    /// Whether its user should look at that user's identity, because it changed.
    pub async fn identity_changed(&self, user: &str) -> bool {
        let user: OwnedUserId = user.try_into().unwrap();
        let identity = self.machine.get_identity(&user, None).await.unwrap();
        identity
            .and_then(matrix_sdk_crypto::UserIdentity::other)
            .is_some_and(|identity| identity.identity_needs_user_approval())
    }

    /// Whether that user has a cross-signing identity.
    pub async fn has_identity(&self, user: &str) -> bool {
        let user: OwnedUserId = user.try_into().unwrap();
        let identity = self.machine.get_identity(&user, None).await.unwrap();
        identity.is_some()
    }

    /// Accepts that user's changed identity.
    pub async fn accept_identity(&self, user: &str) {
        let user: OwnedUserId = user.try_into().unwrap();
        let identity = self.machine.get_identity(&user, None).await.unwrap();
        let identity = identity.and_then(matrix_sdk_crypto::UserIdentity::other);
        identity.unwrap().pin_current_master_key().await.unwrap();
    }

    fn decryption(&self) -> DecryptionSettings {
        DecryptionSettings {
            sender_device_trust_requirement: self.trust,
        }
    }
}
