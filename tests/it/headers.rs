//! What every answer to a guest carries, and the page's files.

use std::io::Read as _;

use serde_json::json;

use crate::bridge::Setup;
use crate::guest::Guest;
use crate::guest::socket::Socket;
use crate::web::Answer;
use crate::world::World;

const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self'; connect-src 'self' wss://chat.example.org; manifest-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

fn assert_secured(answer: &Answer, what: &str) {
    let expected = [
        ("content-security-policy", POLICY),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("x-robots-tag", "noindex, nofollow"),
        ("strict-transport-security", "max-age=31536000"),
    ];
    for (name, value) in expected {
        assert_eq!(answer.header(name), Some(value), "{what}");
        assert_eq!(
            answer.headers.get_all(name).iter().count(),
            1,
            "{what}: {name}"
        );
    }
    let permissions = answer.header("permissions-policy").unwrap();
    assert!(
        permissions.contains("camera=()") && permissions.contains("microphone=()"),
        "{what}"
    );
    for name in [
        "set-cookie",
        "server",
        "x-powered-by",
        "access-control-allow-origin",
    ] {
        assert_eq!(answer.header(name), None, "{what}");
    }
    assert!(answer.header("cache-control").is_some(), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_carries_the_security_headers() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    let token = world.link(&mut host).await;
    let json = ("content-type", "application/json");
    let origin = ("origin", "https://evil.example");
    let large = "x".repeat(200 * 1024);
    type Case<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, &'a str, u16);
    let requests: [Case<'_>; 14] = [
        (
            "GET",
            "/",
            vec![],
            "",
            if world.bridge.app().assets.built() {
                200
            } else {
                503
            },
        ),
        (
            "POST",
            "/api/v1/link",
            vec![json],
            &format!("{{\"token\":\"{token}\"}}"),
            200,
        ),
        ("POST", "/api/v1/link", vec![json], "{\"token\":\"x\"}", 404),
        ("POST", "/api/v1/link", vec![json], "{", 400),
        ("POST", "/api/v1/link", vec![], "{}", 400),
        ("POST", "/api/v1/link", vec![json], &large, 413),
        ("POST", "/api/v1/join", vec![json], "{}", 400),
        ("GET", "/api/v1/link", vec![], "", 404),
        ("DELETE", "/", vec![], "", 404),
        ("OPTIONS", "/api/v1/link", vec![origin], "", 404),
        ("GET", "/nothing", vec![], "", 404),
        ("GET", "/a/b/../c", vec![], "", 404),
        ("GET", "/%2e%2e%2fetc%2fpasswd", vec![], "", 404),
        ("GET", "/metrics", vec![], "", 404),
    ];
    for (method, path, headers, body, status) in requests {
        let answer = world
            .bridge
            .web
            .ask(method, &world.bridge.url(path), &headers, body)
            .await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_secured(&answer, &format!("{method} {path}"));
        let kept = answer.header("cache-control").unwrap();
        assert_eq!(
            kept,
            if path == "/" && method == "GET" && status == 200 {
                "no-cache"
            } else {
                "no-store"
            }
        );
    }
    let upgrade = [
        ("origin", "https://evil.example"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    let refused = world
        .bridge
        .web
        .ask("GET", &world.bridge.url("/api/v1/socket"), &upgrade, "")
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (403, "wrong_origin".to_owned())
    );
    assert_secured(&refused, "a socket for another site");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_tls_no_browser_is_told_to_insist_on_it() {
    let setup = Setup {
        public_url: "http://localhost:8080",
        ..Setup::default()
    };
    let world = World::with(&setup).await;
    let answer = world.bridge.web.get(&world.bridge.url("/nothing")).await;
    assert_eq!(answer.header("strict-transport-security"), None);
    let policy = answer.header("content-security-policy").unwrap();
    assert!(
        policy.contains("connect-src 'self' ws://localhost:8080;"),
        "{policy}"
    );
    let socket = Socket::open(
        &world.bridge,
        "/api/v1/socket",
        Some("http://localhost:8080"),
    )
    .await;
    assert!(socket.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_it_works_below_a_path() {
    let setup = Setup {
        public_url: "https://example.org/chat/guest/",
        ..Setup::default()
    };
    let world = World::with(&setup).await;
    let mut host = world.host("Alice").await;
    let words = world.command(&mut host, "invite").await;
    assert!(
        words.contains("https://example.org/chat/guest/#"),
        "{words}"
    );
    let token = crate::world::token(&words);

    let moved = world.bridge.web.get(&world.bridge.url("/chat/guest")).await;
    assert_eq!(
        (moved.status, moved.header("location")),
        (308, Some("/chat/guest/"))
    );
    let page = world
        .bridge
        .web
        .get(&world.bridge.url("/chat/guest/"))
        .await;
    assert_eq!(
        page.body,
        world.bridge.web.get(&world.bridge.url("/")).await.body
    );

    // A proxy may leave the path in front or take it away.
    for prefix in ["/chat/guest", ""] {
        let url = world.bridge.url(&format!("{prefix}/api/v1/link"));
        let look = world
            .bridge
            .web
            .post(&url, &json!({ "token": token }))
            .await;
        assert_eq!(look.status, 200, "{prefix}");
        let socket = Socket::open(
            &world.bridge,
            &format!("{prefix}/api/v1/socket"),
            Some("https://example.org"),
        )
        .await;
        assert_eq!(
            socket.unwrap().next().await.unwrap()["type"],
            "challenge",
            "{prefix}"
        );
    }
    let guest = Guest::of_link(&world.bridge, &token, "GUESTDEVICE").await;
    let url = world.bridge.url("/chat/guest/api/v1/join");
    let joined = world
        .bridge
        .web
        .post(&url, &guest.join_body(&token, "Maya"))
        .await;
    assert_eq!(joined.status, 200, "{}", joined.text());
    for strange in [
        "/chat",
        "/chat/",
        "/guest/",
        "/chat/guest/api/v1",
        "/chat/guestx/api/v1/link",
    ] {
        assert_eq!(
            world
                .bridge
                .web
                .get(&world.bridge.url(strange))
                .await
                .status,
            404,
            "{strange}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_files_come_packed_or_plain() {
    let world = World::start().await;
    if !world.bridge.app().assets.built() {
        let page = world.bridge.web.get(&world.bridge.url("/")).await;
        assert_eq!(page.status, 503);
        assert!(page.text().contains("cargo xtask page"), "{}", page.text());
        return;
    }
    let page = world.bridge.web.get(&world.bridge.url("/")).await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let html = page.text();
    let parts = html
        .split(['"', '\''])
        .map(|part| part.trim_start_matches("./"));
    let files: Vec<String> = parts
        .filter(|part| part.ends_with(".js") || part.ends_with(".css") || part.ends_with(".svg"))
        .map(str::to_owned)
        .collect();
    assert!(files.iter().any(|file| file.ends_with(".js")), "{html}");
    assert!(
        !html.contains("<script>") && !html.contains("style="),
        "nothing inline, which the policy forbids"
    );
    for file in files.iter().map(String::as_str).chain([""]) {
        let url = world.bridge.url(&format!("/{file}"));
        let plain = world.bridge.web.get(&url).await;
        assert_eq!(
            (plain.status, plain.header("content-encoding")),
            (200, None),
            "{file}"
        );
        let packed = world
            .bridge
            .web
            .ask("GET", &url, &[("accept-encoding", "gzip, br;q=0.9")], "")
            .await;
        assert_eq!(
            (packed.status, packed.header("content-encoding")),
            (200, Some("br")),
            "{file}"
        );
        let mut unpacked = Vec::new();
        brotli::Decompressor::new(packed.body.as_slice(), 4096)
            .read_to_end(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, plain.body, "{file}");
        for refused in ["br;q=0", "gzip", "brotli", "identity"] {
            let answer = world
                .bridge
                .web
                .ask("GET", &url, &[("accept-encoding", refused)], "")
                .await;
            assert_eq!(answer.header("content-encoding"), None, "{file} {refused}");
        }
        for answer in [&plain, &packed] {
            assert_eq!(answer.header("vary"), Some("accept-encoding"), "{file}");
            let kept = answer.header("cache-control").unwrap();
            assert_eq!(
                kept.contains("immutable"),
                !file.is_empty(),
                "{file}: {kept}"
            );
            assert_secured(answer, file);
        }
    }
}
