//! A transcript is performed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::compare::{HostEvent, Said, Tally};
use crate::fate::CALM;
use crate::host::Host;
use crate::pair::Pair;
use crate::plan::{Act, Plan, Step};
use crate::sdk::Sdk;
use crate::server::{Post, Server};
use crate::tamper::tampered;
use crate::{BEGINNING, GUEST, GUEST_DEVICE, HOST, ROOM, TWIN};

mod listen;
mod speak;

/// How long ours keeps a replaced Megolm session.
const GRACE: u64 = 8 * 24 * 3_600_000;

/// Where the machines part.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The transcript.
    pub seed: u64,
    /// What happened up to there.
    pub log: Vec<String>,
    /// In what.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.log {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "transcript {}: {}", self.seed, self.what)
    }
}

/// Performs the transcript of that seed.
///
/// # Errors
/// [`Difference`] where the machines part in a way that nobody has explained.
pub async fn run(seed: u64) -> Result<Tally, Difference> {
    let plan = Plan::new(seed);
    let mut world = World::new(&plan).await;
    let done = world.perform(&plan).await;
    done.map_err(|what| Difference {
        seed,
        log: world.log,
        what,
    })?;
    Ok(world.tally)
}

struct World {
    server: Server,
    now: u64,
    host: Host,
    pair: Pair,
    /// To-device events that come later than others, with their senders.
    late: Vec<(&'static str, String, Post)>,
    events: Vec<HostEvent>,
    said: Vec<Said>,
    /// The guests haven't been told of a change of the host's devices.
    untold: bool,
    /// A call was left half done: what is left of it must not have another fate for each.
    half_done: bool,
    unaccepted: bool,
    /// The host began without an identity.
    without_identity: bool,
    /// Ours has replaced an Olm session, for which the host gives it keys again.
    healed: bool,
    /// A claim of the guests brought no key.
    no_keys: bool,
    /// A call of the guests was interrupted.
    interrupted: bool,
    /// The host's devices to which a to-device event of the guests came damaged.
    damaged: BTreeSet<String>,
    tally: Tally,
    log: Vec<String>,
}

impl World {
    async fn new(plan: &Plan) -> Self {
        let mut server = Server::default();
        let now = BEGINNING;
        let mut pair = Pair::join(&mut server, now).await;
        let host = Host::new(plan, &mut server).await;
        pair.meet(&mut server, now).await;
        Self {
            server,
            now,
            host,
            pair,
            late: Vec::new(),
            events: Vec::new(),
            said: Vec::new(),
            untold: false,
            half_done: false,
            unaccepted: false,
            without_identity: !plan.cross_signed,
            healed: false,
            no_keys: false,
            interrupted: false,
            damaged: BTreeSet::new(),
            tally: Tally::default(),
            log: Vec::new(),
        }
    }

    async fn perform(&mut self, plan: &Plan) -> Result<(), String> {
        self.log.push(format!(
            "cross-signed {}, strict {}, rotation {}",
            plan.cross_signed, plan.strict, plan.rotation
        ));
        for step in &plan.steps {
            self.log
                .push(format!("{:?}, salt {:x}", step.act, step.salt));
            self.step(step).await?;
        }
        self.last_words().await
    }

    async fn step(&mut self, Step { act, salt }: &Step) -> Result<(), String> {
        let salt = *salt;
        match *act {
            Act::GuestsSay { fault, restart } => self.guests_say(fault, restart, salt).await?,
            Act::GuestsBurst => {
                for n in 0..101 {
                    self.guests_say(None, false, CALM).await?;
                    if let Some(said) = self.said.last_mut().filter(|_| n < 98) {
                        said.delivered = false;
                    }
                }
            }
            Act::HostSays { device, fault } => {
                let device = self.host.index(device);
                self.host_says(device, fault, salt).await?;
            }
            Act::HostRotates { device } => self.device(device).rotate(ROOM).await,
            Act::GuestsSync => self.guests_sync(salt).await?,
            Act::HostSyncs { device } => {
                let device = self.host.index(device);
                self.host_syncs(device).await;
            }
            Act::GuestsReorder => {
                self.server.reverse(GUEST, GUEST_DEVICE);
                self.server.reverse(TWIN, GUEST_DEVICE);
            }
            Act::HostReorders { device } => {
                let id = self.device(device).device_id().to_owned();
                self.server.reverse(HOST, &id);
            }
            Act::LateArrives => self.late_arrives(),
            Act::GuestsRestart => self.pair.restart(&self.server).await,
            Act::HostRestarts { device } => {
                let device = self.host.index(device);
                let sdk = &mut self.host.devices[device].sdk;
                if sdk.may_restart(&self.server).await {
                    sdk.restart().await;
                }
            }
            Act::TamperForGuests {
                tamper,
                event,
                draw,
            } => {
                let (Some(event), Some(other)) = (
                    self.events.get(event % self.events.len().max(1)),
                    self.events
                        .get(usize::try_from(draw % 61).unwrap() % self.events.len().max(1)),
                ) else {
                    return Ok(());
                };
                if event.tamper.is_some() || other.tamper.is_some() {
                    return Ok(());
                }
                let id = format!("$h{}:x", self.events.len());
                let (changed, tamper) = tampered(&event.event, &other.event, tamper, draw, &id);
                self.events.push(HostEvent {
                    event: changed,
                    body: event.body.clone(),
                    original: event.original,
                    tamper: Some(tamper),
                    sent_at: event.sent_at,
                    delivered_at: None,
                    ours: false,
                    twin: false,
                    between: false,
                    contested: false,
                });
            }
            Act::TamperForHost {
                tamper,
                event,
                draw,
            } => {
                let (Some(event), Some(other)) = (
                    self.said.get(event % self.said.len().max(1)),
                    self.said
                        .get(usize::try_from(draw % 61).unwrap() % self.said.len().max(1)),
                ) else {
                    return Ok(());
                };
                if event.tamper.is_some() || other.tamper.is_some() || !event.delivered {
                    return Ok(());
                }
                let id = format!("$g{}:x", self.said.len());
                let (ours, really) = tampered(&event.ours, &other.ours, tamper, draw, &id);
                let (twin, _) = tampered(&event.twin, &other.twin, tamper, draw, &id);
                self.said.push(Said {
                    ours,
                    twin,
                    delivered: true,
                    body: event.body.clone(),
                    tamper: Some(really),
                    verdicts: BTreeMap::new(),
                });
            }
            Act::HostAdds { signed } if self.host.devices.len() < 4 => {
                self.host.add(&mut self.server, signed).await;
                self.untold = true;
            }
            Act::HostSigns { device } => {
                let device = self.host.index(device);
                if self.host.has_identity && !self.host.devices[device].signed {
                    self.host.sign(&mut self.server, device).await;
                    self.untold = true;
                }
            }
            Act::HostRemoves { device } => {
                let device = self.host.index(device);
                if device != 0 {
                    self.host.remove(&mut self.server, device);
                    self.untold = true;
                }
            }
            Act::HostResets => {
                self.unaccepted |= self.host.has_identity;
                self.host.reset(&mut self.server).await;
                self.untold = true;
            }
            Act::GuestsAccept => self.guests_accept().await?,
            Act::DrainGuests => {
                self.server.drain(GUEST, GUEST_DEVICE);
                self.server.drain(TWIN, GUEST_DEVICE);
            }
            Act::DrainHost { device } => {
                let id = self.device(device).device_id().to_owned();
                self.server.drain(HOST, &id);
            }
            Act::GuestsRefill { killed } => {
                self.pair.ours.refill(&mut self.server, killed, self.now);
                self.pair.twin.count(&self.server).await;
                self.pair.twin.settle(&mut self.server, None).await.unwrap();
            }
            Act::HostRefills { device } => {
                let device = self.host.index(device);
                let sdk = &self.host.devices[device].sdk;
                sdk.count(&self.server).await;
                sdk.settle(&mut self.server, None).await.unwrap();
            }
            Act::Pass { ms } => self.now += ms,
            Act::Calm => self.calm().await?,
            Act::HostAdds { .. } => {}
        }
        Ok(())
    }

    fn device(&mut self, device: usize) -> &mut Sdk {
        let device = self.host.index(device);
        &mut self.host.devices[device].sdk
    }
}
