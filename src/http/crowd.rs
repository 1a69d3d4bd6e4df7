//! How much comes from one address: tries at links, and open sockets. Kept in memory of a fixed size.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::visitor::Place;

/// How many addresses are remembered. Of more, those are forgotten that are nearest to their whole
/// allowance: who has a hundred thousand addresses is not stopped by counting them, and must not have
/// all others stopped.
const REMEMBERED: usize = 10_000;
/// How many tries a wrong token costs. Nobody guesses 130 bits, but nobody has to look for so many.
const WRONG: u32 = 10;

/// How much one address may.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Tries at once: looking at a link is one, joining is one.
    pub tries: u32,
    /// The time after which there is one more.
    pub interval: Duration,
    /// Sockets at once.
    pub sockets: usize,
}

/// Who tried how often, and how many sockets are open from where.
#[derive(Debug)]
pub struct Crowd {
    allowance: Allowance,
    /// When each allowance will be whole again, by the time since the start.
    whole_at: Mutex<HashMap<Place, Duration>>,
    sockets: Mutex<HashMap<Place, usize>>,
}

impl Crowd {
    /// Nobody came yet.
    #[must_use]
    pub fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            whole_at: Mutex::default(),
            sockets: Mutex::default(),
        }
    }

    /// Counts a try, or says when the next one may come.
    pub fn try_once(&self, place: Place, now: Duration) -> Result<(), Duration> {
        let Allowance {
            tries, interval, ..
        } = self.allowance;
        let mut whole_at = locked(&self.whole_at);
        let whole = whole_at.get(&place).copied().unwrap_or_default().max(now);
        let full = whole + interval;
        let limit = now + interval * tries;
        if full > limit {
            return Err(full - limit);
        }
        remember(&mut whole_at, place, full, now);
        Ok(())
    }

    /// The token of the last try was none. Costs at most the whole allowance.
    pub fn was_wrong(&self, place: Place, now: Duration) {
        let Allowance {
            tries, interval, ..
        } = self.allowance;
        let mut whole_at = locked(&self.whole_at);
        let whole = whole_at.get(&place).copied().unwrap_or_default().max(now);
        let full = (whole + interval * (WRONG - 1)).min(now + interval * tries);
        remember(&mut whole_at, place, full, now);
    }

    /// Takes a place for one more socket, if there is one.
    pub fn sit(self: &Arc<Self>, place: Place) -> Option<Sitting> {
        let mut sockets = locked(&self.sockets);
        let open = sockets.entry(place).or_default();
        if *open >= self.allowance.sockets {
            return None;
        }
        *open += 1;
        Some(Sitting {
            crowd: Arc::clone(self),
            place,
        })
    }
}

/// One open socket; dropping it gives its place up.
#[derive(Debug)]
pub struct Sitting {
    crowd: Arc<Crowd>,
    place: Place,
}

impl Drop for Sitting {
    fn drop(&mut self) {
        let mut sockets = locked(&self.crowd.sockets);
        if let Some(open) = sockets.get_mut(&self.place) {
            *open -= 1;
            if *open == 0 {
                sockets.remove(&self.place);
            }
        }
    }
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here can be left half-done by a panic.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remember(whole_at: &mut HashMap<Place, Duration>, place: Place, full: Duration, now: Duration) {
    if whole_at.len() >= REMEMBERED && !whole_at.contains_key(&place) {
        whole_at.retain(|_, whole| *whole > now);
        if whole_at.len() >= REMEMBERED {
            let nearest = whole_at.iter().min_by_key(|(_, whole)| **whole);
            let nearest = nearest.map(|(place, _)| *place);
            nearest.and_then(|place| whole_at.remove(&place));
        }
    }
    whole_at.insert(place, full);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::net::Ipv4Addr;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn crowd() -> Arc<Crowd> {
        Arc::new(Crowd::new(Allowance {
            tries: 20,
            interval: SECOND,
            sockets: 2,
        }))
    }

    fn place(number: u32) -> Place {
        Place::of(Ipv4Addr::from(number).into())
    }

    #[test]
    fn each_address_has_its_own_allowance() {
        let crowd = crowd();
        let now = 100 * SECOND;
        for _ in 0..20 {
            assert_eq!(crowd.try_once(place(1), now), Ok(()));
        }
        assert_eq!(crowd.try_once(place(1), now), Err(SECOND));
        assert_eq!(crowd.try_once(place(2), now), Ok(()));
        let later = now + SECOND;
        assert_eq!(crowd.try_once(place(1), later), Ok(()));
        assert_eq!(crowd.try_once(place(1), later), Err(SECOND));
    }

    #[test]
    fn a_wrong_token_costs_more_and_never_more_than_all() {
        let crowd = crowd();
        let now = 100 * SECOND;
        let mut wrong = 0;
        while crowd.try_once(place(1), now).is_ok() {
            crowd.was_wrong(place(1), now);
            wrong += 1;
        }
        assert_eq!(wrong, 2);
        assert_eq!(crowd.try_once(place(1), now), Err(SECOND));
        for _ in 0..100 {
            crowd.was_wrong(place(1), now);
        }
        assert_eq!(crowd.try_once(place(1), now), Err(SECOND));
        assert_eq!(crowd.try_once(place(1), now + SECOND), Ok(()));
    }

    #[test]
    fn a_flood_of_addresses_fills_no_memory_and_frees_nobody_who_floods() {
        let crowd = crowd();
        let now = 100 * SECOND;
        for _ in 0..20 {
            crowd.try_once(place(0), now).unwrap();
        }
        for number in 1..=30_000 {
            assert_eq!(crowd.try_once(place(number), now), Ok(()));
        }
        assert_eq!(locked(&crowd.whole_at).len(), REMEMBERED);
        assert!(crowd.try_once(place(0), now).is_err());
    }

    #[test]
    fn sockets_are_counted_and_given_up() {
        let crowd = crowd();
        let first = crowd.sit(place(1)).unwrap();
        let second = crowd.sit(place(1)).unwrap();
        assert!(crowd.sit(place(1)).is_none());
        assert!(crowd.sit(place(2)).is_some());
        drop(first);
        let third = crowd.sit(place(1)).unwrap();
        assert!(crowd.sit(place(1)).is_none());
        drop((second, third));
        assert!(locked(&crowd.sockets).is_empty());
    }
}
