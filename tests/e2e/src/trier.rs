//! Whoever tries what nobody can do in a portal's room, by raw calls to a homeserver.

use serde_json::{Value, json};
use vestibule_lab::Api;

/// Message-like events that no portal takes. Those of the second half are what clients made of
/// calls, polls and locations before they were specified.
const MESSAGES: [&str; 42] = [
    "m.sticker",
    "m.reaction",
    "m.call.invite",
    "m.call.candidates",
    "m.call.answer",
    "m.call.select_answer",
    "m.call.negotiate",
    "m.call.reject",
    "m.call.hangup",
    "m.call.sdp_stream_metadata_changed",
    "m.call.notify",
    "m.rtc.notification",
    "m.rtc.decline",
    "m.poll.start",
    "m.poll.response",
    "m.poll.end",
    "m.beacon",
    "m.location",
    "m.image",
    "m.file",
    "m.audio",
    "m.voice",
    "m.video",
    "m.emote",
    "m.message",
    "m.encrypted",
    "m.room.message.feedback",
    "m.key.verification.ready",
    "m.key.verification.start",
    "m.key.verification.accept",
    "m.key.verification.key",
    "m.key.verification.mac",
    "m.key.verification.cancel",
    "m.key.verification.done",
    "org.matrix.msc3381.poll.start",
    "org.matrix.msc3381.poll.response",
    "org.matrix.msc3381.poll.end",
    "org.matrix.msc3672.beacon",
    "org.matrix.msc4075.rtc.notification",
    "org.matrix.msc4310.rtc.decline",
    "io.element.call.encryption_keys",
    "org.example.custom",
];

/// State that nobody sets, with what would do harm.
fn states(own: &str) -> Vec<(&'static str, String, Value)> {
    let plain = |event_type, content| (event_type, String::new(), content);
    let call = json!({"application": "m.call", "call_id": "", "device_id": "D"});
    vec![
        plain("m.room.name", json!({"name": "x"})),
        plain("m.room.topic", json!({"topic": "x"})),
        plain("m.room.avatar", json!({"url": "mxc://a/b"})),
        plain("m.room.power_levels", json!({"users": {own: 100}})),
        plain("m.room.power_levels", json!({})),
        plain("m.room.join_rules", json!({"join_rule": "public"})),
        plain("m.room.join_rules", json!({"join_rule": "knock"})),
        plain(
            "m.room.join_rules",
            json!({"join_rule": "restricted", "allow": []}),
        ),
        plain("m.room.guest_access", json!({"guest_access": "can_join"})),
        plain(
            "m.room.history_visibility",
            json!({"history_visibility": "world_readable"}),
        ),
        plain(
            "m.room.encryption",
            json!({"algorithm": "m.megolm.v1.aes-sha2", "rotation_period_msgs": 1_000_000}),
        ),
        plain(
            "m.room.tombstone",
            json!({"body": "x", "replacement_room": "!x:example.org"}),
        ),
        plain("m.room.canonical_alias", json!({})),
        plain(
            "m.room.server_acl",
            json!({"allow": ["*"], "deny": ["evil.example"]}),
        ),
        plain("m.room.pinned_events", json!({"pinned": []})),
        plain("m.room.create", json!({"room_version": "12"})),
        plain("m.room.policy", json!({"via": "example.org"})),
        (
            "m.room.third_party_invite",
            "t".to_owned(),
            json!({"display_name": "x"}),
        ),
        (
            "m.space.parent",
            "!x:example.org".to_owned(),
            json!({"via": ["example.org"]}),
        ),
        (
            "m.space.child",
            "!x:example.org".to_owned(),
            json!({"via": ["example.org"]}),
        ),
        ("m.policy.rule.user", "r".to_owned(), json!({})),
        ("m.policy.rule.room", "r".to_owned(), json!({})),
        ("m.policy.rule.server", "r".to_owned(), json!({})),
        (
            "m.widget",
            "w".to_owned(),
            json!({"type": "jitsi", "url": "https://example.org"}),
        ),
        (
            "im.vector.modular.widgets",
            "w".to_owned(),
            json!({"type": "jitsi", "url": "https://example.org"}),
        ),
        plain("org.matrix.msc3401.call", json!({"m.intent": "m.ring"})),
        (
            "org.matrix.msc3401.call.member",
            own.to_owned(),
            call.clone(),
        ),
        (
            "org.matrix.msc3401.call.member",
            format!("_{own}_D"),
            call.clone(),
        ),
        ("m.call.member", own.to_owned(), call.clone()),
        ("m.rtc.member", own.to_owned(), call),
        ("m.beacon_info", own.to_owned(), json!({"live": true})),
        (
            "org.matrix.msc3672.beacon_info",
            own.to_owned(),
            json!({"live": true}),
        ),
        ("m.image_pack", String::new(), json!({})),
        ("org.example.custom", String::new(), json!({})),
        ("org.example.custom", own.to_owned(), json!({})),
    ]
}

/// One of those who try.
pub struct Trier {
    /// Who that is, in words.
    pub name: &'static str,
    /// Their Matrix id.
    pub user: String,
    api: Api,
    /// What goes behind each path.
    identity: String,
    /// Whether an error of the homeserver's own counts as a refusal.
    breaks_off: bool,
}

impl Trier {
    /// Somebody with a token of their own.
    #[must_use]
    pub fn with_token(name: &'static str, user: &str, api: Api) -> Self {
        Self {
            name,
            user: user.to_owned(),
            api,
            identity: String::new(),
            breaks_off: false,
        }
    }

    /// The same, where not all are of one server. Where the membership of somebody elsewhere is forged,
    /// Synapse (1.163) breaks off with an error of its own; the test must see that nothing came of it.
    #[must_use]
    pub fn from_elsewhere(mut self) -> Self {
        self.breaks_off = true;
        self
    }

    /// A user of the application service, with its token.
    #[must_use]
    pub fn masked(name: &'static str, user: &str, appservice: Api) -> Self {
        Self {
            name,
            user: user.to_owned(),
            api: appservice,
            identity: format!("user_id={user}"),
            breaks_off: false,
        }
    }

    /// Whether they come with the application service's token.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        !self.identity.is_empty()
    }

    /// Makes a call; status and text of the answer.
    ///
    /// # Panics
    /// When there is no answer at all.
    #[expect(clippy::unwrap_used, reason = "for tests, where it is the failure")]
    #[must_use]
    pub fn call(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let sign = if path.contains('?') { '&' } else { '?' };
        let path = match self.identity.as_str() {
            "" => path.to_owned(),
            identity => format!("{path}{sign}{identity}"),
        };
        let body = (method != "GET").then_some(body);
        let answer = self.api.call(method, &path, body).unwrap();
        (answer.status, answer.text)
    }

    /// Has the homeserver refuse it.
    ///
    /// # Panics
    /// When it doesn't.
    pub fn refused(&self, what: &str, method: &str, path: &str, body: &Value) {
        let (status, said) = self.call(method, path, body);
        // 404: there is nothing for who isn't there, or nobody left who could let them in. Any other
        // refusal could be one of a call that was not well-formed, and would say nothing.
        let right = status == 403
            || (status == 404 && !said.contains("M_UNRECOGNIZED"))
            || said.contains("Cannot resend m.room.create event")
            || (status == 500 && self.breaks_off);
        assert!(right, "{} may {what}: {status} {said}", self.name);
    }

    /// Has the homeserver do it; what it answers.
    ///
    /// # Panics
    /// When it doesn't.
    #[expect(clippy::unwrap_used, reason = "for tests, where it is the failure")]
    pub fn allowed(&self, what: &str, method: &str, path: &str, body: &Value) -> Value {
        let (status, said) = self.call(method, path, body);
        assert_eq!(status, 200, "{} may not {what}: {said}", self.name);
        serde_json::from_str(&said).unwrap()
    }

    /// All that neither of the two in a portal's room may, tried on the other and on these outsiders.
    ///
    /// # Panics
    /// When they may do any of it.
    pub fn assert_sealed(&self, room: &str, other: &str, outsiders: &[&str]) {
        let base = format!("/_matrix/client/v3/rooms/{room}");
        let place = |rest: &str| format!("{base}/{rest}");
        for event_type in MESSAGES {
            let path = place(&format!(
                "send/{event_type}/{}-{event_type}",
                self.name.len()
            ));
            self.refused(event_type, "PUT", &path, &json!({"body": "x"}));
        }
        for (event_type, key, content) in states(&self.user) {
            let path = place(&format!("state/{event_type}/{key}"));
            self.refused(&format!("{event_type} {content}"), "PUT", &path, &content);
        }
        for user in outsiders {
            let body = json!({ "user_id": user });
            self.refused("invite", "POST", &place("invite"), &body);
            for membership in ["invite", "join", "knock"] {
                let path = place(&format!("state/m.room.member/{user}"));
                self.refused("forge", "PUT", &path, &json!({"membership": membership}));
            }
        }
        let path = place(&format!("state/m.room.member/{other}"));
        let content = json!({"membership": "join", "displayname": "Somebody else"});
        self.refused("rename the other", "PUT", &path, &content);
        let body = json!({"id_server": "example.org", "id_access_token": "x", "medium": "email", "address": "a@example.org"});
        let (status, said) = self.call("POST", &place("invite"), &body);
        assert!(status >= 400, "{} may invite by mail: {said}", self.name);
        let upgrade = json!({"new_version": "12"});
        self.refused("upgrade", "POST", &place("upgrade"), &upgrade);
        let listed = format!("/_matrix/client/v3/directory/list/room/{room}");
        self.refused("publish", "PUT", &listed, &json!({"visibility": "public"}));
        let alias = format!("state/m.room.canonical_alias/{}", self.user);
        self.refused("name an alias", "PUT", &place(&alias), &json!({}));
    }
}
