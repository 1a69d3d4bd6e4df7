//! What happens in a round, and when: all of it follows from one number.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::{Fault, Way};

/// How long things go wrong in a round.
const LENGTH_MS: u64 = 8_000;

/// A part of the world that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Requests between homeserver and bridge, in both directions.
    Http,
    /// The socket between page and bridge, and the page's own requests.
    Socket,
    /// The bridge is killed.
    Bridge,
    /// The homeserver is killed.
    Homeserver,
    /// The browser is killed, or the page loaded anew.
    Browser,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Http,
        Self::Socket,
        Self::Bridge,
        Self::Homeserver,
        Self::Browser,
    ];
}

/// Where a proxy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// From the bridge to the homeserver.
    Homeserver,
    /// From the homeserver to the bridge.
    Appservice,
    /// From the browser to the bridge.
    Page,
}

/// Something that the host does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostAct {
    /// Writes.
    Say(String),
    /// Begins a new Megolm session with the next message.
    Rotate,
}

/// Something that the guest does, or that happens to the browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestAct {
    /// Writes.
    Say(String),
    /// Loads the page anew.
    Reload,
    /// The browser is killed, `after_ms` after *Send* was pressed for the text if there is one,
    /// and started again later.
    Kill {
        /// What is being sent.
        saying: Option<(String, u64)>,
        /// How long the browser is gone.
        down_ms: u64,
    },
}

/// Something that happens to everything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorldAct {
    /// The next requests fail.
    Fail {
        /// Where.
        place: Place,
        /// How.
        fault: Fault,
        /// How many.
        count: usize,
    },
    /// All connections break, and no new one is taken.
    Cut(Place),
    /// Frames of sockets in this direction vanish.
    HalfOpen(Way),
    /// Each frame of a socket takes so much longer.
    Slow(Duration),
    /// The end of the three before.
    Mend(Place),
    /// Sockets break and may come again at once.
    Tear,
    /// The bridge is killed and started again later.
    KillBridge {
        /// How long it is gone.
        down_ms: u64,
    },
    /// The homeserver is killed and started again later.
    KillHomeserver {
        /// How long it is gone.
        down_ms: u64,
    },
}

/// Acts with their times since the round's begin, in their order.
pub type Script<A> = Vec<(Duration, A)>;

/// One round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it follows from, together with the troubles that are allowed.
    pub seed: u64,
    /// What the host does.
    pub host: Script<HostAct>,
    /// What the guest does.
    pub guest: Script<GuestAct>,
    /// What happens.
    pub world: Script<WorldAct>,
}

impl Plan {
    /// The plan of a seed, with only such troubles.
    #[must_use]
    pub fn new(seed: u64, troubles: &[Trouble]) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut plan = Self {
            seed,
            host: Vec::new(),
            guest: Vec::new(),
            world: Vec::new(),
        };
        let said_at = times(&mut rng);
        for (number, at) in (1..).zip(&said_at) {
            if rng.random_bool(0.3) {
                plan.host.push((ms(*at), HostAct::Rotate));
            }
            let text = HostAct::Say(format!("host {number} of {seed}"));
            plan.host.push((ms(*at), text));
        }
        for (number, at) in (1..).zip(times(&mut rng)) {
            let text = GuestAct::Say(format!("guest {number} of {seed}"));
            plan.guest.push((ms(at), text));
        }
        for _ in 0..rng.random_range(3..=6) {
            let at = rng.random_range(0..LENGTH_MS);
            if let Some(trouble) = troubles.choose(&mut rng) {
                plan.add(&mut rng, *trouble, at, &said_at);
            }
        }
        plan.guest.sort_by_key(|(at, _)| *at);
        plan.world.sort_by_key(|(at, _)| *at);
        plan
    }

    /// A plan in which transactions are lost while the host's room key goes out.
    #[must_use]
    pub fn lost_keys(seed: u64) -> Self {
        let mut plan = Self::new(seed, &[]);
        let fault = WorldAct::Fail {
            place: Place::Appservice,
            fault: Fault::Refuse,
            count: 2,
        };
        for (at, act) in &plan.host {
            if *act == HostAct::Rotate {
                plan.world.push((*at, fault.clone()));
            }
        }
        // The first message brings a key too.
        plan.world.insert(0, (Duration::ZERO, fault));
        plan
    }

    fn add(&mut self, rng: &mut StdRng, trouble: Trouble, at: u64, said_at: &[u64]) {
        let act = match trouble {
            Trouble::Http => {
                let place = either(rng, Place::Homeserver, Place::Appservice);
                self.add_request_fault(rng, place, at);
                return;
            }
            Trouble::Socket => {
                let act = match rng.random_range(0..6) {
                    0 => return self.add_request_fault(rng, Place::Page, at),
                    1 | 2 => WorldAct::Tear,
                    3 => WorldAct::Slow(ms(rng.random_range(50..600))),
                    _ => WorldAct::HalfOpen(either(rng, Way::In, Way::Out)),
                };
                let end = at + rng.random_range(200..3_000);
                self.world.push((ms(end), WorldAct::Mend(Place::Page)));
                act
            }
            Trouble::Bridge => WorldAct::KillBridge {
                down_ms: rng.random_range(0..1_500),
            },
            Trouble::Homeserver => {
                let down_ms = rng.random_range(0..1_000);
                let kill = WorldAct::KillHomeserver { down_ms };
                // Half of them right after the host has written, while the transaction with the
                // message has not arrived yet.
                let said = said_at.choose(rng);
                if let Some(said) = said.filter(|_| rng.random_bool(0.5)) {
                    let slow = WorldAct::Fail {
                        place: Place::Appservice,
                        fault: Fault::Delay(ms(rng.random_range(800..2_500))),
                        count: 3,
                    };
                    self.world.push((ms(said.saturating_sub(50)), slow));
                    let kill_at = said + rng.random_range(60..500);
                    self.world.push((ms(kill_at), kill));
                    return;
                }
                kill
            }
            Trouble::Browser => {
                let act = if rng.random_bool(0.4) {
                    GuestAct::Reload
                } else {
                    let number = self.guest.len() + 1;
                    let text = format!("guest {number} of {}, while killed", self.seed);
                    let saying = rng
                        .random_bool(0.6)
                        .then(|| (text, rng.random_range(0..80)));
                    GuestAct::Kill {
                        saying,
                        down_ms: rng.random_range(0..2_500),
                    }
                };
                self.guest.push((ms(at), act));
                return;
            }
        };
        self.world.push((ms(at), act));
    }

    fn add_request_fault(&mut self, rng: &mut StdRng, place: Place, at: u64) {
        let fault = match rng.random_range(0..5) {
            0 => Fault::Delay(ms(rng.random_range(100..2_500))),
            1 => Fault::Drop,
            2 => Fault::Lose,
            3 => Fault::Refuse,
            _ => {
                self.world.push((ms(at), WorldAct::Cut(place)));
                let end = at + rng.random_range(200..3_000);
                self.world.push((ms(end), WorldAct::Mend(place)));
                return;
            }
        };
        let count = rng.random_range(1..=4);
        let act = WorldAct::Fail {
            place,
            fault,
            count,
        };
        self.world.push((ms(at), act));
    }
}

/// When one side's messages are said.
fn times(rng: &mut StdRng) -> Vec<u64> {
    let count = rng.random_range(5..=9);
    let mut times: Vec<u64> = (0..count).map(|_| rng.random_range(0..LENGTH_MS)).collect();
    times.sort_unstable();
    times
}

fn either<T>(rng: &mut StdRng, one: T, other: T) -> T {
    if rng.random_bool(0.5) { one } else { other }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_follows_from_its_seed() {
        for seed in 0..50 {
            let plan = Plan::new(seed, &Trouble::ALL);
            assert_eq!(plan, Plan::new(seed, &Trouble::ALL));
            assert_ne!(plan, Plan::new(seed + 1, &Trouble::ALL));
            assert!(plan.world.is_sorted_by_key(|(at, _)| *at));
        }
    }

    #[test]
    fn only_what_is_allowed_happens() {
        let kills = |act: &WorldAct| matches!(act, WorldAct::KillBridge { .. });
        for seed in 0..50 {
            let plan = Plan::new(seed, &[Trouble::Bridge]);
            assert!(!plan.world.is_empty());
            assert!(plan.world.iter().all(|(_, act)| kills(act)), "{plan:?}");
        }
    }
}
