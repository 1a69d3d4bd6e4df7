//! What the fuzzer kept, replayed.

use std::path::Path;

#[path = "../../../fuzz/src/bridge.rs"]
mod targets;

#[test]
fn frame() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/frame");
    let mut inputs = 0;
    let mut taken = 0;
    for input in std::fs::read_dir(corpus).unwrap() {
        taken += usize::from(targets::frame(
            &std::fs::read(input.unwrap().path()).unwrap(),
        ));
        inputs += 1;
    }
    assert!(inputs > 10 && taken > 3, "{taken} of {inputs}");
}
