//! `unblock N`: take a guest off the block list.

use super::scene::{Scene, Stop};
use super::which::{Found, Which, called};
use super::{Command, Place, Reads};
use crate::block::{Block, unblock};
use crate::book::{Book, Entry};
use crate::draft::Draft;
use crate::policy::Role;

pub(super) const COMMAND: Command = Command {
    name: "unblock",
    arguments: "N",
    summary: "let a blocked guest in again",
    details: "N is a number from the list, or the label. The chat that ended stays ended; invite them anew.",
    role: Role::Host,
    place: Place::Hosts,
    reads: Reads::Which(carry_out),
};

fn carry_out(
    which: &Which,
    book: &Book,
    scene: Scene<'_>,
    draft: &mut Draft<'_>,
) -> Result<String, Stop> {
    match which.find(book.blocks.iter()) {
        Found::One(block) => {
            unblock(block, draft)?;
            Ok(format!(
                "{} is no longer blocked. Write {} for a new link.",
                called(block),
                again(block, book, scene)
            ))
        }
        Found::Several(blocks) => Err(which.several(COMMAND.name, &blocks, scene)),
        Found::None if book.blocks.is_empty() => {
            Err(Stop::Because("You have not blocked anybody.".to_owned()))
        }
        Found::None => Err(which.unknown(COMMAND.name, book.blocks.iter(), scene)),
    }
}

/// The link may be forgotten by now.
fn again(block: &Block, book: &Book, scene: Scene<'_>) -> String {
    let remembered = |entry: &Entry| entry.link.number == block.number;
    match &block.label {
        _ if book.entries.iter().any(remembered) => scene.command("renew", block.number),
        Some(label) => scene.command("invite", label),
        None => scene.command("invite", ""),
    }
}
