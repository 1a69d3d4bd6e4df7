//! Synapse and matrix-nio from PyPI, in a virtual environment that runs share.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

const REQUIREMENTS: &str = include_str!("../requirements.txt");
const CERTIFICATE: &str = include_str!("../certificate.py");

/// A Python virtual environment with what `requirements.txt` names.
#[derive(Debug, Clone)]
pub struct Venv {
    dir: PathBuf,
}

impl Venv {
    /// Makes it in `dir`, or takes the one there if it was made from the same requirements.
    ///
    /// # Errors
    /// When Python 3 with `venv` is missing or PyPI can't be reached.
    pub fn ensure(dir: &Path) -> Result<Self> {
        let parent = dir.parent().context("the folder has no parent")?;
        fs::create_dir_all(parent)?;
        // Tests of several binaries may come here at once.
        let lock = File::create(dir.with_extension("lock"))?;
        lock.lock()?;
        let venv = Self {
            dir: dir.to_owned(),
        };
        if !venv.is_current() {
            venv.make()?;
        }
        Ok(venv)
    }

    /// The one below [`crate::cache_dir`].
    ///
    /// # Errors
    /// As [`Venv::ensure`].
    pub fn shared() -> Result<Self> {
        Self::ensure(&crate::cache_dir()?.join("venv"))
    }

    /// Whether `dir` holds one that needs no work.
    #[must_use]
    pub fn is_current(&self) -> bool {
        let same = fs::read_to_string(self.marker()).is_ok_and(|text| text == REQUIREMENTS);
        // The interpreter behind it may have gone with a system upgrade.
        same && Command::new(self.python())
            .arg("--version")
            .output()
            .is_ok_and(|o| o.status.success())
    }

    /// The interpreter inside.
    #[must_use]
    pub fn python(&self) -> PathBuf {
        self.dir.join("bin/python")
    }

    /// Writes a certificate for `localhost` and its key, good for a month.
    ///
    /// # Errors
    /// When the script fails.
    pub fn write_certificate(&self, certificate: &Path, key: &Path) -> Result<()> {
        run(Command::new(self.python())
            .args(["-c", CERTIFICATE])
            .args([certificate, key]))
    }

    fn marker(&self) -> PathBuf {
        self.dir.join("requirements.installed")
    }

    fn make(&self) -> Result<()> {
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir)?;
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&self.dir))?;
        let wanted = self.dir.join("requirements.txt");
        fs::write(&wanted, REQUIREMENTS)?;
        run(Command::new(self.python())
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .arg(&wanted))?;
        // Last, so that an installation that was cut off is begun again.
        fs::write(self.marker(), REQUIREMENTS)?;
        Ok(())
    }
}

fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("can't run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
