//! What hosts write to the bot. One file a command; its name, its help and who may use it are data,
//! reading it is pure.

pub mod help;
pub mod invite;

use crate::bridge::Undecided;
use crate::draft::Draft;
use crate::host::ManagementRoom;
use crate::id::UserId;
use crate::policy::Role;

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
pub const COMMANDS: &[Command] = &[invite::COMMAND, help::COMMAND];

/// A command that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Make a link.
    Invite(invite::Invite),
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
        }
    }
}

/// A command as one has to write it in a room.
fn shown(command: &str, direct: bool) -> String {
    if direct {
        command.to_owned()
    } else {
        format!("{PREFIX} {command}")
    }
}

/// Reads a message. `None` when it isn't meant for the bot, as most in a room of more than two.
pub fn parse(body: &str, direct: bool, role: Role) -> Option<Result<Request, Misuse>> {
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
            meant: nearest(&name, role),
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

/// The command that is at most two typing mistakes away, or of which this is the beginning.
fn nearest(typed: &str, role: Role) -> Option<&'static str> {
    const MISTAKES: usize = 2;
    let begun = permitted(role).find(|command| command.name.starts_with(typed));
    let near = || {
        permitted(role)
            .map(|command| (mistakes(typed, command.name), command))
            .filter(|(mistakes, command)| {
                *mistakes <= MISTAKES && *mistakes < command.name.len() / 2
            })
            .min_by_key(|(mistakes, _)| *mistakes)
            .map(|(_, command)| command)
    };
    begun.or_else(near).map(|command| command.name)
}

/// Levenshtein's distance: how many letters have to be put in, taken out or changed.
fn mistakes(from: &str, to: &str) -> usize {
    // No name is that long, and the work grows with the length.
    const LONGEST: usize = 30;
    if from.chars().count() > LONGEST {
        return usize::MAX;
    }
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        let mut next = vec![left];
        for (other, up) in to.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(letter != *other))
                .min(up + 1)
                .min(left + 1);
            diagonal = *up;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(body: &str) -> Option<Result<Request, Misuse>> {
        parse(body, true, Role::Host)
    }

    fn invite(label: Option<&str>) -> Option<Result<Request, Misuse>> {
        Some(Ok(Request::Invite(invite::Invite {
            label: label.map(str::to_owned),
        })))
    }

    fn option(typed: &str) -> Option<Result<Request, Misuse>> {
        Some(Err(Misuse::Option {
            command: "invite",
            typed: typed.to_owned(),
        }))
    }

    #[test]
    fn invite_takes_a_label_and_no_options() {
        let table = [
            ("invite", invite(None)),
            ("invite   ", invite(None)),
            ("Invite Bob", invite(Some("Bob"))),
            (
                "invite  Bob\n the \t plumber\u{202e}",
                invite(Some("Bob the plumber")),
            ),
            ("!guest invite Bob", invite(Some("Bob"))),
            ("invite Bob - plumber", invite(Some("Bob - plumber"))),
            ("invite Bob — plumber", invite(Some("Bob — plumber"))),
            ("invite Bob --", invite(Some("Bob --"))),
            ("invite --expires 3d", option("--expires")),
            ("invite Bob --passcode", option("--passcode")),
            ("invite Bob —passcode", option("—passcode")),
        ];
        for (body, expected) in table {
            assert_eq!(host(body), expected, "{body}");
        }
        let longest = "ä".repeat(invite::LABEL_LENGTH);
        assert_eq!(host(&format!("invite {longest}")), invite(Some(&longest)));
        assert_eq!(
            host(&format!("invite {longest}ä")),
            Some(Err(Misuse::Label))
        );
    }

    #[test]
    fn help_knows_every_command() {
        for command in COMMANDS {
            let expected = Request::Help(help::Help {
                command: Some(command.name),
            });
            assert_eq!(
                host(&format!("help {}", command.name)),
                Some(Ok(expected.clone()))
            );
            assert_eq!(
                host(&format!("help /{}", command.name.to_uppercase())),
                Some(Ok(expected))
            );
        }
        assert_eq!(
            host("help"),
            Some(Ok(Request::Help(help::Help { command: None })))
        );
        let meant = Misuse::Unknown {
            typed: "invit".to_owned(),
            meant: Some("invite"),
        };
        assert_eq!(host("help invit"), Some(Err(meant)));
    }

    #[test]
    fn the_nearest_command_is_suggested() {
        let table = [
            ("invte", Some("invite")),
            ("Invites", Some("invite")),
            ("inivte", Some("invite")),
            ("in", Some("invite")),
            ("hlp", Some("help")),
            ("hepl", None),
            ("hello", None),
            ("hi", None),
            ("yes", None),
            ("exit", None),
            ("привет", None),
        ];
        for (typed, meant) in table {
            let expected = Misuse::Unknown {
                typed: typed.to_owned(),
                meant,
            };
            assert_eq!(host(typed), Some(Err(expected)), "{typed}");
        }
    }

    #[test]
    fn what_is_said_back_is_bounded() {
        let Some(Err(Misuse::Unknown { typed, meant })) = host(&"x".repeat(10_000)) else {
            unreachable!("a long word is no command")
        };
        assert_eq!((typed.chars().count(), meant), (31, None));
    }

    #[test]
    fn a_command_does_not_exist_for_those_who_may_not_use_it() {
        assert!(matches!(
            parse("invite", true, Role::None),
            Some(Err(Misuse::Unknown { meant: None, .. }))
        ));
    }

    #[test]
    fn every_misuse_says_what_to_do() {
        let misuses = [
            Misuse::Empty,
            Misuse::Unknown {
                typed: "x".to_owned(),
                meant: None,
            },
            Misuse::Unknown {
                typed: "x".to_owned(),
                meant: Some("invite"),
            },
            Misuse::Option {
                command: "invite",
                typed: "--x".to_owned(),
            },
        ];
        for misuse in misuses {
            assert!(!misuse.in_words(true).contains(PREFIX));
            assert!(misuse.in_words(false).contains("`!guest "), "{misuse:?}");
        }
        assert!(Misuse::Label.in_words(true).contains("60"));
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        let table = [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abd", "abc", 1),
            ("kitten", "sitting", 3),
            ("abc", "", 3),
        ];
        for (from, to, distance) in table {
            assert_eq!(mistakes(from, to), distance, "{from} {to}");
        }
    }
}
