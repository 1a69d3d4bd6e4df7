//! Embeds the page: every `web/dist/*.br` that `cargo xtask page` made.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("web/dist");
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = Vec::new();
    if dist.is_dir() {
        for entry in fs::read_dir(&dist)? {
            let path = entry?.path();
            if path.is_dir() {
                return Err(
                    format!("{}: the page's files lie in one folder", path.display()).into(),
                );
            }
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_suffix(".br"));
            if let Some(name) = name {
                files.push((name.to_owned(), path.clone()));
            }
        }
    }
    files.sort();
    if files.is_empty() {
        println!(
            "cargo::warning=the page is not built, so the bridge will have none: run `cargo xtask page`"
        );
    }
    let mut source = String::from(
        "/// The files that were there when the program was built.\nstatic EMBEDDED: &[Embedded] = &[\n",
    );
    for (name, path) in &files {
        writeln!(
            source,
            "    Embedded {{ path: {name:?}, brotli: include_bytes!({:?}) }},",
            path.display().to_string()
        )?;
    }
    source.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("assets.rs"), source)?;
    Ok(())
}
