//! The truth path of the bot's device: its inbox is read as those of ghosts are (`catchup.rs`), for
//! the same reasons and by the same rules. What came both ways is recognised by the machine.
//!
//! Synapse lets nobody read the inbox of the application service's own user: its `/sync` fails for it
//! on purpose (element-hq/synapse, `handlers/sync.py`, "We no longer support AS users using /sync").
//! There a room key that was not pushed is lost, and a client that has shared a session once doesn't
//! share it again with the same device. So the bot puts up another device then, and asks its host to
//! write once more: clients share the session with a device that is new.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use vestibule_bridge::input;

use super::{Bot, BotError, Unread, Work};
use crate::catchup::Counts;
use vestibule_bridge::input::Came;

/// How long a message that can't be read waits for its key, until its author is told.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the inbox is read though nothing speaks for it.
const PERIOD: Duration = Duration::from_secs(5 * 60);

impl Bot {
    /// Reads the device's inbox to its end, if the homeserver lets it, and carries out what can be
    /// read then.
    pub async fn catch_up(self: &Arc<Self>) -> Result<(), BotError> {
        if !self.is_ready() {
            return Ok(());
        }
        match self.read_inbox().await {
            Err(BotError::Call(failed)) if failed.is_unsupported() => {
                if self.has_inbox.swap(false, Ordering::AcqRel) {
                    tracing::info!(
                        "the homeserver lets nobody read the bot's inbox: what it doesn't push is lost"
                    );
                }
            }
            read => read?,
        }
        self.refresh().await?;
        self.heal().await
    }

    async fn read_inbox(&self) -> Result<(), BotError> {
        let _alone = self.reading.lock().await;
        let device = self.state().await?.device;
        let mut since: Option<String> = None;
        let counts: Counts = loop {
            let inbox = self
                .homeserver
                .read_bot_inbox(&device, since.as_deref())
                .await?;
            let more = !inbox.to_device.is_empty();
            self.work(|machine, now| {
                let mut records = vestibule_crypto::Changes::default();
                let mut items = Vec::new();
                for event in &inbox.to_device {
                    let event = json!({
                        "type": event.event_type, "sender": event.sender, "content": event.content,
                    });
                    let step = machine.receive_to_device(&event, now)?;
                    records.merge(step.changes);
                    items.extend(step.output.items);
                }
                for user in &inbox.changed {
                    records.merge(machine.keys_changed(user)?.changes);
                }
                Ok(Work {
                    records,
                    inputs: self.inputs(items, Came::Late),
                    ..Work::of(())
                })
            })
            .await?;
            since = Some(inbox.next);
            if !more {
                break inbox.counts;
            }
        };
        self.has_inbox.store(true, Ordering::Release);
        self.refill(counts).await
    }

    /// Looks for the keys of messages that can't be read, and tells their authors if there are none.
    pub(super) fn look_for_keys(self: &Arc<Self>, messages: Vec<Unread>) {
        self.beside("look for keys", |bot| async move {
            bot.catch_up_if_possible().await?;
            let still = |unread: &Unread| messages.iter().any(|m| m.event == unread.event);
            if bot.unread(still, true).is_empty() {
                return Ok(());
            }
            tokio::time::sleep(PATIENCE).await;
            bot.catch_up_if_possible().await?;
            let lost = bot.unread(still, true);
            if lost.is_empty() {
                return Ok(());
            }
            bot.renew().await?;
            bot.tell_unread(lost, input::Unread::NoKey).await
        });
    }

    async fn catch_up_if_possible(self: &Arc<Self>) -> Result<(), BotError> {
        if self.has_inbox.load(Ordering::Acquire) {
            self.catch_up().await
        } else {
            Ok(())
        }
    }

    /// Reads the inbox now and then, until the program ends.
    pub async fn rounds(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PERIOD).await;
            if let Err(error) = self.catch_up_if_possible().await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the bot's inbox could not be read");
            }
        }
    }
}
