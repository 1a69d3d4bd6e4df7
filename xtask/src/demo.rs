//! A homeserver, the bridge and a host at a prompt.

use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use vestibule_lab::{Host as _, HostEvent, Invite, Lab, Message, NioHost, Options, Venv};

use crate::page;
use crate::run::{Progress, Workspace};
use crate::setup::{self, Need};

const HELP: &str = "  What you type goes to the guest. Besides:
    /invite [label]   ask the bot for another link
    /bot COMMAND      write to the bot: help, list, end 1, block 1, …
    /admin COMMAND    as an admin, in an admin room: help, status, chats, pause, …
    /chats            who is here
    /chat N           write to number N from now on
    /quit             end the demo";

/// What the person at the prompt does.
enum Input {
    Line(String),
    /// No more lines will come from a terminal.
    End,
    Signal,
}

/// One guest's chat.
struct Chat {
    room_id: String,
    name: String,
}

/// Builds what is needed, starts it, and talks until the person has enough.
pub fn run(workspace: &Workspace) -> Result<()> {
    let mut progress = Progress::of(6);
    progress.next("Looking at what this machine has");
    setup::run(Need::Demo)?;
    progress.next("Building the page");
    page::build(workspace)?;
    progress.next("Building the bridge (the first time RocksDB takes a quarter of an hour)");
    workspace.build_bridge()?;
    progress.next("Bringing Synapse and matrix-nio");
    let venv = Venv::shared()?;

    // From here on there is something to stop.
    let inputs = inputs()?;
    progress.next("Starting a homeserver and the bridge");
    let mut lab = Lab::start(venv, &workspace.bridge(), &alice_is_an_admin())?;
    progress.next("Alice asks the bot for a link");
    let host = lab.nio_host("alice", "Alice")?;
    let mut prompt = Prompt::new(host)?;
    prompt.run(&inputs, &mut lab)?;
    println!("\nStopping …");
    Ok(())
}

/// Everything as it is for a newcomer, but that the host may look behind the curtain too.
fn alice_is_an_admin() -> Options {
    Options {
        permissions: vec![(format!("@alice:{}", Lab::DOMAIN), "admin")],
        ..Options::default()
    }
}

/// Lines and signals, each from a thread of its own.
fn inputs() -> Result<Receiver<Input>> {
    let (sender, receiver) = channel();
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let stop = sender.clone();
    std::thread::spawn(move || {
        let mut seen = 0;
        for _ in &mut signals {
            seen += 1;
            // Whoever asks twice does not want to wait; the kernel ends our children with us.
            if seen > 1 || stop.send(Input::Signal).is_err() {
                std::process::exit(130);
            }
        }
    });
    std::thread::spawn(move || read_lines(&sender));
    Ok(receiver)
}

fn read_lines(sender: &Sender<Input>) {
    for line in std::io::stdin().lines().map_while(Result::ok) {
        if sender.send(Input::Line(line)).is_err() {
            return;
        }
    }
    // Without a terminal there was never a person; then the demo lasts until it is stopped.
    if std::io::stdin().is_terminal() {
        let _ = sender.send(Input::End);
    }
}

/// The host at the prompt.
struct Prompt {
    host: NioHost,
    management_room: String,
    /// Made when it is first needed.
    admin_room: Option<String>,
    chats: Vec<Chat>,
    current: Option<usize>,
    is_terminal: bool,
}

impl Prompt {
    fn new(mut host: NioHost) -> Result<Self> {
        let (management_room, link) = host.ask_for_link(Lab::BOT, "Maya")?;
        // The bot's greeting, which is for hosts who don't know it yet.
        host.events().drain();
        println!("\n  ┌── Open this link in a browser; you are the guest there ──");
        println!("  │\n  │   {link}\n  │");
        println!("  └── and you are Alice, the host, here ─────────────────────\n\n{HELP}\n");
        Ok(Self {
            host,
            management_room,
            admin_room: None,
            chats: Vec::new(),
            current: None,
            is_terminal: std::io::stdin().is_terminal(),
        })
    }

    fn run(&mut self, inputs: &Receiver<Input>, lab: &mut Lab) -> Result<()> {
        self.ask()?;
        loop {
            match inputs.recv_timeout(Duration::from_millis(100)) {
                Ok(Input::Line(line)) => {
                    if line.trim() == "/quit" {
                        return Ok(());
                    }
                    if let Err(error) = self.line(line.trim()) {
                        println!("  That did not work: {error:#}");
                    }
                    self.ask()?;
                }
                Ok(Input::End | Input::Signal) | Err(RecvTimeoutError::Disconnected) => {
                    return Ok(());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            for event in self.host.events().drain() {
                self.event(event)?;
            }
            let log = lab.bridge_log();
            lab.bridge()?.check().with_context(|| tail(&log))?;
        }
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "" => {}
            "/help" => println!("{HELP}"),
            "/invite" => {
                let room = self.management_room.clone();
                println!("  {}", self.host.ask_again(&room, Lab::BOT, rest.trim())?);
            }
            "/bot" => {
                let room = self.management_room.clone();
                self.command(&room, rest.trim())?;
            }
            "/admin" => {
                let room = self.admin_room()?;
                self.command(&room, rest.trim())?;
            }
            "/chats" => self.list(),
            "/chat" => self.choose(rest.trim()),
            _ if word.starts_with('/') => println!("{HELP}"),
            _ => self.say(line)?,
        }
        Ok(())
    }

    /// Writes to the bot; its answer comes as a message does.
    fn command(&mut self, room: &str, command: &str) -> Result<()> {
        let command = if command.is_empty() { "help" } else { command };
        self.host.send(room, command).map(drop)
    }

    fn admin_room(&mut self) -> Result<String> {
        if let Some(room) = &self.admin_room {
            return Ok(room.clone());
        }
        let room = self.host.open_chat_with(Lab::BOT)?;
        self.host.send(&room, "admin-room")?;
        Ok(self.admin_room.insert(room).clone())
    }

    fn say(&mut self, text: &str) -> Result<()> {
        let chat = self.current.and_then(|place| self.chats.get(place));
        match chat.map(|chat| chat.room_id.clone()) {
            Some(room) => self.host.send(&room, text).map(drop),
            None => {
                println!("  Nobody is here yet: open the link in a browser first.");
                Ok(())
            }
        }
    }

    fn list(&self) {
        if self.chats.is_empty() {
            println!("  Nobody is here yet.");
        }
        for (place, chat) in self.chats.iter().enumerate() {
            let mark = if self.current == Some(place) {
                '*'
            } else {
                ' '
            };
            println!(" {mark}{} {}", place + 1, chat.name);
        }
    }

    fn choose(&mut self, number: &str) {
        let place = number
            .parse::<usize>()
            .ok()
            .and_then(|number| number.checked_sub(1));
        match place.filter(|place| *place < self.chats.len()) {
            Some(place) => self.current = Some(place),
            None => println!("  There is no chat {number}; /chats lists them."),
        }
    }

    fn event(&mut self, event: HostEvent) -> Result<()> {
        match event {
            HostEvent::Invite(invite) => self.invited(invite)?,
            HostEvent::Message(message) => self.message(&message)?,
            HostEvent::Undecryptable { sender, .. } => {
                self.print(&format!(
                    "  (a message from {sender} that can't be decrypted)"
                ))?;
            }
            HostEvent::Member {
                room_id,
                member,
                membership,
            } => {
                // The bot leaves too, before the host comes; that is no news.
                let one_of_two =
                    member == self.host.user_id() || member.starts_with("@_vestibule_");
                let left = one_of_two && (membership == "leave" || membership == "ban");
                let chat = self.chats.iter().find(|chat| chat.room_id == room_id);
                if let Some(name) = chat.filter(|_| left).map(|chat| chat.name.clone()) {
                    let name = if member == self.host.user_id() {
                        "You"
                    } else {
                        &name
                    };
                    self.print(&format!("  ({name} left the chat)"))?;
                }
            }
            HostEvent::Other { .. } => {}
        }
        Ok(())
    }

    fn invited(&mut self, invite: Invite) -> Result<()> {
        self.host.join(&invite.room_id)?;
        let name = plain(&invite.display_name);
        let line = format!("  ({name} invited you to a private chat; accepted)");
        self.chats.push(Chat {
            room_id: invite.room_id,
            name,
        });
        self.current = Some(self.chats.len() - 1);
        self.print(&line)
    }

    fn message(&self, message: &Message) -> Result<()> {
        if message.sender == self.host.user_id() {
            return Ok(());
        }
        let mut chats = self.chats.iter();
        let number = match chats.position(|chat| chat.room_id == message.room_id) {
            Some(place) if self.current != Some(place) => format!("[{}] ", place + 1),
            _ => String::new(),
        };
        let name = plain(&message.display_name);
        self.print(&format!("  {number}{name}: {}", plain(&message.body)))
    }

    /// A line of what goes on, above the prompt.
    fn print(&self, line: &str) -> Result<()> {
        if self.is_terminal {
            // Over the prompt that stands there, to the line's end.
            print!("\r\u{1b}[K");
        }
        println!("{line}");
        self.ask()
    }

    fn ask(&self) -> Result<()> {
        if self.is_terminal {
            print!("Alice> ");
        }
        Ok(std::io::stdout().flush()?)
    }
}

/// What others wrote, without the control characters that a terminal would obey.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// The last lines of the bridge's log, for when it ended by itself.
fn tail(log: &std::path::Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines
        .get(lines.len().saturating_sub(15)..)
        .unwrap_or_default();
    format!("the bridge's last words:\n{}", last.join("\n"))
}
