//! Everything that the bridge asks of the homeserver: effects, performed as the bot or a ghost,
//! and the few questions that a browser may cause.

mod perform;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use vestibule_appservice::error::{CallError, CallErrorKind};
use vestibule_appservice::intent::{self, Intent};
use vestibule_bridge::id::{DeviceId, UserId};
use vestibule_bridge::policy::Policy;
use vestibule_bridge::portal::Portal;

use crate::catchup::{Counts, InboxEvent};
use crate::telemetry::Metrics;

pub use vestibule_appservice::error::SetupError;

/// How long one call may take. Making a room takes Synapse half a second, reaching a dead remote
/// server more than five.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The pause between two tries to reach a homeserver that is down.
const PAUSE: Duration = Duration::from_secs(2);
/// What the bot is called in the hosts' clients.
const BOT_NAME: &str = "Guest chats";

/// A call failed; the call's name is for logs.
#[derive(Debug, thiserror::Error)]
#[error("{call} failed")]
pub struct CallFailed {
    call: &'static str,
    #[source]
    source: CallError,
}

impl CallFailed {
    /// Whether the same call would fail again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.source.kind(), CallErrorKind::Refused { .. })
    }
}

/// New to-device events of a ghost's device.
pub struct Inbox {
    /// The events, oldest first.
    pub events: Vec<InboxEvent>,
    /// Where to go on.
    pub next: String,
    /// How many keys the homeserver has left.
    pub counts: Counts,
}

/// The homeserver, as the bridge sees it.
pub struct Homeserver {
    client: intent::Homeserver,
    address: String,
    bot: UserId,
    metrics: Arc<Metrics>,
    problem: Mutex<Option<String>>,
}

impl Homeserver {
    /// A client for the homeserver at this base URL.
    pub fn new(
        address: &str,
        as_token: &str,
        policy: &Policy,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            client: intent::Homeserver::new(address, as_token, TIMEOUT)?,
            address: address.to_owned(),
            bot: policy.bot.clone(),
            metrics,
            problem: Mutex::new(Some(format!(
                "The homeserver at {address} was not reached yet."
            ))),
        })
    }

    /// What is wrong with the homeserver, in plain words; none while it answers.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until the homeserver answers and knows our token, and says so when it takes long.
    pub async fn wait_until_up(&self) {
        let mut said = false;
        while let Err(error) = self.counted("whoami", self.as_bot().whoami().await) {
            if !said {
                said = true;
                let problem = self.problem().unwrap_or_default();
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "waiting for the homeserver. {problem}"
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Has the homeserver call the bridge, which also makes it deliver what it holds back.
    pub async fn ping(&self, appservice_id: &str, transaction: &str) -> Result<(), CallFailed> {
        self.counted("ping", self.as_bot().ping(appservice_id, transaction).await)
    }

    /// Gives the bot a name, for which nothing waits.
    pub async fn name_bot(&self) {
        if let Err(error) = self.counted("name_bot", self.as_bot().set_display_name(BOT_NAME).await)
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the bot could not be named"
            );
        }
    }

    /// The answer of `/keys/query` for the portal's host, and nobody else.
    pub async fn host_keys(&self, portal: &Portal) -> Result<Value, CallFailed> {
        self.counted(
            "keys_query",
            self.as_device(portal)
                .keys_query(portal.host.as_str())
                .await,
        )
    }

    /// The answer of `/keys/claim` for devices of the portal's host.
    pub async fn claim_host_keys(
        &self,
        portal: &Portal,
        devices: &[DeviceId],
    ) -> Result<Value, CallFailed> {
        let devices: Vec<&str> = devices.iter().map(DeviceId::as_str).collect();
        self.counted(
            "keys_claim",
            self.as_device(portal)
                .keys_claim(portal.host.as_str(), &devices)
                .await,
        )
    }

    /// Uploads new keys of the portal's ghost; gives how many one-time keys are there now.
    pub async fn upload_ghost_keys(
        &self,
        portal: &Portal,
        one_time: Value,
        fallback: Value,
    ) -> Result<u64, CallFailed> {
        let uploaded = self
            .as_device(portal)
            .upload_keys(None, Some(&one_time), Some(&fallback))
            .await;
        self.counted("keys_upload", uploaded)
    }

    /// Reads the to-device inbox of the portal's ghost from `since` on, which also acknowledges
    /// everything before.
    pub async fn read_inbox(
        &self,
        portal: &Portal,
        since: Option<&str>,
    ) -> Result<Inbox, CallFailed> {
        let batch = self.counted("sync", self.as_device(portal).sync_to_device(since).await)?;
        let events = batch.to_device.into_iter();
        let events = events.map(|event| InboxEvent {
            sender: event.sender,
            event_type: event.event_type,
            content: event.content,
        });
        Ok(Inbox {
            events: events.collect(),
            next: batch.next_batch,
            counts: Counts {
                // An empty object means zero, and Synapse always sends one.
                one_time_keys: batch.one_time_keys,
                fallback_unused: batch.fallback_unused,
            },
        })
    }

    /// The bot; it always names itself, because Synapse fails on its device otherwise.
    fn as_bot(&self) -> Intent<'_> {
        self.client.as_user(self.bot.as_str())
    }

    fn as_ghost<'a>(&'a self, ghost: &'a UserId) -> Intent<'a> {
        self.client.as_user(ghost.as_str())
    }

    fn as_device<'a>(&'a self, portal: &'a Portal) -> Intent<'a> {
        self.as_ghost(&portal.ghost)
            .with_device(portal.visit.device.as_str())
    }

    /// Counts a call and remembers whether the homeserver is well.
    fn counted<T>(
        &self,
        call: &'static str,
        result: Result<T, CallError>,
    ) -> Result<T, CallFailed> {
        let (counted, problem) = match &result {
            Ok(_) => ("ok", None),
            Err(error) => match error.kind() {
                CallErrorKind::Refused { .. } => ("refused", None),
                CallErrorKind::Later { .. } => ("failed", Some(format!("The homeserver at {} does not answer as it should: {error}.", self.address))),
                CallErrorKind::Unauthorized => ("failed", Some("The homeserver does not know the bridge's as_token: is its registration file current?".to_owned())),
            },
        };
        self.metrics.call(call, counted);
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
        result.map_err(|source| CallFailed { call, source })
    }
}

/// To-device messages in the shape of the client-server API: user, device, content.
fn addressed(host: &UserId, messages: &BTreeMap<DeviceId, Value>) -> Value {
    let by_device: serde_json::Map<String, Value> = messages
        .iter()
        .map(|(device, content)| (device.as_str().to_owned(), content.clone()))
        .collect();
    json!({ host.as_str(): by_device })
}
