//! Many rounds of everything failing: see `cargo xtask faults`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use rand::RngExt as _;
use vestibule_e2e::{Outcome, Plan, Rounds, Stage, Trouble};
use vestibule_lab::Options;

/// How long a chat may take to have everything, after nothing fails any more.
const LIMIT: Duration = Duration::from_secs(120);
/// Rounds on one homeserver; then a new one begins, as small as the first.
const ROUNDS_ON_A_STAGE: u64 = 25;

#[derive(Parser)]
#[command(name = "cargo xtask faults")]
struct Cli {
    /// How many rounds.
    #[arg(long, default_value_t = 10)]
    runs: u64,
    /// The first round's seed; each next round has the next number. Random when left out.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this trouble.
    #[arg(long)]
    only: Option<Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Http,
    Socket,
    Bridge,
    Homeserver,
    Browser,
}

impl Kind {
    fn troubles(self) -> &'static [Trouble] {
        match self {
            Self::Http => &[Trouble::Http],
            Self::Socket => &[Trouble::Socket],
            Self::Bridge => &[Trouble::Bridge],
            Self::Homeserver => &[Trouble::Homeserver],
            Self::Browser => &[Trouble::Browser],
        }
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
    println!("first seed: {seed}");
    let mut bad = 0;
    let mut rounds: Option<Rounds> = None;
    for number in 0..cli.runs {
        if number % ROUNDS_ON_A_STAGE == 0 {
            rounds = None;
        }
        let on = match &mut rounds {
            Some(rounds) => rounds,
            None => rounds.insert(Rounds::on(Stage::set(Options::default())?)?),
        };
        let seed = seed.wrapping_add(number);
        let plan = Plan::new(seed, cli.only.map_or(&Trouble::ALL, Kind::troubles));
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

/// Everything that somebody needs who looks for the reason.
fn blame(cli: &Cli, rounds: &mut Rounds, plan: &Plan) {
    let only = cli.only.and_then(|kind| kind.to_possible_value());
    let only = only.map_or(String::new(), |kind| format!(" --only {}", kind.get_name()));
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
