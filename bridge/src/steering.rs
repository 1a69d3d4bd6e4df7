//! What admins set for the whole bridge, and what is left to do of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::audit::Actor;
use crate::bridge::Undecided;
use crate::draft::{Draft, readable};
use crate::end;
use crate::host::Host;
use crate::id::{RoomId, UserId};
use crate::link::{Link, LinkState, take_back};
use crate::notice;
use crate::permission;
use crate::policy::{Policy, Role};
use crate::portal::EndReason;
use crate::refusal::Refusal;
use crate::store::{Change, Facts, Read};
use crate::time::Timestamp;

/// How many links one tick takes back, and how many chats it ends. Each of them is told to its host,
/// and a chat's end is a handful of calls to the homeserver.
pub(crate) const LINKS_PER_TICK: usize = 100;
/// How many links it looks at for that; most are over for long.
const LINKS_LOOKED_AT: usize = 2_000;
pub(crate) const CHATS_PER_TICK: usize = 20;

/// The settings, as they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Steering {
    /// Set while there are no new links and joins.
    pub paused: Option<Paused>,
    /// All links with a serial below this one that are open are to be taken back, and count as such.
    pub revoking_below: Option<u64>,
    /// Hosts who were blocked and whose links and chats are not all over.
    pub clearing: BTreeSet<UserId>,
    /// The deny lists that were read, by room.
    pub lists: BTreeMap<RoomId, ListRead>,
}

/// The kill switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Since when.
    pub at: Timestamp,
    /// By whom.
    pub by: UserId,
}

/// That a deny list was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRead {
    /// When it changed last, as far as was seen.
    pub at: Timestamp,
    /// How many rules of it count.
    pub rules: usize,
}

/// Whether an admin's word stands against using this link, though it is open.
pub(crate) fn check_link(link: &Link, facts: &dyn Facts, policy: &Policy) -> Result<(), Undecided> {
    let steering = facts.steering()?;
    let revoked = steering
        .revoking_below
        .is_some_and(|below| link.serial < below);
    if revoked || permission::role(&link.host, facts, policy)? < Role::Host {
        return Err(Refusal::LinkRevoked.into());
    }
    Ok(())
}

/// Whether joins are let in at the moment.
pub(crate) fn check_pause(facts: &dyn Facts) -> Result<(), Undecided> {
    match facts.steering()?.paused {
        Some(_) => Err(Refusal::Paused.into()),
        None => Ok(()),
    }
}

/// Does a part of what is left to do.
pub(crate) fn go_on(draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let mut steering = draft.facts.steering()?;
    let before = steering.clone();
    if let Some(below) = steering.revoking_below {
        steering.revoking_below = revoke_below(below, draft)?;
    }
    let mut chats = CHATS_PER_TICK;
    for host in before.clearing.iter().take(CHATS_PER_TICK) {
        let ended = clear(host, chats, draft)?;
        if ended < chats {
            steering.clearing.remove(host);
        }
        chats -= ended.min(chats);
        if chats == 0 {
            break;
        }
    }
    if steering != before {
        draft.put(Change::PutSteering(steering));
    }
    Ok(())
}

/// Takes back a page of the open links below this serial, and gives where to go on.
fn revoke_below(below: u64, draft: &mut Draft<'_>) -> Result<Option<u64>, Undecided> {
    let page = draft.facts.links_before(Some(below), LINKS_LOOKED_AT)?;
    let mut revoked = 0;
    for link in &page {
        if revoked == LINKS_PER_TICK {
            return Ok(Some(link.serial.saturating_add(1)));
        }
        revoked += usize::from(link.is_open());
        revoke(link, draft)?;
    }
    let last = page.last().map(|link| link.serial);
    Ok(last.filter(|_| page.len() == LINKS_LOOKED_AT))
}

/// Takes back a link that is still open, and tells its host.
pub(crate) fn revoke(link: &Link, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    // As this decision left it: its time may just have been over.
    let link = readable(draft.link(link.id))?;
    if let Some(link) = link.filter(|link| link.state == LinkState::Open) {
        take_back(&link, Actor::clone(&draft.acting), draft)?;
        notice::link_withdrawn(&link, draft)?;
    }
    Ok(())
}

/// Takes back all open links of this host, and ends up to `limit` of their chats; how many.
pub(crate) fn clear(
    host: &UserId,
    limit: usize,
    draft: &mut Draft<'_>,
) -> Result<usize, Undecided> {
    for link in draft.facts.links_of_host(host)? {
        revoke(&link, draft)?;
    }
    let mut open = draft.facts.portals_of_host(host)?;
    // What this decision ended is still open in the store; counted here it would look as if there was
    // nothing left.
    open.retain(|portal| !portal.is_closed() && !draft.is_ended(portal.id));
    open.truncate(limit);
    let ended = open.len();
    for portal in open {
        end::close(portal, EndReason::Admin, draft)?;
    }
    Ok(ended)
}

/// A host, as this decision left them.
pub(crate) fn host(user: &UserId, draft: &Draft<'_>) -> Read<Host> {
    let known = draft.facts.host(user)?;
    Ok(known.unwrap_or_else(|| Host::new(user.clone())))
}
