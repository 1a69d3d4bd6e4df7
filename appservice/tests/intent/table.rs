//! `docs/calls.md`, read. The tests of the bridge as a whole include this file too.

#![allow(dead_code, reason = "each of the two uses a part")]

use std::collections::BTreeSet;

const TABLE: &str = include_str!("../../../docs/calls.md");

/// One call that is made.
#[derive(Clone, Debug)]
pub struct Row {
    /// Method and path, the parts in braces without their names.
    pub call: String,
    /// In whose name.
    pub by: BTreeSet<&'static str>,
    /// What causes it.
    pub causes: BTreeSet<&'static str>,
}

/// The first list.
pub fn made() -> Vec<Row> {
    let rows = section("made").lines().filter(|line| line.contains('`'));
    rows.map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let words = |cell: &'static str| cell.split(", ").collect();
        Row {
            call: nameless(cells[1].trim_matches('`')),
            by: words(cells[2]),
            causes: words(cells[3]),
        }
    })
    .collect()
}

/// The second list.
pub fn never() -> Vec<String> {
    let lines = section("never").lines();
    let calls = lines.filter_map(|line| line.strip_prefix("- `")?.strip_suffix('`'));
    calls.map(nameless).collect()
}

/// What stands between the marks of this name.
pub fn section(name: &str) -> &'static str {
    let (_, rest) = TABLE.split_once(&format!("<!-- {name} -->")).unwrap();
    rest.split_once("<!-- end -->").unwrap().0
}

/// `{room_id}` becomes `{}`: what a part is called differs from one list to another.
pub fn nameless(call: &str) -> String {
    let mut parts = call.split('/').map(|part| match part.starts_with('{') {
        true => "{}",
        false => part,
    });
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |call, part| call + "/" + part)
}

/// Whether a path as it was called, its parts as they are on the wire, is one of this call.
pub fn fits(call: &str, method: &str, path: &str) -> bool {
    let called = format!("{method} {path}");
    // A state key may be empty, and the slash before it may be missing then.
    let called = match called.split_once("/state/") {
        Some((_, rest)) if !rest.contains('/') => called + "/",
        _ => called,
    };
    let (call, called): (Vec<_>, Vec<_>) = (call.split('/').collect(), called.split('/').collect());
    call.len() == called.len()
        && call
            .iter()
            .zip(called)
            .all(|(part, called)| *part == "{}" || *part == called)
}
