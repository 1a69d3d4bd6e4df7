//! What was deleted is nowhere in the folder any more, log included.

use std::path::Path;
use std::time::Duration;

use vestibule_bridge::frame::{HostEvent, InboxFrame};
use vestibule_bridge::guest::GuestName;
use vestibule_bridge::id::{EffectId, EventId, PortalId};
use vestibule_bridge::portal::{EndReason, PortalState};
use vestibule_bridge::time::Timestamp;

use super::*;

const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);
const NAME: &str = "Canaryname";
const LABEL: &str = "canarylabel";
const CIPHERTEXT: &str = "canaryciphertext";
const WAITING: &str = "canaryeffect";
/// Belongs to a chat that goes on.
const LIVING: &str = "canaryalive";

/// Which of these stand in a file of the folder, in whatever file.
fn found(folder: &Path) -> Vec<&'static str> {
    let files = std::fs::read_dir(folder).unwrap();
    let all: Vec<Vec<u8>> = files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    let stands = |canary: &&str| {
        let canary = canary.as_bytes();
        all.iter()
            .any(|file| file.windows(canary.len()).any(|part| part == canary))
    };
    let canaries = [NAME, LABEL, CIPHERTEXT, WAITING, LIVING];
    canaries.into_iter().filter(stands).collect()
}

fn frame(portal: u128, seq: u64, ciphertext: &str) -> Change {
    Change::PutFrame {
        portal: PortalId::from_u128(portal),
        seq,
        frame: InboxFrame::Event {
            event: HostEvent {
                event_type: "m.room.encrypted".to_owned(),
                event_id: EventId::new(format!("${portal}{seq}")),
                sender: sample::user("alice"),
                origin_server_ts: Timestamp(1),
                content: serde_json::json!({ "ciphertext": ciphertext }),
                redacts: None,
                unencrypted: false,
                late: false,
            },
            deadline: Timestamp(2),
        },
    }
}

fn closed(number: u64) -> vestibule_bridge::portal::Portal {
    let mut portal = sample::portal(number, &sample::user("alice"), Timestamp(5)).unwrap();
    portal.name = GuestName::parse(NAME).unwrap();
    portal.state = PortalState::Closed {
        room: Some(sample::room(number)),
        at: Timestamp(5),
        reason: EndReason::Host,
    };
    portal
}

fn link() -> vestibule_bridge::link::Link {
    let mut link = sample::link(1, &sample::user("alice"));
    link.label = Some(LABEL.to_owned());
    link
}

fn canaries(store: &RocksStore) {
    let portal = Box::new(closed(1));
    let effect = Effect::BotDeclines {
        room: RoomId::new(WAITING),
    };
    let id = EffectId::from_u128(1);
    commit(
        store,
        Changes(vec![
            Change::PutLink(link()),
            Change::PutPortal {
                portal,
                was_due: None,
                due: None,
            },
            frame(1, 1, CIPHERTEXT),
            frame(2, 1, LIVING),
            Change::PutEffect { id, effect },
        ]),
    );
}

fn erase(store: &RocksStore) {
    commit(
        store,
        Changes(vec![
            Change::ErasePortal(Box::new(closed(1))),
            Change::EraseLink(Box::new(link())),
            Change::DeleteEffect(EffectId::from_u128(1)),
        ]),
    );
}

fn sweep(store: &RocksStore) {
    store.sweep(Timestamp(0), KEEP, || false).unwrap();
}

#[test]
fn what_was_deleted_is_gone_from_log_and_tables() {
    let (folder, store) = fresh();
    canaries(&store);
    assert_eq!(found(folder.path()).len(), 5, "all of it is in the log");
    erase(&store);
    assert_eq!(
        found(folder.path()).len(),
        5,
        "deleting alone is not enough"
    );
    sweep(&store);
    assert_eq!(found(folder.path()), [LIVING]);
    // Rows that lie in tables of the lowest level for long.
    canaries(&store);
    sweep(&store);
    put(&store, Change::DeleteEffect(EffectId::from_u128(9)));
    sweep(&store);
    assert_eq!(found(folder.path()).len(), 5);
    erase(&store);
    sweep(&store);
    assert_eq!(found(folder.path()), [LIVING]);
    let frames = store.begin().frames(PortalId::from_u128(2), 0, 9).unwrap();
    assert_eq!(frames.len(), 1);
    drop(store);
    assert_eq!(found(folder.path()), [LIVING]);
}

#[test]
fn what_an_earlier_run_deleted_is_swept_too() {
    let (folder, store) = fresh();
    canaries(&store);
    erase(&store);
    drop(store);
    assert!(!found(folder.path()).is_empty());
    let store = RocksStore::open(folder.path()).unwrap();
    sweep(&store);
    assert_eq!(found(folder.path()), [LIVING]);
}

#[test]
fn a_sweep_that_was_stopped_is_done_the_next_time() {
    let (folder, store) = fresh();
    canaries(&store);
    sweep(&store);
    erase(&store);
    store.sweep(Timestamp(0), KEEP, || true).unwrap();
    assert_eq!(found(folder.path()).len(), 5);
    sweep(&store);
    assert_eq!(found(folder.path()), [LIVING]);
}

/// A chat of which nothing reads, and what leads to it.
#[test]
fn a_chat_that_was_set_aside_is_erased_as_well() {
    let (folder, store) = fresh();
    let before = dump(&store);
    let portal = Box::new(closed(1));
    let id = portal.id;
    commit(
        &store,
        Changes(vec![
            Change::PutPortal {
                portal,
                was_due: None,
                due: Some(Timestamp(9)),
            },
            Change::SetAlarm {
                subject: vestibule_bridge::alarm::Subject::Portal(id),
                was: None,
                at: Some(Timestamp(8)),
            },
            frame(1, 1, CIPHERTEXT),
            Change::RememberDigest {
                portal: id,
                digest: vestibule_bridge::store::Digest([1; 16]),
            },
        ]),
    );
    let key = id.as_u128().to_be_bytes();
    let mut row = get_raw(&store, Family::PortalidPortal, &key).unwrap();
    row.iter_mut().step_by(7).for_each(|byte| *byte ^= 3);
    put_raw(&store, Family::PortalidPortal, &key, &row);
    put(
        &store,
        Change::SetAside {
            portal: id,
            at: Timestamp(7),
        },
    );
    let due = |until| store.begin().set_aside_until(Timestamp(until), 9).unwrap();
    assert_eq!(due(6), []);
    let [chat] = due(7).try_into().unwrap();
    assert_eq!((chat.portal, chat.host), (id, Some(closed(1).host)));
    put(&store, Change::EraseAside(id));
    assert_same_rows(&dump(&store), &before);
    sweep(&store);
    assert_eq!(found(folder.path()), [""; 0]);
}

#[test]
fn copies_of_damaged_logs_go_in_time() {
    let (folder, store) = fresh();
    let copy = folder.path().join("000004.log.kept");
    std::fs::write(&copy, NAME).unwrap();
    let written = copy.metadata().unwrap().modified().unwrap();
    let written = written.duration_since(std::time::UNIX_EPOCH).unwrap();
    let at = |later: Duration| Timestamp(u64::try_from((written + later).as_millis()).unwrap());
    store.sweep(at(KEEP / 2), KEEP, || false).unwrap();
    assert!(copy.exists());
    let later = KEEP + Duration::from_secs(1);
    store.sweep(at(later), KEEP, || false).unwrap();
    assert!(!copy.exists());
}
