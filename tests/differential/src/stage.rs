//! One guest, its twin and a host, for tests that say themselves what happens: everything arrives
//! at once, unless the test takes it away.

use serde_json::{Value, json};
use vestibule_crypto::Item;

use crate::guest::{Guest, Sent};
use crate::sdk::{Sdk, Verdict};
use crate::server::{Batch, Server};
use crate::{BEGINNING, GUEST, GUEST_DEVICE, HOST, ROOM, TWIN};

/// Where they are.
pub struct Stage {
    /// The homeserver.
    pub server: Server,
    /// Our machine.
    pub guest: Guest,
    /// The time, in milliseconds since the Unix epoch.
    pub now: u64,
    events: u32,
}

impl Stage {
    /// A guest who has published its keys, and nobody else.
    #[must_use]
    pub fn new() -> Self {
        let mut server = Server::default();
        let guest = Guest::join(&mut server, BEGINNING);
        Self {
            server,
            guest,
            now: BEGINNING,
            events: 0,
        }
    }

    /// A new device of the host that nobody has signed.
    pub async fn unsigned(&mut self, device: &str) -> Sdk {
        let sdk = Sdk::new(HOST, device).await;
        sdk.publish(&mut self.server).await;
        sdk.track(&mut self.server, &[GUEST, HOST]).await;
        sdk
    }

    /// A new device of the host with a new identity.
    pub async fn signed(&mut self, device: &str) -> Sdk {
        let sdk = self.unsigned(device).await;
        sdk.cross_sign(&mut self.server).await;
        sdk.track(&mut self.server, &[GUEST, HOST]).await;
        sdk
    }

    /// The guest's twin, who knows the host.
    pub async fn twin(&mut self) -> Sdk {
        let sdk = Sdk::new(TWIN, GUEST_DEVICE).await;
        sdk.publish(&mut self.server).await;
        sdk.cross_sign(&mut self.server).await;
        sdk.track(&mut self.server, &[TWIN, HOST]).await;
        sdk
    }

    /// What somebody gives to devices arrives.
    pub fn deliver(&mut self, sender: &str, batches: Vec<Batch>) {
        for batch in batches {
            for post in batch.posts {
                self.server.deliver(sender, &batch.txn, post);
            }
        }
    }

    /// An event of the room with that content.
    pub fn event(&mut self, sender: &str, content: &Value) -> Value {
        self.events += 1;
        json!({"type": "m.room.encrypted", "event_id": format!("${}:x", self.events),
            "sender": sender, "room_id": ROOM, "origin_server_ts": self.now, "content": content})
    }

    /// The guest writes.
    pub fn guest_says(&mut self, body: &str) -> Value {
        let mut out = Vec::new();
        let sent = self
            .guest
            .send(&mut self.server, body, None, &mut out, self.now);
        self.deliver(GUEST, out);
        match sent {
            Sent::Content(content) => self.event(GUEST, &content),
            other => panic!("{other:?}"),
        }
    }

    /// A device of the host, or the twin, writes to these users.
    pub async fn says(&mut self, sdk: &Sdk, users: &[&str], body: &str) -> Value {
        let content = json!({"msgtype": "m.text", "body": body});
        self.sends(sdk, users, "m.room.message", &content).await
    }

    /// The same with an event of any type.
    pub async fn sends(
        &mut self,
        sdk: &Sdk,
        users: &[&str],
        event_type: &str,
        content: &Value,
    ) -> Value {
        let mut out = Vec::new();
        let sender = sdk.machine.user_id().to_string();
        let shared = sdk.share(&mut self.server, ROOM, users, None, &mut out);
        shared.await.unwrap();
        self.deliver(&sender, out);
        let content = sdk.encrypt(ROOM, event_type, content).await;
        self.event(&sender, &content)
    }

    /// The guest takes in what waits for it; gives what it refused, and what it can read now.
    pub fn guest_syncs(&mut self) -> (Vec<vestibule_crypto::Refused>, Vec<Item>) {
        let (mut refused, mut items) = (Vec::new(), Vec::new());
        for event in self.server.take(GUEST, GUEST_DEVICE) {
            let received = self.guest.receive_to_device(&event, self.now);
            refused.extend(received.refused);
            items.extend(received.items);
        }
        (refused, items)
    }

    /// The guest takes in what waits for it, and then the event.
    pub fn guest_reads(&mut self, event: &Value) -> Vec<Item> {
        let (refused, mut items) = self.guest_syncs();
        assert_eq!(refused, []);
        items.extend(self.guest.receive_room_event(event));
        items
    }

    /// A device of the host, or the twin, takes in what waits for it, and then the event.
    pub async fn reads(&mut self, sdk: &Sdk, event: &Value) -> Verdict {
        let user = sdk.machine.user_id().to_string();
        for event in self.server.take(&user, sdk.device_id()) {
            sdk.receive_to_device(&event).await;
        }
        sdk.read(event).await
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

/// The text of a single item.
#[must_use]
pub fn text(items: &[Item]) -> &str {
    match items {
        [Item::Text { body, .. }] => body,
        other => panic!("no single text: {other:?}"),
    }
}
