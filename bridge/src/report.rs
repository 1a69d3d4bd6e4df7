//! What an admin or a host asks for and that needs a look at many rows, or at the world outside. It is
//! worked out beside the one who decides, over what was stored by then, so that nobody waits for it.

mod audit;
mod hosts;
mod lists;
pub mod safety;
mod status;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::effect::Words;
use crate::id::{PortalId, RoomId, UserId};
use crate::policy::Policy;
use crate::store::{Facts, Read};
use crate::time::Timestamp;
use crate::words::escape;

pub use lists::{chat_state, chat_times};

/// How many lines a page has.
pub const LINES: usize = 20;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// How things are.
    Status,
    /// Chats of all hosts.
    Chats(List),
    /// Unused links of all hosts.
    Links(List),
    /// Hosts with limits of their own, and those who are blocked.
    Hosts,
    /// What was done.
    Audit(Trail),
    /// What is wrong with the set-up. The shell finds that out.
    Doctor,
    /// The safety code of a host's chat. The shell finds that out too.
    Safety {
        /// The chat.
        portal: PortalId,
    },
}

/// Which part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Of this host only.
    pub host: Option<UserId>,
    /// Of hosts of this server only.
    pub server: Option<String>,
    /// In this state only.
    pub state: Option<String>,
    /// Which page, from 1.
    pub page: usize,
}

impl Default for List {
    fn default() -> Self {
        Self {
            host: None,
            server: None,
            state: None,
            page: 1,
        }
    }
}

impl List {
    /// What one writes for another page of the same.
    fn written(&self, command: &str, page: usize) -> String {
        let parts = [
            Some(command.to_owned()),
            self.host.as_ref().map(ToString::to_string),
            self.server.clone(),
            self.state.clone(),
            Some(page.to_string()),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn is_filtered(&self) -> bool {
        self.host.is_some() || self.server.is_some() || self.state.is_some()
    }

    fn fits_host(&self, host: &UserId) -> bool {
        self.host.as_ref().is_none_or(|wanted| wanted == host)
            && self
                .server
                .as_ref()
                .is_none_or(|server| server == host.server_name())
    }
}

/// Which part of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    /// How many entries.
    pub count: usize,
    /// About this host only.
    pub host: Option<UserId>,
    /// About this link or chat only.
    pub serial: Option<u64>,
}

/// What the domain can't know.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// The program's version.
    pub version: String,
    /// How long it runs.
    pub uptime: Duration,
    /// How many effects wait for the homeserver.
    pub outbox: usize,
    /// Chats that are over and that the homeserver is not done with, and how long it takes.
    pub ending: Option<String>,
    /// How many browsers are connected.
    pub browsers: usize,
    /// What is wrong, in words that say what to do.
    pub problems: Vec<String>,
}

/// Over what a report is worked out.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    /// What is stored.
    pub facts: &'a dyn Facts,
    /// The numbers and permissions.
    pub policy: &'a Policy,
    /// The time.
    pub now: Timestamp,
    /// The rest.
    pub outside: &'a Outside,
    /// Whether commands go without prefix in the room.
    pub direct: bool,
}

impl Desk<'_> {
    fn command(&self, written: &str) -> String {
        format!("`{}`", crate::command::shown(written, self.direct))
    }
}

/// Works a report out. None when the room is no admin room any more, and for what only the shell
/// knows.
pub fn words(
    report: &Report,
    room: &RoomId,
    facts: &dyn Facts,
    policy: &Policy,
    now: Timestamp,
    outside: &Outside,
) -> Read<Option<Words>> {
    let Some(room) = facts.management_room(room)?.filter(|room| room.admin) else {
        return Ok(None);
    };
    let desk = Desk {
        facts,
        policy,
        now,
        outside,
        direct: room.direct,
    };
    match report {
        Report::Status => status::words(desk).map(Some),
        Report::Chats(list) => lists::chats(list, desk).map(Some),
        Report::Links(list) => lists::links(list, desk).map(Some),
        Report::Hosts => hosts::words(desk).map(Some),
        Report::Audit(trail) => audit::words(trail, desk).map(Some),
        Report::Doctor | Report::Safety { .. } => Ok(None),
    }
}

/// A title, and lines that may begin with a number.
fn listed(title: &str, lines: &[(Option<u64>, String)], end: &str) -> Words {
    let mut words = Words::new(title);
    for (number, text) in lines {
        match number {
            Some(number) => {
                words.plain.push_str(&format!("\n{number}. {text}"));
                let text = escape(text);
                words
                    .html
                    .push_str(&format!("<br><strong>{number}</strong>. {text}"));
            }
            None => {
                words.plain.push_str(&format!("\n{text}"));
                words.html.push_str(&format!("<br>{}", escape(text)));
            }
        }
    }
    if !end.is_empty() {
        let end = Words::new(end);
        words.plain.push_str(&format!("\n{}", end.plain));
        words.html.push_str(&format!("<br>{}", end.html));
    }
    words
}
