//! `block N`: end a chat and let the guest in no more.

use super::scene::{Scene, Stop};
use super::which::{Which, called};
use super::{Command, Place, Reads};
use crate::block::{block, same_label};
use crate::book::{Book, Entry, Named, Standing};
use crate::draft::Draft;
use crate::policy::Role;

pub(super) const COMMAND: Command = Command {
    name: "block",
    arguments: "N",
    summary: "end a chat and let the guest in no more",
    details: "N is a number from the list, or the label. The guest reads that the chat has ended, and not that you \
              blocked them. Their browser can't use another link of yours, as far as it can be recognised, and I \
              make no new link with the same label. You can as well ban or remove the guest in the chat's room.",
    role: Role::Host,
    place: Place::Hosts,
    reads: Reads::Which(carry_out),
};

/// A chat that goes on is meant rather than one with the same label that is over.
fn choose<'a>(which: &Which, book: &'a Book, scene: Scene<'_>) -> Result<&'a Entry, Stop> {
    let goes_on = |entry: &Entry| entry.standing(scene.now) == Standing::Chat;
    let known = |entry: &Entry| entry.portal.is_some();
    which
        .one(COMMAND.name, goes_on, book, scene)
        .or_else(|_| which.one(COMMAND.name, known, book, scene))
}

fn carry_out(
    which: &Which,
    book: &Book,
    scene: Scene<'_>,
    draft: &mut Draft<'_>,
) -> Result<String, Stop> {
    let entry = choose(which, book, scene)?;
    let Some(portal) = &entry.portal else {
        return Ok(String::new());
    };
    let who = called(entry);
    let unblock = scene.command("unblock", entry.link.number);
    let known = book
        .blocks
        .iter()
        .any(|block| block.key == portal.visit.ed25519);
    if known {
        return Ok(format!(
            "You blocked {who} before. Write {unblock} to take that back."
        ));
    }
    block(portal, draft)?;
    let ended = if portal.is_closed() {
        ""
    } else {
        " and ended the chat. They read that it has ended, and not that you blocked them"
    };
    let mut text = format!("I blocked {who}{ended}. Write {unblock} to take that back.");
    if let Some(other) = other_link(entry, book, scene) {
        text.push_str(&format!(
            "\nThere is still an unused link with this label. Write {} to take it back.",
            scene.command("revoke", other)
        ));
    }
    Ok(text)
}

/// A link with the same label that somebody can still use: perhaps the same person has it.
fn other_link(entry: &Entry, book: &Book, scene: Scene<'_>) -> Option<u32> {
    let label = entry.label()?;
    let same = |other: &&Entry| {
        other.standing(scene.now) == Standing::Unused
            && other.label().is_some_and(|other| same_label(other, label))
    };
    book.entries.iter().find(same).map(Named::number)
}
