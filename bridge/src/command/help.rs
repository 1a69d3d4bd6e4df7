//! `help [command]`: explain the commands.

use super::{Command, Misuse, Request, find, first_word, permitted, shown};
use crate::draft::Draft;
use crate::effect::Words;
use crate::host::ManagementRoom;
use crate::policy::Role;

pub(super) const COMMAND: Command = Command {
    name: "help",
    arguments: "[command]",
    summary: "show what I understand, or all about one command",
    details: "",
    role: Role::Host,
    parse,
};

/// Explain the commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Help {
    /// The name of the one that is asked about.
    pub command: Option<&'static str>,
}

fn parse(arguments: &str, role: Role) -> Result<Request, Misuse> {
    let (name, _) = first_word(arguments);
    if name.is_empty() {
        return Ok(Request::Help(Help { command: None }));
    }
    let command = find(name.trim_start_matches(['/', '!']), role)?;
    Ok(Request::Help(Help {
        command: Some(command.name),
    }))
}

pub(super) fn answer(help: &Help, room: &ManagementRoom, role: Role, draft: &mut Draft<'_>) {
    let about = permitted(role).find(|command| help.command == Some(command.name));
    let text = about.map_or_else(
        || overview(role, room.direct),
        |command| explain(command, room.direct),
    );
    draft.say(&room.room, Words::new(text));
}

fn overview(role: Role, direct: bool) -> String {
    let lines =
        permitted(role).map(|command| format!("{}: {}", usage(command, direct), command.summary));
    std::iter::once("I make links for guest chats. You can write:".to_owned())
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
