//! They write, and what they give to devices meets its fate.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::World;
use crate::compare::{HostEvent, Said};
use crate::fate::{CALM, CallFault, Fate, damage, fate};
use crate::pair::BothSent;
use crate::server::Batch;
use crate::{GUEST, GUEST_DEVICE, HOST, ROOM, TWIN};

impl World {
    pub(super) async fn guests_say(
        &mut self,
        fault: Option<CallFault>,
        restart: bool,
        salt: u64,
    ) -> Result<(), String> {
        self.tell().await;
        let body = format!("guest {} 🙂", self.said.len());
        // After it the twin must be restarted, since it waits by the real clock.
        let patient = self.pair.twin.may_restart(&self.server).await;
        let fault = fault.filter(|fault| patient || *fault != CallFault::NoKeys);
        self.no_keys |= fault == Some(CallFault::NoKeys);
        let interrupted = matches!(
            fault,
            Some(CallFault::NoKeys | CallFault::ToDevice | CallFault::ToDeviceAnswer)
        );
        self.interrupted |= interrupted;
        // What is left of an interrupted call leaves in another order from each.
        let salt = if interrupted || self.half_done {
            CALM
        } else {
            salt
        };
        let mut sent = None;
        for fault in [fault, None] {
            let mut out = [Vec::new(), Vec::new()];
            let server = &mut self.server;
            let both = self.pair.send(server, &body, fault, &mut out, self.now);
            let both = both.await?;
            let items = std::mem::take(&mut self.pair.ours.items);
            self.take_items(&items)?;
            if restart {
                self.pair.restart(&self.server).await;
            }
            let [ours, twin] = out;
            self.dispatch(GUEST, ours, salt);
            self.dispatch(TWIN, twin, salt);
            if fault == Some(CallFault::NoKeys) {
                // Each waits before it asks again; the twin by the real clock.
                self.now += 7_200_000;
                self.pair.twin.restart().await;
            }
            self.half_done = interrupted && matches!(both, BothSent::Stopped | BothSent::NoDevices);
            // Half of the time it is tried again at once.
            let again = matches!(both, BothSent::Stopped) && !restart;
            sent = Some(both);
            if !again {
                break;
            }
        }
        match sent {
            Some(BothSent::Contents { ours, twin }) => {
                let event = |sender: &str, content: Value| {
                    json!({"type": "m.room.encrypted", "event_id": format!("$g{}:x", self.said.len()),
                        "sender": sender, "room_id": ROOM, "origin_server_ts": self.now,
                        "content": content})
                };
                self.said.push(Said {
                    ours: event(GUEST, ours),
                    twin: event(TWIN, twin),
                    delivered: true,
                    body,
                    tamper: None,
                    verdicts: BTreeMap::new(),
                });
            }
            Some(BothSent::NoDevices) => {
                let trusted = (0..self.host.devices.len()).any(|d| self.host.is_trusted(d));
                if trusted && fault != Some(CallFault::NoKeys) {
                    return Err("no device to send to, though there is one".to_owned());
                }
            }
            Some(BothSent::IdentityChanged) if !self.unaccepted => {
                return Err("the identity didn't change".to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) async fn host_says(
        &mut self,
        device: usize,
        fault: Option<CallFault>,
        salt: u64,
    ) -> Result<(), String> {
        let sdk = &mut self.host.devices[device].sdk;
        let patient = sdk.may_restart(&self.server).await;
        let fault = fault.filter(|fault| patient || *fault != CallFault::NoKeys);
        let body = format!("host {}", self.events.len());
        let mut out = Vec::new();
        let users = [GUEST, TWIN];
        let shared = sdk.share(&mut self.server, ROOM, &users, fault, &mut out);
        let content = match shared.await {
            Some(()) => {
                let content = json!({"msgtype": "m.text", "body": body});
                Some(sdk.encrypt(ROOM, "m.room.message", &content).await)
            }
            None => None,
        };
        if fault == Some(CallFault::NoKeys) {
            sdk.restart().await;
        }
        self.dispatch(HOST, out, salt);
        if let Some(content) = content {
            let id = format!("$h{}:x", self.events.len());
            self.events.push(HostEvent {
                event: json!({"type": "m.room.encrypted", "event_id": id, "sender": HOST,
                    "room_id": ROOM, "origin_server_ts": self.now, "content": content}),
                body,
                original: self.events.len(),
                tamper: None,
                sent_at: self.now,
                delivered_at: None,
                ours: false,
                twin: false,
                between: false,
                contested: false,
            });
        }
        Ok(())
    }

    /// Each event meets its fate. What the guests are sent meets the same for both, and what the
    /// host is sent the same from both.
    pub(super) fn dispatch(&mut self, sender: &'static str, batches: Vec<Batch>, salt: u64) {
        let mut count = BTreeMap::<(String, String), u32>::new();
        for batch in batches {
            if !self.server.is_first(sender, &batch.txn) {
                continue;
            }
            for mut post in batch.posts {
                let whom = if post.user == HOST {
                    &post.device
                } else {
                    GUEST_DEVICE
                };
                let nth = count
                    .entry((
                        post.user.clone(),
                        format!("{}{}", post.device, post.event_type),
                    ))
                    .or_default();
                *nth += 1;
                let (fate, draw) = fate(salt, whom, &format!("{}{nth}", post.event_type));
                self.log.push(format!(
                    "  {} from {sender} to {} {}: {fate:?}",
                    post.event_type, post.user, post.device
                ));
                match fate {
                    Fate::Arrive => self.server.deliver(sender, &batch.txn, post),
                    Fate::Twice => {
                        self.server.deliver(sender, &batch.txn, post.clone());
                        self.server.deliver(sender, &batch.txn, post);
                    }
                    Fate::Late => self.late.push((sender, batch.txn.clone(), post)),
                    Fate::Lost => {}
                    Fate::Damaged => {
                        if post.user == HOST {
                            self.damaged.insert(post.device.clone());
                        }
                        damage(&mut post.content, draw);
                        self.server.deliver(sender, &batch.txn, post);
                    }
                }
            }
        }
    }
}
