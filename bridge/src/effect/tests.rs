//! Effects as rows, and their lanes.

#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;

#[test]
fn a_frame_that_comes_again_is_the_same_transaction() {
    let to_device = |n| Effect::SendToDevice {
        portal: PortalId::from_u128(1),
        ghost: UserId::new("@ghost:example.org"),
        device: DeviceId::new("G"),
        host: UserId::new("@host:example.org"),
        event_type: "m.room.encrypted".to_owned(),
        n,
        messages: BTreeMap::new(),
    };
    let (one, other) = (EffectId::from_u128(5), EffectId::from_u128(6));
    let frame = to_device(Some(7));
    assert_eq!(frame.transaction(one), frame.transaction(other));
    assert_ne!(frame.transaction(one), to_device(Some(8)).transaction(one));
    let before = to_device(None);
    assert_ne!(before.transaction(one), before.transaction(other));
    // A row that was written before the number was kept.
    let text = serde_json::to_string(&before).unwrap();
    assert!(!text.contains("\"n\""), "{text}");
    assert_eq!(serde_json::from_str::<Effect>(&text).unwrap(), before);
}

#[test]
fn an_effect_is_read_back_as_it_was_stored() {
    let portal = PortalId::from_u128(1);
    let room = RoomId::new("!room:example.org");
    let (ghost, host) = (
        UserId::new("@ghost:example.org"),
        UserId::new("@host:example.org"),
    );
    let step = InRoom {
        portal,
        room: room.clone(),
        ghost: ghost.clone(),
        host: host.clone(),
    };
    let messages = BTreeMap::from([(DeviceId::new("D"), json!({"a": 1}))]);
    let effects = [
        Effect::VerifySeal(step),
        Effect::SendToDevice {
            portal,
            ghost: ghost.clone(),
            device: DeviceId::new("G"),
            host: host.clone(),
            event_type: "m.room.encrypted".to_owned(),
            n: None,
            messages,
        },
        Effect::Redact {
            portal,
            ghost: ghost.clone(),
            room: room.clone(),
            n: 3,
            event: EventId::new("$own"),
        },
        Effect::ShareLink {
            room: room.clone(),
            link: LinkId::from_u128(2),
        },
        Effect::Notice {
            room: room.clone(),
            text: Words::new("hello `x`"),
        },
    ];
    for effect in effects {
        let text = serde_json::to_string(&effect).unwrap();
        assert_eq!(serde_json::from_str::<Effect>(&text).unwrap(), effect);
        assert!(text.contains(effect.name()));
    }
    assert_eq!(
        Effect::BotDeclines { room: room.clone() }.lane(),
        Lane::Room(room)
    );
    assert_eq!(
        Effect::Deactivate { portal, ghost }.lane(),
        Lane::Portal(portal)
    );
}
