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
    /// Compare the page that a site serves with the one in this program, file by file: bytes, headers,
    /// and what there is too much. Ends with 0 when all of it is the same, and with 1 otherwise.
    VerifyPage {
        /// The address at which guests find the page, as `guests.public_url` names it.
        #[arg(value_name = "URL")]
        url: String,
        /// Trust the certificates in this file (PEM) instead of those that browsers trust.
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
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
