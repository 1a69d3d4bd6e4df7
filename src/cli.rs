//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Guest chats for Matrix.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the bridge.
    Serve {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// The registration file as the homeserver has it: checked against the configuration.
        #[arg(long, value_name = "FILE")]
        registration: Option<PathBuf>,
    },
    /// Write the registration file for the homeserver.
    Registration {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Where to write it; to standard output unless given.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Look what is wrong with the set-up, of the homeserver above all. Works while the bridge runs,
    /// and before it ran for the first time.
    Doctor {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Look at the configuration.
    Config {
        /// What about it.
        #[command(subcommand)]
        action: ConfigAction,
    },
}

/// What about the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Say whether it is valid, or what is wrong.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}
