//! The bot's own device: one crypto machine, whose rows are in the store and which is here only a
//! cache of them. Whatever it does goes into one commit with what it belongs to, and only after that
//! commit is anything sent or answered. When a commit fails the machine is opened anew from its rows.

mod attachment;
mod device;
mod inbound;
mod inbox;
mod keys;
mod outbound;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use tokio::sync::{Mutex, OwnedMutexGuard};
use vestibule_bridge::bot_record::BotRecord;
use vestibule_bridge::effect::Effect;
use vestibule_bridge::id::{EffectId, EventId, RoomId, UserId};
use vestibule_bridge::input::{Came, Input, RoomEvent, RoomEventKind};
use vestibule_bridge::policy::Policy;
use vestibule_bridge::store::{Change, Changes, StoreError};
use vestibule_bridge::time::Timestamp;
use vestibule_crypto::{AnewError, CryptoError, Item, Machine, OpenError, TextKind};

use crate::clock::Clock;
use crate::drive::{DriveError, Driver};
use crate::homeserver::{BotState, CallFailed, Homeserver};
use crate::store::RocksStore;
use crate::tasks::Tasks;

pub use device::Standing;
pub use inbound::Read;
pub use outbound::{Unsaid, Voice};

/// How many messages are remembered that can't be read yet; the oldest gives way.
const UNREAD: usize = 200;

/// Why the bot's device could not do something.
#[derive(Debug, thiserror::Error)]
pub enum BotError {
    /// The rows can't be read.
    #[error("the rows of the bot's device can't be read")]
    Store(#[from] StoreError),
    /// What it did can't be stored.
    #[error("what the bot's device did can't be stored")]
    Drive(#[from] DriveError),
    /// The machine refused.
    #[error("the bot's device refused")]
    Crypto(#[from] CryptoError),
    /// The rows make no machine.
    #[error("the rows of the bot's device make no device")]
    Open(#[from] OpenError),
    /// The rows make no other machine.
    #[error("no other device could be made for the bot")]
    Anew(#[from] AnewError),
    /// The homeserver.
    #[error(transparent)]
    Call(#[from] CallFailed),
    /// The keys can't be written as JSON.
    #[error("the keys of the bot's device can't be written down")]
    Json(#[from] serde_json::Error),
    /// The operating system has no randomness.
    #[error("the operating system gave no randomness")]
    Random(#[from] rand::rngs::SysError),
    /// A picture can't be drawn.
    #[error("a picture can't be drawn")]
    Picture(#[from] crate::qr::QrError),
    /// The program stops.
    #[error("the bridge is stopping")]
    Stopping,
}

/// A message that the device can't read yet.
#[derive(Clone)]
struct Unread {
    room: RoomId,
    event: EventId,
    sender: UserId,
    at: Timestamp,
    session: String,
}

/// The bot's device.
pub struct Bot {
    homeserver: Arc<Homeserver>,
    driver: Driver,
    store: Arc<RocksStore>,
    policy: Arc<Policy>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    /// Empty until it is needed, and after a commit that failed.
    machine: Arc<Mutex<Option<Machine>>>,
    /// Held while the device is put up at the homeserver.
    setting_up: Mutex<()>,
    /// Held while the inbox is read.
    reading: Mutex<()>,
    /// Held while new keys are made and uploaded.
    filling: Mutex<()>,
    /// Held while new sessions are begun with devices that can't be read.
    healing: Mutex<()>,
    /// What the homeserver keeps of how far the device is.
    told: Mutex<Option<BotState>>,
    /// Whether the device stands at the homeserver, and is no older than it was there.
    ready: AtomicBool,
    /// Whether the homeserver lets the bot read its inbox. Synapse doesn't: what its push path loses is
    /// lost there.
    has_inbox: AtomicBool,
    /// When the device was given up because of a key that did not come.
    renewed_at: std::sync::Mutex<Option<Timestamp>>,
    unread: std::sync::Mutex<VecDeque<Unread>>,
}

/// What a step of the machine gave, and all that is stored with it.
struct Work<T> {
    records: vestibule_crypto::Changes,
    also: Vec<Change>,
    inputs: Vec<Input>,
    transaction: Option<String>,
    output: T,
}

impl<T> Work<T> {
    fn of(output: T) -> Self {
        Self {
            records: vestibule_crypto::Changes::default(),
            also: Vec::new(),
            inputs: Vec::new(),
            transaction: None,
            output,
        }
    }

    /// The same work, of which something else comes out.
    fn map<U>(self, other: impl FnOnce(T) -> U) -> Work<U> {
        Work {
            records: self.records,
            also: self.also,
            inputs: self.inputs,
            transaction: self.transaction,
            output: other(self.output),
        }
    }
}

impl<T> From<vestibule_crypto::Step<T>> for Work<T> {
    fn from(step: vestibule_crypto::Step<T>) -> Self {
        Self {
            records: step.changes,
            ..Self::of(step.output)
        }
    }
}

impl Bot {
    /// The bot of this bridge.
    #[must_use]
    pub fn new(
        homeserver: Arc<Homeserver>,
        driver: Driver,
        store: Arc<RocksStore>,
        policy: Arc<Policy>,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
    ) -> Self {
        Self {
            homeserver,
            driver,
            store,
            policy,
            clock,
            tasks,
            machine: Arc::default(),
            setting_up: Mutex::default(),
            reading: Mutex::default(),
            filling: Mutex::default(),
            healing: Mutex::default(),
            told: Mutex::default(),
            ready: AtomicBool::new(false),
            has_inbox: AtomicBool::new(true),
            renewed_at: std::sync::Mutex::default(),
            unread: std::sync::Mutex::default(),
        }
    }

    /// Whether its device stands at the homeserver.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// One step of the machine, and the commit that holds it.
    ///
    /// Whoever waits for this may be dropped at any time: between the step and its commit nothing is
    /// waited for, and the commit goes on by itself.
    async fn work<T>(
        &self,
        step: impl FnOnce(&mut Machine, u64) -> Result<Work<T>, BotError>,
    ) -> Result<T, BotError> {
        let mut slot = Arc::clone(&self.machine).lock_owned().await;
        let now = self.clock.now().0;
        let machine = self.opened(&mut slot).await?;
        match step(machine, now) {
            Ok(work) => self.commit(slot, work).await,
            Err(error) => {
                // What a part of the step changed must not leave with the next one.
                *slot = None;
                Err(error)
            }
        }
    }

    async fn commit<T>(
        &self,
        mut slot: OwnedMutexGuard<Option<Machine>>,
        work: Work<T>,
    ) -> Result<T, BotError> {
        let own = own(&work.records, work.also);
        if own.is_empty() && work.inputs.is_empty() && work.transaction.is_none() {
            return Ok(work.output);
        }
        let driver = self.driver.clone();
        let (inputs, transaction) = (work.inputs, work.transaction);
        let stored = tokio::spawn(async move {
            let stored = driver.submit_with(own, inputs, transaction).await;
            if stored.is_err() {
                *slot = None;
            }
            stored
        });
        stored.await.map_err(|_| BotError::Stopping)??;
        Ok(work.output)
    }

    fn remember(&self, unread: Unread) {
        let mut known = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.event != unread.event);
        known.push_back(unread);
        if known.len() > UNREAD {
            known.pop_front();
        }
    }

    /// Those of which that is so, and whether they are to be remembered any longer.
    fn unread(&self, so: impl Fn(&Unread) -> bool, keep: bool) -> Vec<Unread> {
        let mut known = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().filter(|unread| so(unread)).cloned().collect();
        if !keep {
            known.retain(|unread| !so(unread));
        }
        found
    }

    /// What became readable, as inputs.
    fn inputs(&self, items: Vec<Item>, came: Came) -> Vec<Input> {
        let mut inputs = Vec::new();
        for item in items {
            if let Some(event) = message(item, came) {
                self.unread(|unread| unread.event == event.event_id, false);
                inputs.push(Input::Room(event));
            }
        }
        inputs
    }
}

/// The rows that a step changed, and what else goes with them.
fn own(records: &vestibule_crypto::Changes, also: Vec<Change>) -> Changes {
    let rows = records.iter().map(|(key, record)| match record {
        Some(record) => put(key, record.to_vec()),
        None => Change::DeleteBotRecord(key.to_owned()),
    });
    Changes(also.into_iter().chain(rows).collect())
}

fn put(key: &str, record: Vec<u8>) -> Change {
    Change::PutBotRecord {
        key: key.to_owned(),
        record: BotRecord(record),
    }
}

/// The rows of a machine, for it to be opened.
fn records(rows: BTreeMap<String, BotRecord>) -> impl Iterator<Item = (String, Vec<u8>)> {
    rows.into_iter()
        .map(|(key, record)| (key, record.0.clone()))
}

/// A text as the domain knows it; none of what is no text.
fn message(item: Item, came: Came) -> Option<RoomEvent> {
    let Item::Text {
        room_id,
        event_id,
        sender,
        ts,
        text_kind,
        body,
        reply_to,
        thread,
    } = item
    else {
        return None;
    };
    let msgtype = match text_kind {
        TextKind::Text => "m.text",
        TextKind::Emote => "m.emote",
        TextKind::Notice => "m.notice",
    };
    Some(RoomEvent {
        room: RoomId::new(room_id),
        event_id: EventId::new(event_id),
        sender: UserId::new(sender),
        at: Timestamp(ts),
        kind: RoomEventKind::Message {
            msgtype: msgtype.to_owned(),
            body,
            related: reply_to.is_some() || thread.is_some(),
            came,
        },
    })
}

/// In the place of what the bot says: the same, encrypted.
fn sealed(id: EffectId, room: &RoomId, contents: Vec<serde_json::Value>) -> (Change, Effect) {
    let effect = Effect::SendEncrypted {
        room: room.clone(),
        contents,
    };
    let change = Change::PutEffect {
        id,
        effect: effect.clone(),
    };
    (change, effect)
}
