//! `show N`: all about one link and the chat it became.

use super::chat;
use crate::command::scene::{Scene, Stop};
use crate::command::{Command, Place, Reads};
use crate::draft::Draft;
use crate::link::{Link, LinkState};
use crate::policy::Role;
use crate::portal::Portal;
use crate::report::{chat_state, chat_times};
use crate::time::Timestamp;
use crate::words::roughly;

pub(in crate::command) const COMMAND: Command = Command {
    name: "show",
    arguments: "N",
    summary: "show all about one link or chat",
    details: "N is a number from `chats` or `links`. The ids are those that stand in logs and at the homeserver.",
    role: Role::Admin,
    place: Place::Admins,
    reads: Reads::Number(show),
};

fn show(link: &Link, _scene: Scene<'_>, draft: &mut Draft<'_>) -> Result<String, Stop> {
    let ago = |at: Timestamp| format!("{} ago", roughly(draft.now.since(at)));
    let state = match link.state {
        LinkState::Open if link.usable(draft.now).is_ok() => format!(
            "not used yet, works for {} more",
            roughly(link.expires_at.since(draft.now))
        ),
        LinkState::Open => "its time is over".to_owned(),
        LinkState::Used { at, .. } => format!("used {}", ago(at)),
        LinkState::Revoked { at } => format!("taken back {}", ago(at)),
        LinkState::Expired { at } => format!("expired {}", ago(at)),
    };
    let opened = link.opened_at.map_or_else(
        || "not opened".to_owned(),
        |at| format!("first opened {}", ago(at)),
    );
    let mut lines = vec![
        format!(
            "Number {} is of {}, who knows it as their number {}.",
            link.serial, link.host, link.number
        ),
        format!(
            "Link {}: made {}, {opened}, {state}.",
            link.id,
            ago(link.created_at)
        ),
    ];
    match chat(link, draft)? {
        Some(portal) => lines.extend(about_chat(&portal, draft.now)),
        None if matches!(link.state, LinkState::Used { .. }) => {
            lines.push("The chat is over, and forgotten.".to_owned());
        }
        None => {}
    }
    Ok(lines.join("\n"))
}

fn about_chat(portal: &Portal, now: Timestamp) -> Vec<String> {
    let room = portal.room().map_or("none yet", |room| room.as_str());
    vec![
        format!(
            "Chat {}: {}, {}.",
            portal.id,
            chat_state(portal),
            chat_times(portal, now)
        ),
        format!("Room {room}, guest {}.", portal.ghost),
    ]
}
