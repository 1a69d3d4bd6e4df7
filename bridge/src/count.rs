//! How much there is on the whole bridge, counted as it comes and goes: nothing is scanned for it.

use serde::{Deserialize, Serialize};

/// The counts, as they are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Links that nobody used yet; one whose time is over counts until a tick notices.
    #[serde(default)]
    pub open_links: u64,
    /// Portals that are not closed.
    #[serde(default)]
    pub open_chats: u64,
    /// The greatest serial that a link was given.
    #[serde(default)]
    pub last_serial: u64,
    /// How many entries the audit trail ever had.
    #[serde(default)]
    pub audited: u64,
}

impl Counts {
    pub(crate) fn link_opened(&mut self) {
        self.open_links = self.open_links.saturating_add(1);
    }

    pub(crate) fn link_over(&mut self) {
        self.open_links = self.open_links.saturating_sub(1);
    }

    pub(crate) fn chat_opened(&mut self) {
        self.open_chats = self.open_chats.saturating_add(1);
    }

    /// A chat ended, or can't go on.
    pub fn chat_over(&mut self) {
        self.open_chats = self.open_chats.saturating_sub(1);
    }
}
