//! The page over a bridge and a host that are played, in Node.js: to see screens that with a real
//! homeserver take long to reach. `web/tests/preview/serve.mjs` says what can be asked of it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;
use vestibule_lab::{Answer, Process, free_port, get, wait_for};

/// A running one.
#[derive(Debug)]
pub struct Played {
    address: String,
    _process: Process,
    _logs: TempDir,
}

impl Played {
    /// Starts it with the page that `cargo xtask page` built.
    ///
    /// # Errors
    /// When Node.js is missing, or the page was not built.
    pub fn start() -> Result<Self> {
        let logs = tempfile::tempdir()?;
        let port = free_port()?;
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/tests/preview/serve.mjs");
        let script = script.to_string_lossy().into_owned();
        let arguments = [script.as_str(), &port.to_string()];
        let log = logs.path().join("played.log");
        let process = Process::start(
            "the played bridge",
            Path::new("node"),
            &arguments,
            &[],
            &log,
        )?;
        // WebKit takes this name for secure, and not the number behind it.
        let address = format!("http://localhost:{port}/guests/");
        let look = format!("http://127.0.0.1:{port}/guests/");
        wait_for("the played bridge", Duration::from_secs(30), || {
            Ok(get(&look).as_ref().is_ok_and(Answer::is_success))
        })?;
        Ok(Self {
            address,
            _process: process,
            _logs: logs,
        })
    }

    /// The page without a link.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The `number`th link. `last` is a digit that says what is wrong with it; 0: nothing.
    #[must_use]
    pub fn link(&self, number: u32, last: u8) -> String {
        format!("{}#{number:0>25}{last}", self.address)
    }
}
