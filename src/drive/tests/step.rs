//! What can happen, one thing at a time.

use proptest::prelude::*;

/// Where the bridge is torn away while it deals with something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Torn {
    Not,
    /// Before anything of it is stored.
    Before,
    /// When it is stored, and nobody was told.
    After,
    /// The store says that it failed, and is right.
    Fails,
    /// The store says that it failed, and is wrong.
    FailsAfterwards,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    Guest {
        again: Option<u64>,
        torn: Torn,
    },
    Host,
    Push {
        events: usize,
        torn: Torn,
    },
    PushAgain {
        which: usize,
        renumbered: bool,
    },
    Sync {
        torn: Torn,
    },
    /// The first effect of a lane; whether the homeserver does it, and whether its answer arrives.
    Perform {
        lane: usize,
        done: bool,
        answered: bool,
        torn: Torn,
    },
    OutcomeAgain {
        which: usize,
    },
    Read {
        acknowledged: bool,
    },
    Tick {
        millis: u64,
    },
}

fn torn() -> impl Strategy<Value = Torn> {
    prop_oneof![
        12 => Just(Torn::Not),
        1 => Just(Torn::Before),
        1 => Just(Torn::After),
        1 => Just(Torn::Fails),
        1 => Just(Torn::FailsAfterwards),
    ]
}

/// Anything that can happen.
pub fn step() -> impl Strategy<Value = Step> {
    let again = prop::option::weighted(0.3, any::<u64>());
    prop_oneof![
        4 => (again, torn()).prop_map(|(again, torn)| Step::Guest { again, torn }),
        3 => Just(Step::Host),
        3 => (1..4usize, torn()).prop_map(|(events, torn)| Step::Push { events, torn }),
        1 => (0..9usize, any::<bool>()).prop_map(|(which, renumbered)| Step::PushAgain { which, renumbered }),
        1 => torn().prop_map(|torn| Step::Sync { torn }),
        9 => (any::<usize>(), prop::bool::weighted(0.9), prop::bool::weighted(0.9), torn())
            .prop_map(|(lane, done, answered, torn)| Step::Perform { lane, done, answered, torn }),
        1 => any::<usize>().prop_map(|which| Step::OutcomeAgain { which }),
        2 => any::<bool>().prop_map(|acknowledged| Step::Read { acknowledged }),
        1 => (0..1000u64).prop_map(|millis| Step::Tick { millis }),
    ]
}
