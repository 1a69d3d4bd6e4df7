//! Public keys: uploaded for ghosts and the bot, queried and claimed of others. Source:
//! client-server API, "Key management API" and "Cross-signing".

use std::collections::BTreeMap;

use ruma::api::client::keys::{
    claim_keys, get_keys, upload_keys, upload_signatures, upload_signing_keys,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::is_errcode;
use super::{Done, Intent};
use crate::error::CallError;

/// The one algorithm of one-time keys that is in use.
const ONE_TIME_KEY: &str = "signed_curve25519";

#[derive(Deserialize)]
struct Counts {
    one_time_key_counts: BTreeMap<String, u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Failures {
    failures: BTreeMap<String, BTreeMap<String, Failure>>,
}

#[derive(Deserialize)]
struct Failure {
    errcode: Option<String>,
}

impl Intent<'_> {
    /// Uploads what is given: device keys, one-time keys and fallback keys, each as the API has it.
    /// Gives how many one-time keys the homeserver has now. Nothing given, it only counts.
    pub async fn upload_keys(
        &self,
        device_keys: Option<&Value>,
        one_time_keys: Option<&Value>,
        fallback_keys: Option<&Value>,
    ) -> Result<u64, CallError> {
        let parts = [
            ("device_keys", device_keys),
            ("one_time_keys", one_time_keys),
            ("fallback_keys", fallback_keys),
        ];
        let given = parts
            .into_iter()
            .filter_map(|(name, part)| Some((name.to_owned(), part?.clone())));
        let body = Value::Object(given.collect());
        let answer: Counts = self
            .ask_with(upload_keys::v3::Request::new(), &body)
            .await?;
        Ok(answer
            .one_time_key_counts
            .get(ONE_TIME_KEY)
            .copied()
            .unwrap_or_default())
    }

    /// Uploads the three cross-signing keys; the same again changes nothing, others replace them.
    pub async fn upload_cross_signing(
        &self,
        master_key: &Value,
        self_signing_key: &Value,
        user_signing_key: &Value,
    ) -> Result<(), CallError> {
        let body = json!({
            "master_key": master_key,
            "self_signing_key": self_signing_key,
            "user_signing_key": user_signing_key,
        });
        let _uploaded: Done = self
            .ask_with(upload_signing_keys::v3::Request::new(), &body)
            .await?;
        Ok(())
    }

    /// Uploads signatures: the signed objects by user id and then by device id or public key. One
    /// that the homeserver doesn't take makes the whole a refusal.
    pub async fn upload_signatures(&self, signed: &Value) -> Result<(), CallError> {
        let request = upload_signatures::v3::Request::new(BTreeMap::new());
        let answer: Failures = self.ask_with(request, signed).await?;
        match answer
            .failures
            .into_values()
            .flat_map(BTreeMap::into_values)
            .next()
        {
            None => Ok(()),
            Some(failure) => {
                let errcode = failure.errcode.filter(|code| is_errcode(code));
                Err(CallError::Refused {
                    errcode: errcode.unwrap_or_else(|| "M_UNKNOWN".to_owned()),
                })
            }
        }
    }

    /// All devices and cross-signing keys of these users, as the homeserver answers.
    pub async fn keys_query(&self, users: &[&str]) -> Result<Value, CallError> {
        let wanted: BTreeMap<&str, [&str; 0]> = users.iter().map(|user| (*user, [])).collect();
        let body = json!({ "device_keys": wanted });
        self.object(get_keys::v3::Request::new(), &body).await
    }

    /// One one-time key for each of these devices, by their users, as the homeserver answers.
    pub async fn keys_claim(&self, devices: &[(&str, &str)]) -> Result<Value, CallError> {
        let mut wanted: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        for (user, device) in devices {
            wanted.entry(user).or_default().insert(device, ONE_TIME_KEY);
        }
        let body = json!({ "one_time_keys": wanted });
        self.object(claim_keys::v3::Request::new(BTreeMap::new()), &body)
            .await
    }

    async fn object<R>(&self, request: R, body: &Value) -> Result<Value, CallError>
    where
        R: ruma::api::OutgoingRequest<PathBuilder = ruma::api::path_builder::VersionHistory>,
        for<'t> R::Authentication: ruma::api::auth_scheme::AuthScheme<
                Input<'t> = ruma::api::auth_scheme::SendAccessToken<'t>,
            >,
    {
        self.ask_with::<Map<String, Value>, R>(request, body)
            .await
            .map(Value::Object)
    }
}
