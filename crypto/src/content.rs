//! What an event becomes for whoever shows it: text, a redaction, or one line that names what it
//! was. Nothing else comes out, so nothing else can be rendered.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::object::text;

mod kind;

pub use kind::{Ring, Unsupported};

/// One thing to show. A later item with the same event id replaces the earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Item {
    /// A message.
    Text {
        /// The room it came in.
        #[serde(skip)]
        room_id: String,
        /// The event's id.
        event_id: String,
        /// Who wrote it: always a peer.
        sender: String,
        /// The homeserver's time of the event, in milliseconds since the Unix epoch.
        ts: u64,
        /// How it was meant.
        #[serde(rename = "msgtype")]
        text_kind: TextKind,
        /// The plain text. A formatted form is dropped.
        body: String,
        /// The id of the event that it answers. In a thread that is an earlier message of it: threads
        /// are shown in the order in which they are written, as one talk.
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_to: Option<String>,
        /// The id of the event that its thread hangs from.
        #[serde(skip)]
        thread: Option<String>,
    },
    /// An earlier event was taken back.
    Redaction {
        /// The room it came in.
        #[serde(skip)]
        room_id: String,
        /// The event's id.
        event_id: String,
        /// Who took it back: always a peer.
        sender: String,
        /// The homeserver's time of the event, in milliseconds since the Unix epoch.
        ts: u64,
        /// The id of the event that was taken back.
        redacts: String,
    },
    /// Something that a text chat doesn't show.
    Unsupported {
        /// The room it came in.
        #[serde(skip)]
        room_id: String,
        /// The event's id.
        event_id: String,
        /// Who sent it: always a peer.
        sender: String,
        /// The homeserver's time of the event, in milliseconds since the Unix epoch.
        ts: u64,
        /// What it was.
        what: Unsupported,
        /// Only of a call that rings.
        #[serde(skip_serializing_if = "Option::is_none")]
        ring: Option<Ring>,
    },
    /// A message that couldn't be read.
    Undecryptable {
        /// The room it came in.
        #[serde(skip)]
        room_id: String,
        /// The event's id.
        event_id: String,
        /// Who sent it: always a peer.
        sender: String,
        /// The homeserver's time of the event, in milliseconds since the Unix epoch.
        ts: u64,
        /// Why.
        reason: Undecryptable,
    },
}

/// The kinds of text message (Matrix specification, "m.room.message msgtypes").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each is named as in the specification")]
pub enum TextKind {
    #[serde(rename = "m.text")]
    Text,
    #[serde(rename = "m.emote")]
    Emote,
    #[serde(rename = "m.notice")]
    Notice,
}

/// Why a message couldn't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Undecryptable {
    /// Its key hasn't come, or only for later messages. It may still come.
    NoKey,
    /// The same ciphertext came before as another event.
    Replay,
    /// Damaged, or not what an encrypted message looks like.
    Malformed,
    /// The ids inside the encryption disagree with those outside.
    Mismatch,
}

/// The parts of an event outside its encryption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) room_id: String,
    pub(crate) event_id: String,
    pub(crate) sender: String,
    pub(crate) ts: u64,
}

impl Envelope {
    pub(crate) fn read(room_id: &str, event: &Map<String, Value>) -> Option<Self> {
        Some(Self {
            room_id: room_id.to_owned(),
            event_id: text(event, "event_id")?.to_owned(),
            sender: text(event, "sender")?.to_owned(),
            ts: event
                .get("origin_server_ts")
                .and_then(Value::as_u64)
                .unwrap_or(0),
        })
    }

    pub(crate) fn unsupported(self, what: Unsupported, ring: Option<Ring>) -> Item {
        let Self {
            room_id,
            event_id,
            sender,
            ts,
        } = self;
        Item::Unsupported {
            room_id,
            event_id,
            sender,
            ts,
            what,
            ring,
        }
    }

    pub(crate) fn undecryptable(self, reason: Undecryptable) -> Item {
        let Self {
            room_id,
            event_id,
            sender,
            ts,
        } = self;
        Item::Undecryptable {
            room_id,
            event_id,
            sender,
            ts,
            reason,
        }
    }

    pub(crate) fn redaction(self, redacts: String) -> Item {
        let Self {
            room_id,
            event_id,
            sender,
            ts,
        } = self;
        Item::Redaction {
            room_id,
            event_id,
            sender,
            ts,
            redacts,
        }
    }

    /// The item for a decrypted event of that type and content.
    pub(crate) fn decrypted(self, event_type: &str, content: &Map<String, Value>) -> Item {
        let (text_kind, body) = match read_content(event_type, content) {
            Ok(text) => text,
            Err(what) => {
                let ring = kind::ring(event_type, content, self.ts);
                return self.unsupported(what, ring);
            }
        };
        let Self {
            room_id,
            event_id,
            sender,
            ts,
        } = self;
        Item::Text {
            room_id,
            event_id,
            sender,
            ts,
            text_kind,
            body,
            reply_to: reply_to(content).map(str::to_owned),
            thread: thread(content).map(str::to_owned),
        }
    }
}

fn read_content(
    event_type: &str,
    content: &Map<String, Value>,
) -> Result<(TextKind, String), Unsupported> {
    if relation(content) == Some("m.replace") || content.contains_key("m.new_content") {
        return Err(Unsupported::Edit);
    }
    if event_type != "m.room.message" {
        return Err(kind::kind_of(event_type));
    }
    let text_kind = match text(content, "msgtype") {
        Some("m.text") => TextKind::Text,
        Some("m.emote") => TextKind::Emote,
        Some("m.notice") => TextKind::Notice,
        _ => return Err(kind::kind_of_message(content)),
    };
    match text(content, "body") {
        Some(body) => Ok((text_kind, body.to_owned())),
        None => Err(Unsupported::Other),
    }
}

/// Clients write a relation inside the encryption, beside it, or in both places. Only the inner one
/// is authenticated, so only that one is read.
fn relation(content: &Map<String, Value>) -> Option<&str> {
    content.get("m.relates_to")?.get("rel_type")?.as_str()
}

fn thread(content: &Map<String, Value>) -> Option<&str> {
    let thread = relation(content) == Some("m.thread");
    let root = content.get("m.relates_to")?.get("event_id")?;
    root.as_str().filter(|_| thread)
}

fn reply_to(content: &Map<String, Value>) -> Option<&str> {
    let reply = content.get("m.relates_to")?.get("m.in_reply_to")?;
    reply.get("event_id")?.as_str()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn item(event_type: &str, content: Value) -> Item {
        let envelope = Envelope {
            room_id: "!r:b".to_owned(),
            event_id: "$1".to_owned(),
            sender: "@a:b".to_owned(),
            ts: 5,
        };
        envelope.decrypted(event_type, content.as_object().unwrap())
    }

    fn what(event_type: &str, content: Value) -> Unsupported {
        match item(event_type, content) {
            Item::Unsupported { what, .. } => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_plain_body_of_a_text_comes_out() {
        for (msgtype, name) in [
            ("m.text", "text"),
            ("m.emote", "emote"),
            ("m.notice", "notice"),
        ] {
            let content = json!({"msgtype": msgtype, "body": name, "format": "org.matrix.custom.html",
                "formatted_body": "<b>x</b>", "m.mentions": {}});
            let json = serde_json::to_value(item("m.room.message", content)).unwrap();
            assert_eq!(
                json,
                json!({"kind": "text", "event_id": "$1", "sender": "@a:b", "ts": 5,
                    "msgtype": msgtype, "body": name})
            );
        }
    }

    #[test]
    fn replies_and_threads_are_text_and_edits_are_not() {
        for (relation, answers) in [
            (json!({"m.in_reply_to": {"event_id": "$0"}}), Some("$0")),
            (json!({"rel_type": "m.thread", "event_id": "$0"}), None),
            (
                json!({"rel_type": "m.thread", "event_id": "$0", "is_falling_back": true,
                    "m.in_reply_to": {"event_id": "$9"}}),
                Some("$9"),
            ),
            (json!({"m.in_reply_to": {"event_id": 7}}), None),
            (json!("nonsense"), None),
        ] {
            let content = json!({"msgtype": "m.text", "body": "x", "m.relates_to": relation});
            let json = serde_json::to_value(item("m.room.message", content)).unwrap();
            assert_eq!(json.get("reply_to").and_then(Value::as_str), answers);
            assert_eq!(json.get("body"), Some(&json!("x")));
        }
        let content = json!({"msgtype": "m.text", "body": "* x", "m.new_content": {},
            "m.relates_to": {"rel_type": "m.replace", "event_id": "$0"}});
        assert_eq!(what("m.room.message", content.clone()), Unsupported::Edit);
        assert_eq!(what("m.poll.start", content), Unsupported::Edit);
        let relation_outside = json!({"msgtype": "m.text", "body": "* x", "m.new_content": {}});
        assert_eq!(what("m.room.message", relation_outside), Unsupported::Edit);
    }

    /// Every event type and msgtype of the specification (1.17) and of the proposals that clients
    /// send, with the name it gets.
    #[test]
    fn everything_that_is_no_text_is_named() {
        let table = include_str!("content/kinds.txt");
        let mut rows = 0;
        for row in table.lines().filter(|row| !row.starts_with('#')) {
            let words: Vec<&str> = row.split_whitespace().collect();
            let [event_type, msgtype, name] = words[..] else {
                panic!("{row}")
            };
            let content = json!({"msgtype": msgtype, "body": "x"});
            let named = serde_json::to_value(what(event_type, content)).unwrap();
            assert_eq!(named, json!(name), "{event_type} {msgtype}");
            rows += 1;
        }
        assert!(rows > 80, "{rows}");
    }

    #[test]
    fn a_message_without_what_it_needs_is_no_text() {
        for content in [
            json!({"msgtype": "m.text"}),
            json!({"msgtype": "m.text", "body": 1}),
            json!({"body": "x"}),
            json!({"msgtype": ["m.text"], "body": "x"}),
            json!({}),
        ] {
            assert_eq!(what("m.room.message", content), Unsupported::Other);
        }
        let voice = |mark: &str| json!({"msgtype": "m.audio", "body": "x", mark: {}});
        for mark in ["org.matrix.msc3245.voice", "m.voice"] {
            assert_eq!(what("m.room.message", voice(mark)), Unsupported::Voice);
        }
    }

    #[test]
    fn only_what_rings_can_be_answered() {
        let ring = |event_type: &str, content: Value| match item(event_type, content) {
            Item::Unsupported { ring, .. } => ring,
            other => panic!("{other:?}"),
        };
        let call = |version: Value| json!({"call_id": "c1", "version": version, "lifetime": 100});
        let expected = |hangup| {
            let call_id = Some("c1".to_owned());
            let until = 105;
            Some(Ring {
                call_id,
                hangup,
                until,
            })
        };
        assert_eq!(ring("m.call.invite", call(json!("1"))), expected(false));
        assert_eq!(ring("m.call.invite", call(json!(0))), expected(true));
        let rtc = |kind: &str| json!({"notification_type": kind, "lifetime": 100});
        for event_type in ["m.rtc.notification", "org.matrix.msc4075.rtc.notification"] {
            let answer = ring(event_type, rtc("ring")).unwrap();
            assert_eq!((answer.call_id, answer.until), (None, 105));
            assert_eq!(ring(event_type, rtc("notification")), None);
        }
        assert_eq!(
            ring("m.call.invite", json!({"call_id": "c"}))
                .unwrap()
                .until,
            60_005
        );
        for (event_type, content) in [
            ("m.call.invite", json!({})),
            ("m.call.invite", json!({"call_id": "x".repeat(256)})),
            ("m.call.candidates", call(json!("1"))),
            ("m.call.hangup", call(json!("1"))),
            ("m.room.message", call(json!("1"))),
        ] {
            assert_eq!(ring(event_type, content), None, "{event_type}");
        }
        let endless = json!({"call_id": "c", "lifetime": u64::MAX});
        assert_eq!(ring("m.call.invite", endless).unwrap().until, u64::MAX);
    }
}
