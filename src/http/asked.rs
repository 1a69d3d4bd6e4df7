//! How often each browser asked for something that costs the homeserver a call. Kept beside its connections, because a new connection
//! must not bring a new allowance.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use vestibule_bridge::id::PortalId;
use vestibule_bridge::policy::GuestRate;
use vestibule_bridge::refusal::Refusal;
use vestibule_bridge::time::Timestamp;
use vestibule_bridge::visit;

/// How often a browser may ask about keys: a page that was changed must not drain the host's
/// one-time keys.
pub const QUESTIONS: GuestRate = GuestRate {
    burst: 20,
    interval: Duration::from_secs(2),
};
/// How often a browser may connect, which costs a `/sync` and a `/keys/query`. Who connects more
/// often waits for a moment, and only their last connection does.
pub const GREETINGS: GuestRate = GuestRate {
    burst: 30,
    interval: Duration::from_secs(1),
};
/// From how many chats on those are forgotten that may ask as if they never had.
const MANY: usize = 1024;

/// When each chat's allowance will be whole again.
#[derive(Debug)]
pub struct Asked {
    rate: GuestRate,
    whole_at: Mutex<HashMap<PortalId, Timestamp>>,
}

impl Asked {
    /// Nobody asked yet; each chat may ask this often.
    #[must_use]
    pub fn new(rate: GuestRate) -> Self {
        Self {
            rate,
            whole_at: Mutex::default(),
        }
    }

    /// Counts one question, or says when the next one may come.
    pub fn spend(&self, portal: PortalId, now: Timestamp) -> Result<(), Refusal> {
        // Nothing in here can be left half-done by a panic.
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        if whole_at.len() >= MANY {
            whole_at.retain(|_, time| *time > now);
        }
        visit::spend(
            whole_at.entry(portal).or_insert(Timestamp(0)),
            &self.rate,
            now,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chat_has_its_own_allowance_and_old_ones_are_forgotten() {
        let asked = Asked::new(QUESTIONS);
        let start = Timestamp(1_000_000);
        for number in 0..(MANY as u128 + 10) {
            assert_eq!(asked.spend(PortalId::from_u128(number), start), Ok(()));
        }
        let first = PortalId::from_u128(0);
        for _ in 1..QUESTIONS.burst {
            assert_eq!(asked.spend(first, start), Ok(()));
        }
        let refused = Refusal::RateLimited {
            retry_after: QUESTIONS.interval,
        };
        assert_eq!(asked.spend(first, start), Err(refused));
        let later = start + QUESTIONS.interval.saturating_mul(QUESTIONS.burst);
        assert_eq!(asked.spend(first, later), Ok(()));
        let kept = asked
            .whole_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        assert_eq!(kept.len(), 1);
    }
}
