//! The page's files, as browsers, caches and previews ask for them; and what is served beside them.

use std::io::Read as _;

use serde_json::{Value, json};

use crate::bridge::Setup;
use crate::headers::assert_secured;
use crate::world::World;

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

/// Whatever makes a preview of a link asks first, and in its own way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn previews_and_caches_get_short_and_right_answers() {
    let world = World::start().await;
    let web = &world.bridge.web;
    let mut paths = vec!["/organisation.json"];
    if world.bridge.app().assets.built() {
        paths.extend(["/", "/index.html", "/manifest.sha256"]);
    }
    for path in paths {
        let url = world.bridge.url(path);
        let whole = web.get(&url).await;
        assert_eq!(whole.status, 200, "{path}");
        let length = whole.body.len().to_string();
        let tag = whole.header("etag").unwrap();

        let head = web.ask("HEAD", &url, &[], "").await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        assert_eq!(
            head.header("content-length"),
            Some(length.as_str()),
            "{path}"
        );
        for name in [
            "etag",
            "content-type",
            "cache-control",
            "vary",
            "accept-ranges",
        ] {
            assert_eq!(head.header(name), whole.header(name), "{path} {name}");
        }

        for accept in [
            "application/json",
            "image/*",
            "text/html;q=0",
            "nonsense",
            "*/*;q=0",
        ] {
            let answer = web.ask("GET", &url, &[("accept", accept)], "").await;
            assert_eq!(
                (answer.status, &answer.body),
                (200, &whole.body),
                "{path} {accept}"
            );
        }
        for range in [
            "bytes=0-10",
            "bytes=-5",
            "bytes=99999999-",
            "bytes=0-1,5-6",
            "lines=1",
        ] {
            for condition in ["if-match", "if-range"] {
                let headers = [("range", range), (condition, tag)];
                let answer = web.ask("GET", &url, &headers, "").await;
                assert_eq!(
                    (answer.status, &answer.body),
                    (200, &whole.body),
                    "{path} {range}"
                );
                assert_eq!(answer.header("accept-ranges"), Some("none"), "{path}");
            }
        }

        for method in ["GET", "HEAD"] {
            let known = [("if-none-match", tag), ("range", "bytes=0-1")];
            let same = web.ask(method, &url, &known, "").await;
            assert_eq!((same.status, same.body.len()), (304, 0), "{path}");
            assert_eq!(same.header("etag"), Some(tag), "{path}");
            assert_eq!(
                same.header("cache-control"),
                whole.header("cache-control"),
                "{path}"
            );
            assert_secured(&same, path);
        }
        let old = web
            .ask("GET", &url, &[("if-none-match", "\"0\"")], "")
            .await;
        assert_eq!((old.status, &old.body), (200, &whole.body), "{path}");
        let packed = [("accept-encoding", "br"), ("if-none-match", tag)];
        let packed = web.ask("GET", &url, &packed, "").await;
        assert_eq!(
            packed.status, 200,
            "{path}: the other form has a tag of its own"
        );
        assert_ne!(packed.header("etag"), Some(tag), "{path}");
    }
    // A HEAD where there is nothing says so without a body, too.
    let nothing = web
        .ask("HEAD", &world.bridge.url("/nothing"), &[], "")
        .await;
    assert_eq!((nothing.status, nothing.body.len()), (404, 0));
    assert_secured(&nothing, "nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_files_is_served_and_true() {
    let world = World::start().await;
    let url = world.bridge.url("/manifest.sha256");
    let list = world.bridge.web.get(&url).await;
    let assets = &world.bridge.app().assets;
    if !assets.built() {
        assert_eq!(list.status, 404);
        return;
    }
    assert_eq!(
        (list.header("content-type"), list.header("cache-control")),
        (Some("text/plain; charset=utf-8"), Some("no-cache"))
    );
    // What whoever doubts the site would do by hand: fetch all of it, then `sha256sum --check`.
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("manifest.sha256"), &list.body).unwrap();
    let text = list.text();
    for line in text.lines() {
        let (_, name) = line.split_once("  ").unwrap();
        let file = world
            .bridge
            .web
            .get(&world.bridge.url(&format!("/{name}")))
            .await;
        assert_eq!(file.status, 200, "{name}");
        std::fs::write(folder.path().join(name), &file.body).unwrap();
    }
    let check = || {
        let mut check = std::process::Command::new("sha256sum");
        check.args(["--check", "--strict", "manifest.sha256"]);
        let done = check.current_dir(folder.path()).output().unwrap();
        (
            done.status.success(),
            String::from_utf8(done.stdout).unwrap(),
        )
    };
    let (good, said) = check();
    assert!(good, "{said}");
    assert_eq!(said.lines().count(), text.lines().count(), "{said}");
    let html = folder.path().join("index.html");
    std::fs::write(html, "another page").unwrap();
    assert!(!check().0);
    assert!(
        !text.contains("organisation.json") && !text.contains("manifest.sha256"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_organisation_says_who_it_is() {
    let world = World::start().await;
    let nobody = world
        .bridge
        .web
        .get(&world.bridge.url("/organisation.json"))
        .await;
    assert_eq!(
        nobody.json(),
        json!({ "name": null, "terms_url": null, "texts": {} })
    );
    let setup = Setup {
        public_url: "https://example.org/guest",
        guests: "organisation: { name: 'Ünlü & <Söhne>', terms_url: 'https://example.org/terms' }",
    };
    let world = World::with(&setup).await;
    for path in ["/guest/organisation.json", "/organisation.json"] {
        let url = world.bridge.url(path);
        let named = world.bridge.web.get(&url).await;
        assert_eq!(named.header("content-type"), Some("application/json"));
        assert_eq!(named.header("cache-control"), Some("no-cache"));
        let expected = json!({
            "name": "Ünlü & <Söhne>", "terms_url": "https://example.org/terms", "texts": {}
        });
        assert_eq!(named.json(), expected);
        assert_ne!(named.header("etag"), nobody.header("etag"));
        let packed = [("accept-encoding", "br")];
        let packed = world.bridge.web.ask("GET", &url, &packed, "").await;
        assert_eq!(packed.header("content-encoding"), Some("br"));
        let mut plain = Vec::new();
        brotli::BrotliDecompress(&mut packed.body.as_slice(), &mut plain).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&plain).unwrap(), expected);
    }
}
