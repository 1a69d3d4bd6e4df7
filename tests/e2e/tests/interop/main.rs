//! The guest's crypto machine against matrix-sdk-crypto's `OlmMachine` as the host, without a
//! network: a few lines of key server stand between them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod guest;
mod host;
mod server;

use matrix_sdk::deserialized_responses::{VerificationLevel, VerificationState};
use matrix_sdk_crypto::{CollectStrategy, MegolmError, TrustRequirement};
use serde_json::{Value, json};
use vestibule_crypto::{HostIdentity, Item};

use crate::guest::Guest;
use crate::host::Host;
use crate::server::Server;

const GUEST: &str = "@_vestibule_7d1f:example.org";
const HOST: &str = "@alice:example.org";
const ROOM: &str = "!sealed:example.org";
const NOW: u64 = 1_795_364_370_566;

fn event(sender: &str, id: &str, content: &Value) -> Value {
    json!({"type": "m.room.encrypted", "event_id": id, "sender": sender, "room_id": ROOM,
        "origin_server_ts": NOW, "content": content})
}

fn text(items: &[Item]) -> &str {
    match items {
        [Item::Text { body, .. }] => body,
        other => panic!("no single text: {other:?}"),
    }
}

/// As from a device that its owner has signed, whose owner the host hasn't compared keys with.
fn signed_by_owner(state: &VerificationState) -> bool {
    *state == VerificationState::Unverified(VerificationLevel::UnverifiedIdentity)
}

async fn ten_each_way(guest: &mut Guest, host: &Host, server: &mut Server) {
    for n in 0..10 {
        let content = guest.send(server, &format!("guest {n} 🙂"));
        let sent = event(GUEST, &format!("$g{n}:x"), &content);
        let (body, state) = host.read(server, &sent).await.unwrap();
        assert_eq!(body, format!("guest {n} 🙂"));
        assert!(signed_by_owner(&state), "{state:?}");

        let content = host.send(server, &format!("host {n}")).await;
        let sent = event(HOST, &format!("$h{n}:x"), &content);
        assert_eq!(text(&guest.read(server, &sent)), format!("host {n}"));
        // A reload of the page between any two messages.
        guest.restart();
    }
}

#[tokio::test]
async fn both_directions_with_the_default_of_the_host() {
    let mut server = Server::default();
    let mut guest = Guest::join(&mut server);
    let host = Host::signed("HOSTDEV", &mut server).await;
    assert_eq!(guest.receive_keys(&server), HostIdentity::First);
    ten_each_way(&mut guest, &host, &mut server).await;
}

#[tokio::test]
async fn both_directions_when_the_host_excludes_insecure_devices() {
    let mut server = Server::default();
    let mut guest = Guest::join(&mut server);
    let mut host = Host::signed("HOSTDEV", &mut server).await;
    host.trust = TrustRequirement::CrossSigned;
    host.strategy = CollectStrategy::new_identity_based();
    assert_eq!(guest.receive_keys(&server), HostIdentity::First);
    ten_each_way(&mut guest, &host, &mut server).await;
}

#[tokio::test]
async fn the_host_may_write_first() {
    let mut server = Server::default();
    let mut guest = Guest::join(&mut server);
    let host = Host::signed("HOSTDEV", &mut server).await;
    guest.receive_keys(&server);
    let content = host.send(&mut server, "hello").await;
    assert_eq!(
        text(&guest.read(&mut server, &event(HOST, "$1:x", &content))),
        "hello"
    );
    ten_each_way(&mut guest, &host, &mut server).await;
}

#[tokio::test]
async fn a_host_without_cross_signing() {
    let mut server = Server::default();
    let mut guest = Guest::join(&mut server);
    let host = Host::new("HOSTDEV").await;
    host.settle(&mut server).await;
    host.track(&mut server).await;
    assert_eq!(guest.receive_keys(&server), HostIdentity::None);
    ten_each_way(&mut guest, &host, &mut server).await;
}

#[tokio::test]
async fn an_unsigned_device_of_the_host_is_told_that_it_gets_no_key() {
    let mut server = Server::default();
    let mut guest = Guest::join(&mut server);
    let signed = Host::signed("HOSTDEV", &mut server).await;
    let unsigned = Host::new("UNSIGNED").await;
    unsigned.settle(&mut server).await;
    unsigned.track(&mut server).await;
    signed.track(&mut server).await;
    guest.receive_keys(&server);

    let content = guest.send(&mut server, "only for signed devices");
    let sent = event(GUEST, "$1:x", &content);
    let for_unsigned: Vec<&Value> = server
        .inbox
        .iter()
        .filter(|(_, d, _)| d == "UNSIGNED")
        .map(|(_, _, e)| e)
        .collect();
    assert_eq!(for_unsigned.len(), 1);
    assert_eq!(for_unsigned[0]["type"], "m.room_key.withheld");
    assert!(signed.read(&mut server, &sent).await.is_ok());
    match unsigned.read(&mut server, &sent).await {
        Err(MegolmError::MissingRoomKey(Some(code))) => assert_eq!(code.as_str(), "m.unverified"),
        other => panic!("{other:?}"),
    }

    // And what the unsigned device writes is not shown, until its owner signs it.
    let content = unsigned
        .send(&mut server, "from nobody in particular")
        .await;
    let sent = event(HOST, "$2:x", &content);
    for event in server.take(GUEST, "GUESTDEV") {
        let step = guest.machine.receive_to_device(&event, NOW).unwrap();
        assert!(guest.step(step).refused.is_some());
    }
    let items = guest.read(&mut server, &sent);
    assert!(
        matches!(items[..], [Item::Undecryptable { .. }]),
        "{items:?}"
    );
}

#[tokio::test]
async fn what_is_no_text_is_named() {
    let mut server = Server::default();
    let mut guest = Guest::join(&mut server);
    let host = Host::signed("HOSTDEV", &mut server).await;
    guest.receive_keys(&server);
    let content = json!({"call_id": "1", "version": "1", "lifetime": 1,
        "offer": {"type": "offer", "sdp": ""}, "party_id": "a"});
    let content = host.send_raw(&mut server, "m.call.invite", content).await;
    let items = guest.read(&mut server, &event(HOST, "$1:x", &content));
    let json = serde_json::to_value(&items).unwrap();
    assert_eq!(
        (&json[0]["kind"], &json[0]["what"]),
        (&json!("unsupported"), &json!("call"))
    );
}
