//! What every answer to a guest carries.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bridge::Setup;
use crate::guest::Guest;
use crate::guest::socket::Socket;
use crate::homeserver::PATIENCE;
use crate::routes::GUESTS;
use crate::web::Answer;
use crate::world::World;

const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
    img-src 'self'; connect-src 'self' wss://chat.example.org; manifest-src 'self'; worker-src 'none'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// What a page that was changed could want.
const PERMISSIONS: [&str; 12] = [
    "bluetooth",
    "camera",
    "clipboard-read",
    "display-capture",
    "geolocation",
    "hid",
    "idle-detection",
    "microphone",
    "payment",
    "serial",
    "storage-access",
    "usb",
];

pub fn assert_secured(answer: &Answer, what: &str) {
    let expected = [
        ("content-security-policy", POLICY),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
        ("origin-agent-cluster", "?1"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-dns-prefetch-control", "off"),
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
    for name in PERMISSIONS {
        let denied = format!("{name}=()");
        assert!(permissions.split(", ").any(|part| part == denied), "{name}");
    }
    for name in [
        "link",
        "refresh",
        "content-security-policy-report-only",
        "report-to",
        "service-worker-allowed",
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
    let requests: [Case<'_>; 18] = [
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
        ("GET", "/%ff", vec![], "", 404),
        ("GET", "/index.html%00", vec![], "", 404),
        ("GET", "/manifest.sha256/x", vec![], "", 404),
        ("GET", "/organisation.json", vec![], "", 200),
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
            if ["/", "/organisation.json"].contains(&path) && method == "GET" && status == 200 {
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
    let own = [("origin", "https://chat.example.org")];
    let url = world.bridge.url("/api/v1/socket");
    let plain = world.bridge.web.ask("GET", &url, &own, "").await;
    assert_eq!(
        (plain.status, plain.code()),
        (400, "bad_request".to_owned())
    );
    assert_secured(&plain, "no socket at all");
}

/// Also for methods that a route doesn't have, and whatever the request says whom it is for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_and_no_method_is_left_out() {
    let setup = Setup {
        public_url: "https://chat.example.org/guest",
        ..Setup::default()
    };
    let world = World::with(&setup).await;
    let methods = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY",
    ];
    let strange = [
        ("host", "evil.example"),
        ("content-type", "application/json"),
    ];
    let mut routes = GUESTS.map(|route| {
        let (method, path) = route.split_once(' ').unwrap();
        (method, path.replace("{file}", "nothing.js"))
    });
    routes.sort();
    for prefix in ["", "/guest"] {
        for (own, path) in &routes {
            for method in methods {
                let url = world.bridge.url(&format!("{prefix}{path}"));
                let answer = world.bridge.web.ask(method, &url, &strange, "{}").await;
                let what = format!("{method} {prefix}{path}");
                assert_secured(&answer, &what);
                let is_own = method == *own || (method, *own) == ("HEAD", "GET");
                if !is_own {
                    assert_eq!(answer.status, 404, "{what}");
                }
                assert!(
                    answer.status != 405 && !answer.text().contains("evil"),
                    "{what}"
                );
            }
        }
    }
    for method in methods {
        let url = world.bridge.url("/guest");
        let answer = world.bridge.web.ask(method, &url, &strange, "").await;
        assert_secured(&answer, method);
        let moved = matches!(method, "GET" | "HEAD");
        assert_eq!(answer.status, if moved { 308 } else { 404 }, "{method}");
        assert_eq!(
            answer.header("location"),
            moved.then_some("/guest/"),
            "{method}"
        );
    }
}

/// What isn't HTTP never reaches a route. Nothing can be shown of such an answer, since it has no body.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_is_answered_with_nothing() {
    let world = World::start().await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000));
    let many: String = (0..200)
        .map(|number| format!("x-{number}: y\r\n"))
        .collect();
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    let wide = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nx: {}\r\n\r\n",
        "y".repeat(1_000_000)
    );
    for request in [
        "no request\r\n\r\n",
        "GET / HTTP/3.0\r\nHost: x\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nno header\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nx: \0\r\n\r\n",
        "POST /api/v1/join HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /api/v1/join HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        &long,
        &many,
        &wide,
    ] {
        let said = raw(&world, request).await;
        let shown: String = request.chars().take(60).collect();
        let (head, body) = said.split_once("\r\n\r\n").unwrap_or((&said, ""));
        assert!(body.is_empty(), "{shown}: {said}");
        let status = head.split(' ').nth(1).unwrap_or("closed");
        assert!(
            ["400", "414", "431", "closed"].contains(&status),
            "{shown}: {said}"
        );
        let head = head.to_lowercase();
        assert!(
            !head.contains("server:") && !head.contains("set-cookie"),
            "{head}"
        );
    }
    // What is HTTP does, in any of its forms.
    for request in [
        "GET http://evil.example/nothing HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /nothing HTTP/1.0\r\n\r\n",
    ] {
        let said = raw(&world, request).await.to_lowercase();
        assert!(said.split(' ').nth(1) == Some("404"), "{request}: {said}");
        let policy = format!("content-security-policy: {}", POLICY.to_lowercase());
        assert!(said.contains(&policy), "{request}: {said}");
    }
}

/// Sends these bytes, and reads until the bridge closes the connection.
async fn raw(world: &World, request: &str) -> String {
    let mut stream = TcpStream::connect(world.bridge.guests()).await.unwrap();
    let said = async {
        let (mut reading, mut writing) = stream.split();
        let mut said = Vec::new();
        // Whoever is answered in the middle of what they say may not be able to say the rest.
        let (_sent, _read) = tokio::join!(
            writing.write_all(request.as_bytes()),
            reading.read_to_end(&mut said)
        );
        String::from_utf8_lossy(&said).into_owned()
    };
    tokio::time::timeout(PATIENCE, said)
        .await
        .expect("it is closed")
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
