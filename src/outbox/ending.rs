//! How far the homeserver is with chats that are over.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// What one call takes, pause included, before the first one was measured.
const USUAL: Duration = Duration::from_millis(150);
/// Of how many calls the mean is taken, the younger ones counting more.
const OF: u64 = 16;

/// Chats that are over, and of which the homeserver still has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// How many.
    pub chats: usize,
    /// How long it will take; none while the homeserver doesn't answer.
    pub left: Option<Duration>,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.chats {
            1 => f.write_str("1 chat is being ended")?,
            chats => write!(f, "{chats} chats are being ended")?,
        }
        let Some(left) = self.left else {
            return f.write_str("; this goes on when the homeserver answers again.");
        };
        match left.as_secs() {
            0..=59 => f.write_str("; less than a minute is left."),
            60..=89 => f.write_str("; about 1 minute is left."),
            seconds @ 90..=7199 => write!(f, "; about {} minutes are left.", (seconds + 30) / 60),
            seconds => write!(f, "; about {} hours are left.", (seconds + 1800) / 3600),
        }
    }
}

/// What is known of it.
#[derive(Debug)]
pub struct Progress {
    chats: AtomicUsize,
    effects: AtomicUsize,
    /// What one call takes on the average, in microseconds.
    each: AtomicU64,
    down: AtomicBool,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            chats: AtomicUsize::default(),
            effects: AtomicUsize::default(),
            each: AtomicU64::new(micros(USUAL)),
            down: AtomicBool::default(),
        }
    }
}

impl Progress {
    /// So many chats are to be cleaned up after, by so many calls.
    pub fn is(&self, (chats, effects): (usize, usize)) {
        self.chats.store(chats, Ordering::Relaxed);
        self.effects.store(effects, Ordering::Relaxed);
    }

    /// A call took so long, the pause after it included.
    pub fn took(&self, time: Duration) {
        let mean = self.each.load(Ordering::Relaxed);
        let mean = (mean * (OF - 1) + micros(time)) / OF;
        self.each.store(mean, Ordering::Relaxed);
    }

    /// Whether the homeserver answers; gives what was known before.
    pub fn set_down(&self, down: bool) -> bool {
        self.down.swap(down, Ordering::Relaxed)
    }

    /// What is left, if anything is.
    pub fn ending(&self) -> Option<Ending> {
        let chats = self.chats.load(Ordering::Relaxed);
        let effects = u64::try_from(self.effects.load(Ordering::Relaxed)).unwrap_or(u64::MAX);
        let left = self.each.load(Ordering::Relaxed).saturating_mul(effects);
        let down = self.down.load(Ordering::Relaxed);
        (chats > 0).then(|| Ending {
            chats,
            left: (!down).then(|| Duration::from_micros(left)),
        })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / OF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_in_words() {
        let table = [
            (
                1,
                Some(3),
                "1 chat is being ended; less than a minute is left.",
            ),
            (
                40,
                Some(75),
                "40 chats are being ended; about 1 minute is left.",
            ),
            (
                312,
                Some(131),
                "312 chats are being ended; about 2 minutes are left.",
            ),
            (
                9000,
                Some(4000),
                "9000 chats are being ended; about 67 minutes are left.",
            ),
            (
                90_000,
                Some(40_000),
                "90000 chats are being ended; about 11 hours are left.",
            ),
            (
                7,
                None,
                "7 chats are being ended; this goes on when the homeserver answers again.",
            ),
        ];
        for (chats, left, words) in table {
            let left = left.map(Duration::from_secs);
            assert_eq!(Ending { chats, left }.to_string(), words);
        }
    }

    #[test]
    fn the_estimate_follows_what_is_measured() {
        let progress = Progress::default();
        assert_eq!(progress.ending(), None);
        progress.is((10, 30));
        assert_eq!(
            progress.ending().and_then(|ending| ending.left),
            Some(USUAL * 30)
        );
        for _ in 0..200 {
            progress.took(Duration::from_secs(1));
        }
        let left = progress.ending().and_then(|ending| ending.left);
        assert!(
            left.is_some_and(|left| left.as_secs().abs_diff(30) <= 1),
            "{left:?}"
        );
        assert!(!progress.set_down(true));
        assert_eq!(
            progress.ending(),
            Some(Ending {
                chats: 10,
                left: None
            })
        );
    }
}
