//! `status`, `chats`, `links` and `doctor`: what needs a look at everything, or at the world outside,
//! and so isn't worked out while others wait.

use crate::command::{Command, Misuse, Place, Reader, Reads, Request, shorten};
use crate::policy::Role;
use crate::report::{List, Report};

pub(in crate::command) const STATUS: Command = Command {
    name: "status",
    arguments: "",
    summary: "show how things are",
    details: "Version, links and chats, what waits for the homeserver, and what is wrong.",
    role: Role::Admin,
    place: Place::Admins,
    reads: Reads::Own(|_, _| Ok(Request::Report(Report::Status))),
};

pub(in crate::command) const CHATS: Command = Command {
    name: "chats",
    arguments: "[@host:server] [server] [opening|invited|open] [page]",
    summary: "show the chats of all hosts, those first that end first",
    details: "The numbers are what `show` and `end` take; they stay the same, and none is ever given twice. \
              `chats example.org open 2` is the second page of the open chats of hosts of example.org.",
    role: Role::Admin,
    place: Place::Admins,
    reads: Reads::Own(|arguments, _| {
        list(arguments, CHATS.name, &["opening", "invited", "open"])
            .map(|list| Request::Report(Report::Chats(list)))
    }),
};

pub(in crate::command) const LINKS: Command = Command {
    name: "links",
    arguments: "[@host:server] [server] [opened|unopened] [page]",
    summary: "show the unused links of all hosts, the newest first",
    details: "The numbers are what `show` and `revoke` take. The links themselves are stored nowhere.",
    role: Role::Admin,
    place: Place::Admins,
    reads: Reads::Own(|arguments, _| {
        list(arguments, LINKS.name, &["opened", "unopened"])
            .map(|list| Request::Report(Report::Links(list)))
    }),
};

pub(in crate::command) const DOCTOR: Command = Command {
    name: "doctor",
    arguments: "",
    summary: "look what is wrong with the set-up, which takes some seconds",
    details: "The same as `vestibule doctor` on the command line.",
    role: Role::Admin,
    place: Place::Admins,
    reads: Reads::Own(|_, _: Reader| Ok(Request::Report(Report::Doctor))),
};

/// Reads what a list is to show: words in any order.
fn list(arguments: &str, command: &'static str, states: &[&str]) -> Result<List, Misuse> {
    let mut list = List::default();
    let misuse = |word: &str| Misuse::Option {
        command,
        typed: shorten(word),
    };
    let mut words = arguments.split_whitespace();
    while let Some(word) = words.next() {
        let lower = word.to_lowercase();
        if matches!(lower.as_str(), "--page" | "—page" | "page") {
            let page = words.next().and_then(|page| page.parse().ok());
            list.page = page.filter(|page| *page > 0).ok_or_else(|| misuse(word))?;
        } else if let Ok(page) = word.parse::<usize>() {
            list.page = Some(page)
                .filter(|page| *page > 0)
                .ok_or_else(|| misuse(word))?;
        } else if word.starts_with('@') {
            list.host = Some(super::host(word, command)?);
        } else if states.contains(&lower.as_str()) {
            list.state = Some(lower);
        } else if lower.contains('.') || lower.contains(':') || lower == "localhost" {
            list.server = Some(word.to_owned());
        } else {
            return Err(misuse(word));
        }
    }
    Ok(list)
}
