//! All routes of all listeners, so that none is forgotten, and who is refused at each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use serde_json::json;
use vestibule::inbound::Inbound;

use crate::bridge::{HS_TOKEN, Setup};
use crate::homeserver::call::AS_TOKEN;
use crate::world::World;

/// For the homeserver alone: `method path`, and an example of the path.
const APPSERVICE: [(&str, &str); 7] = [
    (
        "PUT /_matrix/app/v1/transactions/{transaction}",
        "/_matrix/app/v1/transactions/a",
    ),
    ("PUT /transactions/{transaction}", "/transactions/b"),
    ("POST /_matrix/app/v1/ping", "/_matrix/app/v1/ping"),
    (
        "GET /_matrix/app/v1/users/{user}",
        "/_matrix/app/v1/users/@_vestibule_x:example.org",
    ),
    ("GET /users/{user}", "/users/@_vestibule_x:example.org"),
    (
        "GET /_matrix/app/v1/rooms/{alias}",
        "/_matrix/app/v1/rooms/%23x:example.org",
    ),
    ("GET /rooms/{alias}", "/rooms/%23x:example.org"),
];

/// For guests. The tests of `door.rs` and `refused.rs` have the refused cases of the API.
pub const GUESTS: [&str; 5] = [
    "GET /",
    "GET /{file}",
    "POST /api/v1/link",
    "POST /api/v1/join",
    "GET /api/v1/socket",
];

/// For whoever runs the bridge.
const OPS: [&str; 3] = ["GET /live", "GET /ready", "GET /metrics"];

/// What the router serves, as its `Debug` shows it: axum has no other way to ask.
fn routes(router: &Router) -> BTreeSet<String> {
    let shown = format!("{router:?}");
    let (shown, _) = shown
        .split_once("fallback_router")
        .expect("axum shows its routes as ever");
    let (handlers, paths) = shown
        .split_once("node:")
        .expect("axum shows its routes as ever");
    let paths: BTreeMap<&str, &str> = paths
        .split("RouteId(")
        .filter_map(|part| {
            part.split_once("): \"")
                .and_then(|(id, rest)| Some((id, rest.split('"').next()?)))
        })
        .collect();
    let mut routes = BTreeSet::new();
    for handler in handlers.split("RouteId(").skip(1) {
        let (id, methods) = handler.split_once(')').unwrap();
        for method in [
            "get", "head", "delete", "options", "patch", "post", "put", "trace", "connect",
        ] {
            if methods.contains(&format!("{method}: Route")) {
                routes.insert(format!("{} {}", method.to_uppercase(), paths[id]));
            }
        }
    }
    assert_eq!(paths.len(), handlers.matches("RouteId(").count());
    routes
}

fn named(routes: &[&str]) -> BTreeSet<String> {
    routes.iter().map(|route| (*route).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_is_listed_here() {
    let world = World::with(&Setup {
        public_url: "https://example.org/guest",
        ..Setup::default()
    })
    .await;
    let app = world.bridge.app();
    let appservice =
        vestibule_appservice::http::router(HS_TOKEN, Arc::new(Inbound(Arc::clone(app))));
    assert_eq!(
        routes(&appservice),
        named(&APPSERVICE.map(|(route, _)| route))
    );
    assert_eq!(
        routes(&vestibule::ops::router(Arc::clone(app))),
        named(&OPS)
    );
    let mut guests = named(&GUESTS);
    guests.extend(GUESTS.map(|route| route.replacen(" /", " /guest/", 1)));
    guests.insert("GET /guest".to_owned());
    assert_eq!(routes(&vestibule::http::router(app)), guests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_homeserver_reaches_its_routes() {
    let world = World::start().await;
    let mut host = world.host("Alice").await;
    host.command(&world.homeserver, "help");
    let body = world.homeserver.with(|state| state.take_transaction());
    let before = world.homeserver.with(|state| host.notices(state).len());
    let unknown = [
        ("GET /", "/"),
        ("POST /x", "/x"),
        ("DELETE /t", "/_matrix/app/v1/transactions/a"),
        ("GET /t", "/_matrix/app/v1/thirdparty/protocol/x"),
    ];
    let wrong: [(Option<String>, u16, &str); 7] = [
        (None, 401, "M_UNAUTHORIZED"),
        (Some("Bearer ".to_owned()), 403, "M_FORBIDDEN"),
        (Some(format!("Bearer {AS_TOKEN}")), 403, "M_FORBIDDEN"),
        (
            Some(format!("Bearer {}", &HS_TOKEN[1..])),
            403,
            "M_FORBIDDEN",
        ),
        (Some(format!("Bearer {HS_TOKEN}x")), 403, "M_FORBIDDEN"),
        (Some(format!("Basic {HS_TOKEN}")), 401, "M_UNAUTHORIZED"),
        (Some(HS_TOKEN.to_owned()), 401, "M_UNAUTHORIZED"),
    ];
    for (route, path) in APPSERVICE.into_iter().chain(unknown) {
        let method = route.split(' ').next().unwrap();
        let url = world.bridge.appservice_url(path);
        for (authorization, status, errcode) in &wrong {
            let headers: Vec<(&str, &str)> = authorization
                .iter()
                .map(|value| ("authorization", value.as_str()))
                .collect();
            let answer = world
                .bridge
                .web
                .ask(method, &url, &headers, body.to_string())
                .await;
            let refused = matches!((answer.status, *status), (401, _) | (403, 403));
            assert!(refused, "{route} {authorization:?}: {}", answer.text());
            let code = answer.json()["errcode"].as_str().unwrap().to_owned();
            assert!(
                code == *errcode || code == "M_UNAUTHORIZED",
                "{route} {authorization:?}: {code}"
            );
        }
        let url = format!("{url}?access_token={AS_TOKEN}");
        let answer = world
            .bridge
            .web
            .ask(method, &url, &[], body.to_string())
            .await;
        assert_eq!(
            (answer.status, &answer.json()["errcode"]),
            (403, &json!("M_FORBIDDEN")),
            "{route}"
        );
    }
    assert_eq!(
        world.homeserver.with(|state| host.notices(state).len()),
        before,
        "nothing of it was taken"
    );

    // And the homeserver itself does.
    let authorization = format!("Bearer {HS_TOKEN}");
    for (route, path) in APPSERVICE {
        let method = route.split(' ').next().unwrap();
        let headers = [("authorization", authorization.as_str())];
        let answer = world
            .bridge
            .web
            .ask(
                method,
                &world.bridge.appservice_url(path),
                &headers,
                body.to_string(),
            )
            .await;
        let expected = if method == "GET" { 404 } else { 200 };
        assert_eq!(answer.status, expected, "{route}: {}", answer.text());
    }
    let answered =
        |state: &mut crate::homeserver::state::State| host.notices(state).get(before).cloned();
    world.homeserver.until("the bot answers", answered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_listener_serves_its_own_routes_alone() {
    let world = World::start().await;
    let authorization = format!("Bearer {HS_TOKEN}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
    ];
    let paths = |routes: &[&str]| -> Vec<(String, String)> {
        let split = routes.iter().filter_map(|route| route.split_once(' '));
        split
            .map(|(method, path)| (method.to_owned(), path.replace("{file}", "main.js")))
            .collect()
    };
    let appservice: Vec<(String, String)> = APPSERVICE
        .iter()
        .map(|(route, path)| {
            (
                route.split(' ').next().unwrap().to_owned(),
                (*path).to_owned(),
            )
        })
        .collect();
    let (guests, ops) = (paths(&GUESTS[2..]), paths(&OPS));
    let elsewhere = [
        (world.bridge.url(""), [&appservice, &ops]),
        (world.bridge.appservice_url(""), [&guests, &ops]),
        (world.bridge.ops_url(""), [&guests, &appservice]),
    ];
    for (base, strange) in elsewhere {
        for (method, path) in strange.into_iter().flatten() {
            let answer = world
                .bridge
                .web
                .ask(method, &format!("{base}{path}"), &headers, "{}")
                .await;
            assert_eq!(answer.status, 404, "{method} {base}{path}");
        }
    }
}
