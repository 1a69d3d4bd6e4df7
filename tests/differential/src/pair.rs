//! The two guests, who do the same.

use matrix_sdk_common::deserialized_responses::{VerificationLevel, VerificationState};
use matrix_sdk_crypto::{CollectStrategy, TrustRequirement};
use serde_json::{Value, json};
use vestibule_crypto::{Blocked, Item, Refused};

use crate::fate::CallFault;
use crate::guest::{Guest, Sent};
use crate::sdk::{Sdk, Verdict};
use crate::server::{Batch, Server};
use crate::{GUEST_DEVICE, HOST, ROOM, TWIN};

/// A week: the age at which a Megolm session ends.
const WEEK: u64 = 7 * 24 * 3_600_000;

/// What matrix-sdk-crypto says of an event whose sender doesn't own the Megolm session.
pub(crate) const MISMATCHED: VerificationState =
    VerificationState::Unverified(VerificationLevel::MismatchedSender);

/// Our machine and its twin.
pub(crate) struct Pair {
    pub(crate) ours: Guest,
    pub(crate) twin: Sdk,
    /// The current Megolm sessions, and since when.
    sessions: Option<(String, String)>,
    /// When their first message was tried, and when it was sent.
    tried_at: Option<u64>,
    born_at: u64,
}

/// What became of both attempts to send.
pub(crate) enum BothSent {
    Contents {
        ours: Value,
        twin: Value,
    },
    /// A call failed for both.
    Stopped,
    /// The host's identity changed, and both know.
    IdentityChanged,
    /// There is no device to send to.
    NoDevices,
}

impl Pair {
    pub(crate) async fn join(server: &mut Server, now: u64) -> Self {
        let ours = Guest::join(server, now);
        let twin = Sdk::new(TWIN, GUEST_DEVICE).await;
        twin.publish(server).await;
        twin.cross_sign(server).await;
        twin.track(server, &[TWIN]).await;
        Self {
            ours,
            twin,
            sessions: None,
            tried_at: None,
            born_at: now,
        }
    }

    /// Both learn who the host is.
    pub(crate) async fn meet(&mut self, server: &mut Server, now: u64) {
        self.ours.query(server, now);
        self.twin.track(server, &[TWIN, HOST]).await;
    }

    pub(crate) async fn restart(&mut self, server: &Server) {
        self.ours.restart();
        if self.twin.may_restart(server).await {
            self.twin.restart().await;
        }
    }

    pub(crate) async fn notice(&mut self) {
        self.ours.notice();
        self.twin.notice(HOST).await;
    }

    /// Both ask for the host's keys, if they have reason to.
    pub(crate) async fn query(&mut self, server: &mut Server, now: u64) -> Vec<Item> {
        let items = self.ours.query(server, now).items;
        self.twin.notice(HOST).await;
        let out = self.twin.settle(server, None).await.unwrap();
        assert!(out.is_empty(), "the twin heals within its first hour");
        items
    }

    /// The twin trusts as we do: signed devices of a host who has an identity, all of one who hasn't.
    async fn align(&mut self) {
        let identity = self.twin.has_identity(HOST).await;
        (self.twin.trust, self.twin.strategy) = if identity {
            let strategy = CollectStrategy::IdentityBasedStrategy;
            (TrustRequirement::CrossSigned, strategy)
        } else {
            (TrustRequirement::Untrusted, CollectStrategy::AllDevices)
        };
    }

    /// The twin's word on an event.
    pub(crate) async fn twin_reads(&mut self, event: &Value) -> Verdict {
        self.align().await;
        match self.twin.read(event).await {
            // Of a host without an identity it reads these as well, and clients warn.
            Verdict::Read { state, .. }
                if state == MISMATCHED
                    || matches!(
                        state,
                        VerificationState::Unverified(VerificationLevel::None(_))
                    ) =>
            {
                Verdict::Refused(format!("{state:?}"))
            }
            verdict => verdict,
        }
    }

    /// Both take in the same to-device event. Gives what ours can read now.
    ///
    /// # Errors
    /// What they disagree in.
    pub(crate) async fn receive(
        &mut self,
        (for_ours, for_twin): (&Value, &Value),
        now: u64,
    ) -> Result<Vec<Item>, String> {
        let ours = self.ours.receive_to_device(for_ours, now);
        let twin = self.twin.receive_to_device(for_twin).await;
        // A key of an unknown device is held back here, and marked there.
        let accepted = matches!(ours.refused, None | Some(Refused::UnknownDevice));
        // A bit was turned over in a part that Olm doesn't authenticate.
        let malformed = ours.refused == Some(Refused::Malformed);
        if accepted != twin && !(twin && malformed) {
            return Err(format!(
                "to-device: ours says {:?}, the twin {twin}",
                ours.refused
            ));
        }
        Ok(ours.items)
    }

    /// Both write. What they give to devices goes into `out`, ours first.
    ///
    /// # Errors
    /// What they disagree in.
    pub(crate) async fn send(
        &mut self,
        server: &mut Server,
        body: &str,
        fault: Option<CallFault>,
        out: &mut [Vec<Batch>; 2],
        now: u64,
    ) -> Result<BothSent, String> {
        let [for_ours, for_twin] = out;
        if fault == Some(CallFault::Query) {
            // So that both have something to ask for.
            self.notice().await;
        }
        let tried_at = *self.tried_at.get_or_insert(now);
        let ours = self.ours.send(server, body, fault, for_ours, now);
        if let Sent::Blocked(Blocked::NoDevices) = ours {
            return Ok(BothSent::NoDevices);
        }
        // Its own clock is the real one.
        let aged = now.saturating_sub(self.born_at) >= WEEK;
        if aged {
            self.twin.rotate(ROOM).await;
        }
        let twin = self.twin_shares(server, fault, for_twin).await;
        let (ours, twin) = match (ours, twin) {
            // What failed is a call that only one of them had to make.
            (Sent::Content(content), Shared::Stopped) if fault.is_some() => {
                let twin = self.twin_shares(server, None, for_twin).await;
                (Sent::Content(content), twin)
            }
            (Sent::Stopped, Shared::Done) => (
                self.ours.send(server, body, None, for_ours, now),
                Shared::Done,
            ),
            both => both,
        };
        let ours = match (ours, twin) {
            (Sent::Content(content), Shared::Done) => content,
            (Sent::Stopped, Shared::Stopped) => return Ok(BothSent::Stopped),
            // Ours asks for nothing more until the guest has said a word.
            (
                Sent::Blocked(Blocked::IdentityChanged),
                Shared::IdentityChanged | Shared::Stopped,
            ) => {
                return Ok(BothSent::IdentityChanged);
            }
            (Sent::Content(_), twin) => return Err(format!("ours is ready, the twin: {twin:?}")),
            (ours, twin) => return Err(format!("ours: {ours:?}, the twin: {twin:?}")),
        };
        let content = json!({"msgtype": "m.text", "body": body});
        let twin = self.twin.encrypt(ROOM, "m.room.message", &content).await;
        let ids = [&ours, &twin].map(|content| content["session_id"].as_str().unwrap().to_owned());
        let new = match &self.sessions {
            None => [true, true],
            Some((a, b)) => [*a != ids[0], *b != ids[1]],
        };
        let older = now.saturating_sub(tried_at) >= WEEK;
        if new[0] != new[1] && aged == older {
            return Err(format!(
                "a new session: ours {}, the twin {}",
                new[0], new[1]
            ));
        }
        if new[0] || new[1] {
            self.born_at = now;
            self.tried_at = Some(now);
        }
        let [a, b] = ids;
        self.sessions = Some((a, b));
        Ok(BothSent::Contents { ours, twin })
    }

    async fn twin_shares(
        &mut self,
        server: &mut Server,
        fault: Option<CallFault>,
        out: &mut Vec<Batch>,
    ) -> Shared {
        let Some(healed) = self.twin.settle(server, fault).await else {
            return Shared::Stopped;
        };
        out.extend(healed);
        if self.twin.identity_changed(HOST).await {
            return Shared::IdentityChanged;
        }
        self.align().await;
        match self.twin.share(server, ROOM, &[HOST], fault, out).await {
            Some(()) => Shared::Done,
            None => Shared::Stopped,
        }
    }
}

/// How far the twin came.
#[derive(Debug)]
enum Shared {
    Done,
    Stopped,
    IdentityChanged,
}
