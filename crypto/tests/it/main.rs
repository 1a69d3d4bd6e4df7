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
#[cfg(feature = "bot")]
mod bot;
mod complement;
mod corpus;
mod cycling;
mod formats;
mod healing;
mod host_identity;
mod odd_keys;
mod peers;
mod publishing;
mod receiving;
mod robust;
mod room_events;
mod sending;
mod strangers;
mod talk;
mod vectors;
mod well_signed;
