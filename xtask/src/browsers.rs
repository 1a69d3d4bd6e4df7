//! The page in real browsers: hostile texts, axe and the keyboard in Chromium over a bridge that is
//! played, and a guest's way in Chromium, Firefox and WebKit over the real one: the part of all tests
//! that is about what one sees.

use anyhow::{Result, bail};
use vestibule_lab::{Venv, geckodriver};

use crate::page;
use crate::run::{Progress, Workspace, finish};
use crate::setup::{self, Need};

/// Runs all of it; a failure of one part does not hide what the next would say.
pub fn run(workspace: &Workspace) -> Result<()> {
    let mut progress = Progress::of(7);
    let mut broken = Vec::new();
    let mut note = |done: Result<()>| {
        if let Err(error) = done {
            eprintln!("      FAILED: {error:#}");
            broken.push(format!("{error:#}"));
        }
    };

    progress.next("Looking at what this machine has");
    setup::run(Need::Everything)?;
    progress.next("Building the page");
    page::build(workspace)?;
    page::install_packages(workspace)?;
    progress.next("Testing the page in Chromium, over a bridge that is played");
    note(finish(&mut workspace.npm(&["run", "--silent", "try"])));
    progress.next("Building the bridge");
    workspace.build_bridge()?;
    progress.next("Bringing Synapse and matrix-nio");
    Venv::shared()?;
    progress.next("Bringing geckodriver, which steers Firefox");
    geckodriver()?;
    progress.next("Walking through the page in three browsers, with a homeserver and hosts");
    let journeys = ["test", "--no-fail-fast", "-p", "vestibule-e2e"];
    note(finish(
        workspace
            .cargo(&journeys)
            .args(["--test", "journeys", "--"])
            .args(["--test-threads=1", "--nocapture"])
            .env("VESTIBULE_BIN", workspace.bridge()),
    ));
    if !broken.is_empty() {
        bail!("not good yet:\n  {}", broken.join("\n  "));
    }
    Ok(())
}
