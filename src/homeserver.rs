//! Everything that the bridge asks of the homeserver: effects, performed as the bot or a ghost,
//! and the few questions that a browser may cause.

mod bot;
mod inspect;
mod perform;
mod picture;
mod rooms;
mod wake;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use vestibule_appservice::error::{CallError, CallErrorKind};
use vestibule_appservice::intent::{self, InboxEvent, Intent, Past, StateEvent};
use vestibule_appservice::transaction::{Ephemeral, RoomEvent};
use vestibule_bridge::id::{DeviceId, EventId, RoomId, UserId};
use vestibule_bridge::policy::Policy;
use vestibule_bridge::portal::Portal;

use crate::catchup::Counts;
use crate::telemetry::Metrics;

pub use bot::{BotInbox, BotState, RoomView};
pub use inspect::profile;
pub use perform::notice;
pub use picture::WORDS as PICTURE_WORDS;
pub use vestibule_appservice::error::SetupError;

/// How long one call may take. Making a room takes Synapse half a second, reaching a dead remote
/// server more than five.
const TIMEOUT: Duration = Duration::from_secs(30);
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
    /// Whether the homeserver says that the ghost has no such device.
    #[must_use]
    pub fn lacks_device(&self) -> bool {
        self.source.errcode() == Some("M_UNKNOWN_DEVICE")
    }

    /// Whether the homeserver fails at this call as such.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(
            &self.source,
            CallError::Status {
                status: 500 | 501,
                ..
            }
        )
    }

    /// Whether the same call would fail again.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.source.kind(), CallErrorKind::Refused { .. })
    }
}

/// What waited for a ghost's device, and what others last wrote in its room.
pub struct Inbox {
    /// The to-device events, oldest first.
    pub to_device: Vec<InboxEvent>,
    /// The room's latest events by others, oldest first.
    pub events: Vec<RoomEvent>,
    /// Where the room's past goes on, when it has more than `events`.
    pub earlier: Option<String>,
    /// How far its members have read.
    pub receipts: Vec<Ephemeral>,
    /// What acknowledges the to-device events.
    pub next: String,
    /// How many keys the homeserver has left.
    pub counts: Counts,
}

/// The homeserver, as the bridge sees it.
pub struct Homeserver {
    client: intent::Homeserver,
    address: String,
    bot: UserId,
    /// How links begin, when they are given as QR codes too.
    drawn_links: Option<String>,
    metrics: Arc<Metrics>,
    problem: Mutex<Option<String>>,
    /// Whether a call failed since this was last asked.
    failed: AtomicBool,
    /// Makes readings differ from those before, also from those before a restart.
    unlike: AtomicU64,
}

impl Homeserver {
    /// A client for the homeserver at this base URL. `unlike` is a random number.
    pub fn new(
        address: &str,
        as_token: &str,
        policy: &Policy,
        metrics: Arc<Metrics>,
        unlike: u64,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            client: intent::Homeserver::new(address, as_token, TIMEOUT)?,
            address: address.to_owned(),
            bot: policy.bot.clone(),
            drawn_links: None,
            metrics,
            problem: Mutex::new(Some(format!(
                "The homeserver at {address} was not reached yet."
            ))),
            failed: AtomicBool::new(false),
            unlike: AtomicU64::new(unlike),
        })
    }

    /// The same, and links that begin with this are also given as QR codes.
    #[must_use]
    pub fn drawing_links(mut self, public_url: &str) -> Self {
        self.drawn_links = Some(format!("{public_url}/#"));
        self
    }

    /// What is wrong with the homeserver, in plain words; none while it answers.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
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
                .keys_query(&[portal.host.as_str()])
                .await,
        )
    }

    /// The answer of `/keys/query` for the portal's own ghost: what others are shown of the guest.
    pub async fn ghost_keys(&self, portal: &Portal) -> Result<Value, CallFailed> {
        self.counted(
            "keys_query",
            self.as_device(portal)
                .keys_query(&[portal.ghost.as_str()])
                .await,
        )
    }

    /// The answer of `/keys/claim` for devices of the portal's host.
    pub async fn claim_host_keys(
        &self,
        portal: &Portal,
        devices: &[DeviceId],
    ) -> Result<Value, CallFailed> {
        let host = portal.host.as_str();
        let devices: Vec<_> = devices
            .iter()
            .map(|device| (host, device.as_str()))
            .collect();
        self.counted(
            "keys_claim",
            self.as_device(portal).keys_claim(&devices).await,
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

    /// Shows the portal's ghost as typing for so long, or no more.
    pub async fn show_typing(
        &self,
        portal: &Portal,
        room: &RoomId,
        shown_for: Option<Duration>,
    ) -> Result<(), CallFailed> {
        let ghost = self.as_ghost(&portal.ghost);
        self.counted("typing", ghost.typing(room.as_str(), shown_for).await)
    }

    /// Shows the portal's ghost as online.
    pub async fn show_online(&self, portal: &Portal) -> Result<(), CallFailed> {
        let ghost = self.as_ghost(&portal.ghost);
        self.counted("set_presence", ghost.set_online().await)
    }

    /// Whether the homeserver shows the portal's ghost as online.
    pub async fn is_shown_online(&self, portal: &Portal) -> Result<bool, CallFailed> {
        let ghost = self.as_ghost(&portal.ghost);
        self.counted("get_presence", ghost.is_online().await)
    }

    /// Shows that the portal's ghost has read everything up to this event.
    pub async fn show_read(
        &self,
        portal: &Portal,
        room: &RoomId,
        event: &EventId,
    ) -> Result<(), CallFailed> {
        let ghost = self.as_ghost(&portal.ghost);
        let shown = ghost.receipt(room.as_str(), event.as_str()).await;
        self.counted("receipt", shown)
    }

    /// Reads what waits for the portal's ghost and what its room's latest events are. `since`, from
    /// the last answer, acknowledges the to-device events of that answer; without it everything
    /// comes that was never acknowledged.
    pub async fn read_inbox(
        &self,
        portal: &Portal,
        since: Option<&str>,
    ) -> Result<Inbox, CallFailed> {
        let room = portal.room().map(RoomId::as_str);
        let unlike = self.unlike.fetch_add(1, Ordering::Relaxed);
        let read = self
            .as_device(portal)
            .sync_device(since, room, unlike)
            .await;
        let batch = self.counted("sync", read)?;
        skipped(portal, batch.skipped);
        Ok(Inbox {
            to_device: batch.to_device,
            events: batch.events,
            earlier: batch.earlier,
            receipts: batch.receipts,
            next: batch.next_batch,
            counts: Counts {
                // An empty object means zero, and Synapse always sends one.
                one_time_keys: batch.one_time_keys,
                fallback_unused: batch.fallback_unused,
            },
        })
    }

    /// One page of what others wrote in the portal's room before `from`.
    pub async fn read_past(
        &self,
        portal: &Portal,
        room: &RoomId,
        from: &str,
    ) -> Result<Past, CallFailed> {
        let read = self.as_ghost(&portal.ghost).past(room.as_str(), from).await;
        let past = self.counted("messages", read)?;
        skipped(portal, past.skipped);
        Ok(past)
    }

    /// Joins a policy-list room by its id or alias, and reads its state.
    pub async fn read_list(&self, list: &str) -> Result<(RoomId, Vec<StateEvent>), CallFailed> {
        let joined = self.as_bot().join_by_any(list).await;
        let room = RoomId::new(self.counted("join_list", joined)?);
        let state = self.as_bot().get_state(room.as_str()).await;
        let state = self.counted("get_state", state)?;
        Ok((room, state))
    }

    /// The client below, for whoever looks at the homeserver itself and wants the bare answers.
    #[must_use]
    pub fn client(&self) -> &intent::Homeserver {
        &self.client
    }

    /// The base URL.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether any call failed since this was last asked: a homeserver that can't answer may not
    /// have pushed either.
    pub fn take_failure(&self) -> bool {
        self.failed.swap(false, Ordering::Relaxed)
    }

    /// Whether the homeserver is there and knows our token.
    pub async fn is_up(&self) -> Result<(), CallFailed> {
        self.counted("whoami", self.as_bot().whoami().await)
            .map(|_| ())
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
        // To wait as long as it says is no failure of the homeserver's.
        if problem.is_some() && !matches!(&result, Err(error) if error.is_limit()) {
            self.failed.store(true, Ordering::Relaxed);
        }
        self.metrics.call(call, counted);
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
        result.map_err(|source| CallFailed { call, source })
    }
}

/// Says that a homeserver sent what nobody can read.
fn skipped(portal: &Portal, count: usize) {
    if count > 0 {
        tracing::warn!(portal = %portal.id, count, "events that don't read were left out");
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
