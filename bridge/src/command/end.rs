//! `end N`: end a chat.

use super::scene::{Scene, Stop};
use super::which::{Which, called};
use super::{Command, Place, Reads};
use crate::book::{Book, Entry, Standing};
use crate::draft::Draft;
use crate::end::close;
use crate::policy::Role;
use crate::portal::EndReason;

pub(super) const COMMAND: Command = Command {
    name: "end",
    arguments: "N",
    summary: "end a chat for both of you",
    details: "N is a number from the list, or the label. The guest reads that the chat has ended. You can as well \
              leave the chat's room.",
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
    let goes_on = |entry: &Entry| entry.standing(scene.now) == Standing::Chat;
    let entry = which.one(COMMAND.name, goes_on, book, scene)?;
    if let Some(portal) = &entry.portal {
        close(portal.clone(), EndReason::Host, draft)?;
    }
    Ok(format!(
        "I ended the chat with {}. Write {} for a new link.",
        called(entry),
        scene.command("renew", entry.link.number)
    ))
}
