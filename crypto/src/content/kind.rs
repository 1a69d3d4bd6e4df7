//! What an event is that isn't text: a closed list of names, and a rule for every event type.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::object::{number, text};

/// What an event was that isn't shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is what its name says")]
pub enum Unsupported {
    Image,
    File,
    Audio,
    /// An audio message that was spoken (MSC3245).
    Voice,
    Video,
    Sticker,
    Location,
    Poll,
    Reaction,
    Edit,
    Call,
    /// A request to compare emoji.
    Verification,
    /// A message that came without encryption; its content isn't looked at.
    Unencrypted,
    /// What follows something that was named already: more of the same call, votes of a poll, the
    /// end of either. By itself it is nothing that anybody sent.
    Part,
    Other,
}

/// How long a call rings whose invitation doesn't say it, in milliseconds.
const RING_MS: u64 = 60_000;
/// The longest id of a call that is answered; what clients make is far shorter.
const CALL_ID_BYTES: usize = 255;

/// A call that rings, and what an answer to it has to name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ring {
    /// The call of an `m.call.invite`; a MatrixRTC call (MSC4075) is named by its event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// The invitation is of version 0, which knows no reject.
    pub hangup: bool,
    /// It stops ringing then, in milliseconds since the Unix epoch by the homeserver's clock.
    pub until: u64,
}

/// The call that a decrypted event of that type and content begins.
pub(super) fn ring(event_type: &str, content: &Map<String, Value>, ts: u64) -> Option<Ring> {
    let call_id = match event_type {
        "m.call.invite" => {
            let id = text(content, "call_id").filter(|id| id.len() <= CALL_ID_BYTES);
            Some(id?.to_owned())
        }
        "m.rtc.notification" | "org.matrix.msc4075.rtc.notification"
            if text(content, "notification_type") == Some("ring") =>
        {
            None
        }
        _ => return None,
    };
    Some(Ring {
        call_id,
        hangup: number(content, "version") == Some(0),
        until: ts.saturating_add(number(content, "lifetime").unwrap_or(RING_MS)),
    })
}

/// The kind of an event by its type; `m.room.message` is decided by [`kind_of_message`].
pub(super) fn kind_of(event_type: &str) -> Unsupported {
    match event_type {
        "m.sticker" => Unsupported::Sticker,
        "m.reaction" => Unsupported::Reaction,
        "m.location" | "org.matrix.msc3488.location" | "m.beacon" | "org.matrix.msc3672.beacon" => {
            Unsupported::Location
        }
        "m.poll.start" | "org.matrix.msc3381.poll.start" => Unsupported::Poll,
        "m.call.invite"
        | "m.call.notify"
        | "org.matrix.msc4075.call.notify"
        | "m.rtc.notification"
        | "org.matrix.msc4075.rtc.notification" => Unsupported::Call,
        // Extensible events (MSC1767) carry as their type what `m.room.message` has as its msgtype.
        "m.voice" | "org.matrix.msc3245.voice.v2" => Unsupported::Voice,
        "m.poll.response"
        | "m.poll.end"
        | "org.matrix.msc3381.poll.response"
        | "org.matrix.msc3381.poll.end"
        | "m.rtc.decline"
        | "org.matrix.msc4310.rtc.decline"
        | "io.element.call.encryption_keys" => Unsupported::Part,
        _ => {
            let follows = ["m.call.", "org.matrix.call.", "m.key.verification."];
            if follows.iter().any(|begin| event_type.starts_with(begin)) {
                return Unsupported::Part;
            }
            match event_type.strip_prefix("org.matrix.msc1767.") {
                Some(rest) => kind_of_media(rest),
                None => event_type
                    .strip_prefix("m.")
                    .map_or(Unsupported::Other, kind_of_media),
            }
        }
    }
}

/// The kind of an `m.room.message` that is no text, by its content.
pub(super) fn kind_of_message(content: &Map<String, Value>) -> Unsupported {
    match text(content, "msgtype").unwrap_or_default() {
        "m.location" => Unsupported::Location,
        "m.key.verification.request" => Unsupported::Verification,
        // Several pictures or films in one message (MSC4274).
        "m.gallery" | "dm.filament.gallery" => Unsupported::Image,
        "m.audio"
            if content.contains_key("org.matrix.msc3245.voice")
                || content.contains_key("m.voice") =>
        {
            Unsupported::Voice
        }
        msgtype => msgtype
            .strip_prefix("m.")
            .map_or(Unsupported::Other, kind_of_media),
    }
}

fn kind_of_media(name: &str) -> Unsupported {
    match name {
        "image" => Unsupported::Image,
        "file" => Unsupported::File,
        "audio" => Unsupported::Audio,
        "video" => Unsupported::Video,
        _ => Unsupported::Other,
    }
}
