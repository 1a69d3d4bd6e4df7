//! `verify N`: the safety code of a chat, to be compared with the one in the guest's page.

use super::scene::{Scene, Stop};
use super::which::{Which, called};
use super::{Command, Place, Reads};
use crate::book::{Book, Entry, Standing};
use crate::draft::Draft;
use crate::effect::Effect;
use crate::policy::Role;
use crate::report::Report;

pub(super) const COMMAND: Command = Command {
    name: "verify",
    arguments: "N",
    summary: "show a chat's safety code, to compare it with your guest",
    details: "N is a number from the list, or the label. The guest sees their code in the menu of their page. Read \
              the two to each other by phone, or face to face: if they differ, somebody may stand between you.",
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
    let Some(portal) = entry.portal.as_ref().filter(|portal| portal.is_open()) else {
        return Ok(format!(
            "The chat with {} is still being set up. Write {} again when you have the invitation.",
            called(entry),
            scene.command(COMMAND.name, entry.link.number)
        ));
    };
    // What the homeserver shows of the two has to be asked for, and nobody waits for that here.
    let portal = portal.id;
    let room = scene.room.room.clone();
    let report = Report::Safety { portal };
    draft.effect(Effect::Report { room, report });
    Ok(String::new())
}
