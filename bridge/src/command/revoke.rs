//! `revoke N`: take an unused link back.

use super::which::{Room, Which, called};
use super::{Command, Misuse, Request, which};
use crate::book::{Book, Standing};
use crate::bridge::Undecided;
use crate::draft::Draft;
use crate::effect::Words;
use crate::host::ManagementRoom;
use crate::id::UserId;
use crate::link::{Link, LinkState};
use crate::policy::Role;

pub(super) const COMMAND: Command = Command {
    name: "revoke",
    arguments: "N",
    summary: "take back a link that nobody used yet",
    details: "N is a number from the list, or the label. Whoever opens the link after that reads that it was \
              withdrawn.",
    role: Role::Host,
    parse,
};

fn parse(arguments: &str, _role: Role) -> Result<Request, Misuse> {
    which::parse(arguments, COMMAND.name).map(Request::Revoke)
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
    let unused = |entry: &crate::book::Entry| entry.standing(now) == Standing::Unused;
    let text = match which.one(COMMAND.name, unused, &book, speak) {
        Ok(entry) => {
            take_back(&entry.link, draft)?;
            format!(
                "I took the link for {} back. Write {} for a new one.",
                called(entry),
                speak.command("renew", entry.link.number)
            )
        }
        Err(text) => text,
    };
    draft.say(&room.room, Words::new(text));
    Ok(())
}

/// Takes back a link that is open.
pub(super) fn take_back(link: &Link, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    draft.counts()?.link_over();
    draft.put_link(Link {
        state: LinkState::Revoked { at: draft.now },
        ..link.clone()
    });
    Ok(())
}
