//! One bridge on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::{Answer, Process, last_lines, wait_for};

type Environment = Vec<(&'static str, &'static str)>;
/// The folder of a store that gets a file system of its own, and how many MiB that has.
type SmallStore = Option<(PathBuf, u32)>;

/// A running `vestibule serve`.
#[derive(Debug)]
pub struct Bridge {
    binary: PathBuf,
    config: PathBuf,
    environment: Environment,
    log: PathBuf,
    ops: String,
    small: SmallStore,
    process: Process,
}

impl Bridge {
    /// Writes the registration file with `vestibule registration`; Synapse reads it at its start.
    ///
    /// # Errors
    /// When the binary can't be run or refuses the configuration.
    pub fn write_registration(binary: &Path, config: &Path, out: &Path) -> Result<()> {
        let output = Command::new(binary)
            .arg("registration")
            .arg("--config")
            .arg(config)
            .arg("--out")
            .arg(out)
            .output()
            .with_context(|| format!("can't run {}", binary.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "vestibule registration failed: {said}"
        );
        ensure!(out.exists(), "vestibule registration wrote no file");
        Ok(())
    }

    /// Starts the bridge and waits until its ops listener answers; `ops` is that one's address.
    /// With `small`, the folder named there is a file system in memory of so many MiB, for this
    /// process alone: it is gone with it.
    ///
    /// # Errors
    /// When it can't be started or does not answer within half a minute.
    pub fn start(
        binary: &Path,
        config: &Path,
        environment: &[(&'static str, &'static str)],
        log: &Path,
        ops: &str,
        small: Option<(PathBuf, u32)>,
    ) -> Result<Self> {
        let process = launch(binary, config, environment, log, &small)?;
        let mut bridge = Self {
            binary: binary.to_owned(),
            config: config.to_owned(),
            environment: environment.to_owned(),
            log: log.to_owned(),
            ops: ops.to_owned(),
            small,
            process,
        };
        bridge.wait_live()?;
        Ok(bridge)
    }

    /// Kills it (SIGKILL), as a power cut would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to end in good order (SIGTERM) and waits until it is gone.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Starts it again after [`Bridge::kill`] or [`Bridge::stop`].
    ///
    /// # Errors
    /// As [`Bridge::start`].
    pub fn start_again(&mut self) -> Result<()> {
        self.process.stop();
        self.process = launch(
            &self.binary,
            &self.config,
            &self.environment,
            &self.log,
            &self.small,
        )?;
        self.wait_live()
    }

    /// One page of the ops listener: `live`, `ready` or `metrics`.
    ///
    /// # Errors
    /// When there is no answer at all.
    pub fn ops(&self, page: &str) -> Result<Answer> {
        crate::get(&format!("{}/{page}", self.ops))
    }

    /// Waits until `/ready` says yes.
    ///
    /// # Errors
    /// When it does not within `limit`, or the bridge ended.
    pub fn wait_ready(&mut self, limit: Duration) -> Result<()> {
        let ready = format!("{}/ready", self.ops);
        let process = &mut self.process;
        let mut said = String::new();
        wait_for("the bridge to be ready", limit, || {
            process.check()?;
            let answer = crate::get(&ready);
            let is_ready = answer.as_ref().is_ok_and(Answer::is_success);
            said = answer.map(|answer| answer.text).unwrap_or_default();
            Ok(is_ready)
        })
        .with_context(|| format!("it says “{said}”; {}", last_lines(&self.log)))
    }

    /// Waits until nothing was pushed for two seconds. A homeserver whose push meets a stopped bridge
    /// holds everything else back for a while.
    ///
    /// # Errors
    /// When its metrics can't be read, or it isn't left in peace within half a minute.
    pub fn wait_quiet(&self) -> Result<()> {
        let pushed = || -> Result<String> {
            let metrics = self.ops("metrics")?.text;
            let counts = |line: &&str| line.contains("_transactions_total");
            Ok(metrics.lines().filter(counts).collect())
        };
        let mut last = (pushed()?, Instant::now());
        wait_for("pushes to end", Duration::from_secs(30), || {
            let now = pushed()?;
            ensure!(!now.is_empty(), "the metrics count no transactions");
            if now != last.0 {
                last = (now, Instant::now());
            }
            Ok(last.1.elapsed() > Duration::from_secs(2))
        })
    }

    /// What it wrote so far.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Resident memory in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> Option<u64> {
        self.process.resident_kib()
    }

    /// An error when it has ended by itself.
    ///
    /// # Errors
    /// When it is gone.
    pub fn check(&mut self) -> Result<()> {
        self.process.check()
    }

    fn wait_live(&mut self) -> Result<()> {
        let live = format!("{}/live", self.ops);
        let process = &mut self.process;
        wait_for("the bridge to answer", Duration::from_secs(30), || {
            process.check()?;
            Ok(crate::get(&live).as_ref().is_ok_and(Answer::is_success))
        })
        .with_context(|| last_lines(&self.log))
    }
}

fn launch(
    binary: &Path,
    config: &Path,
    environment: &[(&str, &str)],
    log: &Path,
    small: &SmallStore,
) -> Result<Process> {
    let config = config.to_str().context("the path is not UTF-8")?;
    let serve = ["serve", "--config", config];
    let Some((store, mib)) = small else {
        return Process::start("the bridge", binary, &serve, environment, log);
    };
    let (store, binary) = (store.to_str(), binary.to_str());
    let (store, binary) = store.zip(binary).context("the path is not UTF-8")?;
    // A namespace of its own needs no rights outside of it. `setpriv` once more, because entering
    // the namespace loses the tie to us. Each program replaces the one before, so the process id
    // is the bridge's.
    let script = "mount -t tmpfs -o size=$1m tmpfs \"$2\" && shift 2 && \
                  exec setpriv --pdeathsig KILL -- \"$@\"";
    let mib = mib.to_string();
    let wrapped = ["-rm", "sh", "-c", script, "sh", &mib, store, binary];
    let arguments = [&wrapped[..], &serve[..]].concat();
    Process::start(
        "the bridge",
        Path::new("unshare"),
        &arguments,
        environment,
        log,
    )
}
