//! The headers that keep a browser from doing anything but showing the page.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Nothing of the answer may be kept.
pub const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What the page may not ask a browser for: everything that Chromium and Firefox know by name, but for
/// sound, the clipboard, sharing and the whole screen. A name that a browser doesn't know makes it complain.
const FORBIDDEN: [&str; 27] = [
    "accelerometer",
    "bluetooth",
    "camera",
    "clipboard-read",
    "display-capture",
    "encrypted-media",
    "gamepad",
    "geolocation",
    "gyroscope",
    "hid",
    "identity-credentials-get",
    "idle-detection",
    "local-fonts",
    "magnetometer",
    "microphone",
    "midi",
    "otp-credentials",
    "payment",
    "picture-in-picture",
    "publickey-credentials-get",
    "screen-wake-lock",
    "serial",
    "storage-access",
    "sync-xhr",
    "usb",
    "window-management",
    "xr-spatial-tracking",
];

/// The security headers for a page of this origin.
pub fn security(origin: &str) -> Result<HeaderMap, http::Error> {
    let socket = origin.replacen("http", "ws", 1);
    // `'self'` covers the socket only in newer browsers, so its origin is named too. A worker would be
    // allowed by `script-src` unless it is named, and a service worker could keep an old page alive.
    let policy = format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; \
         connect-src 'self' {socket}; manifest-src 'self'; worker-src 'none'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    );
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::try_from(policy)?,
    );
    let fixed = [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
        ("origin-agent-cluster", "?1"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-dns-prefetch-control", "off"),
        ("x-frame-options", "DENY"),
        ("x-robots-tag", "noindex, nofollow"),
    ];
    for (name, value) in fixed {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    let forbidden = FORBIDDEN.map(|name| format!("{name}=()")).join(", ");
    headers.insert(
        HeaderName::from_static("permissions-policy"),
        HeaderValue::try_from(forbidden)?,
    );
    if origin.starts_with("https://") {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
    Ok(headers)
}
