//! One of each effect, for the rows that are stored.

use std::collections::BTreeMap;

use serde_json::json;
use vestibule_bridge::effect::{Effect, InRoom, Words};
use vestibule_bridge::guest::GuestName;
use vestibule_bridge::id::{DeviceId, EventId, LinkId, PortalId};
use vestibule_bridge::input::JoinKeys;
use vestibule_bridge::report::{List, Report};
use vestibule_bridge::testing::sample;

/// Those that came with layout 4.
pub fn new_effects() -> Vec<Effect> {
    let portal = PortalId::from_u128(1);
    let ghost = sample::ghost(1);
    vec![
        Effect::Report {
            room: sample::room(10),
            report: Report::Chats(List {
                server: Some("example.org".to_owned()),
                ..List::default()
            }),
        },
        Effect::Redact {
            portal,
            ghost: ghost.clone(),
            room: sample::room(1),
            n: 3,
            event: EventId::new("$event"),
        },
        Effect::RestoreProfile {
            portal,
            ghost,
            name: GuestName::parse("Maya").unwrap(),
        },
    ]
}

/// One of each that there was before.
pub fn effects() -> Vec<Effect> {
    let portal = PortalId::from_u128(1);
    let (ghost, host) = (sample::ghost(1), sample::user("alice"));
    let (room, device) = (sample::room(1), DeviceId::new("ABCDEFGHIJ"));
    let step = InRoom {
        portal,
        room: room.clone(),
        ghost: ghost.clone(),
        host: host.clone(),
    };
    let keys = Box::new(JoinKeys {
        device_keys: json!({ "device_id": "ABCDEFGHIJ" }),
        master_key: json!({ "usage": ["master"] }),
        self_signing_key: json!({ "usage": ["self_signing"] }),
        user_signing_key: json!({ "usage": ["user_signing"] }),
        one_time_keys: json!({ "signed_curve25519:AAAAAQ": { "key": "base64" } }),
        fallback_keys: json!({ "signed_curve25519:AAAAAg": { "key": "base64" } }),
    });
    let name = GuestName::parse("Maya").unwrap();
    vec![
        Effect::RegisterGhost {
            portal,
            ghost: ghost.clone(),
        },
        Effect::NameGhost {
            portal,
            ghost: ghost.clone(),
            name,
        },
        Effect::PutDevice {
            portal,
            ghost: ghost.clone(),
            device: device.clone(),
        },
        Effect::UploadKeys {
            portal,
            ghost: ghost.clone(),
            device: device.clone(),
            keys: keys.clone(),
        },
        Effect::UploadCrossSigning {
            portal,
            ghost: ghost.clone(),
            keys,
        },
        Effect::UploadSignatures {
            portal,
            ghost: ghost.clone(),
            device: device.clone(),
            device_keys: json!({ "device_id": "ABCDEFGHIJ" }),
        },
        Effect::CreateRoom {
            portal,
            host: host.clone(),
            ghost: ghost.clone(),
        },
        Effect::GhostJoins(step.clone()),
        Effect::BotLeaves(step.clone()),
        Effect::InviteHost(step.clone()),
        Effect::GiveUpPower(step.clone()),
        Effect::VerifySeal(step),
        Effect::SendEvent {
            portal,
            ghost: ghost.clone(),
            device: device.clone(),
            room: room.clone(),
            n: 7,
            content: json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgA" }),
        },
        Effect::SendToDevice {
            portal,
            ghost: ghost.clone(),
            device: device.clone(),
            host: host.clone(),
            event_type: "m.room.encrypted".to_owned(),
            n: None,
            messages: BTreeMap::from([(DeviceId::new("HOSTDEVICE"), json!({ "type": 0 }))]),
        },
        Effect::GhostLeaves {
            portal,
            ghost: ghost.clone(),
            room: room.clone(),
            reason: "The guest ended the chat.".to_owned(),
        },
        Effect::BotLeavesUnused {
            portal,
            room: room.clone(),
        },
        Effect::DeleteDevice {
            portal,
            ghost: ghost.clone(),
            device,
        },
        Effect::Deactivate { portal, ghost },
        Effect::BotJoins {
            room: room.clone(),
            host: host.clone(),
        },
        Effect::BotDeclines { room: room.clone() },
        Effect::FetchHostName {
            room: room.clone(),
            host,
        },
        Effect::Notice {
            room: room.clone(),
            text: Words {
                plain: "hello".to_owned(),
                html: "<p>hello</p>".to_owned(),
            },
        },
        Effect::ShareLink {
            room,
            link: LinkId::from_u128(1),
        },
    ]
}
