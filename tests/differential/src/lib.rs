//! Our crypto machine beside matrix-sdk-crypto's `OlmMachine`, without a network.
//!
//! A transcript is a plan that follows from a seed: what hosts and guests do, and what goes wrong
//! meanwhile. It is performed over a modelled homeserver with two guests in one room: one is our
//! machine, the other, its twin, is matrix-sdk-crypto's, and whatever happens to one happens to the
//! other. The host's devices are matrix-sdk-crypto's. Both guests must accept and refuse the same
//! events, the host must see no difference between what they send, and once nothing fails any more
//! everybody must read everybody. Where the machines differ on purpose, [`Known`] names it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test tool: it has nothing to go on with when an answer isn't there"
)]

mod compare;
pub mod fate;
pub mod guest;
mod host;
mod pair;
pub mod plan;
pub mod sdk;
pub mod server;
pub mod stage;
mod tamper;
mod world;

pub use compare::{Known, Tally};
pub use world::{Difference, run};

/// The guest whose machine is ours.
pub const GUEST: &str = "@_vestibule_7d1f:example.org";
/// The guest whose machine is matrix-sdk-crypto's.
pub const TWIN: &str = "@_vestibule_99aa:example.org";
/// The device of either guest.
pub const GUEST_DEVICE: &str = "GUESTDEV";
/// Whom both talk with.
pub const HOST: &str = "@alice:example.org";
/// The room they are in.
pub const ROOM: &str = "!sealed:example.org";
/// When a transcript begins, in milliseconds since the Unix epoch.
pub const BEGINNING: u64 = 1_795_364_370_566;
