//! The rooms in which the bot listens to hosts.

use crate::bridge::Undecided;
use crate::command::{self, Reader, Scene};
use crate::draft::Draft;
use crate::effect::{Effect, Words};
use crate::host::ManagementRoom;
use crate::id::{RoomId, UserId};
use crate::input::{Membership, Outcome, RoomEvent, RoomEventKind};
use crate::permission;
use crate::policy::Role;
use crate::store::{Change, Read};

const WELCOME: &str = "Hello! I make links for guest chats: whoever opens your link in a browser can talk with you, \
                       end-to-end encrypted, without an account.";

const CANT_READ: &str = "This room is encrypted, and I can't read encrypted messages yet. \
                         Please start a chat with me that has encryption turned off, and write `invite` there.";

/// An event in a room that is no portal. One that led to something is remembered: the same event in
/// another transaction must not have the bot do it again.
pub(crate) fn room_event(event: RoomEvent, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    if event.sender == draft.policy.bot {
        return Ok(());
    }
    let once = format!("event:{}", event.event_id);
    if draft.facts.transaction_seen(&once)? {
        return Ok(());
    }
    heed(event, draft)?;
    if !draft.is_empty() {
        draft.put(Change::RememberTransaction(once));
    }
    Ok(())
}

fn heed(event: RoomEvent, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let room = draft.facts.management_room(&event.room)?;
    match (event.kind, room) {
        (
            RoomEventKind::Member {
                target,
                membership: Membership::Invite,
            },
            _,
        ) if target == draft.policy.bot => {
            invited(event.room, event.sender, draft)?;
        }
        (RoomEventKind::Member { target, membership }, Some(room)) => {
            member(room, &target, membership, draft)
        }
        (
            RoomEventKind::Message {
                msgtype,
                body,
                related: false,
            },
            Some(room),
        ) if msgtype == "m.text" => {
            message(&room, &event.sender, &body, draft)?;
        }
        (RoomEventKind::Encrypted { .. }, Some(room)) => encrypted(room, &event.sender, draft)?,
        _ => {}
    }
    Ok(())
}

fn role(user: &UserId, draft: &Draft<'_>) -> Read<Role> {
    permission::role(user, draft.facts, draft.policy)
}

fn invited(room: RoomId, by: UserId, draft: &mut Draft<'_>) -> Read<()> {
    let effect = if role(&by, draft)? >= Role::Host {
        Effect::BotJoins { room, host: by }
    } else {
        Effect::BotDeclines { room }
    };
    draft.effect(effect);
    Ok(())
}

/// The bot accepted an invitation.
pub(crate) fn joined(room: RoomId, host: UserId, outcome: &Outcome, draft: &mut Draft<'_>) {
    let Outcome::Joined { encrypted, members } = *outcome else {
        return;
    };
    let room = ManagementRoom {
        room,
        host,
        direct: members == 2,
        encrypted,
        admin: false,
    };
    draft.say(&room.room, greeting(&room));
    draft.put(Change::PutManagementRoom(room));
}

fn greeting(room: &ManagementRoom) -> Words {
    let next = match (room.encrypted, room.direct) {
        (true, _) => CANT_READ,
        (false, true) => "Write `invite` for a link, or `help` for everything I understand.",
        (false, false) => {
            "Write `!guest invite` for a link, or `!guest help` for everything I understand."
        }
    };
    Words::new(format!("{WELCOME}\n{next}"))
}

fn member(
    mut room: ManagementRoom,
    target: &UserId,
    membership: Membership,
    draft: &mut Draft<'_>,
) {
    let gone = matches!(membership, Membership::Leave | Membership::Ban);
    if *target == draft.policy.bot {
        if gone {
            draft.put(Change::DeleteManagementRoom(room.room));
        }
    } else if *target == room.host && !room.admin {
        if gone {
            draft.put(Change::DeleteManagementRoom(room.room.clone()));
            draft.effect(Effect::BotDeclines { room: room.room });
        }
    } else if !gone && room.direct {
        room.direct = false;
        draft.put(Change::PutManagementRoom(room));
    }
}

fn message(
    room: &ManagementRoom,
    author: &UserId,
    body: &str,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    let role = role(author, draft)?;
    let needed = if room.admin { Role::Admin } else { Role::Host };
    if role < needed {
        return Ok(());
    }
    let scene = Scene {
        room,
        author,
        role,
        now: draft.now,
    };
    let Some(parsed) = command::parse(body, room.direct, Reader::of(scene)) else {
        return Ok(());
    };
    if room.encrypted {
        // A link said here would stand unencrypted among encrypted messages.
        draft.say(&room.room, Words::new(CANT_READ));
        return Ok(());
    }
    match parsed {
        Ok(request) => command::answer(request, scene, draft),
        Err(misuse) => {
            draft.say(&room.room, Words::new(misuse.in_words(room.direct)));
            Ok(())
        }
    }
}

/// Said once: the room is remembered as encrypted.
fn encrypted(mut room: ManagementRoom, author: &UserId, draft: &mut Draft<'_>) -> Read<()> {
    if room.encrypted || role(author, draft)? < Role::Host {
        return Ok(());
    }
    draft.say(&room.room, Words::new(CANT_READ));
    room.encrypted = true;
    draft.put(Change::PutManagementRoom(room));
    Ok(())
}
