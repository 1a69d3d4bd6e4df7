//! `quota [host] [n]`: how many links and chats a host may have.

use super::{actor, check_host, host};
use crate::audit::{Act, Target};
use crate::command::scene::{Said, Scene, Stop, one};
use crate::command::{Command, Misuse, Place, Reader, Reads, Request, first_word};
use crate::draft::Draft;
use crate::host::{Host, Quota};
use crate::id::UserId;
use crate::policy::{Policy, Role};
use crate::report::Report;
use crate::steering;
use crate::store::Change;
use crate::words::counted;

/// More than any host needs; what a bridge can carry is bounded elsewhere.
const GREATEST: usize = 100_000;

pub(in crate::command) const COMMAND: Command = Command {
    name: "quota",
    arguments: "[@host:server] [links|chats] [n|default]",
    summary: "show or set how many unused links and chats a host may have",
    details: "Alone it shows which hosts have limits of their own, and who is blocked. With a host it shows theirs. \
              With a number it sets both, or one of them: `quota @alice:example.org chats 200`. With `default` those of \
              the configuration count again.",
    role: Role::Admin,
    place: Place::Admins,
    reads: Reads::Own(parse),
};

/// What to do with a host's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Whose.
    pub host: UserId,
    /// What to set, if anything.
    pub set: Option<Limit>,
}

/// One change of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Whether that for links.
    pub links: bool,
    /// Whether that for chats.
    pub chats: bool,
    /// To how many; none is the configuration's.
    pub to: Option<usize>,
}

fn parse(arguments: &str, _reader: Reader) -> Result<Request, Misuse> {
    let (who, rest) = first_word(arguments);
    if who.is_empty() {
        return Ok(Request::Report(Report::Hosts));
    }
    let host = host(who, COMMAND.name)?;
    let (first, second) = first_word(rest);
    let (links, chats, number) = match first.to_lowercase().as_str() {
        "" => return Ok(Request::Quota(Wish { host, set: None })),
        "links" => (true, false, second),
        "chats" => (false, true, second),
        _ => (true, true, rest),
    };
    let to = match number.trim() {
        "default" => None,
        digits => {
            let number = digits.parse().ok().filter(|number| *number <= GREATEST);
            Some(number.ok_or(Misuse::Quota)?)
        }
    };
    let set = Some(Limit { links, chats, to });
    Ok(Request::Quota(Wish { host, set }))
}

pub(in crate::command) fn answer(
    wish: &Wish,
    scene: Scene<'_>,
    draft: &mut Draft<'_>,
) -> Result<Said, Stop> {
    let Wish { host: user, set } = wish;
    check_host(user, draft)?;
    let mut host = steering::host(user, draft)?;
    if let Some(set) = set {
        if set.links {
            host.quota.links = set.to;
        }
        if set.chats {
            host.quota.chats = set.to;
        }
        let Quota { links, chats } = host.quota;
        draft.put(Change::PutHost(host.clone()));
        draft.audit(
            Act::QuotaSet { links, chats },
            actor(scene),
            Target::host(user),
        )?;
    }
    Ok(one(in_words(&host, draft.policy)))
}

/// What a host may have.
pub(crate) fn in_words(host: &Host, policy: &Policy) -> String {
    let own = |own: Option<usize>| if own.is_some() { "" } else { " (default)" };
    let Quota { links, chats } = host.quota;
    format!(
        "{} may have {}{} and {}{}.",
        host.user,
        counted(links.unwrap_or(policy.open_links), "unused link"),
        own(links),
        counted(chats.unwrap_or(policy.open_chats), "chat"),
        own(chats)
    )
}
