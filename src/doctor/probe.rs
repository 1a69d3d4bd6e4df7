//! Looks out for one to-device event that the doctor sent to a device of its own: whether the
//! homeserver pushes such, and what stands beside it.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use vestibule_appservice::http::{HandlerError, HandlerFuture, TransactionHandler};
use vestibule_appservice::transaction::{ToDevice, Transaction};

/// The type of the event.
pub const EVENT: &str = "org.vestibule.doctor";

/// What has been pushed since the doctor looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// The marker of the last event of the doctor's.
    pub marker: Option<String>,
    /// Whether there were counts of one-time keys beside it.
    pub counts: bool,
    /// How many transactions came.
    pub transactions: u64,
    /// Whether one of them was refused. Synapse then believes the bridge to be down, and brings room
    /// events only.
    pub refused: bool,
}

/// Sees every transaction.
#[derive(Debug)]
pub struct Probe(watch::Sender<Pushed>);

impl Default for Probe {
    fn default() -> Self {
        Self(watch::Sender::new(Pushed::default()))
    }
}

impl Probe {
    /// Looks at a transaction.
    pub fn note(&self, transaction: &Transaction) {
        let event = transaction
            .to_device
            .iter()
            .rfind(|event| event.event_type == EVENT);
        let marker = event.and_then(|event| event.content.get("marker"));
        self.0.send_modify(|pushed| {
            pushed.transactions = pushed.transactions.saturating_add(1);
            if let Some(marker) = marker.and_then(Value::as_str) {
                pushed.marker = Some(marker.to_owned());
                pushed.counts = !transaction.one_time_keys.is_empty();
            }
        });
    }

    /// What was pushed so far.
    pub fn pushed(&self) -> Pushed {
        self.0.borrow().clone()
    }

    /// Waits so long for the event with this marker, and gives what was pushed by then.
    pub async fn wait(&self, marker: &str, patience: Duration) -> Pushed {
        let mut seen = self.0.subscribe();
        let came = seen.wait_for(|pushed| pushed.marker.as_deref() == Some(marker));
        // Too late, or never: what is there by then tells the same.
        let _late = tokio::time::timeout(patience, came).await;
        self.pushed()
    }
}

/// In the place of a bridge that doesn't run. Whatever a bridge would have to store is refused, so that
/// it comes again; what is of the moment, as news of the doctor's own device, is taken.
impl TransactionHandler for Probe {
    fn handle(&self, transaction: Transaction) -> HandlerFuture<'_> {
        self.note(&transaction);
        let own = |event: &ToDevice| event.event_type == EVENT;
        let of_the_moment = transaction.events.is_empty() && transaction.to_device.iter().all(own);
        let answer = if of_the_moment {
            Ok(())
        } else {
            self.0.send_modify(|pushed| pushed.refused = true);
            Err(HandlerError::Unavailable)
        };
        Box::pin(std::future::ready(answer))
    }
}
