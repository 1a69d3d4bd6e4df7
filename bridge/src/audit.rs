//! The audit trail: who did what to which link or chat, and when. It holds no content, no token and
//! no name of a guest, and no label: what a host calls somebody is the host's own.
//!
//! An entry is stored in the commit of what it tells of, so there is none without the other. After
//! [`Times::keep_audit`](crate::policy::Times::keep_audit) a tick erases it.

use serde::{Deserialize, Serialize};

use crate::draft::Draft;
use crate::id::{PortalId, UserId};
use crate::link::Link;
use crate::portal::EndReason;
use crate::store::{Change, Read};
use crate::time::Timestamp;

/// How many entries one tick erases; the shell ticks again.
const ERASED_PER_TICK: usize = 500;

/// Which entry: when it was written, and a number that only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AuditId {
    /// When.
    pub at: Timestamp,
    /// Tells entries of the same millisecond apart.
    #[serde(rename = "entry")]
    pub number: u64,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, and which.
    #[serde(flatten)]
    pub id: AuditId,
    /// Who did it.
    pub by: Actor,
    /// What was done.
    #[serde(flatten)]
    pub act: Act,
    /// What it was done to.
    #[serde(flatten)]
    pub to: Target,
}

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The host that the entry names.
    Host,
    /// Whoever has the link, or uses it.
    Guest,
    /// Somebody who steers the bridge.
    Admin(UserId),
    /// Nobody: time, or a step that failed.
    Bridge,
    /// Somebody who has no business in the room.
    Stranger,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// A link was made.
    LinkMade,
    /// A browser looked at it for the first time.
    LinkOpened,
    /// A guest used it: the chat is being set up.
    LinkUsed,
    /// It was taken back.
    LinkRevoked,
    /// Its time was over.
    LinkExpired,
    /// All its tries for a passcode were used up, and it was taken back.
    PasscodeSpent,
    /// The chat's room is sealed.
    ChatOpened,
    /// The chat is over.
    ChatEnded {
        /// Why.
        reason: EndReason,
    },
    /// The chat's guest was blocked.
    GuestBlocked,
    /// A guest was taken off the block list.
    GuestUnblocked,
    /// The host may have no more links and chats.
    HostBlocked,
    /// The host may have them again.
    HostUnblocked,
    /// The host was given limits of their own; none means those of the configuration.
    QuotaSet {
        /// How many unused links.
        links: Option<usize>,
        /// How many chats.
        chats: Option<usize>,
    },
    /// No more links and joins.
    Paused {
        /// Whether all unused links were taken back too.
        revoke: bool,
    },
    /// Links and joins again.
    Resumed,
    /// A room became an admin room.
    AdminRoomClaimed,
    /// It is one no more.
    AdminRoomGivenUp,
    /// Somebody who talks with the bot has other cross-signing keys than before.
    IdentityReset,
}

/// What something is done to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The host whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<UserId>,
    /// The number by which the host knows link and chat; 0 when it is about none.
    #[serde(default)]
    pub number: u32,
    /// The number by which admins know them; 0 when it is about none.
    #[serde(default)]
    pub serial: u64,
    /// The chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal: Option<PortalId>,
}

impl Target {
    /// A host.
    #[must_use]
    pub fn host(host: &UserId) -> Self {
        Self {
            host: Some(host.clone()),
            ..Self::default()
        }
    }

    /// A link.
    #[must_use]
    pub fn link(link: &Link) -> Self {
        Self {
            host: Some(link.host.clone()),
            number: link.number,
            serial: link.serial,
            portal: None,
        }
    }

    /// The chat that a link became. A link that can't be read has no numbers.
    #[must_use]
    pub fn chat(host: &UserId, portal: PortalId, link: Option<&Link>) -> Self {
        Self {
            portal: Some(portal),
            ..link.map_or_else(|| Self::host(host), Self::link)
        }
    }
}

impl Actor {
    /// The name for logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Guest => "guest",
            Self::Admin(_) => "admin",
            Self::Bridge => "bridge",
            Self::Stranger => "stranger",
        }
    }

    /// The admin, if it was one.
    #[must_use]
    pub fn admin(&self) -> Option<&UserId> {
        match self {
            Self::Admin(admin) => Some(admin),
            _ => None,
        }
    }
}

impl Act {
    /// The name for logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LinkMade => "link_made",
            Self::LinkOpened => "link_opened",
            Self::LinkUsed => "link_used",
            Self::LinkRevoked => "link_revoked",
            Self::LinkExpired => "link_expired",
            Self::PasscodeSpent => "passcode_spent",
            Self::ChatOpened => "chat_opened",
            Self::ChatEnded { .. } => "chat_ended",
            Self::GuestBlocked => "guest_blocked",
            Self::GuestUnblocked => "guest_unblocked",
            Self::HostBlocked => "host_blocked",
            Self::HostUnblocked => "host_unblocked",
            Self::QuotaSet { .. } => "quota_set",
            Self::Paused { .. } => "paused",
            Self::Resumed => "resumed",
            Self::AdminRoomClaimed => "admin_room_claimed",
            Self::AdminRoomGivenUp => "admin_room_given_up",
            Self::IdentityReset => "identity_reset",
        }
    }

    /// More about it, for logs: why a chat ended, for example.
    #[must_use]
    pub fn detail(self) -> Option<String> {
        let number = |number: Option<usize>| {
            number.map_or_else(|| "default".to_owned(), |number| number.to_string())
        };
        match self {
            Self::ChatEnded { reason } => Some(reason.name().to_owned()),
            Self::QuotaSet { links, chats } => {
                Some(format!("links {}, chats {}", number(links), number(chats)))
            }
            Self::Paused { revoke: true } => Some("revoke".to_owned()),
            _ => None,
        }
    }
}

/// Who ends a chat for this reason; for an admin, whoever acts.
pub(crate) fn ender(reason: EndReason, draft: &Draft<'_>) -> Actor {
    match reason {
        EndReason::Host => Actor::Host,
        EndReason::Guest => Actor::Guest,
        EndReason::Expired | EndReason::Failed => Actor::Bridge,
        EndReason::ThirdParty => Actor::Stranger,
        EndReason::Admin => draft.acting.clone(),
    }
}

/// Erases what is old enough.
pub(crate) fn forget(draft: &mut Draft<'_>) -> Read<()> {
    let until = draft.now.before(draft.policy.times.keep_audit);
    for id in draft.facts.audit_until(until, ERASED_PER_TICK)? {
        draft.put(Change::DeleteAudit(id));
    }
    Ok(())
}
