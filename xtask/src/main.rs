//! The project's tasks: `cargo xtask help`.

mod browsers;
mod demo;
mod faults;
mod page;
mod reproduce;
mod run;
mod setup;
mod test;
mod weigh;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::run::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Vestibule's tasks")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// A homeserver, the bridge and a host at a prompt: open the printed link and chat.
    Demo,
    /// Everything that must hold before a change is good.
    Test {
        /// Leave out what needs a homeserver or a browser.
        #[arg(long)]
        fast: bool,
    },
    /// The page in real browsers: the part of `test` that is about what one sees.
    Browsers,
    /// Kill and cut everything at random moments, and see that no message is lost.
    Faults(faults::Faults),
    /// Build the guest's page into web/dist.
    Page {
        /// Then build all of it once more, from a copy of the sources in another place, and see that the
        /// bytes are the same. That takes some minutes.
        #[arg(long)]
        check_reproducible: bool,
    },
    /// Print the page's compressed bytes by file; fails above the aims.
    Weigh,
    /// See what this machine lacks, and install it where that is allowed.
    Setup,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = Workspace::find().and_then(|workspace| match cli.task {
        Task::Demo => demo::run(&workspace),
        Task::Test { fast } => test::run(&workspace, fast),
        Task::Browsers => browsers::run(&workspace),
        Task::Faults(faults) => faults::run(&workspace, &faults),
        Task::Page { check_reproducible } => {
            page::build(&workspace)?;
            if check_reproducible {
                reproduce::everything(&workspace)?;
            }
            Ok(())
        }
        Task::Weigh => weigh::run(&workspace),
        Task::Setup => setup::run(setup::Need::Everything),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}
