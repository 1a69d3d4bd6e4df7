//! The bridge as a process of its own, with everything logged that can be logged.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::homeserver::until;

/// A running process.
pub struct Process {
    child: Child,
    pub guests: SocketAddr,
    pub appservice: SocketAddr,
    pub ops: SocketAddr,
}

impl Process {
    /// Starts the program; its log is added to this file.
    pub async fn start(config: &Path, log: &Path) -> Self {
        let file = File::options().append(true).create(true).open(log).unwrap();
        let start = file.metadata().unwrap().len();
        // Without this signal a file that may not grow is an error like a full disk.
        let child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
            .arg(env!("CARGO_BIN_EXE_vestibule"))
            .args(["serve", "--config"])
            .arg(config)
            .env("VESTIBULE__TELEMETRY__FILTER", "trace")
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        let line = until("the program says where it listens", || {
            since(log, start)
                .lines()
                .find(|line| line.contains("the bridge is running"))
                .map(str::to_owned)
        })
        .await;
        let address = |name: &str| {
            let (_, rest) = line.split_once(&format!("{name}=")).unwrap();
            let address = rest.split_whitespace().next().unwrap();
            let address = address.trim_start_matches("Some(").trim_end_matches(')');
            address.parse().unwrap()
        };
        Self {
            guests: address("guests"),
            appservice: address("appservice"),
            ops: address("ops"),
            child,
        }
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its number at the operating system.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that is in its memory now.
    pub fn memory(&self) -> Vec<u8> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let maps = BufReader::new(File::open(folder.join("maps")).unwrap());
        let mut memory = File::open(folder.join("mem")).unwrap();
        let mut all = Vec::new();
        for line in maps.lines().map(Result::unwrap) {
            let mut parts = line.split_whitespace();
            let (range, rights) = (parts.next().unwrap(), parts.next().unwrap());
            let (from, to) = range.split_once('-').unwrap();
            let place = |hex| u64::from_str_radix(hex, 16).unwrap();
            // What can't be written is the program itself.
            if rights.starts_with("rw") && memory.seek(SeekFrom::Start(place(from))).is_ok() {
                // Parts that were given back between the two readings don't read.
                let _gone = (&mut memory)
                    .take(place(to) - place(from))
                    .read_to_end(&mut all);
            }
        }
        all
    }
}

/// Runs the program until it ends by itself: its exit code, and what it said.
pub async fn run_to_end(config: &Path) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(["serve", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let status = until("the program ends", || child.try_wait().unwrap()).await;
    let mut words = String::new();
    stderr.read_to_string(&mut words).unwrap();
    (status.code(), words)
}

/// What was written into the file after this place.
fn since(file: &Path, start: u64) -> String {
    let mut file = File::open(file).unwrap();
    file.seek(SeekFrom::Start(start)).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}
