//! One browser's stay in a portal.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::DeviceId;
use crate::policy::GuestRate;
use crate::refusal::Refusal;
use crate::time::Timestamp;

/// What the bridge knows of the browser: its device, the key it proves itself with, and how far
/// its numbered frames were counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// The ghost's device, made in this browser.
    pub device: DeviceId,
    /// The device's Ed25519 key, unpadded base64.
    pub ed25519: String,
    /// The guest's cross-signing identity: the master key that the browser made, unpadded base64. None
    /// in rows from before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master: Option<String>,
    /// The highest numbered frame that was committed.
    pub last_n: u64,
    /// When the rate's bucket will be full again: the "theoretical arrival time" of the generic
    /// cell rate algorithm (ITU-T I.371), one number instead of a bucket and a refill time.
    pub rate: Timestamp,
    /// When the browser was last there, to the hour. 0 in rows from before it was kept.
    #[serde(default)]
    pub seen_at: Timestamp,
}

impl Visit {
    /// Takes one message out of the bucket, or says when there will be one.
    pub fn spend(&mut self, rate: &GuestRate, now: Timestamp) -> Result<(), Refusal> {
        spend(&mut self.rate, rate, now)
    }
}

/// Takes one out of the bucket that will be full again at `full_at`, or says when there will be one.
pub fn spend(full_at: &mut Timestamp, rate: &GuestRate, now: Timestamp) -> Result<(), Refusal> {
    let slack = rate.interval.saturating_mul(rate.burst.saturating_sub(1));
    let empty = slack.saturating_add(rate.interval);
    let mut ahead = full_at.since(now);
    // Further ahead than an empty bucket: the clock was set back. One is let through, so that the
    // bucket is empty by the new clock and nobody is silenced for as long as the clock was wrong.
    if ahead > empty {
        ahead = slack;
    }
    if ahead > slack {
        let retry_after = ahead.saturating_sub(slack).max(Duration::from_millis(1));
        return Err(Refusal::RateLimited { retry_after });
    }
    *full_at = now + ahead + rate.interval;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: GuestRate = GuestRate {
        burst: 3,
        interval: Duration::from_millis(1000),
    };

    fn wait(millis: u64) -> Result<(), Refusal> {
        Err(Refusal::RateLimited {
            retry_after: Duration::from_millis(millis),
        })
    }

    #[test]
    fn a_burst_then_one_each_interval() {
        let mut full_at = Timestamp(0);
        let table = [
            (10_000, Ok(())),
            (10_000, Ok(())),
            (10_000, Ok(())),
            (10_000, wait(1000)),
            (10_400, wait(600)),
            (11_000, Ok(())),
            (11_000, wait(1000)),
            (13_000, Ok(())),
            (13_000, Ok(())),
            (13_000, wait(1000)),
            (60_000, Ok(())),
            (60_000, Ok(())),
            (60_000, Ok(())),
            (60_000, wait(1000)),
        ];
        for (now, expected) in table {
            assert_eq!(
                spend(&mut full_at, &RATE, Timestamp(now)),
                expected,
                "at {now}"
            );
        }
    }

    #[test]
    fn a_clock_that_was_set_back_silences_nobody() {
        let mut full_at = Timestamp(0);
        for _ in 0..3 {
            assert_eq!(spend(&mut full_at, &RATE, Timestamp(1_000_000)), Ok(()));
        }
        assert_eq!(spend(&mut full_at, &RATE, Timestamp(5_000)), Ok(()));
        // And the rate holds by the new clock.
        assert_eq!(spend(&mut full_at, &RATE, Timestamp(5_000)), wait(1000));
        assert_eq!(spend(&mut full_at, &RATE, Timestamp(6_000)), Ok(()));
        assert_eq!(spend(&mut full_at, &RATE, Timestamp(6_000)), wait(1000));
    }

    #[test]
    fn a_burst_of_one_is_one_each_interval() {
        let rate = GuestRate { burst: 1, ..RATE };
        let mut full_at = Timestamp(0);
        assert_eq!(spend(&mut full_at, &rate, Timestamp(1)), Ok(()));
        assert_eq!(spend(&mut full_at, &rate, Timestamp(1)), wait(1000));
        assert_eq!(spend(&mut full_at, &rate, Timestamp(1001)), Ok(()));
    }
}
