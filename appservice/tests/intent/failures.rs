//! What calls make of errors, silence and nonsense.

use std::time::Duration;

use serde_json::json;
use vestibule_appservice::error::{CallError, CallErrorKind, SetupError};
use vestibule_appservice::intent::Homeserver;
use wiremock::ResponseTemplate;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer};

use super::{BOT, GHOST, HOST, ROOM, TOKEN, answering, done, ok};

fn refused(errcode: &str) -> CallErrorKind {
    CallErrorKind::Refused {
        errcode: errcode.to_owned(),
    }
}

fn later(milliseconds: Option<u64>) -> CallErrorKind {
    CallErrorKind::Later {
        after: milliseconds.map(Duration::from_millis),
    }
}

async fn failure(answer: ResponseTemplate) -> CallError {
    let (_server, homeserver) = answering(answer).await;
    homeserver.as_user(GHOST).join(ROOM).await.unwrap_err()
}

#[tokio::test]
async fn a_rate_limit_tells_when() {
    let limited = || ResponseTemplate::new(429);
    let body =
        json!({ "errcode": "M_LIMIT_EXCEEDED", "error": "Too many", "retry_after_ms": 1500 });
    assert_eq!(
        failure(limited().set_body_json(&body)).await.kind(),
        later(Some(1500))
    );
    let fraction = json!({ "errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1500.5 });
    assert_eq!(
        failure(limited().set_body_json(&fraction)).await.kind(),
        CallErrorKind::Later {
            after: Some(Duration::from_micros(1_500_500))
        }
    );
    assert_eq!(
        failure(limited().insert_header("retry-after", "7"))
            .await
            .kind(),
        later(Some(7000))
    );
    assert_eq!(
        failure(limited().insert_header("retry-after", "soon"))
            .await
            .kind(),
        later(None)
    );
    let negative = json!({ "errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": -1 });
    assert_eq!(
        failure(limited().set_body_json(&negative)).await.kind(),
        later(None)
    );
    let for_ever = json!({ "errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1e15 });
    assert_eq!(
        failure(limited().set_body_json(&for_ever)).await.kind(),
        later(Some(3_600_000))
    );
}

#[tokio::test]
async fn trouble_passes() {
    for status in [500, 502, 503, 504, 408, 307] {
        let kind = failure(ResponseTemplate::new(status).set_body_string("<html>"))
            .await
            .kind();
        assert_eq!(kind, later(None), "{status}");
    }
}

#[tokio::test]
async fn a_refusal_keeps_its_code() {
    let answer = |status: u16, code: &str| {
        ResponseTemplate::new(status).set_body_json(json!({ "errcode": code, "error": "No" }))
    };
    assert_eq!(
        failure(answer(403, "M_FORBIDDEN")).await.kind(),
        refused("M_FORBIDDEN")
    );
    assert_eq!(
        failure(answer(400, "ORG.EXAMPLE_ODD-1")).await.kind(),
        refused("ORG.EXAMPLE_ODD-1")
    );
    assert_eq!(
        failure(answer(401, "M_UNKNOWN_TOKEN")).await.kind(),
        CallErrorKind::Unauthorized
    );
    // Neither a proxy's page nor anything that would spoil a log line.
    assert_eq!(
        failure(ResponseTemplate::new(404).set_body_string("<html>"))
            .await
            .kind(),
        refused("HTTP_404")
    );
    for odd in ["", "M_X\nfake line", "M X", &"M".repeat(101)] {
        assert_eq!(
            failure(answer(403, odd)).await.kind(),
            refused("HTTP_403"),
            "{odd}"
        );
    }
    let interactive = json!({ "flows": [{ "stages": ["m.login.password"] }], "session": "x" });
    assert_eq!(
        failure(ResponseTemplate::new(401).set_body_json(interactive))
            .await
            .kind(),
        refused("HTTP_401")
    );
}

#[tokio::test]
async fn a_name_that_is_taken_is_told_apart() {
    let taken = json!({ "errcode": "M_USER_IN_USE", "error": "User ID already taken." });
    let (_server, homeserver) = answering(ResponseTemplate::new(400).set_body_json(taken)).await;
    assert_eq!(
        homeserver
            .register("_vestibule_1")
            .await
            .unwrap_err()
            .errcode(),
        Some("M_USER_IN_USE")
    );
}

#[tokio::test]
async fn nobody_there_has_no_name_but_a_refusal_stays_one() {
    let absent = json!({ "errcode": "M_NOT_FOUND", "error": "Profile was not found" });
    let (_server, homeserver) = answering(ResponseTemplate::new(404).set_body_json(absent)).await;
    assert_eq!(
        homeserver.as_user(BOT).display_name(HOST).await.unwrap(),
        None
    );
    let (_server, homeserver) = answering(ResponseTemplate::new(404)).await;
    assert_eq!(
        homeserver
            .as_user(BOT)
            .display_name(HOST)
            .await
            .unwrap_err()
            .kind(),
        refused("HTTP_404")
    );
}

#[tokio::test]
async fn a_signature_that_is_not_taken_is_a_refusal() {
    let failures = json!({ "failures": { GHOST: { "B": { "errcode": "M_INVALID_SIGNATURE", "message": "400: Invalid" } } } });
    let (_server, homeserver) = ok(failures).await;
    let error = homeserver
        .as_user(GHOST)
        .upload_signatures(&json!({ GHOST: {} }))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), refused("M_INVALID_SIGNATURE"));
    let (_server, homeserver) = ok(json!({ "failures": { GHOST: { "B": {} } } })).await;
    let error = homeserver
        .as_user(GHOST)
        .upload_signatures(&json!({ GHOST: {} }))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), refused("M_UNKNOWN"));
}

#[tokio::test]
async fn a_success_that_does_not_read_is_none() {
    for text in ["<html>welcome</html>", "", "{}", "[1]", "{\"room_id\":5}"] {
        let (_server, homeserver) =
            answering(ResponseTemplate::new(200).set_body_string(text)).await;
        let error = homeserver
            .as_user(BOT)
            .create_room(&done())
            .await
            .unwrap_err();
        assert!(matches!(error, CallError::Malformed { .. }), "{text}");
        assert_eq!(error.kind(), later(None));
    }
    let (_server, homeserver) =
        answering(ResponseTemplate::new(200).set_body_string("<html>")).await;
    assert!(homeserver.as_user(GHOST).leave(ROOM, None).await.is_err());
}

#[tokio::test]
async fn silence_ends() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(30));
    Mock::given(any()).respond_with(slow).mount(&server).await;
    let homeserver = Homeserver::new(&server.uri(), TOKEN, Duration::from_millis(50)).unwrap();
    let error = homeserver.as_user(BOT).whoami().await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { .. }));
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (later(None), "no answer came within 0.05 s")
    );
}

#[tokio::test]
async fn a_closed_port_passes() {
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let homeserver =
        Homeserver::new(&format!("http://{address}"), TOKEN, Duration::from_secs(5)).unwrap();
    let error = homeserver.as_user(BOT).whoami().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (later(None), "no connection could be made")
    );
}

#[tokio::test]
async fn a_connection_that_breaks_off_may_have_had_its_effect() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let _request = stream.read(&mut [0; 4096]).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
            .await
            .unwrap();
    });
    let homeserver =
        Homeserver::new(&format!("http://{address}"), TOKEN, Duration::from_secs(5)).unwrap();
    let error = homeserver
        .as_user(BOT)
        .create_room(&done())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            CallError::Transport {
                connected: true,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.kind(), later(None));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let huge = ResponseTemplate::new(200).set_body_bytes(vec![b' '; 33 * 1024 * 1024]);
    let error = failure(huge).await;
    assert!(matches!(error, CallError::Transport { .. }), "{error}");
}

#[tokio::test]
async fn what_can_not_stand_in_a_request_never_leaves() {
    let (server, homeserver) = ok(done()).await;
    let ghost = homeserver.as_user(GHOST);
    let errors = [
        ghost.join("no room").await.unwrap_err(),
        ghost.put_device("..", "x").await.unwrap_err(),
        ghost.delete_device(".").await.unwrap_err(),
        ghost.redact(ROOM, "no event", "t", None).await.unwrap_err(),
        homeserver.as_user("nobody").whoami().await.unwrap_err(),
        homeserver
            .as_user(BOT)
            .display_name("nobody")
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), refused("UNSENDABLE"), "{error}");
    }
    assert!(server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn addresses_and_tokens_are_checked_at_the_start() {
    let new = |address: &str, token: &str| Homeserver::new(address, token, Duration::from_secs(1));
    for address in [
        "",
        "example.org",
        "/path",
        "ftp://example.org",
        "http://",
        "http://example.org?x=1",
    ] {
        assert!(
            matches!(new(address, TOKEN), Err(SetupError::Address)),
            "{address}"
        );
    }
    assert!(matches!(
        new("http://example.org", "a\nb"),
        Err(SetupError::Token)
    ));
    assert!(new("https://example.org", TOKEN).is_ok());
}

#[tokio::test]
async fn no_token_and_no_words_are_ever_shown() {
    let echo =
        json!({ "errcode": "M_FORBIDDEN", "error": format!("Alice said hello with {TOKEN}") });
    let (_server, homeserver) = answering(ResponseTemplate::new(403).set_body_json(echo)).await;
    let error = homeserver.as_user(GHOST).join(ROOM).await.unwrap_err();
    let (_server, other) =
        answering(ResponseTemplate::new(200).set_body_string(format!("\"{TOKEN} Alice\""))).await;
    let malformed = other.as_user(GHOST).join(ROOM).await.unwrap_err();
    let intent = homeserver.as_user(GHOST).with_device("B");
    let shown = format!("{error} {error:?} {malformed} {malformed:?} {homeserver:?} {intent:?}");
    assert!(shown.contains("M_FORBIDDEN"), "{shown}");
    assert!(
        !shown.contains(TOKEN) && !shown.contains("Alice"),
        "{shown}"
    );
}
