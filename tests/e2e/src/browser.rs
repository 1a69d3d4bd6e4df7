//! A browser under remote control.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use vestibule_lab::Process;

use crate::webdriver::Session;
use crate::{Engine, Shape};

/// A browser with an empty profile of its own.
#[derive(Debug)]
pub struct Browser {
    engine: Engine,
    /// Each of its windows takes it.
    shape: Option<Shape>,
    session: Session,
    /// The driver first, and what it needs after it.
    running: Vec<Process>,
    address: String,
    profile: TempDir,
}

impl Browser {
    /// Starts `ChromeDriver` and, through it, Chromium with a small window.
    ///
    /// # Errors
    /// When one of them is missing or does not answer.
    pub fn start() -> Result<Self> {
        Self::open(Engine::Chromium, None)
    }

    /// The same with any browser, on a screen of this shape.
    ///
    /// # Errors
    /// When it, or its driver, is missing or does not answer.
    pub fn start_as(engine: Engine, shape: Shape) -> Result<Self> {
        Self::open(engine, Some(shape))
    }

    fn open(engine: Engine, shape: Option<Shape>) -> Result<Self> {
        let profile = tempfile::Builder::new()
            .prefix("vestibule-browser-")
            .tempdir()?;
        fs::create_dir(profile.path().join("profile"))?;
        let (address, running) = engine.start(&profile.path().join("driver.log"))?;
        let capabilities = engine.capabilities(&profile.path().join("profile"))?;
        let session = Session::open(&address, &capabilities)?;
        let browser = Self {
            engine,
            shape,
            session,
            running,
            address,
            profile,
        };
        browser.settle()?;
        Ok(browser)
    }

    /// The window.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Which it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Has the window that is in front show the page as a screen of this shape would.
    ///
    /// # Errors
    /// When the browser can't.
    pub fn take_shape(&self, shape: Shape) -> Result<()> {
        let (width, height) = shape.size();
        match self.engine {
            Engine::Chromium => self.session.look_as(width, height, false),
            Engine::Firefox => {
                self.session.set_size(1400, 1000)?;
                // Its window can't be as narrow as a phone; the page's part of it can.
                let script = format!(
                    "const {{ style }} = window.gBrowser.selectedBrowser;
                    style.minWidth = style.maxWidth = '{width}px';
                    style.minHeight = style.maxHeight = '{height}px';"
                );
                self.session.run_in_firefox(&script).map(drop)
            }
            Engine::WebKit => self.session.set_size(width, height),
        }
    }

    /// Opens one more window in the same profile and goes there; gives the one that was in front.
    ///
    /// # Errors
    /// When the browser can't.
    pub fn another_window(&self) -> Result<String> {
        let before = self.session.window()?;
        // In a tab beside a window without bars, WebKit's driver clicks into the void.
        let kind = match self.engine {
            Engine::WebKit => "window",
            Engine::Chromium | Engine::Firefox => "tab",
        };
        let opened = self.session.new_window(kind)?;
        self.session.switch_to(&opened)?;
        self.settle()?;
        Ok(before)
    }

    /// Takes the network away from the whole browser, or gives it back.
    ///
    /// # Errors
    /// When the browser refuses, and always where [`Engine::goes_offline`] says so.
    pub fn set_offline(&self, offline: bool) -> Result<()> {
        match self.engine {
            Engine::Chromium => self.session.chromium_network(offline),
            Engine::Firefox => {
                let script = format!("Services.io.offline = {offline}");
                self.session.run_in_firefox(&script).map(drop)
            }
            Engine::WebKit => bail!("WebKit's driver has no command for the network"),
        }
    }

    /// What the browser complained about: errors of scripts, refused by the security policy and
    /// the like. Failed requests are left out: a bridge that is down is no fault of the page.
    ///
    /// # Errors
    /// When the browser does not tell.
    pub fn complaints(&self) -> Result<Vec<String>> {
        let marks: &[&str] = match self.engine {
            Engine::Chromium => return Ok(complaints_of_chromium(&self.session.console()?)),
            Engine::Firefox => &[
                "JavaScript error: http",
                "console.error",
                "Content-Security-Policy",
            ],
            Engine::WebKit => &[
                "CONSOLE JS ERROR",
                "CONSOLE SECURITY",
                "CONSOLE CONSOLEAPI ERROR",
                "Refused to",
            ],
        };
        let log = fs::read(self.log())?;
        let log = String::from_utf8_lossy(&log);
        let bad = |line: &&str| {
            let is_marked = marks.iter().any(|mark| line.contains(mark));
            // Firefox's own, when it can't fetch the settings and experiments that it would follow.
            let is_firefox = line.contains("error: RSLoader: ") || line.contains("resource://");
            is_marked && !is_firefox
        };
        Ok(log.lines().filter(bad).map(str::to_owned).collect())
    }

    /// Kills the browser with all of its processes, as a phone without power would.
    ///
    /// # Errors
    /// When its processes can't be found.
    pub fn kill(&self) -> Result<()> {
        let driver = self.running.first().context("no driver")?;
        driver.kill_descendants().map(drop)
    }

    /// Starts it again after [`Browser::kill`], with the same profile.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn revive(&mut self) -> Result<()> {
        // ChromeDriver keeps the session of a dead browser until it is told; then it says an error.
        let _ = self.session.close();
        self.open_again()
    }

    /// Ends the browser and starts it again with the same profile, as after a day.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn restart(&mut self) -> Result<()> {
        self.session.close()?;
        self.open_again()
    }

    fn open_again(&mut self) -> Result<()> {
        let capabilities = self
            .engine
            .capabilities(&self.profile.path().join("profile"))?;
        self.session = Session::open(&self.address, &capabilities)?;
        self.settle()
    }

    /// Gives a new window its shape.
    fn settle(&self) -> Result<()> {
        let Some(shape) = self.shape else {
            return Ok(());
        };
        if self.engine == Engine::WebKit {
            // The bar above the page can't be as narrow as a phone; a window without it can.
            self.session.pop_up()?;
        }
        self.take_shape(shape)
    }

    fn log(&self) -> PathBuf {
        self.profile.path().join("driver.log")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // In good order first, so that its many processes are gone; then whatever is left of them.
        let _ = self.session.close();
        // A display that is killed leaves its name taken; it is asked to end, which `Process` does.
        if let Some(driver) = self.running.first_mut() {
            driver.kill_group();
        }
    }
}

fn complaints_of_chromium(console: &[Value]) -> Vec<String> {
    let severe = console
        .iter()
        .filter(|entry| entry.get("level").is_some_and(|level| level == "SEVERE"));
    let ours = severe.filter(|entry| entry.get("source").is_none_or(|source| source != "network"));
    let texts = ours.filter_map(|entry| entry.get("message")?.as_str());
    let texts = texts.filter(|text| !text.contains("WebSocket connection to"));
    texts.map(str::to_owned).collect()
}
