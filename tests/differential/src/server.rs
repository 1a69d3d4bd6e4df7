//! A few lines of homeserver: keys, and to-device events that wait.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value, json};

/// A to-device event on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    /// To whom.
    pub user: String,
    /// To which of their devices.
    pub device: String,
    /// `m.room.encrypted` or `m.room_key.withheld`.
    pub event_type: String,
    /// What is in it.
    pub content: Value,
}

/// One call of `/sendToDevice`.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The transaction id: a repeated call does nothing.
    pub txn: String,
    /// What it delivers.
    pub posts: Vec<Post>,
}

/// The key server and the inboxes.
#[derive(Default)]
pub struct Server {
    /// Device keys, by user.
    pub devices: BTreeMap<String, Map<String, Value>>,
    /// Master keys, by user.
    pub master: Map<String, Value>,
    /// Self-signing keys, by user.
    pub self_signing: Map<String, Value>,
    /// User-signing keys, by user.
    pub user_signing: Map<String, Value>,
    one_time: BTreeMap<Place, VecDeque<(String, Value)>>,
    fallback: BTreeMap<Place, Fallback>,
    /// Every one-time key that was ever uploaded.
    uploaded: BTreeMap<(Place, String), Value>,
    inbox: BTreeMap<Place, Vec<Value>>,
    seen: BTreeSet<(String, String)>,
}

type Place = (String, String);

struct Fallback {
    keys: Value,
    used: bool,
}

fn place(user: &str, device: &str) -> Place {
    (user.to_owned(), device.to_owned())
}

impl Server {
    /// `/keys/upload`. A key's id never gets a second key, as a homeserver insists.
    pub fn upload(&mut self, user: &str, device: &str, one_time: &Value, fallback: &Value) {
        for (id, key) in one_time.as_object().into_iter().flatten() {
            let known = self
                .uploaded
                .insert((place(user, device), id.clone()), key.clone());
            match known {
                Some(known) => assert_eq!(known["key"], key["key"], "{user}: {id} changed its key"),
                None => self
                    .one_time
                    .entry(place(user, device))
                    .or_default()
                    .push_back((id.clone(), key.clone())),
            }
        }
        if fallback.as_object().is_some_and(|keys| !keys.is_empty()) {
            let known = self.fallback.get(&place(user, device));
            let same = known.is_some_and(|known| known.keys == *fallback);
            if !same {
                let fallback = Fallback {
                    keys: fallback.clone(),
                    used: false,
                };
                self.fallback.insert(place(user, device), fallback);
            }
        }
    }

    /// How many one-time keys wait there, and whether the fallback key is unused.
    pub fn counts(&self, user: &str, device: &str) -> (u64, bool) {
        let place = place(user, device);
        let left = self.one_time.get(&place).map_or(0, VecDeque::len);
        let unused = self.fallback.get(&place).is_some_and(|f| !f.used);
        (left as u64, unused)
    }

    /// `/keys/query`.
    pub fn query(&self, users: &[&str]) -> Value {
        let of = |all: &Map<String, Value>| {
            let known = all
                .iter()
                .filter(|(user, _)| users.contains(&user.as_str()));
            let keys = known.map(|(user, key)| (user.clone(), key.clone()));
            Value::Object(keys.collect())
        };
        let devices = users.iter().map(|user| {
            let devices = self.devices.get(*user).cloned().unwrap_or_default();
            ((*user).to_owned(), Value::Object(devices))
        });
        json!({
            "device_keys": devices.collect::<Map<_, _>>(),
            "master_keys": of(&self.master),
            "self_signing_keys": of(&self.self_signing),
            "user_signing_keys": of(&self.user_signing),
            "failures": {},
        })
    }

    /// `/keys/claim` for one device; `None` if it has no key at all.
    pub fn claim(&mut self, user: &str, device: &str) -> Option<Value> {
        let place = place(user, device);
        self.devices.get(user)?.get(device)?;
        if let Some((id, key)) = self.one_time.get_mut(&place).and_then(VecDeque::pop_front) {
            return Some(json!({ id: key }));
        }
        let fallback = self.fallback.get_mut(&place)?;
        fallback.used = true;
        Some(fallback.keys.clone())
    }

    /// Somebody claims all one-time keys of a device.
    pub fn drain(&mut self, user: &str, device: &str) {
        self.one_time.remove(&place(user, device));
    }

    /// A device has neither one-time keys nor a fallback key any more.
    pub fn remove_keys(&mut self, user: &str, device: &str) {
        self.one_time.remove(&place(user, device));
        self.fallback.remove(&place(user, device));
    }

    /// A device is gone, with its keys and what waits for it.
    pub fn remove_device(&mut self, user: &str, device: &str) {
        if let Some(devices) = self.devices.get_mut(user) {
            devices.remove(device);
        }
        self.remove_keys(user, device);
        self.inbox.remove(&place(user, device));
    }

    /// Whether this call of `/sendToDevice` is the first of its transaction.
    pub fn is_first(&mut self, sender: &str, txn: &str) -> bool {
        self.seen.insert((sender.to_owned(), txn.to_owned()))
    }

    /// Puts an event where its device finds it. `txn` says what it belongs to; nobody reads it.
    pub fn deliver(&mut self, sender: &str, txn: &str, post: Post) {
        let event = json!({"type": post.event_type, "sender": sender, "content": post.content,
            "txn": txn});
        self.inbox
            .entry((post.user, post.device))
            .or_default()
            .push(event);
    }

    /// What waits for a device, taken away.
    pub fn take(&mut self, user: &str, device: &str) -> Vec<Value> {
        self.inbox.remove(&place(user, device)).unwrap_or_default()
    }

    /// Turns the order around in which a device's events wait.
    pub fn reverse(&mut self, user: &str, device: &str) {
        if let Some(events) = self.inbox.get_mut(&place(user, device)) {
            events.reverse();
        }
    }
}
