//! Hosts with limits of their own, and those who are blocked.

use super::{Desk, LINES, listed};
use crate::command::quota_in_words;
use crate::effect::Words;
use crate::host::Quota;
use crate::store::Read;
use crate::words::roughly;

pub(super) fn words(desk: Desk<'_>) -> Read<Words> {
    const PAGE: usize = 500;
    let mut lines = Vec::new();
    let mut more = 0;
    let mut after = None;
    loop {
        let hosts = desk.facts.hosts(after.as_ref(), PAGE)?;
        for host in &hosts {
            let mut said = Vec::new();
            if let Some(block) = &host.blocked {
                let ago = roughly(desk.now.since(block.at));
                said.push(format!(
                    "{} is blocked: {} did that {ago} ago.",
                    host.user, block.by
                ));
            }
            if host.quota != Quota::default() {
                said.push(quota_in_words(host, desk.policy));
            }
            if said.is_empty() {
                continue;
            }
            if lines.len() < LINES {
                lines.push((None, said.join(" ")));
            } else {
                more += 1;
            }
        }
        match hosts.last() {
            Some(last) if hosts.len() == PAGE => after = Some(last.user.clone()),
            _ => break,
        }
    }
    let title = format!(
        "A host may have {} unused links and {} chats, unless something else is said here:",
        desk.policy.open_links, desk.policy.open_chats
    );
    let end = match (lines.is_empty(), more) {
        (true, _) => "Nothing else is said of anybody.".to_owned(),
        (false, 0) => String::new(),
        (false, more) => format!(
            "And {more} more; write {} for one of them.",
            desk.command("quota @host:server")
        ),
    };
    Ok(listed(&title, &lines, &end))
}
