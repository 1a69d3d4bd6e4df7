//! A call as it came, and what becomes of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wiremock::Request;

use super::state::{Answer, BOT, GHOSTS, Refused, SERVER, State};

/// The bridge's token for the homeserver.
pub const AS_TOKEN: &str = "as-token-0123456789abcdef";

/// One call of the bridge.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which of the calls that this homeserver knows, `unknown` for all others.
    pub name: &'static str,
    pub method: String,
    /// The whole path, as it came.
    pub url: String,
    /// The path below `/_matrix/client`, decoded.
    pub path: Vec<String>,
    pub query: BTreeMap<String, String>,
    pub body: Value,
    /// An uploaded file.
    file: Vec<u8>,
    /// What was answered; 0 when nothing was.
    pub status: u16,
    pub authorized: bool,
}

impl Call {
    pub fn read(request: &Request) -> Self {
        let path: Vec<String> = request.url.path().split('/').skip(3).map(decoded).collect();
        let authorization = request
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let mut call = Self {
            name: "unknown",
            method: request.method.to_string(),
            url: request.url.path().to_owned(),
            path,
            query: request.url.query_pairs().into_owned().collect(),
            body: serde_json::from_slice(&request.body).unwrap_or(Value::Null),
            file: Vec::new(),
            status: 0,
            authorized: authorization == Some(&format!("Bearer {AS_TOKEN}")),
        };
        if request.url.path() == "/_synapse/admin/v1/server_version" {
            call.name = "server_version";
        }
        if request.url.path() == "/_matrix/media/v3/upload" {
            call.name = "upload_media";
            call.file = request.body.clone();
        }
        if request.url.path().starts_with("/_matrix/client/") {
            call.name = match name(&call.method, &call.segments()) {
                "create_room" if call.body.get("invite").is_none() => "make_wake_room",
                "send" if call.path.iter().any(|part| part == "org.vestibule.wake") => "wake",
                name => name,
            };
        }
        call
    }

    pub fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// On whose behalf it is.
    pub fn user(&self) -> &str {
        self.query.get("user_id").map_or(BOT, String::as_str)
    }

    fn device(&self) -> Option<&str> {
        self.query.get("device_id").map(String::as_str)
    }

    /// Does what the call asks for.
    pub fn act(&self, state: &mut State) -> (u16, Value) {
        let acted = match self.name {
            // What anybody may read.
            "versions" => Ok(json!({ "versions": ["v1.11"] })),
            "server_version" => Ok(json!({ "server_version": "1.163.2" })),
            _ => self.admit(state).and_then(|()| self.perform(state)),
        };
        match acted {
            Ok(body) => (if self.name == "put_device" { 201 } else { 200 }, body),
            Err(Refused(status, errcode)) => (
                status,
                json!({ "errcode": errcode, "error": "Refused by the test." }),
            ),
        }
    }

    /// Application-service API, "Identity assertion"; Synapse's slips included.
    fn admit(&self, state: &mut State) -> Result<(), Refused> {
        if !self.authorized {
            return Err(Refused(401, "M_UNKNOWN_TOKEN"));
        }
        if self.device().is_some() && !self.query.contains_key("user_id") {
            return Err(Refused(500, "M_UNKNOWN"));
        }
        let user = self.user().to_owned();
        if user != BOT && !user.starts_with(GHOSTS) {
            return Err(Refused(403, "M_FORBIDDEN"));
        }
        state.user(&user)?;
        match self.device() {
            Some(device) => state.device(&user, device).map(|_| ()),
            None => Ok(()),
        }
    }

    fn perform(&self, state: &mut State) -> Answer {
        let user = self.user();
        let segments = self.segments();
        let own_device = || self.device().ok_or(Refused(400, "M_MISSING_PARAM"));
        match (self.name, segments.as_slice()) {
            ("whoami", _) => Ok(json!({ "user_id": user })),
            ("ping", _) => Ok(json!({ "duration_ms": 2 })),
            ("register", _) => state.register(&self.body),
            ("get_name", [.., of, _]) => match state
                .users
                .get(*of)
                .and_then(|user| user.display_name.clone())
            {
                Some(name) => Ok(json!({ "displayname": name })),
                None => Err(Refused(404, "M_NOT_FOUND")),
            },
            ("set_name", [.., of, _]) if *of == user => {
                let name = self.body["displayname"].as_str().map(str::to_owned);
                state.change_profile(user, |kept| kept.display_name = name)
            }
            ("set_presence", [.., of, _]) if *of == user => {
                let online = self.body["presence"] == "online" && state.presence;
                state.user(user)?.online = online;
                Ok(json!({}))
            }
            ("get_presence", [.., of, _]) => {
                let online = state.user(of)?.online;
                Ok(json!({ "presence": if online { "online" } else { "offline" } }))
            }
            ("set_avatar", [.., of, _]) if *of == user => {
                let url = self.body["avatar_url"].as_str().unwrap_or_default();
                let avatar = Some(url.to_owned()).filter(|url| !url.is_empty());
                state.change_profile(user, |kept| kept.avatar = avatar)
            }
            ("put_device", [.., device]) => {
                let name = self.body["display_name"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                state
                    .user(user)?
                    .devices
                    .entry((*device).to_owned())
                    .or_default()
                    .name = name;
                Ok(json!({}))
            }
            ("delete_device", [.., device]) => {
                state.user(user)?.devices.remove(*device);
                Ok(json!({}))
            }
            ("upload_keys", _) => state.upload_keys(user, own_device()?, &self.body),
            ("upload_cross_signing", _) => state.upload_cross_signing(user, &self.body),
            ("upload_signatures", _) => state.upload_signatures(user, &self.body),
            ("keys_query", _) => Ok(state.query_keys(&self.body)),
            ("keys_claim", _) => Ok(state.claim_keys(&self.body)),
            ("send_to_device", [.., event_type, txn]) => {
                own_device()?;
                state.send_to_device(user, event_type, txn, &self.body)
            }
            ("sync", _) => {
                let device = self.device().ok_or(Refused(500, "M_UNKNOWN"))?;
                // As Synapse does on purpose.
                if user == BOT && !state.bot_may_sync {
                    return Err(Refused(500, "M_UNKNOWN"));
                }
                state.sync(user, device, &self.query)
            }
            ("account_data", [_, _, of, _, data_type]) if *of == user => {
                let kept = state
                    .account_data
                    .get(&(user.to_owned(), (*data_type).to_owned()));
                kept.cloned().ok_or(Refused(404, "M_NOT_FOUND"))
            }
            ("set_account_data", [_, _, of, _, data_type]) if *of == user => {
                let place = (user.to_owned(), (*data_type).to_owned());
                state.account_data.insert(place, self.body.clone());
                Ok(json!({}))
            }
            ("deactivate", _) => state.deactivate(user),
            ("upload_media", _) => {
                let uri = format!("mxc://{SERVER}/{}", state.media.len());
                state.media.insert(uri.clone(), self.file.clone());
                Ok(json!({ "content_uri": uri }))
            }
            _ => self.in_room(state),
        }
    }

    fn in_room(&self, state: &mut State) -> Answer {
        let user = self.user();
        match (self.name, self.segments().as_slice()) {
            ("create_room" | "make_wake_room", _) => state.create_room(user, &self.body),
            ("joined_rooms", _) => {
                let rooms = state
                    .rooms
                    .iter()
                    .filter(|(_, room)| room.membership(user) == "join");
                Ok(json!({ "joined_rooms": rooms.map(|(id, _)| id).collect::<Vec<_>>() }))
            }
            ("join_list", [.., room]) => state.set_member(room, user, user, "join"),
            ("join", [_, _, room, _]) => state.set_member(room, user, user, "join"),
            ("leave", [_, _, room, _]) => state.set_member(room, user, user, "leave"),
            ("send" | "wake", [_, _, room, _, event_type, txn]) => {
                state.send(room, user, event_type, txn, self.body.clone())
            }
            ("typing", [_, _, room, _, of]) if *of == user => {
                state.set_typing(room, user, self.body["typing"] == true)
            }
            ("receipt", [_, _, room, _, _, event]) => state.mark_read(room, user, event),
            ("redact", [_, _, room, _, event, txn]) => {
                let content = json!({ "redacts": event });
                state.send(room, user, "m.room.redaction", txn, content)
            }
            ("messages", [_, _, room, _]) => {
                let filter = json_in(&self.query, "filter");
                let from = self.query.get("from").map_or("", String::as_str);
                state.past(user, room, from, &filter)
            }
            ("get_state", [_, _, room, _]) => {
                let tamper = state.tamper;
                let kept = readable(state, room, user)?;
                if let Some(tamper) = tamper {
                    tamper(kept);
                }
                Ok(kept
                    .state
                    .values()
                    .map(|event| event.to_json(room))
                    .collect())
            }
            ("get_state_event", [_, _, room, _, event_type, key @ ..]) => {
                let kept = readable(state, room, user)?;
                let content = kept.content(event_type, key.first().copied().unwrap_or_default());
                content.cloned().ok_or(Refused(404, "M_NOT_FOUND"))
            }
            ("put_state", [_, _, room, _, event_type, key @ ..]) => {
                let key = key.first().copied().unwrap_or_default();
                state.set_state(room, user, event_type, key, self.body.clone())
            }
            _ => Err(Refused(404, "M_UNRECOGNIZED")),
        }
    }
}

/// A query parameter that is JSON.
pub fn json_in(query: &BTreeMap<String, String>, name: &str) -> Value {
    let text = query.get(name).map_or("null", String::as_str);
    serde_json::from_str(text).unwrap()
}

fn readable<'a>(
    state: &'a mut State,
    room: &str,
    user: &str,
) -> Result<&'a mut super::room::Room, Refused> {
    let kept = state.room(room)?;
    if kept.membership(user) == "join" {
        Ok(kept)
    } else {
        Err(Refused(403, "M_FORBIDDEN"))
    }
}

/// All calls of the client-server API that this homeserver knows.
fn name(method: &str, path: &[&str]) -> &'static str {
    match (method, path) {
        ("GET", ["v3", "account", "whoami"]) => "whoami",
        ("POST", ["v1", "appservice", _, "ping"]) => "ping",
        ("POST", ["v3", "register"]) => "register",
        ("GET", ["v3", "profile", _, "displayname"]) => "get_name",
        ("PUT", ["v3", "profile", _, "displayname"]) => "set_name",
        ("PUT", ["v3", "profile", _, "avatar_url"]) => "set_avatar",
        ("PUT", ["v3", "devices", _]) => "put_device",
        ("DELETE", ["v3", "devices", _]) => "delete_device",
        ("POST", ["v3", "keys", "upload"]) => "upload_keys",
        ("POST", ["v3", "keys", "device_signing", "upload"]) => "upload_cross_signing",
        ("POST", ["v3", "keys", "signatures", "upload"]) => "upload_signatures",
        ("POST", ["v3", "keys", "query"]) => "keys_query",
        ("POST", ["v3", "keys", "claim"]) => "keys_claim",
        ("PUT", ["v3", "sendToDevice", _, _]) => "send_to_device",
        ("GET", ["v3", "sync"]) => "sync",
        ("GET", ["v3", "user", _, "account_data", _]) => "account_data",
        ("PUT", ["v3", "user", _, "account_data", _]) => "set_account_data",
        ("POST", ["v3", "account", "deactivate"]) => "deactivate",
        ("POST", ["v3", "createRoom"]) => "create_room",
        ("GET", ["v3", "joined_rooms"]) => "joined_rooms",
        ("POST", ["v3", "rooms", _, "join"]) => "join",
        ("POST", ["v3", "join", _]) => "join_list",
        ("GET", ["versions"]) => "versions",
        ("POST", ["v3", "rooms", _, "leave"]) => "leave",
        ("PUT", ["v3", "rooms", _, "send", _, _]) => "send",
        ("PUT", ["v3", "presence", _, "status"]) => "set_presence",
        ("GET", ["v3", "presence", _, "status"]) => "get_presence",
        ("PUT", ["v3", "rooms", _, "redact", _, _]) => "redact",
        ("PUT", ["v3", "rooms", _, "typing", _]) => "typing",
        ("POST", ["v3", "rooms", _, "receipt", "m.read", _]) => "receipt",
        ("GET", ["v3", "rooms", _, "messages"]) => "messages",
        ("GET", ["v3", "rooms", _, "state"]) => "get_state",
        ("GET", ["v3", "rooms", _, "state", _] | ["v3", "rooms", _, "state", _, _]) => {
            "get_state_event"
        }
        ("PUT", ["v3", "rooms", _, "state", _] | ["v3", "rooms", _, "state", _, _]) => "put_state",
        _ => "unknown",
    }
}

/// One segment of a path without its quoting.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let quoted = after
            .get(..2)
            .filter(|_| byte == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok());
        match quoted.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                bytes.push(value);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}
