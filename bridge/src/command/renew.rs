//! `renew N`: make a new link with the same label.

use super::invite::{self, Wish};
use super::scene::{Scene, Stop};
use super::which::{Which, called};
use super::{Command, Place, Reads};
use crate::audit::Actor;
use crate::book::{Book, Entry, Standing};
use crate::draft::Draft;
use crate::link::take_back;
use crate::policy::Role;

pub(super) const COMMAND: Command = Command {
    name: "renew",
    arguments: "N",
    summary: "make a new link with the same label",
    details: "N is a number from the list or from what I told you, or the label. The new link has a number of its \
              own, and a new passcode if the old one had one. An unused link is taken back; a chat goes on.",
    role: Role::Host,
    place: Place::Hosts,
    reads: Reads::Which(carry_out),
};

/// Says nothing itself: the link's words do, and can't be stored.
fn carry_out(
    which: &Which,
    book: &Book,
    scene: Scene<'_>,
    draft: &mut Draft<'_>,
) -> Result<String, Stop> {
    // Several have the same label, and that is what is asked for.
    let entry = which.newest(book.entries.iter());
    let entry = entry.ok_or_else(|| which.unknown(COMMAND.name, book.entries.iter(), scene))?;
    check_block(entry, book, scene)?;
    let unused = entry.standing(scene.now) == Standing::Unused;
    let wish = Wish {
        label: entry.link.label.clone(),
        lives: draft.policy.link_lifetime,
        passcode: entry.link.passcode.is_some(),
        replaces: unused.then_some(entry.link.id),
    };
    invite::make(wish, scene, draft)?;
    if unused {
        take_back(&entry.link, Actor::Host, draft)?;
    }
    Ok(String::new())
}

/// A guest without label is on the block list by number alone.
fn check_block(entry: &Entry, book: &Book, scene: Scene<'_>) -> Result<(), Stop> {
    let number = entry.link.number;
    match book.blocks.iter().find(|block| block.number == number) {
        None => Ok(()),
        Some(block) => Err(Stop::Because(format!(
            "You blocked {}. Write {} first.",
            called(block),
            scene.command("unblock", block.number)
        ))),
    }
}
