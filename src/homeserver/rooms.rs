//! Which rooms the bot is in, and how a room is left that nobody needs.

use serde_json::Value;
use vestibule_bridge::ghost::is_ghost;
use vestibule_bridge::id::{PortalId, RoomId, UserId};

use super::{CallFailed, Homeserver};
use crate::seal;

impl Homeserver {
    /// The rooms that the bot is in.
    pub async fn bot_rooms(&self) -> Result<Vec<RoomId>, CallFailed> {
        let rooms = self.counted("joined_rooms", self.as_bot().joined_rooms().await)?;
        Ok(rooms.into_iter().map(RoomId::new).collect())
    }

    /// The portal for which the bot made this room; none when it made it for none, or is not in it.
    pub async fn portal_of(&self, room: &RoomId) -> Result<Option<PortalId>, CallFailed> {
        let create = self
            .as_bot()
            .get_state_event(room.as_str(), "m.room.create", "")
            .await;
        match self.counted("get_state", create) {
            Ok(create) => {
                let marker = create.get(seal::MARKER).and_then(Value::as_str);
                Ok(marker.and_then(PortalId::parse))
            }
            // A room that the bot was just put out of can't be one it made.
            Err(failed) if failed.errcode().is_some() => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// Takes all ghosts and then the bot out of a room.
    pub async fn abandon(&self, room: &RoomId, server_name: &str) -> Result<(), CallFailed> {
        let state = self.room_state(self.as_bot(), room).await?;
        let ghosts = state.iter().filter(|event| {
            let membership = event.content.get("membership").and_then(Value::as_str);
            event.event_type == "m.room.member" && matches!(membership, Some("join" | "invite"))
        });
        let ghosts = ghosts.map(|event| UserId::new(event.state_key.as_str()));
        for ghost in ghosts.filter(|user| is_ghost(user, server_name)) {
            self.leave(&ghost, room).await?;
        }
        self.leave(&self.bot, room).await
    }

    /// Whoever is refused this is out already, or can't be helped.
    async fn leave(&self, user: &UserId, room: &RoomId) -> Result<(), CallFailed> {
        let left = self.as_ghost(user).leave(room.as_str(), None).await;
        match self.counted("leave_orphan", left) {
            Err(failed) if failed.errcode().is_none() => Err(failed),
            _ => Ok(()),
        }
    }
}
