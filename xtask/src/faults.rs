//! A long run of the fault harness, which lives in `tests/e2e`.

use anyhow::Result;
use vestibule_lab::Venv;

use crate::page;
use crate::run::{Progress, Workspace, finish};
use crate::setup::{self, Need};

/// What is asked for; the harness says what it makes of it.
#[derive(clap::Args)]
pub struct Faults {
    /// How many rounds, or kills.
    #[arg(long, default_value_t = 10)]
    runs: u64,
    /// The first round's seed; each next round has the next number. Random when left out.
    #[arg(long)]
    seed: Option<u64>,
    /// Only these troubles, with commas between them: http, socket, bridge, homeserver, browser; or
    /// one of browser-kills and key-kills.
    #[arg(long)]
    only: Option<String>,
}

/// Builds what is needed, then has everything fail over and over.
pub fn run(workspace: &Workspace, faults: &Faults) -> Result<()> {
    let mut progress = Progress::of(6);
    progress.next("Looking at what this machine has");
    setup::run(Need::Everything)?;
    progress.next("Building the page");
    page::build(workspace)?;
    progress.next("Building the bridge");
    workspace.build_bridge()?;
    progress.next("Bringing Synapse and matrix-nio");
    Venv::shared()?;
    progress.next("Building the harness");
    let harness = ["-p", "vestibule-e2e", "--bin", "faults"];
    finish(workspace.cargo(&["build", "--quiet"]).args(harness))?;
    progress.next("Having everything fail");
    let mut command = workspace.cargo(&["run", "--quiet"]);
    command
        .args(harness)
        .env("VESTIBULE_BIN", workspace.bridge())
        .args(["--", "--runs", &faults.runs.to_string()]);
    if let Some(seed) = faults.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if let Some(only) = &faults.only {
        command.args(["--only", only]);
    }
    finish(&mut command)
}
