//! Whoever has the homeserver, with a device of their own on somebody's ghost.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value, json};
use vestibule_crypto::{Machine, Prepare};
use vestibule_lab::{Api, Lab};

const DEVICE: &str = "ROGUE";

/// A device of a ghost that the guest knows nothing of.
#[derive(Debug)]
pub struct Rogue {
    api: Api,
    ghost: String,
    host: String,
    machine: Machine,
    sent: usize,
}

impl Rogue {
    /// Makes the device, with keys that the guest's identity has not signed.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn on(lab: &Lab, ghost: &str, host: &str) -> Result<Self> {
        let (mut machine, _) = Machine::create(ghost, DEVICE, now())?;
        // It lives for one test, so nothing of it is stored.
        drop(machine.meet(host)?);
        let rogue = Self {
            api: lab.as_appservice(),
            ghost: ghost.to_owned(),
            host: host.to_owned(),
            machine,
            sent: 0,
        };
        let path = format!("devices/{DEVICE}?user_id={ghost}");
        rogue.call("PUT", &path, &json!({}))?;
        let keys = rogue.keys()?;
        let mut device_keys = part(&keys, "device_keys")?;
        let own = format!("ed25519:{DEVICE}");
        let signatures = device_keys.pointer_mut("/signatures");
        let signatures = signatures.and_then(|all| all.get_mut(ghost));
        let signatures = signatures.and_then(Value::as_object_mut);
        signatures
            .context("the keys are not signed")?
            .retain(|key, _| *key == own);
        let one_time_keys = part(&keys, "one_time_keys")?;
        let body = json!({ "device_keys": device_keys, "one_time_keys": one_time_keys });
        rogue.call("POST", &rogue.own("keys/upload"), &body)?;
        Ok(rogue)
    }

    /// The device's name.
    #[must_use]
    pub fn device(&self) -> &str {
        DEVICE
    }

    /// The types of what waits for it.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn inbox(&self) -> Result<Vec<String>> {
        let path = format!("{}&timeout=0", self.own("sync"));
        let said = self.call("GET", &path, &Value::Null)?;
        let events = said.pointer("/to_device/events").and_then(Value::as_array);
        let types = events.into_iter().flatten();
        let types = types.filter_map(|event| event.get("type")?.as_str());
        Ok(types.map(str::to_owned).collect())
    }

    /// Writes as if the guest had: the room's key goes to the host's devices as the guest's would.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn say(&mut self, room: &str, text: &str) -> Result<()> {
        let host = self.host.clone();
        let members = [host.as_str()];
        loop {
            match self.machine.prepare(room, &members, now())?.output {
                Prepare::KeysQuery { users } => {
                    let users: Map<String, Value> =
                        users.into_iter().map(|user| (user, json!([]))).collect();
                    let body = json!({ "device_keys": users });
                    let said = self.call("POST", &self.own("keys/query"), &body)?;
                    drop(self.machine.receive_keys(&said, now())?);
                }
                Prepare::KeysClaim { devices } => {
                    let wanted = devices.into_iter().map(|(user, devices)| {
                        let keys = devices.into_iter();
                        let keys: Map<String, Value> = keys
                            .map(|device| (device, json!("signed_curve25519")))
                            .collect();
                        (user, Value::Object(keys))
                    });
                    let wanted: Map<String, Value> = wanted.collect();
                    let body = json!({ "one_time_keys": wanted });
                    let said = self.call("POST", &self.own("keys/claim"), &body)?;
                    drop(self.machine.receive_claim(&said, now())?);
                }
                Prepare::ToDevice {
                    id,
                    event_type,
                    messages,
                } => {
                    // The id has a place for a slash, which a path has not.
                    self.sent += 1;
                    let path = format!("sendToDevice/{event_type}/rogue-{}", self.sent);
                    self.call("PUT", &self.own(&path), &json!({ "messages": messages }))?;
                    drop(self.machine.to_device_stored(&id)?);
                }
                Prepare::Ready => break,
                Prepare::Blocked { reason, .. } => bail!("blocked: {reason:?}"),
            }
        }
        let sealed = self.machine.encrypt_text(room, &members, text, now())?;
        self.sent += 1;
        let path = format!("rooms/{room}/send/m.room.encrypted/rogue-{}", self.sent);
        self.call("PUT", &self.own(&path), &sealed.output)?;
        Ok(())
    }

    /// Puts an identity of its own in the place of the guest's.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn take_identity(&self) -> Result<()> {
        let keys = self.keys()?;
        let body = json!({
            "master_key": part(&keys, "master_key")?,
            "self_signing_key": part(&keys, "self_signing_key")?,
            "user_signing_key": part(&keys, "user_signing_key")?,
        });
        let path = format!("keys/device_signing/upload?user_id={}", self.ghost);
        self.call("POST", &path, &body).map(drop)
    }

    fn keys(&self) -> Result<Value> {
        Ok(serde_json::to_value(self.machine.public_keys()?)?)
    }

    /// A path in the name of this device.
    fn own(&self, path: &str) -> String {
        format!("{path}?user_id={}&device_id={DEVICE}", self.ghost)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = (method != "GET").then_some(body);
        let path = format!("/_matrix/client/v3/{path}");
        let answer = self.api.call(method, &path, body)?;
        ensure!(answer.is_success(), "{method} {path}: {}", answer.text);
        Ok(answer.json())
    }
}

fn part(keys: &Value, name: &str) -> Result<Value> {
    keys.get(name)
        .cloned()
        .with_context(|| format!("no {name}"))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}
