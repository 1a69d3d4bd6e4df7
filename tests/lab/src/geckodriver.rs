//! The program that steers Firefox. Debian has no package of it, and what npm has only downloads it
//! from elsewhere; so it is built from its sources, once.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The crate is Mozilla's own and made from Firefox's tree.
const VERSION: &str = "0.37.1";

/// Where it is; the first time it is built, which takes some minutes and shows cargo's progress.
///
/// # Errors
/// When cargo can't build it.
pub fn geckodriver() -> Result<PathBuf> {
    let cache = crate::cache_dir()?;
    fs::create_dir_all(&cache)?;
    let root = cache.join(format!("geckodriver-{VERSION}"));
    let program = root.join("bin/geckodriver");
    // Tests of several binaries may come here at once.
    let lock = File::create(root.with_extension("lock"))?;
    lock.lock()?;
    if program.is_file() {
        return Ok(program);
    }
    let target = root.join("target");
    // Unoptimised: it waits for a browser all the time, and so it is built in half the time.
    let status = Command::new("cargo")
        .args(["install", "geckodriver", "--locked", "--debug"])
        .args(["--version", VERSION])
        .arg("--root")
        .arg(&root)
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .context("can't run cargo")?;
    ensure!(status.success(), "geckodriver can't be built: {status}");
    fs::remove_dir_all(&target)?;
    Ok(program)
}
