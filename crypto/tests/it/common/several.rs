//! A bot that talks with several people.
#![allow(dead_code, clippy::unwrap_used, reason = "test support")]

use serde_json::Value;
use vestibule_crypto::Prepare;

use super::*;

pub const BOT: &str = "@bot:example.org";
pub const BOB: &str = "@bob:example.org";
pub const MALLORY: &str = "@mallory:example.org";

/// The bot has met Alice and Bob, whose devices have the same id.
pub fn three() -> (Server, Device, Device, Device) {
    let mut server = Server::default();
    let mut bot = Device::alone(BOT, "BOTDEV", NOW);
    bot.publish(&mut server);
    let mut people = [HOST, BOB].map(|user| {
        let mut person = Device::new(user, "DEVICE", BOT, NOW);
        person.publish(&mut server);
        bot.meet(user);
        person
    });
    for person in &mut people {
        person.receive_keys(&server.query(BOT), NOW);
    }
    let [alice, bob] = people;
    (server, bot, alice, bob)
}

pub fn say(server: &mut Server, bot: &mut Device, members: &[&str], event_id: &str) -> Value {
    loop {
        match bot.prepare_for(members, NOW) {
            Prepare::KeysQuery { users } => {
                let answer = server.query_all(&users);
                let step = bot.machine.receive_keys(&answer, NOW).unwrap();
                bot.step(step);
            }
            Prepare::KeysClaim { devices } => {
                let answer = server.claim_all(&devices);
                bot.receive_claim(&answer, NOW);
            }
            Prepare::ToDevice {
                id,
                event_type,
                messages,
            } => {
                server.send(BOT, &event_type, &messages);
                bot.stored(&id);
            }
            done => {
                assert_eq!(done, Prepare::Ready);
                break;
            }
        }
    }
    let step = bot.machine.encrypt_text(ROOM, members, "hello", NOW);
    let content = bot.step(step.unwrap());
    room_event(BOT, event_id, &content)
}
