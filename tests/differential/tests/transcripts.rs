//! Random transcripts, performed by our machine and by matrix-sdk-crypto's side by side.
//!
//! `VESTIBULE_TRANSCRIPTS` says how many, `VESTIBULE_SEED` with which number they begin: a failure
//! prints the seed, and with that and one transcript it comes again.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use vestibule_differential::{Tally, run};

/// As many as two processors perform in less than a minute.
const TRANSCRIPTS: u64 = 300;
/// More would only fill the screen.
const SHOWN: usize = 5;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

/// Says which transcript it was when one panics.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", again(self.0));
        }
    }
}

fn again(seed: u64) -> String {
    format!(
        "transcript {seed}, again: VESTIBULE_SEED={seed} VESTIBULE_TRANSCRIPTS=1 \
         cargo test -p vestibule-differential --test transcripts"
    )
}

#[test]
fn both_machines_accept_and_refuse_the_same() {
    let first = number("VESTIBULE_SEED", 0);
    let count = number("VESTIBULE_TRANSCRIPTS", TRANSCRIPTS);
    let next = AtomicU64::new(first);
    let outcome = Mutex::new((Tally::default(), Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                let runtime = runtime.unwrap();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    let named = Named(seed);
                    let done = runtime.block_on(run(seed));
                    drop(named);
                    let (tally, differences) = &mut *outcome.lock().unwrap();
                    match done {
                        Ok(compared) => tally.add(&compared),
                        Err(difference) => differences.push(difference),
                    }
                }
            });
        }
    });
    let (tally, mut differences) = outcome.into_inner().unwrap();
    println!("{count} transcripts from {first}: {tally:#?}");
    differences.sort_by_key(|difference| difference.seed);
    for difference in differences.iter().take(SHOWN) {
        eprintln!("{difference}");
        eprintln!("{}\n", again(difference.seed));
    }
    assert!(
        differences.is_empty(),
        "the machines differ in {} of {count} transcripts",
        differences.len()
    );
    // A comparison of nothing would agree as well.
    assert!(tally.read > count && tally.to_device > count, "{tally:?}");
}
