//! What every host can do, whichever client it uses.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// How long something may take that normally takes a moment.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An invitation as the host's client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Invite {
    /// The room.
    pub room_id: String,
    /// Who invites.
    pub inviter: String,
    /// The inviter's display name in the stripped state.
    pub display_name: String,
    /// Whether the invitation is marked as a direct chat.
    pub is_direct: bool,
    /// The reason that came with it.
    pub reason: Option<String>,
}

/// A message as the host's client sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Message {
    /// The room.
    pub room_id: String,
    /// The event's id.
    pub event_id: String,
    /// Who sent it; the host's own messages come back too.
    pub sender: String,
    /// The sender's display name.
    pub display_name: String,
    /// `m.text`, `m.notice` and so on.
    pub msgtype: Option<String>,
    /// The text.
    pub body: String,
    /// Whether it came encrypted and the client could read it.
    pub decrypted: bool,
    /// How the client judges the sending device, if it tells.
    #[serde(default)]
    pub trust: Option<String>,
    /// When the homeserver got it, in milliseconds since the epoch.
    pub sent_ms: u64,
    /// When the client had it, in milliseconds since the epoch.
    pub seen_ms: u64,
}

/// What happens by itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum HostEvent {
    /// The host is invited to a room.
    Invite(Invite),
    /// A message came, also one of the host's own.
    Message(Message),
    /// A message came that the client can't decrypt.
    Undecryptable {
        /// The room.
        room_id: String,
        /// The event's id.
        event_id: String,
        /// Who sent it.
        sender: String,
    },
    /// An event that the client has no class for.
    Other {
        /// The room.
        room_id: String,
        /// The event's id.
        event_id: String,
        /// Who sent it.
        sender: String,
        /// Its type.
        #[serde(rename = "type")]
        event_type: String,
    },
    /// Somebody came or went.
    Member {
        /// The room.
        room_id: String,
        /// Whom it is about.
        member: String,
        /// `join`, `leave`, `ban` or `invite`.
        membership: String,
    },
}

/// What happened and was not asked for yet.
#[derive(Debug)]
pub struct Events {
    incoming: Receiver<HostEvent>,
    /// Events that were passed over while another one was waited for.
    kept: VecDeque<HostEvent>,
}

impl Events {
    /// Events as they come from a client's own thread.
    #[must_use]
    pub fn new(incoming: Receiver<HostEvent>) -> Self {
        Self {
            incoming,
            kept: VecDeque::new(),
        }
    }

    /// The first event, past or to come, that `pick` makes something of.
    ///
    /// Events that `pick` passes over are kept for later calls, in their order.
    ///
    /// # Errors
    /// When none comes within `limit`, with `what` in the text, or the client ended.
    pub fn wait<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut pick: impl FnMut(&HostEvent) -> Option<T>,
    ) -> Result<T> {
        for place in 0..self.kept.len() {
            if let Some(found) = self.kept.get(place).and_then(&mut pick) {
                self.kept.remove(place);
                return Ok(found);
            }
        }
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.incoming.recv_timeout(left) {
                Ok(event) => match pick(&event) {
                    Some(found) => return Ok(found),
                    None => self.kept.push_back(event),
                },
                Err(RecvTimeoutError::Timeout) => {
                    bail!(
                        "waited {} s for {what}; meanwhile: {:#?}",
                        limit.as_secs(),
                        self.kept
                    )
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the host's client ended"),
            }
        }
    }

    /// Everything that happened and was not asked for yet, without waiting.
    pub fn drain(&mut self) -> Vec<HostEvent> {
        self.kept.extend(self.incoming.try_iter());
        self.kept.drain(..).collect()
    }
}

/// A Matrix user with a client, as far as a host needs one. Every call blocks until it is done.
pub trait Host {
    /// The host's Matrix id.
    fn user_id(&self) -> &str;

    /// What happened by itself.
    fn events(&mut self) -> &mut Events;

    /// Opens an unencrypted direct chat with somebody; the room's id.
    ///
    /// # Errors
    /// When the homeserver refuses.
    fn create_dm(&mut self, user_id: &str) -> Result<String>;

    /// Accepts an invitation, and waits until the room came with the sync.
    ///
    /// # Errors
    /// When the homeserver refuses.
    fn join(&mut self, room_id: &str) -> Result<()>;

    /// Sends a text, encrypted if the room is; the event's id.
    ///
    /// # Errors
    /// When the client or the homeserver refuses.
    fn send(&mut self, room_id: &str, text: &str) -> Result<String>;

    /// Sends an event of any type, encrypted if the room is and the client encrypts such; its id.
    ///
    /// # Errors
    /// When the client or the homeserver refuses.
    fn send_event(&mut self, room_id: &str, event_type: &str, content: Value) -> Result<String>;

    /// Any call of the client-server API with the host's own token; status and body.
    ///
    /// # Errors
    /// When there is no answer at all; a refusal is an answer.
    fn request(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)>;

    /// Opens a chat with the bot and asks it for a link: the chat's room, and the whole URL.
    ///
    /// # Errors
    /// When no link comes.
    fn ask_for_link(&mut self, bot: &str, label: &str) -> Result<(String, String)> {
        let room = self.open_chat_with(bot)?;
        let link = self.ask_again(&room, bot, label)?;
        Ok((room, link))
    }

    /// Opens a chat with the bot, and waits until it listens; the chat's room.
    ///
    /// # Errors
    /// When the bot doesn't come.
    fn open_chat_with(&mut self, bot: &str) -> Result<String> {
        let room = self.create_dm(bot)?;
        // A host on another server sees the bot come before the bot knows it, and what is written in
        // between is not heard. Its first words say that it listens.
        self.events()
            .wait("the bot's greeting", PATIENCE, |event| match event {
                HostEvent::Message(message) => {
                    (message.room_id == room && message.sender == bot).then_some(())
                }
                _ => None,
            })?;
        Ok(room)
    }

    /// Asks for one more link in a chat with the bot that is open already.
    ///
    /// # Errors
    /// When no link comes.
    fn ask_again(&mut self, room: &str, bot: &str, label: &str) -> Result<String> {
        self.send(room, format!("invite {label}").trim_end())?;
        self.events()
            .wait("the bot's link", PATIENCE, |event| match event {
                HostEvent::Message(message) if message.room_id == room && message.sender == bot => {
                    find_link(&message.body)
                }
                _ => None,
            })
    }

    /// The next invitation to a room.
    ///
    /// # Errors
    /// When none comes.
    fn next_invite(&mut self) -> Result<Invite> {
        self.events()
            .wait("an invitation", PATIENCE, |event| match event {
                HostEvent::Invite(invite) => Some(invite.clone()),
                _ => None,
            })
    }

    /// The next message of somebody else in a room.
    ///
    /// # Errors
    /// When none comes.
    fn next_message(&mut self, room_id: &str) -> Result<Message> {
        let own = self.user_id().to_owned();
        self.events()
            .wait("a message", PATIENCE, |event| match event {
                HostEvent::Message(message)
                    if message.room_id == room_id && message.sender != own =>
                {
                    Some(message.clone())
                }
                _ => None,
            })
    }
}

/// The first `http…#token` of a text.
fn find_link(text: &str) -> Option<String> {
    text.split_whitespace()
        .find(|word| word.starts_with("http") && word.contains("/#"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::mpsc::channel;

    use super::*;

    fn member(name: &str) -> HostEvent {
        HostEvent::Member {
            room_id: "!r".into(),
            member: name.into(),
            membership: "join".into(),
        }
    }

    #[test]
    fn a_link_is_found_among_words() {
        let text = "Here it is:\nhttp://127.0.0.1:1/#0123456789abcdefghjkmnpqrs\nGood for 7 days.";
        assert_eq!(
            find_link(text).as_deref(),
            Some("http://127.0.0.1:1/#0123456789abcdefghjkmnpqrs")
        );
        assert_eq!(find_link("see https://matrix.org/ for more"), None);
    }

    #[test]
    fn events_that_were_passed_over_come_later_in_their_order() {
        let (sender, receiver) = channel();
        let mut events = Events::new(receiver);
        for name in ["a", "b", "c"] {
            sender.send(member(name)).unwrap();
        }
        let found = events.wait("c", Duration::ZERO, |event| {
            (*event == member("c")).then_some(1)
        });
        assert_eq!(found.unwrap(), 1);
        let found = events.wait("c", Duration::ZERO, |event| {
            (*event == member("c")).then_some(1)
        });
        assert!(found.unwrap_err().to_string().contains("for c"));
        assert_eq!(events.drain(), [member("a"), member("b")]);
    }
}
