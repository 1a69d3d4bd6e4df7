//! What this machine must have.

use std::path::{Path, PathBuf};
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
    /// Browsers besides.
    Everything,
}

/// How a thing shows that it is there.
enum Sign {
    /// A program of this name.
    Program(&'static str),
    /// Node.js, new enough.
    Node,
    /// A module of Python 3.
    PythonModule(&'static str),
    /// libclang, where its packages put it.
    LibClang,
}

/// One thing to have.
struct Item {
    need: Need,
    sign: Sign,
    /// The Debian package that brings it.
    package: &'static str,
    what: &'static str,
}

const ITEMS: [Item; 10] = [
    Item {
        need: Need::Build,
        sign: Sign::Program("c++"),
        package: "build-essential",
        what: "a C++ compiler, for RocksDB",
    },
    Item {
        need: Need::Build,
        sign: Sign::LibClang,
        package: "libclang-dev",
        what: "libclang, for RocksDB's bindings",
    },
    Item {
        need: Need::Build,
        sign: Sign::Node,
        package: "nodejs",
        what: "Node.js 20 or later, for the page's build",
    },
    Item {
        need: Need::Build,
        sign: Sign::Program("npm"),
        package: "npm",
        what: "npm, for the page's build",
    },
    Item {
        need: Need::Demo,
        sign: Sign::PythonModule("ensurepip"),
        package: "python3-venv",
        what: "Python 3 with venv, for Synapse and matrix-nio",
    },
    Item {
        need: Need::Everything,
        sign: Sign::Program("chromium"),
        package: "chromium",
        what: "Chromium, the guest's browser in the tests",
    },
    Item {
        need: Need::Everything,
        sign: Sign::Program("chromedriver"),
        package: "chromium-driver",
        what: "ChromeDriver, which steers it",
    },
    Item {
        need: Need::Everything,
        sign: Sign::Program("firefox"),
        package: "firefox-esr",
        what: "Firefox, another browser of guests in the tests",
    },
    Item {
        need: Need::Everything,
        sign: Sign::Program("WebKitWebDriver"),
        package: "webkit2gtk-driver",
        what: "WebKitGTK with its driver, the nearest to Safari",
    },
    Item {
        need: Need::Everything,
        sign: Sign::Program("Xvfb"),
        package: "xvfb",
        what: "a display that nobody sees, which WebKitGTK needs",
    },
];

impl Sign {
    fn is_there(&self) -> bool {
        match self {
            Self::Program(name) => has(name),
            Self::Node => node_major().is_some_and(|major| major >= 20),
            Self::PythonModule(name) => {
                said("python3", &["-c", &format!("import {name}")]).is_some()
            }
            Self::LibClang => has_libclang(),
        }
    }
}

/// The first number of `node --version`, which says `v20.20.2`.
fn node_major() -> Option<u32> {
    said("node", &["--version"])?
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// What a program prints, if it runs and succeeds.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn has_libclang() -> bool {
    // Either `/usr/lib/libclang.so`, or one folder deeper: `/usr/lib/llvm-14/lib/libclang.so.1`,
    // `/usr/lib/x86_64-linux-gnu/libclang-14.so.1`.
    let mut dirs = vec![
        "/usr/lib".into(),
        "/usr/lib64".into(),
        "/usr/local/lib".into(),
    ];
    for dir in entries(Path::new("/usr/lib")) {
        dirs.push(dir.join("lib"));
        dirs.push(dir);
    }
    dirs.iter().flat_map(|dir| entries(dir)).any(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let rest = name.strip_prefix("libclang").unwrap_or_default();
        rest.contains(".so") && rest.starts_with(['.', '-']) && !rest.contains("cpp")
    })
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Installs what is missing as root on Debian and its kin; elsewhere says what to do.
pub fn run(need: Need) -> Result<()> {
    let missing: Vec<&Item> = ITEMS
        .iter()
        .filter(|item| item.need <= need && !item.sign.is_there())
        .collect();
    if missing.is_empty() {
        println!("      Nothing is missing.");
        return Ok(());
    }
    for item in &missing {
        println!("      Missing: {}", item.what);
    }
    let packages: Vec<&str> = missing.iter().map(|item| item.package).collect();
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
        .filter(|item| !item.sign.is_there())
        .map(|item| item.what)
        .collect();
    if !still.is_empty() {
        // Debian 12's own Node.js, for example, is older than the page's build needs.
        bail!(
            "the packages are installed, but not enough: please bring {}",
            still.join("; ")
        );
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
