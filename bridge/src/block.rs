//! Blocking: the chat ends, and the host's links are closed to the guest's browser, as far as a
//! browser can be recognised.
//!
//! It is recognised by its device's Ed25519 key. A page that makes new keys for a new link is another
//! browser to the bridge, so the label is remembered too: the host's next `invite` with that label
//! is answered with a question instead of a link.

use serde::{Deserialize, Serialize};

use crate::audit::{Act, Actor, Target};
use crate::bridge::Undecided;
use crate::draft::{Draft, readable};
use crate::end;
use crate::id::UserId;
use crate::input::Membership;
use crate::notice;
use crate::portal::{EndReason, Portal};
use crate::store::{Change, Read};
use crate::time::Timestamp;

/// An entry of a host's block list. It outlives the chat's rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Whose list.
    pub host: UserId,
    /// The device's Ed25519 key, unpadded base64.
    pub key: String,
    /// The number of the link that the guest came by.
    pub number: u32,
    /// The label of that link.
    pub label: Option<String>,
    /// Since when.
    pub at: Timestamp,
}

/// Blocks the guest of this portal, which may be over already. All chats of this host with this
/// browser end, and to the guest it reads as any other end. Nothing is said here.
pub(crate) fn block(portal: &Portal, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let link = readable(draft.link(portal.link))?;
    let target = Target::chat(&portal.host, portal.id, link.as_ref());
    draft.audit(Act::GuestBlocked, Actor::Host, target)?;
    let (number, label) = link.map_or((0, None), |link| (link.number, link.label));
    let key = &portal.visit.ed25519;
    draft.put(Change::PutBlock(Block {
        host: portal.host.clone(),
        key: key.clone(),
        number,
        label,
        at: draft.now,
    }));
    for other in draft.facts.portals_of_host(&portal.host)? {
        if other.visit.ed25519 == *key {
            end::close(other, EndReason::Host, draft)?;
        }
    }
    Ok(())
}

/// Takes an entry off the block list.
pub(crate) fn unblock(block: &Block, draft: &mut Draft<'_>) -> Read<()> {
    let target = Target {
        number: block.number,
        ..Target::host(&block.host)
    };
    draft.audit(Act::GuestUnblocked, Actor::Host, target)?;
    draft.put(Change::DeleteBlock {
        host: block.host.clone(),
        key: block.key.clone(),
    });
    Ok(())
}

/// The host banned or removed the ghost in their own client.
pub(crate) fn put_out(
    portal: Portal,
    how: Membership,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    block(&portal, draft)?;
    notice::blocked(&portal, how, draft)
}

/// The entry that stands for this label, if there is one.
pub(crate) fn of_label(host: &UserId, label: &str, draft: &Draft<'_>) -> Read<Option<Block>> {
    let blocks = draft.facts.blocks_of_host(host)?;
    let same = |block: &Block| {
        let known = block.label.as_deref();
        known.is_some_and(|known| same_label(known, label))
    };
    Ok(blocks.into_iter().find(same))
}

/// Whether two labels are the same to a person: capitals don't count.
pub(crate) fn same_label(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}
