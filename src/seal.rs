//! The sealed room: how it is asked for, and whether what the homeserver made of it holds.
//!
//! Nobody may bring in a third person, call, or change the room. Power levels do that, once nobody
//! is left who could change them: in room version 12 the creator stands above all levels while in
//! the room, so the bot creates, lets the ghost in, and leaves; the ghost invites the host and
//! gives up its power. `m.room.message` stays at 0 because some clients show their composer by it,
//! also in encrypted rooms.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vestibule_bridge::effect::InRoom;
use vestibule_bridge::id::{PortalId, UserId};

/// Where the portal's id stands in `m.room.create`, so that a room is found again whose making
/// was not answered.
pub const MARKER: &str = "org.vestibule.portal";

/// What the host reads with the invitation.
pub const INVITE_REASON: &str = "Opened your guest link";

const HOST_POWER: i64 = 50;
const NOBODY: i64 = 100;

/// The body of `POST /createRoom`.
#[must_use]
pub fn create_room(portal: PortalId, host: &UserId, ghost: &UserId) -> Value {
    json!({
        "room_version": "12",
        "preset": "private_chat",
        "visibility": "private",
        "is_direct": true,
        "invite": [ghost],
        "creation_content": { "m.federate": true, MARKER: portal },
        "initial_state": [
            { "type": "m.room.encryption", "state_key": "", "content": { "algorithm": "m.megolm.v1.aes-sha2" } },
            { "type": "m.room.history_visibility", "state_key": "", "content": { "history_visibility": "invited" } },
            { "type": "m.room.guest_access", "state_key": "", "content": { "guest_access": "forbidden" } },
        ],
        "power_level_content_override": levels(&json!({ host.as_str(): HOST_POWER, ghost.as_str(): NOBODY })),
    })
}

/// The power levels, with these of the users.
fn levels(users: &Value) -> Value {
    json!({
        "users": users,
        "users_default": 0,
        "events_default": NOBODY,
        "state_default": NOBODY,
        "invite": NOBODY,
        "kick": HOST_POWER,
        "ban": HOST_POWER,
        "redact": HOST_POWER,
        "notifications": { "room": NOBODY },
        "events": { "m.room.encrypted": 0, "m.room.message": 0, "m.room.redaction": 0 },
    })
}

/// The power levels in which the ghost has given up its own.
#[must_use]
pub fn without_power(stored: Value, host: &UserId) -> Value {
    let users = json!({ host.as_str(): HOST_POWER });
    match stored {
        Value::Object(mut power) => {
            power.insert("users".to_owned(), users);
            Value::Object(power)
        }
        _ => levels(&users),
    }
}

/// One state event, as `GET /rooms/{id}/state` gives it.
#[derive(Clone, Debug)]
pub struct StateEvent {
    /// Its type.
    pub event_type: String,
    /// Its state key.
    pub state_key: String,
    /// Who set it.
    pub sender: String,
    /// Its content.
    pub content: Value,
}

/// What of the state is not as it must be. Each names the thing, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken(pub &'static str);

/// Somebody besides host and ghost is there, or invited, or asks to be let in.
pub const THIRD_PARTY: Broken = Broken("somebody else is in the room");

/// Compares the whole state of the room with what it must be. Gives whether the host has joined.
pub fn verify(state: &[StateEvent], step: &InRoom, bot: &UserId) -> Result<bool, Broken> {
    let by_key: BTreeMap<(&str, &str), &StateEvent> = state
        .iter()
        .map(|event| ((event.event_type.as_str(), event.state_key.as_str()), event))
        .collect();
    let single = |event_type: &'static str| {
        by_key
            .get(&(event_type, ""))
            .copied()
            .ok_or(Broken(event_type))
    };

    let create = single("m.room.create")?;
    let sole_creator = create
        .content
        .get("additional_creators")
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty);
    let version = create.content.get("room_version").and_then(Value::as_str);
    if create.sender != bot.as_str() || !sole_creator || version != Some("12") {
        return Err(Broken("m.room.create"));
    }
    let says = |event_type, field, value| -> Result<(), Broken> {
        let found = single(event_type)?
            .content
            .get(field)
            .and_then(Value::as_str)
            == Some(value);
        if found {
            Ok(())
        } else {
            Err(Broken(event_type))
        }
    };
    says("m.room.encryption", "algorithm", "m.megolm.v1.aes-sha2")?;
    says("m.room.history_visibility", "history_visibility", "invited")?;
    says("m.room.guest_access", "guest_access", "forbidden")?;
    says("m.room.join_rules", "join_rule", "invite")?;
    verify_power(&single("m.room.power_levels")?.content, &step.host)?;
    if by_key.contains_key(&("m.room.tombstone", "")) {
        return Err(Broken("m.room.tombstone"));
    }
    verify_members(state, step, bot)
}

fn verify_power(power: &Value, host: &UserId) -> Result<(), Broken> {
    let broken = Broken("m.room.power_levels");
    let expected = levels(&json!({ host.as_str(): HOST_POWER }));
    // Every level we ask for must be there as asked; whatever else the server adds must be as high
    // as the rest, so that it opens nothing.
    let expected = expected.as_object().ok_or(broken)?;
    let found = power.as_object().ok_or(broken)?;
    if expected
        .iter()
        .any(|(name, level)| found.get(name) != Some(level))
    {
        return Err(broken);
    }
    let harmless = |(name, level): (&String, &Value)| {
        expected.contains_key(name) || level.as_i64().is_some_and(|level| level >= NOBODY)
    };
    if found.iter().all(harmless) {
        Ok(())
    } else {
        Err(broken)
    }
}

fn verify_members(state: &[StateEvent], step: &InRoom, bot: &UserId) -> Result<bool, Broken> {
    let broken = Broken("m.room.member");
    let mut ghost_joined = false;
    let mut host_joined = false;
    for event in state
        .iter()
        .filter(|event| event.event_type == "m.room.member")
    {
        let membership = event
            .content
            .get("membership")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let present = matches!(membership, "join" | "invite" | "knock");
        match event.state_key.as_str() {
            key if key == step.ghost.as_str() => ghost_joined = membership == "join",
            key if key == step.host.as_str() => host_joined = membership == "join",
            key if key == bot.as_str() && present => {
                return Err(Broken("the bot is still in the room"));
            }
            _ if present => return Err(THIRD_PARTY),
            _ => {}
        }
    }
    if ghost_joined {
        Ok(host_joined)
    } else {
        Err(broken)
    }
}

#[cfg(test)]
mod tests;
