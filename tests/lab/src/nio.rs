//! A host whose client is matrix-nio.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::ChildStdin;
use std::sync::mpsc::{Receiver, Sender, channel};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::host::{Events, Host, HostEvent, PATIENCE};
use crate::{Account, Process, Venv};

const SCRIPT: &str = include_str!("../host.py");

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
    events: Events,
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
            events: Events::new(events),
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

    /// Has the next message in a room begin a new Megolm session, whose key then goes out before
    /// it.
    ///
    /// # Errors
    /// When the client ended.
    pub fn rotate(&mut self, room_id: &str) -> Result<()> {
        self.command("rotate", json!({"room_id": room_id}))
            .map(drop)
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

impl Host for NioHost {
    fn user_id(&self) -> &str {
        &self.user_id
    }

    fn events(&mut self) -> &mut Events {
        &mut self.events
    }

    fn create_dm(&mut self, user_id: &str) -> Result<String> {
        let said = self.command("create_dm", json!({"user_id": user_id}))?;
        let room = said.get("room_id").and_then(Value::as_str);
        Ok(room.context("no room id")?.to_owned())
    }

    fn join(&mut self, room_id: &str) -> Result<()> {
        self.command("join", json!({"room_id": room_id})).map(drop)
    }

    fn send(&mut self, room_id: &str, text: &str) -> Result<String> {
        let said = self.command("send", json!({"room_id": room_id, "text": text}))?;
        Ok(said
            .get("event_id")
            .and_then(Value::as_str)
            .context("no event id")?
            .to_owned())
    }

    fn send_event(&mut self, room_id: &str, event_type: &str, content: Value) -> Result<String> {
        let arguments = json!({"room_id": room_id, "type": event_type, "content": content});
        let said = self.command("send_event", arguments)?;
        let id = said.get("event_id").and_then(Value::as_str);
        Ok(id.context("no event id")?.to_owned())
    }

    fn request(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let arguments = json!({"method": method, "path": path, "body": body});
        let mut said = self.command("request", arguments)?;
        let status = said
            .get("status")
            .and_then(Value::as_u64)
            .context("no status")?;
        let body = said.get_mut("body").map(Value::take).unwrap_or_default();
        Ok((u16::try_from(status)?, body))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

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
