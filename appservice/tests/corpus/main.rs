//! What the fuzzer kept, replayed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::path::Path;

#[path = "../../../fuzz/src/appservice.rs"]
mod targets;

/// Runs each committed input of that target.
fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut inputs = 0;
    for input in std::fs::read_dir(corpus).unwrap() {
        run(&std::fs::read(input.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 10, "{target}: {inputs}");
}

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
