//! The client against a homeserver that answers as told.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod account;
mod closed;
mod events;
mod failures;
mod keys;
mod rooms;
mod sources;
mod table;

use std::time::Duration;

use serde_json::{Value, json};
use vestibule_appservice::intent::Homeserver;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const TOKEN: &str = "as-token-0123456789";
const GHOST: &str = "@_vestibule_1:example.org";
const BOT: &str = "@guestbot:example.org";
const HOST: &str = "@alice:example.org";
/// How a call says on whose behalf it is made.
const AS_GHOST: &str = "user_id=%40_vestibule_1%3Aexample.org";
const AS_BOT: &str = "user_id=%40guestbot%3Aexample.org";
const ROOM: &str = "!room:example.org";

/// A homeserver with one answer for everything.
async fn answering(answer: ResponseTemplate) -> (MockServer, Homeserver) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let homeserver = Homeserver::new(&server.uri(), TOKEN, Duration::from_secs(5)).unwrap();
    (server, homeserver)
}

async fn ok(body: Value) -> (MockServer, Homeserver) {
    answering(ResponseTemplate::new(200).set_body_json(body)).await
}

/// The one call that came.
async fn only(server: &MockServer) -> Request {
    let mut requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 1);
    requests.remove(0)
}

/// Method and path with query of the one call that came, which must bear the token.
async fn line(server: &MockServer) -> String {
    let request = only(server).await;
    assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}"));
    let query = request
        .url
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    format!("{} {}{query}", request.method, request.url.path())
}

/// The body of the one call that came.
async fn body(server: &MockServer) -> Value {
    let request = only(server).await;
    assert_eq!(request.headers["content-type"], "application/json");
    request.body_json().unwrap()
}

fn done() -> Value {
    json!({})
}
