//! `audit [n] [@host:server | #number]`: what was done.

use super::host;
use crate::command::{Command, Misuse, Place, Reader, Reads, Request};
use crate::policy::Role;
use crate::report::{Report, Trail};

/// How many entries are shown unless a number is given, and at most: a message stays readable.
const ENTRIES: usize = 20;
const MOST: usize = 50;

pub(in crate::command) const COMMAND: Command = Command {
    name: "audit",
    arguments: "[n] [@host:server or #number]",
    summary: "show what was done last, by whom and to what",
    details: "With a host or with the number of a link or chat it shows what concerns that: `audit #12`. With a number \
              alone it shows so many entries, at most 50.",
    role: Role::Admin,
    place: Place::Admins,
    reads: Reads::Own(parse),
};

fn parse(arguments: &str, _reader: Reader) -> Result<Request, Misuse> {
    let mut trail = Trail {
        count: ENTRIES,
        host: None,
        serial: None,
    };
    for word in arguments.split_whitespace() {
        if word.starts_with('@') {
            trail.host = Some(host(word, COMMAND.name)?);
        } else if let Some(digits) = word.strip_prefix('#') {
            let misuse = Misuse::Number {
                command: COMMAND.name,
            };
            trail.serial = Some(digits.parse().map_err(|_| misuse)?);
        } else {
            let count: Option<usize> = word.parse().ok();
            let misuse = Misuse::Option {
                command: COMMAND.name,
                typed: crate::command::shorten(word),
            };
            trail.count = count.filter(|count| *count > 0).ok_or(misuse)?.min(MOST);
        }
    }
    Ok(Request::Report(Report::Audit(trail)))
}
