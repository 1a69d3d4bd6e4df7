//! `admin-room`: make this room an admin room, or an ordinary one again.

use super::actor;
use crate::audit::{Act, Target};
use crate::command::scene::{Said, Scene, Stop, one};
use crate::command::{Command, Misuse, Place, Reader, Reads, Request, shorten};
use crate::draft::Draft;
use crate::host::ManagementRoom;
use crate::policy::Role;
use crate::store::Change;

pub(in crate::command) const COMMAND: Command = Command {
    name: "admin-room",
    arguments: "[off]",
    summary: "make this room an admin room",
    details: "In an admin room I obey admins only, and show them which hosts have links and chats, without names of \
              guests and without what is written. Everybody who is in the room reads along, so it is best a room of \
              admins alone. With `off` it becomes an ordinary room again.",
    role: Role::Admin,
    place: Place::Anywhere,
    reads: Reads::Own(parse),
};

fn parse(arguments: &str, _reader: Reader) -> Result<Request, Misuse> {
    match arguments.trim().to_lowercase().as_str() {
        "" => Ok(Request::AdminRoom { on: true }),
        "off" | "--off" => Ok(Request::AdminRoom { on: false }),
        _ => Err(Misuse::Option {
            command: COMMAND.name,
            typed: shorten(arguments.trim()),
        }),
    }
}

pub(in crate::command) fn answer(
    on: bool,
    scene: Scene<'_>,
    draft: &mut Draft<'_>,
) -> Result<Said, Stop> {
    if scene.room.admin == on {
        return Err(Stop::Because(if on {
            format!(
                "This is an admin room already. Write {} to see what I understand.",
                scene.command("help", "")
            )
        } else {
            "This is no admin room.".to_owned()
        }));
    }
    draft.put(Change::PutManagementRoom(ManagementRoom {
        admin: on,
        ..scene.room.clone()
    }));
    let act = if on {
        Act::AdminRoomClaimed
    } else {
        Act::AdminRoomGivenUp
    };
    draft.audit(act, actor(scene), Target::default())?;
    let text = if on {
        format!(
            "This is an admin room now. I obey admins alone here; whoever else is in the room reads along. \
             Write {} to see what I understand, or {} for how things are.",
            scene.command("help", ""),
            scene.command("status", "")
        )
    } else {
        "This is an ordinary room again.".to_owned()
    };
    Ok(one(text))
}
