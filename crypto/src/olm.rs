//! Olm sessions with the devices of peers (Matrix specification,
//! "m.olm.v1.curve25519-aes-sha2").

use vodozemac::Curve25519PublicKey;
use vodozemac::olm::{Account, EncryptionError, OlmMessage, PreKeyMessage, Session, SessionConfig};
use zeroize::Zeroizing;

use crate::encoding::is_canonical;
use crate::error::{OpenError, Refused};
use crate::object::{Object, number, owned};
use crate::records::{Changes, Record, kind};

/// Sessions kept for one device. Several arise when both sides begin at once; more only help
/// whoever wants to fill the store.
const SESSIONS_PER_DEVICE: usize = 4;
/// Sessions kept with one user. A pre-key message may name any sender key, so that the number of
/// devices bounds nothing.
const SESSIONS_PER_USER: usize = 200;

#[derive(Default)]
pub(crate) struct OlmSessions {
    /// Oldest use first.
    sessions: Vec<OlmSession>,
}

struct OlmSession {
    /// Whose device it is. The key alone doesn't say it: anybody can publish another's key as
    /// their own, and a message that comes in their name must not use the other's session.
    user: String,
    /// The other device's Curve25519 key.
    device: String,
    session: Session,
    /// When it last decrypted something, or was made; in milliseconds, and strictly increasing.
    used_at: u64,
}

/// An Olm message decrypted.
pub(crate) struct Decrypted {
    pub(crate) plaintext: Zeroizing<Vec<u8>>,
    /// The message began a session. A one-time key is used up: the account must be stored.
    pub(crate) new_session: bool,
}

impl OlmSessions {
    pub(crate) fn open_record(
        &mut self,
        bytes: &[u8],
        host: Option<&str>,
    ) -> Result<(), OpenError> {
        let record = Record::read(kind::OLM, bytes)?;
        let host = record.host(host).map(str::to_owned);
        let session = OlmSession {
            user: record.parse(|o| host.or_else(|| owned(o, "user_id")))?,
            device: record.parse(|o| owned(o, "device"))?,
            session: Session::from_pickle(record.unpickle()?),
            used_at: record.parse(|o| number(o, "used_at"))?,
        };
        let later = self
            .sessions
            .iter()
            .position(|s| s.used_at > session.used_at);
        self.sessions
            .insert(later.unwrap_or(self.sessions.len()), session);
        Ok(())
    }

    pub(crate) fn save_all(&self, changes: &mut Changes) {
        self.sessions.iter().for_each(|s| s.save(changes));
    }

    pub(crate) fn forget(&mut self, user: &str, changes: &mut Changes) {
        self.sessions.retain(|session| {
            if session.user == user {
                changes.delete(session.record_key());
            }
            session.user != user
        });
    }

    pub(crate) fn has(&self, user: &str, device: &str) -> bool {
        self.of(user, device).next().is_some()
    }

    /// Positions of the sessions with that device, newest first.
    fn of(&self, user: &str, device: &str) -> impl Iterator<Item = usize> {
        self.sessions
            .iter()
            .enumerate()
            .rev()
            .filter(move |(_, session)| session.user == user && session.device == device)
            .map(|(position, _)| position)
    }

    /// Decrypts with a session of that device, or makes one from a pre-key message. On failure
    /// nothing changes: vodozemac takes a ratchet step, or a one-time key away, only once the
    /// message authenticated.
    pub(crate) fn decrypt(
        &mut self,
        account: &mut Account,
        user: &str,
        device_key: Curve25519PublicKey,
        message: &OlmMessage,
        now: u64,
        changes: &mut Changes,
    ) -> Result<Decrypted, Refused> {
        let device = device_key.to_base64();
        let named = match message {
            OlmMessage::PreKey(pre_key) => Some(pre_key.session_id()),
            OlmMessage::Normal(_) => None,
        };
        // Sent on in another's name, a pre-key message would make its session a second time, if
        // it used the fallback key.
        if let Some(id) = &named
            && self
                .sessions
                .iter()
                .any(|s| s.user != user && s.session.session_id() == *id)
        {
            return Err(Refused::Mismatch);
        }
        let positions: Vec<usize> = self.of(user, &device).collect();
        for position in positions {
            let Some(candidate) = self.sessions.get_mut(position) else {
                continue;
            };
            if named
                .as_ref()
                .is_some_and(|id| *id != candidate.session.session_id())
            {
                continue;
            }
            match candidate.session.decrypt(message) {
                Ok(plaintext) => {
                    self.touch(position, now, changes);
                    return Ok(Decrypted {
                        plaintext: Zeroizing::new(plaintext),
                        new_session: false,
                    });
                }
                // A pre-key message names its session. If that exists, the message must not make
                // it a second time: a repeated one ends here.
                Err(_) if named.is_some() => return Err(Refused::Olm),
                Err(_) => {}
            }
        }
        match message {
            OlmMessage::PreKey(pre_key) => {
                self.accept(account, user, device_key, pre_key, now, changes)
            }
            OlmMessage::Normal(_) => Err(Refused::Olm),
        }
    }

    fn accept(
        &mut self,
        account: &mut Account,
        user: &str,
        device_key: Curve25519PublicKey,
        message: &PreKeyMessage,
        now: u64,
        changes: &mut Changes,
    ) -> Result<Decrypted, Refused> {
        // Nothing authenticates how these keys are written. In another form they would pass for
        // another session, and a repeated message for a new one.
        let keys = [
            message.identity_key(),
            message.base_key(),
            message.one_time_key(),
        ];
        if !keys.iter().all(is_canonical) {
            return Err(Refused::Olm);
        }
        let created = account
            .create_inbound_session(SessionConfig::version_1(), device_key, message)
            .map_err(|_| Refused::Olm)?;
        self.add(user, device_key, created.session, now, changes);
        Ok(Decrypted {
            plaintext: Zeroizing::new(created.plaintext),
            new_session: true,
        })
    }

    /// Makes a session from a claimed one-time key.
    pub(crate) fn create(
        &mut self,
        account: &Account,
        user: &str,
        device_key: Curve25519PublicKey,
        one_time_key: Curve25519PublicKey,
        now: u64,
        changes: &mut Changes,
    ) -> bool {
        let config = SessionConfig::version_1();
        match account.create_outbound_session(config, device_key, one_time_key) {
            Ok(session) => {
                self.add(user, device_key, session, now, changes);
                true
            }
            Err(_) => false,
        }
    }

    /// Encrypts with the newest session of the device; `None` if there is none.
    pub(crate) fn encrypt(
        &mut self,
        user: &str,
        device: &str,
        plaintext: &[u8],
        changes: &mut Changes,
    ) -> Option<Result<OlmMessage, EncryptionError>> {
        let newest = self.of(user, device).next()?;
        let session = self.sessions.get_mut(newest)?;
        let message = session.session.encrypt(plaintext);
        session.save(changes);
        Some(message)
    }

    fn add(
        &mut self,
        user: &str,
        device_key: Curve25519PublicKey,
        session: Session,
        now: u64,
        changes: &mut Changes,
    ) {
        let session = OlmSession {
            user: user.to_owned(),
            device: device_key.to_base64(),
            session,
            used_at: self.next_use(now),
        };
        session.save(changes);
        let oldest = self.of(user, &session.device).nth(SESSIONS_PER_DEVICE - 1);
        let of_user = || self.sessions.iter().filter(|s| s.user == user);
        let oldest = oldest.or_else(|| {
            let full = of_user().count() >= SESSIONS_PER_USER;
            let first = self.sessions.iter().position(|s| s.user == user);
            first.filter(|_| full)
        });
        if let Some(oldest) = oldest {
            changes.delete(self.sessions.remove(oldest).record_key());
        }
        self.sessions.push(session);
    }

    /// Notes that the session decrypted, and makes it the newest.
    fn touch(&mut self, position: usize, now: u64, changes: &mut Changes) {
        let used_at = self.next_use(now);
        let mut session = self.sessions.remove(position);
        session.used_at = used_at;
        session.save(changes);
        self.sessions.push(session);
    }

    /// Later than every use so far, whatever the clock says: the order survives a restart.
    fn next_use(&self, now: u64) -> u64 {
        self.sessions
            .last()
            .map_or(now, |newest| now.max(newest.used_at.saturating_add(1)))
    }
}

impl OlmSession {
    fn save(&self, changes: &mut Changes) {
        let object = Object::default()
            .text("user_id", &self.user)
            .text("device", &self.device)
            .number("used_at", self.used_at);
        changes.put_pickle(self.record_key(), object, &self.session.pickle());
    }

    fn record_key(&self) -> String {
        format!("{}:{}", kind::OLM, self.session.session_id())
    }
}
