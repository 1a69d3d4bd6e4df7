//! Whether a call is on the list of those that the bridge makes, `docs/calls.md`.

#[path = "../../../appservice/tests/intent/table.rs"]
mod table;

use std::sync::LazyLock;

use super::call::Call;
use super::state::{BOT, GHOSTS};
use table::Row;

static MADE: LazyLock<Vec<Row>> = LazyLock::new(table::made);

/// In whose name a call is; none when it is in nobody's whose name the bridge may use.
fn by(call: &Call) -> Option<&'static str> {
    let user = call.query.get("user_id").map(String::as_str);
    match (user, call.query.get("device_id")) {
        (None, None) if call.authorized => Some("appservice"),
        (None, None) => Some("nobody"),
        (Some(BOT), _) => Some("bot"),
        (Some(user), device) if user.starts_with(GHOSTS) => {
            Some(if device.is_some() { "device" } else { "ghost" })
        }
        _ => None,
    }
}

/// The row of a call, which must be in the right name and about the right things.
pub fn assert_listed(call: &Call) -> &'static Row {
    let row = MADE
        .iter()
        .find(|row| table::fits(&row.call, &call.method, &call.url));
    let row = row.unwrap_or_else(|| panic!("not in docs/calls.md: {call:?}"));
    let by = by(call).unwrap_or_else(|| panic!("in nobody's name: {call:?}"));
    assert!(row.by.contains(by), "not in the name of the {by}: {call:?}");
    assert!(
        !row.causes.contains("nobody"),
        "caused by somebody: {call:?}"
    );
    assert_about(call, by);
    row
}

/// What can be said of a call without knowing which chat it belongs to.
fn assert_about(call: &Call, by: &str) {
    let part = |place: usize| call.path.get(place).map_or("", String::as_str);
    let right = match (call.name, by) {
        ("send", "device") => part(4) == "m.room.encrypted",
        ("send" | "wake", "bot") => matches!(
            part(4),
            "m.room.message" | "m.room.encrypted" | "org.vestibule.wake"
        ),
        // Of those who are in its rooms.
        ("keys_query" | "keys_claim", "bot") => true,
        // The doctor looks whether what it sends to itself is pushed.
        ("send_to_device", _) if part(2) == "org.vestibule.doctor" => {
            let receivers = call.body["messages"].as_object().unwrap();
            call.user().starts_with("@_vestibule_doctor:") && receivers.keys().eq([call.user()])
        }
        ("send_to_device", _) => matches!(part(2), "m.room.encrypted" | "m.room_key.withheld"),
        ("put_state", _) => {
            let invitation = part(4) == "m.room.member" && call.body["membership"] == "invite";
            invitation || part(4) == "m.room.power_levels"
        }
        // Nobody's name is changed, and nobody is shown as typing, but the caller.
        ("set_name" | "set_avatar" | "set_presence" | "get_presence", _) => part(2) == call.user(),
        ("typing", _) => part(4) == call.user(),
        ("keys_query", _) => call.body["device_keys"].as_object().unwrap().len() == 1,
        ("keys_claim", _) => call.body["one_time_keys"].as_object().unwrap().len() == 1,
        ("create_room", _) => call.body["preset"] == "private_chat",
        _ => true,
    };
    assert!(right, "about something else: {call:?}");
}
