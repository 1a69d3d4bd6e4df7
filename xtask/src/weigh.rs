//! What a guest downloads.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use crate::page;
use crate::run::Workspace;

/// The aim for all that a browser loads before one can type, in bytes on the wire.
const AIM: u64 = 150_000;

/// The aim for the crypto machine, which is most of it.
const MACHINE_AIM: u64 = 110_000;

/// When a browser loads a file.
#[derive(Debug, PartialEq, Eq)]
enum Load {
    /// The crypto machine: before one can type.
    Machine,
    /// Before one can type.
    Always,
    /// One of several languages, of which a guest loads one before one can type.
    Language,
    /// When the page is put on a home screen, when something unread waits, or when its menu is opened.
    Later,
}

impl Load {
    fn of(name: &str) -> Self {
        if name == page::LIST || name.starts_with("favicon-unread") {
            return Self::Later;
        }
        match Path::new(name).extension().and_then(|e| e.to_str()) {
            Some("wasm") => Self::Machine,
            Some("png" | "webmanifest") => Self::Later,
            _ if name.starts_with("text-") => Self::Language,
            _ => Self::Always,
        }
    }
}

/// Builds the page if need be and prints a table of its files; an error when it is above an aim.
pub fn run(workspace: &Workspace) -> Result<()> {
    page::build(workspace)?;
    let dist = workspace.dist();
    let mut sizes = Vec::new();
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
        let load = Load::of(&name);
        let remark = match load {
            Load::Machine => verdict(compressed, MACHINE_AIM),
            Load::Later => "   not before one can type".to_owned(),
            Load::Language => "   the heaviest language counts".to_owned(),
            Load::Always => String::new(),
        };
        println!(
            "{name:<44} {:>10} {compressed:>10}{remark}",
            fs::metadata(&plain)?.len(),
        );
        sizes.push((load, compressed));
    }
    let (machine, total) = sum(&sizes);
    println!(
        "{:<44} {:>10} {total:>10}{}",
        "until one can type",
        "",
        verdict(total, AIM)
    );
    if total > AIM || machine > MACHINE_AIM {
        bail!("the page is heavier than it may be");
    }
    Ok(())
}

/// The machine alone, and all that is loaded before one can type.
fn sum(sizes: &[(Load, u64)]) -> (u64, u64) {
    let each = |wanted: Load| {
        let fits = sizes.iter().filter(move |(load, _)| *load == wanted);
        fits.map(|(_, bytes)| *bytes)
    };
    let machine = each(Load::Machine).sum();
    let language = each(Load::Language).max().unwrap_or_default();
    (
        machine,
        machine + each(Load::Always).sum::<u64>() + language,
    )
}

fn verdict(bytes: u64, aim: u64) -> String {
    let place = if bytes <= aim { "within" } else { "ABOVE" };
    format!("   {place} the aim of {aim}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_language_counts_and_nothing_that_comes_later() {
        let names = [
            ("vestibule_bg-0123456789ab.wasm", 100),
            ("main-0123456789ab.js", 20),
            ("index.html", 3),
            ("text-en-0123456789ab.js", 5),
            ("text-ar-0123456789ab.js", 7),
            ("icon-512-0123456789ab.png", 1000),
            ("app-0123456789ab.webmanifest", 50),
            ("favicon-unread-0123456789ab.svg", 1000),
            ("manifest.sha256", 1000),
        ];
        let sizes = names.map(|(name, bytes)| (Load::of(name), bytes));
        assert_eq!(sum(&sizes), (100, 130));
    }
}
