//! Olm sessions with the devices of the host (Matrix specification,
//! "m.olm.v1.curve25519-aes-sha2").

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vodozemac::olm::{Account, OlmMessage, PreKeyMessage, Session, SessionConfig, SessionPickle};
use vodozemac::{Curve25519PublicKey, olm::EncryptionError};
use zeroize::Zeroizing;

use crate::error::{OpenError, Refused};
use crate::records::{self, Changes, kind};

/// Sessions kept for one device. Several arise when both sides begin at once; more only help
/// whoever wants to fill the store.
const SESSIONS_PER_DEVICE: usize = 4;

#[derive(Default)]
pub(crate) struct OlmSessions {
    /// By the other device's Curve25519 key, oldest use first.
    by_device: BTreeMap<String, Vec<OlmSession>>,
}

struct OlmSession {
    session: Session,
    /// When it last decrypted something, or was made; in milliseconds, and strictly increasing.
    used_at: u64,
}

#[derive(Serialize)]
struct RecordRef<'a> {
    device: &'a str,
    used_at: u64,
    pickle: SessionPickle,
}

#[derive(Deserialize)]
struct Record {
    device: String,
    used_at: u64,
    pickle: SessionPickle,
}

/// An Olm message decrypted.
pub(crate) struct Decrypted {
    pub(crate) plaintext: Zeroizing<Vec<u8>>,
    /// A one-time key was used up: the account must be stored.
    pub(crate) account_changed: bool,
}

impl OlmSessions {
    pub(crate) fn open_record(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        let record: Record = records::decode(kind::OLM, bytes)?;
        let session = OlmSession {
            session: Session::from_pickle(record.pickle),
            used_at: record.used_at,
        };
        let sessions = self.by_device.entry(record.device).or_default();
        sessions.push(session);
        sessions.sort_by_key(|s| s.used_at);
        Ok(())
    }

    pub(crate) fn has(&self, device: &str) -> bool {
        self.by_device
            .get(device)
            .is_some_and(|sessions| !sessions.is_empty())
    }

    /// Decrypts with a session of that device, or makes one from a pre-key message. On failure
    /// nothing changes: vodozemac takes a ratchet step, or a one-time key away, only once the
    /// message authenticated.
    pub(crate) fn decrypt(
        &mut self,
        account: &mut Account,
        device: &str,
        device_key: Curve25519PublicKey,
        message: &OlmMessage,
        now: u64,
        changes: &mut Changes,
    ) -> Result<Decrypted, Refused> {
        let sessions = self.by_device.entry(device.to_owned()).or_default();
        let (id, plaintext) = match message {
            OlmMessage::PreKey(pre_key) => {
                let id = pre_key.session_id();
                // A pre-key message names its session. If that exists, the message must not make it
                // a second time: a repeated one ends here.
                match sessions.iter_mut().find(|s| s.session.session_id() == id) {
                    Some(known) => (
                        id,
                        known.session.decrypt(message).map_err(|_| Refused::Olm)?,
                    ),
                    None => return self.accept(account, device, device_key, pre_key, now, changes),
                }
            }
            OlmMessage::Normal(_) => sessions
                .iter_mut()
                .rev()
                .find_map(|s| Some((s.session.session_id(), s.session.decrypt(message).ok()?)))
                .ok_or(Refused::Olm)?,
        };
        touch(sessions, device, &id, now, changes);
        Ok(Decrypted {
            plaintext: Zeroizing::new(plaintext),
            account_changed: false,
        })
    }

    fn accept(
        &mut self,
        account: &mut Account,
        device: &str,
        device_key: Curve25519PublicKey,
        message: &PreKeyMessage,
        now: u64,
        changes: &mut Changes,
    ) -> Result<Decrypted, Refused> {
        let created = account
            .create_inbound_session(SessionConfig::version_1(), device_key, message)
            .map_err(|_| Refused::Olm)?;
        self.add(device, created.session, now, changes);
        Ok(Decrypted {
            plaintext: Zeroizing::new(created.plaintext),
            account_changed: true,
        })
    }

    /// Makes a session from a claimed one-time key.
    pub(crate) fn create(
        &mut self,
        account: &Account,
        device: &str,
        device_key: Curve25519PublicKey,
        one_time_key: Curve25519PublicKey,
        now: u64,
        changes: &mut Changes,
    ) -> bool {
        match account.create_outbound_session(SessionConfig::version_1(), device_key, one_time_key)
        {
            Ok(session) => {
                self.add(device, session, now, changes);
                true
            }
            Err(_) => false,
        }
    }

    /// Encrypts with the newest session of the device; `None` if there is none.
    pub(crate) fn encrypt(
        &mut self,
        device: &str,
        plaintext: &[u8],
        changes: &mut Changes,
    ) -> Option<Result<OlmMessage, EncryptionError>> {
        let session = self.by_device.get_mut(device)?.last_mut()?;
        let message = session.session.encrypt(plaintext);
        save(device, session, changes);
        Some(message)
    }

    fn add(&mut self, device: &str, session: Session, now: u64, changes: &mut Changes) {
        let sessions = self.by_device.entry(device.to_owned()).or_default();
        let session = OlmSession {
            session,
            used_at: next_use(sessions, now),
        };
        save(device, &session, changes);
        sessions.push(session);
        if sessions.len() > SESSIONS_PER_DEVICE {
            let oldest = sessions.remove(0);
            changes.delete(record_key(&oldest.session));
        }
    }
}

/// Later than every use so far, whatever the clock says: the order survives a restart.
fn next_use(sessions: &[OlmSession], now: u64) -> u64 {
    sessions
        .last()
        .map_or(now, |newest| now.max(newest.used_at.saturating_add(1)))
}

/// Notes that the session decrypted, and makes it the newest.
fn touch(sessions: &mut Vec<OlmSession>, device: &str, id: &str, now: u64, changes: &mut Changes) {
    if let Some(position) = sessions.iter().position(|s| s.session.session_id() == id) {
        let used_at = next_use(sessions, now);
        let mut session = sessions.remove(position);
        session.used_at = used_at;
        save(device, &session, changes);
        sessions.push(session);
    }
}

fn save(device: &str, session: &OlmSession, changes: &mut Changes) {
    changes.put(
        record_key(&session.session),
        &RecordRef {
            device,
            used_at: session.used_at,
            pickle: session.session.pickle(),
        },
    );
}

fn record_key(session: &Session) -> String {
    format!("{}:{}", kind::OLM, session.session_id())
}
