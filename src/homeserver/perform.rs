//! One effect, one try.

use std::time::Duration;

use serde_json::{Value, json};
use vestibule_appservice::error::{CallError, CallErrorKind};
use vestibule_bridge::effect::{Effect, InRoom, Words};
use vestibule_bridge::id::{EffectId, EventId, PortalId, RoomId, UserId};
use vestibule_bridge::input::Outcome;

use super::{CallFailed, Homeserver, addressed};
use crate::outbox::{Later, Perform};
use crate::seal::{self, StateEvent};

/// What hosts see as the name of a guest's device; it tells nothing about the browser.
const DEVICE_NAME: &str = "Guest browser";
/// The pause while our own token is refused: nothing is gained by haste.
const TOKEN_PAUSE: Duration = Duration::from_secs(10);

impl Perform for Homeserver {
    async fn perform(
        &self,
        id: EffectId,
        effect: &Effect,
        repeated: bool,
        words: Option<&Words>,
    ) -> Result<Outcome, Later> {
        settled(self.attempt(id, effect, repeated, words).await)
    }
}

/// What a failed call means for its effect.
fn settled(tried: Result<Outcome, CallFailed>) -> Result<Outcome, Later> {
    match tried {
        Ok(outcome) => Ok(outcome),
        Err(failed) => match failed.source.kind() {
            CallErrorKind::Refused { errcode } => Ok(Outcome::Refused { errcode }),
            CallErrorKind::Later { after } => Err(Later {
                after,
                limited: failed.is_limited(),
                why: failed.source.to_string(),
            }),
            CallErrorKind::Unauthorized => Err(Later {
                after: Some(TOKEN_PAUSE),
                limited: false,
                why: failed.source.to_string(),
            }),
        },
    }
}

impl Homeserver {
    async fn attempt(
        &self,
        id: EffectId,
        effect: &Effect,
        repeated: bool,
        words: Option<&Words>,
    ) -> Result<Outcome, CallFailed> {
        let transaction = effect.transaction(id);
        let name = effect.name();
        let done = |(): ()| Outcome::Done;
        match effect {
            Effect::RegisterGhost { ghost, .. } => self.register(ghost).await,
            Effect::NameGhost {
                ghost, name: guest, ..
            } => self
                .counted(
                    name,
                    self.as_ghost(ghost)
                        .set_display_name(&guest.labelled())
                        .await,
                )
                .map(done),
            Effect::RestoreProfile {
                ghost, name: guest, ..
            } => self.restore_profile(name, ghost, guest).await,
            Effect::PutDevice { ghost, device, .. } => self
                .counted(
                    name,
                    self.as_ghost(ghost)
                        .put_device(device.as_str(), DEVICE_NAME)
                        .await,
                )
                .map(done),
            Effect::UploadKeys {
                ghost,
                device,
                keys,
                ..
            } => {
                let ghost = self.as_ghost(ghost).with_device(device.as_str());
                let uploaded = ghost.upload_keys(
                    Some(&keys.device_keys),
                    Some(&keys.one_time_keys),
                    Some(&keys.fallback_keys),
                );
                self.counted(name, uploaded.await).map(|_| Outcome::Done)
            }
            Effect::UploadCrossSigning { ghost, keys, .. } => {
                let ghost = self.as_ghost(ghost);
                let uploaded = ghost.upload_cross_signing(
                    &keys.master_key,
                    &keys.self_signing_key,
                    &keys.user_signing_key,
                );
                self.counted(name, uploaded.await).map(done)
            }
            Effect::UploadSignatures {
                ghost,
                device,
                device_keys,
                ..
            } => {
                let signatures = json!({ ghost.as_str(): { device.as_str(): device_keys } });
                self.counted(
                    name,
                    self.as_ghost(ghost).upload_signatures(&signatures).await,
                )
                .map(done)
            }
            Effect::CreateRoom {
                portal,
                host,
                ghost,
            } => self.create_room(*portal, host, ghost, repeated).await,
            Effect::GhostJoins(step) => self
                .counted(
                    name,
                    self.as_ghost(&step.ghost).join(step.room.as_str()).await,
                )
                .map(done),
            Effect::BotLeaves(step) => self.bot_leaves(name, &step.room, repeated).await,
            Effect::InviteHost(step) => self.invite_host(step, repeated).await,
            Effect::GiveUpPower(step) => self.give_up_power(step).await,
            Effect::VerifySeal(step) => self.verify_seal(step).await,
            Effect::SendEvent {
                ghost,
                device,
                room,
                content,
                ..
            } => {
                let ghost = self.as_ghost(ghost).with_device(device.as_str());
                let sent = ghost
                    .send_event(room.as_str(), "m.room.encrypted", &transaction, content)
                    .await;
                self.counted(name, sent)
                    .map(|event_id| Outcome::Sent(EventId::new(event_id)))
            }
            Effect::Redact {
                ghost, room, event, ..
            } => {
                let redacted = self
                    .as_ghost(ghost)
                    .redact(room.as_str(), event.as_str(), &transaction, None)
                    .await;
                self.counted(name, redacted)
                    .map(|event_id| Outcome::Sent(EventId::new(event_id)))
            }
            Effect::SendToDevice {
                ghost,
                device,
                host,
                event_type,
                messages,
                ..
            } => {
                let ghost = self.as_ghost(ghost).with_device(device.as_str());
                let sent = ghost
                    .send_to_device(event_type, &transaction, &addressed(host, messages))
                    .await;
                self.counted(name, sent).map(done)
            }
            Effect::GhostLeaves {
                ghost,
                room,
                reason,
                ..
            } => self
                .counted(
                    name,
                    self.as_ghost(ghost)
                        .leave(room.as_str(), Some(reason))
                        .await,
                )
                .map(done),
            Effect::BotLeavesUnused { room, .. } => self.bot_leaves(name, room, repeated).await,
            Effect::DeleteDevice { ghost, device, .. } => self
                .counted(
                    name,
                    self.as_ghost(ghost).delete_device(device.as_str()).await,
                )
                .map(done),
            Effect::Deactivate { ghost, .. } => self.deactivate(name, ghost).await,
            Effect::BotJoins { room, .. } => self.bot_joins(room).await,
            Effect::BotDeclines { room } => self
                .counted(name, self.as_bot().leave(room.as_str(), None).await)
                .map(done),
            Effect::FetchHostName { host, .. } => {
                let profile = self.counted(name, self.as_bot().display_name(host.as_str()).await);
                profile.map(Outcome::HostName)
            }
            Effect::Notice { room, text } => self.say(name, room, &transaction, text).await,
            Effect::SendEncrypted { room, contents } => {
                self.send_encrypted(name, room, &transaction, contents)
                    .await
            }
            // Worked out by whoever has the store; see `reports.rs`.
            Effect::Report { .. } => Ok(Outcome::Done),
            Effect::ShareLink { room, .. } => match words {
                Some(text) => {
                    let said = self.say(name, room, &transaction, text).await?;
                    self.show_link(room, &transaction, text).await;
                    Ok(said)
                }
                None => Ok(Outcome::WordsLost),
            },
        }
    }

    async fn say(
        &self,
        name: &'static str,
        room: &RoomId,
        transaction: &str,
        text: &Words,
    ) -> Result<Outcome, CallFailed> {
        let sent = self
            .as_bot()
            .send_event(room.as_str(), "m.room.message", transaction, &notice(text))
            .await;
        self.counted(name, sent)
            .map(|event_id| Outcome::Sent(EventId::new(event_id)))
    }

    /// Each under a transaction id of its own, the last under the effect's.
    async fn send_encrypted(
        &self,
        name: &'static str,
        room: &RoomId,
        transaction: &str,
        contents: &[Value],
    ) -> Result<Outcome, CallFailed> {
        let mut outcome = Outcome::Done;
        for (place, content) in contents.iter().enumerate() {
            let after = contents.len() - 1 - place;
            let transaction = match after {
                0 => transaction.to_owned(),
                _ => format!("{transaction}-{after}"),
            };
            let sent = self
                .as_bot()
                .send_event(room.as_str(), "m.room.encrypted", &transaction, content)
                .await;
            outcome = Outcome::Sent(EventId::new(self.counted(name, sent)?));
        }
        Ok(outcome)
    }

    /// A name that is taken is ours: nobody else may register in the ghosts' namespace, and the
    /// store gives each ghost's name to one link only.
    async fn register(&self, ghost: &UserId) -> Result<Outcome, CallFailed> {
        let registered = self.client.register(ghost.localpart()).await;
        match self.counted("register_ghost", registered) {
            Err(failed) if failed.errcode() == Some("M_USER_IN_USE") => Ok(Outcome::Done),
            other => other.map(|()| Outcome::Done),
        }
    }

    /// Where accounts are kept by the Matrix Authentication Service, Synapse doesn't know the call.
    /// The ghost is out of its room and without a device then, and stays so.
    async fn deactivate(&self, name: &'static str, ghost: &UserId) -> Result<Outcome, CallFailed> {
        match self.counted(name, self.as_ghost(ghost).deactivate(true).await) {
            Err(failed) if matches!(failed.errcode(), Some("M_UNRECOGNIZED" | "HTTP_404")) => {
                Ok(Outcome::Done)
            }
            other => other.map(|()| Outcome::Done),
        }
    }

    async fn create_room(
        &self,
        portal: PortalId,
        host: &UserId,
        ghost: &UserId,
        repeated: bool,
    ) -> Result<Outcome, CallFailed> {
        // `createRoom` has no transaction id: a room whose making was not answered would be made twice.
        if repeated && let Some(room) = self.find_room(portal).await? {
            return Ok(Outcome::RoomCreated(room));
        }
        let body = seal::create_room(portal, host, ghost);
        let created = self.counted("create_room", self.as_bot().create_room(&body).await)?;
        Ok(Outcome::RoomCreated(RoomId::new(created)))
    }

    /// The room that an earlier try made, by the portal's id in its `m.room.create`.
    async fn find_room(&self, portal: PortalId) -> Result<Option<RoomId>, CallFailed> {
        for room in self.bot_rooms().await? {
            if self.portal_of(&room).await? == Some(portal) {
                return Ok(Some(room));
            }
        }
        Ok(None)
    }

    async fn bot_leaves(
        &self,
        name: &'static str,
        room: &RoomId,
        repeated: bool,
    ) -> Result<Outcome, CallFailed> {
        match self.counted(name, self.as_bot().leave(room.as_str(), None).await) {
            // It left at an earlier try; the seal is read back anyway.
            Err(failed) if repeated && failed.errcode().is_some() => Ok(Outcome::Done),
            other => other.map(|()| Outcome::Done),
        }
    }

    async fn invite_host(&self, step: &InRoom, repeated: bool) -> Result<Outcome, CallFailed> {
        if repeated && self.was_invited(step).await? {
            return Ok(Outcome::Done);
        }
        let content =
            json!({ "membership": "invite", "is_direct": true, "reason": seal::INVITE_REASON });
        let ghost = self.as_ghost(&step.ghost);
        let invited = ghost
            .put_state(
                step.room.as_str(),
                "m.room.member",
                step.host.as_str(),
                &content,
            )
            .await;
        match self.counted("invite_host", invited) {
            // An earlier try may have been on its way for long, and the host quick to accept.
            Err(failed)
                if repeated && failed.errcode().is_some() && self.was_invited(step).await? =>
            {
                Ok(Outcome::Done)
            }
            other => other.map(|_| Outcome::Done),
        }
    }

    /// Whether an earlier try invited the host, whatever they made of it since.
    async fn was_invited(&self, step: &InRoom) -> Result<bool, CallFailed> {
        let ghost = self.as_ghost(&step.ghost);
        let member = ghost.get_state_event(step.room.as_str(), "m.room.member", step.host.as_str());
        match self.counted("get_state", member.await) {
            Ok(_) => Ok(true),
            Err(failed) if failed.errcode().is_some() => Ok(false),
            Err(failed) => Err(failed),
        }
    }

    async fn give_up_power(&self, step: &InRoom) -> Result<Outcome, CallFailed> {
        let stored = self.power_levels(step).await?;
        let content = seal::without_power(stored.clone(), &step.host);
        if stored == content {
            // Given up at an earlier try: without power it can't be done again.
            return Ok(Outcome::Done);
        }
        let ghost = self.as_ghost(&step.ghost);
        let given = ghost.put_state(step.room.as_str(), "m.room.power_levels", "", &content);
        match self.counted("give_up_power", given.await) {
            // An earlier try may have been on its way for long.
            Err(failed)
                if failed.errcode().is_some() && self.power_levels(step).await? == content =>
            {
                Ok(Outcome::Done)
            }
            other => other.map(|_| Outcome::Done),
        }
    }

    async fn power_levels(&self, step: &InRoom) -> Result<Value, CallFailed> {
        let ghost = self.as_ghost(&step.ghost);
        let levels = ghost.get_state_event(step.room.as_str(), "m.room.power_levels", "");
        self.counted("get_state", levels.await)
    }

    async fn bot_joins(&self, room: &RoomId) -> Result<Outcome, CallFailed> {
        self.counted("bot_joins", self.as_bot().join(room.as_str()).await)?;
        let state = self.room_state(self.as_bot(), room).await?;
        let present = |event: &&StateEvent| {
            let membership = event.content.get("membership").and_then(Value::as_str);
            event.event_type == "m.room.member" && matches!(membership, Some("join" | "invite"))
        };
        Ok(Outcome::Joined {
            encrypted: state
                .iter()
                .any(|event| event.event_type == "m.room.encryption"),
            members: state.iter().filter(present).count(),
        })
    }

    pub(super) async fn room_state(
        &self,
        reader: vestibule_appservice::intent::Intent<'_>,
        room: &RoomId,
    ) -> Result<Vec<StateEvent>, CallFailed> {
        let state = self.counted("get_state", reader.get_state(room.as_str()).await)?;
        let state = state.into_iter().map(|event| StateEvent {
            event_type: event.event_type,
            state_key: event.state_key,
            sender: event.sender,
            content: event.content,
        });
        Ok(state.collect())
    }
}

impl CallFailed {
    /// Whether the homeserver asked to go slower.
    fn is_limited(&self) -> bool {
        matches!(&self.source, CallError::Status { status, errcode, .. } if *status == 429 || errcode == "M_LIMIT_EXCEEDED")
    }

    /// The homeserver's error code, when it refused for good.
    pub(super) fn errcode(&self) -> Option<&str> {
        self.source.errcode()
    }
}

/// A notice, so that other bots don't answer, and without a preview, so that no client opens the
/// link in it.
#[must_use]
pub fn notice(text: &Words) -> Value {
    json!({
        "msgtype": "m.notice",
        "body": text.plain,
        "format": "org.matrix.custom.html",
        "formatted_body": text.html,
        "com.beeper.linkpreviews": [],
    })
}
