//! The scenarios of the public suite complement-crypto in which a room key is cycled, or isn't.

use vestibule_crypto::{CryptoError, Prepare, Undecryptable};
use vodozemac::megolm::MegolmMessage;

use crate::common::raw::*;
use crate::common::*;
use crate::complement::{BOB, membership_changed, send_to, three};

#[test]
fn room_key_cycled_on_device_logout() {
    let (mut server, mut guest, identity, _) = guest_and_raw();
    let mut second = RawDevice::new("SECOND", Some(&identity));
    second.publish(&mut server);
    guest.receive_keys(&server.query(HOST), NOW);
    settle(&mut server, &mut guest, NOW);
    let first = session_of(&guest.encrypt("both", NOW));
    assert_eq!(inbox(&server, "SECOND"), ["m.room.encrypted"]);

    server.device_keys.get_mut(HOST).unwrap().remove("SECOND");
    guest.keys_changed(HOST);
    assert_eq!(
        guest.try_encrypt("x", NOW).unwrap_err(),
        CryptoError::NotReady
    );
    assert!(matches!(guest.prepare(NOW), Prepare::KeysQuery { .. }));
    server.inbox.clear();
    settle(&mut server, &mut guest, NOW);
    assert_ne!(session_of(&guest.encrypt("one", NOW)), first);
    assert_eq!(inbox(&server, "RAW"), ["m.room.encrypted"]);
    assert!(inbox(&server, "SECOND").is_empty());
}

#[test]
fn room_key_cycled_on_member_leaving() {
    let (mut server, mut guest, mut host, mut bob) = three();
    let both = [HOST, BOB];
    let before = send_to(&mut server, &mut guest, &both, "$1", "for both");
    membership_changed(&mut guest, BOB);
    assert_eq!(guest.try_encrypt("x", NOW), Err(CryptoError::NotReady));
    let after = send_to(&mut server, &mut guest, &[HOST], "$2", "for Alice");
    assert_ne!(
        session_of(&before["content"]),
        session_of(&after["content"])
    );
    deliver(&mut server, &mut host, NOW);
    deliver(&mut server, &mut bob, NOW);
    assert_eq!(body(&host.event(&after)), "for Alice");
    assert_eq!(body(&bob.event(&before)), "for both");
    assert_eq!(reason(&bob.event(&after)), Undecryptable::NoKey);
}

#[test]
fn room_key_cycled_after_enough_messages() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    settle(&mut server, &mut guest, NOW);
    let first = session_of(&guest.encrypt("0", NOW));
    for n in 1..100 {
        assert_eq!(settle(&mut server, &mut guest, NOW), Prepare::Ready);
        assert_eq!(session_of(&guest.encrypt(&n.to_string(), NOW)), first);
    }
    assert_eq!(
        guest.try_encrypt("x", NOW).unwrap_err(),
        CryptoError::NotReady
    );
    settle(&mut server, &mut guest, NOW);
    assert_ne!(session_of(&guest.encrypt("100", NOW)), first);
    assert_eq!(inbox(&server, "RAW").len(), 2);
}

#[test]
fn room_key_cycled_after_enough_time() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    settle(&mut server, &mut guest, NOW);
    let first = session_of(&guest.encrypt("x", NOW));
    let later = NOW + 7 * DAY - 1;
    assert_eq!(settle(&mut server, &mut guest, later), Prepare::Ready);
    assert_eq!(session_of(&guest.encrypt("x", later)), first);
    assert!(
        matches!(guest.prepare(later + 1), Prepare::KeysQuery { .. }),
        "a fresh list first"
    );
    settle(&mut server, &mut guest, later + 1);
    assert_ne!(session_of(&guest.encrypt("x", later + 1)), first);
}

#[test]
fn room_key_not_cycled_on_restart() {
    let (mut server, mut guest, _, _) = guest_and_raw();
    settle(&mut server, &mut guest, NOW);
    let mut last = None;
    for hour in 0..24 {
        let content = guest.encrypt("x", NOW + hour * HOUR);
        let message = MegolmMessage::from_base64(content["ciphertext"].as_str().unwrap()).unwrap();
        let session = session_of(&content);
        assert!(last.is_none_or(|last| last == (session.clone(), message.message_index())));
        last = Some((session, message.message_index() + 1));
        guest.restart();
        assert_eq!(guest.prepare(NOW + hour * HOUR), Prepare::Ready);
    }
    assert_eq!(inbox(&server, "RAW").len(), 1);
}
