//! What the end-to-end tests stand on: a guest in a real browser, a host with matrix-sdk, proxies
//! that fail on purpose, and rounds of a chat in which everything fails at moments that follow from
//! a seed. All calls block; what is asynchronous inside stays inside.

// matrix-sdk's futures are nested deeper than the compiler looks by itself.
#![recursion_limit = "256"]

mod browser;
mod engine;
mod guest;
mod joining;
mod kills;
mod meeting;
mod neighbours;
mod oracle;
pub mod plan;
mod played;
mod proxy;
mod rogue;
mod round;
mod sdk;
mod stage;
mod thief;
mod trier;
mod webdriver;
mod witness;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use vestibule_lab::{Lab, Options, Venv};

pub use browser::Browser;
pub use engine::{Engine, Shape};
pub use guest::{Bubble, Guest};
pub use joining::join_body;
pub use kills::{browser_kills, key_kills};
pub use meeting::{Meeting, link, numbered, told};
pub use neighbours::{neighbours, told_by};
pub use oracle::{Finding, Record, Side};
pub use plan::{Plan, Trouble};
pub use played::Played;
pub use proxy::{Call, Fault, Proxy, Way};
pub use rogue::Rogue;
pub use round::{Chat, Outcome, Rounds};
pub use sdk::{Insecure, SdkHost, Withheld};
pub use stage::Stage;
pub use thief::{ENOUGH_KEYS, Thief};
pub use trier::Trier;
pub use witness::{Upload, Witness};

/// The bridge to test: `VESTIBULE_BIN`, which `cargo xtask test` sets.
///
/// # Errors
/// When it is not set.
pub fn bridge_binary() -> Result<PathBuf> {
    let path = std::env::var_os("VESTIBULE_BIN").context(
        "VESTIBULE_BIN is not set: run `cargo xtask test`, or build the bridge and name it",
    )?;
    Ok(PathBuf::from(path))
}

/// A homeserver and a bridge, both running.
///
/// # Errors
/// When one of them does not come up.
pub fn lab() -> Result<Lab> {
    lab_with(&Options::default())
}

/// The same with something different.
///
/// # Errors
/// When one of them does not come up.
pub fn lab_with(options: &Options) -> Result<Lab> {
    Lab::start(Venv::shared()?, &bridge_binary()?, options)
}

/// Whether bytes occur in bytes.
#[must_use]
pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}
