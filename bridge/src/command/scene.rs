//! Where a command was written, and how it is answered there.

use crate::bridge::Undecided;
use crate::effect::Words;
use crate::host::ManagementRoom;
use crate::id::UserId;
use crate::policy::Role;
use crate::store::StoreError;
use crate::time::Timestamp;

use super::shown;

/// Who wrote a command, where and when.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    /// The room.
    pub room: &'a ManagementRoom,
    /// Who wrote it.
    pub author: &'a UserId,
    /// What they may do.
    pub role: Role,
    /// The time.
    pub now: Timestamp,
}

/// What the bot says to a command, in order.
pub(super) type Said = Vec<Words>;

/// Why a command was not carried out.
pub(super) enum Stop {
    /// For a reason that the author reads, and that says what to do next.
    Because(String),
    /// It could not be decided.
    Undecided(Undecided),
}

impl From<Undecided> for Stop {
    fn from(undecided: Undecided) -> Self {
        Self::Undecided(undecided)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Undecided(error.into())
    }
}

impl Scene<'_> {
    /// A command as one has to write it here.
    pub(super) fn command(&self, name: &str, argument: impl std::fmt::Display) -> String {
        let written = format!("{name} {argument}");
        format!("`{}`", shown(written.trim_end(), self.room.direct))
    }
}

/// One message.
pub(super) fn one(text: impl Into<String>) -> Said {
    vec![Words::new(text)]
}
