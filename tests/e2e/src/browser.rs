//! Headless Chromium.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use tempfile::TempDir;
use vestibule_lab::{Answer, Process, free_port, get, wait_for};

use crate::webdriver::Session;

/// A browser with an empty profile of its own.
#[derive(Debug)]
pub struct Browser {
    session: Session,
    driver: Process,
    address: String,
    profile: TempDir,
}

impl Browser {
    /// Starts ChromeDriver and, through it, Chromium.
    ///
    /// # Errors
    /// When one of them is missing or does not answer.
    pub fn start() -> Result<Self> {
        let profile = tempfile::Builder::new()
            .prefix("vestibule-browser-")
            .tempdir()?;
        let port = free_port()?;
        let address = format!("http://127.0.0.1:{port}");
        let log = profile.path().join("chromedriver.log");
        let argument = format!("--port={port}");
        let program = Path::new("chromedriver");
        let driver = Process::start("ChromeDriver", program, &[&argument], &[], &log)?;
        wait_for("ChromeDriver", Duration::from_secs(20), || {
            Ok(get(&format!("{address}/status"))
                .as_ref()
                .is_ok_and(Answer::is_success))
        })?;
        let session = window(&address, profile.path())?;
        Ok(Self {
            session,
            driver,
            address,
            profile,
        })
    }

    /// The window.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Kills the browser with all of its processes, as a phone without power would.
    ///
    /// # Errors
    /// When its processes can't be found.
    pub fn kill(&self) -> Result<()> {
        self.driver.kill_descendants().map(drop)
    }

    /// Starts it again after [`Browser::kill`], with the same profile.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn revive(&mut self) -> Result<()> {
        // ChromeDriver keeps the session of a dead browser until it is told; then it says an error.
        let _ = self.session.close();
        self.session = window(&self.address, self.profile.path())?;
        Ok(())
    }

    /// Ends the browser and starts it again with the same profile, as after a day.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn restart(&mut self) -> Result<()> {
        self.session.close()?;
        self.session = window(&self.address, self.profile.path())?;
        Ok(())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // In good order first, so that its many processes are gone; then whatever is left of them.
        let _ = self.session.close();
        self.driver.kill_group();
    }
}

fn window(address: &str, profile: &Path) -> Result<Session> {
    let profile = profile.join("profile");
    let profile = profile.to_str().context("the path is not UTF-8")?;
    let capabilities = json!({
        "browserName": "chrome",
        "goog:loggingPrefs": {"browser": "ALL"},
        "goog:chromeOptions": {"args": [
            "--headless",
            // Chromium refuses its sandbox to root, whom tests in containers run as.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--lang=en-US",
            "--window-size=390,844",
            format!("--user-data-dir={profile}"),
        ]},
    });
    Session::open(address, &capabilities)
}
