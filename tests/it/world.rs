//! A homeserver, a bridge, and the people.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::bridge::{Bridge, Setup};
use crate::guest::Guest;
use crate::homeserver::{Homeserver, PATIENCE, until};
use crate::host::Host;

/// All of it.
pub struct World {
    pub homeserver: Homeserver,
    pub bridge: Bridge,
    transactions: AtomicU64,
}

/// A host and a guest in an open chat, the invitation not yet accepted.
pub struct Chat {
    pub host: Host,
    pub guest: Guest,
    pub token: String,
    pub room: String,
}

impl World {
    pub async fn start() -> Self {
        Self::with(&Setup::default()).await
    }

    pub async fn with(setup: &Setup) -> Self {
        let mut world = Self::unstarted(setup).await;
        world.start_bridge().await;
        world
    }

    /// A bridge that wasn't started yet.
    pub async fn unstarted(setup: &Setup) -> Self {
        let homeserver = Homeserver::start().await;
        let bridge = Bridge::new(&homeserver.address(), setup);
        Self {
            homeserver,
            bridge,
            transactions: AtomicU64::new(0),
        }
    }

    /// A bridge that is a process of its own.
    pub async fn apart(setup: &Setup) -> Self {
        let mut world = Self::unstarted(setup).await;
        world.bridge.start_apart().await;
        until("the bridge greets", || {
            (world.homeserver.count("set_name") > 0).then_some(())
        })
        .await;
        world
    }

    /// Starts the bridge, and waits until it has greeted the homeserver.
    pub async fn start_bridge(&mut self) {
        let before = self.homeserver.count("set_name");
        self.bridge.start().await;
        until("the bridge greets", || {
            (self.homeserver.count("set_name") > before).then_some(())
        })
        .await;
    }

    /// The bridge is torn away and started anew.
    pub async fn crash_bridge(&mut self) {
        self.bridge.crash();
        self.start_bridge().await;
    }

    /// A transaction id that was not used before.
    pub fn transaction_id(&self) -> String {
        self.transactions
            .fetch_add(1, Ordering::Relaxed)
            .to_string()
    }

    /// Pushes a transaction under an id of its own, and has it taken.
    pub async fn push(&self, body: &Value) {
        self.push_as(&self.transaction_id(), body).await;
    }

    /// Pushes a transaction under this id, and has it taken.
    pub async fn push_as(&self, id: &str, body: &Value) {
        let answer = self.bridge.push(id, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Pushes all that the appservice was not told of, until there is nothing more.
    pub async fn deliver(&self) {
        loop {
            let waiting = self
                .homeserver
                .with(|state| state.events.len() + state.to_device.len() + state.ephemeral.len());
            if waiting == 0 {
                return;
            }
            let body = self.homeserver.with(|state| state.take_transaction());
            self.push(&body).await;
        }
    }

    /// A host who has a direct chat with the bot.
    pub async fn host(&self, name: &str) -> Host {
        let host = Host::new(&self.homeserver, name);
        self.deliver().await;
        self.homeserver
            .until("the bot says hello", |state| {
                host.notices(state).first().cloned()
            })
            .await;
        host
    }

    /// Has the host write to the bot, and gives what it answers.
    pub async fn command(&self, host: &mut Host, text: &str) -> String {
        // What the bot says unasked comes before the answer.
        self.until_idle().await;
        let before = self.homeserver.with(|state| host.notices(state).len());
        host.command(&self.homeserver, text);
        self.deliver().await;
        self.homeserver
            .until("the bot answers", |state| {
                host.notices(state).get(before).cloned()
            })
            .await
    }

    /// The token of a new link.
    pub async fn link(&self, host: &mut Host) -> String {
        token(&self.command(host, "invite Maya").await)
    }

    /// A guest who has pressed *Start chat*.
    pub async fn joined(&self, host: &mut Host) -> (Guest, String) {
        let token = self.link(host).await;
        let mut guest = Guest::of_link(&self.bridge, &token, "GUESTDEVICE").await;
        let answer = guest.join(&self.bridge, &token, "Maya").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        (guest, token)
    }

    /// A chat that is open for the guest.
    pub async fn chat(&self, host: &str) -> Chat {
        let mut host = self.host(host).await;
        let token = self.link(&mut host).await;
        self.chat_over(host, token).await
    }

    /// The same over a link that there is already.
    pub async fn chat_over(&self, mut host: Host, token: String) -> Chat {
        let mut guest = Guest::of_link(&self.bridge, &token, "GUESTDEVICE").await;
        host.publish_device(&self.homeserver, &guest.ghost);
        let answer = guest.join(&self.bridge, &token, "Maya").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        guest.open(&self.bridge).await;
        self.deliver().await;
        let room = guest.room.clone();
        Chat {
            host,
            guest,
            token,
            room,
        }
    }

    /// A chat in which both are.
    pub async fn open_chat(&self, host: &str) -> Chat {
        let mut chat = self.chat(host).await;
        chat.host.accept(&self.homeserver, &chat.room);
        self.deliver().await;
        chat.guest.until_frame("host", "joined", true.into()).await;
        chat
    }

    /// Waits until the outbox is empty.
    pub async fn until_idle(&self) {
        let idle = async {
            while self.bridge.metric("outbox").await > 0 {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        tokio::time::timeout(PATIENCE, idle)
            .await
            .expect("the outbox is emptied");
    }

    /// Says something as the host, and has it delivered.
    pub async fn host_says(&self, chat: &mut Chat, text: &str) {
        chat.host.say(&self.homeserver, &chat.room, text);
        self.deliver().await;
    }

    /// Waits until the host has read so many texts, and gives them.
    pub async fn until_host_read(&self, chat: &mut Chat, count: usize) -> Vec<String> {
        let (host, room) = (&mut chat.host, &chat.room);
        until("the host reads", || {
            Some(host.read(&self.homeserver, room)).filter(|texts| texts.len() >= count)
        })
        .await
    }
}

/// The token in what the bot said.
pub fn token(words: &str) -> String {
    let (_, rest) = words.split_once("/#").expect("a link");
    rest.split_whitespace().next().unwrap().to_owned()
}
