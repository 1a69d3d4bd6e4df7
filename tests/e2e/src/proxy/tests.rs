#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use std::io::Read as _;

use vestibule_lab::{Api, get};

use super::*;

/// A server that counts its requests in its answers.
fn server() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().enumerate() {
            let mut client = client.unwrap();
            let mut reader = BufReader::new(client.try_clone().unwrap());
            Request::read(&mut reader).unwrap();
            let body = format!("{{\"number\":{}}}", number + 1);
            client
                .write_all(&Response::of("200 OK", &body).bytes())
                .unwrap();
        }
    });
    address
}

#[test]
fn each_fault_does_what_it_says() {
    let proxy = Proxy::start(&server(), None).unwrap();
    let api = Api::new(proxy.address(), None);
    let number = || {
        let answer = api.call("GET", "/path", None).ok()?;
        answer.json().get("number").and_then(Value::as_u64)
    };
    assert_eq!(number(), Some(1));
    proxy.plan(Call::new("GET", "/path"), Fault::Drop, 1);
    assert_eq!(number(), None);
    assert_eq!(number(), Some(2));
    proxy.plan(Call::new("GET", "/path"), Fault::Refuse, 1);
    assert_eq!(api.call("GET", "/path", None).unwrap().status, 500);
    let told = proxy.trap(Call::ANY, Fault::Lose);
    assert_eq!(number(), None);
    told.recv().unwrap();
    assert_eq!(number(), Some(4));
    proxy.answer(
        Call::new("GET", "/path"),
        &serde_json::json!({"number": 77}),
    );
    assert_eq!(number(), Some(77));
    proxy.answer_nothing();
    proxy.cut();
    assert_eq!(number(), None);
    proxy.heal();
    assert_eq!(number(), Some(5));
    assert_eq!(proxy.count(Call::ANY), 8);
}

#[test]
fn a_connection_is_used_again_and_a_tear_ends_it() {
    let proxy = Proxy::start(&server(), None).unwrap();
    let address = proxy.address().strip_prefix("http://").unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    for number in 1..=2 {
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut seen = String::new();
        let end = format!("{{\"number\":{number}}}");
        while !seen.ends_with(&end) {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            seen.push(char::from(byte[0]));
        }
    }
    proxy.tear();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert!(get(proxy.address()).is_ok());
}
