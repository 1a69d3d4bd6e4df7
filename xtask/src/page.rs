//! The guest's page: Rust to WebAssembly, TypeScript to one file, all of it compressed.
//!
//! Two stages, each skipped while the digest of what goes in is the one of the last time:
//! `crypto` and `web/wasm` become `web/wasm/pkg`; that and `web/src` become `web/dist`, with a list of its
//! files and their hashes.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use wasm_bindgen_cli_support::Bindgen;

use crate::run::{Workspace, finish};

/// What Rust calls the machine of a browser.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// What makes a stage's result: when this file changes, everything is built again.
const RECIPE: &str = include_str!("page.rs");

/// The list of the page's files, as `sha256sum --check` reads it. The first 12 digits of its own hash are
/// the id of the build.
pub const LIST: &str = "manifest.sha256";

/// Builds `web/dist`, if anything that goes into it changed.
pub fn build(workspace: &Workspace) -> Result<()> {
    wasm(workspace)?;
    bundle(workspace)
}

fn wasm(workspace: &Workspace) -> Result<()> {
    let root = workspace.root();
    let pkg = root.join("web/wasm/pkg");
    let sources = [
        "Cargo.lock",
        "Cargo.toml",
        "rust-toolchain.toml",
        "crypto/Cargo.toml",
        "crypto/src",
        "web/wasm/Cargo.toml",
        "web/wasm/src",
    ];
    let digest = digest(root, &sources, &[])?;
    if is_current(&pkg, &digest) {
        println!("      The WebAssembly is up to date.");
        return Ok(());
    }
    compile(workspace)?;
    empty(&pkg)?;
    let compiled = workspace
        .target()
        .join(TARGET)
        .join("wasm/vestibule_web.wasm");
    Bindgen::new()
        .input_path(&compiled)
        .out_name("vestibule_web")
        .bundler(true)?
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(&pkg)
        .context("wasm-bindgen failed")?;
    set_current(&pkg, &digest)
}

/// Brings what `rust-toolchain.toml` names beside the compiler: where rustup must not fetch by itself
/// (`RUSTUP_AUTO_INSTALL=0`), it is told to.
pub fn bring_toolchain(workspace: &Workspace) -> Result<()> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(workspace.root())
        .output()
        .context("rustc can't be started")?;
    let sysroot = String::from_utf8(output.stdout).context("the place of rustc is no text")?;
    let libraries = Path::new(sysroot.trim()).join("lib/rustlib");
    for (place, arguments) in [
        // The page is built with a standard library of its own, the checks with that of the target.
        (
            "src/rust/library/Cargo.lock",
            ["component", "add", "rust-src"],
        ),
        (TARGET, ["target", "add", TARGET]),
    ] {
        if libraries.join(place).exists() {
            continue;
        }
        finish(
            Command::new("rustup")
                .args(arguments)
                .current_dir(workspace.root()),
        )
        .with_context(|| {
            let command = arguments.join(" ");
            format!("a part of Rust is missing, see `rustup {command}`")
        })?;
    }
    Ok(())
}

fn compile(workspace: &Workspace) -> Result<()> {
    bring_toolchain(workspace)?;
    // Panic messages name source files; without this the bytes would depend on whose machine it is.
    let cargo_home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => Path::new(&std::env::var_os("HOME").context("HOME is not set")?).join(".cargo"),
    };
    let mut flags = vec![
        format!("--remap-path-prefix={}=cargo", cargo_home.display()),
        format!(
            "--remap-path-prefix={}=vestibule",
            workspace.root().display()
        ),
    ];
    // RustCrypto's own switches for small code: rounds in loops instead of one after the other. It
    // saves 4 kB of what a guest downloads, and hashing is no part of any delay that one would feel.
    for cfg in [
        "sha2_backend=\"soft\"",
        "sha2_backend_soft=\"compact\"",
        "aes_backend=\"soft\"",
        "aes_backend_soft=\"compact\"",
    ] {
        flags.extend(["--cfg".to_owned(), cfg.to_owned()]);
    }
    // What a panic would say is never seen in a browser: it stops the machine, and the page says so.
    // Leaving out the words, the places in the source and the code that puts them together saves a
    // tenth of the machine, the standard library built for size another tenth of that. These are
    // switches of the compiler that may change from one version to the next, so they are used with
    // the one version that `rust-toolchain.toml` names, and for this build alone.
    for flag in [
        "-Zlocation-detail=none",
        "-Zfmt-debug=none",
        "-Zunstable-options",
        "-Cpanic=immediate-abort",
    ] {
        flags.push(flag.to_owned());
    }
    finish(
        workspace
            .cargo(&["build", "--package", "vestibule-web", "--profile", "wasm"])
            .args(["--target", TARGET])
            .args(["-Zbuild-std=std", "-Zbuild-std-features=optimize_for_size"])
            .env("RUSTC_BOOTSTRAP", "1")
            // Unit separators, because a path may hold a space.
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}")),
    )
}

/// The second stage alone.
pub fn bundle(workspace: &Workspace) -> Result<()> {
    let web = workspace.web();
    let dist = workspace.dist();
    let mut sources = Vec::new();
    for entry in fs::read_dir(&web)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !["dist", "node_modules", "tests", "wasm"].contains(&name.as_str()) {
            sources.push(name);
        }
    }
    sources.sort();
    sources.push("wasm/pkg".to_owned());
    let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
    let digest = digest(&web, &sources, &[])?;
    if is_current(&dist, &digest) {
        println!("      The page is up to date.");
        return Ok(());
    }
    install_packages(workspace)?;
    empty(&dist)?;
    finish(&mut workspace.npm(&["run", "--silent", "build"]))?;
    list(&dist)?;
    for file in files(&dist)? {
        compress(&file)?;
    }
    set_current(&dist, &digest)
}

/// `npm ci`, unless `node_modules` was made from the same lock file.
pub fn install_packages(workspace: &Workspace) -> Result<()> {
    let web = workspace.web();
    let modules = web.join("node_modules");
    let digest = digest(&web, &["package-lock.json"], &[])?;
    if is_current(&modules, &digest) {
        return Ok(());
    }
    finish(&mut workspace.npm(&["ci", "--no-audit", "--no-fund", "--loglevel=error"]))?;
    set_current(&modules, &digest)
}

/// Writes the list of the files in `dist`, sorted by their names.
fn list(dist: &Path) -> Result<()> {
    let mut lines = String::new();
    for file in files(dist)? {
        let name = file.strip_prefix(dist).unwrap_or(&file).display();
        let hash = hex(&Sha256::digest(fs::read(&file)?));
        lines.push_str(&format!("{hash}  {name}\n"));
    }
    Ok(fs::write(dist.join(LIST), lines)?)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes `file.br` beside `file`.
fn compress(file: &Path) -> Result<()> {
    let content = fs::read(file)?;
    let mut name = file.as_os_str().to_owned();
    name.push(".br");
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: 11,
        lgwin: 22,
        ..Default::default()
    };
    let mut writer =
        brotli::CompressorWriter::with_params(fs::File::create(&name)?, 1 << 16, &parameters);
    writer.write_all(&content)?;
    writer.flush()?;
    Ok(())
}

/// A digest over the names and contents of `sources` below `base`, and over `extras`.
fn digest(base: &Path, sources: &[&str], extras: &[&str]) -> Result<String> {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        // With its length, so that two neighbours can't be taken for one.
        hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(bytes);
    };
    add(RECIPE.as_bytes());
    extras.iter().for_each(|extra| add(extra.as_bytes()));
    for source in sources {
        for file in files(&base.join(source))? {
            let name = file
                .strip_prefix(base)
                .unwrap_or(&file)
                .to_string_lossy()
                .into_owned();
            add(name.as_bytes());
            add(&fs::read(&file).with_context(|| format!("can't read {}", file.display()))?);
        }
    }
    Ok(hex(&hash.finalize()))
}

/// All files at or below a path, in one order.
pub fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let entries = fs::read_dir(path).with_context(|| format!("can't read {}", path.display()))?;
    for entry in entries {
        found.extend(files(&entry?.path())?);
    }
    found.sort();
    Ok(found)
}

fn empty(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    fs::create_dir_all(dir)?;
    Ok(())
}

/// Inside the folder it speaks of, so that it goes when the folder goes.
fn stamp(dir: &Path) -> PathBuf {
    dir.join(".inputs")
}

fn is_current(dir: &Path, digest: &str) -> bool {
    fs::read_to_string(stamp(dir)).is_ok_and(|old| old == digest)
}

fn set_current(dir: &Path, digest: &str) -> Result<()> {
    Ok(fs::write(stamp(dir), digest)?)
}
