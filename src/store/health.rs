//! Whether the store works, and what is wrong when it doesn't.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::monotonic;

/// How long after one try to get the store working again the next one may come.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);
/// How much must fit onto the disk before the store is opened anew: what opening writes, with room
/// to go on for a while, so that it doesn't fail again at once.
const ROOM: usize = 4 << 20;
const PROBE: &str = "probe";

/// What is wrong with the store, in words for whoever runs the bridge.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The disk is full.
    #[error("There is no space left on the disk of the store.")]
    NoSpace,
    /// The operating system refuses.
    #[error("The store can't be written or read: {0}.")]
    System(String),
    /// A block of a file doesn't read.
    #[error("A file of the store is damaged, and what still reads of it is being kept.")]
    Damaged,
}

impl From<&std::io::Error> for Trouble {
    fn from(error: &std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::NoSpace,
            _ => Self::System(error.to_string()),
        }
    }
}

impl From<&rocksdb::Error> for Trouble {
    fn from(error: &rocksdb::Error) -> Self {
        let text = error.to_string();
        match error.kind() {
            rocksdb::ErrorKind::Corruption => Self::Damaged,
            // RocksDB gives the operating system's words; it has no kind of its own for this.
            _ if text.contains("No space left") || text.contains("quota") => Self::NoSpace,
            _ => Self::System(text),
        }
    }
}

/// How the store is.
#[derive(Default)]
pub struct Health {
    broken: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
    last_try: Mutex<Option<Instant>>,
    sequence: AtomicU64,
}

impl Health {
    /// Something under the rows failed. From now on nothing is written, until the database was
    /// opened anew: after a failed write nobody knows how much of it stands in the log.
    pub fn failed(&self, error: &rocksdb::Error) {
        use rocksdb::ErrorKind::{Corruption, IOError};
        if matches!(error.kind(), Corruption | IOError) {
            self.is(error.into());
        }
    }

    /// This is wrong.
    pub fn is(&self, trouble: Trouble) {
        *lock(&self.trouble) = Some(trouble);
        self.broken.store(true, Ordering::Release);
    }

    /// Everything up to this number of RocksDB's was acknowledged.
    pub fn acknowledged(&self, sequence: u64) {
        self.sequence.store(sequence, Ordering::Release);
    }

    /// The number of the last change that was acknowledged.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// All is well again.
    pub fn works(&self) {
        *lock(&self.trouble) = None;
        self.broken.store(false, Ordering::Release);
    }

    /// Whether something failed since it last worked.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// What is wrong.
    pub fn trouble(&self) -> Option<Trouble> {
        lock(&self.trouble).clone()
    }

    /// Why nothing can be read or written now.
    pub fn closed(&self) -> Trouble {
        let unknown = || Trouble::System("it is not open".to_owned());
        self.trouble().unwrap_or_else(unknown)
    }

    /// Whether it is time for another try.
    pub fn may_try(&self) -> bool {
        let mut last_try = lock(&self.last_try);
        let due = last_try.is_none_or(|last| last.elapsed() >= BETWEEN_TRIES);
        if due {
            *last_try = Some(monotonic());
        }
        due
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in there is replaced as a whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the store's folder can be written, found out by writing.
pub fn probe(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(PROBE);
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0x5a; ROOM])?;
        file.sync_all()
    });
    let removed = match std::fs::remove_file(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    written.and(removed)
}
