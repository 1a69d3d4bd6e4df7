//! `end N` and `revoke N` in an admin room: N is a number of all hosts.

use super::{actor, chat};
use crate::command::scene::{Scene, Stop};
use crate::command::{Command, Place, Reads};
use crate::draft::Draft;
use crate::end::close;
use crate::link::Link;
use crate::policy::Role;
use crate::portal::EndReason;
use crate::steering;

pub(in crate::command) const END: Command = Command {
    name: "end",
    arguments: "N",
    summary: "end a chat of any host",
    details: "N is a number from `chats`. Guest and host read that an administrator ended it.",
    role: Role::Admin,
    place: Place::Admins,
    reads: Reads::Number(end),
};

pub(in crate::command) const REVOKE: Command = Command {
    name: "revoke",
    arguments: "N",
    summary: "take back an unused link of any host",
    details: "N is a number from `links`. Whoever opens the link after that reads that it was withdrawn, and its host \
              is told that an administrator took it back.",
    role: Role::Admin,
    place: Place::Admins,
    reads: Reads::Number(revoke),
};

fn end(link: &Link, scene: Scene<'_>, draft: &mut Draft<'_>) -> Result<String, Stop> {
    let portal = chat(link, draft)?.filter(|portal| !portal.is_closed());
    let Some(portal) = portal else {
        return Err(instead(link, scene, draft));
    };
    draft.acting = actor(scene);
    close(portal, EndReason::Admin, draft)?;
    Ok(format!(
        "I ended chat {} of {}. Guest and host read that an administrator did.",
        link.serial, link.host
    ))
}

fn revoke(link: &Link, scene: Scene<'_>, draft: &mut Draft<'_>) -> Result<String, Stop> {
    if link.usable(draft.now).is_err() {
        return Err(match chat(link, draft)? {
            Some(portal) if !portal.is_closed() => Stop::Because(format!(
                "Number {} is a chat that goes on. Write {} to end it.",
                link.serial,
                scene.command("end", link.serial)
            )),
            _ => over(link),
        });
    }
    draft.acting = actor(scene);
    steering::revoke(link, draft)?;
    Ok(format!(
        "I took link {} of {} back, and told them.",
        link.serial, link.host
    ))
}

fn instead(link: &Link, scene: Scene<'_>, draft: &Draft<'_>) -> Stop {
    if link.usable(draft.now).is_ok() {
        Stop::Because(format!(
            "Number {} is a link that nobody used yet. Write {} to take it back.",
            link.serial,
            scene.command("revoke", link.serial)
        ))
    } else {
        over(link)
    }
}

fn over(link: &Link) -> Stop {
    Stop::Because(format!("Number {} is over already.", link.serial))
}
