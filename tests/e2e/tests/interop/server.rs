//! A few lines of key server.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Keys and to-device events, as a homeserver keeps them.
#[derive(Default)]
pub struct Server {
    pub devices: BTreeMap<String, Map<String, Value>>,
    pub master: Map<String, Value>,
    pub self_signing: Map<String, Value>,
    pub user_signing: Map<String, Value>,
    pub one_time: BTreeMap<(String, String), Map<String, Value>>,
    pub fallback: BTreeMap<(String, String), Map<String, Value>>,
    pub inbox: Vec<(String, String, Value)>,
}

impl Server {
    pub fn upload(&mut self, user: &str, device: &str, one_time: Value, fallback: Value) {
        let place = (user.to_owned(), device.to_owned());
        let keys = serde_json::from_value::<Map<_, _>>(one_time).unwrap();
        self.one_time.entry(place.clone()).or_default().extend(keys);
        self.fallback
            .insert(place, serde_json::from_value(fallback).unwrap());
    }

    pub fn query(&self, user: &str) -> Value {
        let of = |keys: &Map<String, Value>| {
            keys.get(user).map_or(json!({}), |key| json!({ user: key }))
        };
        json!({
            "device_keys": { user: self.devices.get(user).cloned().unwrap_or_default() },
            "master_keys": of(&self.master),
            "self_signing_keys": of(&self.self_signing),
            "user_signing_keys": of(&self.user_signing),
            "failures": {},
        })
    }

    pub fn claim(&mut self, user: &str, device: &str) -> Value {
        let place = (user.to_owned(), device.to_owned());
        let keys = self.one_time.get_mut(&place).unwrap();
        let first = keys.keys().next().cloned();
        match first {
            Some(id) => json!({ id.clone(): keys.remove(&id).unwrap() }),
            None => Value::Object(self.fallback[&place].clone()),
        }
    }

    pub fn take(&mut self, user: &str, device: &str) -> Vec<Value> {
        let taken = std::mem::take(&mut self.inbox);
        let (mine, rest): (Vec<_>, Vec<_>) = taken
            .into_iter()
            .partition(|(u, d, _)| u == user && d == device);
        self.inbox = rest;
        mine.into_iter().map(|(_, _, event)| event).collect()
    }
}
