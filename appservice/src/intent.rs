//! A client for the client-server API that acts as the bot or a ghost. Source: application-service
//! API, "Client-Server v3 API extensions"; MSC4326 for devices.
//!
//! Every method is one call, tried once. Where Matrix has transaction ids the caller gives them, so
//! that a call that is tried again is the same call. What is asked for goes out as the caller wrote
//! it; ids that can't stand in a request are refused before they leave.

mod account;
mod client;
mod device;
mod event;
mod inbox;
mod keys;
mod media;
mod room;
mod site;

use std::fmt;

use http::Request;
use http_body_util::Full;
use hyper::body::Bytes;
use ruma::api::auth_scheme::{AuthScheme, SendAccessToken};
use ruma::api::path_builder::VersionHistory;
use ruma::api::{AppserviceUserIdentity, OutgoingRequest};
use ruma::{DeviceId, UserId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::CallError;

pub use client::Homeserver;
pub use inbox::{DeviceBatch, InboxEvent, Past};
pub use room::StateEvent;
pub use site::{Page, Site};

/// Acts as one user, or as one device of that user.
#[derive(Clone, Copy)]
pub struct Intent<'a> {
    homeserver: &'a Homeserver,
    user: &'a str,
    device: Option<&'a str>,
}

impl fmt::Debug for Intent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intent")
            .field("user", &self.user)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl Homeserver {
    /// Acts as this user, the bot included: left out, the bot is meant too, but Synapse then fails
    /// on its device.
    #[must_use]
    pub fn as_user<'a>(&'a self, user: &'a str) -> Intent<'a> {
        Intent {
            homeserver: self,
            user,
            device: None,
        }
    }
}

impl<'a> Intent<'a> {
    /// Acts as this device of the user. Keys, to-device messages and `/sync` need one.
    #[must_use]
    pub fn with_device(self, device: &'a str) -> Self {
        Self {
            device: Some(device),
            ..self
        }
    }

    /// Makes a call and reads its answer.
    async fn ask<T, R>(&self, request: R) -> Result<T, CallError>
    where
        T: DeserializeOwned,
        R: OutgoingRequest<PathBuilder = VersionHistory>,
        for<'t> R::Authentication: AuthScheme<Input<'t> = SendAccessToken<'t>>,
    {
        self.answered(self.homeserver.request(self.identity()?, request)?)
            .await
    }

    /// Makes a call whose body is the caller's JSON, just as it is: ruma's types for keys and rooms
    /// would have to take it apart first and might leave something out.
    async fn ask_with<T, R>(&self, request: R, body: &Value) -> Result<T, CallError>
    where
        T: DeserializeOwned,
        R: OutgoingRequest<PathBuilder = VersionHistory>,
        for<'t> R::Authentication: AuthScheme<Input<'t> = SendAccessToken<'t>>,
    {
        let mut request = self.homeserver.request(self.identity()?, request)?;
        *request.body_mut() = Full::from(body.to_string());
        self.answered(request).await
    }

    async fn answered<T: DeserializeOwned>(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<T, CallError> {
        read(&self.homeserver.exchange(request).await?)
    }

    fn identity(&self) -> Result<AppserviceUserIdentity<'a>, CallError> {
        let user = <&UserId>::try_from(self.user)
            .map_err(|_| CallError::Unsendable { what: "user id" })?;
        let mut identity = AppserviceUserIdentity::new(user);
        identity.device_id = self.device.map(<&DeviceId>::from);
        Ok(identity)
    }
}

/// The answer to a call after which nothing is asked: any JSON object.
#[derive(Deserialize)]
struct Done {}

/// Reads an answer. The parser's own words stay out: they would quote it.
fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(answer).map_err(|error| CallError::Malformed {
        line: error.line(),
        column: error.column(),
    })
}

/// An argument for a path. ruma quotes what would end a segment, but leaves `%` alone, so that
/// `%2F` would arrive as a slash; and a segment of dots would be taken for another path on the way.
fn in_path(what: &'static str, text: &str) -> Result<String, CallError> {
    match text {
        "." | ".." => Err(CallError::Unsendable { what }),
        _ => Ok(text.replace('%', "%25")),
    }
}

/// The same for an id with a form of its own.
fn id_in_path<T: TryFrom<String>>(what: &'static str, text: &str) -> Result<T, CallError> {
    T::try_from(in_path(what, text)?).map_err(|_| CallError::Unsendable { what })
}
