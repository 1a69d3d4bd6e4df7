//! `docs/frames.json` holds one sample of each frame, for the page's tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::world::*;
use crate::frame::{
    ClientFrame, ErrorBody, HostEvent, HostView, InboxFrame, ResultFrame, ServerFrame,
    ToDeviceEvent, Welcome,
};
use crate::id::{DeviceId, EventId, PortalId};
use crate::portal::EndReason;
use crate::refusal::Refusal;
use crate::time::Timestamp;

/// Set to have the file written anew.
const UPDATE: &str = "UPDATE_SAMPLES";

fn host_event() -> HostEvent {
    HostEvent {
        event_type: "m.room.encrypted".to_owned(),
        event_id: EventId::new("$OLdRy2gYAcWn7mQxC1yVTxiOzMN"),
        sender: alice(),
        origin_server_ts: START,
        content: megolm("AwgAEnACgAkLmt6qF84IK"),
        redacts: None,
        unencrypted: false,
        late: false,
    }
}

fn inbox() -> Vec<InboxFrame> {
    let deadline = START + 10 * DAY;
    let redaction = HostEvent {
        event_type: "m.room.redaction".to_owned(),
        content: json!({}),
        redacts: Some(EventId::new("$143273582443PhrSn")),
        ..host_event()
    };
    let late = HostEvent {
        late: true,
        ..host_event()
    };
    let unencrypted = HostEvent {
        event_type: "m.room.message".to_owned(),
        content: json!({}),
        unencrypted: true,
        ..host_event()
    };
    let to_device = ToDeviceEvent {
        event_type: "m.room.encrypted".to_owned(),
        sender: alice(),
        content: olm("AwogGJJz"),
    };
    let reasons = [
        EndReason::Host,
        EndReason::Guest,
        EndReason::Expired,
        EndReason::Failed,
        EndReason::ThirdParty,
        EndReason::Admin,
    ];
    let mut frames = vec![
        InboxFrame::Host { joined: true },
        InboxFrame::ToDevice { event: to_device },
        InboxFrame::Event {
            event: host_event(),
            deadline,
        },
        InboxFrame::Event {
            event: redaction,
            deadline,
        },
        InboxFrame::Event {
            event: late,
            deadline,
        },
        InboxFrame::Event {
            event: unencrypted,
            deadline,
        },
        InboxFrame::Delivered {
            n: 2,
            event_id: EventId::new("$143273582443PhrSn"),
        },
        InboxFrame::Undelivered {
            n: 3,
            code: "M_FORBIDDEN".to_owned(),
        },
    ];
    frames.push(InboxFrame::Deadline { deadline });
    frames.extend(reasons.map(|reason| InboxFrame::Ended { reason }));
    frames
}

fn refused_result(n: u64, refusal: Refusal) -> ServerFrame {
    let retry_after_ms = refusal
        .retry_after()
        .map(|wait| u64::try_from(wait.as_millis()).unwrap());
    let error = ErrorBody {
        code: refusal.code(),
        message: refusal.to_string(),
        retry_after_ms,
        tries_left: refusal.tries_left(),
    };
    ServerFrame::Result(ResultFrame {
        n: Some(n),
        error: Some(error),
        ..ResultFrame::default()
    })
}

fn of_the_moment() -> Vec<ServerFrame> {
    let welcome = Welcome {
        room_id: sealed(1),
        ghost: crate::testing::sample::ghost(1),
        name: "Maya (Guest)".to_owned(),
        host: HostView {
            user_id: alice(),
            display_name: "Alice".to_owned(),
        },
        host_joined: false,
        last_n: 0,
        acked_seq: 3,
        last_seq: 5,
        deadline: START + 10 * DAY,
        idle_limit_ms: 864_000_000,
        keys: json!({"device_keys": {alice().as_str(): {}}, "master_keys": {}, "self_signing_keys": {}}),
        one_time_keys: Some(50),
        fallback_unused: Some(true),
        host_read: Some(EventId::new("$143273582443PhrSn")),
        typing: true,
        receipts: true,
    };
    let silent = Welcome {
        one_time_keys: None,
        fallback_unused: None,
        host_read: None,
        typing: false,
        receipts: false,
        ..welcome.clone()
    };
    let ok = ResultFrame {
        ok: true,
        ..ResultFrame::default()
    };
    vec![
        ServerFrame::Challenge {
            nonce: "kxhE2bVXsBGmS0cCqNn1Rg".to_owned(),
            protocol: crate::frame::PROTOCOL,
            store_id: None,
        },
        ServerFrame::Challenge {
            nonce: "kxhE2bVXsBGmS0cCqNn1Rg".to_owned(),
            protocol: crate::frame::PROTOCOL,
            store_id: Some("01j5d2wz219w08mn9w3eej0zk6".to_owned()),
        },
        ServerFrame::Opening,
        ServerFrame::Welcome(Box::new(welcome)),
        ServerFrame::Welcome(Box::new(silent)),
        ServerFrame::Result(ResultFrame {
            n: Some(1),
            deadline: Some(START + 10 * DAY),
            ..ok.clone()
        }),
        ServerFrame::Result(ResultFrame {
            id: Some(7),
            body: Some(json!({"one_time_keys": 50})),
            ..ok
        }),
        refused_result(2, Refusal::Gap { expected: 1 }),
        refused_result(
            2,
            Refusal::RateLimited {
                retry_after: Duration::from_millis(800),
            },
        ),
        ServerFrame::KeysChanged,
        ServerFrame::OneTimeKeys {
            count: 24,
            fallback_unused: false,
        },
        ServerFrame::Typing { typing: true },
        ServerFrame::Typing { typing: false },
        ServerFrame::Read {
            event_id: EventId::new("$143273582443PhrSn"),
        },
        ServerFrame::Error {
            code: "bad_signature",
            message: "This browser could not prove which one it is.".to_owned(),
        },
    ]
}

fn from_the_page() -> Vec<ClientFrame> {
    let device = DeviceId::new("HOSTDEVICE");
    let hello = |last_seq, last_n| ClientFrame::Hello {
        portal: PortalId::from_u128(0x0191_5a2e_7c41_4f00_8a55_3c1b_9d20_7e66),
        device: DeviceId::new(DEVICE),
        signature: "dNVMgsyCPRdlD1nGxQWQb5mGwS3Jlxl4YYV".to_owned(),
        last_seq,
        last_n,
    };
    let key = json!({"signed_curve25519:AAAAAw": {"key": "zKbLg", "signatures": {}}});
    vec![
        hello(4, None),
        hello(0, Some(7)),
        ClientFrame::Send {
            n: 2,
            content: megolm("AwgAEnACgAkLmt6qF84IK"),
        },
        ClientFrame::ToDevice {
            n: 1,
            event_type: "m.room.encrypted".to_owned(),
            messages: BTreeMap::from([(device.clone(), olm("AwogGJJz"))]),
        },
        ClientFrame::ToDevice {
            n: 1,
            event_type: "m.room_key.withheld".to_owned(),
            messages: BTreeMap::from([(device.clone(), withheld(&sealed(1)))]),
        },
        ClientFrame::Redact {
            n: 3,
            event_id: EventId::new("$143273582443PhrSn"),
        },
        ClientFrame::KeysQuery { id: 5 },
        ClientFrame::KeysClaim {
            id: 6,
            devices: vec![device],
        },
        ClientFrame::KeysUpload {
            id: 7,
            one_time_keys: key,
            fallback_keys: json!({}),
        },
        ClientFrame::Ack { seq: 4 },
        ClientFrame::Typing { typing: true },
        ClientFrame::Typing { typing: false },
        ClientFrame::Read {
            event_id: EventId::new("$OLdRy2gYAcWn7mQxC1yVTxiOzMN"),
        },
        ClientFrame::Leave {},
    ]
}

fn samples() -> Value {
    let numbered = |(place, frame): (usize, InboxFrame)| {
        let mut frame = serde_json::to_value(frame).unwrap();
        frame["seq"] = (place + 1).into();
        frame
    };
    let to_page: Vec<Value> = of_the_moment()
        .into_iter()
        .map(|frame| serde_json::to_value(frame).unwrap())
        .chain(inbox().into_iter().enumerate().map(numbered))
        .collect();
    json!({"to_page": to_page, "to_bridge": from_the_page()})
}

#[test]
fn the_samples_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/frames.json");
    let current = format!("{}\n", serde_json::to_string_pretty(&samples()).unwrap());
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap();
    assert!(
        stored == current,
        "docs/frames.json is not current; {UPDATE}=1 cargo test writes it"
    );
}

#[test]
fn every_frame_of_the_page_is_read_back() {
    for frame in from_the_page() {
        let text = serde_json::to_string(&frame).unwrap();
        assert_eq!(serde_json::from_str::<ClientFrame>(&text).unwrap(), frame);
    }
    for frame in inbox() {
        let text = serde_json::to_string(&frame).unwrap();
        assert_eq!(serde_json::from_str::<InboxFrame>(&text).unwrap(), frame);
    }
}

#[test]
fn strange_frames_of_the_page_are_refused() {
    let strange = [
        r#"{}"#,
        r#"{"type":"event"}"#,
        r#"{"type":"ack"}"#,
        r#"{"type":"ack","seq":-1}"#,
        r#"{"type":"ack","seq":1,"more":true}"#,
        r#"{"type":"redact","n":1}"#,
        r#"{"type":"redact","n":1,"event_id":"$x","reason":"words in the clear"}"#,
        r#"{"type":"send","n":"1","content":{}}"#,
        r#"{"type":"hello","portal":"x","device":"A","signature":"","last_seq":0}"#,
    ];
    for text in strange {
        assert!(serde_json::from_str::<ClientFrame>(text).is_err(), "{text}");
    }
}

/// A frame that the protocol names and no sample shows would be one that the page never reads.
#[test]
fn every_documented_frame_has_a_sample() {
    let protocol = include_str!("../../../docs/protocol.md");
    let samples = samples();
    let (_, tables) = protocol.split_once("### Bridge → page").unwrap();
    let (to_page, rest) = tables.split_once("### Page → bridge").unwrap();
    let (to_bridge, _) = rest.split_once("\n## ").unwrap();
    for (table, side) in [(to_page, "to_page"), (to_bridge, "to_bridge")] {
        let documented: BTreeSet<&str> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
            .map(|(name, _)| name)
            .collect();
        let shown: BTreeSet<&str> = samples[side]
            .as_array()
            .unwrap()
            .iter()
            .map(|frame| frame["type"].as_str().unwrap())
            .collect();
        assert_eq!(documented, shown, "{side}");
    }
}

#[test]
fn every_refusal_has_a_documented_code() {
    let protocol = include_str!("../../../docs/protocol.md");
    let refusals = [
        Refusal::LinkUnknown,
        Refusal::LinkUsed,
        Refusal::LinkExpired,
        Refusal::LinkRevoked,
        Refusal::HostBusy,
        Refusal::Paused,
        Refusal::PasscodeNeeded,
        Refusal::PasscodeWrong { left: 4 },
        Refusal::PasscodeSpent,
        Refusal::BadName,
        Refusal::NameOfHost,
        Refusal::BadKeys,
        Refusal::UnknownChat,
        Refusal::NotOpen,
        Refusal::Ended,
        Refusal::Gap { expected: 1 },
        Refusal::TooLarge,
        Refusal::NotEncrypted,
        Refusal::BadRequest,
        Refusal::Damaged,
        Refusal::RateLimited {
            retry_after: Duration::from_secs(1),
        },
    ];
    // The page has words of its own for each; a name that is refused is typed anew, whatever it was.
    let same = |refusal: &&Refusal| **refusal != Refusal::NameOfHost;
    let codes: BTreeSet<&str> = refusals.iter().filter(same).map(Refusal::code).collect();
    assert_eq!(codes.len(), refusals.len() - 1);
    for refusal in refusals {
        assert!(
            protocol.contains(&format!("`{}`", refusal.code())),
            "{}",
            refusal.code()
        );
        assert_eq!(
            refusal.retry_after().is_some(),
            matches!(refusal, Refusal::RateLimited { .. })
        );
        assert_eq!(
            refusal.tries_left().is_some(),
            matches!(refusal, Refusal::PasscodeWrong { .. })
        );
    }
    assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
}
