//! The operating system gives no more files.

use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::bridge::Setup;
use crate::homeserver::PATIENCE;
use crate::world::World;

/// Sets how many files the process may have; gives how many it might have before.
fn limit(pid: u32, files: Option<u64>) -> Option<u64> {
    let pid = Pid::from_raw(pid.try_into().unwrap());
    let limit = Rlimit {
        current: files,
        maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
    };
    prlimit(pid, Resource::Nofile, limit).unwrap().current
}

/// Who was connected before stays so; what is stored is stored; and all goes on when there are files
/// again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_files_nobody_new_comes_in_and_nothing_else_ends() {
    let world = World::apart(&Setup::default()).await;
    let pid = world.bridge.pid();
    // One connection to the operator's port that is kept.
    let ops: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let url: http::Uri = world.bridge.ops_url("/ready").parse().unwrap();
    let ready = async || -> Value {
        let answer = ops.get(url.clone()).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap()
    };
    let said = async || {
        ready().await["problems"]
            .to_string()
            .contains("LimitNOFILE")
    };
    assert!(!said().await);

    // Those that are open stay open; there can be no new one.
    let before = limit(pid, Some(3));
    assert!(before.is_some_and(|before| before >= 1024), "it was raised");
    let look = {
        let bridge = world.bridge.web.clone();
        let url = world.bridge.url("/api/v1/link");
        tokio::spawn(async move { bridge.post(&url, &json!({ "token": "x" })).await })
    };
    let until_said = async |expected: bool| {
        let until = async {
            // A question that came before the kept connection was free again waits for a new one, which
            // there can't be: it is given up and asked once more.
            while tokio::time::timeout(Duration::from_secs(1), said()).await != Ok(expected) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, until)
            .await
            .unwrap_or_else(|_| panic!("it is said: {expected}"));
    };
    until_said(true).await;
    assert!(!look.is_finished(), "it waits");

    limit(pid, before);
    let answer = look.await.unwrap();
    assert_eq!(answer.status, 404);
    until_said(false).await;
}
