//! Whether the same sources give the same bytes, wherever they lie: whoever builds the page themselves can
//! then compare it with what a bridge serves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::page;
use crate::run::Workspace;

/// What is made, fetched, or no source of the page, by its path below the root.
const NO_SOURCES: [&str; 6] = [
    ".git",
    ".lab",
    "target",
    "web/dist",
    "web/node_modules",
    "web/wasm/pkg",
];

/// Builds the bundle a second time, from a copy and the WebAssembly that is there, and compares. Takes
/// seconds.
pub fn bundle(workspace: &Workspace) -> Result<()> {
    let copy = Copy::of(workspace, &["web"])?;
    let pkg = copy.workspace.web().join("wasm/pkg");
    copy_files(&workspace.web().join("wasm/pkg"), &pkg, &|_| true)?;
    page::bundle(&copy.workspace)?;
    compare(&workspace.dist(), &copy.workspace.dist())
}

/// Builds everything a second time, from a copy and with a target folder of its own, and compares.
pub fn everything(workspace: &Workspace) -> Result<()> {
    let copy = Copy::of(workspace, &[""])?;
    page::build(&copy.workspace)?;
    compare(
        &workspace.web().join("wasm/pkg"),
        &copy.workspace.web().join("wasm/pkg"),
    )?;
    compare(&workspace.dist(), &copy.workspace.dist())
}

/// The sources in another place, gone when it is dropped.
struct Copy {
    folder: PathBuf,
    workspace: Workspace,
}

impl Copy {
    /// Copies what of the sources lies below `parts`.
    fn of(workspace: &Workspace, parts: &[&str]) -> Result<Self> {
        let name = format!("vestibule again {}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        // Deeper than any checkout is likely to be, and with a space on the way.
        let root = folder.join("in quite/another place");
        let copy = Self {
            folder,
            workspace: Workspace::copied_to(root.clone()),
        };
        let from = workspace.root();
        for part in parts {
            copy_files(&from.join(part), &root.join(part), &|path| {
                path.strip_prefix(from)
                    .is_ok_and(|path| !NO_SOURCES.iter().any(|no| path == Path::new(no)))
            })?;
        }
        // The tools are no sources, and bringing them again would take longer than all the rest.
        page::install_packages(workspace)?;
        let tools = "node_modules";
        std::os::unix::fs::symlink(workspace.web().join(tools), root.join("web").join(tools))?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What is left in the folder for temporary files harms nobody.
        let _left = fs::remove_dir_all(&self.folder);
    }
}

/// Copies the files at or below `from` that are wanted.
fn copy_files(from: &Path, to: &Path, wanted: &dyn Fn(&Path) -> bool) -> Result<()> {
    if !wanted(from) {
        return Ok(());
    }
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_files(&entry.path(), &to.join(entry.file_name()), wanted)?;
        }
    } else if kind.is_file() {
        fs::copy(from, to)?;
    }
    Ok(())
}

/// Fails where two folders differ in a file, and names the files.
fn compare(first: &Path, second: &Path) -> Result<()> {
    let (first, second) = (contents(first)?, contents(second)?);
    let names = first
        .keys()
        .chain(second.keys().filter(|name| !first.contains_key(*name)));
    let different: Vec<String> = names
        .filter(|name| first.get(*name) != second.get(*name))
        .map(|name| name.display().to_string())
        .collect();
    if !different.is_empty() {
        bail!(
            "the same sources gave other bytes in another place: {}",
            different.join(", ")
        );
    }
    println!("      {} files, the same bytes twice.", first.len());
    Ok(())
}

fn contents(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let files = page::files(dir)?.into_iter();
    files
        .map(|file| {
            let name = file.strip_prefix(dir).unwrap_or(&file).to_owned();
            Ok((name, fs::read(&file)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_byte_a_missing_and_an_extra_file_are_found() {
        let folder = std::env::temp_dir().join(format!("vestibule-compare-{}", std::process::id()));
        let (first, second) = (folder.join("a"), folder.join("b"));
        let write = |dir: &Path, name: &str, text: &str| {
            fs::create_dir_all(dir).unwrap();
            fs::write(dir.join(name), text).unwrap();
        };
        write(&first, "same", "same");
        write(&second, "same", "same");
        assert!(compare(&first, &second).is_ok());
        write(&first, "changed", "one");
        write(&second, "changed", "two");
        write(&first, "missing", "");
        write(&second, "extra", "");
        let said = compare(&first, &second).err().unwrap().to_string();
        assert!(said.ends_with(": changed, missing, extra"), "{said}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
