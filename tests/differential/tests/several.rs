//! Several people in one room, as in the room of the admins: the bot's machine is ours, the devices of
//! the others are matrix-sdk-crypto's. They come and go, have new devices and new identities; who may
//! read the bot reads it, nobody else does, and the bot reads whom it may trust.
//!
//! `VESTIBULE_SEED` and `VESTIBULE_TRANSCRIPTS` as for `transcripts.rs`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use matrix_sdk_common::deserialized_responses::{VerificationLevel, VerificationState};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use vestibule_crypto::{Blocked, Item};
use vestibule_differential::guest::{Guest, Sent};
use vestibule_differential::sdk::{Sdk, Verdict};
use vestibule_differential::server::{Batch, Server};
use vestibule_differential::{BEGINNING, GUEST_DEVICE, ROOM};

const BOT: &str = "@links:example.org";
const ADMINS: [&str; 3] = ["@ada:example.org", "@bob:example.org", "@cem:example.org"];
const STEPS: u32 = 30;
const SIGNED: VerificationState =
    VerificationState::Unverified(VerificationLevel::UnverifiedIdentity);

struct Admin {
    user: &'static str,
    /// Each with whether its owner has signed it. The first one signs.
    devices: Vec<(Sdk, bool)>,
    present: bool,
    /// Has a new identity that nobody accepted for the bot.
    unaccepted: bool,
}

struct Room {
    server: Server,
    bot: Guest,
    admins: Vec<Admin>,
    now: u64,
    events: u32,
    read: u32,
}

impl Room {
    async fn new() -> Self {
        let mut server = Server::default();
        let bot = Guest::join_as(BOT, &ADMINS, &mut server, BEGINNING);
        let mut admins = Vec::new();
        for user in ADMINS {
            let sdk = Sdk::new(user, "FIRST").await;
            sdk.publish(&mut server).await;
            sdk.cross_sign(&mut server).await;
            admins.push(Admin {
                user,
                devices: vec![(sdk, true)],
                present: true,
                unaccepted: false,
            });
        }
        let mut room = Self {
            server,
            bot,
            admins,
            now: BEGINNING,
            events: 0,
            read: 0,
        };
        room.know().await;
        room.bot.query(&room.server, room.now);
        room
    }

    /// Everybody learns who the others are.
    async fn know(&mut self) {
        let mut all = ADMINS.to_vec();
        all.push(BOT);
        for (sdk, _) in self.admins.iter().flat_map(|admin| &admin.devices) {
            sdk.track(&mut self.server, &all).await;
        }
    }

    fn deliver(&mut self, sender: &str, batches: Vec<Batch>) {
        for batch in batches {
            for post in batch.posts {
                self.server.deliver(sender, &batch.txn, post);
            }
        }
    }

    fn event(&mut self, sender: &str, content: &Value) -> Value {
        self.events += 1;
        json!({"type": "m.room.encrypted", "event_id": format!("${}:x", self.events),
            "sender": sender, "room_id": ROOM, "origin_server_ts": self.now, "content": content})
    }

    async fn bot_says(&mut self) -> Result<(), String> {
        let body = format!("bot {}", self.events);
        let mut out = Vec::new();
        let sent = (self.bot).send(&mut self.server, &body, None, &mut out, self.now);
        self.deliver(BOT, out);
        let present = || self.admins.iter().filter(|admin| admin.present);
        let content = match sent {
            Sent::Content(content) if !present().any(|admin| admin.unaccepted) => content,
            Sent::Blocked(Blocked::IdentityChanged) if present().any(|a| a.unaccepted) => {
                return Ok(());
            }
            Sent::Blocked(Blocked::NoDevices) if present().next().is_none() => return Ok(()),
            _ => return Err("the bot may send, and can't, or the other way round".to_owned()),
        };
        let event = self.event(BOT, &content);
        for admin in &self.admins {
            for (sdk, signed) in &admin.devices {
                for event in self.server.take(admin.user, sdk.device_id()) {
                    sdk.receive_to_device(&event).await;
                }
                let verdict = sdk.read(&event).await;
                let expected = admin.present && *signed;
                match &verdict {
                    Verdict::Read { state, .. } if *state != SIGNED => {
                        return Err(format!("a shield: {state:?}"));
                    }
                    verdict if verdict.is_read() == expected => self.read += u32::from(expected),
                    verdict => {
                        let whose = format!("{} {}", admin.user, sdk.device_id());
                        return Err(format!("{whose}: expected {expected}, is {verdict:?}"));
                    }
                }
            }
        }
        Ok(())
    }

    async fn admin_says(&mut self, admin: usize, device: usize) -> Result<(), String> {
        let mut users: Vec<&str> = vec![BOT];
        users.extend(self.admins.iter().filter(|a| a.present).map(|a| a.user));
        let Admin {
            user,
            devices,
            present,
            unaccepted,
        } = &self.admins[admin];
        let (user, present, unaccepted) = (*user, *present, *unaccepted);
        if !present {
            return Ok(());
        }
        let (sdk, signed) = &devices[device % devices.len()];
        let signed = *signed;
        let mut out = Vec::new();
        let body = format!("{user} {}", self.events);
        let shared = sdk.share(&mut self.server, ROOM, &users, None, &mut out);
        shared.await.ok_or("no key to share")?;
        let content = json!({"msgtype": "m.text", "body": body});
        let content = sdk.encrypt(ROOM, "m.room.message", &content).await;
        self.deliver(user, out);
        let event = self.event(user, &content);
        for event in self.server.take(BOT, GUEST_DEVICE) {
            self.bot.receive_to_device(&event, self.now);
        }
        let items = self.bot.receive_room_event(&event);
        // Between a new identity and the word on it, either may be.
        if unaccepted {
            return Ok(());
        }
        let read = match &items[..] {
            [
                Item::Text {
                    sender, body: said, ..
                },
            ] => *said == body && sender == user,
            _ => false,
        };
        self.read += u32::from(read);
        if read == signed {
            Ok(())
        } else {
            Err(format!("the bot reads {user}: {read}, expected {signed}"))
        }
    }

    async fn step(&mut self, rng: &mut ChaCha8Rng) -> Result<(), String> {
        let admin = rng.random_range(0..ADMINS.len());
        let user = ADMINS[admin];
        match rng.random_range(0..100) {
            0..35 => self.bot_says().await?,
            35..65 => self.admin_says(admin, rng.random_range(0..3)).await?,
            65..75 => {
                let present = !self.admins[admin].present;
                self.admins[admin].present = present;
                self.bot.membership_changed(user, present);
                self.bot.query(&self.server, self.now);
            }
            75..83 if self.admins[admin].devices.len() < 3 => {
                let id = format!("DEVICE{}", self.admins[admin].devices.len());
                let sdk = Sdk::new(user, &id).await;
                sdk.publish(&mut self.server).await;
                let signed = rng.random_bool(0.6);
                if signed {
                    let (first, _) = &self.admins[admin].devices[0];
                    first.track(&mut self.server, &[user]).await;
                    first.sign(&mut self.server, &id).await;
                }
                self.admins[admin].devices.push((sdk, signed));
                self.know().await;
                self.bot.query(&self.server, self.now);
            }
            83..87 => {
                let admin = &mut self.admins[admin];
                let (first, _) = &admin.devices[0];
                first.cross_sign(&mut self.server).await;
                for (_, signed) in admin.devices.iter_mut().skip(1) {
                    *signed = false;
                }
                admin.unaccepted = true;
                self.know().await;
                self.bot.query(&self.server, self.now);
            }
            87..95 => {
                if std::mem::take(&mut self.admins[admin].unaccepted) {
                    self.bot.accept_identity_of(user);
                    // What came under the old identity was judged by it: the next key isn't.
                    for (sdk, _) in &self.admins[admin].devices {
                        sdk.rotate(ROOM).await;
                    }
                }
            }
            _ => self.bot.restart(),
        }
        Ok(())
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

#[tokio::test]
async fn each_reads_whom_they_may() {
    let first = number("VESTIBULE_SEED", 0);
    let count = number("VESTIBULE_TRANSCRIPTS", 40);
    let mut read = 0;
    for seed in first..first + count {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut room = Room::new().await;
        for step in 0..STEPS {
            let done = room.step(&mut rng).await;
            assert_eq!(done, Ok(()), "transcript {seed}, step {step}");
        }
        read += room.read;
    }
    assert!(u64::from(read) > 10 * count, "{read}");
}
