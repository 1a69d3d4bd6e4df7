//! Frames of a browser: read, written again, and decided over an open chat.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;
use vestibule_bridge::bridge::{Context, Decision, Undecided, decide};
use vestibule_bridge::effect::Effect;
use vestibule_bridge::frame::{ClientFrame, InboxFrame};
use vestibule_bridge::id::{DeviceId, PortalId, UserId};
use vestibule_bridge::input::Input;
use vestibule_bridge::store::{Change, Changes, Store as _, StoreTransaction as _};
use vestibule_bridge::testing::{MemoryStore, sample};
use vestibule_bridge::time::Timestamp;

/// A text message of the socket. Says whether the domain took it.
pub fn frame(data: &[u8]) -> bool {
    inbox(data);
    // The socket hands over text only.
    let Ok(text) = str::from_utf8(data) else {
        return false;
    };
    let Ok(frame) = serde_json::from_str::<ClientFrame>(text) else {
        return false;
    };
    let written = serde_json::to_string(&frame).expect("a frame can be written");
    let again: ClientFrame = serde_json::from_str(&written).expect("what was written reads");
    assert!(again == frame || has_fraction(&written), "{written}");
    match input(frame).map(decided) {
        Some(Ok(decision)) => {
            decision.changes.0.iter().for_each(check);
            true
        }
        Some(Err(_)) | None => false,
    }
}

/// A frame as it lies in the inbox of a chat.
fn inbox(data: &[u8]) {
    if let Ok(frame) = serde_json::from_slice::<InboxFrame>(data) {
        let written = serde_json::to_string(&frame).expect("a frame can be written");
        let again: InboxFrame = serde_json::from_str(&written).expect("what was written reads");
        assert!(again == frame || has_fraction(&written), "{written}");
    }
}

/// serde_json reads such a number only nearly as it was written. Nothing that is passed on has one.
fn has_fraction(text: &str) -> bool {
    fn inside(value: &Value) -> bool {
        match value {
            Value::Number(number) => number.is_f64(),
            Value::Array(values) => values.iter().any(inside),
            Value::Object(members) => members.values().any(inside),
            _ => false,
        }
    }
    serde_json::from_str(text).is_ok_and(|value| inside(&value))
}

fn portal() -> PortalId {
    PortalId::from_u128(1)
}

fn host() -> UserId {
    sample::user("alice")
}

/// What the frame is for the domain; questions about keys don't reach it.
fn input(frame: ClientFrame) -> Option<Input> {
    let portal = portal();
    Some(match frame {
        ClientFrame::Send { n, content } => Input::Send { portal, n, content },
        ClientFrame::ToDevice {
            n,
            event_type,
            messages,
        } => Input::SendToDevice {
            portal,
            n,
            event_type,
            messages,
        },
        ClientFrame::Redact { n, event_id: event } => Input::Redact { portal, n, event },
        ClientFrame::Ack { seq } => Input::Ack { portal, seq },
        ClientFrame::Hello {
            last_n: Some(last_n),
            ..
        } => Input::Recount { portal, last_n },
        ClientFrame::Leave {} => Input::Leave { portal },
        _ => return None,
    })
}

fn decided(input: Input) -> Result<Decision, Undecided> {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    let store = STORE.get_or_init(|| {
        let store = MemoryStore::new();
        let portal = sample::portal(1, &host(), Timestamp(1_000_000)).expect("a portal");
        let mut transaction = store.begin();
        transaction
            .apply(&Changes(vec![Change::PutPortal {
                due: Some(portal.ends_at),
                was_due: None,
                portal: Box::new(portal),
            }]))
            .expect("applied");
        transaction.commit().expect("committed");
        store
    });
    let cx = Context {
        now: Timestamp(2_000),
        rng: &mut StdRng::seed_from_u64(1),
        last_effect: &mut None,
    };
    let policy = sample::policy();
    decide(input, store, &policy, cx)
}

/// What a guest can have the homeserver do: say something encrypted in the one room, and send
/// something encrypted to devices of the one host.
fn check(change: &Change) {
    let Change::PutEffect { effect, .. } = change else {
        return;
    };
    match effect {
        Effect::SendEvent { room, content, .. } => {
            assert_eq!(*room, sample::room(1));
            assert_eq!(content["algorithm"], "m.megolm.v1.aes-sha2");
            assert_members(
                content,
                &[
                    "algorithm",
                    "ciphertext",
                    "device_id",
                    "sender_key",
                    "session_id",
                ],
            );
            assert!(content.to_string().len() <= sample::policy().message_bytes);
        }
        Effect::SendToDevice {
            host: to,
            event_type,
            messages,
            ..
        } => {
            assert_eq!(*to, host());
            assert!(matches!(
                event_type.as_str(),
                "m.room.encrypted" | "m.room_key.withheld"
            ));
            assert!(!messages.contains_key(&DeviceId::new("*")));
        }
        Effect::Redact { room, .. } => assert_eq!(*room, sample::room(1)),
        // The chat's end.
        Effect::GhostLeaves { .. }
        | Effect::DeleteDevice { .. }
        | Effect::Deactivate { .. }
        | Effect::Notice { .. } => {}
        other => panic!("a frame caused {other:?}"),
    }
}

fn assert_members(content: &Value, allowed: &[&str]) {
    let members = content.as_object().expect("an object").keys();
    let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
    for member in members {
        assert!(allowed.contains(member.as_str()), "{member}");
    }
}
