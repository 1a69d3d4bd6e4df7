//! The numbers and permissions that an organisation chooses.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::UserId;

/// Everything the domain needs to know of the configuration.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The bot's user id.
    pub bot: UserId,
    /// The homeserver's name, the part after the colon in its users' ids.
    pub server_name: String,
    /// Where guests reach the page, without a slash at the end: links are `<public_url>/#<token>`.
    pub public_url: String,
    /// How long an unused link lives.
    pub link_lifetime: Duration,
    /// How long a chat lives after its last message.
    pub idle_limit: Duration,
    /// How many unused links a host may have.
    pub open_links: usize,
    /// How many chats a host may have at once.
    pub open_chats: usize,
    /// The longest encrypted content of one message, in bytes of JSON.
    pub message_bytes: usize,
    /// How fast a guest may send.
    pub guest_rate: GuestRate,
    /// Who may do what.
    pub permissions: Permissions,
    /// What happens when, besides the two lives above.
    pub times: Times,
    /// How much there may be, besides the two numbers for each host above.
    pub limits: Limits,
    /// What of the moment is relayed.
    pub moments: Moments,
}

/// What each side is shown of the other's moment; all of it by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moments {
    /// That somebody is typing.
    pub typing: bool,
    /// How far somebody has read.
    pub receipts: bool,
    /// That a guest's page is open.
    pub presence: bool,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            typing: true,
            receipts: true,
            presence: true,
        }
    }
}

/// Lengths of time; the defaults are those of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The shortest life that a host may choose for a link.
    pub shortest_link: Duration,
    /// The longest one. A longer [`Policy::link_lifetime`] counts instead.
    pub longest_link: Duration,
    /// How long before a chat's end both sides are warned; at most half of the idle limit.
    pub warning: Duration,
    /// After which absence of a guest, while messages wait for them, the host is told.
    pub absence: Duration,
    /// How long the rows of an ended chat stay when the browser has stored that it ended: so long
    /// the host can still block the guest.
    pub keep_acknowledged: Duration,
    /// How long they stay when the browser hasn't come to hear of it.
    pub keep_chat: Duration,
    /// How long an entry of the audit trail is kept.
    pub keep_audit: Duration,
    /// How long a link that is over stays with its label, for `renew`; counted from the end of the
    /// chat if it became one.
    pub keep_link: Duration,
}

impl Default for Times {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            shortest_link: Duration::from_secs(10 * 60),
            longest_link: 30 * DAY,
            warning: DAY,
            absence: 3 * DAY,
            keep_acknowledged: DAY,
            keep_chat: 7 * DAY,
            keep_audit: 90 * DAY,
            keep_link: 30 * DAY,
        }
    }
}

/// Numbers that bound what hosts can cause; the defaults are those of the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many links a host may make in 24 hours.
    pub links_a_day: usize,
    /// How many unused links the whole bridge may have.
    pub bridge_links: u64,
    /// How many chats the whole bridge may have at once.
    pub bridge_chats: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            links_a_day: 50,
            bridge_links: 100_000,
            bridge_chats: 100_000,
        }
    }
}

/// How fast a guest may send: `burst` frames at once, then one every `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestRate {
    /// Frames that may come at once; at least 1.
    pub burst: u32,
    /// The time after which one more may come.
    pub interval: Duration,
}

/// What a Matrix user may do with the bot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Nothing.
    None,
    /// Have links.
    Host,
    /// Have links, and steer the bridge.
    Admin,
}

/// Roles by user id, by server name, and for everybody else by `*`. The most exact entry counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(pub BTreeMap<String, Role>);

impl Permissions {
    /// The role of this user. Server names are compared exactly, port included.
    #[must_use]
    pub fn role(&self, user: &UserId) -> Role {
        let entry = |key: &str| self.0.get(key).copied();
        entry(user.as_str())
            .or_else(|| entry(user.server_name()))
            .or_else(|| entry("*"))
            .unwrap_or(Role::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_entry_counts() {
        let entries = [
            ("*", Role::None),
            ("example.org", Role::Host),
            ("@root:example.org", Role::Admin),
            ("@troll:example.org", Role::None),
        ];
        let permissions = Permissions(entries.map(|(key, role)| (key.to_owned(), role)).into());
        let table = [
            ("@alice:example.org", Role::Host),
            ("@root:example.org", Role::Admin),
            ("@troll:example.org", Role::None),
            ("@alice:example.org:8448", Role::None),
            ("@alice:sub.example.org", Role::None),
            ("@example.org:elsewhere.net", Role::None),
        ];
        for (user, role) in table {
            assert_eq!(permissions.role(&UserId::new(user)), role, "{user}");
        }
        assert_eq!(
            Permissions::default().role(&UserId::new("@alice:example.org")),
            Role::None
        );
        assert!(Role::None < Role::Host && Role::Host < Role::Admin);
    }
}
