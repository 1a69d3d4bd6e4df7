//! The machine from outside: against a second one, against a device that does what no honest client
//! does, and against a homeserver that keeps keys. One binary, so that it is linked once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

mod advisories;
mod complement;
mod corpus;
mod cycling;
mod healing;
mod host_identity;
mod odd_keys;
mod publishing;
mod receiving;
mod robust;
mod room_events;
mod sending;
mod talk;
mod vectors;
