//! The corpora as unit tests: each crate's tests include this beside the targets that are about it.

use std::path::Path;

/// Runs each committed input of that target; says what came of each.
pub fn replay<T>(target: &str, run: fn(&[u8]) -> T) -> Vec<T> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let inputs = std::fs::read_dir(corpus).expect("a corpus");
    let outcomes: Vec<T> = inputs
        .map(|input| run(&std::fs::read(input.expect("an entry").path()).expect("an input")))
        .collect();
    assert!(outcomes.len() > 10, "{target}: {}", outcomes.len());
    outcomes
}
