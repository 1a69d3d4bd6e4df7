//! What nobody can do in a portal's room, tried at a real homeserver with the bridge left out of it:
//! by the host with their own token, and in the ghost's name, which is more than any guest has.

#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use vestibule_e2e::{Meeting, Trier, lab};
use vestibule_lab::{Api, Host as _, Lab, NioHost, PATIENCE, wait_for};

struct Room {
    base: String,
    host: Trier,
    ghost: Trier,
    bot: Trier,
    stranger: Trier,
}

impl Room {
    fn of(lab: &mut Lab, meeting: &Meeting<NioHost>, host_api: Api) -> Self {
        let stranger = lab.account("mallory", "Mallory").unwrap();
        let (api, _) = Api::login(&lab.homeserver(), "mallory", &stranger.password).unwrap();
        Self {
            base: format!("/_matrix/client/v3/rooms/{}", meeting.room()),
            host: Trier::with_token("the host", meeting.host.user_id(), host_api),
            ghost: Trier::masked("the ghost", &meeting.invite.inviter, lab.as_appservice()),
            bot: Trier::masked("the bot", Lab::BOT, lab.as_appservice()),
            stranger: Trier::with_token("a stranger", &stranger.user_id, api),
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("{}/{rest}", self.base)
    }

    fn id(&self) -> &str {
        self.base.rsplit('/').next().unwrap_or_default()
    }

    /// All that neither of the two may.
    fn assert_sealed_for(&self, trier: &Trier, other: &Trier) {
        let outsiders = [self.stranger.user.as_str(), &self.bot.user];
        trier.assert_sealed(self.id(), &other.user, &outsiders);
    }

    /// What nobody from outside may, the bot that made the room included.
    fn assert_closed_to(&self, outsider: &Trier) {
        let id = self.id();
        for (method, path) in [
            ("POST", self.path("join")),
            ("POST", format!("/_matrix/client/v3/join/{id}")),
            ("POST", format!("/_matrix/client/v3/knock/{id}")),
            ("GET", self.path("event/$none")),
            ("GET", self.path("context/$none")),
        ] {
            outsider.refused("get in", method, &path, &json!({}));
        }
        // To an application service Synapse tells who is in a room as soon as one of its users is.
        if !outsider.is_masked() {
            let members = self.path("joined_members");
            outsider.refused("see who is in", "GET", &members, &Value::Null);
        }
        let invite = json!({ "user_id": outsider.user });
        outsider.refused("invite", "POST", &self.path("invite"), &invite);
        let send = self.path("send/m.room.encrypted/out");
        outsider.refused("write", "PUT", &send, &json!({"algorithm": "none"}));
        let state = self.path("state/m.room.power_levels");
        let levels = json!({"users": {(outsider.user.as_str()): 100}});
        outsider.refused("rule", "PUT", &state, &levels);
        let typing = self.path(&format!("typing/{}", outsider.user));
        outsider.refused(
            "type",
            "PUT",
            &typing,
            &json!({"typing": true, "timeout": 1000}),
        );
    }

    fn content_of(&self, event: &str) -> Value {
        let path = self.path(&format!("event/{event}"));
        let event = self.host.allowed("read", "GET", &path, &Value::Null);
        event.get("content").cloned().unwrap_or_default()
    }
}

#[test]
fn the_room_is_closed_on_every_side() {
    let mut lab = lab().unwrap();
    let account = lab.account("alice", "Alice").unwrap();
    let host = lab.nio_device(&account, "alice").unwrap();
    let (host_api, _) = Api::login(&lab.homeserver(), "alice", &account.password).unwrap();
    let mut meeting = Meeting::arrange(host, "Maya").unwrap();
    let room = Room::of(&mut lab, &meeting, host_api);
    meeting.guest.say("before").unwrap();
    let before = meeting.host_hears(1).unwrap().remove(0).event_id;

    room.assert_sealed_for(&room.host, &room.ghost);
    room.assert_sealed_for(&room.ghost, &room.host);
    room.assert_closed_to(&room.stranger);
    room.assert_closed_to(&room.bot);
    for how in ["kick", "ban", "unban"] {
        let body = json!({ "user_id": room.host.user });
        room.ghost.refused(how, "POST", &room.path(how), &body);
    }
    let through_alias = alias(&room);
    room.stranger
        .refused("join by an alias", "POST", &through_alias, &json!({}));

    // The guest may redact what is theirs only. The homeserver takes the event, but it does nothing.
    let own = meeting.host_says("of the host").unwrap();
    let redact = |event: &str, txn| room.path(&format!("redact/{event}/{txn}"));
    let (status, said) = room.ghost.call("PUT", &redact(&own, "g"), &json!({}));
    assert!(matches!(status, 200 | 403), "{status} {said}");
    assert_ne!(room.content_of(&own), json!({}));
    room.host
        .allowed("redact", "PUT", &redact(&before, "h"), &json!({}));
    assert_eq!(room.content_of(&before), json!({}));

    // The measure is good only if the same calls can succeed.
    let send = |what: &str| room.path(&format!("send/m.room.encrypted/{what}"));
    for trier in [&room.host, &room.ghost] {
        trier.allowed(
            "write",
            "PUT",
            &send(&trier.user),
            &json!({"algorithm": "none"}),
        );
    }
    // Clients show their composer by this level, so the homeserver takes it. The page doesn't show it.
    let plain = json!({"msgtype": "m.text", "body": "in the clear"});
    let path = room.path("send/m.room.message/plain");
    room.host
        .allowed("write in the clear", "PUT", &path, &plain);
    meeting.host_says("encrypted again").unwrap();
    wait_for("what came after", PATIENCE, || {
        Ok(meeting.guest.text()?.contains("encrypted again"))
    })
    .unwrap();
    let page = meeting.guest.text().unwrap();
    assert!(!page.contains("in the clear"), "{page}");
    let ban = json!({ "user_id": room.stranger.user });
    room.host
        .allowed("ban a stranger", "POST", &room.path("ban"), &ban);
    assert_eq!(meeting.guest.screen().unwrap(), "chat");
    meeting.guest.say("after").unwrap();
    assert_eq!(meeting.host_hears(1).unwrap().remove(0).body, "after");
}

/// The path by which somebody would join over an alias that the host made for the room.
fn alias(room: &Room) -> String {
    let alias = format!("%23open:{}", Lab::DOMAIN);
    let path = format!("/_matrix/client/v3/directory/room/{alias}");
    // The homeserver lets any member have one; it opens nothing.
    let _either = room
        .host
        .call("PUT", &path, &json!({ "room_id": room.id() }));
    format!("/_matrix/client/v3/join/{alias}")
}

#[test]
fn who_is_out_stays_out_and_a_ghost_is_nobody_elses() {
    let mut lab = lab().unwrap();
    let account = lab.account("alice", "Alice").unwrap();
    let host = lab.nio_device(&account, "alice").unwrap();
    let (host_api, _) = Api::login(&lab.homeserver(), "alice", &account.password).unwrap();
    let meeting = Meeting::arrange(host, "Maya").unwrap();
    let room = Room::of(&mut lab, &meeting, host_api);
    assert_ghost_is_ours(&lab, &room);

    // The host puts the guest out, and takes that back.
    let ghost = json!({ "user_id": room.ghost.user });
    room.host.allowed("ban", "POST", &room.path("ban"), &ghost);
    meeting.guest.wait_screen("ended").unwrap();
    room.host
        .allowed("unban", "POST", &room.path("unban"), &ghost);
    room.host
        .refused("invite again", "POST", &room.path("invite"), &ghost);
    room.assert_closed_to(&room.ghost);
    room.assert_closed_to(&room.bot);
    // Nor does anybody come back to a room in which the host is alone, or who left it.
    room.host
        .allowed("leave", "POST", &room.path("leave"), &json!({}));
    room.host
        .refused("come back", "POST", &room.path("join"), &json!({}));
    room.assert_closed_to(&room.ghost);
}

/// Nobody gets hold of a ghost without the bridge's own token.
fn assert_ghost_is_ours(lab: &Lab, room: &Room) {
    let ghost = &room.ghost.user;
    let localpart = ghost.split([':', '@']).nth(1).unwrap();
    let nobody = Api::new(&lab.homeserver(), None);
    let id = json!({"type": "m.id.user", "user": localpart});
    let logins = [
        json!({"type": "m.login.password", "identifier": id, "password": ""}),
        json!({"type": "m.login.application_service", "identifier": id}),
    ];
    for login in logins {
        let answer = nobody
            .call("POST", "/_matrix/client/v3/login", Some(&login))
            .unwrap();
        assert!((400..500).contains(&answer.status), "{}", answer.text);
    }
    let taken = json!({
        "auth": {"type": "m.login.dummy"},
        "username": "_vestibule_mine",
        "password": "long enough to be taken",
    });
    let answer = nobody
        .call("POST", "/_matrix/client/v3/register", Some(&taken))
        .unwrap();
    // Exclusive to the bridge, and Synapse gives nobody else a name with a `_` before it anyway.
    assert_eq!(answer.status, 400, "{}", answer.text);
    for trier in [&room.host, &room.stranger] {
        let whoami = format!("/_matrix/client/v3/account/whoami?user_id={ghost}");
        let said = trier.allowed("ask who it is", "GET", &whoami, &Value::Null);
        assert_eq!(said.get("user_id"), Some(&json!(trier.user)));
        let name = format!("/_matrix/client/v3/profile/{ghost}/displayname");
        let body = json!({"displayname": "Alice"});
        let (status, said) = trier.call("PUT", &name, &body);
        assert!(
            (400..500).contains(&status),
            "{} renames: {said}",
            trier.name
        );
    }
    // The guests' listener has nothing of the homeserver's.
    for path in [
        "/_matrix/client/v3/account/whoami",
        "/_matrix/client/versions",
    ] {
        let answer = lab.guests().call("GET", path, None).unwrap();
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
    }
}
