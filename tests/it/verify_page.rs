//! `vestibule verify-page` against a site that serves the page of this program, and against others.

use std::process::{Command, Output};
use std::time::Duration;

use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use vestibule::http::assets::{Assets, hex};
use vestibule::verify_page::{Limits, Site, Verdict, verify};

use crate::front::{CERTIFICATE, site, site_with_tls};
use crate::web::Answer;

const NOW: Duration = Duration::ZERO;

/// Runs the program, as somebody would who doubts a site.
async fn verify_page(arguments: &[&str]) -> (Option<i32>, String) {
    let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
    let run = move || {
        Command::new(env!("CARGO_BIN_EXE_vestibule"))
            .arg("verify-page")
            .args(arguments)
            .output()
            .unwrap()
    };
    let Output {
        status,
        stdout,
        stderr,
    } = tokio::task::spawn_blocking(run).await.unwrap();
    let said = [stdout, stderr].concat();
    (status.code(), String::from_utf8(said).unwrap())
}

/// What is found on a site whose answers are changed like this.
async fn found(change: impl Fn(&str, bool, &mut Answer) + Send + Sync + 'static) -> Verdict {
    let (_world, url) = site(change, NOW).await;
    let site = Site::new(&url, None, Limits::default()).unwrap();
    verify(&site, &Assets::load().unwrap()).await.unwrap()
}

/// Without the page there is nothing to compare, and the program says that.
async fn is_without_page() -> bool {
    if Assets::load().unwrap().built() {
        return false;
    }
    let (code, said) = verify_page(&["http://127.0.0.1:9"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cargo xtask page"), "{said}");
    true
}

fn script(page: &Assets) -> String {
    let mut names = page.files().map(|file| file.path().to_owned());
    names.find(|name| name.ends_with(".js")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_page_is_the_same() {
    if is_without_page().await {
        return;
    }
    let (_world, url) = site(|_, _, _| {}, NOW).await;
    let page = Assets::load().unwrap();
    for address in [url.clone(), format!("{url}/"), format!("{url}/#token")] {
        let (code, said) = verify_page(&[&address]).await;
        assert_eq!(code, Some(0), "{said}");
        let build = format!("build {}", page.build_id().unwrap());
        assert!(said.contains(&build), "{said}");
        assert!(!said.contains("token"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_the_certificate_counts() {
    if is_without_page().await {
        return;
    }
    let (_world, url) = site_with_tls().await;
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), CERTIFICATE).unwrap();
    let (code, said) = verify_page(&[&url, "--ca", ca.path().to_str().unwrap()]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = verify_page(&[&url]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("certificate"), "{said}");
    // By this name it is nobody's certificate.
    let other = url.replace("localhost", "127.0.0.1");
    let (code, said) = verify_page(&[&other, "--ca", ca.path().to_str().unwrap()]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("certificate"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_other_byte_is_found_in_each_form() {
    if is_without_page().await {
        return;
    }
    let script = script(&Assets::load().unwrap());
    for altered_when_packed in [false, true] {
        let target = format!("/{script}");
        let verdict = found(move |path, packed, answer| {
            if path == target && packed == altered_when_packed {
                // What is altered when it is packed is sent unpacked, which the request allows.
                if packed {
                    let mut plain = Vec::new();
                    let mut packed = std::mem::take(&mut answer.body);
                    brotli::BrotliDecompress(&mut packed.as_slice(), &mut plain).unwrap();
                    packed.clear();
                    answer.headers.remove("content-encoding");
                    answer.body = plain;
                }
                answer.body[100] ^= 1;
            }
        })
        .await;
        let [difference] = verdict.differences() else {
            panic!("{verdict}");
        };
        assert!(
            difference.contains(&script) && difference.contains("other bytes"),
            "{verdict}"
        );
        assert_eq!(
            difference.contains("as browsers ask"),
            altered_when_packed,
            "{verdict}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_an_extra_and_a_moved_file_are_named() {
    if is_without_page().await {
        return;
    }
    let script = script(&Assets::load().unwrap());
    let gone = format!("/{script}");
    let verdict = found(move |path, _, answer| {
        if path == gone {
            answer.status = 404;
        }
    })
    .await;
    assert_eq!(
        verdict.differences(),
        [format!("{script} is missing there")]
    );

    // A redirect is no answer, wherever it leads.
    let verdict = found(|path, _, answer| {
        if path == "/index.html" {
            answer.status = 302;
            let elsewhere = HeaderValue::from_static("http://127.0.0.1:9/");
            answer.headers.insert("location", elsewhere);
        }
    })
    .await;
    let [difference] = verdict.differences() else {
        panic!("{verdict}");
    };
    assert!(
        difference.contains("index.html is not served but leads elsewhere"),
        "{verdict}"
    );

    let verdict = found(|path, _, answer| {
        if path == "/manifest.sha256" {
            answer.headers.remove("content-encoding");
            let plain = Assets::load().unwrap();
            let plain = plain.find("manifest.sha256").unwrap().plain().to_vec();
            let extra = format!("{}  tracker\u{202e}.js\n", "0".repeat(64));
            answer.body = [plain, extra.into_bytes()].concat();
        }
    })
    .await;
    let said = verdict.to_string();
    assert!(
        said.contains("lists “tracker\\u{202e}.js”, which is none of our files"),
        "{said}"
    );
    assert!(
        said.contains("manifest.sha256 (as browsers ask for it, compressed) has other bytes"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_build_is_called_by_its_id() {
    if is_without_page().await {
        return;
    }
    let list = format!(
        "{}  index.html\n{}  main-0.js\n",
        "1".repeat(64),
        "2".repeat(64)
    );
    let id = hex(&Sha256::digest(&list))[..12].to_owned();
    let verdict = found(move |path, _, answer| {
        answer.headers.remove("content-encoding");
        match path {
            "/" | "/index.html" => answer.body = b"<!doctype html>".to_vec(),
            "/manifest.sha256" => answer.body = list.clone().into_bytes(),
            "/organisation.json" => answer.body = b"{}".to_vec(),
            _ => answer.status = 404,
        }
    })
    .await;
    let said = verdict.to_string();
    let ours = Assets::load().unwrap().build_id().unwrap().to_owned();
    for part in [
        &format!("the site names its build {id}, this program is build {ours}"),
        "the page itself has other bytes than ours",
        "lists “main-0.js”",
        "wasm is missing there",
        "organisation.json is not what the page expects there",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_are_missing_weaker_or_too_much_are_named() {
    if is_without_page().await {
        return;
    }
    let verdict = found(|path, _, answer| {
        let headers = &mut answer.headers;
        headers.remove("content-security-policy");
        headers.insert(
            "server",
            HeaderValue::from_static("a proxy may say its name"),
        );
        if path == "/" {
            headers.insert("referrer-policy", HeaderValue::from_static("unsafe-url"));
            headers.append("set-cookie", HeaderValue::from_static("a=b"));
        }
        if path == "/index.html" {
            headers.insert("content-type", HeaderValue::from_static("text/plain"));
            headers.append("x-frame-options", HeaderValue::from_static("DENY"));
        }
        // The answer that is an error.
        if path == "/api/v1/link" {
            headers.remove("x-content-type-options");
            headers.insert("cache-control", HeaderValue::from_static("public"));
        }
    })
    .await;
    let said = verdict.to_string();
    for part in [
        "the header content-security-policy is missing (on every answer)",
        "the header referrer-policy is “unsafe-url”, not “no-referrer” (on the page itself)",
        "the header set-cookie must not be there (on the page itself)",
        "the header content-type is “text/plain”, not “text/html; charset=utf-8” (on index.html)",
        "the header x-frame-options is there 2 times (on index.html)",
        "the header x-content-type-options is missing (on api/v1/link)",
        "the header cache-control is “public”, not “no-store” (on api/v1/link)",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(verdict.differences().len(), 7, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_an_end_are_not_read_to_it() {
    if is_without_page().await {
        return;
    }
    let script = script(&Assets::load().unwrap());
    let huge = format!("/{script}");
    let mut small = Vec::new();
    let zeros = vec![0u8; 8 * 1024 * 1024];
    brotli::BrotliCompress(&mut zeros.as_slice(), &mut small, &Default::default()).unwrap();
    let verdict = found(move |path, packed, answer| {
        if path == huge {
            answer.headers.remove("content-encoding");
            answer.body = vec![b' '; 64 * 1024 * 1024];
        }
        // Little on the wire, and much when it is unpacked.
        if path == "/index.html" && packed {
            answer.body = small.clone();
        }
    })
    .await;
    let said = verdict.to_string();
    assert!(
        said.contains(&format!("{script} is longer than ours")),
        "{said}"
    );
    assert!(
        said.contains("index.html (as browsers ask for it, compressed) has other bytes"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_site_is_not_waited_for() {
    if is_without_page().await {
        return;
    }
    let page = Assets::load().unwrap();
    let (_world, url) = site(|_, _, _| {}, Duration::from_millis(300)).await;
    let each = Limits {
        answer: Duration::from_millis(50),
        ..Limits::default()
    };
    let verdict = verify(&Site::new(&url, None, each).unwrap(), &page).await;
    let verdict = verdict.unwrap();
    // Whoever doesn't answer once isn't asked fifteen times.
    assert_eq!(
        verdict.differences(),
        ["the page itself was not there within 50ms"]
    );
    let all = Limits {
        all: Duration::from_millis(1000),
        ..Limits::default()
    };
    let verdict = verify(&Site::new(&url, None, all).unwrap(), &page).await;
    let said = verdict.unwrap().to_string();
    assert!(
        said.contains("was not looked at any more: all of it took too long"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_and_no_address_are_said_plainly() {
    if is_without_page().await {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (code, said) = verify_page(&[&url]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("can't be fetched"), "{said}");
    let (code, said) = verify_page(&["http://chat.example.org"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("https://chat.example.org"), "{said}");
}
