//! How things are.

use super::{Desk, listed};
use crate::effect::Words;
use crate::store::Read;
use crate::words::{counted, roughly};

fn number(count: u64, noun: &str) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), noun)
}

pub(super) fn words(desk: Desk<'_>) -> Read<Words> {
    let counts = desk.facts.counts()?;
    let steering = desk.facts.steering()?;
    let outside = desk.outside;
    let (mut hosts, mut blocked, mut after) = (0, 0, None);
    loop {
        let page = desk.facts.hosts(after.as_ref(), 500)?;
        hosts += page.len();
        blocked += page.iter().filter(|host| host.blocked.is_some()).count();
        match page.last() {
            Some(last) if page.len() == 500 => after = Some(last.user.clone()),
            _ => break,
        }
    }
    let mut lines = vec![
        format!(
            "Version {}, running for {}.",
            outside.version,
            roughly(outside.uptime)
        ),
        format!(
            "Open: {} and {}, with {} connected.",
            number(counts.open_chats, "chat"),
            number(counts.open_links, "unused link"),
            counted(outside.browsers, "browser")
        ),
        format!("Known: {}, {blocked} blocked.", counted(hosts, "host")),
        format!(
            "Waiting for the homeserver: {}.",
            counted(outside.outbox, "call")
        ),
    ];
    lines.extend(outside.ending.clone());
    if let Some(paused) = &steering.paused {
        lines.push(format!(
            "PAUSED {} ago by {}: no new links, nobody gets in.",
            roughly(desk.now.since(paused.at)),
            paused.by
        ));
    }
    if steering.revoking_below.is_some() {
        lines.push("Links are being taken back.".to_owned());
    }
    if !steering.clearing.is_empty() {
        lines.push(format!(
            "Chats of {} are being ended.",
            counted(steering.clearing.len(), "blocked host")
        ));
    }
    for (room, list) in &steering.lists {
        lines.push(format!(
            "Deny list {room}: {}, last change seen {} ago.",
            counted(list.rules, "rule"),
            roughly(desk.now.since(list.at))
        ));
    }
    let title = if outside.problems.is_empty() {
        lines.push("Nothing is wrong as far as I can see.".to_owned());
        "Status:"
    } else {
        lines.extend(
            outside
                .problems
                .iter()
                .map(|problem| format!("Problem: {problem}")),
        );
        "Status, and something is wrong:"
    };
    let lines: Vec<_> = lines.into_iter().map(|line| (None, line)).collect();
    Ok(listed(title, &lines, ""))
}
