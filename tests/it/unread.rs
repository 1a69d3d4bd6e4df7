//! Who is refused reads why, though they were still sending.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::homeserver::PATIENCE;
use crate::world::World;

/// Long enough that the bridge has seen one piece, and decided, before the next one comes.
const PAUSE: Duration = Duration::from_millis(20);
const PIECE: usize = 64 * 1024;

/// A request whose body is that long.
async fn begun(url: &str, method: &str, headers: &str, length: usize) -> TcpStream {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_at(rest.find('/').unwrap());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// What is answered, up to the end of the body that says how long it is.
async fn answer(stream: &mut TcpStream) -> String {
    let mut said = String::new();
    let complete = |said: &str| {
        let (head, body) = said.split_once("\r\n\r\n")?;
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1)?;
        let length: usize = length.split("\r\n").next()?.parse().ok()?;
        (body.len() == length).then_some(())
    };
    let mut piece = [0; 4096];
    while complete(&said).is_none() {
        let read = stream.read(&mut piece).await.unwrap();
        assert_ne!(read, 0, "closed after {said:?}");
        said.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_reaches_who_is_still_sending() {
    let world = World::start().await;
    let json = "Content-Type: application/json\r\n";
    let large = 512 * 1024;
    let join = world.bridge.url("/api/v1/join");
    let cases = [
        ("POST", join.clone(), json, "413"),
        ("POST", join, "Content-Type: text/plain\r\n", "400"),
        ("POST", world.bridge.url("/nothing"), "", "404"),
        ("POST", world.bridge.ops_url("/metrics"), "", "405"),
        (
            "PUT",
            world
                .bridge
                .appservice_url("/_matrix/app/v1/transactions/1"),
            "Authorization: Bearer wrong\r\n",
            "403",
        ),
    ];
    for (method, url, headers, status) in cases {
        let what = format!("{method} {url} {headers}");
        let mut stream = begun(&url, method, headers, large).await;
        for _ in 0..large / PIECE {
            stream.write_all(&[b'x'; PIECE]).await.expect(&what);
            tokio::time::sleep(PAUSE).await;
        }
        let said = answer(&mut stream).await;
        assert_eq!(said.split(' ').nth(1), Some(status), "{what}: {said}");
        // Nothing of the body is left, so the connection is good for more.
        let next = b"GET /again HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(next).await.expect(&what);
        answer(&mut stream).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_ends_is_answered_all_the_same() {
    let world = World::start().await;
    let url = world.bridge.url("/nothing");
    let mut stream = begun(&url, "POST", "", 1000).await;
    stream.write_all(b"x").await.unwrap();
    let said = timeout(PATIENCE, answer(&mut stream)).await.unwrap();
    assert!(said.contains(" 404 "), "{said}");
    let closed = timeout(PATIENCE, stream.read(&mut [0])).await.unwrap();
    assert_eq!(closed.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_listened_to_for_ever() {
    let world = World::start().await;
    let url = world.bridge.url("/nothing");
    let endless = 1024 * 1024 * 1024;
    let mut stream = begun(&url, "POST", "", endless).await;
    let sending = async {
        let mut sent = 0;
        while sent < endless && stream.write_all(&[b'x'; PIECE]).await.is_ok() {
            sent += PIECE;
        }
        sent
    };
    let sent = timeout(PATIENCE, sending).await.unwrap();
    assert!(sent < endless / 16, "{sent}");
}
