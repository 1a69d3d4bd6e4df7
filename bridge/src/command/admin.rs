//! What admins write in an admin room. Nothing here shows a guest's name, a label or a message: an
//! admin sees hosts' ids, states and times.

pub mod audit;
pub mod chats;
pub mod hosts;
pub mod pause;
pub mod quota;
pub mod reports;
pub mod room;
pub mod show;

use super::Misuse;
use super::scene::{Scene, Stop};
use crate::audit::Actor;
use crate::draft::Draft;
use crate::ghost;
use crate::id::UserId;
use crate::link::{Link, LinkState};
use crate::portal::Portal;

/// Reads a number as the admin lists show them.
pub(super) fn number(arguments: &str, command: &'static str) -> Result<u64, Misuse> {
    let digits = arguments.trim();
    let digits = digits.strip_prefix('#').unwrap_or(digits);
    let number = digits.parse().ok().filter(|number| *number > 0);
    number.ok_or(Misuse::Number { command })
}

/// Reads a Matrix user.
pub(super) fn host(arguments: &str, command: &'static str) -> Result<UserId, Misuse> {
    let id = arguments.trim();
    let sound = id.strip_prefix('@').is_some_and(|rest| {
        let parts = rest.split_once(':');
        parts.is_some_and(|(localpart, server)| !localpart.is_empty() && !server.is_empty())
    });
    let plain = id.len() <= 255 && !id.contains(|c: char| c.is_whitespace() || c.is_control());
    if sound && plain {
        Ok(UserId::new(id))
    } else {
        Err(Misuse::Host { command })
    }
}

/// The link with this number.
pub(super) fn link(serial: u64, scene: Scene<'_>, draft: &Draft<'_>) -> Result<Link, Stop> {
    draft.facts.link_by_serial(serial)?.ok_or_else(|| {
        Stop::Because(format!(
            "I find no number {serial}. {} and {} show what there is; what is over for long is forgotten.",
            scene.command("chats", ""),
            scene.command("links", "")
        ))
    })
}

/// The chat that a link became, as long as its rows are there.
pub(super) fn chat(link: &Link, draft: &Draft<'_>) -> Result<Option<Portal>, Stop> {
    match link.state {
        LinkState::Used { portal, .. } => Ok(draft.facts.portal(portal)?),
        _ => Ok(None),
    }
}

/// Whoever acts here.
pub(super) fn actor(scene: Scene<'_>) -> Actor {
    Actor::Admin(scene.author.clone())
}

/// Only those who can have links can be blocked or be given limits.
pub(super) fn check_host(user: &UserId, draft: &Draft<'_>) -> Result<(), Stop> {
    if *user == draft.policy.bot || ghost::is_ghost(user, &draft.policy.server_name) {
        return Err(Stop::Because(format!(
            "{user} is one of the bridge's own users, and no host."
        )));
    }
    Ok(())
}
