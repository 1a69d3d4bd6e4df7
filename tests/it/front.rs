//! A site in front of the bridge that changes what passes, as a proxy could.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::bridge::Setup;
use crate::web::{Answer, Web};
use crate::world::World;

/// A certificate for localhost that signs itself and that nobody trusts; it is good until 2120.
pub const CERTIFICATE: &str = include_str!("tls/localhost.crt");
const KEY: &str = include_str!("tls/localhost.key");

/// What becomes of an answer: path, whether it is asked for with brotli, and the bridge's answer.
type Change = dyn Fn(&str, bool, &mut Answer) + Send + Sync;

/// How the site misbehaves.
#[derive(Clone)]
pub struct Front {
    change: Arc<Change>,
    /// How long each answer is held back.
    pub delay: Duration,
    bridge: String,
    web: Web,
}

/// A bridge and a site in front of it whose address is the bridge's public one.
pub async fn site(
    change: impl Fn(&str, bool, &mut Answer) + Send + Sync + 'static,
    delay: Duration,
) -> (World, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let world = World::with(&Setup {
        public_url: Box::leak(url.clone().into_boxed_str()),
        ..Setup::default()
    })
    .await;
    let front = Front {
        change: Arc::new(change),
        delay,
        bridge: world.bridge.url(""),
        web: Web::new(),
    };
    let router = Router::new().fallback(pass).with_state(front);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (world, url)
}

/// A bridge behind TLS on localhost.
pub async fn site_with_tls() -> (World, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}",
        listener.local_addr().unwrap().port()
    );
    let world = World::with(&Setup {
        public_url: Box::leak(url.clone().into_boxed_str()),
        ..Setup::default()
    })
    .await;
    let provider = tokio_rustls::rustls::crypto::ring::default_provider();
    let config = ServerConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let bridge = world.bridge.guests();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Whoever doesn't trust the certificate leaves in the middle.
                let mut outside = acceptor.accept(stream).await?;
                let mut inside = TcpStream::connect(bridge).await?;
                tokio::io::copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    });
    (world, url)
}

async fn pass(State(front): State<Front>, request: Request) -> Response {
    tokio::time::sleep(front.delay).await;
    let path = request.uri().path().to_owned();
    let coding = request.headers().get("accept-encoding");
    let coding = coding.map_or("", |value| value.to_str().unwrap());
    let url = format!("{}{path}", front.bridge);
    let headers = [("accept-encoding", coding)];
    let method = request.method().as_str();
    let mut answer = front.web.ask(method, &url, &headers, "").await;
    answer.headers.remove("content-length");
    (front.change)(&path, coding == "br", &mut answer);
    let status = http::StatusCode::from_u16(answer.status).unwrap();
    (status, answer.headers, Body::from(answer.body)).into_response()
}
