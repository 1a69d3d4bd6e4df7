//! The domain as a whole, over a store in memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod admin;
mod alarms;
mod blocking;
mod commands;
mod corpus;
mod encrypted;
mod ending;
mod forgetting;
mod frames;
mod hosting;
mod inviting;
mod joining;
mod life;
mod limits;
mod model;
mod once;
mod opening;
mod passcodes;
mod permissions;
mod plain;
mod reach;
mod reading;
mod removal;
mod steering;
mod talking;
mod telling;
mod upkeep;
mod verifying;
mod world;
mod writing;
