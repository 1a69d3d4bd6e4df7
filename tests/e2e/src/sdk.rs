//! A host whose client is matrix-sdk.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use matrix_sdk::config::SyncSettings;
use matrix_sdk::deserialized_responses::EncryptionInfo;
use matrix_sdk::encryption::{CrossSigningResetAuthType, EncryptionSettings};
use matrix_sdk::media::{MediaFormat, MediaRequestParameters};
use matrix_sdk::ruma::api::client::uiaa::{self, AuthData, MatrixUserIdentifier, UserIdentifier};
use matrix_sdk::ruma::events::AnySyncTimelineEvent;
use matrix_sdk::ruma::events::room::encrypted::OriginalSyncRoomEncryptedEvent;
use matrix_sdk::ruma::events::room::member::{
    MembershipState, StrippedRoomMemberEvent, SyncRoomMemberEvent,
};
use matrix_sdk::ruma::events::room::message::{
    MessageType, OriginalSyncRoomMessageEvent, RoomMessageEventContent,
};
use matrix_sdk::ruma::events::room_key::withheld::ToDeviceRoomKeyWithheldEvent;
use matrix_sdk::ruma::{EventId, OwnedRoomId, RoomId, UserId};
use matrix_sdk::{Client, Room, RoomMemberships, RoomState};
use matrix_sdk_crypto::{CollectStrategy, DecryptionSettings, TrustRequirement};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use vestibule_lab::{Account, Api, Events, Host, HostEvent, Invite, Message, PATIENCE};

/// A logged-in matrix-sdk client.
#[derive(Debug)]
pub struct SdkHost {
    user_id: String,
    client: Client,
    api: Api,
    events: Events,
    withheld: Arc<Mutex<Vec<Withheld>>>,
    syncing: JoinHandle<()>,
}

/// A device was told that it gets no room key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// Who told it.
    pub sender: String,
    /// Why: `m.unverified` and so on.
    pub code: String,
}

/// How a client deals with devices that their owner has not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insecure {
    /// It gives them keys and reads what they send, with a warning: today's default.
    Included,
    /// It does neither (MSC4153).
    Excluded,
}

/// The one runtime of all matrix-sdk clients of a test binary.
fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| Runtime::new().ok())
        .as_ref()
        .context("no tokio runtime")
}

impl SdkHost {
    /// Logs in with a new device and syncs; with `cross_signing` the device is signed by its owner,
    /// as that of every current client is.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn login(homeserver: &str, account: &Account, cross_signing: bool) -> Result<Self> {
        Self::login_with(homeserver, account, cross_signing, Insecure::Included)
    }

    /// The same with a rule for devices that their owner has not signed.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn login_with(
        homeserver: &str,
        account: &Account,
        cross_signing: bool,
        insecure: Insecure,
    ) -> Result<Self> {
        let (sender, receiver) = channel();
        let withheld = Arc::new(Mutex::new(Vec::new()));
        let client = runtime()?.block_on(async {
            let settings = EncryptionSettings {
                auto_enable_cross_signing: cross_signing,
                ..Default::default()
            };
            let mut builder = Client::builder()
                .homeserver_url(homeserver)
                .with_encryption_settings(settings);
            if insecure == Insecure::Excluded {
                builder = builder
                    .with_room_key_recipient_strategy(CollectStrategy::IdentityBasedStrategy)
                    .with_decryption_settings(DecryptionSettings {
                        sender_device_trust_requirement: TrustRequirement::CrossSigned,
                    });
            }
            let client = builder.build().await?;
            client
                .matrix_auth()
                .login_username(&account.user_id, &account.password)
                .initial_device_display_name("matrix-sdk host")
                .send()
                .await?;
            client.sync_once(SyncSettings::new()).await?;
            client
                .encryption()
                .wait_for_e2ee_initialization_tasks()
                .await;
            listen(&client, sender);
            note_withheld(&client, Arc::clone(&withheld));
            anyhow::Ok(client)
        })?;
        let syncing = runtime()?.spawn(sync(client.clone()));
        let token = client.access_token().context("no access token")?;
        Ok(Self {
            user_id: account.user_id.clone(),
            api: Api::new(homeserver, Some(&token)),
            client,
            events: Events::new(receiver),
            withheld,
            syncing,
        })
    }

    /// Makes a new cross-signing identity for the account, as somebody does who has lost the old one:
    /// it has signed this device, and no other.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn reset_identity(&self, account: &Account) -> Result<()> {
        runtime()?.block_on(async {
            let reset = self.client.encryption().reset_cross_signing().await?;
            let Some(reset) = reset else { return Ok(()) };
            let CrossSigningResetAuthType::Uiaa(asked) = reset.auth_type() else {
                bail!("the homeserver wants no password");
            };
            let whom = MatrixUserIdentifier::new(account.user_id.clone());
            let whom = UserIdentifier::Matrix(whom);
            let mut password = uiaa::Password::new(whom, account.password.clone());
            password.session.clone_from(&asked.session);
            reset.auth(Some(AuthData::Password(password))).await?;
            Ok(())
        })
    }

    /// What this device was told that it doesn't get, so far.
    #[must_use]
    pub fn withheld(&self) -> Vec<Withheld> {
        let told = self.withheld.lock();
        told.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the owner of a device has signed it, as this client sees it now.
    ///
    /// # Errors
    /// When there is no such device.
    pub fn sees_signed(&self, user_id: &str, device_id: &str) -> Result<bool> {
        let user = UserId::parse(user_id)?;
        runtime()?.block_on(async {
            let encryption = self.client.encryption();
            encryption.request_user_identity(&user).await?;
            let device = encryption.get_device(&user, device_id.into()).await?;
            let device = device.with_context(|| format!("{user_id} has no device {device_id}"))?;
            Ok(device.is_cross_signed_by_owner())
        })
    }

    /// Asks for the keys of somebody, as a client does sooner or later of everybody it shares a room
    /// with.
    ///
    /// # Errors
    /// When they have no identity.
    pub fn knows_identity(&self, user_id: &str) -> Result<()> {
        let user = UserId::parse(user_id)?;
        let identity = runtime()?.block_on(async {
            let encryption = self.client.encryption();
            encryption.request_user_identity(&user).await
        })?;
        identity.map(drop).context("no identity")
    }

    /// Fetches the picture of an encrypted message and opens it.
    ///
    /// # Errors
    /// When there is none, or it is not what its message says.
    pub fn open_picture(&self, room_id: &str, event_id: &str) -> Result<Vec<u8>> {
        let room = self.room(room_id)?;
        let event_id = EventId::parse(event_id)?;
        runtime()?.block_on(async {
            let event = room.event(&event_id, None).await?;
            let event = event.raw().deserialize_as::<Value>()?;
            let content = event.get("content").context("no content")?;
            let MessageType::Image(image) =
                serde_json::from_value::<RoomMessageEventContent>(content.clone())?.msgtype
            else {
                bail!("no picture");
            };
            let request = MediaRequestParameters {
                source: image.source,
                format: MediaFormat::File,
            };
            let media = self.client.media();
            Ok(media.get_media_content(&request, false).await?)
        })
    }

    fn room(&self, room_id: &str) -> Result<Room> {
        let id = RoomId::parse(room_id)?;
        self.client
            .get_room(&id)
            .with_context(|| format!("{room_id} did not come with the sync"))
    }

    /// Waits until the sync brought a room that was joined.
    async fn knows(&self, room_id: &RoomId) -> Result<()> {
        let came = async {
            while self
                .client
                .get_room(room_id)
                .is_none_or(|room| room.state() != RoomState::Joined)
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, came).await;
        waited.with_context(|| format!("{room_id} did not come with the sync"))
    }
}

impl Drop for SdkHost {
    fn drop(&mut self) {
        self.syncing.abort();
    }
}

impl Host for SdkHost {
    fn user_id(&self) -> &str {
        &self.user_id
    }

    fn events(&mut self) -> &mut Events {
        &mut self.events
    }

    fn create_dm(&mut self, user_id: &str) -> Result<String> {
        UserId::parse(user_id)?;
        // matrix-sdk's own would encrypt the room, and the bot reads plain text.
        let body = json!({"preset": "private_chat", "is_direct": true, "invite": [user_id]});
        let (status, said) = self.request("POST", "/_matrix/client/v3/createRoom", Some(&body))?;
        let room = said.get("room_id").and_then(Value::as_str);
        let room = room.with_context(|| format!("createRoom: {status} {said}"))?;
        let id: OwnedRoomId = RoomId::parse(room)?;
        runtime()?.block_on(self.knows(&id))?;
        Ok(room.to_owned())
    }

    fn join(&mut self, room_id: &str) -> Result<()> {
        let id = RoomId::parse(room_id)?;
        runtime()?.block_on(async {
            let room = self.client.join_room_by_id(&id).await?;
            self.knows(&id).await?;
            // The client asks for the keys of whom it meets when it comes to it. What it thinks of a
            // device is looked at afterwards, so here it asks at once.
            for member in room.members(RoomMemberships::JOIN).await? {
                let encryption = self.client.encryption();
                encryption.request_user_identity(member.user_id()).await?;
            }
            Ok(())
        })
    }

    fn send(&mut self, room_id: &str, text: &str) -> Result<String> {
        let room = self.room(room_id)?;
        let content = RoomMessageEventContent::text_plain(text);
        let sent = runtime()?.block_on(async { room.send(content).await })?;
        Ok(sent.response.event_id.to_string())
    }

    fn send_event(&mut self, room_id: &str, event_type: &str, content: Value) -> Result<String> {
        let room = self.room(room_id)?;
        let sent = runtime()?.block_on(async { room.send_raw(event_type, content).await })?;
        Ok(sent.response.event_id.to_string())
    }

    fn request(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let answer = self.api.call(method, path, body)?;
        Ok((answer.status, answer.json()))
    }
}

/// Syncs for as long as the client lives; a homeserver that restarts is waited for.
async fn sync(client: Client) {
    loop {
        // It only ever ends with an error.
        let _ = client.sync(SyncSettings::new()).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn note_withheld(client: &Client, withheld: Arc<Mutex<Vec<Withheld>>>) {
    client.add_event_handler(move |event: ToDeviceRoomKeyWithheldEvent| {
        let told = Withheld {
            sender: event.sender.to_string(),
            code: event.content.code.code().to_string(),
        };
        let mut all = withheld.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(told);
        std::future::ready(())
    });
}

fn listen(client: &Client, events: Sender<HostEvent>) {
    let sender = events.clone();
    client.add_event_handler(
        async move |event: OriginalSyncRoomMessageEvent,
                    room: Room,
                    info: Option<EncryptionInfo>| {
            let name = room.get_member_no_sync(&event.sender).await.ok().flatten();
            let name = name
                .map(|member| member.name().to_owned())
                .unwrap_or_default();
            // Nobody listens any more when the test is over.
            let _ = sender.send(HostEvent::Message(Message {
                room_id: room.room_id().to_string(),
                event_id: event.event_id.to_string(),
                sender: event.sender.to_string(),
                display_name: name,
                msgtype: Some(event.content.msgtype().to_owned()),
                body: event.content.body().to_owned(),
                decrypted: info.is_some(),
                trust: info.map(|info| format!("{:?}", info.verification_state)),
                sent_ms: event.origin_server_ts.get().into(),
                seen_ms: now_ms(),
            }));
        },
    );
    let sender = events.clone();
    client.add_event_handler(
        async move |event: OriginalSyncRoomEncryptedEvent, room: Room| {
            let _ = sender.send(HostEvent::Undecryptable {
                room_id: room.room_id().to_string(),
                event_id: event.event_id.to_string(),
                sender: event.sender.to_string(),
            });
        },
    );
    let sender = events.clone();
    client.add_event_handler(async move |event: AnySyncTimelineEvent, room: Room| {
        let AnySyncTimelineEvent::MessageLike(event) = event else {
            return;
        };
        // These have a class of their own.
        let event_type = event.event_type().to_string();
        if ["m.room.message", "m.room.encrypted"].contains(&event_type.as_str()) {
            return;
        }
        let _ = sender.send(HostEvent::Other {
            room_id: room.room_id().to_string(),
            event_id: event.event_id().to_string(),
            sender: event.sender().to_string(),
            event_type,
        });
    });
    let sender = events.clone();
    client.add_event_handler(async move |event: SyncRoomMemberEvent, room: Room| {
        let _ = sender.send(HostEvent::Member {
            room_id: room.room_id().to_string(),
            member: event.state_key().to_string(),
            membership: event.membership().to_string(),
        });
    });
    client.add_event_handler(async move |event: StrippedRoomMemberEvent, room: Room| {
        let invited = event.content.membership == MembershipState::Invite;
        if !invited || event.state_key != room.own_user_id() {
            return;
        }
        let name = room.get_member_no_sync(&event.sender).await.ok().flatten();
        let name = name
            .map(|member| member.name().to_owned())
            .unwrap_or_default();
        let _ = events.send(HostEvent::Invite(Invite {
            room_id: room.room_id().to_string(),
            inviter: event.sender.to_string(),
            display_name: name,
            is_direct: event.content.is_direct.unwrap_or(false),
            reason: event.content.reason.clone(),
        }));
    });
}

fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
