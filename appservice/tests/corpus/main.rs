//! What the fuzzer kept, replayed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "../../../fuzz/src/replay.rs"]
mod corpora;
#[path = "../../../fuzz/src/appservice.rs"]
mod targets;

use corpora::replay;

#[test]
fn transaction() {
    replay("transaction", targets::transaction);
}

#[test]
fn registration() {
    replay("registration", targets::registration);
}

#[test]
fn answer() {
    replay("answer", targets::answer);
}
