//! What the fuzzer kept, replayed.

#[path = "../../../fuzz/src/replay.rs"]
mod corpora;
#[path = "../../../fuzz/src/bridge.rs"]
mod targets;

#[test]
fn frame() {
    let taken = corpora::replay("frame", targets::frame);
    let inputs = taken.len();
    let taken = taken.into_iter().filter(|taken| *taken).count();
    assert!(taken > 3, "{taken} of {inputs}");
}
