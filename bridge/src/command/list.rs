//! `list`: every open link and chat.

use super::scene::{Said, Scene, Stop, one};
use super::{Command, Misuse, Place, Reader, Reads, Request};
use crate::book::{Book, Entry, Standing};
use crate::draft::Draft;
use crate::effect::Words;
use crate::notice::whom;
use crate::policy::Role;
use crate::portal::{Portal, PortalState};
use crate::time::Timestamp;
use crate::words::{escape, roughly};

/// How many lines one message has at most: with the longest labels and names it stays far below the
/// 64 KiB that an event may have.
const LINES: usize = 30;

pub(super) const COMMAND: Command = Command {
    name: "list",
    arguments: "",
    summary: "show your links and chats",
    details: "The numbers are what the other commands take. They stay the same as long as something lasts, and are \
              never given to somebody else.",
    role: Role::Host,
    place: Place::Hosts,
    reads: Reads::Own(parse),
};

fn parse(_arguments: &str, _reader: Reader) -> Result<Request, Misuse> {
    Ok(Request::List)
}

pub(super) fn answer(scene: Scene<'_>, draft: &mut Draft<'_>) -> Result<Said, Stop> {
    let book = Book::of(scene.author, draft)?;
    let open = |standing| {
        let entries = book.entries.iter();
        entries.filter(move |entry| entry.standing(scene.now) == standing)
    };
    let chats = open(Standing::Chat).map(|entry| Line::of(entry, draft.now));
    let links = open(Standing::Unused).map(|entry| Line::of(entry, draft.now));
    let blocked = book.blocks.iter().map(|block| Line {
        number: block.number,
        label: whom(block.label.as_deref()).to_owned(),
        rest: format!("blocked {} ago", roughly(draft.now.since(block.at))),
    });
    let parts = [
        ("Your chats:", chats.collect::<Vec<_>>()),
        ("Links that nobody used yet:", links.collect()),
        ("Blocked:", blocked.collect()),
    ];
    let mut said = Said::new();
    for (title, lines) in &parts {
        said.extend(lines.chunks(LINES).map(|page| words(title, page)));
    }
    if said.is_empty() {
        return Ok(one(format!(
            "You have no links and no chats. Write {} for a link.",
            scene.command("invite", "")
        )));
    }
    Ok(said)
}

/// What is said of one link, chat or blocked guest.
struct Line {
    number: u32,
    label: String,
    rest: String,
}

impl Line {
    fn of(entry: &Entry, now: Timestamp) -> Self {
        let rest = match &entry.portal {
            Some(portal) => chat(portal, now),
            None => link(entry, now),
        };
        Self {
            number: entry.link.number,
            label: whom(entry.link.label.as_deref()).to_owned(),
            rest,
        }
    }
}

fn chat(portal: &Portal, now: Timestamp) -> String {
    let state = match &portal.state {
        PortalState::Opening { .. } => "being set up",
        PortalState::Open {
            host_joined: false, ..
        } => "waits for you to accept the invitation",
        PortalState::Open { .. } => "open",
        PortalState::Closed { .. } => "over",
    };
    let last = if portal.last_message_at == portal.created_at {
        "no message yet".to_owned()
    } else {
        format!(
            "last message {} ago",
            roughly(now.since(portal.last_message_at))
        )
    };
    format!(
        "{}, {state}, {last}, ends in {}",
        portal.name.labelled(),
        roughly(portal.ends_at.since(now))
    )
}

fn link(entry: &Entry, now: Timestamp) -> String {
    let link = &entry.link;
    let opened = match link.opened_at {
        Some(at) => format!("opened {} ago", roughly(now.since(at))),
        None => "not opened yet".to_owned(),
    };
    let passcode = if link.passcode.is_some() {
        ", with passcode"
    } else {
        ""
    };
    format!(
        "{opened}{passcode}, works for {} more",
        roughly(link.expires_at.since(now))
    )
}

fn words(title: &str, lines: &[Line]) -> Words {
    let mut words = Words {
        plain: title.to_owned(),
        html: title.to_owned(),
    };
    for Line {
        number,
        label,
        rest,
    } in lines
    {
        words
            .plain
            .push_str(&format!("\n{number}. {label}: {rest}"));
        words.html.push_str(&format!(
            "<br><strong>{number}</strong>. {}: {}",
            escape(label),
            escape(rest)
        ));
    }
    words
}
