//! The way to the homeserver: requests are completed, sent, and their answers collected.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ruma::api::auth_scheme::{AuthScheme, SendAccessToken};
use ruma::api::path_builder::{PathBuilder, VersionHistory};
use ruma::api::{
    AppserviceUserIdentity, MatrixVersion, OutgoingRequest, OutgoingRequestAppserviceExt as _,
    SupportedVersions,
};
use serde::Deserialize;

use crate::auth::Token;
use crate::error::{CallError, SetupError};

/// The largest answer that is read. The largest there are, `/sync` and `/keys/query`, stay far
/// below.
const LARGEST: usize = 32 * 1024 * 1024;
/// How long an unused connection is kept; proxies commonly close theirs after a minute.
const IDLE: Duration = Duration::from_secs(50);
/// The longest pause that a homeserver may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
pub(super) const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("vestibule/", env!("CARGO_PKG_VERSION")));
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A homeserver, by its base URL and our `as_token`. Connections are kept and shared.
pub struct Homeserver {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    as_token: Token,
    timeout: Duration,
    versions: SupportedVersions,
}

impl fmt::Debug for Homeserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Homeserver")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl Homeserver {
    /// A client for the homeserver at `address`, `http` or `https`, with or without a path.
    /// `timeout` is for a whole call, from connecting to the end of the answer.
    pub fn new(address: &str, as_token: &str, timeout: Duration) -> Result<Self, SetupError> {
        let uri: Uri = address.parse().map_err(|_| SetupError::Address)?;
        if !matches!(uri.scheme_str(), Some("http" | "https"))
            || uri.host().is_none_or(str::is_empty)
            || uri.query().is_some()
        {
            return Err(SetupError::Address);
        }
        HeaderValue::from_str(as_token).map_err(|_| SetupError::Token)?;
        Ok(Self {
            client: client()?,
            base: address.trim_end_matches('/').to_owned(),
            as_token: Token::new(as_token),
            timeout,
            versions: supported(),
        })
    }

    /// Completes a request: base URL, token, and on whose behalf.
    pub(super) fn request<R>(
        &self,
        identity: AppserviceUserIdentity<'_>,
        request: R,
    ) -> Result<Request<Full<Bytes>>, CallError>
    where
        R: OutgoingRequest<PathBuilder = VersionHistory>,
        for<'t> R::Authentication: AuthScheme<Input<'t> = SendAccessToken<'t>>,
    {
        self.request_at(identity, request, Cow::Borrowed(&self.versions))
    }

    /// The same for requests whose path is chosen in another way.
    pub(super) fn request_at<R>(
        &self,
        identity: AppserviceUserIdentity<'_>,
        request: R,
        path: <R::PathBuilder as PathBuilder>::Input<'_>,
    ) -> Result<Request<Full<Bytes>>, CallError>
    where
        R: OutgoingRequest,
        for<'t> R::Authentication: AuthScheme<Input<'t> = SendAccessToken<'t>>,
    {
        // Also where no token is asked for: a homeserver may still show profiles to nobody else.
        let token = SendAccessToken::Always(self.as_token.reveal());
        let request: Request<Vec<u8>> = request
            .try_into_http_request_with_identity(&self.base, token, identity, path)
            .map_err(|_| CallError::Unsendable { what: "request" })?;
        let mut request = request.map(|body| Full::new(Bytes::from(body)));
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, AGENT);
        headers.entry(CONTENT_TYPE).or_insert(JSON);
        if let Some(token) = headers.get_mut(AUTHORIZATION) {
            token.set_sensitive(true);
        }
        Ok(request)
    }

    /// Sends a request and collects the body of a successful answer.
    pub(super) async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Bytes, CallError> {
        let answer = tokio::time::timeout(self.timeout, self.answer(request));
        answer.await.map_err(|_| CallError::Timeout {
            after: self.timeout,
        })?
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Bytes, CallError> {
        let response =
            self.client
                .request(request)
                .await
                .map_err(|error| CallError::Transport {
                    connected: !error.is_connect(),
                    source: Box::new(error),
                })?;
        collected(response).await.map(|(body, _)| body)
    }
}

/// The body and the headers of a successful answer.
pub(super) async fn collected(
    response: http::Response<hyper::body::Incoming>,
) -> Result<(Bytes, HeaderMap), CallError> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, LARGEST).collect().await;
    let body = body
        .map_err(|source| CallError::Transport {
            connected: true,
            source,
        })?
        .to_bytes();
    if head.status.is_success() {
        Ok((body, head.headers))
    } else {
        Err(refusal(head.status, &head.headers, &body))
    }
}

pub(super) fn client() -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, SetupError> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .map_err(SetupError::Tls)?
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE);
    Ok(builder.build(connector))
}

/// The version that the paths are taken from. Every homeserver that can do devices for application
/// services (MSC4190) speaks it, so it isn't asked for before the first call.
fn supported() -> SupportedVersions {
    SupportedVersions {
        versions: [MatrixVersion::V1_11].into(),
        features: Default::default(),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StandardError {
    errcode: Option<String>,
    error: Option<String>,
    retry_after_ms: Option<f64>,
}

/// Reads an error. Source: client-server API, "Standard error response" and "Rate limiting".
fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> CallError {
    let said: StandardError = serde_json::from_slice(body).unwrap_or_default();
    let status = status.as_u16();
    let in_header = headers
        .get(RETRY_AFTER)
        .and_then(|seconds| seconds.to_str().ok()?.trim().parse().ok());
    let in_body = said
        .retry_after_ms
        .and_then(|pause| Duration::try_from_secs_f64(pause / 1000.0).ok());
    CallError::Status {
        status,
        errcode: said
            .errcode
            .filter(|code| is_errcode(code))
            .unwrap_or_else(|| format!("HTTP_{status}")),
        message: said.error.unwrap_or_default(),
        retry_after: in_body
            .or(in_header.map(Duration::from_secs))
            .map(|pause| pause.min(LONGEST_PAUSE)),
    }
}

/// Whether this is one, and so can stand in a log line.
pub(super) fn is_errcode(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    (1..=100).contains(&text.len()) && text.chars().all(allowed)
}
