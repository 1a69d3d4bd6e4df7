//! The Matrix user that stands for one guest.

use rand_core::Rng;

use crate::id::{PortalId, UserId};

/// How every ghost's localpart begins; the registration claims this namespace exclusively.
pub const LOCALPART_PREFIX: &str = "_vestibule_";

/// A ghost's user id, random and so never reused.
pub fn random(server_name: &str, rng: &mut dyn Rng) -> UserId {
    UserId::new(format!(
        "@{LOCALPART_PREFIX}{}:{server_name}",
        PortalId::random(rng)
    ))
}

/// Whether this user lies in the namespace of the ghosts.
#[must_use]
pub fn is_ghost(user: &UserId, server_name: &str) -> bool {
    user.localpart().starts_with(LOCALPART_PREFIX) && user.server_name() == server_name
}
