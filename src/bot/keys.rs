//! Keys: those of others, asked for when a message waits for them, and the own ones, made anew when
//! they run out.

use std::sync::Arc;

use vestibule_bridge::id::{EventId, RoomId, UserId};
use vestibule_bridge::input::{self, Came, Input, RoomEvent, RoomEventKind};
use vestibule_crypto::{Asked, HostIdentity, Prepare};

use super::{Bot, BotError, Unread, Work};
use crate::catchup::Counts;

impl Bot {
    /// Asks for the keys of whoever's room keys wait for that, and carries out what can be read then.
    pub async fn refresh(&self) -> Result<(), BotError> {
        let asked = self
            .work(|machine, _| {
                let device = machine.device_id().to_owned();
                let users = machine.wants_keys();
                let asked = machine.asked(&users);
                Ok(Work::of((device, users, asked)))
            })
            .await;
        let (device, users, asked) = asked?;
        if users.is_empty() {
            return Ok(());
        }
        let answer = self.homeserver.query_as_bot(&device, &users).await?;
        self.receive_keys(asked, &answer, true).await?;
        self.tell_unsigned(&users).await
    }

    /// Takes in the answer to a question. Gives whose identity is another one than before: it was
    /// accepted, and if `tell` is set they are told of it in the rooms where they wrote.
    pub(super) async fn receive_keys(
        &self,
        asked: Asked,
        answer: &serde_json::Value,
        tell: bool,
    ) -> Result<Vec<String>, BotError> {
        self.work(|machine, now| {
            let step = machine.receive_keys_of(asked, answer, now)?;
            let mut records = step.changes;
            let mut items = step.output.items;
            let mut changed = Vec::new();
            let mut inputs = Vec::new();
            for peer in step.output.peers {
                if peer.identity != HostIdentity::Changed {
                    continue;
                }
                let accepted = machine.accept_identity(&peer.user_id)?;
                records.merge(accepted.changes);
                items.extend(accepted.output);
                inputs.push(self.identity_reset(&peer.user_id, tell));
                changed.push(peer.user_id);
            }
            inputs.extend(self.inputs(items, Came::Late));
            Ok(Work {
                records,
                inputs,
                ..Work::of(changed)
            })
        })
        .await
    }

    pub(super) fn identity_reset(&self, user: &str, tell: bool) -> Input {
        tracing::warn!("somebody's encryption identity was reset; the audit trail names them");
        let theirs = self.unread(|unread| unread.sender.as_str() == user, true);
        let mut rooms: Vec<RoomId> = Vec::new();
        for unread in theirs.into_iter().filter(|_| tell) {
            if !rooms.contains(&unread.room) {
                rooms.push(unread.room);
            }
        }
        Input::IdentityReset {
            user: UserId::new(user),
            rooms,
        }
    }

    /// Says of messages that their device is not signed, now that these users' keys are known.
    async fn tell_unsigned(&self, users: &[String]) -> Result<(), BotError> {
        let of_users = |unread: &Unread| users.iter().any(|user| user == unread.sender.as_str());
        let waiting = self.unread(of_users, true);
        let unsigned = self
            .work(|machine, _| {
                let held = waiting
                    .into_iter()
                    .filter(|unread| machine.holds_key(unread.room.as_str(), &unread.session));
                Ok(Work::of(held.collect::<Vec<_>>()))
            })
            .await?;
        self.tell_unread(unsigned, input::Unread::UnsignedDevice)
            .await
    }

    /// Says of messages that they can't be read, once.
    pub(super) async fn tell_unread(
        &self,
        messages: Vec<Unread>,
        why: input::Unread,
    ) -> Result<(), BotError> {
        let inputs = messages.iter().map(|unread| {
            Input::Room(RoomEvent {
                room: unread.room.clone(),
                event_id: unread.event.clone(),
                sender: unread.sender.clone(),
                at: unread.at,
                kind: RoomEventKind::Unread { why },
            })
        });
        let inputs: Vec<Input> = inputs.collect();
        if !inputs.is_empty() {
            self.driver.submit_all(inputs, None).await?;
        }
        let told = |event: &EventId| messages.iter().any(|unread| unread.event == *event);
        self.unread(|unread| told(&unread.event), false);
        Ok(())
    }

    /// Makes and uploads new one-time keys and a new fallback key, when they are needed. They are
    /// stored before they are uploaded, and the same again are uploaded after an answer that was lost.
    pub async fn refill(&self, counts: Counts) -> Result<(), BotError> {
        let Some(count) = counts.one_time_keys.filter(|_| self.is_ready()) else {
            return Ok(());
        };
        let _alone = self.filling.lock().await;
        let unused = counts.fallback_unused.unwrap_or(true);
        let (device, upload) = self
            .work(|machine, now| {
                let device = machine.device_id().to_owned();
                let step = machine.one_time_keys(count, unused, now)?;
                Ok(Work {
                    records: step.changes,
                    ..Work::of((device, step.output))
                })
            })
            .await?;
        let Some(upload) = upload else {
            return Ok(());
        };
        self.homeserver
            .upload_bot_keys(&device, None, &upload.one_time_keys, &upload.fallback_keys)
            .await?;
        self.work(|machine, _| Ok(machine.mark_published()?.into()))
            .await
    }

    /// Begins anew with devices whose messages can't be read any more.
    pub async fn heal(&self) -> Result<(), BotError> {
        if !self.is_ready() {
            return Ok(());
        }
        let _alone = self.healing.lock().await;
        loop {
            let (device, next) = self
                .work(|machine, now| {
                    let device = machine.device_id().to_owned();
                    let step = machine.heal(now)?;
                    Ok(Work::from(step).map(|next| (device, next)))
                })
                .await?;
            match next {
                Prepare::KeysClaim { .. } | Prepare::ToDevice { .. } => {
                    self.carry_out(&device, next).await?;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Does what that device's machine asked for, of what needs nothing but a call. Others may be
    /// asking meanwhile: a server that doesn't answer one question holds up no other. Of a device
    /// that was given up meanwhile nothing is done any more.
    pub(super) async fn carry_out(&self, device: &str, wanted: Prepare) -> Result<(), BotError> {
        match wanted {
            Prepare::KeysClaim { devices } => {
                let answer = self.homeserver.claim_as_bot(device, &devices).await?;
                self.work(|machine, now| {
                    if machine.device_id() != device {
                        return Ok(Work::of(()));
                    }
                    Ok(machine.receive_claim_of(&devices, &answer, now)?.into())
                })
                .await
            }
            Prepare::ToDevice {
                id,
                event_type,
                messages,
            } => {
                let state = self.tell().await?;
                if state.device != device {
                    return Ok(());
                }
                // The id is the machine's own, and another device's machine gives it again.
                let transaction = format!("{device}-{id}");
                self.homeserver
                    .send_as_bot_device(device, &event_type, &transaction, messages)
                    .await?;
                self.work(|machine, _| Ok(machine.to_device_stored(&id)?.into()))
                    .await
            }
            _ => Ok(()),
        }
    }

    /// Does this beside everything else, and says when it fails.
    pub(super) fn beside<F>(self: &Arc<Self>, what: &'static str, work: impl FnOnce(Arc<Self>) -> F)
    where
        F: Future<Output = Result<(), BotError>> + Send + 'static,
    {
        let work = work(Arc::clone(self));
        self.tasks.spawn(async move {
            if let Err(error) = work.await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, what, "the bot's device could not do something");
            }
        });
    }
}
