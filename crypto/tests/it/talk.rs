//! Two machines talk with each other.

use crate::common::*;
use vestibule_crypto::{Prepare, Undecryptable};

#[test]
fn both_directions_in_order() {
    let (mut server, mut guest, mut host) = pair();
    for n in 0..10 {
        let text = format!("guest {n} äöü 🙂");
        let event = send(&mut server, &mut guest, &format!("$g{n}"), &text, NOW);
        deliver(&mut server, &mut host, NOW);
        assert_eq!(body(&host.event(&event)), text);

        let text = format!("host {n}");
        let event = send(&mut server, &mut host, &format!("$h{n}"), &text, NOW);
        deliver(&mut server, &mut guest, NOW);
        assert_eq!(body(&guest.event(&event)), text);
    }
}

#[test]
fn a_restart_between_any_two_calls_changes_nothing() {
    let (mut server, mut guest, mut host) = pair();
    for n in 0..5 {
        for _ in 0..10 {
            guest.restart();
            match guest.prepare(NOW) {
                Prepare::KeysClaim { devices } => {
                    guest.receive_claim(&server.claim_all(&devices), NOW);
                }
                Prepare::ToDevice {
                    id,
                    event_type,
                    messages,
                } => {
                    guest.restart();
                    server.send(GUEST, &event_type, &messages);
                    guest.stored(&id);
                }
                Prepare::Ready => break,
                other => panic!("{other:?}"),
            }
        }
        guest.restart();
        let content = guest.encrypt("hello", NOW);
        guest.restart();
        host.restart();
        deliver(&mut server, &mut host, NOW);
        host.restart();
        let event = room_event(GUEST, &format!("$g{n}"), &content);
        assert_eq!(body(&host.event(&event)), "hello");
        let event = send(&mut server, &mut host, &format!("$h{n}"), "back", NOW);
        guest.restart();
        deliver(&mut server, &mut guest, NOW);
        guest.restart();
        assert_eq!(body(&guest.event(&event)), "back");
    }
}

#[test]
fn a_key_that_comes_late_decrypts_what_waits() {
    let (mut server, mut guest, mut host) = pair();
    let first = send(&mut server, &mut host, "$1", "one", NOW);
    let second = send(&mut server, &mut host, "$2", "two", NOW);
    assert_eq!(reason(&guest.event(&second)), Undecryptable::NoKey);
    assert_eq!(reason(&guest.event(&first)), Undecryptable::NoKey);
    assert_eq!(reason(&guest.event(&first)), Undecryptable::NoKey);
    guest.restart();
    let received = deliver(&mut server, &mut guest, NOW);
    let bodies: Vec<&str> = received[0].items.iter().map(body).collect();
    assert_eq!(bodies, ["two", "one"]);
    assert!(!guest.records.keys().any(|key| key.starts_with("waiting")));
}
