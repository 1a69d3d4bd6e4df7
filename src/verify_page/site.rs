//! The site that is looked at: one address, over TLS, and never any other.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout_at};

use crate::clock::monotonic;
use crate::http::GuestSide;

/// By how much an answer may be longer than our own file while it is still read: what is packed can be
/// a little longer than what isn't.
const SLACK: usize = 4096;

/// What is waited for and read at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For one answer, to its end.
    pub answer: Duration,
    /// For all of them.
    pub all: Duration,
    /// The longest answer that isn't compared byte by byte, in bytes.
    pub list: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(20),
            all: Duration::from_secs(180),
            list: 1024 * 1024,
        }
    }
}

/// Why a site can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The address isn't one that can be looked at.
    #[error(
        "the address must be one such as https://chat.example.org, without a name before the host and without ?; http is \
         for this machine alone"
    )]
    Address,
    /// The file with certificates can't be used.
    #[error("the certificates in {} can't be used: {problem}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// TLS can't be set up.
    #[error("TLS can't be set up")]
    Tls(#[from] rustls::Error),
}

/// Why an answer could not be read.
#[derive(Debug)]
pub enum Unread {
    /// No connection, or it broke.
    Failed(String),
    /// It took longer than this.
    Slow(Duration),
    /// All of it took too long.
    TimeIsUp,
    /// It is longer than ours.
    Long,
    /// It is packed in a way that was not asked for, or doesn't unpack.
    Packed,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => write!(f, "can't be fetched: {why}"),
            Self::Slow(limit) => write!(f, "was not there within {limit:?}"),
            Self::TimeIsUp => f.write_str("was not looked at any more: all of it took too long"),
            Self::Long => f.write_str("is longer than ours"),
            Self::Packed => {
                f.write_str("is packed in a way that was not asked for, or does not unpack")
            }
        }
    }
}

/// In which form a file is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// As it is.
    Plain,
    /// As browsers ask.
    Brotli,
}

/// An answer, unpacked.
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The site.
pub struct Site {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    /// With a slash at its end.
    base: String,
    headers: HeaderMap,
    limits: Limits,
    end: Instant,
}

impl Site {
    /// The site at this address. Certificates are checked against those in the file `ca`, or else
    /// against those that browsers trust. The time for all of it begins now.
    pub fn new(url: &str, ca: Option<&Path>, limits: Limits) -> Result<Self, SiteError> {
        // Who pastes a whole link gives its token too: what stands after # is neither kept nor sent.
        let uri: Uri = url.parse().map_err(|_| SiteError::Address)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(SiteError::Address);
        };
        let reachable = match scheme {
            "https" => true,
            "http" => is_this_machine(authority.host()),
            _ => false,
        };
        if !reachable
            || authority.host().is_empty()
            || authority.as_str().contains('@')
            || uri.query().is_some()
        {
            return Err(SiteError::Address);
        }
        let base = format!(
            "{scheme}://{authority}{}/",
            uri.path().trim_end_matches('/')
        );
        let side = GuestSide::new(&base).map_err(|_| SiteError::Address)?;
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector(ca)?),
            base,
            headers: side.headers,
            limits,
            end: monotonic() + limits.all,
        })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The headers that every answer should carry.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Fetches what is at this path, at most so many bytes. Redirects are answers like others.
    pub(super) async fn get(
        &self,
        path: &str,
        packing: Packing,
        most: usize,
    ) -> Result<Got, Unread> {
        let now = monotonic();
        if now >= self.end {
            return Err(Unread::TimeIsUp);
        }
        let end = self.end.min(now + self.limits.answer);
        let got = timeout_at(end, self.fetch(path, packing, most)).await;
        got.map_err(|_| Unread::Slow(end - now))?
    }

    async fn fetch(&self, path: &str, packing: Packing, most: usize) -> Result<Got, Unread> {
        let coding = match packing {
            Packing::Plain => "identity",
            Packing::Brotli => "br",
        };
        let agent = concat!("vestibule/", env!("CARGO_PKG_VERSION"));
        let request = Request::get(format!("{}{path}", self.base))
            .header(header::ACCEPT, "*/*")
            .header(header::ACCEPT_ENCODING, coding)
            .header(header::USER_AGENT, agent)
            .body(Empty::new())
            .map_err(|error| Unread::Failed(error.to_string()))?;
        let answer = self.client.request(request).await;
        let (head, body) = answer
            .map_err(|error| Unread::Failed(in_words(&error)))?
            .into_parts();
        let body = Limited::new(body, most.saturating_add(SLACK))
            .collect()
            .await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Unread::Long
            } else {
                Unread::Failed(in_words(error.as_ref()))
            }
        })?;
        let body = body.to_bytes();
        let packed = match head.headers.get(header::CONTENT_ENCODING) {
            None => false,
            Some(coding) if coding == "identity" => false,
            Some(coding) if coding == "br" && packing == Packing::Brotli => true,
            Some(_) => return Err(Unread::Packed),
        };
        Ok(Got {
            status: head.status,
            body: if packed { unpacked(&body, most)? } else { body },
            headers: head.headers,
        })
    }
}

/// Unpacks a little more than is wanted at most, which is enough to see that it is too much.
fn unpacked(packed: &Bytes, most: usize) -> Result<Bytes, Unread> {
    let mut plain = Vec::new();
    let limit = u64::try_from(most.saturating_add(SLACK)).unwrap_or(u64::MAX);
    brotli::Decompressor::new(&packed[..], 4096)
        .take(limit)
        .read_to_end(&mut plain)
        .map_err(|_| Unread::Packed)?;
    Ok(plain.into())
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address: Result<std::net::IpAddr, _> = bare.parse();
    address.map_or(host.eq_ignore_ascii_case("localhost"), |address| {
        address.is_loopback()
    })
}

fn connector(ca: Option<&Path>) -> Result<HttpsConnector<HttpConnector>, SiteError> {
    let provider = rustls::crypto::ring::default_provider();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    let builder = HttpsConnectorBuilder::new();
    let builder = match ca {
        None => builder.with_provider_and_webpki_roots(provider)?,
        Some(path) => {
            let config = ClientConfig::builder_with_provider(provider.into())
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots(path)?)
                .with_no_client_auth();
            builder.with_tls_config(config)
        }
    };
    Ok(builder.https_or_http().enable_http1().wrap_connector(http))
}

fn roots(path: &Path) -> Result<RootCertStore, SiteError> {
    let unusable = |problem: String| SiteError::Certificates {
        path: path.to_owned(),
        problem,
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path);
    for certificate in certificates.map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        let added = roots.add(certificate);
        added.map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("there are none in it".to_owned()));
    }
    Ok(roots)
}

/// The error and what lies under it.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_addresses_that_nobody_can_listen_to_are_looked_at() {
        for (url, base) in [
            ("https://chat.example.org", "https://chat.example.org/"),
            ("https://chat.example.org/", "https://chat.example.org/"),
            (
                "https://example.org:8443/guest",
                "https://example.org:8443/guest/",
            ),
            ("https://example.org/guest//", "https://example.org/guest/"),
            ("http://localhost:8080/", "http://localhost:8080/"),
            ("http://127.0.0.2", "http://127.0.0.2/"),
            ("http://[::1]:80/a", "http://[::1]:80/a/"),
            // A whole link: its token stays here.
            (
                "https://chat.example.org/#0123456789abcdefghjkmnpqrs",
                "https://chat.example.org/",
            ),
            (
                "https://chat.example.org#0123456789abcdefghjkmnpqrs",
                "https://chat.example.org/",
            ),
        ] {
            let site = Site::new(url, None, Limits::default());
            assert_eq!(site.unwrap().base(), base, "{url}");
        }
        for url in [
            "",
            "chat.example.org",
            "/guest",
            "http://chat.example.org",
            "http://127.0.0.1.example.org",
            "http://localhost.example.org",
            "ftp://localhost",
            "https://",
            "https://chat.example.org@evil.example",
            "https://chat.example.org/?a",
        ] {
            let site = Site::new(url, None, Limits::default());
            assert!(matches!(site, Err(SiteError::Address)), "{url}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path(), Path::new("/nowhere/ca.pem")] {
            let error = Site::new("https://localhost", Some(path), Limits::default())
                .err()
                .unwrap();
            let said = error.to_string();
            assert!(said.contains(&path.display().to_string()), "{said}");
        }
    }

    #[test]
    fn what_unpacks_to_endless_bytes_is_cut() {
        let mut packed = Vec::new();
        let zeros = vec![0u8; 10_000_000];
        brotli::BrotliCompress(&mut zeros.as_slice(), &mut packed, &Default::default()).unwrap();
        assert!(packed.len() < 1000);
        let plain = unpacked(&packed.into(), 10).unwrap();
        assert_eq!(plain.len(), 10 + SLACK);
        let nonsense = Bytes::from_static(b"no brotli at all");
        assert!(matches!(unpacked(&nonsense, 10), Err(Unread::Packed)));
    }
}
