//! What the bot tells a host without being asked: one notice an event, each once, and none for what
//! the host's client shows anyway. Said where the link was asked for.

use crate::bridge::Undecided;
use crate::command::shown;
use crate::draft::{Draft, readable};
use crate::effect::Words;
use crate::input::Membership;
use crate::link::Link;
use crate::passcode::PASSCODE_TRIES;
use crate::portal::{EndReason, Portal};
use crate::words::{in_words, roughly};

/// Whom a link is for, as the bot speaks of them.
pub(crate) fn whom(label: Option<&str>) -> &str {
    label.unwrap_or("a guest")
}

/// The same with the number that commands take.
pub(crate) fn whom_by_number(label: Option<&str>, number: u32) -> String {
    match number {
        0 => whom(label).to_owned(),
        number => format!("{} (number {number})", whom(label)),
    }
}

fn called(link: &Link) -> String {
    whom_by_number(link.label.as_deref(), link.number)
}

/// Says something where the link was asked for, as encrypted as the room is. Not when the bot is no
/// more there, and not in a room that became an admin room, where labels are nobody's business.
pub(crate) fn tell(
    link: &Link,
    words: impl FnOnce(&dyn Fn(&str) -> String) -> String,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    let room = readable(draft.facts.management_room(&link.room))?;
    if let Some(room) = room.filter(|room| !room.admin) {
        let command = |command: &str| {
            let arguments = format!("{command} {}", link.number);
            format!("`{}`", shown(arguments.trim_end_matches(" 0"), room.direct))
        };
        draft.say(&room.room, Words::new(words(&command)));
    }
    Ok(())
}

/// The same for a portal. Without its link nobody knows where.
fn tell_of(
    portal: &Portal,
    words: impl FnOnce(&Link, &dyn Fn(&str) -> String) -> String,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    match readable(draft.link(portal.link))? {
        Some(link) => tell(&link, |command| words(&link, command), draft),
        None => Ok(()),
    }
}

/// Somebody looked at it.
pub(crate) fn link_opened(link: &Link, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let words = |_: &dyn Fn(&str) -> String| {
        format!(
            "Your link for {} was opened in a browser. You get an invitation as soon as they start.",
            called(link)
        )
    };
    tell(link, words, draft)
}

/// Nobody used it in time.
pub(crate) fn link_expired(link: &Link, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let words = |command: &dyn Fn(&str) -> String| {
        format!(
            "Your link for {} has expired; nobody used it. Write {} for a new one.",
            called(link),
            command("renew")
        )
    };
    tell(link, words, draft)
}

/// All its tries for a passcode are used up.
pub(crate) fn passcode_spent(link: &Link, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let words = |command: &dyn Fn(&str) -> String| {
        format!(
            "Somebody tried {PASSCODE_TRIES} wrong passcodes on your link for {}, so I took the link back. \
             Write {} for a new one, with a new passcode.",
            called(link),
            command("renew")
        )
    };
    tell(link, words, draft)
}

/// Both sides are warned; the page gets a frame.
pub(crate) fn ends_soon(portal: &Portal, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let left = roughly(portal.ends_at.since(draft.now));
    let words = |link: &Link, _: &dyn Fn(&str) -> String| {
        format!(
            "The chat with {} ends in {left} unless one of you writes.",
            called(link)
        )
    };
    tell_of(portal, words, draft)
}

/// The guest wasn't there for long.
pub(crate) fn absent(portal: &Portal, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let away = roughly(draft.now.since(portal.last_sign()));
    let left = roughly(portal.ends_at.since(draft.now));
    let words = |link: &Link, _: &dyn Fn(&str) -> String| {
        format!(
            "{} hasn't opened the chat for {away}. What you wrote waits for them; the chat ends in {left} \
             unless one of you writes.",
            capitalised(&called(link))
        )
    };
    tell_of(portal, words, draft)
}

/// A message of the host came without encryption; the page is told that there was one.
pub(crate) fn not_encrypted(portal: &Portal, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let words = |link: &Link, _: &dyn Fn(&str) -> String| {
        format!(
            "Your message in the chat with {} was not encrypted, so I did not pass it on. Please send it \
             again with an app that encrypts.",
            called(link)
        )
    };
    tell_of(portal, words, draft)
}

/// The guest was blocked by the host's own client.
pub(crate) fn blocked(
    portal: &Portal,
    how: Membership,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    let did = match how {
        Membership::Ban => "banned",
        _ => "removed",
    };
    let words = |link: &Link, command: &dyn Fn(&str) -> String| {
        format!(
            "You {did} {}, so I blocked them. Write {} if you want to invite them again one day.",
            called(link),
            command("unblock")
        )
    };
    tell_of(portal, words, draft)
}

/// The chat ended by another's hand than the host's.
pub(crate) fn ended(
    portal: &Portal,
    link: &Link,
    reason: EndReason,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    let why = match reason {
        // The host's client or the answer to the command shows it.
        EndReason::Host => return Ok(()),
        EndReason::Guest => "the guest ended it".to_owned(),
        EndReason::Expired => {
            let limit = portal.ends_at.since(portal.last_message_at);
            format!("nobody wrote for {}", in_words(limit))
        }
        EndReason::Failed if portal.is_open() => {
            "the homeserver closed or changed its room".to_owned()
        }
        EndReason::Failed => "it could not be set up safely".to_owned(),
        EndReason::ThirdParty => "somebody else came into the room".to_owned(),
        EndReason::Admin => return admin_ended(link, draft),
    };
    let words = |command: &dyn Fn(&str) -> String| {
        format!(
            "The chat with {} is over: {why}. Write {} for a new link.",
            called(link),
            command("renew")
        )
    };
    tell(link, words, draft)
}

/// No word of a new link: whether they may have one is the admin's to say.
fn admin_ended(link: &Link, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let words = |_: &dyn Fn(&str) -> String| {
        format!(
            "The chat with {} is over: an administrator of this service ended it.",
            called(link)
        )
    };
    tell(link, words, draft)
}

/// An admin took the link back.
pub(crate) fn link_withdrawn(link: &Link, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let words = |_: &dyn Fn(&str) -> String| {
        format!(
            "An administrator of this service took your link for {} back. It works no more.",
            called(link)
        )
    };
    tell(link, words, draft)
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
