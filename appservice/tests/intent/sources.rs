//! The sources of what we depend on: lists that are too long to be kept twice are read there. The
//! tests of the bridge as a whole include this file too.

#![allow(dead_code, reason = "each of the two uses a part")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Where cargo keeps the sources of a dependency, its newest version if there are several.
pub fn sources_of(package: &str) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = said["packages"].as_array().unwrap();
    let newest = packages
        .iter()
        .filter(|found| found["name"] == package)
        .max_by_key(|found| {
            let numbers = found["version"].as_str().unwrap().split(['.', '-']);
            numbers
                .map(|n| n.parse().unwrap_or(0))
                .collect::<Vec<u64>>()
        });
    let manifest = newest.unwrap()["manifest_path"].as_str().unwrap();
    Path::new(manifest).parent().unwrap().join("src")
}

pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
