//! The device as such: opened or made, put up at the homeserver, and given up for another one when
//! its rows are older than what it did.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::Rng as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vestibule_bridge::bot_record::BotRecord;
use vestibule_bridge::store::{Change, Facts as _, Store as _, StoreError};
use vestibule_bridge::time::Timestamp;
use vestibule_crypto::Machine;

use super::{Bot, BotError, Work, put, records};
use crate::clock::seeded_rng;
use crate::homeserver::{BotState, CallFailed};

/// How soon after the last one a device is given up again because of keys that did not come.
const RENEWED_AGAIN: Duration = Duration::from_secs(10 * 60);
/// The key of the one record that is not the machine's.
const SHELL: &str = "shell";

/// What is stored of the device beside the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Shell {
    /// The store's id. It is another one when something was lost in the store, which may have been a
    /// ratchet.
    store: Option<String>,
    /// Devices in whose place this one is, and which are to be deleted at the homeserver.
    replaces: BTreeSet<String>,
}

/// How the bot's device stands, for the doctor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It can read and write.
    Ready,
    /// It was not put up at the homeserver yet.
    NotYet,
}

impl Bot {
    /// How the device stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.is_ready() {
            Standing::Ready
        } else {
            Standing::NotYet
        }
    }

    /// The machine, opened if it wasn't.
    pub(super) async fn opened<'a>(
        &self,
        slot: &'a mut Option<Machine>,
    ) -> Result<&'a mut Machine, BotError> {
        let machine = match slot.take() {
            Some(machine) => machine,
            None => self.open().await?,
        };
        Ok(slot.insert(machine))
    }

    async fn open(&self) -> Result<Machine, BotError> {
        let rows = self.store.begin().bot_records();
        let mut rows = match rows {
            Err(StoreError::Damaged(_)) => {
                tracing::error!("the bot's device was damaged in the store: it gets another one");
                // The identity may still be whole; its ratchets are not used in any case.
                let mut left = self.store.bot_records_left()?;
                let shell = shell(left.remove(SHELL).as_ref());
                return self.begin_anew(Some(left), shell).await;
            }
            rows => rows?,
        };
        let shell = shell(rows.remove(SHELL).as_ref());
        if rows.is_empty() {
            tracing::info!("the bot gets a device of its own");
            return self.begin_anew(None, shell).await;
        }
        if shell.store != self.store.id()? {
            tracing::warn!("something was lost in the store: the bot gets another device");
            return self.begin_anew(Some(rows), shell).await;
        }
        match Machine::open(records(rows)) {
            Ok(machine) => Ok(machine),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the bot's device can't be opened: it gets another one"
                );
                self.begin_anew(None, shell).await
            }
        }
    }

    /// Another device: of the same identity when there are rows of which it can be made.
    async fn begin_anew(
        &self,
        rows: Option<std::collections::BTreeMap<String, BotRecord>>,
        mut shell: Shell,
    ) -> Result<Machine, BotError> {
        let now = self.clock.now().0;
        let device = format!("VESTIBULE{:08X}", seeded_rng()?.next_u32());
        let made = rows.and_then(|rows| {
            if let Ok(old) = Machine::open(records(rows.clone())) {
                shell.replaces.insert(old.device_id().to_owned());
            }
            Machine::anew(records(rows), &device, now)
                .inspect_err(|error| {
                    let error = error as &dyn std::error::Error;
                    tracing::error!(error, "the bot's identity is lost: it gets another one");
                })
                .ok()
        });
        let (machine, changes) = match made {
            Some(made) => made,
            None => Machine::create(self.policy.bot.as_str(), &device, now)?,
        };
        shell.store = self.store.id()?;
        let mut also = vec![Change::ForgetBot, put(SHELL, serde_json::to_vec(&shell)?)];
        let kept = changes
            .iter()
            .filter_map(|(key, record)| Some((key, record?)));
        also.extend(kept.map(|(key, record)| put(key, record.to_vec())));
        self.ready.store(false, Ordering::Release);
        let own = vestibule_bridge::store::Changes(also);
        self.driver.submit_with(own, Vec::new(), None).await?;
        Ok(machine)
    }

    /// How far the device is, as it is stored.
    pub(super) async fn state(&self) -> Result<BotState, BotError> {
        self.work(|machine, _| {
            Ok(Work::of(BotState {
                device: machine.device_id().to_owned(),
                steps: machine.steps(),
            }))
        })
        .await
    }

    /// Puts the device up at the homeserver, unless it stands there. If the homeserver knows of more
    /// than the store, the store was set back to a backup: then there is a new device.
    pub async fn set_up(&self) -> Result<(), BotError> {
        let _alone = self.setting_up.lock().await;
        self.put_up().await
    }

    /// The same, if it was not done yet.
    pub(super) async fn ensure(&self) -> Result<(), BotError> {
        let _alone = self.setting_up.lock().await;
        if self.is_ready() {
            return Ok(());
        }
        self.put_up().await
    }

    /// The homeserver knows no such device: somebody deleted it.
    pub(super) fn note_failure(&self, failed: &CallFailed) {
        if failed.lacks_device() {
            self.ready.store(false, Ordering::Release);
        }
    }

    async fn put_up(&self) -> Result<(), BotError> {
        let known = self.homeserver.bot_state().await?;
        let mut state = self.state().await?;
        if let Some(known) = &known
            && self.is_behind(&state, known)?
        {
            tracing::warn!("the store was set back: the bot gets another device");
            self.replace(&known.device).await?;
            state = self.state().await?;
        }
        self.homeserver.put_bot_device(&state.device).await?;
        self.publish(&state.device).await?;
        *self.told.lock().await = known;
        self.tell().await?;
        self.delete_replaced().await?;
        if !self.ready.swap(true, Ordering::AcqRel) {
            tracing::info!("the bot's device stands");
        }
        Ok(())
    }

    fn is_behind(&self, state: &BotState, known: &BotState) -> Result<bool, BotError> {
        if known.device == state.device {
            return Ok(known.steps > state.steps);
        }
        Ok(!self.shell()?.replaces.contains(&known.device))
    }

    fn shell(&self) -> Result<Shell, BotError> {
        let rows = self.store.begin().bot_records()?;
        Ok(shell(rows.get(SHELL)))
    }

    /// Gives the device up for another one.
    async fn replace(&self, known: &str) -> Result<(), BotError> {
        let mut slot = std::sync::Arc::clone(&self.machine).lock_owned().await;
        *slot = None;
        let mut rows = self.store.begin().bot_records()?;
        let mut shell = shell(rows.remove(SHELL).as_ref());
        shell.replaces.insert(known.to_owned());
        *slot = Some(self.begin_anew(Some(rows), shell).await?);
        Ok(())
    }

    /// Puts up another device, because keys for this one were lost and it is not known how many: whoever
    /// writes next shares theirs with the new one. Not more often than every ten minutes; whether it
    /// was done.
    pub(super) async fn renew(&self) -> Result<bool, BotError> {
        let now = self.clock.now();
        {
            let mut renewed = self
                .renewed_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // A clock that was set back hinders nothing.
            let lately = |at: Timestamp| now >= at && now.since(at) < RENEWED_AGAIN;
            if renewed.is_some_and(lately) {
                return Ok(false);
            }
            *renewed = Some(now);
        }
        tracing::warn!("room keys for the bot were lost: it gets another device");
        let _alone = self.setting_up.lock().await;
        let device = self.state().await?.device;
        self.replace(&device).await?;
        self.put_up().await?;
        Ok(true)
    }

    async fn delete_replaced(&self) -> Result<(), BotError> {
        let shell = self.shell()?;
        if shell.replaces.is_empty() {
            return Ok(());
        }
        for device in &shell.replaces {
            self.homeserver.delete_bot_device(device).await?;
        }
        let rest = serde_json::to_vec(&Shell {
            replaces: BTreeSet::new(),
            ..shell
        })?;
        self.work(|_, _| {
            Ok(Work {
                also: vec![put(SHELL, rest)],
                ..Work::of(())
            })
        })
        .await
    }

    /// Uploads the device's keys, its identity and its signature, unless all of it is there.
    async fn publish(&self, device: &str) -> Result<(), BotError> {
        let bot = self.policy.bot.as_str();
        let keys = self
            .work(|machine, _| Ok(Work::of(machine.public_keys()?)))
            .await?;
        let [device_keys, master, self_signing, user_signing] = [
            &keys.device_keys,
            &keys.master_key,
            &keys.self_signing_key,
            &keys.user_signing_key,
        ]
        .map(|keys| Value::Object(keys.clone()));
        let users = [bot.to_owned()];
        let there = self.homeserver.query_as_bot(device, &users).await?;
        let at = |kind: &str, id: &str| there.get(kind)?.get(bot)?.get(id).cloned();
        let same = |known: Option<Value>, own: &Value| known.as_ref() == own.get("keys");
        let stands = there
            .get("device_keys")
            .and_then(|of| of.get(bot)?.get(device));
        let signed = stands.is_some_and(|stands| {
            let signatures = |keys: &Value| keys.get("signatures")?.get(bot).cloned();
            stands.get("keys") == device_keys.get("keys")
                && signatures(stands) == signatures(&device_keys)
        });
        let stands = signed
            && same(at("master_keys", "keys"), &master)
            && same(at("self_signing_keys", "keys"), &self_signing);
        // Keys that don't count as uploaded, though the device stands: an answer was lost. If they
        // waited for the next refill, some could be handed out twice.
        if !stands || !keys.one_time_keys.is_empty() || !keys.fallback_keys.is_empty() {
            let device_keys = (!stands).then_some(&device_keys);
            self.homeserver
                .upload_bot_keys(
                    device,
                    device_keys,
                    &keys.one_time_keys,
                    &keys.fallback_keys,
                )
                .await?;
            self.work(|machine, _| Ok(machine.mark_published()?.into()))
                .await?;
        }
        if stands {
            return Ok(());
        }
        if at("master_keys", "keys").is_some_and(|known| Some(&known) != master.get("keys")) {
            tracing::warn!(
                "the bot had another encryption identity at the homeserver: it is replaced"
            );
        }
        self.homeserver
            .sign_bot_device(
                device,
                [&master, &self_signing, &user_signing],
                &device_keys,
            )
            .await?;
        Ok(())
    }

    /// Has the homeserver keep how far the device is. Before anything that it encrypted leaves, so
    /// that a store which is set back to a time before that is noticed.
    pub(super) async fn tell(&self) -> Result<BotState, BotError> {
        let mut told = self.told.lock().await;
        let state = self.state().await?;
        if told.as_ref() != Some(&state) {
            self.homeserver.keep_bot_state(&state).await?;
            *told = Some(state.clone());
        }
        Ok(state)
    }
}

/// A row that doesn't read says nothing; then the store's id differs, and there is a new device.
fn shell(row: Option<&BotRecord>) -> Shell {
    row.and_then(|row| serde_json::from_slice(&row.0).ok())
        .unwrap_or_default()
}
