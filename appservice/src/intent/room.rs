//! Rooms: made, entered, left, and their state. Source: client-server API, "Rooms" and "Getting
//! events for a room".

use std::collections::BTreeMap;

use ruma::api::client::membership::{
    join_room_by_id, join_room_by_id_or_alias, joined_members, joined_rooms, leave_room,
};
use ruma::api::client::room::create_room;
use ruma::api::client::state::{get_state_event_for_key, get_state_events, send_state_event};
use ruma::serde::Raw;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::event::Sent;
use super::{Done, Intent, id_in_path, in_path};
use crate::error::CallError;

/// One event of a room's state. `content` is as the homeserver has it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct StateEvent {
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its state key.
    pub state_key: String,
    /// Who set it.
    pub sender: String,
    /// Its content.
    pub content: Value,
}

#[derive(Deserialize)]
struct Room {
    room_id: String,
}

#[derive(Deserialize)]
struct Rooms {
    joined_rooms: Vec<String>,
}

#[derive(Deserialize)]
struct Members {
    joined: BTreeMap<String, Member>,
}

#[derive(Deserialize)]
struct Member {
    display_name: Option<String>,
}

impl Intent<'_> {
    /// Makes a room by this body of `POST /createRoom`, and gives its id. There is no transaction
    /// id for this: repeated, it makes another room.
    pub async fn create_room(&self, body: &Value) -> Result<String, CallError> {
        let room: Room = self.ask_with(create_room::v3::Request::new(), body).await?;
        Ok(room.room_id)
    }

    /// Joins a room; to be in it already is fine.
    pub async fn join(&self, room: &str) -> Result<(), CallError> {
        let _joined: Done = self
            .ask(join_room_by_id::v3::Request::new(id_in_path(
                "room id", room,
            )?))
            .await?;
        Ok(())
    }

    /// Joins a room by its id or one of its aliases, and gives its id; to be in it already is fine.
    pub async fn join_by_any(&self, room: &str) -> Result<String, CallError> {
        let room = id_in_path("room id or alias", room)?;
        let request = join_room_by_id_or_alias::v3::Request::new(room);
        let joined: Room = self.ask(request).await?;
        Ok(joined.room_id)
    }

    /// Leaves a room or declines an invitation, with words for the others if given.
    pub async fn leave(&self, room: &str, reason: Option<&str>) -> Result<(), CallError> {
        let mut request = leave_room::v3::Request::new(id_in_path("room id", room)?);
        request.reason = reason.map(str::to_owned);
        let _left: Done = self.ask(request).await?;
        Ok(())
    }

    /// The rooms the user is in.
    pub async fn joined_rooms(&self) -> Result<Vec<String>, CallError> {
        let rooms: Rooms = self.ask(joined_rooms::v3::Request::new()).await?;
        Ok(rooms.joined_rooms)
    }

    /// Who is in a room, each with their display name if they have one.
    pub async fn joined_members(
        &self,
        room: &str,
    ) -> Result<BTreeMap<String, Option<String>>, CallError> {
        let members: Members = self
            .ask(joined_members::v3::Request::new(id_in_path(
                "room id", room,
            )?))
            .await?;
        Ok(members
            .joined
            .into_iter()
            .map(|(user, member)| (user, member.display_name))
            .collect())
    }

    /// The whole state of a room. One event that doesn't read makes the whole answer unreadable:
    /// whoever judges a room by its state must have seen all of it.
    pub async fn get_state(&self, room: &str) -> Result<Vec<StateEvent>, CallError> {
        self.ask(get_state_events::v3::Request::new(id_in_path(
            "room id", room,
        )?))
        .await
    }

    /// The content of one state event.
    pub async fn get_state_event(
        &self,
        room: &str,
        event_type: &str,
        state_key: &str,
    ) -> Result<Value, CallError> {
        let request = get_state_event_for_key::v3::Request::new(
            id_in_path("room id", room)?,
            in_path("event type", event_type)?.into(),
            in_path("state key", state_key)?,
        );
        self.ask::<Map<String, Value>, _>(request)
            .await
            .map(Value::Object)
    }

    /// Sets a state event, an invitation for example, and gives its event id. The same content
    /// again changes nothing.
    pub async fn put_state(
        &self,
        room: &str,
        event_type: &str,
        state_key: &str,
        content: &Value,
    ) -> Result<String, CallError> {
        let unused = Raw::new(&json!({})).map_err(|_| CallError::Unsendable { what: "content" })?;
        let request = send_state_event::v3::Request::new_raw(
            id_in_path("room id", room)?,
            in_path("event type", event_type)?.into(),
            in_path("state key", state_key)?,
            unused.cast_unchecked(),
        );
        let sent: Sent = self.ask_with(request, content).await?;
        Ok(sent.event_id)
    }
}
