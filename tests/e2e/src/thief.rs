//! Somebody else on the homeserver, who shares no room with a guest and takes their keys.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use vestibule_lab::{Api, Lab};

/// With so many one-time keys at the homeserver a page makes no new ones.
pub const ENOUGH_KEYS: u64 = 25;

/// Claims one-time keys of one ghost's device, as every local user can.
#[derive(Debug, Clone)]
pub struct Thief {
    api: Api,
    appservice: Api,
    ghost: String,
    device: String,
}

impl Thief {
    /// A new account that knows the ghost's device.
    ///
    /// # Errors
    /// When the homeserver refuses or the ghost has no device.
    pub fn of(lab: &mut Lab, ghost: &str) -> Result<Self> {
        let name = ghost.trim_start_matches("@_vestibule_");
        let name = name.split(':').next().unwrap_or_default();
        let account = lab.account(&format!("thief-{name}"), "Thief")?;
        let (api, _) = Api::login(&lab.homeserver(), &account.localpart, &account.password)?;
        let body = json!({"device_keys": {ghost: []}});
        let answer = api.call("POST", "/_matrix/client/v3/keys/query", Some(&body))?;
        let said = answer.json();
        let devices = said.pointer("/device_keys").and_then(|all| all.get(ghost));
        let device = devices
            .and_then(Value::as_object)
            .and_then(|all| all.keys().next());
        Ok(Self {
            device: device.context("the ghost has no device")?.clone(),
            appservice: lab.as_appservice(),
            ghost: ghost.to_owned(),
            api,
        })
    }

    /// The ghost's device.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Claims one key; whether it was the fallback key.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn claim(&self) -> Result<bool> {
        let key = self.claimed()?;
        Ok(key
            .get("fallback")
            .is_some_and(|fallback| *fallback == json!(true)))
    }

    /// The fallback key, when no one-time key is left.
    ///
    /// # Errors
    /// When the homeserver gives a one-time key or refuses.
    pub fn fallback_key(&self) -> Result<String> {
        let key = self.claimed()?;
        ensure!(
            key.get("fallback").is_some(),
            "there are one-time keys left"
        );
        let key = key.get("key").and_then(Value::as_str);
        Ok(key.context("no key")?.to_owned())
    }

    fn claimed(&self) -> Result<Value> {
        let body =
            json!({"one_time_keys": {(&*self.ghost): {(&*self.device): "signed_curve25519"}}});
        let answer = self
            .api
            .call("POST", "/_matrix/client/v3/keys/claim", Some(&body))?;
        ensure!(answer.is_success(), "claim refused: {}", answer.text);
        let said = answer.json();
        let mine = said
            .get("one_time_keys")
            .and_then(|all| all.get(&self.ghost)?.get(&self.device));
        let key = mine
            .and_then(Value::as_object)
            .and_then(|keys| keys.values().next());
        let key = key.with_context(|| format!("no key: {}", answer.text))?;
        Ok(key.clone())
    }

    /// How many one-time keys the homeserver has left.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn count(&self) -> Result<u64> {
        let Self { ghost, device, .. } = self;
        let path = format!("/_matrix/client/v3/keys/upload?user_id={ghost}&device_id={device}");
        let answer = self.appservice.call("POST", &path, Some(&json!({})))?;
        ensure!(answer.is_success(), "count refused: {}", answer.text);
        let counts = answer.json();
        let count = counts.pointer("/one_time_key_counts/signed_curve25519");
        Ok(count.and_then(Value::as_u64).unwrap_or_default())
    }

    /// Claims until no more than `left` are left.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn drain(&self, left: u64) -> Result<()> {
        for _ in left..self.count()?.max(left) {
            self.claim()?;
        }
        Ok(())
    }

    /// Waits until the homeserver has more than `more_than` again.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub fn wait_refilled(&self, more_than: u64, limit: Duration) -> Result<()> {
        vestibule_lab::wait_for("new one-time keys", limit, || Ok(self.count()? > more_than))
    }
}
