//! `block-host @id` and `unblock-host @id`.

use super::{actor, check_host};
use crate::audit::{Act, Target};
use crate::command::scene::{Scene, Stop};
use crate::command::{Command, Place, Reads};
use crate::draft::Draft;
use crate::host::{Host, HostBlock};
use crate::id::UserId;
use crate::policy::Role;
use crate::steering::{self, CHATS_PER_TICK};
use crate::store::Change;
use crate::words::counted;

pub(in crate::command) const BLOCK: Command = Command {
    name: "block-host",
    arguments: "@host:server",
    summary: "take a host's links back, end their chats, and give them no more",
    details: "It holds until `unblock-host`. Their guests read that an administrator ended the chat. `quota` shows who \
              is blocked. For a whole server, set it to none in the configuration, or use a deny list.",
    role: Role::Admin,
    place: Place::Admins,
    reads: Reads::Host(block),
};

pub(in crate::command) const UNBLOCK: Command = Command {
    name: "unblock-host",
    arguments: "@host:server",
    summary: "let a blocked host have links again",
    details: "What was ended stays ended.",
    role: Role::Admin,
    place: Place::Admins,
    reads: Reads::Host(unblock),
};

fn block(user: &UserId, scene: Scene<'_>, draft: &mut Draft<'_>) -> Result<String, Stop> {
    check_host(user, draft)?;
    if draft.policy.permissions.role(user) == Role::Admin {
        return Err(Stop::Because(format!(
            "{user} is an admin by the configuration, which I can't change. Take them out of `permissions` and start \
             the bridge again."
        )));
    }
    let host = steering::host(user, draft)?;
    if host.blocked.is_some() {
        return Err(Stop::Because(format!(
            "{user} is blocked already. Write {} to take that back.",
            scene.command("unblock-host", user)
        )));
    }
    draft.put(Change::PutHost(Host {
        blocked: Some(HostBlock {
            at: draft.now,
            by: scene.author.clone(),
        }),
        ..host
    }));
    draft.audit(Act::HostBlocked, actor(scene), Target::host(user))?;
    draft.acting = actor(scene);
    let links = draft.facts.links_of_host(user)?;
    let links = links.iter().filter(|link| link.is_open()).count();
    let chats = draft.facts.portals_of_host(user)?;
    let chats = chats.iter().filter(|portal| !portal.is_closed()).count();
    let ended = steering::clear(user, CHATS_PER_TICK, draft)?;
    let rest = chats.saturating_sub(ended);
    let later = if rest > 0 {
        let mut steering = draft.facts.steering()?;
        steering.clearing.insert(user.clone());
        draft.put(Change::PutSteering(steering));
        format!(" {rest} of the chats end within the next minutes.")
    } else {
        String::new()
    };
    Ok(format!(
        "I blocked {user}: {} taken back, {} ended.{later} Write {} to let them have links again.",
        counted(links, "link"),
        counted(chats, "chat"),
        scene.command("unblock-host", user)
    ))
}

fn unblock(user: &UserId, scene: Scene<'_>, draft: &mut Draft<'_>) -> Result<String, Stop> {
    let host = steering::host(user, draft)?;
    if host.blocked.is_none() {
        return Err(Stop::Because(format!(
            "{user} is not blocked. {} shows who is.",
            scene.command("quota", "")
        )));
    }
    draft.put(Change::PutHost(Host {
        blocked: None,
        ..host
    }));
    let mut steering = draft.facts.steering()?;
    if steering.clearing.remove(user) {
        draft.put(Change::PutSteering(steering));
    }
    draft.audit(Act::HostUnblocked, actor(scene), Target::host(user))?;
    let also = if draft.policy.permissions.role(user) < Role::Host {
        " By the configuration they may have none all the same."
    } else {
        ""
    };
    Ok(format!("{user} may have links again.{also}"))
}
