//! The browsers that a guest may come with, and how each is started.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use vestibule_lab::{Answer, Process, free_port, geckodriver, get, wait_for};

/// Where Debian puts the small browser of WebKitGTK.
const MINI_BROWSER: &str = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser";

/// What draws the page and runs its scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Of Chrome, Edge and most of Android.
    Chromium,
    /// Of Firefox.
    Firefox,
    /// Of Safari and everything on an iPhone; here in the body of WebKitGTK.
    WebKit,
}

/// The size of a screen, and what goes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// 390 by 844.
    Phone,
    /// 1280 by 800.
    Desk,
}

impl Shape {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Phone, Self::Desk];

    /// Width and height in CSS pixels.
    #[must_use]
    pub fn size(self) -> (u32, u32) {
        match self {
            Self::Phone => (390, 844),
            Self::Desk => (1280, 800),
        }
    }
}

impl Engine {
    /// All of them.
    const ALL: [Self; 3] = [Self::Chromium, Self::Firefox, Self::WebKit];

    /// Those that a test is to run in: all, or what `VESTIBULE_ENGINES` names (`webkit,firefox`).
    #[must_use]
    pub fn wanted() -> Vec<Self> {
        let named = std::env::var("VESTIBULE_ENGINES").ok();
        let is_wanted = |engine: &Self| {
            let name = format!("{engine:?}").to_lowercase();
            named
                .as_ref()
                .is_none_or(|named| named.to_lowercase().split(',').any(|part| part == name))
        };
        Self::ALL.into_iter().filter(is_wanted).collect()
    }

    /// Whether WebDriver can take this browser's network away. WebKit's driver has no such command.
    #[must_use]
    pub fn goes_offline(self) -> bool {
        self != Self::WebKit
    }

    /// Starts the driver, and what it needs; the address at which it listens, and what runs, the driver
    /// first. All of it writes into `log`, and into the folder of that.
    pub(crate) fn start(self, log: &Path) -> Result<(String, Vec<Process>)> {
        let port = free_port()?;
        let argument = format!("--port={port}");
        let mut running = Vec::new();
        // What a browser that is killed leaves behind lies where the rest of it does, and goes with that.
        let folder = log.parent().and_then(Path::to_str);
        let folder = [("TMPDIR", folder.context("the log is in no folder")?)];
        let mut start = |name, program: &Path, more: &[&str], environment: &[(&str, &str)]| {
            let arguments = [&[argument.as_str()], more].concat();
            let environment = [&folder, environment].concat();
            running.push(Process::start(
                name,
                program,
                &arguments,
                &environment,
                log,
            )?);
            anyhow::Ok(())
        };
        match self {
            Self::Chromium => start("ChromeDriver", Path::new("chromedriver"), &[], &[])?,
            // The argument lets a test take the network away.
            Self::Firefox => start(
                "geckodriver",
                &geckodriver()?,
                &["--allow-system-access"],
                &[],
            )?,
            Self::WebKit => {
                // It has no way to run without a display.
                let (name, display) = display(log)?;
                let environment = [
                    ("DISPLAY", name.as_str()),
                    ("LANGUAGE", "en"),
                    ("LC_ALL", "C.UTF-8"),
                ];
                start(
                    "WebKitWebDriver",
                    Path::new("WebKitWebDriver"),
                    &[],
                    &environment,
                )?;
                running.push(display);
            }
        }
        let address = format!("http://127.0.0.1:{port}");
        wait_for("the browser's driver", Duration::from_secs(20), || {
            Ok(get(&format!("{address}/status"))
                .as_ref()
                .is_ok_and(Answer::is_success))
        })?;
        Ok((address, running))
    }

    /// What a driver is told of the browser that it is to start.
    pub(crate) fn capabilities(self, profile: &Path) -> Result<Value> {
        let profile = profile.to_str().context("the path is not UTF-8")?;
        Ok(match self {
            Self::Chromium => json!({
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
            }),
            Self::Firefox => json!({
                "browserName": "firefox",
                "moz:firefoxOptions": {
                    "args": ["-headless", "-profile", profile],
                    "prefs": {
                        "intl.accept_languages": "en-US",
                        // Else what runs on this machine would be there without a network too.
                        "network.disable-localhost-when-offline": true,
                        // What goes wrong in the page is written to the log.
                        "devtools.console.stdout.content": true,
                    },
                },
            }),
            Self::WebKit => json!({
                "webkitgtk:browserOptions": {
                    "binary": MINI_BROWSER,
                    "args": ["--automation", "--enable-write-console-messages-to-stdout=true"],
                },
            }),
        })
    }
}

/// A screen that nobody sees: its name, and the program that draws it. The program chooses the name, because it
/// knows best what others left behind.
fn display(log: &Path) -> Result<(String, Process)> {
    let arguments = [
        "-displayfd",
        "1",
        "-screen",
        "0",
        "1400x1000x24",
        "-nolisten",
        "tcp",
    ];
    let mut display = Process::start_piped("Xvfb", Path::new("Xvfb"), &arguments, log)?;
    let (_, said) = display.pipes().context("Xvfb has no pipes")?;
    let mut number = String::new();
    // Nothing comes when it ends instead.
    BufReader::new(said).read_line(&mut number)?;
    let number: u32 = number.trim().parse().context("Xvfb found no display")?;
    Ok((format!(":{number}"), display))
}
