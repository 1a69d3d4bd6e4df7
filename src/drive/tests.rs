//! The driver over stores that fail, and over every order in which things can happen.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod blocking;
mod failing;
mod interleaving;
mod outside;
mod step;

use std::sync::Mutex;

use rand::SeedableRng as _;
use serde_json::{Value, json};
use vestibule_bridge::effect::{Effect, Queued};
use vestibule_bridge::frame::InboxFrame;
use vestibule_bridge::id::{EventId, PortalId, RoomId, UserId};
use vestibule_bridge::input::{RoomEvent, RoomEventKind};
use vestibule_bridge::testing::sample;
use vestibule_bridge::time::Timestamp;

use super::*;
use crate::clock::MockClock;

const START: Timestamp = Timestamp(1_795_364_370_566);

fn tick() -> Input {
    Input::Tick {
        unread: std::collections::BTreeSet::new(),
    }
}

fn alice() -> UserId {
    sample::user("alice")
}

fn management() -> RoomId {
    sample::room(1_000_000)
}

fn event(id: &str, room: RoomId, sender: UserId, kind: RoomEventKind) -> RoomEvent {
    RoomEvent {
        room,
        event_id: EventId::new(id),
        sender,
        at: START,
        kind,
    }
}

fn megolm(text: &str) -> Value {
    json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": text, "session_id": "s" })
}

/// Keeps what it is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<News>>>);

impl Wake for Told {
    fn committed(&self, news: News) {
        self.0.lock().unwrap().push(news);
    }
}

impl Told {
    fn take(&self) -> Vec<News> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn put<S: Store>(store: &S, changes: Vec<Change>) {
    let mut round = store.begin();
    round.apply(&Changes(changes)).unwrap();
    round.commit().unwrap();
}

/// The room in which Alice writes to the bot.
fn management_room() -> Change {
    Change::PutManagementRoom(sample::management_room(management(), alice()))
}
