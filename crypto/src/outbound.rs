//! The outbound Megolm session of a room: when it ends, who has its key, and what is on its way.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use vodozemac::megolm::{GroupSession, GroupSessionPickle, SessionConfig};

use crate::error::OpenError;
use crate::host::Host;
use crate::identity::elapsed;
use crate::records::{self, Changes, kind};

/// Messages under one session.
const MAX_MESSAGES: u32 = 100;
/// Age of one session: seven days.
const MAX_AGE_MS: u64 = 7 * 24 * 3_600_000;

pub(crate) struct Outbound {
    pub(crate) room_id: String,
    pub(crate) session: GroupSession,
    created_at: u64,
    sharing: Sharing,
}

/// Who has the key, who was told that they don't get it, and what is on its way to whom.
#[derive(Default, Serialize, Deserialize)]
struct Sharing {
    /// Device id to the Curve25519 key the room key was encrypted for.
    shared: BTreeMap<String, String>,
    withheld: BTreeMap<String, Withheld>,
    pending: Option<Pending>,
    /// Counts what was handed out for this session, so that each has its own id.
    handed_out: u32,
}

/// Why a device gets no key (Matrix specification, "m.room_key.withheld").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Withheld {
    /// Its owner hasn't signed it.
    Unverified,
    /// No Olm session could be made with it.
    NoOlm,
}

impl Withheld {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Unverified => "m.unverified",
            Self::NoOlm => "m.no_olm",
        }
    }
}

/// To-device messages handed out and not yet known to be stored by the bridge.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) id: String,
    pub(crate) event_type: String,
    pub(crate) messages: Map<String, Value>,
    purpose: Purpose,
}

#[derive(Clone, Serialize, Deserialize)]
enum Purpose {
    /// Device id to its Curve25519 key.
    Share(BTreeMap<String, String>),
    Withhold(Withheld),
}

#[derive(Serialize)]
struct RecordRef<'a> {
    room_id: &'a str,
    created_at: u64,
    sharing: &'a Sharing,
    pickle: GroupSessionPickle,
}

#[derive(Deserialize)]
struct Record {
    room_id: String,
    created_at: u64,
    sharing: Sharing,
    pickle: GroupSessionPickle,
}

impl Outbound {
    pub(crate) fn new(room_id: &str, now: u64) -> Self {
        Self {
            room_id: room_id.to_owned(),
            session: GroupSession::new(SessionConfig::version_1()),
            created_at: now,
            sharing: Sharing::default(),
        }
    }

    pub(crate) fn open(bytes: &[u8]) -> Result<Self, OpenError> {
        let record: Record = records::decode(kind::OUTBOUND, bytes)?;
        Ok(Self {
            room_id: record.room_id,
            session: GroupSession::from_pickle(record.pickle),
            created_at: record.created_at,
            sharing: record.sharing,
        })
    }

    pub(crate) fn save(&self, changes: &mut Changes) {
        changes.put(
            format!("{}:{}", kind::OUTBOUND, self.room_id),
            &RecordRef {
                room_id: &self.room_id,
                created_at: self.created_at,
                sharing: &self.sharing,
                pickle: self.session.pickle(),
            },
        );
    }

    /// Whether a new session must replace this one: it is used up, old, or a device has its key
    /// that must not read on.
    pub(crate) fn is_over(&self, host: &Host, now: u64) -> bool {
        self.session.message_index() >= MAX_MESSAGES
            || elapsed(self.created_at, now) >= MAX_AGE_MS
            || self.sharing.shared.iter().any(|(device_id, curve25519)| {
                host.trusted_device(device_id)
                    .is_none_or(|d| d.curve25519 != *curve25519)
            })
    }

    pub(crate) fn is_shared_with_anyone(&self) -> bool {
        !self.sharing.shared.is_empty()
    }

    pub(crate) fn is_shared_with(&self, device_id: &str) -> bool {
        self.sharing.shared.contains_key(device_id)
    }

    pub(crate) fn is_withheld_from(&self, device_id: &str, why: Withheld) -> bool {
        self.sharing.withheld.get(device_id) == Some(&why)
    }

    pub(crate) fn pending(&self) -> Option<&Pending> {
        self.sharing.pending.as_ref()
    }

    /// Puts a room key on its way; `devices` maps device ids to Curve25519 keys.
    pub(crate) fn share(
        &mut self,
        messages: Map<String, Value>,
        devices: BTreeMap<String, String>,
    ) {
        self.hand_out("m.room.encrypted", messages, Purpose::Share(devices));
    }

    /// Puts the word that there is no key on its way.
    pub(crate) fn withhold(&mut self, messages: Map<String, Value>, why: Withheld) {
        self.hand_out("m.room_key.withheld", messages, Purpose::Withhold(why));
    }

    fn hand_out(&mut self, event_type: &str, messages: Map<String, Value>, purpose: Purpose) {
        let id = format!("{}.{}", self.session.session_id(), self.sharing.handed_out);
        self.sharing.handed_out = self.sharing.handed_out.saturating_add(1);
        self.sharing.pending = Some(Pending {
            id,
            event_type: event_type.to_owned(),
            messages,
            purpose,
        });
    }

    /// The bridge has stored what was handed out under that id; only now do its devices count.
    pub(crate) fn stored(&mut self, id: &str) -> bool {
        let Some(pending) = self.sharing.pending.take_if(|p| p.id == id) else {
            return false;
        };
        match pending.purpose {
            Purpose::Share(devices) => self.sharing.shared.extend(devices),
            Purpose::Withhold(why) => {
                let devices = pending
                    .messages
                    .into_iter()
                    .map(|(device_id, _)| (device_id, why));
                self.sharing.withheld.extend(devices);
            }
        }
        true
    }
}
