//! A homeserver, the bridge and a host's client, all real, on this machine.
//!
//! The demo and the end-to-end tests stand on this: [`Venv`] brings Synapse and matrix-nio from
//! PyPI, [`Lab`] writes the configuration of both sides and starts them on free ports of 127.0.0.1,
//! [`NioHost`] is a host whose client nobody here wrote. What is started is stopped when its value
//! is dropped, and dies with this process even when the process is killed.

mod bridge;
mod geckodriver;
mod host;
mod http;
mod lab;
mod neighbour;
mod nio;
mod process;
mod synapse;
mod venv;

pub use bridge::Bridge;
pub use geckodriver::geckodriver;
pub use host::{Events, Host, HostEvent, Invite, Message, PATIENCE};
pub use http::{Answer, Api, get};
pub use lab::{Lab, Options, Ports};
pub use neighbour::Neighbour;
pub use nio::{NioHost, Refused};
pub use process::{Process, free_port, last_lines, wait_for};
pub use synapse::{Account, Site, Synapse};
pub use venv::Venv;

/// Where everything that should outlive one run is kept: `$HOME/.cache/vestibule`.
///
/// # Errors
/// When `HOME` is not set.
pub fn cache_dir() -> anyhow::Result<std::path::PathBuf> {
    use anyhow::Context as _;
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    Ok(std::path::Path::new(&home).join(".cache/vestibule"))
}
