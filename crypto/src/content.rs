//! What an event becomes for whoever shows it: text, a redaction, or one line that names what it
//! was. Nothing else comes out, so nothing else can be rendered.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::object::text;

/// One thing to show. A later item with the same event id replaces the earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Item {
    /// A message.
    Text {
        /// The event's id.
        event_id: String,
        /// Who wrote it: always the host.
        sender: String,
        /// The homeserver's time of the event, in milliseconds since the Unix epoch.
        ts: u64,
        /// How it was meant.
        #[serde(rename = "msgtype")]
        text_kind: TextKind,
        /// The plain text. A formatted form is dropped.
        body: String,
    },
    /// An earlier event was taken back.
    Redaction {
        /// The event's id.
        event_id: String,
        /// Who took it back: always the host.
        sender: String,
        /// The homeserver's time of the event, in milliseconds since the Unix epoch.
        ts: u64,
        /// The id of the event that was taken back.
        redacts: String,
    },
    /// Something that a text chat doesn't show.
    Unsupported {
        /// The event's id.
        event_id: String,
        /// Who sent it: always the host.
        sender: String,
        /// The homeserver's time of the event, in milliseconds since the Unix epoch.
        ts: u64,
        /// What it was.
        what: Unsupported,
    },
    /// A message that couldn't be read.
    Undecryptable {
        /// The event's id.
        event_id: String,
        /// Who sent it: always the host.
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

/// What an event was that isn't shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is what its name says")]
pub enum Unsupported {
    Image,
    File,
    Audio,
    Video,
    Sticker,
    Location,
    Poll,
    Reaction,
    Edit,
    Call,
    /// A message that came without encryption; its content isn't looked at.
    Unencrypted,
    Other,
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
    pub(crate) event_id: String,
    pub(crate) sender: String,
    pub(crate) ts: u64,
}

impl Envelope {
    pub(crate) fn read(event: &Map<String, Value>) -> Option<Self> {
        Some(Self {
            event_id: text(event, "event_id")?.to_owned(),
            sender: text(event, "sender")?.to_owned(),
            ts: event
                .get("origin_server_ts")
                .and_then(Value::as_u64)
                .unwrap_or(0),
        })
    }

    pub(crate) fn unsupported(self, what: Unsupported) -> Item {
        let Self {
            event_id,
            sender,
            ts,
        } = self;
        Item::Unsupported {
            event_id,
            sender,
            ts,
            what,
        }
    }

    pub(crate) fn undecryptable(self, reason: Undecryptable) -> Item {
        let Self {
            event_id,
            sender,
            ts,
        } = self;
        Item::Undecryptable {
            event_id,
            sender,
            ts,
            reason,
        }
    }

    pub(crate) fn redaction(self, redacts: String) -> Item {
        let Self {
            event_id,
            sender,
            ts,
        } = self;
        Item::Redaction {
            event_id,
            sender,
            ts,
            redacts,
        }
    }

    /// The item for a decrypted event of that type and content.
    pub(crate) fn decrypted(self, event_type: &str, content: &Map<String, Value>) -> Item {
        match read_content(event_type, content) {
            Ok((text_kind, body)) => {
                let Self {
                    event_id,
                    sender,
                    ts,
                } = self;
                Item::Text {
                    event_id,
                    sender,
                    ts,
                    text_kind,
                    body,
                }
            }
            Err(what) => self.unsupported(what),
        }
    }
}

fn read_content(
    event_type: &str,
    content: &Map<String, Value>,
) -> Result<(TextKind, String), Unsupported> {
    if event_type != "m.room.message" {
        return Err(kind_of(event_type));
    }
    if relation(content) == Some("m.replace") || content.contains_key("m.new_content") {
        return Err(Unsupported::Edit);
    }
    let text_kind = match text(content, "msgtype") {
        Some("m.text") => TextKind::Text,
        Some("m.emote") => TextKind::Emote,
        Some("m.notice") => TextKind::Notice,
        Some("m.image") => return Err(Unsupported::Image),
        Some("m.file") => return Err(Unsupported::File),
        Some("m.audio") => return Err(Unsupported::Audio),
        Some("m.video") => return Err(Unsupported::Video),
        Some("m.location") => return Err(Unsupported::Location),
        _ => return Err(Unsupported::Other),
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

fn kind_of(event_type: &str) -> Unsupported {
    match event_type {
        "m.sticker" => Unsupported::Sticker,
        "m.reaction" => Unsupported::Reaction,
        "m.location" | "m.beacon" | "org.matrix.msc3672.beacon" => Unsupported::Location,
        _ if event_type.starts_with("m.call.") => Unsupported::Call,
        _ if event_type.contains(".rtc.") => Unsupported::Call,
        _ if event_type.contains("poll.") => Unsupported::Poll,
        _ => Unsupported::Other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn item(event_type: &str, content: Value) -> Item {
        let envelope = Envelope {
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
        for relation in [
            json!({"m.in_reply_to": {"event_id": "$0"}}),
            json!({"rel_type": "m.thread", "event_id": "$0"}),
        ] {
            let content = json!({"msgtype": "m.text", "body": "x", "m.relates_to": relation});
            assert!(matches!(item("m.room.message", content), Item::Text { .. }));
        }
        let content = json!({"msgtype": "m.text", "body": "* x", "m.new_content": {},
            "m.relates_to": {"rel_type": "m.replace", "event_id": "$0"}});
        assert_eq!(what("m.room.message", content), Unsupported::Edit);
        let relation_outside = json!({"msgtype": "m.text", "body": "* x", "m.new_content": {}});
        assert_eq!(what("m.room.message", relation_outside), Unsupported::Edit);
    }

    #[test]
    fn everything_else_is_named() {
        for (event_type, msgtype, expected) in [
            ("m.room.message", "m.image", Unsupported::Image),
            ("m.room.message", "m.file", Unsupported::File),
            ("m.room.message", "m.audio", Unsupported::Audio),
            ("m.room.message", "m.video", Unsupported::Video),
            ("m.room.message", "m.location", Unsupported::Location),
            (
                "m.room.message",
                "m.key.verification.request",
                Unsupported::Other,
            ),
            ("m.sticker", "", Unsupported::Sticker),
            ("m.reaction", "", Unsupported::Reaction),
            ("m.poll.start", "", Unsupported::Poll),
            ("org.matrix.msc3381.poll.start", "", Unsupported::Poll),
            ("m.call.invite", "", Unsupported::Call),
            ("org.matrix.msc4075.rtc.notification", "", Unsupported::Call),
            ("org.example.unknown", "", Unsupported::Other),
        ] {
            let content = json!({"msgtype": msgtype, "body": "x"});
            assert_eq!(
                what(event_type, content),
                expected,
                "{event_type} {msgtype}"
            );
        }
        assert_eq!(
            what("m.room.message", json!({"msgtype": "m.text"})),
            Unsupported::Other
        );
        assert_eq!(
            what("m.room.message", json!({"msgtype": "m.text", "body": 1})),
            Unsupported::Other
        );
        assert_eq!(
            what("m.room.message", json!({"body": "x"})),
            Unsupported::Other
        );
    }
}
