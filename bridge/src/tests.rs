//! The domain as a whole, over a store in memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod ending;
mod frames;
mod hosting;
mod joining;
mod model;
mod once;
mod opening;
mod reach;
mod talking;
mod world;
mod writing;
