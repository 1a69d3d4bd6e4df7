#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use vestibule_bridge::id::RoomId;

use super::*;

const BOT: &str = "@guestbot:example.org";
const HOST: &str = "@alice:example.org";
const GHOST: &str = "@_vestibule_1:example.org";

fn step() -> InRoom {
    InRoom {
        portal: PortalId::from_u128(1),
        room: RoomId::new("!room"),
        ghost: UserId::new(GHOST),
        host: UserId::new(HOST),
    }
}

fn event(event_type: &str, state_key: &str, sender: &str, content: Value) -> StateEvent {
    StateEvent {
        event_type: event_type.into(),
        state_key: state_key.into(),
        sender: sender.into(),
        content,
    }
}

/// The state that Synapse makes of our request and the four steps after it.
fn sealed() -> Vec<StateEvent> {
    let body = create_room(
        PortalId::from_u128(1),
        &UserId::new(HOST),
        &UserId::new(GHOST),
    );
    let mut power = body["power_level_content_override"].clone();
    power["historical"] = json!(100);
    let mut create = body["creation_content"].clone();
    create["room_version"] = json!("12");
    vec![
        event("m.room.create", "", BOT, create),
        event(
            "m.room.encryption",
            "",
            BOT,
            json!({ "algorithm": "m.megolm.v1.aes-sha2" }),
        ),
        event(
            "m.room.history_visibility",
            "",
            BOT,
            json!({ "history_visibility": "invited" }),
        ),
        event(
            "m.room.guest_access",
            "",
            BOT,
            json!({ "guest_access": "forbidden" }),
        ),
        event(
            "m.room.join_rules",
            "",
            BOT,
            json!({ "join_rule": "invite" }),
        ),
        event(
            "m.room.power_levels",
            "",
            GHOST,
            without_power(power, &UserId::new(HOST)),
        ),
        event("m.room.member", BOT, BOT, json!({ "membership": "leave" })),
        event(
            "m.room.member",
            GHOST,
            GHOST,
            json!({ "membership": "join" }),
        ),
        event(
            "m.room.member",
            HOST,
            GHOST,
            json!({ "membership": "invite" }),
        ),
    ]
}

fn check(state: &[StateEvent]) -> Result<bool, Broken> {
    verify(state, &step(), &UserId::new(BOT))
}

#[test]
fn the_room_we_ask_for_is_sealed() {
    assert_eq!(check(&sealed()), Ok(false));
    let mut joined = sealed();
    joined[8].content = json!({ "membership": "join" });
    assert_eq!(check(&joined), Ok(true));
}

#[test]
fn each_missing_piece_breaks_the_seal() {
    for index in 0..sealed().len() {
        let mut state = sealed();
        let gone = state.remove(index);
        // The bot's and the host's membership may be absent: then they are not in the room.
        let may_be_absent = gone.state_key == BOT || gone.state_key == HOST;
        assert_eq!(check(&state).is_ok(), may_be_absent, "{}", gone.event_type);
    }
}

#[test]
fn a_room_that_was_replaced_is_not_sealed() {
    let mut state = sealed();
    let content = json!({ "body": "moved", "replacement_room": "!other" });
    state.push(event("m.room.tombstone", "", BOT, content));
    assert_eq!(check(&state), Err(Broken("m.room.tombstone")));
}

#[test]
fn each_loosened_level_breaks_the_seal() {
    for (name, level) in [
        ("users", json!({ HOST: 50, GHOST: 100 })),
        ("users", json!({ HOST: 100 })),
        ("users", json!({})),
        ("users_default", json!(50)),
        ("events_default", json!(0)),
        ("state_default", json!(50)),
        ("invite", json!(50)),
        ("invite", json!("100")),
        (
            "events",
            json!({ "m.room.encrypted": 0, "m.room.message": 0, "m.room.redaction": 0, "m.reaction": 0 }),
        ),
        ("events", json!({ "m.room.encrypted": 0 })),
        ("historical", json!(0)),
        ("redact", json!(0)),
    ] {
        let mut state = sealed();
        state[5].content[name] = level.clone();
        assert_eq!(
            check(&state),
            Err(Broken("m.room.power_levels")),
            "{name}: {level}"
        );
    }
}

#[test]
fn anybody_else_breaks_the_seal() {
    let mut bot_stays = sealed();
    bot_stays[6].content = json!({ "membership": "join" });
    assert!(check(&bot_stays).is_err());
    for membership in ["join", "invite", "knock"] {
        let mut third = sealed();
        third.push(event(
            "m.room.member",
            "@eve:example.org",
            "@eve:example.org",
            json!({ "membership": membership }),
        ));
        assert!(check(&third).is_err(), "{membership}");
    }
    let mut gone = sealed();
    gone.push(event(
        "m.room.member",
        "@eve:example.org",
        HOST,
        json!({ "membership": "ban" }),
    ));
    assert_eq!(check(&gone), Ok(false));
}

#[test]
fn another_creator_or_version_breaks_the_seal() {
    let mut state = sealed();
    state[0].sender = GHOST.into();
    assert_eq!(check(&state), Err(Broken("m.room.create")));
    let mut state = sealed();
    state[0].content["additional_creators"] = json!([GHOST]);
    assert_eq!(check(&state), Err(Broken("m.room.create")));
    let mut state = sealed();
    state[0].content["room_version"] = json!("11");
    assert_eq!(check(&state), Err(Broken("m.room.create")));
}
