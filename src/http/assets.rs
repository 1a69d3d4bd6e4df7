//! The page's files, embedded with brotli when the program was built.

use std::io::Read;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::ApiError;

/// One file as it was embedded.
pub struct Embedded {
    /// Its path below the page's root, `index.html` for the root itself.
    pub path: &'static str,
    /// Its bytes, brotli.
    pub brotli: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// A file, ready to be served.
struct Asset {
    path: &'static str,
    content_type: &'static str,
    brotli: &'static [u8],
    /// Unpacked, for clients that don't take brotli: browsers leave it out over plain http.
    plain: Bytes,
}

/// All files of the page.
pub struct Assets(Vec<Asset>);

impl Assets {
    /// Unpacks the embedded files once.
    pub fn load() -> std::io::Result<Self> {
        let unpack = |file: &'static Embedded| {
            let mut plain = Vec::new();
            brotli::Decompressor::new(file.brotli, 4096).read_to_end(&mut plain)?;
            Ok(Asset {
                path: file.path,
                content_type: content_type(file.path),
                brotli: file.brotli,
                plain: plain.into(),
            })
        };
        EMBEDDED
            .iter()
            .map(unpack)
            .collect::<std::io::Result<_>>()
            .map(Self)
    }

    /// Whether the program was built with the page.
    #[must_use]
    pub fn built(&self) -> bool {
        self.0.iter().any(|asset| asset.path == "index.html")
    }

    /// The page itself, unpacked; none when the program was built without it.
    #[must_use]
    pub fn entry(&self) -> Option<&Bytes> {
        let entry = self.0.iter().find(|asset| asset.path == "index.html");
        entry.map(|asset| &asset.plain)
    }

    /// Answers a GET for this path below the page's root.
    #[must_use]
    pub fn serve(&self, path: &str, request: &HeaderMap) -> Response {
        let path = if path.is_empty() { "index.html" } else { path };
        let Some(asset) = self.0.iter().find(|asset| asset.path == path) else {
            return if path == "index.html" {
                not_built()
            } else {
                ApiError::not_found().into_response()
            };
        };
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(asset.content_type),
        );
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        // Every file but the entry carries a hash in its name, so it never changes.
        let cache = if path == "index.html" {
            "no-cache"
        } else {
            "public, max-age=31536000, immutable"
        };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        if takes_brotli(request) {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
            (headers, Bytes::from_static(asset.brotli)).into_response()
        } else {
            (headers, asset.plain.clone()).into_response()
        }
    }
}

fn not_built() -> Response {
    let text = "This bridge was built without its page. Please build it with `cargo xtask page` and then `cargo build`.\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

fn takes_brotli(request: &HeaderMap) -> bool {
    let lists = request
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("br")
            && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("json" | "webmanifest") => "application/json",
        Some("txt" | "sha256") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
