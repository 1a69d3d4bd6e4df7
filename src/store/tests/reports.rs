//! What an admin asks for, over many chats.

use vestibule_bridge::host::ManagementRoom;
use vestibule_bridge::id::{RoomId, UserId};
use vestibule_bridge::report::{self, List, Outside, Report, Trail};
use vestibule_bridge::time::Timestamp;

use super::dormant::fill;
use super::*;
use crate::clock::monotonic;

fn admin_room() -> RoomId {
    RoomId::new("!admin:example.org")
}

fn claim(store: &RocksStore) {
    let room = ManagementRoom {
        room: admin_room(),
        host: sample::user("root"),
        direct: true,
        encrypted: false,
        admin: true,
        looked: true,
        advised: true,
        unread_told: None,
    };
    commit(store, Changes(vec![Change::PutManagementRoom(room)]));
}

fn answer(store: &RocksStore, report: &Report) -> String {
    let (policy, outside) = (sample::policy(), Outside::default());
    let (rows, now) = (store.begin(), Timestamp(1_500));
    let words = report::words(report, &admin_room(), &rows, &policy, now, &outside);
    words.unwrap().unwrap().plain
}

fn list(host: Option<UserId>, server: Option<&str>, page: usize) -> List {
    List {
        host,
        server: server.map(str::to_owned),
        page,
        ..List::default()
    }
}

#[test]
fn lists_go_on_from_page_to_page() {
    let (_folder, store) = fresh();
    fill(&store, 45);
    claim(&store);
    let first = answer(&store, &Report::Chats(list(None, None, 1)));
    assert!(
        first.starts_with("45 chats, page 1 of 3:\n1. @host0:example.org: invited"),
        "{first}"
    );
    assert!(
        first.ends_with("Write `chats 2` for the next page."),
        "{first}"
    );
    let last = answer(&store, &Report::Chats(list(None, None, 3)));
    assert_eq!(last.lines().count(), 6, "{last}");
    let host = Some(sample::user("host3"));
    let theirs = answer(&store, &Report::Chats(list(host, None, 1)));
    assert!(
        theirs.starts_with("10 chats, page 1 of 1:\n30. @host3"),
        "{theirs}"
    );
    let links = answer(&store, &Report::Links(list(None, Some("example.org"), 3)));
    assert!(
        links.starts_with("45 unused links, page 3 of 3:\n5. @host0"),
        "{links}"
    );
}

#[test]
#[ignore = "a measure: cargo test --workspace --exclude vestibule-e2e --lib reports -- --ignored --nocapture"]
fn measure_an_admins_questions_about_a_hundred_thousand_chats() {
    let (_folder, store) = fresh();
    fill(&store, 100_000);
    claim(&store);
    let trail = Trail {
        count: 20,
        host: None,
        serial: None,
    };
    for (what, report) in [
        ("status", Report::Status),
        ("chats", Report::Chats(list(None, None, 1))),
        ("chats, last page", Report::Chats(list(None, None, 5_000))),
        (
            "chats of a server",
            Report::Chats(list(None, Some("example.org"), 1)),
        ),
        ("links", Report::Links(list(None, None, 1))),
        ("hosts", Report::Hosts),
        ("audit", Report::Audit(trail)),
    ] {
        let since = monotonic();
        let words = answer(&store, &report);
        println!(
            "{what}: {:?}, {} lines",
            since.elapsed(),
            words.lines().count()
        );
    }
}
