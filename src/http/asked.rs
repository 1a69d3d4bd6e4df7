//! How often each browser asked about keys. Kept beside its connections, because a new connection
//! must not bring a new allowance.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use vestibule_bridge::id::PortalId;
use vestibule_bridge::policy::GuestRate;
use vestibule_bridge::refusal::Refusal;
use vestibule_bridge::time::Timestamp;
use vestibule_bridge::visit;

/// How often a browser may ask: a page that was changed must not drain the host's one-time keys.
const RATE: GuestRate = GuestRate {
    burst: 20,
    interval: Duration::from_secs(2),
};
/// From how many chats on those are forgotten that may ask as if they never had.
const MANY: usize = 1024;

/// When each chat's allowance will be whole again.
#[derive(Debug, Default)]
pub struct Asked(Mutex<HashMap<PortalId, Timestamp>>);

impl Asked {
    /// Counts one question, or says when the next one may come.
    pub fn spend(&self, portal: PortalId, now: Timestamp) -> Result<(), Refusal> {
        // Nothing in here can be left half-done by a panic.
        let mut whole_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if whole_at.len() >= MANY {
            whole_at.retain(|_, time| *time > now);
        }
        visit::spend(whole_at.entry(portal).or_insert(Timestamp(0)), &RATE, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chat_has_its_own_allowance_and_old_ones_are_forgotten() {
        let asked = Asked::default();
        let start = Timestamp(1_000_000);
        for number in 0..(MANY as u128 + 10) {
            assert_eq!(asked.spend(PortalId::from_u128(number), start), Ok(()));
        }
        let first = PortalId::from_u128(0);
        for _ in 1..RATE.burst {
            assert_eq!(asked.spend(first, start), Ok(()));
        }
        let refused = Refusal::RateLimited {
            retry_after: RATE.interval,
        };
        assert_eq!(asked.spend(first, start), Err(refused));
        let later = start + RATE.interval.saturating_mul(RATE.burst);
        assert_eq!(asked.spend(first, later), Ok(()));
        let kept = asked.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(kept.len(), 1);
    }
}
