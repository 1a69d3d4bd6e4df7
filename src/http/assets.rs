//! The page's files, embedded with brotli when the program was built, and what is served beside them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Read;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

use super::error::ApiError;

/// The file that lists the others, in the format of `sha256sum --check`.
pub const MANIFEST: &str = "manifest.sha256";
/// Who runs the bridge, from its configuration and so no part of the build.
pub const ORGANISATION: &str = "organisation.json";
/// The page itself, which is also served under the path of its folder.
pub const ENTRY: &str = "index.html";
/// How many hexadecimal digits of its digest a file has in its name when it never changes, and how
/// many of the manifest's digest are the build's id.
const SHORT: usize = 12;
/// How hard what is prepared at start is compressed: more saves nothing on a few kilobytes of JSON.
const QUALITY: i32 = 9;

/// One file as it was embedded.
pub struct Embedded {
    /// Its name, `index.html` for the root itself.
    pub path: &'static str,
    /// Its bytes, brotli.
    pub brotli: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// A file, ready to be served.
#[derive(Debug)]
pub struct Asset {
    path: Cow<'static, str>,
    content_type: &'static str,
    brotli: Bytes,
    /// Unpacked, for clients that don't take brotli: browsers leave it out over plain http.
    plain: Bytes,
    /// SHA-256 over the unpacked bytes, in hexadecimal.
    digest: String,
}

/// All files of the page, and what is prepared at start to be served beside them.
#[derive(Debug)]
pub struct Assets(Vec<Asset>);

impl Assets {
    /// Unpacks the embedded files once.
    pub fn load() -> std::io::Result<Self> {
        let unpack = |file: &'static Embedded| {
            let mut plain = Vec::new();
            brotli::Decompressor::new(file.brotli, 4096).read_to_end(&mut plain)?;
            let brotli = Bytes::from_static(file.brotli);
            Ok(Asset::new(file.path.into(), plain.into(), brotli))
        };
        let files = EMBEDDED.iter().map(unpack);
        files.collect::<std::io::Result<_>>().map(Self)
    }

    /// The same with one more file, which is no part of the build.
    pub fn with(mut self, path: &'static str, plain: Vec<u8>) -> std::io::Result<Self> {
        let mut packed = Vec::new();
        let parameters = brotli::enc::BrotliEncoderParams {
            quality: QUALITY,
            ..Default::default()
        };
        brotli::BrotliCompress(&mut plain.as_slice(), &mut packed, &parameters)?;
        self.0.retain(|asset| asset.path != path);
        self.0
            .push(Asset::new(path.into(), plain.into(), packed.into()));
        Ok(self)
    }

    /// Whether the program was built with the page.
    #[must_use]
    pub fn built(&self) -> bool {
        self.entry().is_some()
    }

    /// The page itself, unpacked; none when the program was built without it.
    #[must_use]
    pub fn entry(&self) -> Option<&Bytes> {
        self.find(ENTRY).map(|asset| &asset.plain)
    }

    /// Each file, those of the build in the order of their names.
    pub fn files(&self) -> impl Iterator<Item = &Asset> {
        self.0.iter()
    }

    /// The id of the build: the first 12 hexadecimal digits of SHA-256 over the list of files. None
    /// when the program was built without the page.
    #[must_use]
    pub fn build_id(&self) -> Option<&str> {
        self.find(MANIFEST)?.digest.get(..SHORT)
    }

    /// The file of this name.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Asset> {
        self.0.iter().find(|asset| asset.path == path)
    }

    /// Answers a GET for this path below the page's root.
    #[must_use]
    pub fn serve(&self, path: &str, request: &HeaderMap) -> Response {
        let path = if path.is_empty() { ENTRY } else { path };
        match self.find(path) {
            Some(asset) => asset.serve(request),
            None if path == ENTRY => not_built(),
            None => ApiError::not_found().into_response(),
        }
    }
}

impl Asset {
    fn new(path: Cow<'static, str>, plain: Bytes, brotli: Bytes) -> Self {
        Self {
            content_type: content_type(&path),
            digest: hex(&Sha256::digest(&plain)),
            path,
            brotli,
            plain,
        }
    }

    /// Its name.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its bytes, unpacked.
    #[must_use]
    pub fn plain(&self) -> &Bytes {
        &self.plain
    }

    /// The `Content-Type` under which it is served.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// SHA-256 over its unpacked bytes, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Its `Cache-Control`: a browser may keep it for ever when its name says what is in it, and else
    /// only as long as it asks each time.
    #[must_use]
    pub fn kept(&self) -> &'static str {
        let named = self.digest.get(..SHORT);
        if named.is_some_and(|digest| self.path.contains(&format!("-{digest}."))) {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        }
    }

    fn serve(&self, request: &HeaderMap) -> Response {
        let packed = takes_brotli(request);
        // Two forms of one file are two representations (RFC 9110, section 8.8.3.3).
        let tag = format!("\"{}{}\"", self.digest, if packed { "-br" } else { "" });
        let mut headers = HeaderMap::new();
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.kept()));
        if let Ok(value) = HeaderValue::try_from(&tag) {
            headers.insert(header::ETAG, value);
        }
        if has_already(request, &tag) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(self.content_type),
        );
        // A file is asked for as a whole: all of them together are smaller than one picture.
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
        if packed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
            (headers, self.brotli.clone()).into_response()
        } else {
            (headers, self.plain.clone()).into_response()
        }
    }
}

fn not_built() -> Response {
    let text = "This bridge was built without its page. Please build it with `cargo xtask page` and then `cargo build`.\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// The bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _never = write!(text, "{byte:02x}");
        text
    })
}

/// Whether the browser has this very form of the file: `If-None-Match`, compared weakly, because a
/// proxy may have weakened the tag (RFC 9110, section 13.1.2).
fn has_already(request: &HeaderMap, tag: &str) -> bool {
    elements(request, header::IF_NONE_MATCH)
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

fn takes_brotli(request: &HeaderMap) -> bool {
    elements(request, header::ACCEPT_ENCODING).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("br")
            && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

/// The elements of a header that is a list, over all its lines.
fn elements(request: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let lines = request.get_all(name).into_iter();
    lines
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webmanifest") => "application/manifest+json",
        Some("json") => "application/json",
        Some("txt" | "sha256") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeMap;

    use super::*;

    fn asset(path: &'static str, plain: &'static [u8]) -> Asset {
        Asset::new(
            path.into(),
            Bytes::from_static(plain),
            Bytes::from_static(b"packed"),
        )
    }

    fn asked(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::try_from(value).unwrap())])
    }

    /// What `cargo xtask page` listed is what is served, file by file.
    #[test]
    fn the_list_of_files_is_that_of_the_files() {
        let assets = Assets::load().unwrap();
        let Some(list) = assets.find(MANIFEST) else {
            assert!(!assets.built(), "a page comes with its list");
            return;
        };
        let text = std::str::from_utf8(&list.plain).unwrap();
        let listed: Vec<(&str, &str)> = text
            .lines()
            .map(|line| line.split_once("  ").unwrap())
            .map(|(digest, path)| (path, digest))
            .collect();
        assert!(listed.is_sorted(), "{text}");
        let served: BTreeMap<&str, &str> = assets
            .0
            .iter()
            .filter(|asset| asset.path != MANIFEST)
            .map(|asset| (&*asset.path, &*asset.digest))
            .collect();
        assert_eq!(listed.len(), served.len());
        assert_eq!(listed.into_iter().collect::<BTreeMap<_, _>>(), served);
        assert!(text.ends_with('\n') && text.contains("  index.html\n"));
        assert_eq!(assets.build_id(), list.digest.get(..12));
    }

    #[test]
    fn every_file_of_the_build_has_a_type_of_its_own() {
        let assets = Assets::load().unwrap();
        for file in assets.files() {
            assert_ne!(file.content_type, "application/octet-stream", "{file:?}");
        }
        let types = ["js", "css", "svg", "png", "webmanifest", "wasm", "json"];
        let types = types.map(|ending| content_type(&format!("a-0.{ending}")));
        assert_eq!(
            types,
            [
                "text/javascript; charset=utf-8",
                "text/css; charset=utf-8",
                "image/svg+xml",
                "image/png",
                "application/manifest+json",
                "application/wasm",
                "application/json"
            ]
        );
    }

    /// Only a name that says what is in the file lets it be kept for ever.
    #[test]
    fn a_file_is_kept_for_ever_only_under_the_digest_of_its_bytes() {
        // SHA-256 of "abc", of the standard's own example.
        for (path, kept) in [
            (
                "main-ba7816bf8f01.js",
                "public, max-age=31536000, immutable",
            ),
            ("main-ba7816bf8f02.js", "no-cache"),
            ("main-ba7816bf8f0.js", "no-cache"),
            ("ba7816bf8f01.js", "no-cache"),
            ("index.html", "no-cache"),
            ("page.webmanifest", "no-cache"),
        ] {
            assert_eq!(asset(path, b"abc").kept(), kept, "{path}");
        }
    }

    #[test]
    fn who_has_a_file_is_sent_nothing() {
        let asset = asset("index.html", b"abc");
        let tag = format!("\"{}\"", asset.digest);
        let packed = format!("\"{}-br\"", asset.digest);
        let others = format!("\"x\", W/{tag} , \"y\"");
        for (known, status) in [
            (tag.as_str(), 304),
            (others.as_str(), 304),
            ("*", 304),
            (packed.as_str(), 200),
            ("\"\"", 200),
            ("", 200),
            ("ba7816bf", 200),
        ] {
            let answer = asset.serve(&asked(header::IF_NONE_MATCH, known));
            assert_eq!(answer.status().as_u16(), status, "{known}");
            assert_eq!(answer.headers().get(header::ETAG).unwrap(), &tag, "{known}");
            assert_eq!(
                answer.headers().get(header::CACHE_CONTROL).unwrap(),
                "no-cache"
            );
            let typed = answer.headers().contains_key(header::CONTENT_TYPE);
            assert_eq!(typed, status == 200, "{known}");
        }
        let mut request = asked(header::IF_NONE_MATCH, &packed);
        request.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("br"));
        assert_eq!(asset.serve(&request).status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn what_is_prepared_at_start_is_packed_too() {
        let assets = Assets(Vec::new());
        let assets = assets.with(ORGANISATION, b"{}".to_vec()).unwrap();
        let asset = assets.find(ORGANISATION).unwrap();
        let mut plain = Vec::new();
        brotli::Decompressor::new(&asset.brotli[..], 4096)
            .read_to_end(&mut plain)
            .unwrap();
        assert_eq!((plain.as_slice(), asset.kept()), (&b"{}"[..], "no-cache"));
        assert_eq!((assets.built(), assets.build_id()), (false, None));
    }
}
