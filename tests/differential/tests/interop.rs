//! The guest's crypto machine against matrix-sdk-crypto's `OlmMachine` as the host: the plain cases,
//! one by one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use matrix_sdk_common::deserialized_responses::{VerificationLevel, VerificationState};
use matrix_sdk_crypto::{CollectStrategy, TrustRequirement};
use serde_json::json;
use vestibule_crypto::{HostIdentity, Item, Refused};
use vestibule_differential::sdk::{Sdk, Verdict};
use vestibule_differential::stage::{Stage, text};
use vestibule_differential::{BEGINNING, GUEST, HOST};

/// As from a device that its owner has signed, whose owner the host hasn't compared keys with.
const SIGNED: VerificationState =
    VerificationState::Unverified(VerificationLevel::UnverifiedIdentity);

async fn ten_each_way(stage: &mut Stage, host: &Sdk) {
    for n in 0..10 {
        let event = stage.guest_says(&format!("guest {n} 🙂"));
        let read = Verdict::Read {
            sender: GUEST.to_owned(),
            body: format!("guest {n} 🙂"),
            state: SIGNED,
        };
        assert_eq!(stage.reads(host, &event).await, read);
        let event = stage.says(host, &[GUEST], &format!("host {n}")).await;
        assert_eq!(text(&stage.guest_reads(&event)), format!("host {n}"));
        // A reload of the page between any two messages.
        stage.guest.restart();
    }
}

#[tokio::test]
async fn both_directions_with_the_default_of_the_host() {
    let mut stage = Stage::new();
    let host = stage.signed("HOSTDEV").await;
    let identity = stage.guest.identity(&stage.server, BEGINNING);
    assert_eq!(identity, HostIdentity::First);
    ten_each_way(&mut stage, &host).await;
}

#[tokio::test]
async fn both_directions_when_the_host_excludes_insecure_devices() {
    let mut stage = Stage::new();
    let mut host = stage.signed("HOSTDEV").await;
    host.trust = TrustRequirement::CrossSigned;
    host.strategy = CollectStrategy::new_identity_based();
    let identity = stage.guest.identity(&stage.server, BEGINNING);
    assert_eq!(identity, HostIdentity::First);
    ten_each_way(&mut stage, &host).await;
}

#[tokio::test]
async fn the_host_may_write_first() {
    let mut stage = Stage::new();
    let host = stage.signed("HOSTDEV").await;
    stage.guest.query(&stage.server, BEGINNING);
    let event = stage.says(&host, &[GUEST], "hello").await;
    assert_eq!(text(&stage.guest_reads(&event)), "hello");
    ten_each_way(&mut stage, &host).await;
}

#[tokio::test]
async fn a_host_without_cross_signing() {
    let mut stage = Stage::new();
    let host = stage.unsigned("HOSTDEV").await;
    let identity = stage.guest.identity(&stage.server, BEGINNING);
    assert_eq!(identity, HostIdentity::None);
    ten_each_way(&mut stage, &host).await;
}

#[tokio::test]
async fn an_unsigned_device_of_the_host_is_told_that_it_gets_no_key() {
    let mut stage = Stage::new();
    let signed = stage.signed("HOSTDEV").await;
    let unsigned = stage.unsigned("UNSIGNED").await;
    signed.track(&mut stage.server, &[HOST]).await;
    stage.guest.query(&stage.server, BEGINNING);

    let event = stage.guest_says("only for signed devices");
    assert!(stage.reads(&signed, &event).await.is_read());
    let withheld = Verdict::NoKey(Some("m.unverified".to_owned()));
    assert_eq!(stage.reads(&unsigned, &event).await, withheld);

    // And what the unsigned device writes is not shown, until its owner signs it.
    let event = stage.says(&unsigned, &[GUEST], "from nobody").await;
    assert_eq!(stage.guest_syncs().0, [Refused::UnknownDevice]);
    let items = stage.guest_reads(&event);
    assert!(
        matches!(items[..], [Item::Undecryptable { .. }]),
        "{items:?}"
    );
    signed.sign(&mut stage.server, "UNSIGNED").await;
    let received = stage.guest.query(&stage.server, BEGINNING);
    assert_eq!(text(&received.items), "from nobody");
}

#[tokio::test]
async fn what_is_no_text_is_named() {
    let mut stage = Stage::new();
    let host = stage.signed("HOSTDEV").await;
    stage.guest.query(&stage.server, BEGINNING);
    let content = json!({"call_id": "1", "version": "1", "lifetime": 1,
        "offer": {"type": "offer", "sdp": ""}, "party_id": "a"});
    let invite = stage.sends(&host, &[GUEST], "m.call.invite", &content);
    let event = invite.await;
    let json = serde_json::to_value(stage.guest_reads(&event)).unwrap();
    assert_eq!(
        (&json[0]["kind"], &json[0]["what"]),
        (&json!("unsupported"), &json!("call"))
    );
}
