//! Whether the driver can store what it decides, for `/ready` and for the driver itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::monotonic;

/// A round that takes longer than this is worth telling. A commit with its fsync takes
/// milliseconds on a disk that is well.
const SLOW: Duration = Duration::from_secs(3);

/// What is wrong with storing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The last round could not be stored.
    Failing,
    /// A round has been at it for long.
    Slow,
}

/// How the driver fares.
#[derive(Debug)]
pub struct Health {
    inner: Mutex<Inner>,
    slow: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            slow: SLOW,
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    failing: bool,
    began: Option<Instant>,
}

impl Health {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here can be left half-done by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong now.
    pub fn trouble(&self) -> Option<Trouble> {
        let inner = self.inner();
        if inner.failing {
            Some(Trouble::Failing)
        } else {
            let slow = inner.began.is_some_and(|began| began.elapsed() > self.slow);
            slow.then_some(Trouble::Slow)
        }
    }

    /// A round begins.
    pub fn begin(&self) {
        self.inner().began = Some(monotonic());
    }

    /// A round is over, well or not.
    pub fn end(&self) {
        self.inner().began = None;
    }

    /// Whether the store failed at the last try.
    pub fn is_failing(&self) -> bool {
        self.inner().failing
    }

    /// The store failed, or a write succeeded. Whether that is news.
    pub fn set_failing(&self, failing: bool) -> bool {
        std::mem::replace(&mut self.inner().failing, failing) != failing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_takes_long_is_trouble_until_it_is_over() {
        let health = Health {
            slow: Duration::ZERO,
            ..Health::default()
        };
        assert_eq!(health.trouble(), None);
        health.begin();
        while health.trouble().is_none() {
            std::thread::yield_now();
        }
        assert_eq!(health.trouble(), Some(Trouble::Slow));
        health.end();
        assert_eq!(health.trouble(), None);
        let patient = Health::default();
        patient.begin();
        assert_eq!(patient.trouble(), None);
        assert!(patient.set_failing(true));
        assert!(!patient.set_failing(true));
        assert_eq!(patient.trouble(), Some(Trouble::Failing));
    }
}
