//! `unblock N`: take a guest off the block list.

use super::which::{Found, Room, Which, called};
use super::{Command, Misuse, Request, which};
use crate::block::Block;
use crate::book::Book;
use crate::bridge::Undecided;
use crate::draft::Draft;
use crate::effect::Words;
use crate::host::ManagementRoom;
use crate::id::UserId;
use crate::policy::Role;
use crate::store::Change;

pub(super) const COMMAND: Command = Command {
    name: "unblock",
    arguments: "N",
    summary: "let a blocked guest in again",
    details: "N is a number from the list, or the label. The chat that ended stays ended; invite them anew.",
    role: Role::Host,
    parse,
};

fn parse(arguments: &str, _role: Role) -> Result<Request, Misuse> {
    which::parse(arguments, COMMAND.name).map(Request::Unblock)
}

pub(super) fn answer(
    which: &Which,
    room: &ManagementRoom,
    author: &UserId,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    let book = Book::of(author, draft)?;
    let speak = Room::of(room, draft.now);
    let text = match which.find(book.blocks.iter()) {
        Found::One(block) => {
            draft.put(Change::DeleteBlock {
                host: block.host.clone(),
                key: block.key.clone(),
            });
            format!(
                "{} is no longer blocked. Write {} for a new link.",
                called(block),
                again(block, &book, speak)
            )
        }
        Found::Several(blocks) => which.several(COMMAND.name, &blocks, speak),
        Found::None if book.blocks.is_empty() => "You blocked nobody.".to_owned(),
        Found::None => which.unknown(COMMAND.name, book.blocks.iter(), speak),
    };
    draft.say(&room.room, Words::new(text));
    Ok(())
}

/// The link may be forgotten by now.
fn again(block: &Block, book: &Book, speak: Room) -> String {
    let remembered = |entry: &crate::book::Entry| entry.link.number == block.number;
    match &block.label {
        _ if book.entries.iter().any(remembered) => speak.command("renew", block.number),
        Some(label) => speak.command("invite", label),
        None => speak.command("invite", ""),
    }
}
