//! What happens in a transcript: all of it follows from one number.

use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::fate::{CALM, CallFault};

/// A transcript before it is performed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Whether the host has a cross-signing identity at the beginning.
    pub cross_signed: bool,
    /// Whether the host's clients exclude insecure devices.
    pub strict: bool,
    /// After how many messages the host's devices begin a new Megolm session.
    pub rotation: u64,
    /// What happens, in this order.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub act: Act,
    /// The fate of each to-device event of this step follows from it.
    pub salt: u64,
}

/// What can happen. A host's device is named by a number that is taken modulo how many there are, an
/// event by one modulo how many there were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Both guests write; one call may go wrong, and they may be closed and opened between
    /// encryption and delivery.
    GuestsSay {
        /// What goes wrong.
        fault: Option<CallFault>,
        /// Closed and opened in between.
        restart: bool,
    },
    /// Both guests write so much that a new session must begin.
    GuestsBurst,
    /// A device of the host writes.
    HostSays {
        /// Which.
        device: usize,
        /// What goes wrong.
        fault: Option<CallFault>,
    },
    /// A device of the host begins a new session with its next message.
    HostRotates {
        /// Which.
        device: usize,
    },
    /// Both guests take in what waits for them.
    GuestsSync,
    /// A device of the host does.
    HostSyncs {
        /// Which.
        device: usize,
    },
    /// What waits for the guests changes its order.
    GuestsReorder,
    /// What waits for a device of the host does.
    HostReorders {
        /// Which.
        device: usize,
    },
    /// What was late arrives.
    LateArrives,
    /// Both guests are closed and opened.
    GuestsRestart,
    /// A device of the host is.
    HostRestarts {
        /// Which.
        device: usize,
    },
    /// Somebody between them changes a host's event and sends it to the guests.
    TamperForGuests {
        /// How.
        tamper: Tamper,
        /// Which event.
        event: usize,
        /// Which bit, or which other event.
        draw: u64,
    },
    /// The same with the guests' events, for the host.
    TamperForHost {
        /// How.
        tamper: Tamper,
        /// Which event.
        event: usize,
        /// Which bit, or which other event.
        draw: u64,
    },
    /// The host has a new device.
    HostAdds {
        /// Signed at once.
        signed: bool,
    },
    /// The host signs a device.
    HostSigns {
        /// Which.
        device: usize,
    },
    /// The host removes a device, but not the one that signs.
    HostRemoves {
        /// Which.
        device: usize,
    },
    /// The host makes a new identity.
    HostResets,
    /// Both guests accept the changed identity.
    GuestsAccept,
    /// Somebody claims all one-time keys of both guests.
    DrainGuests,
    /// Somebody claims all one-time keys of a device of the host.
    DrainHost {
        /// Which.
        device: usize,
    },
    /// Both guests top up their one-time keys.
    GuestsRefill {
        /// Killed before the answer to the upload came.
        killed: bool,
    },
    /// A device of the host does.
    HostRefills {
        /// Which.
        device: usize,
    },
    /// Time passes.
    Pass {
        /// How much, in milliseconds.
        ms: u64,
    },
    /// Nothing fails for a moment: everything arrives, and all of it is compared.
    Calm,
}

/// What is changed in an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tamper {
    /// Its id: it comes a second time as another event.
    Id,
    /// Its sender.
    Sender,
    /// The room it is in.
    Room,
    /// One bit of the ciphertext.
    Bit,
    /// The session it names: that of another event.
    Session,
    /// The device it names, without encryption: that of another event.
    Device,
}

impl Plan {
    /// The plan that follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = rng.random_range(12..=48);
        // Some transcripts are about a few things only, which then happen often.
        let focus: Option<u32> = rng.random_bool(0.3).then(|| rng.random_range(0..100));
        let mut steps = Vec::with_capacity(count);
        for _ in 0..count {
            let rolled = match focus {
                Some(focus) if rng.random_bool(0.3) => focus,
                _ => rng.random_range(0..100),
            };
            steps.push(Step {
                act: act(rolled, &mut rng),
                salt: if rng.random_bool(0.35) {
                    CALM
                } else {
                    rng.random()
                },
            });
        }
        steps.push(Step {
            act: Act::Calm,
            salt: CALM,
        });
        Self {
            cross_signed: rng.random_bool(0.9),
            strict: rng.random_bool(0.3),
            rotation: *[1, 2, 3, 100].choose(&mut rng).unwrap(),
            steps,
        }
    }
}

fn act(rolled: u32, rng: &mut ChaCha8Rng) -> Act {
    // The first device is the one that signs, and the host's favourite.
    let device = if rng.random_bool(0.6) {
        0
    } else {
        rng.random_range(0..6)
    };
    let event = rng.random_range(0..64);
    let draw = rng.random();
    match rolled {
        0..19 => Act::GuestsSay {
            fault: fault(rng),
            restart: rng.random_bool(0.3),
        },
        19..20 => Act::GuestsBurst,
        20..38 => Act::HostSays {
            device,
            fault: fault(rng).filter(|fault| *fault != CallFault::Unstored),
        },
        38..42 => Act::HostRotates { device },
        42..52 => Act::GuestsSync,
        52..60 => Act::HostSyncs { device },
        60..62 => Act::GuestsReorder,
        62..64 => Act::HostReorders { device },
        64..67 => Act::LateArrives,
        67..71 => Act::GuestsRestart,
        71..73 => Act::HostRestarts { device },
        73..78 => Act::TamperForGuests {
            tamper: tamper(rng),
            event,
            draw,
        },
        78..82 => Act::TamperForHost {
            tamper: tamper(rng),
            event,
            draw,
        },
        82..85 => Act::HostAdds {
            signed: rng.random_bool(0.6),
        },
        85..87 => Act::HostSigns { device },
        87..89 => Act::HostRemoves { device },
        89..90 => Act::HostResets,
        90..91 => Act::GuestsAccept,
        91..92 => Act::DrainGuests,
        92..93 => Act::DrainHost { device },
        93..95 => Act::GuestsRefill {
            killed: rng.random_bool(0.3),
        },
        95..96 => Act::HostRefills { device },
        96..98 => Act::Pass {
            ms: *[1_000, 120_000, 7_200_000, 605_000_000, 800_000_000]
                .choose(rng)
                .unwrap(),
        },
        _ => Act::Calm,
    }
}

fn fault(rng: &mut ChaCha8Rng) -> Option<CallFault> {
    let all = [
        CallFault::Query,
        CallFault::Claim,
        CallFault::NoKeys,
        CallFault::ToDevice,
        CallFault::ToDeviceAnswer,
        CallFault::Unstored,
    ];
    rng.random_bool(0.25).then(|| *all.choose(rng).unwrap())
}

fn tamper(rng: &mut ChaCha8Rng) -> Tamper {
    let all = [
        Tamper::Id,
        Tamper::Sender,
        Tamper::Room,
        Tamper::Bit,
        Tamper::Session,
        Tamper::Device,
    ];
    *all.choose(rng).unwrap()
}
