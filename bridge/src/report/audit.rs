//! The last entries of the audit trail.

use super::{Desk, Trail, listed};
use crate::audit::{Act, Actor, AuditEntry};
use crate::effect::Words;
use crate::store::Read;
use crate::words::roughly;

const PAGE: usize = 500;

pub(super) fn words(trail: &Trail, desk: Desk<'_>) -> Read<Words> {
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let entries = desk.facts.audit(before, PAGE)?;
        before = entries.last().map(|entry| entry.id);
        let complete = entries.len() < PAGE;
        let wanted = entries.into_iter().filter(|entry| fits(entry, trail));
        found.extend(wanted.take(trail.count - found.len()));
        if complete || found.len() >= trail.count {
            break;
        }
    }
    if found.is_empty() {
        return Ok(Words::new(
            "There is nothing in the audit trail about that.",
        ));
    }
    let lines: Vec<_> = found
        .iter()
        .map(|entry| {
            let ago = roughly(desk.now.since(entry.id.at));
            (None, format!("{ago} ago: {}", told(entry)))
        })
        .collect();
    Ok(listed("What was done last, the newest first:", &lines, ""))
}

fn fits(entry: &AuditEntry, trail: &Trail) -> bool {
    let about = |host| entry.to.host.as_ref() == Some(host) || entry.by.admin() == Some(host);
    trail.host.as_ref().is_none_or(about)
        && trail.serial.is_none_or(|serial| entry.to.serial == serial)
}

/// One entry as a sentence.
fn told(entry: &AuditEntry) -> String {
    let host = entry
        .to
        .host
        .as_ref()
        .map_or("nobody", |host| host.as_str());
    let by = match &entry.by {
        Actor::Host => host.to_owned(),
        Actor::Guest => "the guest".to_owned(),
        Actor::Admin(admin) => format!("admin {admin}"),
        Actor::Bridge => "the bridge".to_owned(),
        Actor::Stranger => "somebody else".to_owned(),
    };
    let what = match (entry.to.serial, entry.to.number) {
        (0, 0) => format!("of {host}"),
        (0, number) => format!("of {host} (their number {number})"),
        (serial, _) => format!("{serial} of {host}"),
    };
    match entry.act {
        Act::LinkMade => format!("{by} made link {what}"),
        Act::LinkOpened => format!("link {what} was opened in a browser"),
        Act::LinkUsed => format!("a guest used link {what}"),
        Act::LinkRevoked => format!("{by} took back link {what}"),
        Act::LinkExpired => format!("link {what} expired"),
        Act::PasscodeSpent => {
            format!("too many wrong passcodes for link {what}, so it was taken back")
        }
        Act::ChatOpened => format!("chat {what} opened"),
        Act::ChatEnded { reason } => format!("chat {what} ended by {by} ({})", reason.name()),
        Act::GuestBlocked => format!("{by} blocked the guest of chat {what}"),
        Act::GuestUnblocked => format!("{by} unblocked a guest {what}"),
        Act::HostBlocked => format!("{by} blocked host {host}"),
        Act::HostUnblocked => format!("{by} unblocked host {host}"),
        Act::QuotaSet { .. } => {
            let limits = entry.act.detail().unwrap_or_default();
            format!("{by} set the limits of {host}: {limits}")
        }
        Act::Paused { revoke: false } => format!("{by} paused"),
        Act::Paused { revoke: true } => format!("{by} paused, and took all unused links back"),
        Act::Resumed => format!("{by} resumed"),
        Act::AdminRoomClaimed => format!("{by} claimed an admin room"),
        Act::AdminRoomGivenUp => format!("{by} gave up an admin room"),
        Act::IdentityReset => format!("the encryption identity of {host} was reset"),
    }
}
