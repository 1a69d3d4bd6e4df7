//! What is of the moment: who is typing and who has read how far. The guest's goes to the
//! homeserver from here, at once or not at all: it is never stored, and no message waits for it.
//! The host's comes with transactions and by the truth path.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};
use vestibule_appservice::transaction::Ephemeral;
use vestibule_bridge::id::{EventId, PortalId, RoomId, UserId};
use vestibule_bridge::policy;
use vestibule_bridge::portal::{HostRead, Portal, PortalState};
use vestibule_bridge::store::{Facts, Read, Store};
use vestibule_bridge::time::Timestamp;
use vestibule_bridge::was_relayed;

use crate::clock::monotonic;
use crate::homeserver::{CallFailed, Homeserver};
use crate::store::RocksStore;
use crate::tasks::Tasks;

/// How long the homeserver shows a guest as typing who says nothing more.
const SHOWN: Duration = Duration::from_secs(30);
/// A page that says "typing" again sooner than this changes nothing.
const RENEWED: Duration = Duration::from_secs(8);
/// The pause between the calls of one chat; what comes meanwhile becomes one call.
const PAUSE: Duration = Duration::from_secs(1);

/// Shows hosts who is typing and who has read. Cheap to clone.
#[derive(Clone)]
pub struct Moments(Arc<Shared>);

struct Shared {
    relayed: policy::Moments,
    homeserver: Arc<Homeserver>,
    store: Arc<RocksStore>,
    tasks: Tasks,
    chats: Mutex<HashMap<PortalId, Moment>>,
}

/// One chat's moment. There is one as long as something is shown, wanted or on its way.
#[derive(Default)]
struct Moment {
    wanted: Wanted,
    /// Since when the guest is shown as typing.
    typing: Option<Instant>,
    /// What the homeserver was told last.
    read: Option<EventId>,
    /// Whether somebody makes the calls.
    at_work: bool,
    /// Whether the page is gone: then nothing is kept when all is shown.
    gone: bool,
}

/// What is to be shown next: of each kind only the newest.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    typing: Option<bool>,
    read: Option<EventId>,
}

impl Moment {
    /// The guest began or stopped to type. Whether that changes what is shown.
    fn types(&mut self, typing: bool, now: Instant) -> bool {
        let shown_for = self.typing.map(|since| now.duration_since(since));
        let settled = match self.wanted.typing {
            Some(wanted) => wanted == typing,
            None if typing => shown_for.is_some_and(|time| time < RENEWED),
            None => shown_for.is_none_or(|time| time >= SHOWN),
        };
        if !settled {
            self.wanted.typing = Some(typing);
        }
        !settled
    }

    /// The guest has read up to here. Whether that changes what is shown.
    fn reads(&mut self, event: EventId) -> bool {
        let known = self.wanted.read.as_ref().or(self.read.as_ref());
        let is_news = known != Some(&event);
        if is_news {
            self.wanted.read = Some(event);
        }
        is_news
    }

    /// What to show now; nothing when all is shown.
    fn take(&mut self, now: Instant) -> Option<Wanted> {
        let wanted = std::mem::take(&mut self.wanted);
        if wanted == Wanted::default() {
            self.at_work = false;
            return None;
        }
        if let Some(typing) = wanted.typing {
            self.typing = typing.then_some(now);
        }
        if wanted.read.is_some() {
            self.read.clone_from(&wanted.read);
        }
        Some(wanted)
    }
}

impl Moments {
    /// Shows what the policy lets through.
    #[must_use]
    pub fn new(
        relayed: policy::Moments,
        homeserver: Arc<Homeserver>,
        store: Arc<RocksStore>,
        tasks: Tasks,
    ) -> Self {
        Self(Arc::new(Shared {
            relayed,
            homeserver,
            store,
            tasks,
            chats: Mutex::default(),
        }))
    }

    /// The guest began or stopped to type.
    pub fn typing(&self, portal: PortalId, typing: bool) {
        if self.0.relayed.typing {
            self.note(portal, |moment| moment.types(typing, monotonic()));
        }
    }

    /// The guest has seen everything up to this event.
    pub fn read(&self, portal: PortalId, event: EventId) {
        if self.0.relayed.receipts {
            self.note(portal, |moment| moment.reads(event));
        }
    }

    /// The page is gone: it types no more, and whatever it wants next it says anew.
    pub fn gone(&self, portal: PortalId) {
        if !self.0.chats().contains_key(&portal) {
            return;
        }
        self.typing(portal, false);
        let mut chats = self.0.chats();
        if let Some(moment) = chats.get_mut(&portal) {
            moment.gone = true;
            if !moment.at_work {
                chats.remove(&portal);
            }
        }
    }

    fn note(&self, portal: PortalId, change: impl FnOnce(&mut Moment) -> bool) {
        let mut chats = self.0.chats();
        let moment = chats.entry(portal).or_default();
        moment.gone = false;
        if change(moment) && !std::mem::replace(&mut moment.at_work, true) {
            let shared = Arc::clone(&self.0);
            self.0
                .tasks
                .spawn(async move { shared.show_all(portal).await });
        }
    }
}

impl Shared {
    fn chats(&self) -> std::sync::MutexGuard<'_, HashMap<PortalId, Moment>> {
        // Nothing in there can be left half-done by a panic.
        self.chats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one chat's calls, one after the other, until nothing more is wanted.
    async fn show_all(&self, portal: PortalId) {
        while let Some(wanted) = self.next(portal) {
            if let Err(error) = self.show(portal, wanted).await {
                // The next moment is shown again; this one is past.
                let error = &*error;
                tracing::debug!(%portal, error, "a moment was not shown");
            }
            sleep(PAUSE).await;
        }
    }

    fn next(&self, portal: PortalId) -> Option<Wanted> {
        let mut chats = self.chats();
        let moment = chats.get_mut(&portal)?;
        let wanted = moment.take(monotonic());
        if wanted.is_none() && moment.gone {
            chats.remove(&portal);
        }
        wanted
    }

    async fn show(
        &self,
        portal: PortalId,
        wanted: Wanted,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Some((portal, room)) = self.open(portal)? else {
            return Ok(());
        };
        if let Some(typing) = wanted.typing {
            self.show_typing(&portal, &room, typing).await?;
        }
        // A page must not mark what it was never given.
        if let Some(event) = wanted.read
            && was_relayed(&self.store.begin(), portal.id, &event)?
        {
            self.homeserver.show_read(&portal, &room, &event).await?;
        }
        Ok(())
    }

    async fn show_typing(
        &self,
        portal: &Portal,
        room: &RoomId,
        typing: bool,
    ) -> Result<(), CallFailed> {
        let shown_for = typing.then_some(SHOWN);
        self.homeserver.show_typing(portal, room, shown_for).await
    }

    /// The portal and its room, while both may write.
    fn open(&self, portal: PortalId) -> Read<Option<(Portal, RoomId)>> {
        let stored = self.store.begin().portal(portal)?;
        Ok(stored.and_then(|portal| match portal.state.clone() {
            PortalState::Open { room, .. } => Some((portal, room)),
            PortalState::Opening { .. } | PortalState::Closed { .. } => None,
        }))
    }
}

/// One reader's receipt. Source: client-server API, "Receipts".
#[derive(Deserialize)]
struct Receipt {
    #[serde(default)]
    ts: u64,
    /// Missing or `main` for the room as a whole; guests know of no threads.
    thread_id: Option<String>,
}

/// How far this user has read, by the newest of their receipts for all to see.
pub fn read_by(user: &UserId, receipts: &[Ephemeral]) -> Option<HostRead> {
    let of_event = |(event, kinds): (&String, &serde_json::Value)| {
        let receipt = kinds.get("m.read")?.get(user.as_str())?;
        let receipt = Receipt::deserialize(receipt).ok()?;
        let in_room = matches!(receipt.thread_id.as_deref(), None | Some("main"));
        in_room.then(|| HostRead {
            event: EventId::new(event.as_str()),
            at: Timestamp(receipt.ts),
        })
    };
    receipts
        .iter()
        .filter(|event| event.event_type == "m.receipt")
        .filter_map(|event| event.content.as_object())
        .flat_map(|events| events.iter().filter_map(of_event))
        .max_by_key(|read| read.at)
}

/// Whether this user is typing, if this is what the event tells.
pub fn types(user: &UserId, event: &Ephemeral) -> Option<bool> {
    if event.event_type != "m.typing" {
        return None;
    }
    let typing = event.content.get("user_ids")?.as_array()?;
    Some(typing.iter().any(|typing| *typing == *user.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ephemeral(event_type: &str, content: Value) -> Ephemeral {
        Ephemeral {
            event_type: event_type.to_owned(),
            room_id: Some("!r".to_owned()),
            sender: None,
            content,
        }
    }

    #[test]
    fn the_newest_receipt_of_this_user_for_the_whole_room_counts() {
        let alice = UserId::new("@alice:b");
        let read = |receipts: &[Value]| {
            let receipts: Vec<Ephemeral> = receipts
                .iter()
                .map(|content| ephemeral("m.receipt", content.clone()))
                .collect();
            read_by(&alice, &receipts).map(|read| (read.event.as_str().to_owned(), read.at.0))
        };
        let of = |event: &str, user: &str, receipt: Value| json!({ event: { "m.read": { user: receipt } } });
        let table = [
            (vec![], None),
            (
                vec![of("$1", "@alice:b", json!({ "ts": 5 }))],
                Some(("$1", 5)),
            ),
            (
                vec![of(
                    "$1",
                    "@alice:b",
                    json!({ "ts": 5, "thread_id": "main" }),
                )],
                Some(("$1", 5)),
            ),
            (
                vec![of("$1", "@alice:b", json!({ "ts": 5, "thread_id": "$t" }))],
                None,
            ),
            (vec![of("$1", "@alice:b", json!("now"))], None),
            (vec![of("$1", "@ghost:b", json!({ "ts": 5 }))], None),
            (
                vec![
                    of("$2", "@alice:b", json!({ "ts": 9 })),
                    of("$1", "@alice:b", json!({ "ts": 5 })),
                    of("$3", "@ghost:b", json!({ "ts": 10 })),
                ],
                Some(("$2", 9)),
            ),
            (
                vec![json!({ "$1": { "m.read.private": { "@alice:b": { "ts": 5 } } } })],
                None,
            ),
            (vec![json!([])], None),
        ];
        for (receipts, expected) in table {
            let expected = expected.map(|(event, at)| (event.to_owned(), at));
            assert_eq!(read(&receipts), expected, "{receipts:?}");
        }
    }

    #[test]
    fn who_types_is_told_by_name() {
        let alice = UserId::new("@alice:b");
        let told = |content| types(&alice, &ephemeral("m.typing", content));
        assert_eq!(
            told(json!({ "user_ids": ["@ghost:b", "@alice:b"] })),
            Some(true)
        );
        assert_eq!(told(json!({ "user_ids": ["@ghost:b"] })), Some(false));
        assert_eq!(told(json!({ "user_ids": [] })), Some(false));
        assert_eq!(told(json!({})), None);
        assert_eq!(
            types(&alice, &ephemeral("m.receipt", json!({ "user_ids": [] }))),
            None
        );
    }

    #[test]
    fn of_many_words_about_typing_only_the_changes_are_shown() {
        let mut moment = Moment::default();
        let start = monotonic();
        assert!(!moment.types(false, start), "nothing is shown yet");
        assert!(moment.types(true, start));
        assert!(!moment.types(true, start), "it is wanted already");
        assert_eq!(
            moment.take(start).and_then(|wanted| wanted.typing),
            Some(true)
        );
        assert!(!moment.types(true, start + Duration::from_secs(7)));
        assert!(
            moment.types(true, start + Duration::from_secs(9)),
            "it is to go on"
        );
        assert!(moment.types(false, start + Duration::from_secs(9)));
        assert_eq!(
            moment.take(start).and_then(|wanted| wanted.typing),
            Some(false)
        );
        assert!(!moment.types(false, start));
        assert_eq!(moment.take(start), None);
        // The homeserver stopped to show it by itself.
        assert!(moment.types(true, start));
        assert!(moment.take(start).is_some());
        assert!(!moment.types(false, start + SHOWN));
    }

    #[test]
    fn of_many_marks_only_the_newest_is_shown_and_once() {
        let mut moment = Moment::default();
        let now = monotonic();
        for event in ["$1", "$2", "$3"] {
            assert!(moment.reads(EventId::new(event)));
        }
        assert!(!moment.reads(EventId::new("$3")));
        let shown = moment.take(now).and_then(|wanted| wanted.read);
        assert_eq!(shown, Some(EventId::new("$3")));
        assert!(!moment.reads(EventId::new("$3")));
        assert_eq!(moment.take(now), None);
    }
}
