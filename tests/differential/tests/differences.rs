//! Where our machine and matrix-sdk-crypto's part on purpose: `docs/differences.md` says why, and
//! these hold it. Each shows both sides.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use matrix_sdk_crypto::{CollectStrategy, TrustRequirement};
use serde_json::json;
use vestibule_crypto::{Blocked, HostIdentity, Item, Undecryptable, decode_base64, encode_base64};
use vestibule_differential::fate::CallFault;
use vestibule_differential::guest::Sent;
use vestibule_differential::sdk::Sdk;
use vestibule_differential::stage::{Stage, text};
use vestibule_differential::{GUEST, HOST, ROOM, TWIN};

const BOTH: [&str; 2] = [GUEST, TWIN];

/// Both guests know the host, whose device this is.
async fn met() -> (Stage, Sdk, Sdk) {
    let mut stage = Stage::new();
    let host = stage.signed("HOST1").await;
    let mut twin = stage.twin().await;
    twin.trust = TrustRequirement::CrossSigned;
    twin.strategy = CollectStrategy::IdentityBasedStrategy;
    host.track(&mut stage.server, &BOTH).await;
    stage.guest.query(&stage.server, stage.now);
    (stage, host, twin)
}

fn reason(items: &[Item]) -> Undecryptable {
    match items {
        [Item::Undecryptable { reason, .. }] => *reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_ciphertext_that_comes_again_is_refused() {
    let (mut stage, host, twin) = met().await;
    let event = stage.says(&host, &BOTH, "once").await;
    assert_eq!(text(&stage.guest_reads(&event)), "once");
    assert!(stage.reads(&twin, &event).await.is_read());

    let again = stage.event(HOST, &event["content"]);
    let items = stage.guest_reads(&again);
    assert_eq!(reason(&items), Undecryptable::Replay);
    assert!(stage.reads(&twin, &again).await.is_read());
}

#[tokio::test]
async fn a_message_in_another_encoding_is_refused() {
    let (mut stage, host, twin) = met().await;
    let event = stage.says(&host, &BOTH, "as it was sent").await;
    let mut content = event["content"].clone();
    let mut bytes = decode_base64(content["ciphertext"].as_str().unwrap()).unwrap();
    // Behind the version stands the message's index, 0. Under a field that nobody knows it is
    // left out, which means the same.
    assert_eq!(bytes[..3], [3, 8, 0]);
    bytes[1] = 0x18;
    content["ciphertext"] = json!(encode_base64(&bytes));
    let other = stage.event(HOST, &content);
    let items = stage.guest_reads(&other);
    assert_eq!(reason(&items), Undecryptable::Malformed);
    assert!(stage.reads(&twin, &other).await.is_read());
    assert_eq!(text(&stage.guest_reads(&event)), "as it was sent");
}

#[tokio::test]
async fn the_pinned_identity_holds_until_the_guest_has_spoken() {
    let (mut stage, host, twin) = met().await;
    // A second device, which only the first identity signs.
    let second = stage.unsigned("HOST2").await;
    host.track(&mut stage.server, &[HOST]).await;
    host.sign(&mut stage.server, "HOST2").await;
    stage.guest.query(&stage.server, stage.now);
    twin.track(&mut stage.server, &[HOST]).await;
    second.track(&mut stage.server, &[HOST, GUEST, TWIN]).await;

    host.cross_sign(&mut stage.server).await;
    let third = stage.unsigned("HOST3").await;
    host.track(&mut stage.server, &[HOST]).await;
    host.sign(&mut stage.server, "HOST3").await;
    third.track(&mut stage.server, &[HOST, GUEST, TWIN]).await;
    let identity = stage.guest.identity(&stage.server, stage.now);
    assert_eq!(identity, HostIdentity::Changed);
    twin.track(&mut stage.server, &[HOST]).await;
    assert!(twin.identity_changed(HOST).await);

    // Ours sends nothing; the twin's client has to think of that itself.
    let mut out = Vec::new();
    let sent = stage
        .guest
        .send(&mut stage.server, "no", None, &mut out, stage.now);
    assert_eq!(sent, Sent::Blocked(Blocked::IdentityChanged));
    assert!(out.is_empty());
    let said = stage.says(&twin, &[HOST], "yes").await;
    assert!(stage.reads(&host, &said).await.is_read());

    // Only the old identity signed the second device, only the new one the third.
    let old = stage.says(&second, &BOTH, "old").await;
    assert_eq!(text(&stage.guest_reads(&old)), "old");
    assert!(!stage.reads(&twin, &old).await.is_read());
    let new = stage.says(&third, &BOTH, "new").await;
    stage.guest_syncs();
    assert_eq!(reason(&stage.guest_reads(&new)), Undecryptable::NoKey);
    assert!(stage.reads(&twin, &new).await.is_read());

    // One more that the new one signed, and that is gone before the guest's word.
    let fourth = stage.unsigned("HOST4").await;
    host.track(&mut stage.server, &[HOST]).await;
    host.sign(&mut stage.server, "HOST4").await;
    fourth.track(&mut stage.server, &[HOST, GUEST, TWIN]).await;
    twin.track(&mut stage.server, &[HOST]).await;
    let gone = stage.says(&fourth, &BOTH, "gone").await;
    stage.guest_syncs();
    assert_eq!(reason(&stage.guest_reads(&gone)), Undecryptable::NoKey);
    assert!(stage.reads(&twin, &gone).await.is_read());
    stage.server.remove_device(HOST, "HOST4");
    stage.guest.query(&stage.server, stage.now);

    // Afterwards they agree, but for the device that is gone.
    let items = stage.guest.accept_identity();
    assert_eq!(text(&items), "new");
    twin.accept_identity(HOST).await;
    second.rotate(ROOM).await;
    let old = stage.says(&second, &BOTH, "old again").await;
    stage.guest_syncs();
    assert_eq!(reason(&stage.guest_reads(&old)), Undecryptable::NoKey);
    assert!(!stage.reads(&twin, &old).await.is_read());
}

#[tokio::test]
async fn a_device_is_given_up_after_three_claims() {
    let (mut stage, host, twin) = met().await;
    // The second device has no one-time key whenever somebody asks.
    stage.unsigned("HOST2").await;
    host.track(&mut stage.server, &[HOST]).await;
    host.sign(&mut stage.server, "HOST2").await;
    stage.guest.query(&stage.server, stage.now);
    twin.track(&mut stage.server, &[HOST]).await;
    stage.server.remove_keys(HOST, "HOST2");

    let told = |stage: &mut Stage| {
        let events = stage.server.take(HOST, "HOST2");
        let codes = events.iter().map(|event| event["content"]["code"].clone());
        codes.collect::<Vec<_>>()
    };
    stage.says(&twin, &[HOST], "twin").await;
    assert_eq!(told(&mut stage), [json!("m.no_olm")]);
    for expected in [&[][..], &[], &[json!("m.no_olm")]] {
        let said = stage.guest_says("ours");
        assert!(stage.reads(&host, &said).await.is_read());
        assert_eq!(told(&mut stage), expected);
        stage.now += 7_200_000;
    }
}

#[tokio::test]
async fn a_replaced_session_is_dropped_after_the_grace() {
    let (mut stage, host, twin) = met().await;
    let first = stage.says(&host, &BOTH, "first").await;
    let late = stage.says(&host, &BOTH, "late").await;
    assert_eq!(text(&stage.guest_reads(&first)), "first");
    assert!(stage.reads(&twin, &first).await.is_read());
    // A session that replaces it, and when that has been there for the grace, one more.
    for (body, later) in [("second", 3_600_000), ("third", 9 * 24 * 3_600_000)] {
        stage.now += later;
        host.rotate(ROOM).await;
        let event = stage.says(&host, &BOTH, body).await;
        assert_eq!(text(&stage.guest_reads(&event)), body);
    }
    assert_eq!(reason(&stage.guest_reads(&late)), Undecryptable::NoKey);
    assert!(stage.reads(&twin, &late).await.is_read());
}

#[tokio::test]
async fn a_broken_olm_session_is_replaced_within_its_first_hour() {
    let (mut stage, host, twin) = met().await;
    let event = stage.says(&host, &BOTH, "never read").await;
    for guest in BOTH {
        for mut event in stage.server.take(guest, "GUESTDEV") {
            vestibule_differential::fate::damage(&mut event["content"], 800);
            if guest == GUEST {
                let received = stage.guest.receive_to_device(&event, stage.now);
                assert!(received.refused.is_some());
            } else {
                assert!(!twin.receive_to_device(&event).await);
            }
        }
    }
    assert_eq!(reason(&stage.guest_reads(&event)), Undecryptable::NoKey);
    assert!(!stage.reads(&twin, &event).await.is_read());

    // The twin does nothing yet. Ours begins a new session, and the host gives it the key again.
    assert_eq!(twin.settle(&mut stage.server, None).await, Some(Vec::new()));
    let mut out = Vec::new();
    stage.guest.heal(&mut stage.server, &mut out, stage.now);
    assert!(!out.is_empty());
    stage.deliver(GUEST, out);
    for event in stage.server.take(HOST, "HOST1") {
        assert!(host.receive_to_device(&event).await);
    }
    let next = stage.says(&host, &BOTH, "read by ours").await;
    assert_eq!(text(&stage.guest_reads(&next)), "read by ours");
    assert!(!stage.reads(&twin, &next).await.is_read());
}

#[tokio::test]
async fn of_a_host_without_an_identity_only_known_devices_are_read() {
    let mut stage = Stage::new();
    let host = stage.unsigned("HOST1").await;
    let twin = stage.twin().await;
    host.track(&mut stage.server, &BOTH).await;
    stage.guest.query(&stage.server, stage.now);
    let said = stage.says(&host, &BOTH, "known").await;
    assert_eq!(text(&stage.guest_reads(&said)), "known");
    assert!(stage.reads(&twin, &said).await.is_read());

    // Under another name: ours shows nothing, the twin's client shows it with a warning.
    let mut false_sender = stage.event(HOST, &said["content"]);
    false_sender["sender"] = json!("@mallory:example.org");
    assert_eq!(stage.guest_reads(&false_sender), []);
    assert!(stage.reads(&twin, &false_sender).await.is_read());

    // A device that was gone before anybody asked who it was.
    let gone = stage.unsigned("HOST2").await;
    gone.track(&mut stage.server, &BOTH).await;
    let said = stage.says(&gone, &BOTH, "gone").await;
    stage.server.remove_device(HOST, "HOST2");
    stage.guest_syncs();
    assert_eq!(reason(&stage.guest_reads(&said)), Undecryptable::NoKey);
    assert_eq!(stage.guest.query(&stage.server, stage.now).items, []);
    assert!(stage.reads(&twin, &said).await.is_read());
}

#[tokio::test]
async fn what_came_before_the_first_identity_is_read_on() {
    let mut stage = Stage::new();
    let host = stage.unsigned("HOST1").await;
    let mut twin = stage.twin().await;
    host.track(&mut stage.server, &BOTH).await;
    stage.guest.query(&stage.server, stage.now);
    let said = stage.says(&host, &BOTH, "before").await;
    stage.guest_syncs();
    assert!(stage.reads(&twin, &said).await.is_read());

    // Another device makes the identity, which doesn't sign this one.
    stage.signed("HOST2").await;
    let identity = stage.guest.identity(&stage.server, stage.now);
    assert_eq!(identity, HostIdentity::First);
    twin.track(&mut stage.server, &[HOST]).await;
    twin.trust = TrustRequirement::CrossSigned;
    assert_eq!(text(&stage.guest_reads(&said)), "before");
    assert!(!stage.reads(&twin, &said).await.is_read());

    // With its next key it is refused by both.
    host.rotate(ROOM).await;
    let said = stage.says(&host, &BOTH, "after").await;
    stage.guest_syncs();
    assert_eq!(reason(&stage.guest_reads(&said)), Undecryptable::NoKey);
    assert!(!stage.reads(&twin, &said).await.is_read());
}

#[tokio::test]
async fn a_message_that_is_lost_before_it_is_stored_costs_nothing() {
    let (mut stage, host, twin) = met().await;
    let mut out = Vec::new();
    let fault = Some(CallFault::Unstored);
    let sent = stage
        .guest
        .send(&mut stage.server, "again", fault, &mut out, stage.now);
    stage.deliver(GUEST, out);
    let Sent::Content(content) = sent else {
        panic!("{sent:?}");
    };
    let event = stage.event(GUEST, &content);
    assert!(stage.reads(&host, &event).await.is_read());
    let said = stage.says(&twin, &[HOST], "twin").await;
    assert!(stage.reads(&host, &said).await.is_read());
}

#[tokio::test]
async fn a_key_is_claimed_when_a_device_may_be_sent_something() {
    let (mut stage, host, twin) = met().await;
    let second = stage.unsigned("HOST2").await;
    stage.guest.query(&stage.server, stage.now);
    twin.track(&mut stage.server, &[HOST]).await;
    for said in [
        stage.guest_says("one"),
        stage.says(&twin, &[HOST], "one").await,
    ] {
        assert!(!stage.reads(&second, &said).await.is_read());
    }
    // When it is signed, its keys have run out.
    host.track(&mut stage.server, &[HOST]).await;
    host.sign(&mut stage.server, "HOST2").await;
    stage.guest.query(&stage.server, stage.now);
    twin.track(&mut stage.server, &[HOST]).await;
    stage.server.remove_keys(HOST, "HOST2");
    let ours = stage.guest_says("two");
    assert!(!stage.reads(&second, &ours).await.is_read());
    let twins = stage.says(&twin, &[HOST], "two").await;
    assert!(stage.reads(&second, &twins).await.is_read());
}

#[tokio::test]
async fn the_word_that_there_is_no_key_is_of_the_moment() {
    let (mut stage, host, twin) = met().await;
    stage.unsigned("HOST2").await;
    stage.guest.query(&stage.server, stage.now);
    twin.track(&mut stage.server, &[HOST]).await;
    let fault = Some(CallFault::ToDevice);
    let mut out = Vec::new();
    let (server, now) = (&mut stage.server, stage.now);
    stage.guest.send(server, "no", fault, &mut out, now);
    let shared = twin.share(server, ROOM, &[HOST], fault, &mut out);
    assert!(shared.await.is_none());
    assert!(out.is_empty());
    // Before either comes to say it, the device is signed.
    host.track(&mut stage.server, &[HOST]).await;
    host.sign(&mut stage.server, "HOST2").await;
    stage.guest.query(&stage.server, stage.now);
    twin.track(&mut stage.server, &[HOST]).await;
    let told = |stage: &mut Stage| {
        let events = stage.server.take(HOST, "HOST2");
        events
            .iter()
            .any(|event| event["type"] == "m.room_key.withheld")
    };
    stage.guest_says("yes");
    assert!(!told(&mut stage));
    stage.says(&twin, &[HOST], "yes").await;
    assert!(told(&mut stage));
}
