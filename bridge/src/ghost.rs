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

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn ghosts_are_known_by_their_namespace() {
        let ghost = random("example.org", &mut StdRng::seed_from_u64(1));
        assert!(is_ghost(&ghost, "example.org"));
        assert!(!is_ghost(&ghost, "elsewhere.net"));
        assert!(!is_ghost(&UserId::new("@alice:example.org"), "example.org"));
        // The characters that Matrix allows in a localpart, and no longer than 255 bytes with room
        // for a long server name.
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(ghost.localpart().chars().all(allowed));
        assert!(ghost.localpart().len() < 40);
    }
}
