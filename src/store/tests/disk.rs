//! A disk that is full, and no more open files. The first needs a file system of its own, and so a
//! mount: `unshare -rm` lets a process that is nobody special mount for itself alone. The second
//! needs a process of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use vestibule_bridge::frame::{HostEvent, InboxFrame};
use vestibule_bridge::id::{EventId, PortalId};
use vestibule_bridge::time::Timestamp;

use super::*;

/// Where the inner test finds the file system that is its own.
const FOLDER: &str = "VESTIBULE_TEST_DISK";

/// Runs one of the ignored tests below on a file system of so many megabytes. A machine where that
/// can't be done has not tested anything, so it fails there.
fn on_own_disk(test: &str, megabytes: u32) {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o "size=$2m" tmpfs "$1" && exec "$3" --exact "$4" --ignored --nocapture"#;
    let run = Command::new("unshare")
        .args(["-rm", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .arg(megabytes.to_string())
        .arg(std::env::current_exe().unwrap())
        .arg(format!("store::tests::disk::{test}"))
        .env(FOLDER, folder.path())
        .output();
    let run = run.expect("`unshare` of util-linux is needed for this test");
    let (out, err) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    assert!(
        run.status.success() && out.contains("1 passed"),
        "On its own disk the test failed, or there was none (are user namespaces allowed?):\n{out}\n{err}"
    );
}

#[test]
fn a_full_disk_is_told_and_healed_and_loses_nothing() {
    on_own_disk("full", 48);
}

#[test]
fn no_more_open_files_is_told_and_healed() {
    on_own_disk("no_files", 256);
}

fn own_disk() -> PathBuf {
    std::env::var_os(FOLDER)
        .expect("run by a test above")
        .into()
}

/// A frame of 8 KiB for chat 1.
fn frame(seq: u64) -> Change {
    Change::PutFrame {
        portal: PortalId::from_u128(1),
        seq,
        frame: InboxFrame::Event {
            event: HostEvent {
                event_type: "m.room.encrypted".to_owned(),
                event_id: EventId::new(format!("${seq}")),
                sender: sample::user("alice"),
                origin_server_ts: Timestamp(1),
                content: serde_json::json!({ "ciphertext": "x".repeat(8 * 1024) }),
                redacts: None,
                unencrypted: false,
                late: false,
            },
            deadline: Timestamp(2),
        },
    }
}

fn try_commit(store: &RocksStore, seq: u64) -> Read<()> {
    let mut round = store.begin();
    round.apply(&Changes(vec![frame(seq)]))?;
    round.commit()
}

fn stored(store: &RocksStore) -> Vec<u64> {
    let frames = store
        .begin()
        .frames(PortalId::from_u128(1), 0, usize::MAX)
        .unwrap();
    frames.into_iter().map(|(seq, _)| seq).collect()
}

/// Has it mended as the driver does: whenever somebody comes, until it works.
fn until_mended(store: &RocksStore) {
    for _ in 0..100 {
        if store.mend() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("not mended: {:?}", store.trouble());
}

/// Fills the disk up to this many bytes.
fn fill(disk: &Path, leave: u64) -> PathBuf {
    use std::io::Write as _;
    let path = disk.join("filler");
    let mut file = File::create(&path).unwrap();
    let chunk = vec![1u8; 64 * 1024];
    while file.write_all(&chunk).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length - leave).unwrap();
    path
}

#[test]
#[ignore = "needs a disk of its own: a_full_disk_is_told_and_healed_and_loses_nothing runs it"]
fn full() {
    let disk = own_disk();
    let store = RocksStore::open(&disk.join("store")).unwrap();
    let mut acknowledged = Vec::new();
    let mut refused = Vec::new();
    let mut seq = 0;
    // More than once, and with the end of the space at different places of a record.
    for leave in [100_000, 131_072, 70_001] {
        try_commit(&store, seq + 1).unwrap();
        seq += 1;
        acknowledged.push(seq);
        let filler = fill(&disk, leave);
        while refused.last() != Some(&seq) {
            seq += 1;
            match try_commit(&store, seq) {
                Ok(()) => acknowledged.push(seq),
                Err(_) => refused.push(seq),
            }
        }
        assert_eq!(store.trouble(), Some(Trouble::NoSpace));
        assert_eq!(
            store.trouble().unwrap().to_string(),
            "There is no space left on the disk of the store."
        );
        // Nothing gets in before it is mended, and it isn't mended before there is space.
        seq += 1;
        assert!(try_commit(&store, seq).is_err());
        refused.push(seq);
        assert!(!store.mend());
        assert_eq!(store.trouble(), Some(Trouble::NoSpace));
        assert_eq!(stored(&store), acknowledged, "what is stored can be read");
        std::fs::remove_file(filler).unwrap();
        until_mended(&store);
        assert_eq!(store.trouble(), None);
        assert_eq!(stored(&store), acknowledged);
    }
    assert!(refused.len() >= 6);
    try_commit(&store, seq + 1).unwrap();
    acknowledged.push(seq + 1);
    drop(store);
    let store = RocksStore::open(&disk.join("store")).unwrap();
    assert_eq!(stored(&store), acknowledged);
    assert_eq!(store.set_aside().unwrap(), 0);
}

#[test]
#[ignore = "changes a limit of the whole process: no_more_open_files_is_told_and_healed runs it"]
fn no_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let disk = own_disk();
    let store = RocksStore::open(&disk.join("store")).unwrap();
    try_commit(&store, 1).unwrap();
    let before = getrlimit(Resource::Nofile);
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let none = Rlimit {
        current: Some(u64::try_from(open).unwrap() - 1),
        ..before
    };
    setrlimit(Resource::Nofile, none).unwrap();
    let mut seq = 1;
    while try_commit(&store, seq + 1).is_ok() {
        seq += 1;
        assert!(seq < 10_000, "the log goes on in a new file at some time");
    }
    assert!(!store.mend());
    let Some(Trouble::System(words)) = store.trouble() else {
        panic!("{:?}", store.trouble());
    };
    assert!(words.contains("Too many open files"), "{words}");
    assert_eq!(stored(&store), (1..=seq).collect::<Vec<_>>());
    setrlimit(Resource::Nofile, before).unwrap();
    until_mended(&store);
    assert_eq!(stored(&store), (1..=seq).collect::<Vec<_>>());
    try_commit(&store, seq + 1).unwrap();
    assert_eq!(stored(&store), (1..=seq + 1).collect::<Vec<_>>());
}
