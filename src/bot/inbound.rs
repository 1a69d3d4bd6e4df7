//! What a transaction holds for the bot's device.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use vestibule_appservice::transaction::{RoomEvent, ToDevice, Transaction};
use vestibule_bridge::ghost::is_ghost;
use vestibule_bridge::id::{EventId, RoomId, UserId};
use vestibule_bridge::input::{Came, Input};
use vestibule_bridge::store::{Facts as _, Store as _};
use vestibule_bridge::time::Timestamp;
use vestibule_crypto::{Item, Machine, Undecryptable};

use super::{Bot, BotError, Unread, Work, message};
use crate::catchup::Counts;
use crate::inbound::room_event;

/// With so many one-time keys left there is nothing to do.
const ENOUGH: u64 = 25;

/// What the bot's device read in a transaction.
#[derive(Default)]
pub struct Read {
    /// Earlier messages whose keys came now.
    pub earlier: Vec<Input>,
    /// Messages of the transaction, by their events.
    pub messages: BTreeMap<String, Input>,
}

/// What of a transaction concerns the device.
struct Concern<'a> {
    to_device: Vec<&'a ToDevice>,
    /// Whose devices changed.
    changed: Vec<&'a str>,
    /// Encrypted messages in management rooms.
    messages: Vec<&'a RoomEvent>,
    /// Memberships in management rooms: room, member, and whether they are gone.
    members: Vec<(&'a str, &'a str, bool)>,
    counts: Counts,
}

/// What is to be done after the commit.
#[derive(Default)]
struct After {
    unread: Vec<Unread>,
    wants_keys: bool,
    wants_healing: bool,
    gone: Vec<UserId>,
}

impl Bot {
    /// Has a transaction stored whose room events become inputs by `inputs`, with all that the bot's
    /// device has to do with it in the same commit.
    pub async fn take(
        self: &Arc<Self>,
        transaction: &Transaction,
        identity: Option<String>,
        inputs: impl FnOnce(Read) -> Vec<Input>,
    ) -> Result<(), BotError> {
        let concern = self.concern(transaction)?;
        let encrypted = self.newly_encrypted(transaction)?;
        if concern.is_nothing() {
            self.driver
                .submit_all(inputs(Read::default()), identity)
                .await?;
            self.refill_later(concern.counts);
            self.meet_later(encrypted);
            return Ok(());
        }
        // Nothing of it is new, whatever the machine would say of it.
        if let Some(identity) = &identity
            && self.store.begin().transaction_seen(identity)?
        {
            return Ok(());
        }
        let after = self
            .work(|machine, now| {
                let mut records = vestibule_crypto::Changes::default();
                let (mut read, mut after) = (Read::default(), After::default());
                for event in &concern.to_device {
                    if self.is_near(machine, &event.sender)? {
                        records.merge(machine.meet(&event.sender)?.changes);
                    }
                    let event = json!({
                        "type": event.event_type, "sender": event.sender, "content": event.content,
                    });
                    let step = machine.receive_to_device(&event, now)?;
                    records.merge(step.changes);
                    read.earlier
                        .extend(self.inputs(step.output.items, Came::Late));
                }
                for user in &concern.changed {
                    records.merge(machine.keys_changed(user)?.changes);
                }
                for (room, user, gone) in &concern.members {
                    records.merge(machine.membership_changed(room, user)?.changes);
                    if !gone {
                        records.merge(machine.meet(user)?.changes);
                    } else if machine.peers().any(|peer| peer == *user) {
                        after.gone.push(UserId::new(*user));
                    }
                }
                for event in &concern.messages {
                    // Whoever writes in a room with the bot is no stranger.
                    records.merge(machine.meet(&event.sender)?.changes);
                    let step = machine.receive_event(&event.room_id, &as_event(event))?;
                    records.merge(step.changes);
                    for item in step.output {
                        if no_key(&item) {
                            after.unread.extend(unread(event));
                        }
                        if let Some(message) = message(item, Came::Encrypted) {
                            let event_id = event.event_id.clone();
                            read.messages.insert(event_id, Input::Room(message));
                        }
                    }
                }
                after.wants_keys = !machine.wants_keys().is_empty();
                after.wants_healing = machine.wants_healing(now);
                Ok(Work {
                    records,
                    inputs: inputs(read),
                    transaction: identity,
                    ..Work::of(after)
                })
            })
            .await?;
        self.follow(after);
        self.refill_later(concern.counts);
        self.meet_later(encrypted);
        Ok(())
    }

    /// Rooms with the bot that this transaction says are encrypted.
    fn newly_encrypted(&self, transaction: &Transaction) -> Result<Vec<RoomId>, BotError> {
        let rows = self.store.begin();
        let mut rooms = Vec::new();
        let events = transaction.events.iter();
        for event in events.filter(|event| event.event_type == "m.room.encryption") {
            let room = RoomId::new(event.room_id.as_str());
            if rows.management_room(&room)?.is_some() {
                rooms.push(room);
            }
        }
        Ok(rooms)
    }

    fn meet_later(self: &Arc<Self>, rooms: Vec<RoomId>) {
        for room in rooms {
            self.beside("meet", |bot| async move { bot.meet_all(&room).await });
        }
    }

    /// Whether somebody who was not met is the host of a room with the bot. Their keys come before
    /// their first message, and come once.
    fn is_near(&self, machine: &Machine, sender: &str) -> Result<bool, BotError> {
        if machine.peers().any(|peer| peer == sender) {
            return Ok(false);
        }
        let rooms = self.store.management_rooms()?;
        Ok(rooms.iter().any(|room| room.host.as_str() == sender))
    }

    /// Meets everybody in a room that is encrypted from now on: their keys come before they write.
    async fn meet_all(&self, room: &RoomId) -> Result<(), BotError> {
        let view = self.homeserver.view_room(room).await?;
        self.work(|machine, _| {
            let mut records = vestibule_crypto::Changes::default();
            for user in &view.members {
                records.merge(machine.meet(user)?.changes);
            }
            Ok(Work {
                records,
                ..Work::of(())
            })
        })
        .await
    }

    fn follow(self: &Arc<Self>, after: After) {
        for unread in &after.unread {
            self.remember(unread.clone());
        }
        if after.wants_keys {
            self.beside("ask for keys", |bot| async move { bot.refresh().await });
        }
        if after.wants_healing {
            self.beside("heal", |bot| async move { bot.heal().await });
        }
        if !after.unread.is_empty() {
            self.look_for_keys(after.unread);
        }
        for user in after.gone {
            self.beside(
                "forget",
                |bot| async move { bot.forget_if_gone(&user).await },
            );
        }
    }

    fn refill_later(self: &Arc<Self>, counts: Counts) {
        // They are told with everything; the machine decides what to do about few.
        let few = counts.one_time_keys.is_some_and(|count| count < ENOUGH);
        if few || counts.fallback_unused == Some(false) {
            self.beside("refill", |bot| async move { bot.refill(counts).await });
        }
    }

    fn concern<'a>(&self, transaction: &'a Transaction) -> Result<Concern<'a>, BotError> {
        let bot = self.policy.bot.as_str();
        let rows = self.store.begin();
        let mut concern = Concern {
            to_device: Vec::new(),
            changed: Vec::new(),
            messages: Vec::new(),
            members: Vec::new(),
            counts: Counts::default(),
        };
        let own = transaction.to_device.iter();
        for event in own.filter(|event| event.to_user_id == bot) {
            concern.to_device.push(event);
        }
        for user in &transaction.device_lists_changed {
            let ghost = is_ghost(&UserId::new(user.as_str()), &self.policy.server_name);
            if !ghost && user != bot {
                concern.changed.push(user);
            }
        }
        for event in &transaction.events {
            let target = event.state_key.as_deref();
            let message = event.event_type == "m.room.encrypted" && target.is_none();
            let member = event.event_type == "m.room.member";
            if !(message && event.sender != bot || member && target != Some(bot))
                || room_event(event).is_none()
                || rows
                    .management_room(&RoomId::new(event.room_id.as_str()))?
                    .is_none()
            {
                continue;
            }
            match target {
                Some(target) => {
                    let membership = event.content.get("membership").and_then(Value::as_str);
                    let gone = matches!(membership, Some("leave" | "ban"));
                    concern.members.push((&event.room_id, target, gone));
                }
                None => concern.messages.push(event),
            }
        }
        if let Some(devices) = transaction.one_time_keys.get(bot) {
            // The bot has one device.
            concern.counts.one_time_keys = devices.values().max().copied();
            let unused = transaction.unused_fallback.get(bot);
            concern.counts.fallback_unused = unused.map(|devices| {
                let mut of_devices = devices.values();
                of_devices.any(|names| names.iter().any(|name| name == "signed_curve25519"))
            });
        }
        Ok(concern)
    }

    /// Forgets somebody who is in no room with the bot any more.
    async fn forget_if_gone(&self, user: &UserId) -> Result<(), BotError> {
        for room in self.store.management_rooms()? {
            match self.homeserver.view_room(&room.room).await {
                Ok(view) if !view.members.contains(user.as_str()) => {}
                Ok(_) => return Ok(()),
                Err(failed) if failed.is_refused() => {}
                Err(failed) => return Err(failed.into()),
            }
        }
        self.work(|machine, _| Ok(machine.forget(user.as_str())?.into()))
            .await
    }
}

impl Concern<'_> {
    fn is_nothing(&self) -> bool {
        self.to_device.is_empty()
            && self.changed.is_empty()
            && self.messages.is_empty()
            && self.members.is_empty()
    }
}

fn as_event(event: &RoomEvent) -> Value {
    json!({
        "type": event.event_type, "event_id": event.event_id, "sender": event.sender,
        "origin_server_ts": event.origin_server_ts, "content": event.content,
    })
}

fn no_key(item: &Item) -> bool {
    matches!(item, Item::Undecryptable { reason, .. } if *reason == Undecryptable::NoKey)
}

fn unread(event: &RoomEvent) -> Option<Unread> {
    Some(Unread {
        room: RoomId::new(event.room_id.as_str()),
        event: EventId::new(event.event_id.as_str()),
        sender: UserId::new(event.sender.as_str()),
        at: Timestamp(event.origin_server_ts),
        session: event.content.get("session_id")?.as_str()?.to_owned(),
    })
}
