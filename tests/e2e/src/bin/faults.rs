//! Many rounds of everything failing: see `cargo xtask faults`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use rand::RngExt as _;
use vestibule_e2e::{Outcome, Plan, Rounds, Stage, Trouble, browser_kills, key_kills};
use vestibule_lab::Options;

/// How long a chat may take to have everything, after nothing fails any more.
const LIMIT: Duration = Duration::from_secs(120);
/// Rounds on one homeserver; then a new one begins, as small as the first.
const ROUNDS_ON_A_STAGE: u64 = 25;

#[derive(Parser)]
#[command(name = "cargo xtask faults")]
struct Cli {
    /// How many rounds, or kills.
    #[arg(long, default_value_t = 10)]
    runs: u64,
    /// The first round's seed; each next round has the next number. Random when left out.
    #[arg(long)]
    seed: Option<u64>,
    /// Only these troubles, with commas between them; or one of the two kinds of kills.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Http,
    Socket,
    Bridge,
    Homeserver,
    Browser,
    /// Kills of the browser between encrypting and the acknowledgement.
    BrowserKills,
    /// Kills of browser and bridge between making one-time keys and the answer to their upload.
    KeyKills,
}

impl Kind {
    fn trouble(self) -> Option<Trouble> {
        Some(match self {
            Self::Http => Trouble::Http,
            Self::Socket => Trouble::Socket,
            Self::Bridge => Trouble::Bridge,
            Self::Homeserver => Trouble::Homeserver,
            Self::Browser => Trouble::Browser,
            Self::BrowserKills | Self::KeyKills => return None,
        })
    }

    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let seed = cli
        .seed
        .unwrap_or_else(|| u64::from(rand::rng().random::<u32>()));
    if let [kind @ (Kind::BrowserKills | Kind::KeyKills)] = cli.only[..] {
        return kills(kind, seed, cli.runs);
    }
    println!("first seed: {seed}");
    let mut troubles = Vec::new();
    for kind in &cli.only {
        troubles.push(kind.trouble().context("kills are a run of their own")?);
    }
    if troubles.is_empty() {
        troubles = Trouble::ALL.to_vec();
    }
    let mut bad = 0;
    let mut rounds: Option<Rounds> = None;
    for number in 0..cli.runs {
        if number.is_multiple_of(ROUNDS_ON_A_STAGE) {
            rounds = None;
        }
        let on = match &mut rounds {
            Some(rounds) => rounds,
            None => rounds.insert(Rounds::on(Stage::set(Options::default())?)?),
        };
        let seed = seed.wrapping_add(number);
        let plan = Plan::new(seed, &troubles);
        let begin = Instant::now();
        let done = round(on, &plan);
        let seconds = begin.elapsed().as_secs_f32();
        match done {
            Ok(outcome) if outcome.findings.is_empty() => {
                let (host, guest) = outcome.said;
                let settled = outcome.settled_after.as_secs_f32();
                println!(
                    "seed {seed}: good; {host} + {guest} messages, settled after {settled:.1} s, \
                     {seconds:.0} s in all"
                );
            }
            Ok(outcome) => {
                bad += 1;
                println!("seed {seed}: NOT GOOD after {seconds:.0} s");
                for finding in &outcome.findings {
                    println!("    {finding}");
                }
                blame(cli, on, &plan);
                rounds = None;
            }
            Err(error) => {
                bad += 1;
                println!("seed {seed}: BROKE OFF after {seconds:.0} s: {error:#}");
                blame(cli, on, &plan);
                rounds = None;
            }
        }
    }
    println!("{} of {} rounds were good", cli.runs - bad, cli.runs);
    if bad > 0 {
        bail!("{bad} of {} rounds were not good", cli.runs);
    }
    Ok(())
}

fn round(rounds: &mut Rounds, plan: &Plan) -> Result<Outcome> {
    let mut chat = rounds.open_chat()?;
    let outcome = rounds.perform(plan, &mut chat, LIMIT)?;
    rounds.close_chat(chat)?;
    Ok(outcome)
}

/// One chat in which something is killed over and over.
fn kills(kind: Kind, seed: u64, count: u64) -> Result<()> {
    println!("seed: {seed}");
    let mut rounds = Rounds::on(Stage::set(Options::default())?)?;
    let begin = Instant::now();
    let count = usize::try_from(count)?;
    let run = if kind == Kind::KeyKills {
        key_kills
    } else {
        browser_kills
    };
    let done = run(&mut rounds, seed, count, LIMIT);
    let good = done
        .as_ref()
        .is_ok_and(|outcome| outcome.findings.is_empty());
    if !good {
        println!("logs: {}", rounds.stage.lab.keep().display());
        let kind = kind.name();
        println!("again: cargo xtask faults --runs {count} --seed {seed} --only {kind}");
    }
    let outcome = done?;
    for finding in &outcome.findings {
        println!("    {finding}");
    }
    let witness = &rounds.stage.witness;
    println!(
        "{count} kills in {:.0} s: {} messages of the host, {} of the guest, {} ciphertexts and {} \
         public keys seen; settled after {:.1} s",
        begin.elapsed().as_secs_f32(),
        outcome.said.0,
        outcome.said.1,
        witness.messages(),
        witness.keys(),
        outcome.settled_after.as_secs_f32(),
    );
    ensure!(good, "{} findings", outcome.findings.len());
    Ok(())
}

/// Everything that somebody needs who looks for the reason.
fn blame(cli: &Cli, rounds: &mut Rounds, plan: &Plan) {
    let only = cli.only.iter().map(|kind| kind.name());
    let only = only.collect::<Vec<_>>().join(",");
    let only = match only.as_str() {
        "" => String::new(),
        only => format!(" --only {only}"),
    };
    println!(
        "    again: cargo xtask faults --runs 1 --seed {}{only}",
        plan.seed
    );
    for (at, act) in &plan.host {
        println!("    {at:?} host: {act:?}");
    }
    for (at, act) in &plan.guest {
        println!("    {at:?} guest: {act:?}");
    }
    for (at, act) in &plan.world {
        println!("    {at:?} {act:?}");
    }
    println!("    logs: {}", rounds.stage.lab.keep().display());
}
