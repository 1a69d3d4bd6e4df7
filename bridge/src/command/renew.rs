//! `renew N`: make a new link with the same label.

use super::invite::{self, Wish};
use super::revoke::take_back;
use super::which::{Found, Room, Which, called};
use super::{Command, Misuse, Request, which};
use crate::book::{Book, Entry, Standing};
use crate::bridge::Undecided;
use crate::draft::Draft;
use crate::effect::Words;
use crate::host::ManagementRoom;
use crate::id::UserId;
use crate::policy::Role;

pub(super) const COMMAND: Command = Command {
    name: "renew",
    arguments: "N",
    summary: "make a new link with the same label",
    details: "N is a number from the list or from what I told you, or the label. The new link has a number of its \
              own, and a new passcode if the old one had one. An unused link is taken back; a chat goes on.",
    role: Role::Host,
    parse,
};

fn parse(arguments: &str, _role: Role) -> Result<Request, Misuse> {
    which::parse(arguments, COMMAND.name).map(Request::Renew)
}

pub(super) fn answer(
    which: &Which,
    room: &ManagementRoom,
    author: &UserId,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    let book = Book::of(author, draft)?;
    let speak = Room::of(room, draft.now);
    let entry = match which.find(book.entries.iter()) {
        Found::One(entry) => Some(entry),
        // They have the same label, and that is what is asked for.
        Found::Several(entries) => entries.last().copied(),
        Found::None => None,
    };
    let Some(entry) = entry else {
        let text = which.unknown(COMMAND.name, book.entries.iter(), speak);
        draft.say(&room.room, Words::new(text));
        return Ok(());
    };
    if let Some(text) = blocked(entry, &book, speak) {
        draft.say(&room.room, Words::new(text));
        return Ok(());
    }
    let unused = entry.standing(draft.now) == Standing::Unused;
    let wish = Wish {
        label: entry.link.label.clone(),
        lives: draft.policy.link_lifetime,
        passcode: entry.link.passcode.is_some(),
        replaces: unused.then_some(entry.link.id),
    };
    let made = invite::make(wish, room, author, draft)?;
    if made && unused {
        take_back(&entry.link, draft)?;
    }
    Ok(())
}

/// A guest without label is on the block list by number alone.
fn blocked(entry: &Entry, book: &Book, speak: Room) -> Option<String> {
    let number = entry.link.number;
    let block = book.blocks.iter().find(|block| block.number == number)?;
    Some(format!(
        "You blocked {}. Write {} first.",
        called(block),
        speak.command("unblock", block.number)
    ))
}
