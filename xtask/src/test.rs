//! Everything that must hold before a change is good.

use std::io::IsTerminal as _;
use std::process::Command;

use anyhow::{Result, bail};
use vestibule_lab::{Venv, geckodriver};

use crate::page;
use crate::reproduce;
use crate::run::{EVERYTHING, Progress, Workspace, finish, finish_seen, has};
use crate::setup::{self, Need};
use crate::weigh;

/// What the runners said so far.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    /// Steps that ended with an error, tests or not.
    broken: Vec<String>,
}

impl Tally {
    /// Keeps the numbers of a line like `test result: ok. 3 passed; 1 failed; …` (cargo) or
    /// `ℹ pass 3` and `ℹ fail 1` (Node.js).
    fn see(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result:") {
            self.passed += number_before(result, "passed");
            self.failed += number_before(result, "failed");
        } else if let Some(number) = line.strip_prefix("ℹ pass ") {
            self.passed += number.parse().unwrap_or(0);
        } else if let Some(number) = line.strip_prefix("ℹ fail ") {
            self.failed += number.parse().unwrap_or(0);
        }
    }

    /// Notes a failure and goes on: one broken step should not hide what the next would say.
    fn note(&mut self, done: Result<()>) {
        if let Err(error) = done {
            eprintln!("      FAILED: {error:#}");
            self.broken.push(format!("{error:#}"));
        }
    }

    fn test(&mut self, command: &mut Command) {
        let done = finish_seen(command, |line| self.see(line));
        self.note(done);
    }
}

fn number_before(line: &str, word: &str) -> u64 {
    let words: Vec<&str> = line
        .split([' ', ';'])
        .filter(|part| !part.is_empty())
        .collect();
    let place = words.iter().position(|found| *found == word);
    let before = place
        .and_then(|place| place.checked_sub(1))
        .and_then(|place| words.get(place));
    before.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Runs the checks and tests; with `fast` those that need neither a homeserver nor a browser.
pub fn run(workspace: &Workspace, fast: bool) -> Result<()> {
    let mut progress = Progress::of(if fast { 11 } else { 16 });
    let mut tally = Tally::default();
    let cargo = |arguments: &[&str]| {
        let mut command = workspace.cargo(arguments);
        if std::io::stdout().is_terminal() {
            command.env("CARGO_TERM_COLOR", "always");
        }
        command
    };

    progress.next("Looking at what this machine has");
    setup::run(if fast { Need::Build } else { Need::Everything })?;

    progress.next("Building the page");
    page::build(workspace)?;

    progress.next("Checking the form of the code");
    tally.note(finish(&mut cargo(&["fmt", "--all", "--check"])));

    progress.next(
        "Looking for mistakes (clippy; the first time this compiles RocksDB, which takes long)",
    );
    let deny = ["--all-targets", "--", "-D", "warnings"];
    tally.note(finish(
        cargo(&["clippy", "--quiet"]).args(EVERYTHING).args(deny),
    ));
    for package in ["vestibule-e2e", "vestibule-differential"] {
        tally.note(finish(
            cargo(&["clippy", "--quiet", "-p", package]).args(deny),
        ));
    }

    progress.next("Checking that the domain and the crypto machine do no I/O (wasm32)");
    // `vestibule-web` is with them because it chooses the browser's randomness.
    let pure = [
        "-p",
        "vestibule-bridge",
        "-p",
        "vestibule-crypto",
        "-p",
        "vestibule-web",
    ];
    // The page may be built already, and so nothing has looked for the target yet.
    page::bring_toolchain(workspace)?;
    let target = ["--target", page::TARGET];
    tally.note(finish(cargo(&["check", "--quiet"]).args(pure).args(target)));

    progress.next("Checking licences and sources of what we depend on");
    if has("cargo-deny") {
        tally.note(finish(&mut cargo(&["deny", "--all-features", "check"])));
    } else {
        println!("      Left out: cargo-deny is not installed (`cargo install cargo-deny`).");
    }

    progress.next("Testing");
    tally.test(cargo(&["test", "--no-fail-fast"]).args(EVERYTHING));

    progress.next("Testing the page");
    page::install_packages(workspace)?;
    tally.note(finish(&mut workspace.npm(&["run", "--silent", "check"])));
    tally.test(&mut workspace.npm(&["test", "--silent"]));

    progress.next("Building the page a second time, in another place");
    tally.note(reproduce::bundle(workspace));

    progress.next("Weighing the page");
    tally.note(weigh::run(workspace));

    progress.next("Testing the crypto machine against matrix-sdk-crypto");
    let differential = ["test", "--no-fail-fast", "-p", "vestibule-differential"];
    tally.test(&mut cargo(&differential));

    if !fast {
        progress.next("Testing the page in Chromium, over a bridge that is played");
        tally.test(&mut workspace.npm(&["run", "--silent", "try"]));
        progress.next("Building the bridge");
        workspace.build_bridge()?;
        progress.next("Bringing Synapse and matrix-nio");
        Venv::shared()?;
        progress.next("Bringing geckodriver, which steers Firefox");
        geckodriver()?;
        progress.next("Testing all of it together, with a homeserver, hosts and browsers");
        // One after the other: each starts a homeserver, a bridge and a browser, and measures.
        tally.test(
            cargo(&["test", "--no-fail-fast", "-p", "vestibule-e2e"])
                .args(["--", "--test-threads=1"])
                .env("VESTIBULE_BIN", workspace.bridge()),
        );
    }

    println!("\n{} passed, {} failed", tally.passed, tally.failed);
    if !tally.broken.is_empty() {
        bail!("not good yet:\n  {}", tally.broken.join("\n  "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_both_runners_are_read() {
        let mut tally = Tally::default();
        for line in [
            "test result: FAILED. 41 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
            "test chat::passed ... ok",
            "ℹ tests 13",
            "ℹ pass 12",
            "ℹ fail 1",
        ] {
            tally.see(line);
        }
        assert_eq!((tally.passed, tally.failed), (53, 3));
    }
}
