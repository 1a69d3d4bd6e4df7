//! Public keys.

use serde_json::json;

use super::{AS_GHOST, GHOST, HOST, body, done, line, ok};

#[tokio::test]
async fn keys_go_up_as_they_are() {
    let (server, homeserver) =
        ok(json!({ "one_time_key_counts": { "signed_curve25519": 50, "curve25519": 3 } })).await;
    let device = homeserver.as_user(GHOST).with_device("BROWSER1");
    let device_keys = json!({ "user_id": GHOST, "zeta": 1, "alpha": { "unknown": true } });
    let one_time = json!({ "signed_curve25519:AAAAAQ": { "key": "a" } });
    let fallback = json!({ "signed_curve25519:AAAAAg": { "key": "b", "fallback": true } });
    assert_eq!(
        device
            .upload_keys(Some(&device_keys), Some(&one_time), Some(&fallback))
            .await
            .unwrap(),
        50
    );
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/keys/upload?{AS_GHOST}&device_id=BROWSER1")
    );
    let expected =
        json!({ "device_keys": device_keys, "one_time_keys": one_time, "fallback_keys": fallback });
    assert_eq!(body(&server).await, expected);
}

#[tokio::test]
async fn no_keys_only_count() {
    let (server, homeserver) = ok(json!({ "one_time_key_counts": {} })).await;
    assert_eq!(
        homeserver
            .as_user(GHOST)
            .with_device("B")
            .upload_keys(None, None, None)
            .await
            .unwrap(),
        0
    );
    assert_eq!(body(&server).await, json!({}));
}

#[tokio::test]
async fn cross_signing() {
    let (server, homeserver) = ok(done()).await;
    let [master, own, others] = ["m", "s", "u"].map(|usage| json!({ "usage": [usage] }));
    homeserver
        .as_user(GHOST)
        .upload_cross_signing(&master, &own, &others)
        .await
        .unwrap();
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/keys/device_signing/upload?{AS_GHOST}")
    );
    let expected =
        json!({ "master_key": master, "self_signing_key": own, "user_signing_key": others });
    assert_eq!(body(&server).await, expected);

    let (server, homeserver) = ok(json!({ "failures": {} })).await;
    let signed = json!({ GHOST: { "BROWSER1": { "signatures": {} } } });
    homeserver
        .as_user(GHOST)
        .upload_signatures(&signed)
        .await
        .unwrap();
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/keys/signatures/upload?{AS_GHOST}")
    );
    assert_eq!(body(&server).await, signed);
}

#[tokio::test]
async fn keys_of_others_come_back_as_they_are() {
    let answer =
        json!({ "device_keys": { HOST: { "D": { "odd": [1] } } }, "failures": { "x": {} } });
    let (server, homeserver) = ok(answer.clone()).await;
    let device = homeserver.as_user(GHOST).with_device("BROWSER1");
    assert_eq!(device.keys_query(&[HOST]).await.unwrap(), answer);
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/keys/query?{AS_GHOST}&device_id=BROWSER1")
    );
    assert_eq!(body(&server).await, json!({ "device_keys": { HOST: [] } }));

    let answer = json!({ "one_time_keys": { HOST: {} } });
    let (server, homeserver) = ok(answer.clone()).await;
    let device = homeserver.as_user(GHOST).with_device("BROWSER1");
    assert_eq!(
        device
            .keys_claim(&[(HOST, "D1"), (HOST, "D2")])
            .await
            .unwrap(),
        answer
    );
    assert_eq!(
        line(&server).await,
        format!("POST /_matrix/client/v3/keys/claim?{AS_GHOST}&device_id=BROWSER1")
    );
    let wanted = json!({ "one_time_keys": { HOST: { "D1": "signed_curve25519", "D2": "signed_curve25519" } } });
    assert_eq!(body(&server).await, wanted);
}
