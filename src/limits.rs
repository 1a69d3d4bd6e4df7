//! How many files and connections the operating system lets the program have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many are kept for the store (RocksDB holds up to 256 files and writes new ones), the
/// homeserver's connections and ours to it, and the operator's. Without them nothing could be
/// stored any more, so guests may not take them.
const RESERVED: usize = 512;
/// What counts as no limit.
const PLENTY: usize = 1_000_000;

/// Raises the soft limit on open files to the hard one. The soft one is 1024 nearly everywhere, for
/// the sake of programs that use `select(2)`, and every open chat takes one.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the limit on open files stays as it is"
        );
    }
}

/// How many connections guests may have at once: of all open files that are allowed, those which
/// nothing else needs.
#[must_use]
pub fn guest_connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    for_guests(limit.unwrap_or(PLENTY))
}

fn for_guests(limit: usize) -> usize {
    let limit = limit.min(PLENTY);
    limit.saturating_sub(RESERVED).max(limit / 4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_get_what_nothing_else_needs() {
        let table = [
            (0, 1),
            (256, 64),
            (1024, 512),
            (524_288, 523_776),
            (usize::MAX, PLENTY - RESERVED),
        ];
        for (limit, expected) in table {
            assert_eq!(for_guests(limit), expected, "{limit}");
        }
    }
}
