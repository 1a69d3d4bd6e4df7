//! What this machine must have.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::run::{finish, has};

/// What is about to be done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The page, the bridge and the tests that need nothing else.
    Build,
    /// A homeserver and a host's client besides.
    Demo,
    /// A browser besides.
    Everything,
}

/// One thing to have.
struct Item {
    need: Need,
    /// It is there when one of these programs or files is.
    signs: &'static [&'static str],
    /// The Debian packages that bring it.
    packages: &'static [&'static str],
    what: &'static str,
}

const ITEMS: [Item; 7] = [
    Item {
        need: Need::Build,
        signs: &["c++"],
        packages: &["build-essential"],
        what: "a C++ compiler, for RocksDB",
    },
    Item {
        need: Need::Build,
        signs: &[
            "/usr/lib/llvm-14/lib/libclang.so.1",
            "/usr/lib/llvm-16/lib/libclang.so.1",
            "/usr/lib/llvm-19/lib/libclang.so.1",
            "/usr/lib/libclang.so",
            "/usr/lib64/libclang.so",
        ],
        packages: &["libclang-dev"],
        what: "libclang, for RocksDB's bindings",
    },
    Item {
        need: Need::Build,
        signs: &["node"],
        packages: &["nodejs"],
        what: "Node.js 20 or later, for the page's build",
    },
    Item {
        need: Need::Build,
        signs: &["npm"],
        packages: &["npm"],
        what: "npm, for the page's build",
    },
    Item {
        need: Need::Demo,
        signs: &[
            "/usr/share/doc/python3-venv",
            "/usr/lib64/python3",
            "/usr/lib/python3/ensurepip",
        ],
        packages: &["python3-venv"],
        what: "Python 3 with venv, for Synapse and matrix-nio",
    },
    Item {
        need: Need::Everything,
        signs: &["chromium"],
        packages: &["chromium"],
        what: "Chromium, the guest's browser in the tests",
    },
    Item {
        need: Need::Everything,
        signs: &["chromedriver"],
        packages: &["chromium-driver"],
        what: "ChromeDriver, which steers it",
    },
];

impl Item {
    fn is_there(&self) -> bool {
        self.signs.iter().any(|sign| match sign.strip_prefix('/') {
            Some(_) => std::path::Path::new(sign).exists(),
            None => has(sign),
        })
    }
}

/// Installs what is missing as root on Debian and its kin; elsewhere says what to do.
pub fn run(need: Need) -> Result<()> {
    let missing: Vec<&Item> = ITEMS
        .iter()
        .filter(|item| item.need <= need && !item.is_there())
        .collect();
    if missing.is_empty() {
        println!("      Nothing is missing.");
        return Ok(());
    }
    for item in &missing {
        println!("      Missing: {}", item.what);
    }
    let packages: Vec<&str> = missing
        .iter()
        .flat_map(|item| item.packages)
        .copied()
        .collect();
    let command = format!(
        "apt-get install --yes --no-install-recommends {}",
        packages.join(" ")
    );
    if !has("apt-get") {
        bail!(
            "please install these with your system's packages (Debian: {})",
            packages.join(" ")
        );
    }
    if !is_root()? {
        bail!("please run:\n\n    sudo {command}\n");
    }
    install(&packages)?;
    let still: Vec<&str> = missing
        .iter()
        .filter(|item| !item.is_there())
        .map(|item| item.what)
        .collect();
    if !still.is_empty() {
        bail!("installed, and still missing: {}", still.join("; "));
    }
    Ok(())
}

fn is_root() -> Result<bool> {
    let output = Command::new("id")
        .arg("-u")
        .output()
        .context("can't run `id`")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn install(packages: &[&str]) -> Result<()> {
    let apt = || {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .arg("--quiet");
        command
    };
    finish(apt().arg("update"))?;
    finish(
        apt()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages),
    )
}
