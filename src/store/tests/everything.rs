//! One of everything that is ever stored, with made-up content.

use serde_json::json;
use vestibule_bridge::alarm::Subject;
use vestibule_bridge::audit::{Act, Actor, AuditEntry, AuditId, Target};
use vestibule_bridge::block::Block;
use vestibule_bridge::bot_record::BotRecord;
use vestibule_bridge::count::Counts;
use vestibule_bridge::effect::Effect;
use vestibule_bridge::frame::{HostEvent, InboxFrame, ToDeviceEvent};
use vestibule_bridge::host::{Host, HostBlock, ManagementRoom, Quota};
use vestibule_bridge::id::{EffectId, EventId, PortalId, RoomId};
use vestibule_bridge::link::{Link, LinkState, Token};
use vestibule_bridge::passcode::Passcode;
use vestibule_bridge::permission::{Rule, RuleKind};
use vestibule_bridge::portal::{EndReason, PortalState, Told};
use vestibule_bridge::steering::{ListRead, Paused, Steering};
use vestibule_bridge::store::{Change, Changes, Digest};
use vestibule_bridge::testing::sample;
use vestibule_bridge::time::Timestamp;

use super::effects::{effects, new_effects};

/// Every kind of row, each variant of it at least once.
pub fn everything() -> Changes {
    let mut changes = of_layout_4();
    changes.push(Change::PutManagementRoom(ManagementRoom {
        room: sample::room(12),
        host: sample::user("alice"),
        direct: true,
        encrypted: true,
        admin: false,
        looked: true,
        advised: false,
        unread_told: Some(Timestamp(1_730)),
    }));
    let effect = Effect::SendEncrypted {
        room: sample::room(12),
        contents: vec![json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgB" })],
    };
    let id = EffectId::from_u128((1_795_364_370_566 << 80) + 200);
    changes.push(Change::PutEffect { id, effect });
    for (key, record) in [("account", "\u{1}{}\n{}"), ("shell", "\u{1}{}")] {
        changes.push(Change::PutBotRecord {
            key: key.to_owned(),
            record: BotRecord(record.into()),
        });
    }
    changes
}

/// What there was to store already in layout 4.
pub fn of_layout_4() -> Changes {
    let mut changes = of_layout_3();
    let link = Link {
        serial: 4_711,
        number: 13,
        ..sample::link(5, &sample::user("alice"))
    };
    changes.push(Change::PutLink(link.clone()));
    changes.push(Change::PutHost(Host {
        blocked: Some(HostBlock {
            at: Timestamp(1_700),
            by: sample::user("root"),
        }),
        quota: Quota {
            links: Some(3),
            chats: None,
        },
        ..Host::new(sample::user("dave"))
    }));
    changes.push(Change::PutManagementRoom(ManagementRoom {
        room: sample::room(10),
        host: sample::user("root"),
        direct: false,
        encrypted: false,
        admin: true,
        looked: false,
        advised: false,
        unread_told: None,
    }));
    for (number, effect) in (100..).zip(new_effects()) {
        let id = EffectId::from_u128((1_795_364_370_566 << 80) + number);
        changes.push(Change::PutEffect { id, effect });
    }
    changes.push(Change::PutSteering(Steering {
        paused: Some(Paused {
            at: Timestamp(1_710),
            by: sample::user("root"),
        }),
        revoking_below: Some(4_000),
        clearing: [sample::user("dave")].into(),
        lists: [(
            sample::room(11),
            ListRead {
                at: Timestamp(1_720),
                rules: 2,
            },
        )]
        .into(),
    }));
    let portal = PortalId::from_u128(9);
    let chat = Target::chat(&link.host, portal, Some(&link));
    let admin = Actor::Admin(sample::user("root"));
    let entries = [
        (Act::LinkMade, Actor::Host, Target::link(&link)),
        (
            Act::ChatEnded {
                reason: EndReason::Admin,
            },
            admin.clone(),
            chat,
        ),
        (
            Act::QuotaSet {
                links: Some(3),
                chats: None,
            },
            admin.clone(),
            Target::host(&sample::user("dave")),
        ),
        (Act::Paused { revoke: true }, admin, Target::default()),
    ];
    for (number, (act, by, to)) in (1..).zip(entries) {
        let at = Timestamp(1_700 + number / 2);
        let id = AuditId { at, number };
        changes.push(Change::PutAudit(AuditEntry { id, by, act, to }));
    }
    for (about, entity) in [
        (RuleKind::User, "@troll:elsewhere.net"),
        (RuleKind::Server, "*.elsewhere.net"),
    ] {
        changes.push(Change::PutRule(Rule {
            about,
            entity: entity.to_owned(),
            room: sample::room(11),
        }));
    }
    changes.push(Change::PutCounts(Counts {
        open_links: 2,
        open_chats: 4,
        last_serial: 4_711,
        audited: 4,
    }));
    changes
}

/// What there was to store already in layout 3.
pub fn of_layout_3() -> Changes {
    let mut changes = of_layout_2();
    let link = Link {
        state: LinkState::Expired {
            at: Timestamp(1_650),
        },
        number: 12,
        passcode: Passcode::parse("012345").map(|code| code.hash(&sample_token())),
        wrong_passcodes: 2,
        opened_at: Some(Timestamp(1_300)),
        chat_ended_at: Some(Timestamp(1_640)),
        alarm_at: Some(Timestamp(1_900)),
        ..sample::link(4, &sample::user("alice"))
    };
    let mut portal = sample::portal(9, &sample::user("alice"), Timestamp(2_009)).unwrap();
    portal.told = Told {
        deadline: Some(Timestamp(2_009)),
        absence: Some(Timestamp(1_100)),
        looked_at: Some(Timestamp(1_200)),
        unencrypted: None,
    };
    portal.alarm_at = Some(Timestamp(1_950));
    for (subject, at) in [
        (Subject::Link(link.id), link.alarm_at),
        (Subject::Portal(portal.id), portal.alarm_at),
    ] {
        let was = None;
        changes.push(Change::SetAlarm { subject, was, at });
    }
    changes.push(Change::PutLink(link));
    let due = portal.deadline();
    changes.push(Change::PutPortal {
        portal: Box::new(portal),
        was_due: None,
        due,
    });
    changes.push(Change::PutFrame {
        portal: PortalId::from_u128(9),
        seq: 1,
        frame: InboxFrame::Deadline {
            deadline: Timestamp(2_009),
        },
    });
    changes.push(Change::PutHost(Host {
        last_number: 12,
        ..Host::new(sample::user("carol"))
    }));
    for (key, label) in [("key1", Some("Maya".to_owned())), ("key2", None)] {
        changes.push(Change::PutBlock(Block {
            host: sample::user("alice"),
            key: key.to_owned(),
            number: 3,
            label,
            at: Timestamp(1_660),
        }));
    }
    changes.push(Change::PutCounts(Counts {
        open_links: 1,
        open_chats: 4,
        ..Counts::default()
    }));
    changes
}

fn sample_token() -> Token {
    Token::parse("0123456789abcdefghjkmnpqrs").unwrap()
}

/// What there was to store already in layout 2.
pub fn of_layout_2() -> Changes {
    let mut changes = of_layout_1();
    changes.push(Change::SetAside {
        portal: PortalId::from_u128(8),
        at: Timestamp(1_800),
    });
    let mut late = event("m.room.encrypted", None, false);
    if let InboxFrame::Event { event, .. } = &mut late {
        event.late = true;
    }
    changes.push(Change::PutFrame {
        portal: PortalId::from_u128(4),
        seq: 1,
        frame: late,
    });
    changes
}

/// What there was to store already in layout 1.
pub fn of_layout_1() -> Changes {
    let mut changes = Changes::default();
    links(&mut changes);
    portals(&mut changes);
    frames(&mut changes);
    for (number, effect) in (1u128..).zip(effects()) {
        let id = EffectId::from_u128((1_795_364_370_566 << 80) + number);
        changes.push(Change::PutEffect { id, effect });
    }
    changes.push(Change::PutHost(Host {
        user: sample::user("alice"),
        display_name: Some("Alice ✨".to_owned()),
        last_number: 0,
        blocked: None,
        quota: Default::default(),
    }));
    changes.push(Change::PutHost(Host {
        user: sample::user("bob"),
        display_name: None,
        last_number: 0,
        blocked: None,
        quota: Default::default(),
    }));
    for (number, direct, encrypted) in [(8, true, false), (9, false, true)] {
        changes.push(Change::PutManagementRoom(ManagementRoom {
            room: sample::room(number),
            host: sample::user("alice"),
            direct,
            encrypted,
            admin: false,
            looked: false,
            advised: false,
            unread_told: None,
        }));
    }
    for txn in ["41", "42"] {
        changes.push(Change::RememberTransaction(txn.to_owned()));
    }
    for byte in [0, 0xff] {
        changes.push(Change::RememberDigest {
            portal: PortalId::from_u128(1),
            digest: Digest([byte; 16]),
        });
    }
    changes
}

fn links(changes: &mut Changes) {
    let states = [
        LinkState::Open,
        LinkState::Used {
            portal: PortalId::from_u128(1),
            at: Timestamp(1_500),
        },
        LinkState::Revoked {
            at: Timestamp(1_600),
        },
    ];
    for (number, state) in (1..).zip(states) {
        let mut link = sample::link(number, &sample::user("alice"));
        link.state = state;
        if number == 3 {
            link.label = None;
        }
        changes.push(Change::PutLink(link));
    }
}

fn portals(changes: &mut Changes) {
    let room = || Some(RoomId::new("!room:example.org"));
    let closed = |room, reason| PortalState::Closed {
        room,
        at: Timestamp(1_700),
        reason,
    };
    let states = [
        PortalState::Opening {
            room: None,
            host_joined: false,
        },
        PortalState::Opening {
            room: Some(sample::room(2)),
            host_joined: true,
        },
        PortalState::Open {
            room: sample::room(3),
            host_joined: true,
        },
        closed(None, EndReason::Failed),
        closed(room(), EndReason::Host),
        closed(room(), EndReason::Guest),
        closed(room(), EndReason::Expired),
        closed(room(), EndReason::ThirdParty),
    ];
    for (number, state) in (1..).zip(states) {
        let ends_at = Timestamp(2_000 + number);
        let mut portal = sample::portal(number, &sample::user("alice"), ends_at).unwrap();
        portal.state = state;
        portal.last_seq = number;
        portal.visit.last_n = number;
        let due = portal.deadline();
        changes.push(Change::PutPortal {
            portal: Box::new(portal),
            was_due: None,
            due,
        });
    }
}

fn event(event_type: &str, redacts: Option<&str>, unencrypted: bool) -> InboxFrame {
    InboxFrame::Event {
        event: HostEvent {
            event_type: event_type.to_owned(),
            event_id: EventId::new("$event"),
            sender: sample::user("alice"),
            origin_server_ts: Timestamp(1_234),
            content: json!({ "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgA" }),
            redacts: redacts.map(EventId::new),
            unencrypted,
            late: false,
        },
        deadline: Timestamp(2_003),
    }
}

fn frames(changes: &mut Changes) {
    let frames = [
        event("m.room.encrypted", None, false),
        event("m.room.redaction", Some("$gone"), false),
        event("m.room.message", None, true),
        InboxFrame::ToDevice {
            event: ToDeviceEvent {
                event_type: "m.room.encrypted".to_owned(),
                sender: sample::user("alice"),
                content: json!({ "algorithm": "m.olm.v1.curve25519-aes-sha2" }),
            },
        },
        InboxFrame::Delivered {
            n: 1,
            event_id: EventId::new("$sent"),
        },
        InboxFrame::Undelivered {
            n: 2,
            code: "M_FORBIDDEN".to_owned(),
        },
        InboxFrame::Host { joined: true },
        InboxFrame::Ended {
            reason: EndReason::Guest,
        },
    ];
    for (seq, frame) in (1..).zip(frames) {
        changes.push(Change::PutFrame {
            portal: PortalId::from_u128(3),
            seq,
            frame,
        });
    }
}
