//! Whether a room is as it must be, and setting right what of a ghost somebody else changed.

use serde_json::Value;
use vestibule_bridge::effect::InRoom;
use vestibule_bridge::guest::GuestName;
use vestibule_bridge::id::{RoomId, UserId};
use vestibule_bridge::input::{Input, Outcome};
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

    /// Reads a room's whole state as its ghost and compares it with what it must be.
    pub(super) async fn verify_seal(&self, step: &InRoom) -> Result<Outcome, CallFailed> {
        let state = match self
            .room_state(self.as_ghost(&step.ghost), &step.room)
            .await
        {
            Err(failed) if failed.errcode().is_some() && self.may_act_as(&step.ghost).await? => {
                tracing::warn!(portal = %step.portal, "a ghost is not in its room any more");
                return Ok(Outcome::NotThere);
            }
            state => state?,
        };
        Ok(match seal::verify(&state, step, &self.bot) {
            Ok(host_joined) => Outcome::Sealed { host_joined },
            Err(seal::THIRD_PARTY) => Outcome::ThirdParty,
            Err(broken) => {
                tracing::error!(portal = %step.portal, broken = broken.0, "a room is not sealed and will not be used");
                Outcome::SealBroken
            }
        })
    }

    /// Whether the homeserver lets us act as this ghost at all. If it doesn't, what it refuses says
    /// nothing about the ghost: the registration may have been changed.
    async fn may_act_as(&self, ghost: &UserId) -> Result<bool, CallFailed> {
        match self.counted("whoami", self.as_ghost(ghost).whoami().await) {
            Ok(_) => Ok(true),
            Err(failed) if failed.errcode().is_some() => Ok(false),
            Err(failed) => Err(failed),
        }
    }

    /// Gives the ghost its name back, and takes its picture away.
    pub(super) async fn restore_profile(
        &self,
        name: &'static str,
        ghost: &UserId,
        guest: &GuestName,
    ) -> Result<Outcome, CallFailed> {
        let ghost = self.as_ghost(ghost);
        let labelled = guest.labelled();
        self.counted(name, ghost.set_display_name(&labelled).await)?;
        self.counted(name, ghost.clear_avatar().await)?;
        Ok(Outcome::Done)
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
