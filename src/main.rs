//! The program.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use vestibule::cli::{Cli, Command, ConfigAction};
use vestibule::clock::SystemClock;
use vestibule::config::Config;
use vestibule::http::assets::Assets;
use vestibule::verify_page::{self, Limits, Site};
use vestibule::{doctor, lifecycle, limits, telemetry};
use vestibule_appservice::registration::Registration;

fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Serve {
            config,
            registration,
        } => serve(&config, registration.as_deref()),
        Command::Registration { config, out } => write_registration(&config, out.as_deref()),
        Command::Doctor { config } => examine(&config),
        Command::VerifyPage { url, ca } => compare_page(&url, ca.as_deref()),
        Command::Config {
            action: ConfigAction::Check { config },
        } => check(&config),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vestibule: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn serve(path: &Path, registration: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let config = Config::load(path)?;
    telemetry::start_logging(&config.telemetry)?;
    if let Some(file) = registration {
        let mismatches = Registration::load(file)?.check(&lifecycle::registration(&config)?);
        for mismatch in &mismatches {
            eprintln!("vestibule: {}: {mismatch}", file.display());
        }
        if !mismatches.is_empty() {
            return Err("the registration does not fit the configuration; write it again with `vestibule registration` and restart the homeserver".into());
        }
    }
    limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let running = lifecycle::start(&config, Arc::new(SystemClock)).await?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        running.stop().await;
        Ok(())
    })
}

fn write_registration(config: &Path, out: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let yaml = lifecycle::registration(&Config::load(config)?)?.to_yaml()?;
    match out {
        Some(path) => lifecycle::write_secret_file(path, &yaml)?,
        None => print!("{yaml}"),
    }
    Ok(())
}

fn check(config: &Path) -> Result<(), Box<dyn Error>> {
    Config::load(config)?;
    println!("{} is valid.", config.display());
    Ok(())
}

fn examine(path: &Path) -> Result<(), Box<dyn Error>> {
    let config = Config::load(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let findings = runtime.block_on(doctor::of_config(&config, &SystemClock))?;
    println!("{}", doctor::in_words(&findings).plain);
    if doctor::is_well(&findings) {
        Ok(())
    } else {
        Err("something has to be put right".into())
    }
}

fn compare_page(url: &str, ca: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let page = Assets::load()?;
    let site = Site::new(url, ca, Limits::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let verdict = runtime.block_on(verify_page::verify(&site, &page))?;
    println!("{verdict}");
    if verdict.is_same() {
        Ok(())
    } else {
        Err("this is not the page of this program".into())
    }
}

/// The error and what lies under it, on one line.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors already repeat their cause.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
