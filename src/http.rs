//! What guests reach: the page, two requests and the socket.

pub mod asked;
pub mod assets;
mod chat;
mod closing;
pub mod crowd;
mod error;
mod greet;
pub mod headers;
mod join;
mod link;
mod relay;
mod socket;
pub mod visitor;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::app::App;
use error::ApiError;

/// The largest body that is read: 50 one-time keys take 15 KiB.
const BODY: usize = 128 * 1024;

/// Everything under the path of the public URL, and the same at the root, so that it makes no
/// difference whether a proxy in front takes the path away.
pub fn router(app: &Arc<App>) -> Router {
    let prefix = app.guests.prefix.clone();
    let mut router = routes();
    if !prefix.is_empty() {
        // Without the slash at its end the page's relative paths would lead beside it.
        let with_slash = format!("{prefix}/");
        router = router
            .route(
                &prefix,
                get(move || async move {
                    (
                        StatusCode::PERMANENT_REDIRECT,
                        [(header::LOCATION, with_slash)],
                    )
                })
                .fallback(async || ApiError::not_found()),
            )
            .nest(&format!("{prefix}/"), routes());
    }
    router
        .fallback(async || ApiError::not_found())
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn_with_state(Arc::clone(app), secured))
        .with_state(Arc::clone(app))
}

fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(index))
        .route("/{file}", get(file))
        .route("/api/v1/link", post(link::look))
        .route("/api/v1/join", post(join::join))
        .route("/api/v1/socket", get(socket::open))
        .method_not_allowed_fallback(async || ApiError::not_found())
}

async fn index(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    app.assets.serve("", &headers)
}

async fn file(
    State(app): State<Arc<App>>,
    file: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    // A path that is no text names no file.
    match file {
        Ok(Path(file)) => app.assets.serve(&file, &headers),
        Err(_) => ApiError::not_found().into_response(),
    }
}

/// Puts the security headers on every answer, errors included.
async fn secured(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await.into_response();
    for (name, value) in &app.guests.headers {
        response.headers_mut().insert(name, value.clone());
    }
    // Answers of the API tell of one link; only the page's files may be kept.
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(headers::NO_STORE);
    response
}

/// What the listener for guests needs of the public URL.
#[derive(Debug)]
pub struct GuestSide {
    /// Scheme, host and port, as browsers send it in `Origin`.
    pub origin: String,
    /// The path without a slash at its end; empty for the root.
    pub prefix: String,
    /// The security headers.
    pub headers: HeaderMap,
}

impl GuestSide {
    /// Takes the public URL apart.
    pub fn new(public_url: &str) -> Result<Self, http::Error> {
        let uri: http::Uri = public_url.parse()?;
        let scheme = uri.scheme_str().unwrap_or("https");
        let host = uri.host().unwrap_or_default().to_ascii_lowercase();
        let port = match (scheme, uri.port_u16()) {
            (_, None) | ("https", Some(443)) | ("http", Some(80)) => String::new(),
            (_, Some(port)) => format!(":{port}"),
        };
        let origin = format!("{scheme}://{host}{port}");
        let headers = headers::security(&origin)?;
        Ok(Self {
            origin,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            headers,
        })
    }
}
