//! `help [command]`: explain the commands.

use super::scene::{Said, Scene, one};
use super::{Command, Misuse, Place, Reader, Reads, Request, find, first_word, permitted, shown};
use crate::policy::Role;

pub(super) const COMMAND: Command = Command {
    name: "help",
    arguments: "[command]",
    summary: "show what I understand, or all about one command",
    details: "",
    role: Role::Host,
    place: Place::Anywhere,
    reads: Reads::Own(parse),
};

/// Explain the commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Help {
    /// The name of the one that is asked about.
    pub command: Option<&'static str>,
}

fn parse(arguments: &str, reader: Reader) -> Result<Request, Misuse> {
    let (name, _) = first_word(arguments);
    if name.is_empty() {
        return Ok(Request::Help(Help { command: None }));
    }
    let command = find(name.trim_start_matches(['/', '!']), reader)?;
    Ok(Request::Help(Help {
        command: Some(command.name),
    }))
}

pub(super) fn answer(help: &Help, scene: Scene<'_>) -> Said {
    let reader = Reader::of(scene);
    let direct = scene.room.direct;
    let about = permitted(reader).find(|command| help.command == Some(command.name));
    one(about.map_or_else(
        || overview(reader, direct),
        |command| explain(command, direct),
    ))
}

fn overview(reader: Reader, direct: bool) -> String {
    let lines =
        permitted(reader).map(|command| format!("{}: {}", usage(command, direct), command.summary));
    let first = if reader.admin_room {
        "This is an admin room. You can write:"
    } else {
        "I make links for guest chats. You can write:"
    };
    std::iter::once(first.to_owned())
        .chain(lines)
        .collect::<Vec<_>>()
        .join("\n")
}

fn explain(command: &Command, direct: bool) -> String {
    format!(
        "{}: {}\n{}",
        usage(command, direct),
        command.summary,
        command.details
    )
    .trim_end()
    .to_owned()
}

fn usage(command: &Command, direct: bool) -> String {
    let written = format!("{} {}", shown(command.name, direct), command.arguments);
    format!("`{}`", written.trim_end())
}
