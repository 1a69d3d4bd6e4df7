//! What hosts and admins write and is not understood.

use super::{Place, invite, shown};

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
    /// The command needs a number as admins know them.
    Number {
        /// The command.
        command: &'static str,
    },
    /// The command needs a Matrix user.
    Host {
        /// The command.
        command: &'static str,
    },
    /// A limit is no number.
    Quota,
    /// The command exists in other rooms.
    Elsewhere {
        /// The command.
        command: &'static str,
        /// Where.
        place: Place,
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
            Self::Number { command } => {
                format!(
                    "Which one? Write `{}` or `{}` to see the numbers, and then for example `{} 12`.",
                    shown("chats", direct),
                    shown("links", direct),
                    shown(command, direct)
                )
            }
            Self::Host { command } => {
                format!(
                    "Which host? Write for example `{} @alice:example.org`.",
                    shown(command, direct)
                )
            }
            Self::Quota => {
                format!(
                    "How many? Write for example `{} 5` for both, `… chats 200` for one of them, or `… default`.",
                    shown("quota @alice:example.org", direct)
                )
            }
            Self::Elsewhere {
                command,
                place: Place::Admins,
            } => {
                format!(
                    "`{command}` works in an admin room. Write `{}` in a room of you and me, or of admins alone, to \
                     make it one.",
                    shown("admin-room", direct)
                )
            }
            Self::Elsewhere { command, .. } => {
                format!(
                    "`{command}` is nothing for an admin room. Please write it in a chat of your own with me. Write \
                     `{help}` to see what I understand here."
                )
            }
        }
    }
}
