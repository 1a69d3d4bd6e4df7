//! A host's book: their links, the chats these became, and whom they blocked, as far as it is
//! remembered.

use std::collections::BTreeMap;

use crate::block::Block;
use crate::bridge::Undecided;
use crate::draft::Draft;
use crate::id::{LinkId, UserId};
use crate::link::{Link, LinkState};
use crate::portal::Portal;
use crate::time::Timestamp;

/// What a host can name by a number or a label.
pub(crate) trait Named {
    /// The number; none is given to two links of one host.
    fn number(&self) -> u32;
    /// The label, which others may have too.
    fn label(&self) -> Option<&str>;
}

/// All of one host, in order of the numbers.
pub(crate) struct Book {
    /// Links, with the chats they became.
    pub entries: Vec<Entry>,
    /// The block list.
    pub blocks: Vec<Block>,
}

/// A link, and the chat it became.
pub(crate) struct Entry {
    /// The link.
    pub link: Link,
    /// The chat, until its rows are forgotten.
    pub portal: Option<Portal>,
}

/// What a host can do with an entry depends on this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A link that somebody can still use.
    Unused,
    /// A chat that goes on.
    Chat,
    /// It is over.
    Over,
}

impl Book {
    /// Reads all of this host. Links from before there were numbers get theirs.
    pub(crate) fn of(host: &UserId, draft: &mut Draft<'_>) -> Result<Self, Undecided> {
        let portals = draft.facts.portals_of_host(host)?;
        let mut portals: BTreeMap<LinkId, Portal> = portals
            .into_iter()
            .map(|portal| (portal.link, portal))
            .collect();
        let mut links = draft.facts.links_of_host(host)?;
        links.sort_by_key(|link| (link.number, link.created_at, link.id));
        let mut entries = Vec::with_capacity(links.len());
        for mut link in links {
            if link.number == 0 {
                link.number = draft.next_number(host)?;
                draft.put_link(link.clone());
                // With the alarm that it was given.
                link = draft.link(link.id)?.unwrap_or(link);
            }
            let portal = portals.remove(&link.id);
            entries.push(Entry { link, portal });
        }
        entries.sort_by_key(Named::number);
        let mut blocks = draft.facts.blocks_of_host(host)?;
        blocks.sort_by_key(|block| (block.number, block.at));
        Ok(Self { entries, blocks })
    }
}

impl Entry {
    /// How it stands.
    pub(crate) fn standing(&self, now: Timestamp) -> Standing {
        match &self.portal {
            Some(portal) if !portal.is_closed() => Standing::Chat,
            _ if self.link.state == LinkState::Open && self.link.usable(now).is_ok() => {
                Standing::Unused
            }
            _ => Standing::Over,
        }
    }
}

impl Named for Entry {
    fn number(&self) -> u32 {
        self.link.number
    }

    fn label(&self) -> Option<&str> {
        self.link.label.as_deref()
    }
}

impl Named for Block {
    fn number(&self) -> u32 {
        self.number
    }

    fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }
}
