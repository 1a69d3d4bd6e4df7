//! Whose session it is, where what was checked before doesn't count.
#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::object::Object;
use vodozemac::megolm::GroupSession;

#[test]
fn a_session_decrypts_only_for_its_owner() {
    let mut group = GroupSession::new(SessionConfig::version_1());
    let mut inbound = Inbound::default();
    let mut changes = Changes::default();
    let key = RoomKey {
        sender: "@alice:example.org".to_owned(),
        sender_curve25519: "c".to_owned(),
        sender_ed25519: "e".to_owned(),
        room_id: "!r".to_owned(),
        session_id: group.session_id(),
        session_key: group.session_key(),
    };
    inbound.add(&key, 0, &mut changes).unwrap();
    let payload =
        r#"{"type":"m.room.message","room_id":"!r","content":{"msgtype":"m.text","body":"x"}}"#;
    let content = Object::default()
        .text("algorithm", crate::MEGOLM)
        .text("session_id", &key.session_id)
        .text("ciphertext", &group.encrypt(payload).to_base64())
        .into_map();
    let mut receive = |sender: &str| {
        let envelope = Envelope {
            room_id: "!r".to_owned(),
            event_id: "$1".to_owned(),
            sender: sender.to_owned(),
            ts: 0,
        };
        inbound.receive(envelope, &content, &mut changes)
    };
    assert!(matches!(
        receive("@bob:example.org"),
        Item::Undecryptable {
            reason: Undecryptable::Mismatch,
            ..
        }
    ));
    assert!(matches!(receive("@alice:example.org"), Item::Text { .. }));
}

#[test]
fn a_session_stays_with_the_user_it_came_from_whatever_key_they_name() {
    let group = GroupSession::new(SessionConfig::version_1());
    let mut inbound = Inbound::default();
    let mut changes = Changes::default();
    let key = |sender: &str| RoomKey {
        sender: sender.to_owned(),
        sender_curve25519: "c".to_owned(),
        sender_ed25519: "e".to_owned(),
        room_id: "!r".to_owned(),
        session_id: group.session_id(),
        session_key: group.session_key(),
    };
    inbound.add(&key("@alice:b"), 0, &mut changes).unwrap();
    let taken = inbound.add(&key("@mallory:b"), 0, &mut changes);
    assert_eq!(taken.unwrap_err(), Refused::Conflict);
}
