//! `pause [--revoke]` and `resume`: the kill switch.

use super::actor;
use crate::audit::{Act, Target};
use crate::command::scene::{Said, Scene, Stop, one};
use crate::command::{Command, Misuse, Place, Reader, Reads, Request, shorten};
use crate::draft::Draft;
use crate::policy::Role;
use crate::steering::{LINKS_PER_TICK, Paused};
use crate::store::Change;
use crate::words::{about, counted, roughly};

/// How often the shell ticks, for estimates.
const TICK_SECONDS: u64 = 5;

pub(in crate::command) const PAUSE: Command = Command {
    name: "pause",
    arguments: "[--revoke]",
    summary: "make no new links and let nobody in, until `resume`",
    details: "Chats go on. Links stay good, and guests who open one read that they should try again later. With \
              `--revoke` all unused links are taken back too: from that moment none of them works. It holds over a \
              restart.",
    role: Role::Admin,
    place: Place::Admins,
    reads: Reads::Own(parse_pause),
};

pub(in crate::command) const RESUME: Command = Command {
    name: "resume",
    arguments: "",
    summary: "make links and let guests in again",
    details: "Links that were taken back stay so.",
    role: Role::Admin,
    place: Place::Admins,
    reads: Reads::Own(|_, _| Ok(Request::Resume)),
};

fn parse_pause(arguments: &str, _reader: Reader) -> Result<Request, Misuse> {
    match arguments.trim().to_lowercase().as_str() {
        "" => Ok(Request::Pause { revoke: false }),
        "--revoke" | "—revoke" => Ok(Request::Pause { revoke: true }),
        _ => Err(Misuse::Option {
            command: PAUSE.name,
            typed: shorten(arguments.trim()),
        }),
    }
}

pub(in crate::command) fn pause(
    revoke: bool,
    scene: Scene<'_>,
    draft: &mut Draft<'_>,
) -> Result<Said, Stop> {
    let mut steering = draft.facts.steering()?;
    if let (Some(paused), false) = (&steering.paused, revoke) {
        return Err(Stop::Because(format!(
            "It is paused already: that was {} ago. Write {} to go on.",
            roughly(draft.now.since(paused.at)),
            scene.command("resume", "")
        )));
    }
    steering.paused.get_or_insert_with(|| Paused {
        at: draft.now,
        by: scene.author.clone(),
    });
    let mut text = format!(
        "Paused: no new links, and nobody gets in. Chats go on. Write {} to go on.",
        scene.command("resume", "")
    );
    if revoke {
        let counts = *draft.counts()?;
        steering.revoking_below = Some(counts.last_serial.saturating_add(1));
        let links = usize::try_from(counts.open_links).unwrap_or(usize::MAX);
        let seconds = (counts.open_links / LINKS_PER_TICK as u64 + 1) * TICK_SECONDS;
        text.push_str(&format!(
            "\nI take {} back. None of them works any more; until all their hosts are told it takes about {}.",
            counted(links, "unused link"),
            about(std::time::Duration::from_secs(seconds))
        ));
    }
    draft.put(Change::PutSteering(steering));
    draft.audit(Act::Paused { revoke }, actor(scene), Target::default())?;
    Ok(one(text))
}

pub(in crate::command) fn resume(scene: Scene<'_>, draft: &mut Draft<'_>) -> Result<Said, Stop> {
    let mut steering = draft.facts.steering()?;
    if steering.paused.take().is_none() {
        return Err(Stop::Because("It is not paused.".to_owned()));
    }
    draft.put(Change::PutSteering(steering));
    draft.audit(Act::Resumed, actor(scene), Target::default())?;
    Ok(one("Links are made and guests are let in again."))
}
