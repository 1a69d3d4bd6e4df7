//! `end N`: end a chat.

use super::which::{Room, Which, called};
use super::{Command, Misuse, Request, which};
use crate::book::{Book, Entry, Standing};
use crate::bridge::Undecided;
use crate::draft::Draft;
use crate::effect::Words;
use crate::end::close;
use crate::host::ManagementRoom;
use crate::id::UserId;
use crate::policy::Role;
use crate::portal::EndReason;

pub(super) const COMMAND: Command = Command {
    name: "end",
    arguments: "N",
    summary: "end a chat for both of you",
    details: "N is a number from the list, or the label. The guest reads that the chat has ended. You can as well \
              leave the chat's room.",
    role: Role::Host,
    parse,
};

fn parse(arguments: &str, _role: Role) -> Result<Request, Misuse> {
    which::parse(arguments, COMMAND.name).map(Request::End)
}

pub(super) fn answer(
    which: &Which,
    room: &ManagementRoom,
    author: &UserId,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    let book = Book::of(author, draft)?;
    let now = draft.now;
    let speak = Room::of(room, now);
    let goes_on = |entry: &Entry| entry.standing(now) == Standing::Chat;
    let text = match which.one(COMMAND.name, goes_on, &book, speak) {
        Ok(entry) => {
            if let Some(portal) = &entry.portal {
                close(portal.clone(), EndReason::Host, draft)?;
            }
            format!(
                "I ended the chat with {}. Write {} for a new link.",
                called(entry),
                speak.command("renew", entry.link.number)
            )
        }
        Err(text) => text,
    };
    draft.say(&room.room, Words::new(text));
    Ok(())
}
