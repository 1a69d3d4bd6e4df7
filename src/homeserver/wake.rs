//! Synapse that was restarted pushes nothing, neither what it holds back nor what is new for a
//! device, until the next *room event* of the application service; a ping doesn't help. So the bot
//! has a room of its own in which it makes one.

use serde_json::{Value, json};

use super::{CallFailed, Homeserver};

/// The type of the event, and of the account data that names the room.
const WAKE: &str = "org.vestibule.wake";

impl Homeserver {
    /// Causes one room event of the bot, which nobody else sees. `transaction` is a new id.
    pub async fn wake(&self, transaction: &str) -> Result<(), CallFailed> {
        let known = self.counted("account_data", self.as_bot().account_data(WAKE).await)?;
        let room = known.as_ref().and_then(|known| known.get("room_id"));
        if let Some(room) = room.and_then(Value::as_str) {
            match self.wake_in(room, transaction).await {
                // An admin may have closed the room.
                Err(failed) if failed.is_refused() => {}
                done => return done,
            }
        }
        // Making a room causes events too.
        let body = json!({
            "preset": "private_chat",
            "visibility": "private",
            "name": "Vestibule: wakes the homeserver",
            "creation_content": { "m.federate": false },
        });
        let room = self.counted("create_room", self.as_bot().create_room(&body).await)?;
        let data = json!({ "room_id": room });
        self.counted(
            "set_account_data",
            self.as_bot().set_account_data(WAKE, &data).await,
        )
    }

    async fn wake_in(&self, room: &str, transaction: &str) -> Result<(), CallFailed> {
        let sent = self
            .as_bot()
            .send_event(room, WAKE, transaction, &json!({}))
            .await;
        self.counted("wake", sent).map(|_| ())
    }
}
