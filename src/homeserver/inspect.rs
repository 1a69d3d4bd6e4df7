//! Whether an open room still is as it must be, where no event told of a change.

use serde_json::Value;
use vestibule_bridge::effect::InRoom;
use vestibule_bridge::id::RoomId;
use vestibule_bridge::input::Input;
use vestibule_bridge::portal::Portal;

use super::{CallFailed, Homeserver};
use crate::seal::{self, StateEvent};

impl Homeserver {
    /// Reads a room's state as its ghost; gives what the domain should be told of it. Whether a seal
    /// is broken is decided by another reading, in the chat's own order of things.
    pub async fn inspect(
        &self,
        portal: &Portal,
        room: &RoomId,
    ) -> Result<Option<Input>, CallFailed> {
        let doubted = Input::Doubted { portal: portal.id };
        let state = match self.room_state(self.as_ghost(&portal.ghost), room).await {
            Err(failed) if failed.is_refused() => return Ok(Some(doubted)),
            state => state?,
        };
        let step = InRoom {
            portal: portal.id,
            room: room.clone(),
            ghost: portal.ghost.clone(),
            host: portal.host.clone(),
        };
        if seal::verify(&state, &step, &self.bot).is_err() {
            return Ok(Some(doubted));
        }
        let member = state.iter().find(|event| {
            event.event_type == "m.room.member" && event.state_key == portal.ghost.as_str()
        });
        Ok(member.map(|member| shown(portal, member)))
    }
}

fn shown(portal: &Portal, member: &StateEvent) -> Input {
    let (name, pictured) = profile(&member.content);
    Input::GhostShown {
        ghost: portal.ghost.clone(),
        name,
        pictured,
    }
}

/// The display name that stands in an `m.room.member`, and whether there is a picture.
pub fn profile(content: &Value) -> (Option<String>, bool) {
    let text = |field: &str| content.get(field).and_then(Value::as_str);
    let pictured = text("avatar_url").is_some_and(|url| !url.is_empty());
    (text("displayname").map(str::to_owned), pictured)
}
