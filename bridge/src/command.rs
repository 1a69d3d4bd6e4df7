//! What hosts and admins write to the bot. One file a command; its name, its help and who may use it are data,
//! reading it is pure.

pub mod admin;
pub mod block;
pub mod end;
pub mod help;
pub mod invite;
pub mod list;
pub mod renew;
pub mod revoke;
pub mod unblock;
pub mod verify;
pub mod which;

mod length;
mod misuse;
mod scene;
#[cfg(test)]
mod tests;
mod typo;

use crate::book::Book;
use crate::bridge::Undecided;
use crate::draft::Draft;
use crate::effect::{Effect, Words};
use crate::id::UserId;
use crate::link::Link;
use crate::policy::Role;
use crate::report::Report;
use scene::{Said, Stop};
use which::Which;

pub use misuse::Misuse;

pub(crate) use admin::quota::in_words as quota_in_words;
pub(crate) use scene::Scene;

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
    /// Where it exists.
    pub place: Place,
    reads: Reads,
}

/// Where a command exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where hosts talk with the bot.
    Hosts,
    /// In admin rooms.
    Admins,
    /// In both.
    Anywhere,
}

/// What follows the name, and what is done with it.
#[derive(Debug)]
enum Reads {
    /// Something of its own.
    Own(fn(&str, Reader) -> Result<Request, Misuse>),
    /// One of the author's links, chats or blocked guests. What is done gives the bot's words, empty
    /// when they were said already.
    Which(fn(&Which, &Book, Scene<'_>, &mut Draft<'_>) -> Result<String, Stop>),
    /// The number of any host's link or chat.
    Number(fn(&Link, Scene<'_>, &mut Draft<'_>) -> Result<String, Stop>),
    /// A host.
    Host(fn(&UserId, Scene<'_>, &mut Draft<'_>) -> Result<String, Stop>),
}

/// For whom a command is read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// What they may do.
    pub role: Role,
    /// Whether the room is an admin room.
    pub admin_room: bool,
}

impl Reader {
    /// Whoever wrote in this scene.
    pub(crate) fn of(scene: Scene<'_>) -> Self {
        Self {
            role: scene.role,
            admin_room: scene.room.admin,
        }
    }

    fn may_use(self, command: &Command) -> bool {
        command.role <= self.role && self.is_place_of(command)
    }

    fn is_place_of(self, command: &Command) -> bool {
        match command.place {
            Place::Hosts => !self.admin_room,
            Place::Admins => self.admin_room,
            Place::Anywhere => true,
        }
    }
}

/// A command is what its name says.
impl PartialEq for Command {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.place == other.place
    }
}

impl Eq for Command {}

/// All commands, in the order of the help.
pub const COMMANDS: &[Command] = &[
    invite::COMMAND,
    list::COMMAND,
    revoke::COMMAND,
    end::COMMAND,
    block::COMMAND,
    unblock::COMMAND,
    renew::COMMAND,
    verify::COMMAND,
    admin::reports::STATUS,
    admin::reports::CHATS,
    admin::reports::LINKS,
    admin::show::COMMAND,
    admin::chats::END,
    admin::chats::REVOKE,
    admin::hosts::BLOCK,
    admin::hosts::UNBLOCK,
    admin::quota::COMMAND,
    admin::pause::PAUSE,
    admin::pause::RESUME,
    admin::audit::COMMAND,
    admin::reports::DOCTOR,
    admin::room::COMMAND,
    help::COMMAND,
];

/// A command that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Make a link.
    Invite(invite::Invite),
    /// List links and chats.
    List,
    /// Do what this command does with one link, chat or blocked guest.
    Which(&'static Command, Which),
    /// Make the room an admin room, or an ordinary one again.
    AdminRoom {
        /// Whether an admin room.
        on: bool,
    },
    /// Do what this command does with the link or chat of this number.
    Number(&'static Command, u64),
    /// Do what this command does with a host.
    Host(&'static Command, UserId),
    /// Show or set a host's limits.
    Quota(admin::quota::Wish),
    /// Make no links and let nobody in.
    Pause {
        /// Whether all unused links are taken back too.
        revoke: bool,
    },
    /// Make links and let guests in again.
    Resume,
    /// Work something out.
    Report(Report),
    /// Explain the commands.
    Help(help::Help),
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
pub fn parse(body: &str, direct: bool, reader: Reader) -> Option<Result<Request, Misuse>> {
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
    Some(find(name, reader).and_then(|command| command.read(arguments, reader)))
}

impl Command {
    fn read(&'static self, arguments: &str, reader: Reader) -> Result<Request, Misuse> {
        match &self.reads {
            Reads::Own(parse) => parse(arguments, reader),
            Reads::Which(_) => {
                which::parse(arguments, self.name).map(|which| Request::Which(self, which))
            }
            Reads::Number(_) => {
                admin::number(arguments, self.name).map(|number| Request::Number(self, number))
            }
            Reads::Host(_) => {
                admin::host(arguments, self.name).map(|host| Request::Host(self, host))
            }
        }
    }
}

/// Carries out what was understood, and answers.
pub(crate) fn answer(
    request: Request,
    scene: Scene<'_>,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    let said = match carry_out(request, scene, draft) {
        Ok(said) => said,
        Err(Stop::Because(text)) => scene::one(text),
        Err(Stop::Undecided(undecided)) => return Err(undecided),
    };
    for words in said {
        draft.say(&scene.room.room, words);
    }
    Ok(())
}

fn carry_out(request: Request, scene: Scene<'_>, draft: &mut Draft<'_>) -> Result<Said, Stop> {
    match request {
        Request::Invite(invite) => invite::answer(invite, scene, draft).map(|()| Said::new()),
        Request::List => list::answer(scene, draft),
        Request::Help(help) => Ok(help::answer(&help, scene)),
        Request::Which(command, which) => match &command.reads {
            Reads::Which(carry_out) => {
                let book = Book::of(scene.author, draft)?;
                let text = carry_out(&which, &book, scene, draft)?;
                let said = Some(text).filter(|text| !text.is_empty());
                Ok(said.map(Words::new).into_iter().collect())
            }
            _ => Ok(Said::new()),
        },
        Request::Number(command, serial) => match &command.reads {
            Reads::Number(carry_out) => {
                let link = admin::link(serial, scene, draft)?;
                carry_out(&link, scene, draft).map(scene::one)
            }
            _ => Ok(Said::new()),
        },
        Request::Host(command, host) => match &command.reads {
            Reads::Host(carry_out) => carry_out(&host, scene, draft).map(scene::one),
            _ => Ok(Said::new()),
        },
        Request::AdminRoom { on } => admin::room::answer(on, scene, draft),
        Request::Quota(wish) => admin::quota::answer(&wish, scene, draft),
        Request::Pause { revoke } => admin::pause::pause(revoke, scene, draft),
        Request::Resume => admin::pause::resume(scene, draft),
        Request::Report(report) => {
            let room = scene.room.room.clone();
            draft.effect(Effect::Report { room, report });
            Ok(Said::new())
        }
    }
}

/// The first word, and what follows it.
fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace)
        .map_or((text, ""), |(first, rest)| (first, rest.trim_start()))
}

fn permitted(reader: Reader) -> impl Iterator<Item = &'static Command> {
    COMMANDS
        .iter()
        .filter(move |command| reader.may_use(command))
}

fn find(typed: &str, reader: Reader) -> Result<&'static Command, Misuse> {
    let name = typed.to_lowercase();
    if let Some(command) = permitted(reader).find(|command| command.name == name) {
        return Ok(command);
    }
    let elsewhere = COMMANDS
        .iter()
        .find(|command| command.name == name && command.role <= reader.role);
    Err(match elsewhere {
        Some(command) => Misuse::Elsewhere {
            command: command.name,
            place: command.place,
        },
        None => Misuse::Unknown {
            typed: shorten(typed),
            meant: typo::nearest(&name, reader),
        },
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
