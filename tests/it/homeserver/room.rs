//! A room of version 12: state, power and membership, as far as the sealed room needs them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::bridge::BEGINNING;

use super::state::{Answer, BOT, GHOSTS, Refused, State, User};

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    pub event_id: String,
    pub event_type: String,
    pub state_key: Option<String>,
    pub sender: String,
    pub content: Value,
    /// Milliseconds since the epoch.
    pub at: u64,
    pub redacts: Option<String>,
}

impl Event {
    pub fn to_json(&self, room: &str) -> Value {
        let mut json = json!({
            "type": self.event_type, "event_id": self.event_id, "sender": self.sender, "room_id": room,
            "origin_server_ts": self.at, "content": self.content, "unsigned": {},
        });
        if let Some(key) = &self.state_key {
            json["state_key"] = json!(key);
        }
        if let Some(redacts) = &self.redacts {
            json["redacts"] = json!(redacts);
        }
        json
    }
}

/// One room.
#[derive(Clone, Debug, Default)]
pub struct Room {
    pub state: BTreeMap<(String, String), Event>,
    pub timeline: Vec<Event>,
    /// Who is typing.
    pub typing: BTreeSet<String>,
    /// How far each has read: the event, and when.
    pub receipts: BTreeMap<String, (String, u64)>,
    /// Event ids by sender and the path of a sending.
    sent: BTreeMap<(String, String), String>,
}

impl Room {
    pub fn content(&self, event_type: &str, key: &str) -> Option<&Value> {
        self.state
            .get(&(event_type.to_owned(), key.to_owned()))
            .map(|event| &event.content)
    }

    /// Changes a state event as no client could.
    pub fn forge(&mut self, event_type: &str, key: &str, content: Value) {
        let place = (event_type.to_owned(), key.to_owned());
        let forged = Event {
            event_id: format!("$forged_{event_type}_{key}"),
            event_type: event_type.to_owned(),
            state_key: Some(key.to_owned()),
            sender: "@evil:example.org".to_owned(),
            content: Value::Null,
            at: 0,
            redacts: None,
        };
        self.state.entry(place).or_insert(forged).content = content;
    }

    pub fn membership(&self, user: &str) -> &str {
        self.content("m.room.member", user)
            .and_then(|content| content["membership"].as_str())
            .unwrap_or("leave")
    }

    /// Users with this membership.
    pub fn members(&self, membership: &str) -> Vec<String> {
        let members = self
            .state
            .keys()
            .filter(|(event_type, _)| event_type == "m.room.member");
        members
            .map(|(_, user)| user.clone())
            .filter(|user| self.membership(user) == membership)
            .collect()
    }

    fn creator(&self) -> &str {
        let create = self.state.get(&("m.room.create".to_owned(), String::new()));
        create.map_or("", |create| create.sender.as_str())
    }

    fn level(&self, name: &str, otherwise: i64) -> i64 {
        self.content("m.room.power_levels", "")
            .and_then(|levels| levels[name].as_i64())
            .unwrap_or(otherwise)
    }

    pub fn power(&self, user: &str) -> i64 {
        if user == self.creator() {
            return i64::MAX;
        }
        let levels = self.content("m.room.power_levels", "");
        levels
            .and_then(|levels| levels["users"][user].as_i64())
            .unwrap_or_else(|| self.level("users_default", 0))
    }

    fn needed(&self, event_type: &str, otherwise: &str) -> i64 {
        let levels = self.content("m.room.power_levels", "");
        levels
            .and_then(|levels| levels["events"][event_type].as_i64())
            .unwrap_or_else(|| self.level(otherwise, 0))
    }

    /// Whether this state event may be set by this user.
    fn may_set(&self, sender: &str, event_type: &str, key: &str, content: &Value) -> bool {
        if event_type == "m.room.member" {
            return self.may_change(
                sender,
                key,
                content["membership"].as_str().unwrap_or_default(),
            );
        }
        self.membership(sender) == "join"
            && self.power(sender) >= self.needed(event_type, "state_default")
    }

    fn may_change(&self, sender: &str, target: &str, membership: &str) -> bool {
        let joined = self.membership(sender) == "join";
        let power = self.power(sender);
        match (membership, self.membership(target)) {
            ("join", before) => sender == target && matches!(before, "invite" | "join"),
            ("invite", before) => {
                joined && !matches!(before, "join" | "ban") && power >= self.level("invite", 0)
            }
            ("leave", before) if sender == target => matches!(before, "invite" | "join"),
            ("leave", _) => joined && power >= self.level("kick", 50) && power > self.power(target),
            ("ban", _) => joined && power >= self.level("ban", 50) && power > self.power(target),
            _ => false,
        }
    }
}

impl State {
    pub fn room(&mut self, room: &str) -> Result<&mut Room, Refused> {
        self.rooms.get_mut(room).ok_or(Refused(403, "M_FORBIDDEN"))
    }

    /// `POST /createRoom`.
    pub fn create_room(&mut self, creator: &str, body: &Value) -> Answer {
        let version = body["room_version"].as_str().unwrap_or("12");
        let users = &body["power_level_content_override"]["users"];
        if version != "12" || users.get(creator).is_some() {
            return Err(Refused(400, "M_INVALID_ROOM_STATE"));
        }
        let id = format!("!room{}", self.next());
        self.rooms.insert(id.clone(), Room::default());
        let mut create = body["creation_content"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        create.insert("room_version".to_owned(), json!(version));
        self.put(&id, creator, "m.room.create", "", Value::Object(create));
        self.put(
            &id,
            creator,
            "m.room.member",
            creator,
            json!({ "membership": "join" }),
        );
        let mut levels = json!({ "users": {}, "users_default": 0, "events": {}, "events_default": 0,
            "state_default": 50, "ban": 50, "kick": 50, "redact": 50, "invite": 50 });
        for (name, level) in body["power_level_content_override"]
            .as_object()
            .cloned()
            .unwrap_or_default()
        {
            levels[name] = level;
        }
        self.put(&id, creator, "m.room.power_levels", "", levels);
        self.put(
            &id,
            creator,
            "m.room.join_rules",
            "",
            json!({ "join_rule": "invite" }),
        );
        for event in body["initial_state"]
            .as_array()
            .cloned()
            .unwrap_or_default()
        {
            let (event_type, key) = (
                event["type"].as_str().unwrap_or_default(),
                event["state_key"].as_str(),
            );
            self.put(
                &id,
                creator,
                event_type,
                key.unwrap_or_default(),
                event["content"].clone(),
            );
        }
        for user in body["invite"].as_array().cloned().unwrap_or_default() {
            let content = json!({ "membership": "invite", "is_direct": body["is_direct"] });
            self.put(
                &id,
                creator,
                "m.room.member",
                user.as_str().unwrap_or_default(),
                content,
            );
        }
        Ok(json!({ "room_id": id }))
    }

    /// Sets state if the room's rules allow it; the same again changes nothing.
    pub fn set_state(
        &mut self,
        room: &str,
        sender: &str,
        event_type: &str,
        key: &str,
        content: Value,
    ) -> Answer {
        let kept = self.room(room)?;
        if !kept.may_set(sender, event_type, key, &content) {
            return Err(Refused(403, "M_FORBIDDEN"));
        }
        if let Some(event) = kept.state.get(&(event_type.to_owned(), key.to_owned()))
            && event.content == content
        {
            return Ok(json!({ "event_id": event.event_id }));
        }
        Ok(json!({ "event_id": self.put(room, sender, event_type, key, content) }))
    }

    /// Changes a membership by the room's rules.
    pub fn set_member(
        &mut self,
        room: &str,
        sender: &str,
        target: &str,
        membership: &str,
    ) -> Answer {
        let mut content = json!({ "membership": membership });
        if membership == "join" {
            content = self.joined(target);
        }
        self.set_state(room, sender, "m.room.member", target, content)?;
        Ok(json!({ "room_id": room }))
    }

    /// The content of a joined user's membership: their profile stands in it.
    fn joined(&self, user: &str) -> Value {
        let profile = self.users.get(user).cloned().unwrap_or_default();
        let mut content = json!({ "membership": "join" });
        if let Some(name) = profile.display_name {
            content["displayname"] = json!(name);
        }
        if let Some(avatar) = profile.avatar {
            content["avatar_url"] = json!(avatar);
        }
        content
    }

    /// Changes a profile, which is written into every room the user is in.
    pub fn change_profile(&mut self, user: &str, change: impl FnOnce(&mut User)) -> Answer {
        change(self.user(user)?);
        let content = self.joined(user);
        let joined =
            |(id, room): (&String, &Room)| (room.membership(user) == "join").then(|| id.clone());
        let rooms: Vec<String> = self.rooms.iter().filter_map(joined).collect();
        for room in rooms {
            self.set_state(&room, user, "m.room.member", user, content.clone())?;
        }
        Ok(json!({}))
    }

    fn put(
        &mut self,
        room: &str,
        sender: &str,
        event_type: &str,
        key: &str,
        content: Value,
    ) -> String {
        let event = self.event(sender, event_type, content);
        let event = Event {
            state_key: Some(key.to_owned()),
            ..event
        };
        if let Ok(kept) = self.room(room) {
            kept.state
                .insert((event_type.to_owned(), key.to_owned()), event.clone());
        }
        self.append(room, event)
    }

    fn event(&mut self, sender: &str, event_type: &str, content: Value) -> Event {
        let number = self.next();
        Event {
            event_id: format!("$event{number}"),
            event_type: event_type.to_owned(),
            state_key: None,
            sender: sender.to_owned(),
            content,
            at: BEGINNING.0 + number,
            redacts: None,
        }
    }

    fn append(&mut self, room: &str, event: Event) -> String {
        let id = event.event_id.clone();
        let Ok(kept) = self.room(room) else { return id };
        kept.timeline.push(event.clone());
        let ours = |(event_type, user): &(String, String)| {
            event_type == "m.room.member" && (user == BOT || user.starts_with(GHOSTS))
        };
        if kept.state.keys().any(ours) {
            self.events.push(event.to_json(room));
        }
        id
    }

    /// `PUT /rooms/{room}/typing/{user}`. Whoever is in the room is told, the typing one too.
    pub fn set_typing(&mut self, room: &str, user: &str, typing: bool) -> Answer {
        let kept = self.room(room)?;
        if kept.membership(user) != "join" {
            return Err(Refused(403, "M_FORBIDDEN"));
        }
        let changed = if typing {
            kept.typing.insert(user.to_owned())
        } else {
            kept.typing.remove(user)
        };
        let content = json!({ "user_ids": kept.typing });
        if changed {
            self.ephemeral
                .push(json!({ "type": "m.typing", "room_id": room, "content": content }));
        }
        Ok(json!({}))
    }

    /// `POST /rooms/{room}/receipt/m.read/{event}`; one that lies before the last changes nothing.
    pub fn mark_read(&mut self, room: &str, user: &str, event: &str) -> Answer {
        let at = BEGINNING.0 + self.next();
        let kept = self.room(room)?;
        if kept.membership(user) != "join" {
            return Err(Refused(403, "M_FORBIDDEN"));
        }
        let place = |id: &str| kept.timeline.iter().position(|event| event.event_id == id);
        let known = kept.receipts.get(user).and_then(|(id, _)| place(id));
        if place(event) > known {
            kept.receipts
                .insert(user.to_owned(), (event.to_owned(), at));
            let receipt = receipt(event, user, at);
            self.ephemeral
                .push(json!({ "type": "m.receipt", "room_id": room, "content": receipt }));
        }
        Ok(json!({}))
    }

    /// `PUT /rooms/{room}/send/{type}/{txn}`; the same path again gives the same event.
    pub fn send(
        &mut self,
        room: &str,
        sender: &str,
        event_type: &str,
        txn: &str,
        content: Value,
    ) -> Answer {
        let kept = self.room(room)?;
        let path = (sender.to_owned(), format!("{event_type}/{txn}"));
        if let Some(event_id) = kept.sent.get(&path) {
            return Ok(json!({ "event_id": event_id }));
        }
        if kept.membership(sender) != "join"
            || kept.power(sender) < kept.needed(event_type, "events_default")
        {
            return Err(Refused(403, "M_FORBIDDEN"));
        }
        let mut event = self.event(sender, event_type, content);
        if event_type == "m.room.redaction" {
            event.redacts = event.content["redacts"].as_str().map(str::to_owned);
        }
        let event_id = self.append(room, event);
        self.room(room)?.sent.insert(path, event_id.clone());
        Ok(json!({ "event_id": event_id }))
    }
}

/// The content of an `m.receipt`.
pub fn receipt(event: &str, user: &str, at: u64) -> Value {
    json!({ event: { "m.read": { user: { "ts": at } } } })
}
