//! The truth path of the bot's device: its inbox is read as those of ghosts are (`catchup.rs`), for
//! the same reasons and by the same rules. What came both ways is recognised by the machine.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use vestibule_bridge::input;

use super::{Bot, BotError, Unread, Work};
use crate::catchup::Counts;
use vestibule_bridge::input::Came;

/// How long a message that can't be read waits for its key, until its author is told.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often the inbox is read though nothing speaks for it.
const PERIOD: Duration = Duration::from_secs(5 * 60);

impl Bot {
    /// Reads the device's inbox to its end, and carries out what can be read then.
    pub async fn catch_up(self: &Arc<Self>) -> Result<(), BotError> {
        if !self.is_ready() {
            return Ok(());
        }
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
        self.refresh().await?;
        self.heal().await?;
        self.refill(counts).await
    }

    /// Looks for the keys of messages that can't be read, and tells their authors if there are none.
    pub(super) fn look_for_keys(self: &Arc<Self>, messages: Vec<Unread>) {
        self.beside("look for keys", |bot| async move {
            bot.catch_up().await?;
            tokio::time::sleep(PATIENCE).await;
            let still = |unread: &Unread| messages.iter().any(|m| m.event == unread.event);
            if bot.unread(still, true).is_empty() {
                return Ok(());
            }
            bot.catch_up().await?;
            let lost = bot.unread(still, true);
            bot.tell_unread(lost, input::Unread::NoKey).await
        });
    }

    /// Reads the inbox now and then, until the program ends.
    pub async fn rounds(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PERIOD).await;
            if let Err(error) = self.catch_up().await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the bot's inbox could not be read");
            }
        }
    }
}
