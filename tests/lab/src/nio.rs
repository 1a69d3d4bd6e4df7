//! A host whose client is matrix-nio.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Account, Process, Venv};

const SCRIPT: &str = include_str!("../host.py");

/// How long a single command may take.
const PATIENCE: Duration = Duration::from_secs(60);

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
    /// Whether it came encrypted and nio could read it.
    pub decrypted: bool,
    /// When the homeserver got it, in milliseconds since the epoch.
    pub sent_ms: u64,
    /// When nio had it, in milliseconds since the epoch.
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
    /// A message came that nio can't decrypt.
    Undecryptable {
        /// The room.
        room_id: String,
        /// The event's id.
        event_id: String,
        /// Who sent it.
        sender: String,
    },
    /// An event that nio has no class for.
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

/// The homeserver, or nio itself, said no.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Refused {
    /// The HTTP status; 0 when there was none.
    pub status: u16,
    /// The Matrix error code, or the name of nio's error.
    pub errcode: Option<String>,
    /// The words that came with it.
    pub message: Option<String>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.errcode.as_deref().unwrap_or("no code");
        let message = self.message.as_deref().unwrap_or("no words");
        write!(f, "{} {code}: {message}", self.status)
    }
}

impl std::error::Error for Refused {}

/// A line of the script that answers a command.
#[derive(Debug, Deserialize)]
struct Reply {
    id: u64,
    #[serde(default)]
    result: Value,
    error: Option<Refused>,
}

/// A logged-in matrix-nio client in a process of its own.
#[derive(Debug)]
pub struct NioHost {
    user_id: String,
    last_id: u64,
    stdin: ChildStdin,
    replies: Receiver<Reply>,
    events: Receiver<HostEvent>,
    /// Events that were passed over while another one was waited for.
    kept: VecDeque<HostEvent>,
    process: Process,
}

impl NioHost {
    /// Starts the client and logs in; its keys and its log are kept in `dir`.
    ///
    /// # Errors
    /// When Python can't be started or the homeserver refuses the login.
    pub fn login(venv: &Venv, homeserver: &str, account: &Account, dir: &Path) -> Result<Self> {
        let store = dir.join("store");
        fs::create_dir_all(&store)?;
        let script = dir.join("host.py");
        fs::write(&script, SCRIPT)?;
        let script = script.to_str().context("the path is not UTF-8")?;
        let log = dir.join("host.log");
        let mut process = Process::start_piped("the nio host", &venv.python(), &[script], &log)?;
        let (stdin, stdout) = process.pipes().context("the nio host has no pipes")?;
        let (reply_sender, replies) = channel();
        let (event_sender, events) = channel();
        std::thread::spawn(move || {
            read_lines(BufReader::new(stdout), &reply_sender, &event_sender)
        });
        let mut host = Self {
            user_id: account.user_id.clone(),
            last_id: 0,
            stdin,
            replies,
            events,
            kept: VecDeque::new(),
            process,
        };
        let arguments = json!({
            "homeserver": homeserver,
            "user": account.user_id,
            "password": account.password,
            "store": store,
        });
        host.command("login", arguments)?;
        Ok(host)
    }

    /// The host's Matrix id.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// Opens an unencrypted direct chat with somebody.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn create_dm(&mut self, user_id: &str) -> Result<String> {
        let said = self.command("create_dm", json!({"user_id": user_id}))?;
        let room = said.get("room_id").and_then(Value::as_str);
        Ok(room.context("no room id")?.to_owned())
    }

    /// Accepts an invitation, and waits until the room came with the sync.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn join(&mut self, room_id: &str) -> Result<()> {
        self.command("join", json!({"room_id": room_id})).map(drop)
    }

    /// Sends a text, encrypted if the room is; the event's id.
    ///
    /// # Errors
    /// When nio or the homeserver refuses.
    pub fn send(&mut self, room_id: &str, text: &str) -> Result<String> {
        let said = self.command("send", json!({"room_id": room_id, "text": text}))?;
        Ok(said
            .get("event_id")
            .and_then(Value::as_str)
            .context("no event id")?
            .to_owned())
    }

    /// Leaves a room.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn leave(&mut self, room_id: &str) -> Result<()> {
        self.command("leave", json!({"room_id": room_id})).map(drop)
    }

    /// Bans somebody from a room.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn ban(&mut self, room_id: &str, user_id: &str) -> Result<()> {
        self.command("ban", json!({"room_id": room_id, "user_id": user_id}))
            .map(drop)
    }

    /// Any call of the client-server API with the host's own token; status and body.
    ///
    /// # Errors
    /// When there is no answer at all; a refusal is an answer.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value)> {
        let arguments = json!({"method": method, "path": path, "body": body});
        let mut said = self.command("request", arguments)?;
        let status = said
            .get("status")
            .and_then(Value::as_u64)
            .context("no status")?;
        let body = said.get_mut("body").map(Value::take).unwrap_or_default();
        Ok((u16::try_from(status)?, body))
    }

    /// Opens a chat with the bot, asks it for a link and reads the answer: the whole URL.
    ///
    /// # Errors
    /// When no link comes within a minute.
    pub fn ask_for_link(&mut self, bot: &str, label: &str) -> Result<(String, String)> {
        let room = self.create_dm(bot)?;
        self.wait("the bot to come", PATIENCE, |event| match event {
            HostEvent::Member {
                room_id,
                member,
                membership,
            } => (*room_id == room && member == bot && membership == "join").then_some(()),
            _ => None,
        })?;
        let link = self.ask_again(&room, bot, label)?;
        Ok((room, link))
    }

    /// The same in a chat with the bot that is open already.
    ///
    /// # Errors
    /// When no link comes within a minute.
    pub fn ask_again(&mut self, room: &str, bot: &str, label: &str) -> Result<String> {
        self.send(room, format!("invite {label}").trim_end())?;
        self.wait("the bot's link", PATIENCE, |event| match event {
            HostEvent::Message(message) if message.room_id == room && message.sender == bot => {
                find_link(&message.body)
            }
            _ => None,
        })
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
            match self.events.recv_timeout(left) {
                Ok(event) => match pick(&event) {
                    Some(found) => return Ok(found),
                    None => self.kept.push_back(event),
                },
                Err(RecvTimeoutError::Timeout) => {
                    bail!(
                        "waited {} s for {what}; meanwhile: {:?}",
                        limit.as_secs(),
                        self.kept
                    )
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the nio host ended"),
            }
        }
    }

    /// The next invitation to a room.
    ///
    /// # Errors
    /// When none comes within a minute.
    pub fn next_invite(&mut self) -> Result<Invite> {
        self.wait("an invitation", PATIENCE, |event| match event {
            HostEvent::Invite(invite) => Some(invite.clone()),
            _ => None,
        })
    }

    /// The next message of somebody else in a room.
    ///
    /// # Errors
    /// When none comes within `limit`.
    pub fn next_message(&mut self, room_id: &str, limit: Duration) -> Result<Message> {
        let own = self.user_id.clone();
        self.wait("a message", limit, |event| match event {
            HostEvent::Message(message) if message.room_id == room_id && message.sender != own => {
                Some(message.clone())
            }
            _ => None,
        })
    }

    /// Everything that happened and was not asked for yet, without waiting.
    pub fn drain(&mut self) -> Vec<HostEvent> {
        self.kept.extend(self.events.try_iter());
        self.kept.drain(..).collect()
    }

    fn command(&mut self, name: &str, arguments: Value) -> Result<Value> {
        self.last_id += 1;
        let mut line = arguments;
        if let Some(fields) = line.as_object_mut() {
            fields.insert("id".to_owned(), json!(self.last_id));
            fields.insert("cmd".to_owned(), json!(name));
        }
        writeln!(self.stdin, "{line}").context("the nio host ended")?;
        self.stdin.flush()?;
        loop {
            let reply = self
                .replies
                .recv_timeout(PATIENCE)
                .with_context(|| format!("no answer to {name} from the nio host"))?;
            // A late answer to a command that was given up is not this one's.
            if reply.id != self.last_id {
                continue;
            }
            return match reply.error {
                Some(refused) => Err(refused).with_context(|| format!("{name} was refused")),
                None => Ok(reply.result),
            };
        }
    }
}

impl Drop for NioHost {
    fn drop(&mut self) {
        self.process.kill();
    }
}

fn read_lines(
    stdout: BufReader<std::process::ChildStdout>,
    replies: &Sender<Reply>,
    events: &Sender<HostEvent>,
) {
    for line in stdout.lines().map_while(Result::ok) {
        // Nobody listens any more when the host was dropped; then this thread ends with its pipe.
        if let Ok(event) = serde_json::from_str::<HostEvent>(&line) {
            let _ = events.send(event);
        } else if let Ok(reply) = serde_json::from_str::<Reply>(&line) {
            let _ = replies.send(reply);
        } else {
            eprintln!("the nio host wrote something else: {line}");
        }
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
    use super::*;

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
    fn events_and_replies_are_told_apart() {
        let event = r#"{"event":"member","room_id":"!r","member":"@a:b","membership":"join"}"#;
        let event: HostEvent = serde_json::from_str(event).unwrap();
        assert!(matches!(event, HostEvent::Member { .. }));
        let reply =
            r#"{"id":3,"ok":false,"error":{"status":403,"errcode":"M_FORBIDDEN","message":"no"}}"#;
        assert!(serde_json::from_str::<HostEvent>(reply).is_err());
        let reply: Reply = serde_json::from_str(reply).unwrap();
        assert_eq!(reply.error.unwrap().to_string(), "403 M_FORBIDDEN: no");
    }
}
