//! What a homeserver keeps of users: their devices, keys and to-device inboxes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::call::json_in;
use super::room::Room;

/// The part of user ids after the colon.
pub const SERVER: &str = "example.org";
/// The bridge's bot.
pub const BOT: &str = "@guestbot:example.org";
/// How the ids of ghosts begin.
pub const GHOSTS: &str = "@_vestibule_";
/// The one algorithm of one-time keys.
pub const ONE_TIME_KEY: &str = "signed_curve25519";
/// How many to-device events one `/sync` or transaction brings.
pub const TO_DEVICE_LIMIT: usize = 100;

/// A call that is refused: status and error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub u16, pub &'static str);

/// What the homeserver answers.
pub type Answer = Result<Value, Refused>;

/// One device.
#[derive(Clone, Default)]
pub struct Device {
    pub name: String,
    pub keys: Option<Value>,
    pub one_time_keys: Map<String, Value>,
    pub fallback_keys: Map<String, Value>,
    pub fallback_used: bool,
    /// What waits for it, with its place in the stream.
    pub inbox: Vec<(u64, Value)>,
}

/// One user.
#[derive(Clone, Default)]
pub struct User {
    pub display_name: Option<String>,
    pub avatar: Option<String>,
    pub online: bool,
    pub devices: BTreeMap<String, Device>,
    pub cross_signing: Map<String, Value>,
    pub deactivated: bool,
}

/// All that is kept.
#[derive(Default)]
pub struct State {
    pub users: BTreeMap<String, User>,
    pub rooms: BTreeMap<String, Room>,
    /// Room events that the appservice has not been told of.
    pub events: Vec<Value>,
    /// To-device events that the appservice has not been told of.
    pub to_device: Vec<Value>,
    /// Typing and receipts that the appservice has not been told of.
    pub ephemeral: Vec<Value>,
    /// Changes every room state that is read as a whole, for a homeserver that breaks its word.
    pub tamper: Option<fn(&mut Room)>,
    /// To-device sendings by user and transaction id.
    sent_to_device: BTreeSet<(String, String)>,
    /// Synapse answers a repeated `/sync` from a cache unless it brought no new token.
    synced: BTreeMap<BTreeMap<String, String>, Value>,
    /// By user and type.
    pub account_data: BTreeMap<(String, String), Value>,
    /// Uploaded files by their `mxc://` URI.
    pub media: BTreeMap<String, Vec<u8>>,
    /// Whether the application service's own user may use `/sync`, which Synapse refuses.
    pub bot_may_sync: bool,
    /// Whether presence is kept at all.
    pub presence: bool,
    stream: u64,
}

impl State {
    /// A homeserver with its bot and one ordinary user besides the hosts.
    pub fn new() -> Self {
        let mut state = Self {
            presence: true,
            ..Self::default()
        };
        state.users.insert(BOT.to_owned(), User::default());
        state
    }

    /// The next number of anything: events, rooms, stream positions.
    pub fn next(&mut self) -> u64 {
        self.stream += 1;
        self.stream
    }

    pub fn user(&mut self, user: &str) -> Result<&mut User, Refused> {
        self.users.get_mut(user).ok_or(Refused(403, "M_FORBIDDEN"))
    }

    pub fn device(&mut self, user: &str, device: &str) -> Result<&mut Device, Refused> {
        let devices = &mut self.user(user)?.devices;
        devices
            .get_mut(device)
            .ok_or(Refused(400, "M_UNKNOWN_DEVICE"))
    }

    /// `POST /register` of an application service.
    pub fn register(&mut self, body: &Value) -> Answer {
        if body["type"] != "m.login.application_service" || body["inhibit_login"] != true {
            return Err(Refused(400, "M_APPSERVICE_LOGIN_UNSUPPORTED"));
        }
        let user = format!(
            "@{}:{SERVER}",
            body["username"].as_str().unwrap_or_default()
        );
        if !user.starts_with(GHOSTS) {
            return Err(Refused(400, "M_EXCLUSIVE"));
        }
        if self.users.contains_key(&user) {
            return Err(Refused(400, "M_USER_IN_USE"));
        }
        self.users.insert(user.clone(), User::default());
        Ok(json!({ "user_id": user, "home_server": SERVER }))
    }

    /// `POST /keys/upload`.
    pub fn upload_keys(&mut self, user: &str, device: &str, body: &Value) -> Answer {
        let kept = self.device(user, device)?;
        if body["device_keys"].is_object() {
            kept.keys = Some(body["device_keys"].clone());
        }
        let objects = |field: &str| body[field].as_object().cloned().unwrap_or_default();
        for (id, key) in objects("one_time_keys") {
            match kept.one_time_keys.get(&id) {
                Some(known) if *known != key => return Err(Refused(400, "M_UNKNOWN")),
                _ => kept.one_time_keys.insert(id, key),
            };
        }
        let fallback = objects("fallback_keys");
        if !fallback.is_empty() {
            kept.fallback_keys = fallback;
            kept.fallback_used = false;
        }
        Ok(json!({ "one_time_key_counts": { ONE_TIME_KEY: kept.one_time_keys.len() } }))
    }

    /// `POST /keys/device_signing/upload`.
    pub fn upload_cross_signing(&mut self, user: &str, body: &Value) -> Answer {
        let keys = body
            .as_object()
            .cloned()
            .ok_or(Refused(400, "M_BAD_JSON"))?;
        self.user(user)?.cross_signing.extend(keys);
        Ok(json!({}))
    }

    /// `POST /keys/signatures/upload` of signatures of own devices.
    pub fn upload_signatures(&mut self, user: &str, body: &Value) -> Answer {
        let signed = body[user].as_object().cloned().unwrap_or_default();
        let mut failures = json!({});
        for (device, object) in signed {
            match self
                .device(user, &device)
                .ok()
                .and_then(|device| device.keys.as_mut())
            {
                Some(keys) if keys["keys"] == object["keys"] => *keys = object,
                _ => failures[user][&device] = json!({ "errcode": "M_INVALID_SIGNATURE" }),
            }
        }
        Ok(json!({ "failures": failures }))
    }

    /// `POST /keys/query`.
    pub fn query_keys(&self, body: &Value) -> Value {
        let mut answer = json!({ "device_keys": {}, "master_keys": {}, "self_signing_keys": {}, "failures": {} });
        for name in body["device_keys"]
            .as_object()
            .into_iter()
            .flat_map(Map::keys)
        {
            let Some(user) = self.users.get(name) else {
                continue;
            };
            let devices = user
                .devices
                .iter()
                .filter_map(|(id, device)| Some((id.clone(), device.keys.clone()?)));
            answer["device_keys"][name] = Value::Object(devices.collect());
            for (kept, shown) in [
                ("master_key", "master_keys"),
                ("self_signing_key", "self_signing_keys"),
            ] {
                if let Some(key) = user.cross_signing.get(kept) {
                    answer[shown][name] = key.clone();
                }
            }
        }
        answer
    }

    /// `POST /keys/claim`: each key goes out once, then the fallback key.
    pub fn claim_keys(&mut self, body: &Value) -> Value {
        let mut answer = json!({ "one_time_keys": {}, "failures": {} });
        for (user, devices) in body["one_time_keys"]
            .as_object()
            .cloned()
            .unwrap_or_default()
        {
            for device in devices.as_object().into_iter().flat_map(Map::keys) {
                let Ok(kept) = self.device(&user, device) else {
                    continue;
                };
                let first = kept.one_time_keys.keys().next().cloned();
                let key = match first {
                    Some(id) => kept.one_time_keys.remove(&id).map(|key| (id, key)),
                    None => {
                        kept.fallback_used = true;
                        kept.fallback_keys
                            .iter()
                            .next()
                            .map(|(id, key)| (id.clone(), key.clone()))
                    }
                };
                if let Some((id, key)) = key {
                    answer["one_time_keys"][&user][device] = json!({ id: key });
                }
            }
        }
        answer
    }

    /// `PUT /sendToDevice/{type}/{txn}`; a repeated transaction does nothing.
    pub fn send_to_device(
        &mut self,
        sender: &str,
        event_type: &str,
        txn: &str,
        body: &Value,
    ) -> Answer {
        if self
            .sent_to_device
            .insert((sender.to_owned(), txn.to_owned()))
        {
            for (user, devices) in body["messages"].as_object().cloned().unwrap_or_default() {
                for (device, content) in devices.as_object().cloned().unwrap_or_default() {
                    let event = json!({ "type": event_type, "sender": sender, "content": content });
                    self.put_into_inbox(&user, &device, event);
                }
            }
        }
        Ok(json!({}))
    }

    fn put_into_inbox(&mut self, user: &str, device: &str, event: Value) {
        let place = self.next();
        let Ok(kept) = self.device(user, device) else {
            return;
        };
        kept.inbox.push((place, event.clone()));
        if user.starts_with(GHOSTS) || user == BOT {
            let mut pushed = event;
            pushed["to_user_id"] = json!(user);
            pushed["to_device_id"] = json!(device);
            self.to_device.push(pushed);
        }
    }

    /// `GET /sync` of a device: its inbox, and the rooms that the filter names. `since` deletes what
    /// came before it in the inbox.
    pub fn sync(&mut self, user: &str, device: &str, query: &BTreeMap<String, String>) -> Answer {
        let since = query.get("since").map(String::as_str);
        let question = query.clone();
        let rooms = self.timelines(user, &json_in(query, "filter"));
        if let Some(cached) = self.synced.get(&question) {
            return Ok(cached.clone());
        }
        let from: u64 = since
            .and_then(|since| since.strip_prefix('s')?.parse().ok())
            .unwrap_or_default();
        let now = self.stream;
        let kept = self.device(user, device)?;
        kept.inbox.retain(|(place, _)| *place > from);
        let batch: Vec<(u64, Value)> = kept.inbox.iter().take(TO_DEVICE_LIMIT).cloned().collect();
        let next = match batch.last() {
            Some((place, _)) if batch.len() == TO_DEVICE_LIMIT => *place,
            _ => now,
        };
        let next = format!("s{next}");
        let unused: &[&str] = if kept.fallback_used {
            &[]
        } else {
            &[ONE_TIME_KEY]
        };
        let answer = json!({
            "next_batch": next,
            "rooms": rooms,
            "to_device": { "events": batch.into_iter().map(|(_, event)| event).collect::<Vec<_>>() },
            "device_one_time_keys_count": { ONE_TIME_KEY: kept.one_time_keys.len() },
            "device_unused_fallback_key_types": unused,
        });
        if since != Some(next.as_str()) {
            self.synced.insert(question, answer.clone());
        }
        Ok(answer)
    }

    /// `POST /account/deactivate`: the name stays taken.
    pub fn deactivate(&mut self, user: &str) -> Answer {
        let kept = self.user(user)?;
        kept.devices.clear();
        kept.display_name = None;
        kept.deactivated = true;
        Ok(json!({ "id_server_unbind_result": "success" }))
    }

    /// The body of the next transaction, as Synapse names its fields.
    pub fn take_transaction(&mut self) -> Value {
        let events: Vec<Value> = self.events.drain(..).collect();
        let to_device: Vec<Value> = self.to_device.drain(..).collect();
        let mut counts = json!({});
        let mut fallback = json!({});
        for event in &to_device {
            let (user, device) = (&event["to_user_id"], &event["to_device_id"]);
            let (Some(user), Some(device)) = (user.as_str(), device.as_str()) else {
                continue;
            };
            let Ok(kept) = self.device(user, device) else {
                continue;
            };
            // An empty object means zero.
            counts[user][device] = match kept.one_time_keys.len() {
                0 => json!({}),
                count => json!({ ONE_TIME_KEY: count }),
            };
            fallback[user][device] = if kept.fallback_used {
                json!([])
            } else {
                json!([ONE_TIME_KEY])
            };
        }
        json!({
            "events": events,
            "ephemeral": self.ephemeral.drain(..).collect::<Vec<_>>(),
            "de.sorunome.msc2409.to_device": to_device,
            "org.matrix.msc3202.device_one_time_keys_count": counts,
            "org.matrix.msc3202.device_unused_fallback_key_types": fallback,
        })
    }
}
