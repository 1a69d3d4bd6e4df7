//! What is wrong, in words that say what to do. Whoever tells the operator, tells it from here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::app::App;
use crate::drive::Trouble;

/// How often is looked for problems.
const BEAT: Duration = Duration::from_secs(1);
/// How many looks in a row it takes until a problem has begun or is over: one call that fails among
/// many is none, and one that succeeds ends none.
const LOOKS: u32 = 3;

/// Something that keeps guests from being served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which; the same as long as it lasts.
    pub kind: &'static str,
    /// What is wrong and what to do.
    pub words: String,
}

impl Problem {
    fn new(kind: &'static str, words: impl Into<String>) -> Self {
        Self {
            kind,
            words: words.into(),
        }
    }
}

/// Everything that is wrong now.
#[must_use]
pub fn problems(app: &App) -> Vec<Problem> {
    let store = app.driver.trouble().map(|trouble| match trouble {
        Trouble::Failing => {
            let cause = app.store.trouble();
            let cause = cause.map_or_else(
                || "The store can't be written: is the disk full or broken?".to_owned(),
                |cause| cause.to_string(),
            );
            Problem::new(
                "store",
                format!(
                    "{cause} Nothing is lost; the homeserver and the guests are told to come again until it works, \
                     which is tried all the time."
                ),
            )
        }
        Trouble::Slow => Problem::new(
            "slow_store",
            "The store takes long to write: is the disk busy with something else? Nothing is lost; the homeserver and \
             the guests are told to come again.",
        ),
    });
    let homeserver = app
        .homeserver
        .problem()
        .map(|words| Problem::new("homeserver", words));
    let page = (!app.assets.built()).then(|| {
        Problem::new(
            "page",
            "The program was built without its page; run `cargo xtask page`, then build it again.",
        )
    });
    let files = (app.guest_port.refused() || app.other_ports.refused()).then(|| {
        Problem::new(
            "files",
            "The operating system lets the program open no more files, so nobody new can connect. Raise its limit \
             (`LimitNOFILE=` in systemd, `ulimit -n` in a shell) and start it again.",
        )
    });
    let connections = app.guest_port.nearly_full().map(|all| {
        Problem::new(
            "connections",
            format!(
                "Guests have nearly all of the {all} connections that they may have at once. If these are guests, raise \
                 the limit on open files (`LimitNOFILE=` in systemd, `ulimit -n` in a shell) and start the bridge again."
            ),
        )
    });
    [store, homeserver, page, files, connections]
        .into_iter()
        .flatten()
        .collect()
}

/// Looks for problems for ever, and logs each once when it begins and once when it is over.
pub async fn watch(app: Arc<App>) {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut log = Log::default();
    loop {
        beat.tick().await;
        for news in log.look(problems(&app)) {
            match news {
                News::Begun(problem) => {
                    tracing::warn!(problem = problem.kind, "{}", problem.words);
                }
                News::Over(kind) => tracing::info!(problem = kind, "this is over"),
            }
        }
    }
}

/// Which problems are known, and since how many looks they are there or gone.
#[derive(Default)]
struct Log(BTreeMap<&'static str, Known>);

#[derive(Default)]
struct Known {
    told: bool,
    /// For how many looks in a row it was otherwise than told.
    otherwise: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum News {
    Begun(Problem),
    Over(&'static str),
}

impl Log {
    fn look(&mut self, now: Vec<Problem>) -> Vec<News> {
        for problem in &now {
            self.0.entry(problem.kind).or_default();
        }
        let mut news = Vec::new();
        for (kind, known) in &mut self.0 {
            let there = now.iter().find(|problem| problem.kind == *kind);
            known.otherwise = if there.is_some() == known.told {
                0
            } else {
                known.otherwise + 1
            };
            if known.otherwise >= LOOKS {
                *known = Known {
                    told: there.is_some(),
                    otherwise: 0,
                };
                news.push(there.map_or(News::Over(kind), |problem| News::Begun(problem.clone())));
            }
        }
        self.0.retain(|_, known| known.told || known.otherwise > 0);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(log: &mut Log, kinds: &[&'static str]) -> Vec<News> {
        log.look(kinds.iter().map(|kind| Problem::new(kind, "?")).collect())
    }

    #[test]
    fn a_problem_is_told_when_it_begins_and_when_it_is_over() {
        let mut log = Log::default();
        let begun = |kind| vec![News::Begun(Problem::new(kind, "?"))];
        assert_eq!(look(&mut log, &["a"]), []);
        assert_eq!(look(&mut log, &["a", "b"]), []);
        assert_eq!(look(&mut log, &["a", "b"]), begun("a"));
        assert_eq!(look(&mut log, &["a", "b"]), begun("b"));
        for _ in 0..100 {
            assert_eq!(look(&mut log, &["a", "b"]), []);
            // An answer in between ends nothing.
            assert_eq!(look(&mut log, &["a"]), []);
        }
        assert_eq!(look(&mut log, &["a", "b"]), []);
        assert_eq!(look(&mut log, &["a"]), []);
        assert_eq!(look(&mut log, &["a"]), []);
        assert_eq!(look(&mut log, &["a"]), [News::Over("b")]);
        assert_eq!(look(&mut log, &[]), []);
        assert_eq!(look(&mut log, &[]), []);
        assert_eq!(look(&mut log, &[]), [News::Over("a")]);
        assert!(log.0.is_empty());
    }

    #[test]
    fn a_hiccup_is_no_problem() {
        let mut log = Log::default();
        for _ in 0..100 {
            assert_eq!(look(&mut log, &["a"]), []);
            assert_eq!(look(&mut log, &["a"]), []);
            assert_eq!(look(&mut log, &[]), []);
        }
    }
}
