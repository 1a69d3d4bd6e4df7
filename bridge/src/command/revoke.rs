//! `revoke N`: take an unused link back.

use super::scene::{Scene, Stop};
use super::which::{Which, called};
use super::{Command, Place, Reads};
use crate::audit::Actor;
use crate::book::{Book, Entry, Standing};
use crate::draft::Draft;
use crate::link::take_back;
use crate::policy::Role;

pub(super) const COMMAND: Command = Command {
    name: "revoke",
    arguments: "N",
    summary: "take back a link that nobody used yet",
    details: "N is a number from the list, or the label. Whoever opens the link after that reads that it was \
              withdrawn.",
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
    let unused = |entry: &Entry| entry.standing(scene.now) == Standing::Unused;
    let entry = which.one(COMMAND.name, unused, book, scene)?;
    take_back(&entry.link, Actor::Host, draft)?;
    Ok(format!(
        "I took the link for {} back. Write {} for a new one.",
        called(entry),
        scene.command("renew", entry.link.number)
    ))
}
