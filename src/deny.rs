//! Deny lists: rooms with policy lists that the configuration names. The bot joins them and reads
//! their state at start, whenever an event of theirs is pushed, after a gap, and every hour; what they
//! say is stored, so a start knows it before the homeserver answers.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::sleep;
use vestibule_appservice::intent::StateEvent;
use vestibule_appservice::transaction::Transaction;
use vestibule_bridge::id::RoomId;
use vestibule_bridge::input::Input;
use vestibule_bridge::permission::{Rule, RuleKind};
use vestibule_bridge::store::{Facts, Store};

use crate::app::App;

/// How often they are read when nothing is heard of them.
const PERIOD: Duration = Duration::from_secs(60 * 60);
/// The pause after a reading that failed.
const PAUSE: Duration = Duration::from_secs(30);
/// The least pause between two readings: a list that changes all the time costs no more than that.
const REST: Duration = Duration::from_secs(2);
/// The longest user id or server name with wildcards that is looked at.
const LONGEST: usize = 255;

/// The lists that are followed.
#[derive(Debug, Default)]
pub struct Lists {
    changed: Notify,
    rooms: Mutex<BTreeSet<String>>,
}

impl Lists {
    /// Something may have been missed.
    pub fn nudge(&self) {
        self.changed.notify_one();
    }

    /// Looks whether a list changed.
    pub fn note(&self, transaction: &Transaction) {
        let rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = transaction
            .events
            .iter()
            .any(|event| event.state_key.is_some() && rooms.contains(&event.room_id));
        if changed {
            self.nudge();
        }
    }

    fn follow(&self, room: &RoomId) {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.insert(room.as_str().to_owned());
    }
}

/// Follows these lists until the program ends.
pub async fn follow(app: Arc<App>, lists: Vec<String>) {
    let mut told = false;
    loop {
        let read = read_all(&app, &lists).await;
        if lists.is_empty() && read {
            return;
        }
        if !read && !std::mem::replace(&mut told, true) {
            tracing::warn!(
                "a deny list can't be read: what was known of it counts until it can. Is the room's name right, and \
                 may the bot join it?"
            );
        }
        told &= !read;
        sleep(REST).await;
        tokio::select! {
            () = app.lists.changed.notified() => {}
            () = sleep(if read { PERIOD } else { PAUSE }) => {}
        }
    }
}

/// Reads all lists once; whether all could be read.
async fn read_all(app: &App, lists: &[String]) -> bool {
    let mut rooms = BTreeSet::new();
    for list in lists {
        let (room, state) = match app.homeserver.read_list(list).await {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a deny list could not be read"
                );
                continue;
            }
        };
        app.lists.follow(&room);
        if !store(app, &room, true, rules(&room, &state)).await {
            return false;
        }
        rooms.insert(room);
    }
    let all = rooms.len() == lists.len();
    // Which list an unread one is, isn't known: nothing is forgotten then.
    all && forget_others(app, &rooms).await
}

async fn forget_others(app: &App, rooms: &BTreeSet<RoomId>) -> bool {
    let Ok(steering) = app.store.begin().steering() else {
        return false;
    };
    for room in steering.lists.keys().filter(|room| !rooms.contains(room)) {
        if !store(app, room, false, Vec::new()).await {
            return false;
        }
    }
    true
}

async fn store(app: &App, room: &RoomId, followed: bool, rules: Vec<Rule>) -> bool {
    let read = Input::ListRead {
        room: room.clone(),
        followed,
        rules,
    };
    app.driver.submit(read).await.is_ok()
}

/// The rules of a room that count. Source: client-server API, "Moderation policy lists"; the older
/// names are those of MSC2313 and of Mjolnir.
fn rules(room: &RoomId, state: &[StateEvent]) -> Vec<Rule> {
    let rule = |event: &StateEvent| {
        let about = match event.event_type.as_str() {
            "m.policy.rule.user" | "m.room.rule.user" | "org.matrix.mjolnir.rule.user" => {
                RuleKind::User
            }
            "m.policy.rule.server" | "m.room.rule.server" | "org.matrix.mjolnir.rule.server" => {
                RuleKind::Server
            }
            _ => return None,
        };
        let text = |name: &str| event.content.get(name).and_then(Value::as_str);
        let bans = matches!(
            text("recommendation"),
            Some("m.ban" | "org.matrix.mjolnir.ban")
        );
        let entity = text("entity").filter(|entity| (1..=LONGEST).contains(&entity.len()))?;
        bans.then(|| Rule {
            about,
            entity: entity.to_owned(),
            room: room.clone(),
        })
    };
    state.iter().filter_map(rule).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_that_ban_are_read_under_all_their_names() {
        let room = RoomId::new("!list:example.org");
        let event = |event_type: &str, content: Value| StateEvent {
            event_type: event_type.to_owned(),
            state_key: "rule".to_owned(),
            sender: "@mod:example.org".to_owned(),
            content,
        };
        let ban =
            |entity: &str| json!({ "entity": entity, "recommendation": "m.ban", "reason": "spam" });
        let old = json!({ "entity": "@c:x", "recommendation": "org.matrix.mjolnir.ban" });
        let state = [
            event("m.policy.rule.user", ban("@a:x")),
            event("m.room.rule.user", ban("@b:x")),
            event("org.matrix.mjolnir.rule.user", old),
            event("m.policy.rule.server", ban("*.x")),
            event("m.policy.rule.room", ban("!room:x")),
            event("m.policy.rule.user", json!({})),
            event(
                "m.policy.rule.user",
                json!({ "entity": "@d:x", "recommendation": "org.example.warn" }),
            ),
            event("m.policy.rule.user", ban("")),
            event("m.policy.rule.user", ban(&"x".repeat(256))),
            event("m.room.member", ban("@e:x")),
        ];
        let read: Vec<(RuleKind, String)> = rules(&room, &state)
            .into_iter()
            .map(|rule| (rule.about, rule.entity))
            .collect();
        let expected = [
            (RuleKind::User, "@a:x"),
            (RuleKind::User, "@b:x"),
            (RuleKind::User, "@c:x"),
            (RuleKind::Server, "*.x"),
        ];
        assert_eq!(
            read,
            expected.map(|(about, entity)| (about, entity.to_owned()))
        );
    }
}
