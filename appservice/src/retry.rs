//! How long to wait before a call is tried again. Time and randomness are the caller's.

use std::time::Duration;

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);

/// The pause after the `attempt`-th failure in a row, counted from 0: 1 s, 2 s, 4 s and so on, at
/// most 60 s. `jitter`, from 0 to 1, takes up to half of it away, so that those who failed together
/// don't come back together.
#[must_use]
pub fn delay(attempt: u32, jitter: f64) -> Duration {
    let doubled = Duration::from_secs(1u64.checked_shl(attempt).unwrap_or(u64::MAX));
    let jitter = if jitter.is_nan() {
        0.0
    } else {
        jitter.clamp(0.0, 1.0)
    };
    doubled.min(LONGEST).mul_f64(1.0 - jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::delay;

    #[test]
    fn doubles_up_to_a_minute() {
        let pauses: Vec<u64> = (0..9)
            .map(|attempt| delay(attempt, 0.0).as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(delay(63, 0.0), Duration::from_secs(60));
        assert_eq!(delay(u32::MAX, 0.0), Duration::from_secs(60));
    }

    #[test]
    fn jitter_takes_at_most_half() {
        assert_eq!(delay(3, 0.5), Duration::from_secs(6));
        assert_eq!(delay(3, 1.0), Duration::from_secs(4));
        for odd in [-1.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(delay(3, odd), Duration::from_secs(8));
        }
        assert_eq!(delay(3, f64::INFINITY), Duration::from_secs(4));
    }
}
