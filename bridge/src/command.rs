//! What hosts write to the bot. One file a command; its name, its help and who may use it are data,
//! reading it is pure.

pub mod block;
pub mod end;
pub mod help;
pub mod invite;
pub mod list;
pub mod renew;
pub mod revoke;
pub mod unblock;
pub mod which;

mod length;
#[cfg(test)]
mod tests;
mod typo;

use crate::bridge::Undecided;
use crate::draft::Draft;
use crate::host::ManagementRoom;
use crate::id::UserId;
use crate::policy::Role;
use which::Which;

/// What a command must begin with in rooms of more than two.
pub const PREFIX: &str = "!guest";

/// One command.
#[derive(Debug)]
pub struct Command {
    /// What one writes to use it.
    pub name: &'static str,
    /// What may follow the name, as the help shows it.
    pub arguments: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Everything else that one may want to know.
    pub details: &'static str,
    /// Who may use it. To others it doesn't exist.
    pub role: Role,
    parse: fn(&str, Role) -> Result<Request, Misuse>,
}

/// All commands, in the order of the help.
pub const COMMANDS: &[Command] = &[
    invite::COMMAND,
    list::COMMAND,
    revoke::COMMAND,
    end::COMMAND,
    block::COMMAND,
    unblock::COMMAND,
    renew::COMMAND,
    help::COMMAND,
];

/// A command that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Make a link.
    Invite(invite::Invite),
    /// List links and chats.
    List,
    /// Take a link back.
    Revoke(Which),
    /// End a chat.
    End(Which),
    /// Block a guest.
    Block(Which),
    /// Take a guest off the block list.
    Unblock(Which),
    /// Make a new link with the same label.
    Renew(Which),
    /// Explain the commands.
    Help(help::Help),
}

/// A command that was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// Only the prefix.
    Empty,
    /// No command has this name.
    Unknown {
        /// What was written.
        typed: String,
        /// The command that was probably meant.
        meant: Option<&'static str>,
    },
    /// The command takes no such option.
    Option {
        /// The command.
        command: &'static str,
        /// What was written.
        typed: String,
    },
    /// The label is too long.
    Label,
    /// What follows `--expires` is no length of time.
    Length {
        /// What was written.
        typed: String,
    },
    /// The command needs to know which link or chat.
    Which {
        /// The command.
        command: &'static str,
    },
}

impl Misuse {
    /// What the host reads, which says what to do next.
    #[must_use]
    pub fn in_words(&self, direct: bool) -> String {
        let help = shown("help", direct);
        match self {
            Self::Empty => format!("Write `{help}` to see what I understand."),
            Self::Unknown {
                typed,
                meant: Some(meant),
            } => {
                format!(
                    "I don't know “{typed}”. Did you mean `{}`?",
                    shown(meant, direct)
                )
            }
            Self::Unknown { typed, meant: None } => {
                format!("I don't know “{typed}”. Write `{help}` to see what I understand.")
            }
            Self::Option { command, typed } => {
                format!(
                    "`{command}` has no option “{typed}”. Write `{help} {command}` to see how it is used."
                )
            }
            Self::Label => {
                format!(
                    "That label is too long; please use at most {} characters.",
                    invite::LABEL_LENGTH
                )
            }
            Self::Length { typed } if typed.is_empty() => {
                "Please say how long the link is to live, for example `--expires 3d` for three days."
                    .to_owned()
            }
            Self::Length { typed } => {
                format!(
                    "I don't understand “{typed}” as a time. Write for example `--expires 3d`, \
                     with m for minutes, h for hours, d for days or w for weeks."
                )
            }
            Self::Which { command } => {
                format!(
                    "Which one? Write `{}` to see the numbers, and then for example `{} 3`.",
                    shown("list", direct),
                    shown(command, direct)
                )
            }
        }
    }
}

/// A command as one has to write it in a room.
pub(crate) fn shown(command: &str, direct: bool) -> String {
    if direct {
        command.to_owned()
    } else {
        format!("{PREFIX} {command}")
    }
}

/// Reads a message. `None` when it isn't meant for the bot, as most in a room of more than two, or
/// when it quotes another.
pub fn parse(body: &str, direct: bool, role: Role) -> Option<Result<Request, Misuse>> {
    // Clients that know no relations put a quotation before an answer.
    if body.trim_start().starts_with('>') {
        return None;
    }
    let (first, rest) = first_word(body);
    let (name, arguments) = if first.eq_ignore_ascii_case(PREFIX) {
        first_word(rest)
    } else if direct {
        (first, rest)
    } else {
        return None;
    };
    // People know commands as "/invite" or "!invite" from elsewhere.
    let name = name.trim_start_matches(['/', '!']);
    if name.is_empty() {
        return Some(Err(Misuse::Empty));
    }
    Some(find(name, role).and_then(|command| (command.parse)(arguments, role)))
}

/// Carries out what was understood.
pub(crate) fn answer(
    request: Request,
    room: &ManagementRoom,
    author: &UserId,
    role: Role,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    match request {
        Request::Invite(invite) => invite::answer(invite, room, author, draft),
        Request::List => list::answer(room, author, draft),
        Request::Revoke(which) => revoke::answer(&which, room, author, draft),
        Request::End(which) => end::answer(&which, room, author, draft),
        Request::Block(which) => block::answer(&which, room, author, draft),
        Request::Unblock(which) => unblock::answer(&which, room, author, draft),
        Request::Renew(which) => renew::answer(&which, room, author, draft),
        Request::Help(help) => {
            help::answer(&help, room, role, draft);
            Ok(())
        }
    }
}

/// The first word, and what follows it.
fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace)
        .map_or((text, ""), |(first, rest)| (first, rest.trim_start()))
}

fn permitted(role: Role) -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().filter(move |command| command.role <= role)
}

fn find(typed: &str, role: Role) -> Result<&'static Command, Misuse> {
    let name = typed.to_lowercase();
    permitted(role)
        .find(|command| command.name == name)
        .ok_or_else(|| Misuse::Unknown {
            typed: shorten(typed),
            meant: typo::nearest(&name, role),
        })
}

/// A bound for what is said back.
fn shorten(typed: &str) -> String {
    const LENGTH: usize = 30;
    let short: String = typed
        .chars()
        .filter(|c| !c.is_control())
        .take(LENGTH)
        .collect();
    if typed.chars().count() > LENGTH {
        format!("{short}…")
    } else {
        short
    }
}
