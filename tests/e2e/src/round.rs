//! One chat while things fail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use vestibule_lab::{Account, Host as _, Lab, NioHost};

use crate::plan::{GuestAct, HostAct, Place, Plan, Script, WorldAct};
use crate::{Call, Finding, Guest, Record, Stage};

/// How long everything must stay right before it counts: what comes twice comes late.
const QUIET: Duration = Duration::from_millis(1_500);

/// Rounds on one stage, with one host.
#[derive(Debug)]
pub struct Rounds {
    /// Where they take place.
    pub stage: Stage,
    /// The host of all of them.
    pub host: NioHost,
    /// The host's account.
    pub account: Account,
    management_room: String,
    unused_link: Option<String>,
}

/// What one round showed.
#[derive(Debug)]
pub struct Outcome {
    /// What was wrong when it was given up, or nothing.
    pub findings: Vec<Finding>,
    /// Messages of the host and of the guest.
    pub said: (usize, usize),
    /// From the end of all faults until both sides had everything.
    pub settled_after: Duration,
}

/// A chat in a room.
#[derive(Debug)]
pub struct Chat {
    /// The guest, in a browser of their own.
    pub guest: Guest,
    /// The room.
    pub room: String,
    /// Who stands for the guest.
    pub ghost: String,
    /// What was said and shown.
    pub record: Record,
    blamed: usize,
}

impl Rounds {
    /// With a host who has a chat with the bot.
    ///
    /// # Errors
    /// When no link comes.
    pub fn on(mut stage: Stage) -> Result<Self> {
        let account = stage.lab.account("alice", "Alice")?;
        let mut host = stage.lab.nio_device(&account, "alice")?;
        let (management_room, link) = host.ask_for_link(Lab::BOT, "")?;
        Ok(Self {
            stage,
            host,
            account,
            management_room,
            unused_link: Some(link),
        })
    }

    /// A new guest in a new browser, and a room.
    ///
    /// # Errors
    /// When they don't come together.
    pub fn open_chat(&mut self) -> Result<Chat> {
        let link = match self.unused_link.take() {
            Some(link) => link,
            None => self
                .host
                .ask_again(&self.management_room, Lab::BOT, "")
                .context("asking for a link")?,
        };
        let guest = Guest::open(&link)?;
        guest.start_chat("Maya")?;
        let invite = self.host.next_invite()?;
        self.host.join(&invite.room_id)?;
        guest.wait_open()?;
        Ok(Chat {
            guest,
            room: invite.room_id,
            ghost: invite.inviter,
            record: Record::default(),
            blamed: self.stage.witness.complaints().len(),
        })
    }

    /// The host writes.
    ///
    /// # Errors
    /// When it can't be sent.
    pub fn host_says(&mut self, chat: &mut Chat, text: &str) -> Result<()> {
        host_acts(
            &mut self.host,
            &chat.room,
            &HostAct::Say(text.to_owned()),
            &mut chat.record.from_host,
        )
    }

    /// Performs a plan in a chat, ends all faults, and waits until both sides have everything, for
    /// `limit` at most.
    ///
    /// # Errors
    /// When something fails that is not part of the plan: then nothing was found out.
    pub fn perform(&mut self, plan: &Plan, chat: &mut Chat, limit: Duration) -> Result<Outcome> {
        let Self { stage, host, .. } = self;
        let begin = Instant::now();
        let url = stage.chat_url();
        let failed = AtomicBool::new(false);
        let Chat {
            guest,
            room,
            record,
            ..
        } = chat;
        let Record {
            from_host,
            from_guest,
            ..
        } = record;
        std::thread::scope(|scope| -> Result<()> {
            let (failed, url, room) = (&failed, &url, &*room);
            let hosting = scope.spawn(move || {
                let mut act = |act: &HostAct| host_acts(host, room, act, from_host);
                follow(&plan.host, begin, failed, &mut act).context("the host's part")
            });
            let visiting = scope.spawn(move || {
                let mut act = |act: &GuestAct| guest_acts(guest, url, act, from_guest);
                follow(&plan.guest, begin, failed, &mut act).context("the guest's part")
            });
            let mut act = |act: &WorldAct| world_acts(stage, act);
            let happened = follow(&plan.world, begin, failed, &mut act).context("the faults");
            // The host's client waits for a homeserver that is down.
            let healed = stage.heal().context("the end of the faults");
            let hosted = hosting.join().map_err(|_| panicked())?;
            let visited = visiting.join().map_err(|_| panicked())?;
            happened.and(healed).and(hosted).and(visited)
        })?;
        chat.guest.bring_back_if_gone(&url)?;
        self.settle(chat, limit)
    }

    /// Waits until both sides have everything, for `limit` at most.
    ///
    /// # Errors
    /// When the browser or the host's client is gone.
    pub fn settle(&mut self, chat: &mut Chat, limit: Duration) -> Result<Outcome> {
        let begin = Instant::now();
        let mut right_since: Option<Instant> = None;
        let mut final_since: Option<Instant> = None;
        let findings = loop {
            let events = self.host.events().drain();
            chat.record.hear(events, &chat.room, &chat.ghost);
            chat.record.in_page = chat.guest.bubbles()?;
            let mut findings = chat.record.judge();
            if findings.is_empty() {
                let since = *right_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= QUIET {
                    break findings;
                }
            } else {
                right_since = None;
                let is_final = findings.iter().all(Finding::is_final);
                final_since = final_since.filter(|_| is_final);
                let is_final =
                    is_final && final_since.get_or_insert_with(Instant::now).elapsed() >= QUIET;
                if is_final || begin.elapsed() > limit {
                    let screen = chat.guest.screen()?;
                    if screen != "chat" {
                        findings.push(Finding::Complaint(chat.guest.text()?));
                    }
                    break findings;
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        let settled_after = right_since.map_or(begin.elapsed(), |since| since - begin);
        let mut findings = findings;
        findings.extend(chat.guest.complaints()?.into_iter().map(Finding::Complaint));
        let on_the_wire = self.stage.witness.complaints();
        let new = on_the_wire.get(chat.blamed..).unwrap_or_default();
        findings.extend(new.iter().cloned().map(Finding::OnTheWire));
        let record = &chat.record;
        Ok(Outcome {
            findings,
            said: (record.from_host.len(), record.from_guest.len()),
            settled_after,
        })
    }

    /// The host leaves, so that the next round has the homeserver to itself.
    ///
    /// # Errors
    /// When the host's client ended.
    pub fn close_chat(&mut self, chat: Chat) -> Result<()> {
        let path = format!("/_matrix/client/v3/rooms/{}/leave", chat.room);
        self.host
            .request("POST", &path, Some(&serde_json::json!({})))?;
        Ok(())
    }
}

impl Chat {
    /// The guest writes, and the page has kept it.
    ///
    /// # Errors
    /// When the page does not keep it.
    pub fn guest_says(&mut self, text: &str) -> Result<()> {
        anyhow::ensure!(self.guest.say_quickly(text)?, "no field to write in");
        self.guest.wait_shown(text)?;
        self.record.from_guest.push((text.to_owned(), true));
        Ok(())
    }
}

/// Performs each act at its time, or as soon as the one before is done.
fn follow<A>(
    script: &Script<A>,
    begin: Instant,
    failed: &AtomicBool,
    act: &mut impl FnMut(&A) -> Result<()>,
) -> Result<()> {
    for (at, next) in script {
        if failed.load(Ordering::Relaxed) {
            bail!("given up, because another part failed");
        }
        std::thread::sleep((begin + *at).saturating_duration_since(Instant::now()));
        let done = act(next);
        if done.is_err() {
            failed.store(true, Ordering::Relaxed);
        }
        done?;
    }
    Ok(())
}

fn host_acts(host: &mut NioHost, room: &str, act: &HostAct, said: &mut Vec<String>) -> Result<()> {
    match act {
        // The client tries until the homeserver answers, with one transaction id.
        HostAct::Say(text) => {
            host.send(room, text)?;
            said.push(text.clone());
            Ok(())
        }
        HostAct::Rotate => host.rotate(room),
    }
}

fn guest_acts(
    guest: &mut Guest,
    url: &str,
    act: &GuestAct,
    said: &mut Vec<(String, bool)>,
) -> Result<()> {
    match act {
        GuestAct::Say(text) => {
            if !guest.say_quickly(text).unwrap_or(false) {
                guest.bring_back(url)?;
                anyhow::ensure!(guest.say_quickly(text)?, "no field to write in");
            }
            guest.wait_shown(text)?;
            said.push((text.clone(), true));
        }
        // It may fail, with the bridge down; then somebody loads the page until it comes.
        GuestAct::Reload => {
            let _ = guest.reload();
            guest.bring_back_if_gone(url)?;
        }
        GuestAct::Kill { saying, down_ms } => {
            if let Some((text, after_ms)) = saying {
                guest.bring_back_if_gone(url)?;
                guest.say_quickly(text)?;
                said.push((text.clone(), false));
                std::thread::sleep(Duration::from_millis(*after_ms));
            }
            guest.kill()?;
            std::thread::sleep(Duration::from_millis(*down_ms));
            guest.revive()?;
            guest.bring_back(url)?;
        }
    }
    Ok(())
}

fn world_acts(stage: &mut Stage, act: &WorldAct) -> Result<()> {
    let at = |place| match place {
        Place::Homeserver => &stage.homeserver,
        Place::Appservice => &stage.appservice,
        Place::Page => &stage.page,
    };
    match act {
        WorldAct::Fail {
            place,
            fault,
            count,
        } => at(*place).plan(Call::ANY, *fault, *count),
        WorldAct::Cut(place) => at(*place).cut(),
        WorldAct::HalfOpen(way) => stage.page.swallow(*way),
        WorldAct::Slow(delay) => stage.page.slow_frames(*delay),
        WorldAct::Mend(place) => at(*place).mend(),
        WorldAct::Tear => stage.page.tear(),
        WorldAct::KillBridge { down_ms } => {
            stage.lab.bridge()?.kill();
            std::thread::sleep(Duration::from_millis(*down_ms));
            stage.lab.bridge()?.start_again()?;
        }
        WorldAct::KillHomeserver { down_ms } => {
            stage.lab.synapse()?.kill();
            std::thread::sleep(Duration::from_millis(*down_ms));
            stage.lab.synapse()?.restart()?;
        }
    }
    Ok(())
}

fn panicked() -> anyhow::Error {
    anyhow::anyhow!("a part of the round panicked")
}
