//! What nobody but host and guest may know is found nowhere else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use vestibule_e2e::{Meeting, contains, lab_with};
use vestibule_lab::{Host as _, Lab, Options};

const GUEST_SAYS: &str = "canary-guest-4b1f7c";
const HOST_SAYS: &str = "canary-host-93d0aa";
const GUEST_NAME: &str = "Canaryname";
const HOST_NAME: &str = "Hostcanary";

#[test]
fn texts_tokens_and_names_stay_where_they_belong() {
    // The most talkative log that an admin could choose.
    let environment = vec![("VESTIBULE__TELEMETRY__FILTER", "trace")];
    let mut lab = lab_with(&Options {
        environment,
        ..Options::default()
    })
    .unwrap();
    let host = lab.nio_host("alice", HOST_NAME).unwrap();
    let mut meeting = Meeting::arrange(host, GUEST_NAME).unwrap();
    let token = meeting.token().to_owned();
    assert_eq!(token.len(), 26, "{}", meeting.link);

    meeting.guest.say(GUEST_SAYS).unwrap();
    assert_eq!(
        meeting.host_hears(1).unwrap().first().unwrap().body,
        GUEST_SAYS
    );
    meeting.host_says(HOST_SAYS).unwrap();
    meeting.guest.wait_for_texts("host", &[HOST_SAYS]).unwrap();
    meeting.guest.wait_delivered().unwrap();

    let pid = lab.bridge().unwrap().id();
    let metrics = lab.bridge().unwrap().ops("metrics").unwrap().text;
    let memory = memory(pid);
    lab.bridge().unwrap().kill();
    let log = lab.bridge().unwrap().log().unwrap();
    let files = files(&lab.store());

    // Each search finds what is there, or its silence would mean nothing.
    let ghost = meeting.invite.inviter.as_str();
    assert!(
        files
            .iter()
            .any(|(_, bytes)| contains(bytes, ghost.as_bytes())),
        "store"
    );
    assert!(contains(&memory, ghost.as_bytes()), "memory");
    assert!(
        !log.is_empty() && metrics.contains("messages"),
        "log, metrics"
    );

    for text in [GUEST_SAYS, HOST_SAYS] {
        assert!(
            !contains(&memory, text.as_bytes()),
            "{text} is in the bridge's memory"
        );
    }
    for text in [GUEST_SAYS, HOST_SAYS, &token, &token.to_uppercase()] {
        for (path, bytes) in &files {
            assert!(!contains(bytes, text.as_bytes()), "{text} is in {path}");
        }
    }
    for text in [
        GUEST_SAYS,
        HOST_SAYS,
        GUEST_NAME,
        HOST_NAME,
        &token,
        &token.to_uppercase(),
    ] {
        let line = log.lines().find(|line| line.contains(text));
        assert_eq!(line, None, "{text} is in the log");
        assert!(!metrics.contains(text), "{text} is in the metrics");
    }
    assert!(meeting.host.user_id().ends_with(Lab::DOMAIN));
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found
}

/// All that a process holds in memory of its own.
fn memory(pid: u32) -> Vec<u8> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        memory.seek(SeekFrom::Start(number(start))).unwrap();
        let mut bytes = vec![0; usize::try_from(number(end) - number(start)).unwrap()];
        // Some ranges can't be read, as those of a device can't.
        if memory.read_exact(&mut bytes).is_ok() {
            all.extend(bytes);
        }
    }
    all
}
