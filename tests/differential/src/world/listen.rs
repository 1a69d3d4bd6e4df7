//! They take in what waits for them, and what they made of it is compared.

use vestibule_crypto::Item;

use super::{GRACE, World};
use crate::compare::{Now, compare_guests, compare_host, take_items, take_verdict};
use crate::fate::CALM;
use crate::{GUEST, GUEST_DEVICE, HOST, ROOM, TWIN};

impl World {
    pub(super) fn late_arrives(&mut self) {
        for (sender, txn, post) in std::mem::take(&mut self.late) {
            self.server.deliver(sender, &txn, post);
        }
    }

    /// The guests hear that the host's devices changed.
    pub(super) async fn tell(&mut self) {
        if std::mem::take(&mut self.untold) {
            self.pair.notice().await;
        }
    }

    pub(super) async fn guests_sync(&mut self, salt: u64) -> Result<(), String> {
        self.tell().await;
        if salt.is_multiple_of(2) {
            self.read_events().await?;
        }
        let ours = self.server.take(GUEST, GUEST_DEVICE);
        let mut twin = self.server.take(TWIN, GUEST_DEVICE);
        for ours in &ours {
            let same = twin.iter().position(|twin| twin["txn"] == ours["txn"]);
            let items = if let Some(same) = same {
                self.tally.to_device += 1;
                self.pair
                    .receive((ours, &twin.remove(same)), self.now)
                    .await?
            } else if self.healed {
                self.pair.ours.receive_to_device(ours, self.now).items
            } else {
                return Err("the twin isn't sent what ours is".to_owned());
            };
            self.take_items(&items)?;
        }
        for twin in twin {
            if !self.healed {
                return Err("ours isn't sent what the twin is".to_owned());
            }
            self.pair.twin.receive_to_device(&twin).await;
        }
        // Sometimes the query fails, and both go on without.
        if salt == CALM || !salt.is_multiple_of(5) {
            let items = self.pair.query(&mut self.server, self.now).await;
            self.take_items(&items)?;
        }
        self.read_events().await
    }

    pub(super) fn take_items(&mut self, items: &[Item]) -> Result<(), String> {
        take_items(&mut self.events, items, self.unaccepted)
    }

    /// Ours reads each event once; the twin is asked again for what it couldn't read.
    async fn read_events(&mut self) -> Result<(), String> {
        for index in 0..self.events.len() {
            let event = &mut self.events[index];
            if event.delivered_at.is_none() {
                event.delivered_at = Some(self.now);
                event.between = self.unaccepted;
                let items = self.pair.ours.receive_room_event(&event.event);
                self.take_items(&items)?;
            }
            let event = &mut self.events[index];
            if !event.twin {
                let verdict = self.pair.twin_reads(&event.event).await;
                take_verdict(event, &verdict)?;
            }
        }
        Ok(())
    }

    pub(super) async fn host_syncs(&mut self, device: usize) {
        let sdk = &self.host.devices[device].sdk;
        for event in self.server.take(HOST, sdk.device_id()) {
            sdk.receive_to_device(&event).await;
        }
        for said in self.said.iter_mut().filter(|said| said.delivered) {
            let known = said.verdicts.get(sdk.device_id());
            if known.is_none_or(|known| !known.iter().all(|v| v.is_read())) {
                let verdicts = [sdk.read(&said.ours).await, sdk.read(&said.twin).await];
                said.verdicts.insert(sdk.device_id().to_owned(), verdicts);
            }
        }
    }

    pub(super) async fn guests_accept(&mut self) -> Result<(), String> {
        self.tell().await;
        let items = self.pair.query(&mut self.server, self.now).await;
        self.take_items(&items)?;
        if self.pair.twin.identity_changed(HOST).await {
            self.pair.twin.accept_identity(HOST).await;
            let items = self.pair.ours.accept_identity();
            self.unaccepted = false;
            self.take_items(&items)?;
        }
        self.unaccepted = false;
        Ok(())
    }

    /// Everything arrives, and all of it is compared.
    pub(super) async fn calm(&mut self) -> Result<(), String> {
        self.late_arrives();
        self.guests_sync(CALM).await?;
        let mut out = Vec::new();
        self.pair.ours.heal(&mut self.server, &mut out, self.now);
        self.healed |= !out.is_empty();
        self.dispatch(GUEST, out, CALM);
        for device in 0..self.host.devices.len() {
            self.host_syncs(device).await;
        }
        let now = Now {
            unaccepted: self.unaccepted,
            without_identity: self.without_identity,
            healed: self.healed,
            devices: (self.host.devices.iter().enumerate())
                .filter(|(index, _)| self.host.is_trusted(*index))
                .map(|(_, device)| device.sdk.device_id().to_owned())
                .collect(),
            no_keys: self.no_keys,
            interrupted: self.interrupted,
            damaged: self.damaged.clone(),
        };
        compare_guests(&self.events, &now, GRACE, &mut self.tally)?;
        compare_host(&self.said, &now, &mut self.tally)
    }

    /// Nothing fails any more: everybody must read everybody.
    pub(super) async fn last_words(&mut self) -> Result<(), String> {
        self.guests_accept().await?;
        self.calm().await?;
        let first = self.events.len();
        let count = self.host.devices.len();
        for device in 0..count {
            self.device(device).rotate(ROOM).await;
            self.host_says(device, None, CALM).await?;
        }
        if self.events.len() != first + count {
            return Err("a device of the host can't write".to_owned());
        }
        self.calm().await?;
        for device in 0..count {
            let event = &self.events[first + device];
            let expected = self.host.is_trusted(device);
            if (event.ours, event.twin) != (expected, expected) {
                return Err(format!(
                    "{} of device {device}: ours {}, the twin {}, expected {expected}",
                    event.id(),
                    event.ours,
                    event.twin
                ));
            }
        }
        // A key may have been lost on the way; after a week there is a new one.
        self.now += 605_000_000;
        self.half_done = true;
        let last = self.said.len();
        self.guests_say(None, false, CALM).await?;
        self.calm().await?;
        let Some(said) = self.said.get(last) else {
            return Err("the guests can't write".to_owned());
        };
        for (device, host) in self.host.devices.iter().enumerate() {
            let read = said.verdicts[host.sdk.device_id()]
                .iter()
                .all(|v| v.is_read());
            if read != self.host.is_trusted(device) {
                return Err(format!("device {device}: read {read}"));
            }
        }
        Ok(())
    }
}
