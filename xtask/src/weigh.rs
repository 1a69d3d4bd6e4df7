//! What a guest downloads.

use std::fs;

use anyhow::Result;

use crate::page;
use crate::run::Workspace;

/// The aim for everything together, in bytes on the wire.
const AIM: u64 = 150_000;

/// Builds the page if need be and prints a table of its files.
pub fn run(workspace: &Workspace) -> Result<()> {
    page::build(workspace)?;
    let dist = workspace.dist();
    let mut total = 0;
    println!("\n{:<44} {:>10} {:>10}", "file", "bytes", "brotli");
    for file in page::files(&dist)? {
        if file.extension().is_none_or(|extension| extension != "br") {
            continue;
        }
        let plain = file.with_extension("");
        let compressed = fs::metadata(&file)?.len();
        let name = plain
            .strip_prefix(&dist)
            .unwrap_or(&plain)
            .display()
            .to_string();
        println!(
            "{name:<44} {:>10} {compressed:>10}",
            fs::metadata(&plain)?.len()
        );
        total += compressed;
    }
    let verdict = if total <= AIM { "within" } else { "ABOVE" };
    println!(
        "{:<44} {:>10} {total:>10}   {verdict} the aim of {AIM}",
        "all in all", ""
    );
    Ok(())
}
