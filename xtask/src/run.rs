//! Where things are, and how other programs are run.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// RocksDB compiles for a quarter of an hour, and cargo compiles it anew for each different
/// selection of features. So the root package is only ever built with this one.
pub const EVERYTHING: [&str; 5] = [
    "--workspace",
    "--exclude",
    "vestibule-e2e",
    "--exclude",
    "vestibule-differential",
];

/// The workspace and the folder that cargo builds into.
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// The workspace that this binary was built from.
    ///
    /// The target folder is cargo's own choice, except on a CI machine: there the clone is new
    /// each time, and a folder that stays saves RocksDB's compilation.
    pub fn find() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").context("run it as `cargo xtask`")?;
        let root = Path::new(&manifest)
            .parent()
            .context("no workspace above xtask")?
            .to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => std::path::absolute(dir)?,
            None if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
                vestibule_lab::cache_dir()?.join("target")
            }
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// A copy of the workspace, which has a target folder of its own.
    pub fn copied_to(root: PathBuf) -> Self {
        let target = root.join("target");
        Self { root, target }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn web(&self) -> PathBuf {
        self.root.join("web")
    }

    pub fn dist(&self) -> PathBuf {
        self.root.join("web/dist")
    }

    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The bridge that [`Workspace::build_bridge`] builds.
    pub fn bridge(&self) -> PathBuf {
        self.target.join("debug/vestibule")
    }

    /// Cargo, as if it were called from a shell: it told us about ourselves in the environment, and
    /// build scripts that look there (ring's does) would run again.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["CARGO_MANIFEST_", "CARGO_PKG_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
            {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }

    pub fn npm(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("npm");
        command.args(arguments).current_dir(self.web());
        command
    }

    pub fn build_bridge(&self) -> Result<()> {
        finish(self.cargo(&["build"]).args(EVERYTHING))
    }
}

/// Numbered lines that say what goes on.
pub struct Progress {
    step: usize,
    steps: usize,
}

impl Progress {
    pub fn of(steps: usize) -> Self {
        Self { step: 0, steps }
    }

    pub fn next(&mut self, what: &str) {
        self.step += 1;
        println!("[{}/{}] {what} …", self.step, self.steps);
    }
}

/// Runs a command with our own stdout and stderr; its failure is an error.
pub fn finish(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("can't run {}", name(command)))?;
    ensure!(status.success(), "{} failed ({status})", name(command));
    Ok(())
}

/// The same, showing each line of stdout to `see` as well.
pub fn finish_seen(command: &mut Command, mut see: impl FnMut(&str)) -> Result<()> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("can't run {}", name(command)))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            see(&line);
        }
    }
    let status = child.wait()?;
    ensure!(status.success(), "{} failed ({status})", name(command));
    Ok(())
}

/// Whether a program can be found.
pub fn has(program: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else {
        return false;
    };
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn name(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(
        command
            .get_args()
            .map(|argument| argument.to_string_lossy()),
    );
    format!("`{}`", words.join(" "))
}
