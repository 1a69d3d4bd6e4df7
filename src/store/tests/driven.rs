//! The store with a driver on it, as the program has it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;
use vestibule_bridge::bridge::Answer;
use vestibule_bridge::count::Counts;
use vestibule_bridge::frame::InboxFrame;
use vestibule_bridge::id::{EventId, PortalId};
use vestibule_bridge::input::{Input, Outcome, RoomEvent, RoomEventKind};
use vestibule_bridge::policy::{GuestRate, Limits, Moments, Permissions, Policy, Times};
use vestibule_bridge::refusal::Refusal;
use vestibule_bridge::time::Timestamp;

use super::damage::{damage, two_chats};
use super::*;
use crate::clock::{Clock, MockClock};
use crate::drive::{Driver, News, Wake};

pub fn policy() -> Policy {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    Policy {
        bot: sample::user("guestbot"),
        server_name: sample::SERVER.to_owned(),
        public_url: "https://chat.example.org".to_owned(),
        link_lifetime: 7 * DAY,
        idle_limit: 10 * DAY,
        open_links: 20,
        open_chats: 50,
        message_bytes: 16 * 1024,
        guest_rate: GuestRate {
            burst: 10,
            interval: Duration::from_secs(1),
        },
        permissions: Permissions::default(),
        times: Times::default(),
        limits: Limits::default(),
        moments: Moments::default(),
    }
}

/// A driver on this store.
pub fn driver(store: &Arc<RocksStore>, clock: Arc<dyn Clock>, wake: impl Wake) -> Driver {
    let last_effect = store.last_effect().unwrap();
    let rng = StdRng::seed_from_u64(1);
    let store = Arc::clone(store);
    Driver::start(store, Arc::new(policy()), clock, rng, last_effect, wake).unwrap()
}

/// A message of Alice in the room of this chat.
pub fn message(chat: u64, event: &str) -> Input {
    Input::Room(RoomEvent {
        room: sample::room(chat),
        event_id: EventId::new(event),
        sender: sample::user("alice"),
        at: Timestamp(1),
        kind: RoomEventKind::Encrypted {
            content: json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": event }),
        },
    })
}

/// The ids of the events in a chat's inbox, by sequence number.
pub fn inbox(store: &RocksStore, chat: u64) -> Vec<(u64, String)> {
    let id = PortalId::from_u128(chat.into());
    let frames = store.begin().frames(id, 0, usize::MAX).unwrap();
    let events = frames.into_iter().filter_map(|(seq, frame)| match frame {
        InboxFrame::Event { event, .. } => Some((seq, event.event_id.to_string())),
        _ => None,
    });
    events.collect()
}

/// Keeps what it is woken with.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<News>>>);

impl Wake for Heard {
    fn committed(&self, news: News) {
        self.0.lock().unwrap().push(news);
    }
}

fn clock() -> Arc<MockClock> {
    Arc::new(MockClock::at(Timestamp(5)))
}

#[tokio::test]
async fn one_damaged_chat_is_set_aside_and_all_others_of_its_transaction_are_stored() {
    let (_folder, store) = two_chats();
    put(&store, Change::PutCounts(TWO_OPEN));
    damage(&store, Family::PortalidPortal, &1u128.to_be_bytes());
    let store = Arc::new(store);
    let heard = Heard::default();
    let driver = driver(&store, clock(), heard.clone());
    let inputs = vec![message(1, "$a"), message(2, "$b"), message(2, "$c")];
    let answers = driver
        .submit_all(inputs, Some("t".to_owned()))
        .await
        .unwrap();
    assert_eq!(
        answers,
        [
            Err(Refusal::Damaged),
            Ok(Answer::Stored),
            Ok(Answer::Stored)
        ]
    );
    assert!(store.begin().transaction_seen("t").unwrap());
    let texts: Vec<String> = inbox(&store, 2).into_iter().map(|(_, id)| id).collect();
    assert_eq!(texts, ["$b", "$c"]);
    assert_eq!(store.set_aside().unwrap(), 1);
    // It stays set aside, and is told once.
    let again = driver.submit(message(1, "$d")).await.unwrap();
    assert_eq!(again, Err(Refusal::Damaged));
    let told: Vec<Owner> = {
        let news = heard.0.lock().unwrap();
        let rows = news.iter().flat_map(|news| &news.damaged);
        rows.map(|row| row.owner.clone()).collect()
    };
    assert_eq!(told, [Owner::Portal(PortalId::from_u128(1))]);
    let row = store
        .begin()
        .row::<transaction::Quarantined>(Family::PortalidQuarantine, &1u128.to_be_bytes());
    let row = row.unwrap().unwrap();
    assert_eq!((row.at, row.count), (Some(Timestamp(5)), 2));
    assert_eq!(store.begin().counts().unwrap().open_chats, 1);
}

/// What the chats of `two_chats` make.
const TWO_OPEN: Counts = Counts {
    open_links: 0,
    open_chats: 2,
    last_serial: 0,
    audited: 0,
};

#[tokio::test]
async fn what_was_set_aside_while_the_store_was_opened_is_due_once() {
    let (_folder, store) = two_chats();
    put(&store, Change::PutCounts(TWO_OPEN));
    {
        let db = store.shared();
        let db = db.as_ref().unwrap();
        let mut batch = WriteBatch::default();
        migrate::put_quarantine(db, &mut batch, &[PortalId::from_u128(1)].into()).unwrap();
        migrate::write(db, batch).unwrap();
    }
    let store = Arc::new(store);
    let clock = clock();
    let driver = driver(&store, clock.clone(), Heard::default());
    clock.advance(Duration::from_millis(10));
    for _ in 0..2 {
        assert_eq!(driver.submit(TICK).await.unwrap(), Ok(Answer::Stored));
        assert_eq!(store.begin().counts().unwrap().open_chats, 1);
    }
    let due = store.begin().due(Timestamp(u64::MAX), 9).unwrap();
    assert_eq!(due, [PortalId::from_u128(2)]);
}

#[tokio::test]
async fn an_effect_is_done_even_when_its_chat_cannot_be_read() {
    let (_folder, store) = two_chats();
    damage(&store, Family::PortalidPortal, &1u128.to_be_bytes());
    let (first, second) = (EffectId::from_u128(1), EffectId::from_u128(2));
    let send = |chat: u64| Effect::SendEvent {
        portal: PortalId::from_u128(chat.into()),
        ghost: sample::ghost(chat),
        device: vestibule_bridge::id::DeviceId::new("D"),
        room: sample::room(chat),
        n: 1,
        content: json!({}),
    };
    for (id, chat) in [(first, 1), (second, 2)] {
        put(
            &store,
            Change::PutEffect {
                id,
                effect: send(chat),
            },
        );
    }
    let store = Arc::new(store);
    let driver = driver(&store, clock(), Heard::default());
    let sent = |effect| Input::Done {
        effect,
        outcome: Outcome::Sent(EventId::new("$sent")),
    };
    assert_eq!(
        driver.submit(sent(first)).await.unwrap(),
        Err(Refusal::Damaged)
    );
    assert_eq!(
        driver.submit(sent(second)).await.unwrap(),
        Ok(Answer::Stored)
    );
    assert_eq!(store.begin().effects(None, 10).unwrap(), []);
    let frames = store.begin().frames(PortalId::from_u128(2), 0, 1).unwrap();
    assert!(matches!(frames[0].1, InboxFrame::Delivered { n: 1, .. }));
}

#[tokio::test]
async fn deadlines_go_on_beside_damaged_ones() {
    let (_folder, store) = two_chats();
    put(&store, Change::PutCounts(TWO_OPEN));
    damage(&store, Family::PortalidPortal, &1u128.to_be_bytes());
    put_raw(&store, Family::DeadlinePortalid, b"\0", b"nonsense");
    let store = Arc::new(store);
    let clock = clock();
    clock.advance(Duration::from_secs(1));
    let driver = driver(&store, clock, Heard::default());
    assert_eq!(driver.submit(TICK).await.unwrap(), Ok(Answer::Stored));
    let second = store.begin().portal(PortalId::from_u128(2)).unwrap();
    assert!(second.unwrap().is_closed());
    assert_eq!(store.set_aside().unwrap(), 1);
    assert_eq!(store.begin().due(Timestamp(u64::MAX), 9).unwrap(), []);
    assert_eq!(store.begin().counts().unwrap().open_chats, 0);
}

#[tokio::test]
async fn whoever_only_reads_can_have_a_chat_set_aside() {
    let (_folder, store) = two_chats();
    let key = codec::joined(&1u128.to_be_bytes(), &2u64.to_be_bytes());
    damage(&store, Family::PortalSeqFrame, &key);
    let store = Arc::new(store);
    let driver = driver(&store, clock(), Heard::default());
    let read = store.begin().frames(PortalId::from_u128(1), 0, 9);
    let Err(StoreError::Damaged(row)) = read else {
        panic!("{read:?}");
    };
    driver.set_aside(row).await.unwrap();
    assert!(store.begin().portal(PortalId::from_u128(1)).is_err());
    assert_eq!(store.set_aside().unwrap(), 1);
}

/// Time went by.
const TICK: Input = Input::Tick {
    unread: std::collections::BTreeSet::new(),
};
