//! Known answers of what this crate is built on.

use serde_json::{Value, json};
use vestibule_crypto::HostIdentity;
use vodozemac::megolm::{InboundGroupSession, MegolmMessage, SessionConfig, SessionKey};
use vodozemac::{Ed25519PublicKey, Ed25519Signature};

use crate::common::*;

/// See `known-answers.py` beside it.
const KNOWN_ANSWERS: &str = include_str!("../fixtures/known-answers.json");

pub fn bytes(hex: &str) -> Vec<u8> {
    let byte = |place| u8::from_str_radix(&hex[place..place + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// Messages that a program without a line of vodozemac encrypted by the specification: the first
/// message of an Olm session, the next, and Megolm messages before and after each part of the ratchet
/// turns. The device that reads them is a stored one, with keys as vodozemac 0.11 pickles them.
#[test]
fn known_answers_of_olm_and_megolm() {
    let answers: Value = serde_json::from_str(KNOWN_ANSWERS).unwrap();
    let mut guest = Device::new(GUEST, "GUESTDEV", HOST, NOW);
    let object =
        json!({"user_id": GUEST, "device_id": "GUESTDEV", "refilled_at": NOW, "fallback_at": NOW});
    let keys = &answers["guest"];
    let pickle = json!({
        "signing_key": {"Normal": keys["signing_key"]},
        "diffie_hellman_key": keys["identity"],
        "one_time_keys": {"next_key_id": 1, "public_keys": {}, "private_keys": {"0": keys["one_time_key"]}},
        "fallback_keys": {"key_id": 0, "fallback_key": null, "previous_fallback_key": null},
    });
    let account = format!("\x01{object}\n{pickle}");
    guest
        .records
        .insert("account".to_owned(), account.into_bytes());
    guest.restart();
    let mut server = Server::default();
    let devices = server.device_keys.entry(HOST.to_owned()).or_default();
    devices.insert("ALICEDEV".to_owned(), answers["device_keys"].clone());
    let received = guest.receive_keys(&server.query(HOST), NOW);
    assert_eq!(
        (received.identity, received.devices),
        (HostIdentity::None, 1)
    );
    for event in answers["to_device"].as_array().unwrap() {
        assert_eq!(guest.receive_olm(event, NOW).refused, None);
        guest.restart();
    }
    for event in answers["events"].as_array().unwrap() {
        let index = event["event_id"].as_str().unwrap().trim_start_matches('$');
        assert_eq!(body(&guest.event(event)), format!("message {index}"));
    }
}

/// The vector of libolm's `tests/test_group_session.cpp`, which each implementation of Megolm reads.
#[test]
fn known_answer_of_libolm_for_megolm() {
    let key = "AgAAAAAwMTIzNDU2Nzg5QUJERUYwMTIzNDU2Nzg5QUJDREVGMDEyMzQ1Njc4OUFCREVGM\
        DEyMzQ1Njc4OUFCQ0RFRjAxMjM0NTY3ODlBQkRFRjAxMjM0NTY3ODlBQkNERUYwMTIzND\
        U2Nzg5QUJERUYwMTIzNDU2Nzg5QUJDREVGMDEyMw0bdg1BDq4Px/slBow06q8n/B9WBfw\
        WYyNOB8DlUmXGGwrFmaSb9bR/eY8xgERrxmP07hFmD9uqA2p8PMHdnV5ysmgufE6oLZ5+\
        8/mWQOW3VVTnDIlnwd8oHUYRuk8TCQ";
    let message = "AwgAEhAcbh6UpbByoyZxufQ+h2B+8XHMjhR69G8F4+qjMaFlnIXusJZX3r8LnRORG9T3D\
        XFdbVuvIWrLyRfm4i8QRbe8VPwGRFG57B1CtmxanuP8bHtnnYqlwPsD";
    let key = SessionKey::from_base64(key).unwrap();
    let mut session = InboundGroupSession::new(&key, SessionConfig::version_1());
    let message = MegolmMessage::from_base64(message).unwrap();
    let decrypted = session.decrypt(&message).unwrap();
    assert_eq!(
        (&*decrypted.plaintext, decrypted.message_index),
        (&b"Message"[..], 0)
    );
}

/// The cases of "Taming the many EdDSAs" (ed25519-speccheck, `cases.json`) in which the key or R is of
/// small order or badly written, or S too large: none is a signature to the library underneath.
#[test]
fn signatures_of_the_speccheck_are_refused() {
    // Message, key, signature; what is odd about it.
    let cases = [
        (
            "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a\
             0000000000000000000000000000000000000000000000000000000000000000",
            "key and R of small order, S zero",
        ),
        (
            "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43\
             a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04",
            "key of small order",
        ),
        (
            "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
            "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa\
             8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
            "R of small order",
        ),
        (
            "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c",
            "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d",
            "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed512\
             5ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
            "holds only after a multiplication by eight",
        ),
        (
            "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
            "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
            "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e\
             547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
            "S above the order",
        ),
        (
            "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40",
            "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623",
            "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa1942\
             7e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
            "S far above the order",
        ),
        (
            "fdaebc429f4a735932a160da1301080c13280eea8bc280d1b392c6b9e6ba3a5a",
            "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f\
             454d370c8d9fc323a41450f8d513eafeb5b0697390c1e505a0d4ddc71f566607",
            "R badly written",
        ),
        (
            "84b698d39be126ff55fe45079e6c8bf64a0d7db6994560b4e96b7021eb39c1a1",
            "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f\
             084d5b99c2a9463d9c8bd5026916996984eeec87ddf1d3be329006ace1b37b09",
            "R badly written",
        ),
    ];
    for (message, key, signature, odd) in cases {
        let key = Ed25519PublicKey::from_slice(&bytes(key).try_into().unwrap()).unwrap();
        let verified = Ed25519Signature::from_slice(&bytes(signature))
            .is_ok_and(|signature| key.verify(&bytes(message), &signature).is_ok());
        assert!(!verified, "{odd}");
    }
}
