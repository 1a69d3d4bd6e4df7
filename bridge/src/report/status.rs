//! How things are.

use super::{Desk, listed};
use crate::effect::Words;
use crate::store::Read;
use crate::words::roughly;

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
            "{} chats and {} unused links are open. {} browsers are connected.",
            counts.open_chats, counts.open_links, outside.browsers
        ),
        format!("{hosts} hosts are known, {blocked} of them blocked."),
        format!("{} calls wait for the homeserver.", outside.outbox),
    ];
    lines.extend(outside.ending.clone());
    if let Some(paused) = &steering.paused {
        lines.push(format!(
            "PAUSED since {} ago by {}: no new links, nobody gets in.",
            roughly(desk.now.since(paused.at)),
            paused.by
        ));
    }
    if steering.revoking_below.is_some() {
        lines.push("Links are being taken back.".to_owned());
    }
    if !steering.clearing.is_empty() {
        lines.push(format!(
            "Chats of {} blocked hosts are being ended.",
            steering.clearing.len()
        ));
    }
    for (room, list) in &steering.lists {
        lines.push(format!(
            "Deny list {room}: {} rules, last change seen {} ago.",
            list.rules,
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
