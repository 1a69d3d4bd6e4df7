//! What anybody can read over HTTP, without our token: what a homeserver tells of itself, and whether
//! the page is where guests look for it.

use std::time::Duration;

use http::header::{DATE, USER_AGENT};
use http::{HeaderMap, Request, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;

use super::client::{AGENT, client, collected};
use crate::error::{CallError, SetupError};

/// A place on the web, by its base URL.
pub struct Site {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    timeout: Duration,
}

/// What was read.
#[derive(Clone, Debug)]
pub struct Page {
    /// The body.
    pub body: Bytes,
    /// The header `Date`, if there is a readable one.
    pub date: Option<String>,
}

impl Site {
    /// The site at this base URL, `http` or `https`, with or without a path. `timeout` is for a whole
    /// call.
    pub fn new(base: &str, timeout: Duration) -> Result<Self, SetupError> {
        Ok(Self {
            client: client()?,
            base: base.trim_end_matches('/').to_owned(),
            timeout,
        })
    }

    /// Reads what is at this path below the base URL.
    pub async fn get(&self, path: &str) -> Result<Page, CallError> {
        let url: Uri = format!("{}{path}", self.base)
            .parse()
            .map_err(|_| CallError::Unsendable { what: "URL" })?;
        let request = Request::get(url)
            .header(USER_AGENT, AGENT)
            .body(Full::default())
            .map_err(|_| CallError::Unsendable { what: "request" })?;
        let answer = async {
            let response = self.client.request(request).await;
            let response = response.map_err(|error| CallError::Transport {
                connected: !error.is_connect(),
                source: Box::new(error),
            })?;
            collected(response).await
        };
        let answer = tokio::time::timeout(self.timeout, answer).await;
        let (body, headers) = answer.map_err(|_| CallError::Timeout {
            after: self.timeout,
        })??;
        Ok(Page {
            body,
            date: date(&headers),
        })
    }
}

fn date(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(DATE)?.to_str().ok()?.to_owned())
}
