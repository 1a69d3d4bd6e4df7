#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{HandlerError, HandlerFuture, LARGEST, TransactionHandler, router};
use crate::transaction::Transaction;

const TOKEN: &str = "hs-token-0123456789";
const V1: &str = "/_matrix/app/v1";

/// Remembers what came, and answers as told.
struct Memory {
    taken: Mutex<Vec<Transaction>>,
    answer: Result<(), HandlerError>,
}

impl TransactionHandler for Memory {
    fn handle(&self, transaction: Transaction) -> HandlerFuture<'_> {
        Box::pin(async move {
            // The answer must wait for this.
            tokio::task::yield_now().await;
            self.taken.lock().unwrap().push(transaction);
            self.answer
        })
    }
}

fn memory(answer: Result<(), HandlerError>) -> (Arc<Memory>, Router) {
    let memory = Arc::new(Memory {
        taken: Mutex::default(),
        answer,
    });
    (Arc::clone(&memory), router(TOKEN, memory))
}

async fn call(router: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

fn request(method: &str, path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    request.body(body.into()).unwrap()
}

#[tokio::test]
async fn a_transaction_is_taken_then_answered() {
    let (memory, router) = memory(Ok(()));
    for path in [
        format!("{V1}/transactions/a%2Fb"),
        "/transactions/a%2Fb".to_owned(),
    ] {
        let body = json!({ "events": [{ "room_id": "!r", "event_id": "$e", "sender": "@a:b", "type": "t" }] });
        let answer = call(&router, request("PUT", &path, body.to_string())).await;
        assert_eq!(answer, (StatusCode::OK, json!({})));
        let taken = memory.taken.lock().unwrap().pop().unwrap();
        assert_eq!((taken.id.as_str(), taken.events.len()), ("a/b", 1));
    }
}

#[tokio::test]
async fn what_is_not_stored_is_not_acknowledged() {
    let (memory, router) = memory(Err(HandlerError::Unavailable));
    let (status, body) = call(
        &router,
        request("PUT", &format!("{V1}/transactions/1"), "{}"),
    )
    .await;
    assert_eq!(
        (status, &body["errcode"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("M_UNKNOWN"))
    );
    assert_eq!(memory.taken.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_transaction_never_reaches_the_handler() {
    let (memory, router) = memory(Ok(()));
    let cases = [
        ("", "M_NOT_JSON"),
        ("{", "M_NOT_JSON"),
        ("[]", "M_BAD_JSON"),
        (r#"{"events":1}"#, "M_BAD_JSON"),
    ];
    for (text, errcode) in cases {
        let (status, body) = call(
            &router,
            request("PUT", &format!("{V1}/transactions/1"), text),
        )
        .await;
        assert_eq!(
            (status, &body["errcode"]),
            (StatusCode::BAD_REQUEST, &json!(errcode)),
            "{text}"
        );
    }
    let (status, body) = call(
        &router,
        request("PUT", &format!("{V1}/transactions/%ff"), "{}"),
    )
    .await;
    assert_eq!(
        (status, &body["errcode"]),
        (StatusCode::BAD_REQUEST, &json!("M_INVALID_PARAM"))
    );
    assert!(memory.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn size_has_a_limit_above_what_homeservers_send() {
    let (memory, router) = memory(Ok(()));
    let padded = |length: usize| format!("{{\"x\":\"{}\"}}", "x".repeat(length - 8));
    let (status, body) = call(
        &router,
        request("PUT", &format!("{V1}/transactions/1"), padded(LARGEST + 1)),
    )
    .await;
    assert_eq!(
        (status, &body["errcode"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("M_TOO_LARGE"))
    );
    assert!(memory.taken.lock().unwrap().is_empty());
    let (status, _) = call(
        &router,
        request("PUT", &format!("{V1}/transactions/1"), padded(LARGEST)),
    )
    .await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn questions_are_answered() {
    let (_, router) = memory(Ok(()));
    let ping = call(
        &router,
        request("POST", &format!("{V1}/ping"), r#"{"transaction_id":"x"}"#),
    )
    .await;
    assert_eq!(ping, (StatusCode::OK, json!({})));
    for path in ["/users/@x:example.org", "/rooms/%23alias:example.org"] {
        for prefix in [V1, ""] {
            let (status, body) =
                call(&router, request("GET", &format!("{prefix}{path}"), "")).await;
            assert_eq!(
                (status, &body["errcode"]),
                (StatusCode::NOT_FOUND, &json!("M_NOT_FOUND")),
                "{prefix}{path}"
            );
        }
    }
    let (status, body) = call(
        &router,
        request("GET", &format!("{V1}/thirdparty/protocol/x"), ""),
    )
    .await;
    assert_eq!(
        (status, &body["errcode"]),
        (StatusCode::NOT_FOUND, &json!("M_UNRECOGNIZED"))
    );
    let (status, body) = call(
        &router,
        request("POST", &format!("{V1}/transactions/1"), "{}"),
    )
    .await;
    assert_eq!(
        (status, &body["errcode"]),
        (StatusCode::METHOD_NOT_ALLOWED, &json!("M_UNRECOGNIZED"))
    );
}

/// Every route, and what is none.
const ROUTES: [(&str, &str); 9] = [
    ("PUT", "/_matrix/app/v1/transactions/1"),
    ("PUT", "/transactions/1"),
    ("POST", "/_matrix/app/v1/ping"),
    ("GET", "/_matrix/app/v1/users/@x:example.org"),
    ("GET", "/users/@x:example.org"),
    ("GET", "/_matrix/app/v1/rooms/%23x:example.org"),
    ("GET", "/rooms/%23x:example.org"),
    ("GET", "/nothing"),
    ("DELETE", "/_matrix/app/v1/ping"),
];

#[tokio::test]
async fn nothing_is_open_without_the_token() {
    let (memory, router) = memory(Ok(()));
    for (method, path) in ROUTES {
        let bare = Request::builder().method(method).uri(path);
        let missing = [
            bare,
            Request::builder()
                .method(method)
                .uri(path)
                .header(header::AUTHORIZATION, format!("Basic {TOKEN}")),
            Request::builder()
                .method(method)
                .uri(path)
                .header(header::AUTHORIZATION, b"\xff".as_slice()),
        ];
        for request in missing {
            let (status, body) = call(&router, request.body(Body::from("{}")).unwrap()).await;
            assert_eq!(
                (status, &body["errcode"]),
                (StatusCode::UNAUTHORIZED, &json!("M_UNAUTHORIZED")),
                "{method} {path}"
            );
        }
        for wrong in ["", "x", "hs-token-012345678", "hs-token-01234567890"] {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(header::AUTHORIZATION, format!("Bearer {wrong}"));
            let (status, body) = call(&router, request.body(Body::from("{}")).unwrap()).await;
            assert_eq!(
                (status, &body["errcode"]),
                (StatusCode::FORBIDDEN, &json!("M_FORBIDDEN")),
                "{method} {path} {wrong}"
            );
        }
        let in_query = Request::builder()
            .method(method)
            .uri(format!("{path}?access_token=wrong"));
        assert_eq!(
            call(&router, in_query.body(Body::from("{}")).unwrap())
                .await
                .0,
            StatusCode::FORBIDDEN
        );
    }
    assert!(memory.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_token_may_stand_in_the_query() {
    let (memory, router) = memory(Ok(()));
    let request = Request::builder()
        .method("PUT")
        .uri(format!("/transactions/1?access_token={TOKEN}"));
    assert_eq!(
        call(&router, request.body(Body::from("{}")).unwrap())
            .await
            .0,
        StatusCode::OK
    );
    assert_eq!(memory.taken.lock().unwrap().len(), 1);
}
