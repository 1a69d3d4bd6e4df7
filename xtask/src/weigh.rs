//! What a guest downloads.

use std::fs;

use anyhow::{Result, bail};

use crate::page;
use crate::run::Workspace;

/// The aim for all that a browser loads before one can type, in bytes on the wire.
const AIM: u64 = 150_000;

/// The aim for the crypto machine, which is most of it.
const MACHINE_AIM: u64 = 110_000;

/// Builds the page if need be and prints a table of its files; an error when it is above an aim.
pub fn run(workspace: &Workspace) -> Result<()> {
    page::build(workspace)?;
    let dist = workspace.dist();
    let mut total = 0;
    let mut machine = 0;
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
        let is_machine = plain.extension().is_some_and(|e| e == "wasm");
        if is_machine {
            machine = compressed;
        }
        let verdict = is_machine.then(|| verdict(compressed, MACHINE_AIM));
        println!(
            "{name:<44} {:>10} {compressed:>10}{}",
            fs::metadata(&plain)?.len(),
            verdict.unwrap_or_default()
        );
        total += compressed;
    }
    println!(
        "{:<44} {:>10} {total:>10}{}",
        "all in all",
        "",
        verdict(total, AIM)
    );
    if total > AIM || machine > MACHINE_AIM {
        bail!("the page is heavier than it may be");
    }
    Ok(())
}

fn verdict(bytes: u64, aim: u64) -> String {
    let place = if bytes <= aim { "within" } else { "ABOVE" };
    format!("   {place} the aim of {aim}")
}
