//! The rooms in which the bot listens to hosts.

use std::time::Duration;

use crate::audit::{Act, Actor, Target};
use crate::bridge::{Answer, Decision, Undecided};
use crate::command::{self, Reader, Scene};
use crate::draft::Draft;
use crate::effect::{Effect, Words};
use crate::host::ManagementRoom;
use crate::id::{RoomId, UserId};
use crate::input::{Came, Membership, Outcome, RoomEvent, RoomEventKind, Unread};
use crate::permission;
use crate::policy::Role;
use crate::store::{Change, Read};
use crate::time::Timestamp;
use crate::words::roughly;

const WELCOME: &str = "Hello! I make links for guest chats: whoever opens your link in a browser can talk with you, \
                       end-to-end encrypted, without an account.";

const ADVICE: &str = "One thing: this room is not encrypted, so your homeserver can read the links that I give you here. \
                      Better turn encryption on in the room's settings, or start a new chat with me that is encrypted. \
                      I understand both.";

const IN_THE_CLEAR: &str = "This room is encrypted, but your message came without encryption, so I did not follow it. \
                            Please write it again from a client that encrypts.";

const UNSIGNED_DEVICE: &str = "I did not follow a message that somebody wrote here, because it came from a device that its owner has not \
                               verified. If it was you: verify that device with another one of yours or with your recovery \
                               key, or write from another device. Then write it again.";

const NO_KEY: &str = "I can't decrypt a message that somebody wrote here: its key did not reach me. If it was meant for me, \
                      please write it again.";

const RESET: &str = "Your encryption identity was reset. I use the new one from now on. \
                     If that wasn't you, tell your admin, and end your chats.";

/// An encrypted command whose key comes later than this after it is not followed any more: its author has
/// given it up, or written it again.
const TOO_LATE: Duration = Duration::from_secs(10 * 60);
/// How long is kept quiet about messages that can't be read, in a room of many: most are not for the bot.
const QUIET: Duration = Duration::from_secs(60 * 60);

/// An event in a room that is no portal. One that led to something is remembered: the same event in
/// another transaction must not have the bot do it again.
pub(crate) fn room_event(event: RoomEvent, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    if event.sender == draft.policy.bot {
        return Ok(());
    }
    // That there is an encrypted event is told before what stands in it, which must count then.
    let opaque = matches!(event.kind, RoomEventKind::Encrypted { .. });
    let once = format!("event:{}", event.event_id);
    if !opaque && draft.facts.transaction_seen(&once)? {
        return Ok(());
    }
    heed(event, draft)?;
    if !opaque && !draft.is_empty() {
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
                came,
            },
            Some(room),
        ) if msgtype == "m.text" => {
            let late = came == Came::Late && draft.now.since(event.at) > TOO_LATE;
            let said = Message {
                author: &event.sender,
                body: &body,
                encrypted: came != Came::Plain,
                late: late.then(|| draft.now.since(event.at)),
            };
            message(room, &said, draft)?;
        }
        (RoomEventKind::Unread { why }, Some(room)) => {
            unread(room, &event.sender, why, draft)?;
        }
        // Whoever may not command the bot can't tell it how a room is either.
        (RoomEventKind::Encrypted { .. }, Some(room))
            if role(&event.sender, draft)? >= Role::Host =>
        {
            encrypted(room, draft);
        }
        (RoomEventKind::Encryption, Some(room)) => encrypted(room, draft),
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
        looked: true,
        advised: !encrypted,
        unread_told: None,
    };
    draft.say(&room.room, greeting(&room));
    draft.put(Change::PutManagementRoom(room));
}

fn greeting(room: &ManagementRoom) -> Words {
    let next = if room.direct {
        "Write `invite` for a link, or `help` for everything I understand."
    } else {
        "Write `!guest invite` for a link, or `!guest help` for everything I understand."
    };
    let advice = if room.encrypted {
        String::new()
    } else {
        format!("\n{ADVICE}")
    };
    Words::new(format!("{WELCOME}\n{next}{advice}"))
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

/// A message that somebody wrote in a management room.
struct Message<'a> {
    author: &'a UserId,
    body: &'a str,
    encrypted: bool,
    /// How old it was when it could be read, if that is too old.
    late: Option<Duration>,
}

fn message(
    mut room: ManagementRoom,
    said: &Message<'_>,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    let role = role(said.author, draft)?;
    if role < needed(&room) {
        return Ok(());
    }
    if said.encrypted {
        encrypted(room.clone(), draft);
        room.encrypted = true;
    }
    // What must be remembered of the room, before the command may change it too.
    let advise = !room.encrypted && !room.advised;
    let known = room.clone();
    room.advised |= advise;
    let scene = Scene {
        room: &room,
        author: said.author,
        role,
        now: draft.now,
    };
    let Some(parsed) = command::parse(said.body, room.direct, Reader::of(scene)) else {
        return Ok(());
    };
    if room.encrypted && !said.encrypted {
        // Anybody on the way could have written it.
        draft.say(&room.room, Words::new(IN_THE_CLEAR));
        return Ok(());
    }
    if let Some(late) = said.late {
        let text = format!(
            "I could read a message of yours only {} after you wrote it, so I did not follow it. \
             Please write it again if you still want it.",
            roughly(late)
        );
        draft.say(&room.room, Words::new(text));
        return Ok(());
    }
    if room != known {
        draft.put(Change::PutManagementRoom(room.clone()));
    }
    match parsed {
        Ok(request) => command::answer(request, scene, draft)?,
        Err(misuse) => draft.say(&room.room, Words::new(misuse.in_words(room.direct))),
    }
    if advise {
        draft.say(&room.room, Words::new(ADVICE));
    }
    Ok(())
}

fn needed(room: &ManagementRoom) -> Role {
    if room.admin { Role::Admin } else { Role::Host }
}

/// From now on, and for good.
fn encrypted(mut room: ManagementRoom, draft: &mut Draft<'_>) {
    if !room.encrypted {
        room.encrypted = true;
        draft.put(Change::PutManagementRoom(room));
    }
}

/// The bot's device can't read a message.
fn unread(
    mut room: ManagementRoom,
    author: &UserId,
    why: Unread,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    if role(author, draft)? < needed(&room) {
        return Ok(());
    }
    // A clock that was set back silences nothing.
    let quiet = |told: Timestamp| draft.now >= told && draft.now.since(told) < QUIET;
    if !room.direct && room.unread_told.is_some_and(quiet) {
        return Ok(());
    }
    let text = match why {
        Unread::UnsignedDevice => UNSIGNED_DEVICE,
        Unread::NoKey => NO_KEY,
    };
    draft.say(&room.room, Words::new(text));
    room.encrypted = true;
    room.unread_told = Some(draft.now);
    draft.put(Change::PutManagementRoom(room));
    Ok(())
}

/// The homeserver was asked whether a management room is encrypted.
pub(crate) fn seen(
    room: &RoomId,
    encrypted: bool,
    mut draft: Draft<'_>,
) -> Result<Decision, Undecided> {
    if let Some(mut room) = draft.facts.management_room(room)? {
        room.looked = true;
        room.encrypted |= encrypted;
        draft.put(Change::PutManagementRoom(room));
    }
    Ok(draft.answer(Answer::Stored))
}

/// Somebody has other cross-signing keys than before.
pub(crate) fn identity_reset(
    user: &UserId,
    rooms: &[RoomId],
    mut draft: Draft<'_>,
) -> Result<Decision, Undecided> {
    draft.audit(Act::IdentityReset, Actor::Bridge, Target::host(user))?;
    for room in rooms {
        let Some(room) = draft.facts.management_room(room)? else {
            continue;
        };
        draft.say(&room.room, reset_words(user, room.direct));
    }
    Ok(draft.answer(Answer::Stored))
}

/// What somebody is told whose encryption identity was reset; in a room of many it names them.
#[must_use]
pub fn reset_words(user: &UserId, direct: bool) -> Words {
    if direct {
        Words::new(RESET)
    } else {
        Words::new(format!("{user}: {RESET}"))
    }
}
