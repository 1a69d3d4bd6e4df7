//! Chats and unused links of all hosts, a page at a time.

use super::{Desk, LINES, List, listed};
use crate::draft::readable;
use crate::effect::Words;
use crate::id::PortalId;
use crate::link::{Link, LinkState};
use crate::portal::{Portal, PortalState};
use crate::store::Read;
use crate::time::Timestamp;
use crate::words::roughly;

/// How many rows are read in one go.
const PAGE: usize = 500;

/// The state of a chat, as admins see it.
#[must_use]
pub fn chat_state(portal: &Portal) -> &'static str {
    match &portal.state {
        PortalState::Opening { .. } => "opening",
        PortalState::Open {
            host_joined: false, ..
        } => "invited",
        PortalState::Open { .. } => "open",
        PortalState::Closed { .. } => "over",
    }
}

/// When something was written, and when it ends.
#[must_use]
pub fn chat_times(portal: &Portal, now: Timestamp) -> String {
    if let PortalState::Closed { at, reason, .. } = &portal.state {
        return format!("ended {} ago ({})", roughly(now.since(*at)), reason.name());
    }
    let last = if portal.last_message_at == portal.created_at {
        "no message yet".to_owned()
    } else {
        format!(
            "last message {} ago",
            roughly(now.since(portal.last_message_at))
        )
    };
    format!("{last}, ends in {}", roughly(portal.ends_at.since(now)))
}

pub(super) fn chats(list: &List, desk: Desk<'_>) -> Read<Words> {
    let skipped = (list.page - 1).saturating_mul(LINES);
    let mut found = 0;
    let mut lines = Vec::new();
    let all = desk.facts.due(Timestamp(u64::MAX), usize::MAX)?;
    // Without a filter only the page itself has to be read.
    let unfiltered = !list.is_filtered();
    let total = all.len();
    let ids: Box<dyn Iterator<Item = PortalId>> = if unfiltered {
        found = skipped;
        Box::new(all.into_iter().skip(skipped).take(LINES))
    } else {
        Box::new(all.into_iter())
    };
    for id in ids {
        let Some(portal) = readable(desk.facts.portal(id))? else {
            continue;
        };
        let wanted = list.fits_host(&portal.host)
            && list
                .state
                .as_ref()
                .is_none_or(|state| state == chat_state(&portal));
        if !wanted {
            continue;
        }
        found += 1;
        if found > skipped && lines.len() < LINES {
            let link = readable(desk.facts.link(portal.link))?;
            let text = format!(
                "{}: {}, {}",
                portal.host,
                chat_state(&portal),
                chat_times(&portal, desk.now)
            );
            lines.push((link.map(|link| link.serial), text));
        }
    }
    let total = if unfiltered { total } else { found };
    Ok(page("chats", "chat", list, &lines, total, desk))
}

pub(super) fn links(list: &List, desk: Desk<'_>) -> Read<Words> {
    let skipped = (list.page - 1).saturating_mul(LINES);
    let mut found = 0;
    let mut lines = Vec::new();
    let mut before = None;
    loop {
        let links = desk.facts.links_before(before, PAGE)?;
        before = links.last().map(|link| link.serial);
        let complete = links.len() < PAGE;
        for link in links.iter().filter(|link| wanted(link, list, desk.now)) {
            found += 1;
            if found > skipped && lines.len() < LINES {
                lines.push((Some(link.serial), about_link(link, desk.now)));
            }
        }
        if complete {
            break;
        }
    }
    Ok(page("links", "unused link", list, &lines, found, desk))
}

fn wanted(link: &Link, list: &List, now: Timestamp) -> bool {
    let state = link.opened_at.map_or("unopened", |_| "opened");
    link.state == LinkState::Open
        && link.usable(now).is_ok()
        && list.fits_host(&link.host)
        && list.state.as_ref().is_none_or(|wanted| wanted == state)
}

fn about_link(link: &Link, now: Timestamp) -> String {
    let opened = match link.opened_at {
        Some(at) => format!("opened {} ago", roughly(now.since(at))),
        None => "not opened yet".to_owned(),
    };
    format!(
        "{}: made {} ago, {opened}, works for {} more",
        link.host,
        roughly(now.since(link.created_at)),
        roughly(link.expires_at.since(now))
    )
}

fn page(
    command: &str,
    noun: &str,
    list: &List,
    lines: &[(Option<u64>, String)],
    total: usize,
    desk: Desk<'_>,
) -> Words {
    if total == 0 {
        let fitting = if list.is_filtered() { " that fit" } else { "" };
        return Words::new(format!("There are no {noun}s{fitting}."));
    }
    let pages = total.div_ceil(LINES);
    if lines.is_empty() {
        return Words::new(format!(
            "There are {pages} pages. Write {} for the last one.",
            desk.command(&list.written(command, pages))
        ));
    }
    let title = format!(
        "{}, page {} of {pages}:",
        crate::words::counted(total, noun),
        list.page
    );
    let end = if list.page < pages {
        let next = list.written(command, list.page + 1);
        format!("Write {} for the next page.", desk.command(&next))
    } else {
        String::new()
    };
    listed(&title, lines, &end)
}
