//! The calls that can be made at all form a closed list, `docs/calls.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use vestibule_appservice::intent::Homeserver;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::sources::{rust_files, sources_of};
use crate::table::{self, fits, made, nameless, never};
use crate::{GHOST, HOST, ROOM, TOKEN};

/// The client-server API as the newest ruma in this workspace knows it, unstable parts included:
/// the latest stable path of each endpoint.
fn whole_api() -> BTreeSet<String> {
    let mut calls = BTreeSet::new();
    for file in rust_files(&sources_of("ruma-client-api")) {
        let text = std::fs::read_to_string(file).unwrap();
        for block in text.split("metadata! {").skip(1) {
            let method = block.split_once("method: ").unwrap().1;
            let (method, rest) = method.split_once(',').unwrap();
            let rest = rest.split_once("}\n\n").map_or(rest, |(block, _)| block);
            let lines = rest.lines().filter(|line| !line.trim().starts_with("//"));
            let paths: Vec<&str> = lines
                .filter(|line| line.contains("=>") || line.contains("path: "))
                .filter_map(|line| line.split('"').find(|part| part.starts_with('/')))
                .collect();
            let stable = paths.iter().rev().find(|path| !path.contains("/unstable/"));
            let path = stable.or(paths.last()).unwrap_or_else(|| panic!("{block}"));
            calls.insert(nameless(&format!("{method} {path}")));
        }
    }
    calls
}

#[test]
fn every_call_of_the_api_is_decided() {
    let made: Vec<String> = made().into_iter().map(|row| row.call).collect();
    let mut decided = BTreeSet::new();
    for row in table::made() {
        let by = ["nobody", "appservice", "bot", "ghost", "device"];
        let causes = ["guest", "host", "itself", "nobody"];
        let known = row.by.iter().all(|who| by.contains(who))
            && row.causes.iter().all(|cause| causes.contains(cause));
        assert!(known, "{row:?}");
    }
    for call in made.iter().chain(&never()) {
        assert!(decided.insert(call.clone()), "{call} is decided twice");
    }
    let api = whole_api();
    assert!(api.len() > 150, "{api:#?}");
    let undecided: Vec<_> = api.difference(&decided).collect();
    assert!(
        undecided.is_empty(),
        "not decided in docs/calls.md: {undecided:#?}"
    );
    // Synapse has an API of its own beside it.
    let ours = |call: &&String| !call.contains(" /_synapse/");
    let unknown: Vec<_> = decided.difference(&api).filter(ours).collect();
    assert!(
        unknown.is_empty(),
        "in docs/calls.md, but not in the API: {unknown:#?}"
    );
}

/// Every method of `Intent` and `Homeserver`, called once; the calls by the method's name.
async fn everything() -> BTreeMap<&'static str, Vec<(String, String)>> {
    let server = MockServer::start().await;
    // Whatever is asked, there is something of the answer in it.
    let answer = json!({
        "versions": [], "user_id": GHOST, "room_id": ROOM, "event_id": "$e", "joined_rooms": [],
        "joined": {}, "next_batch": "s1", "chunk": [], "one_time_key_counts": {}, "failures": {},
    });
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_json(answer))
        .mount(&server)
        .await;
    let homeserver = Homeserver::new(&server.uri(), TOKEN, Duration::from_secs(5)).unwrap();
    let ghost = homeserver.as_user(GHOST).with_device("D");
    let nothing = json!({});
    let mut calls = BTreeMap::new();
    let mut before = 0;
    macro_rules! call {
        ($who:ident.$method:ident($($argument:expr),*)) => {{
            // Some answers don't read; the call was made all the same.
            let _ = $who.$method($($argument),*).await;
            let requests = server.received_requests().await.unwrap();
            let new = requests.iter().skip(before);
            let lines = new.map(|r| (r.method.to_string(), r.url.path().to_owned())).collect();
            before = requests.len();
            calls.insert(stringify!($method), lines);
        }};
    }
    call!(homeserver.versions());
    call!(homeserver.register("_vestibule_1"));
    call!(ghost.whoami());
    call!(ghost.set_display_name("x"));
    call!(ghost.clear_avatar());
    call!(ghost.display_name(HOST));
    call!(ghost.account_data("x"));
    call!(ghost.set_account_data("x", &nothing));
    call!(ghost.deactivate(true));
    call!(ghost.ping("vestibule", "t"));
    call!(ghost.put_device("D", "x"));
    call!(ghost.delete_device("D"));
    call!(ghost.send_event(ROOM, "m.room.encrypted", "t", &nothing));
    call!(ghost.redact(ROOM, "$e", "t", None));
    call!(ghost.typing(ROOM, None));
    call!(ghost.receipt(ROOM, "$e"));
    call!(ghost.set_online());
    call!(ghost.is_online());
    call!(ghost.send_to_device("m.room.encrypted", "t", &nothing));
    call!(ghost.sync_device(None, None, 1));
    call!(ghost.past(ROOM, "x"));
    call!(ghost.upload_keys(None, None, None));
    call!(ghost.upload_cross_signing(&nothing, &nothing, &nothing));
    call!(ghost.upload_signatures(&nothing));
    call!(ghost.keys_query(&[HOST]));
    call!(ghost.keys_claim(&[(HOST, "D")]));
    call!(ghost.create_room(&nothing));
    call!(ghost.join(ROOM));
    call!(ghost.join_by_any(ROOM));
    call!(ghost.leave(ROOM, None));
    call!(ghost.upload_media("image/png", "x.png", Vec::new()));
    call!(ghost.joined_rooms());
    call!(ghost.joined_members(ROOM));
    call!(ghost.get_state(ROOM));
    call!(ghost.get_state_event(ROOM, "m.room.create", ""));
    call!(ghost.put_state(ROOM, "m.room.power_levels", "", &nothing));
    assert_eq!(server.received_requests().await.unwrap().len(), before);
    calls
}

#[tokio::test]
async fn intent_makes_the_calls_on_the_list_and_no_others() {
    let made = made();
    let mut unused: BTreeSet<&str> = made.iter().map(|row| row.call.as_str()).collect();
    let everything = everything().await;
    for (method, calls) in &everything {
        let [(verb, path)] = &calls[..] else {
            panic!("{method} made {calls:?}")
        };
        let row = made.iter().find(|row| fits(&row.call, verb, path));
        let row = row.unwrap_or_else(|| panic!("{method}: {verb} {path} is not on the list"));
        unused.remove(row.call.as_str());
    }
    for path in asked_without_token() {
        let row = made.iter().find(|row| fits(&row.call, "GET", &path));
        let row = row.unwrap_or_else(|| panic!("GET {path} is not on the list"));
        assert!(row.by.contains("nobody"), "{row:?}");
        unused.remove(row.call.as_str());
    }
    assert!(unused.is_empty(), "nobody makes {unused:?}");

    // And these are all methods that there are.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/intent");
    for file in rust_files(&folder) {
        let text = std::fs::read_to_string(&file).unwrap();
        for method in text.split("pub async fn ").skip(1) {
            let method = method.split_once('(').unwrap().0;
            // What a site is asked for is above.
            let known = everything.contains_key(method) || file.ends_with("site.rs");
            assert!(known, "{method} of {} is not called above", file.display());
        }
    }
}

/// What the shell asks a homeserver as anybody could.
fn asked_without_token() -> BTreeSet<String> {
    let shell = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let mut paths = BTreeSet::new();
    for file in rust_files(&shell) {
        if file.display().to_string().contains(OF_A_COMMAND) {
            continue;
        }
        let text = std::fs::read_to_string(file).unwrap();
        for rest in text.split("site.get(").skip(1) {
            let path = rest.strip_prefix('"').expect("a path that is written out");
            let path = path.split_once('"').unwrap().0;
            // At `/` it looks for the page.
            if path != "/" {
                paths.insert(path.to_owned());
            }
        }
    }
    assert!(!paths.is_empty());
    paths
}

/// The command that compares a page with the program's own has a client of its own for that page. It is
/// no part of the bridge that runs.
const OF_A_COMMAND: &str = "src/verify_page";

/// Whoever else could speak with the homeserver would have to bring an HTTP client of their own.
#[test]
fn nobody_else_has_an_http_client() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for folder in ["src", "bridge/src", "crypto/src"] {
        for file in rust_files(&root.join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            let name = file.display().to_string();
            if name.contains(OF_A_COMMAND) {
                continue;
            }
            let may_call_it = ["src/main.rs", "src/lib.rs"]
                .iter()
                .any(|end| name.ends_with(end));
            assert!(may_call_it || !text.contains("verify_page::"), "{name}");
            for client in [
                "client::legacy",
                "hyper::client",
                "reqwest",
                "ureq",
                "TcpStream::connect",
            ] {
                assert!(!text.contains(client), "{client} in {}", file.display());
            }
        }
    }
}
