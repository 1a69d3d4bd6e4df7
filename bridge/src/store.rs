//! The port to whatever keeps the rows: reading ([`Facts`]), and what a decision changes
//! ([`Changes`]). The same conformance tests hold for every implementation.

use std::collections::BTreeMap;
use std::fmt;

use crate::alarm::Subject;
use crate::audit::{AuditEntry, AuditId};
use crate::block::Block;
use crate::bot_record::BotRecord;
use crate::count::Counts;
use crate::effect::Effect;
use crate::frame::InboxFrame;
use crate::host::{Host, ManagementRoom};
use crate::id::{EffectId, LinkId, PortalId, RoomId, UserId};
use crate::link::{Link, TokenHash};
use crate::permission::{Rule, RuleShelf};
use crate::portal::Portal;
use crate::steering::Steering;
use crate::time::Timestamp;

/// A row could not be read or written. The input that met it counts as not having happened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or the library under the store failed.
    #[error("the store failed in {family}")]
    Backend {
        /// The family of rows.
        family: &'static str,
        /// What happened.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row doesn't read as what it must be.
    #[error("{0}")]
    Damaged(DamagedRow),
    /// A row was written by a newer version of the program.
    #[error("a row in {family} has version {version}, which this program is too old to read")]
    TooNew {
        /// The family of rows.
        family: &'static str,
        /// The row's version.
        version: u8,
    },
}

/// A row that doesn't read as what it must be. It concerns its owner alone: everybody else goes on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DamagedRow {
    /// The family of rows.
    pub family: &'static str,
    /// Whom it concerns.
    pub owner: Owner,
}

impl fmt::Display for DamagedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a row in {} is damaged ({})", self.family, self.owner)
    }
}

/// Whom a damaged row concerns, as far as its key and what is left of it tell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// One chat.
    Portal(PortalId),
    /// One link.
    Link(LinkId),
    /// One effect, of which it can't be told whose it was.
    Effect(EffectId),
    /// One room.
    Room(RoomId),
    /// It can't be told, or it is a person, whose id stays out of logs.
    Unknown,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Portal(id) => write!(f, "chat {id}"),
            Self::Link(id) => write!(f, "link {id}"),
            Self::Effect(id) => write!(f, "effect {id}"),
            Self::Room(id) => write!(f, "room {id}"),
            Self::Unknown => f.write_str("of nobody that can be named"),
        }
    }
}

/// Shorthand for what reading gives.
pub type Read<T> = Result<T, StoreError>;

/// 16 bytes of a SHA-256 that recognise an event which was delivered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 16]);

/// How many transactions are remembered, and beside them the events outside of portals that led to
/// something. The homeserver has one transaction in flight and repeats no other, so one would do;
/// so many stand for a minute of the busiest homeserver, and for days of a host's commands on an
/// ordinary one. A homeserver that was restored from a backup repeats more than any bound, but has
/// then forgotten the answers too: events of portals are recognised by digest as long as the
/// portal lives, and a command that is carried out again is one that was never answered there.
pub const REMEMBERED_TRANSACTIONS: u64 = 4096;

/// A chat that was set aside, because a row of it doesn't read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsideChat {
    /// Which.
    pub portal: PortalId,
    /// Whose it is, if that still reads.
    pub host: Option<UserId>,
}

/// What is stored, as seen after all changes so far, those of earlier inputs of the same round
/// included. Whatever gives one row fails with [`StoreError::Damaged`] when the row doesn't read;
/// a list of several owners leaves such rows out and goes on.
pub trait Facts {
    /// A link by its id.
    fn link(&self, id: LinkId) -> Read<Option<Link>>;
    /// A link by its token's hash.
    fn link_by_token(&self, hash: &TokenHash) -> Read<Option<Link>>;
    /// All links of a host, in order of their ids.
    fn links_of_host(&self, host: &UserId) -> Read<Vec<Link>>;
    /// A portal by its id. One that was set aside reads as [`StoreError::Damaged`].
    fn portal(&self, id: PortalId) -> Read<Option<Portal>>;
    /// A portal by its room.
    fn portal_by_room(&self, room: &RoomId) -> Read<Option<Portal>>;
    /// A portal by its ghost.
    fn portal_by_ghost(&self, ghost: &UserId) -> Read<Option<Portal>>;
    /// All portals of a host, in order of their ids.
    fn portals_of_host(&self, host: &UserId) -> Read<Vec<Portal>>;
    /// Up to `limit` portals whose deadline is not after `now`, the oldest deadline first.
    fn due(&self, now: Timestamp, limit: usize) -> Read<Vec<PortalId>>;
    /// Up to `limit` alarms whose time is not after `now`, the oldest first; of the same time links
    /// before portals, then by id.
    fn alarms(&self, now: Timestamp, limit: usize) -> Read<Vec<(Timestamp, Subject)>>;
    /// Whether this host blocked the browser with this Ed25519 key (unpadded base64).
    fn block(&self, host: &UserId, key: &str) -> Read<Option<Block>>;
    /// All that a host blocked, in order of the keys.
    fn blocks_of_host(&self, host: &UserId) -> Read<Vec<Block>>;
    /// How many links and chats are open on the whole bridge; zeros before they were first put.
    fn counts(&self) -> Read<Counts>;
    /// A host.
    fn host(&self, user: &UserId) -> Read<Option<Host>>;
    /// Up to `limit` hosts with an id above `after`, in order.
    fn hosts(&self, after: Option<&UserId>, limit: usize) -> Read<Vec<Host>>;
    /// A link by its serial.
    fn link_by_serial(&self, serial: u64) -> Read<Option<Link>>;
    /// Up to `limit` links with a serial below `before`, or of all, the greatest first. Those without
    /// a serial are not among them.
    fn links_before(&self, before: Option<u64>, limit: usize) -> Read<Vec<Link>>;
    /// What admins set; nothing before anything was set.
    fn steering(&self) -> Read<Steering>;
    /// Up to `limit` entries of the audit trail before this one, the newest first.
    fn audit(&self, before: Option<AuditId>, limit: usize) -> Read<Vec<AuditEntry>>;
    /// Up to `limit` entries of the audit trail that were written at this time or before it.
    fn audit_until(&self, until: Timestamp, limit: usize) -> Read<Vec<AuditId>>;
    /// Rules of deny lists on this shelf, in order: all of them, or those about this entity.
    fn rules(&self, shelf: RuleShelf, entity: Option<&str>) -> Read<Vec<Rule>>;
    /// A management room.
    fn management_room(&self, room: &RoomId) -> Read<Option<ManagementRoom>>;
    /// All records of the bot's own device, by their keys. Fails when one doesn't read: a device that
    /// has lost a part of itself must not be used.
    fn bot_records(&self) -> Read<BTreeMap<String, BotRecord>>;
    /// An effect that was not performed yet.
    fn effect(&self, id: EffectId) -> Read<Option<Effect>>;
    /// Up to `limit` effects after `after`, in order. One that doesn't read is there without its
    /// content, so that it can be cleared away.
    fn effects(
        &self,
        after: Option<EffectId>,
        limit: usize,
    ) -> Read<Vec<(EffectId, Option<Effect>)>>;
    /// Up to `limit` inbox frames with a sequence number above `after`, in order. Fails when one of
    /// them doesn't read: a browser must not go on as if there had been none.
    fn frames(&self, portal: PortalId, after: u64, limit: usize) -> Read<Vec<(u64, InboxFrame)>>;
    /// Whether this transaction was committed before.
    fn transaction_seen(&self, txn: &str) -> Read<bool>;
    /// Whether this portal was given an event with this digest before.
    fn digest_seen(&self, portal: PortalId, digest: Digest) -> Read<bool>;
    /// Whether the portal was set aside, because a row of it doesn't read.
    fn is_set_aside(&self, portal: PortalId) -> Read<bool>;
    /// Up to `limit` chats that were set aside not after `until`, in order of their ids. Those of
    /// which it isn't known since when are not among them.
    fn set_aside_until(&self, until: Timestamp, limit: usize) -> Read<Vec<AsideChat>>;
}

/// One change of the rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Insert or replace a link.
    PutLink(Link),
    /// Insert or replace a portal. `deadline` is the portal's deadline before and after: the rows
    /// are also kept in order of time.
    PutPortal {
        /// The portal.
        portal: Box<Portal>,
        /// The deadline that the stored row has, if there is a row and it has one.
        was_due: Option<Timestamp>,
        /// The deadline from now on.
        due: Option<Timestamp>,
    },
    /// Insert or replace a host.
    PutHost(Host),
    /// Insert or replace a management room.
    PutManagementRoom(ManagementRoom),
    /// Forget a management room.
    DeleteManagementRoom(RoomId),
    /// Insert or replace a record of the bot's own device.
    PutBotRecord {
        /// Its key.
        key: String,
        /// The record.
        record: BotRecord,
    },
    /// Delete a record of the bot's own device.
    DeleteBotRecord(String),
    /// Delete all records of the bot's own device.
    ForgetBot,
    /// Put a frame into a portal's inbox.
    PutFrame {
        /// The portal.
        portal: PortalId,
        /// Its sequence number.
        seq: u64,
        /// The frame.
        frame: InboxFrame,
    },
    /// Delete a portal's frames up to and including this sequence number.
    DeleteFrames {
        /// The portal.
        portal: PortalId,
        /// The last one to go.
        through: u64,
    },
    /// Remember an effect until it is done.
    PutEffect {
        /// Its id.
        id: EffectId,
        /// The effect.
        effect: Effect,
    },
    /// An effect is done.
    DeleteEffect(EffectId),
    /// Remember a transaction by whatever recognises it; of more than [`REMEMBERED_TRANSACTIONS`] the oldest is forgotten.
    RememberTransaction(String),
    /// Remember an event that a portal was given.
    RememberDigest {
        /// The portal.
        portal: PortalId,
        /// The event's digest.
        digest: Digest,
    },
    /// Set, move or take away the alarm of a link or portal. The row itself says the same in its
    /// `alarm_at`.
    SetAlarm {
        /// Whose.
        subject: Subject,
        /// When it was to ring so far, if it was.
        was: Option<Timestamp>,
        /// When it rings from now on, if it does.
        at: Option<Timestamp>,
    },
    /// Insert or replace an entry of a host's block list.
    PutBlock(Block),
    /// Take an entry out of a host's block list.
    DeleteBlock {
        /// The host.
        host: UserId,
        /// The browser's Ed25519 key.
        key: String,
    },
    /// Replace the counts.
    PutCounts(Counts),
    /// Replace what admins set.
    PutSteering(Steering),
    /// Write an entry into the audit trail.
    PutAudit(AuditEntry),
    /// Forget an entry of the audit trail.
    DeleteAudit(AuditId),
    /// Insert a rule of a deny list.
    PutRule(Rule),
    /// Take a rule of a deny list out.
    DeleteRule(Rule),
    /// Forget a closed portal: the row, its frames and digests, and what leads to it from its room,
    /// ghost and host. It has no deadline, and its alarm is taken away by a change of its own.
    ErasePortal(Box<Portal>),
    /// Forget a link: the row, and what leads to it from its token and host. Its alarm is taken away
    /// by a change of its own.
    EraseLink(Box<Link>),
    /// A row of this portal doesn't read, so the chat can't go on. It is not due any more either.
    SetAside {
        /// The portal.
        portal: PortalId,
        /// When that was found.
        at: Timestamp,
    },
    /// Forget a chat that was set aside: whatever is left of it, also what leads to it, its deadline
    /// and its alarm, and that it was set aside.
    EraseAside(PortalId),
}

/// All that one decision changes, in order. To be stored whole or not at all.
#[must_use = "changes that are not stored never happened"]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes(pub Vec<Change>);

impl Changes {
    /// Adds a change.
    pub fn push(&mut self, change: Change) {
        self.0.push(change);
    }

    /// Whether there is nothing to store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A store with one writer: changes become visible to the transaction at once, and to everybody,
/// durably, with its commit.
pub trait Store {
    /// One round's changes.
    type Transaction<'a>: StoreTransaction
    where
        Self: 'a;

    /// Begins a round.
    fn begin(&self) -> Self::Transaction<'_>;

    /// Called by the writer before a round: if the store failed since, it tries to get it working
    /// again, not more often than makes sense. Whether it was broken and works now.
    fn mend(&self) -> bool {
        false
    }
}

/// An open round; dropping it without a commit leaves the store as it was.
pub trait StoreTransaction: Facts {
    /// Adds one decision's changes. After an error the transaction must be dropped.
    fn apply(&mut self, changes: &Changes) -> Read<()>;

    /// The damaged rows that lists left out since this was asked last.
    fn left_out(&mut self) -> Vec<DamagedRow> {
        Vec::new()
    }

    /// Stores everything, durably and as a whole.
    fn commit(self) -> Read<()>;
}
