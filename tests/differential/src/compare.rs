//! What both sides made of each event, and whether they may differ in it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use vestibule_crypto::Item;

use crate::pair::MISMATCHED;
use crate::plan::Tamper;
use crate::sdk::Verdict;

/// A difference that is there on purpose; `docs/differences.md` explains each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// A ciphertext that comes again as another event is refused, and read by matrix-sdk-crypto.
    Replay,
    /// Between a change of the host's identity and the guest's word the pinned identity goes on to
    /// say which devices are read; for matrix-sdk-crypto it is the new one at once.
    UnacceptedIdentity,
    /// Whether a device is trusted is judged when its key arrives. What came while the host had no
    /// identity is read on when there is one; matrix-sdk-crypto judges anew at each reading.
    FirstIdentity,
    /// Without an identity nothing says whose a device is that was gone before the guests asked:
    /// its late key is refused. matrix-sdk-crypto believes the device keys that came with it.
    GoneDevice,
    /// A device that lost an Olm session gets a new one and the keys again; matrix-sdk-crypto does
    /// the same, but not within the session's first hour, which is longer than a transcript. From
    /// then on the host gives its keys again to the one at other times than to the other.
    Healed,
    /// A message in another encoding than its sender's is refused, though everything in it that
    /// matrix-sdk-crypto looks at is authentic.
    Encoding,
    /// Old Megolm sessions are dropped after a grace; matrix-sdk-crypto keeps them for ever.
    Dropped,
    /// A one-time key is claimed for a device when it may be sent something; matrix-sdk-crypto
    /// claims for unsigned devices too, and has a session when the keys have run out.
    Unclaimed,
    /// The word that there is no key is worked out anew when a call was interrupted;
    /// matrix-sdk-crypto sends what it had written, also to a device that was signed meanwhile.
    StaleNotice,
}

/// How much was compared.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Verdicts of guests on events of the host.
    pub for_guests: u64,
    /// Verdicts of the host's devices on events of both guests.
    pub for_host: u64,
    /// Of all these, how many said that it is read.
    pub read: u64,
    /// To-device events taken in by both guests.
    pub to_device: u64,
    /// How often each known difference was met.
    pub known: BTreeMap<Known, u64>,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.for_guests += other.for_guests;
        self.for_host += other.for_host;
        self.read += other.read;
        self.to_device += other.to_device;
        for (known, count) in &other.known {
            *self.known.entry(*known).or_default() += count;
        }
    }

    fn note(&mut self, known: Known) {
        *self.known.entry(known).or_default() += 1;
    }
}

/// An event of the host, for both guests.
pub(crate) struct HostEvent {
    pub(crate) event: Value,
    pub(crate) body: String,
    /// The first event with this ciphertext.
    pub(crate) original: usize,
    pub(crate) tamper: Option<Tamper>,
    pub(crate) sent_at: u64,
    /// When the guests got it.
    pub(crate) delivered_at: Option<u64>,
    pub(crate) ours: bool,
    pub(crate) twin: bool,
    /// The guests got it while the host's identity had changed, before their word.
    pub(crate) between: bool,
    /// Ours read it then.
    pub(crate) contested: bool,
}

/// What may make the guests differ at the moment.
pub(crate) struct Now {
    /// The host's identity has changed and no guest has said a word on it.
    pub(crate) unaccepted: bool,
    /// The host began without an identity.
    pub(crate) without_identity: bool,
    /// Ours has replaced an Olm session.
    pub(crate) healed: bool,
    /// The host's devices that count under the identity that the host has.
    pub(crate) devices: Vec<String>,
    /// A claim of the guests brought no key.
    pub(crate) no_keys: bool,
    /// A call of the guests was interrupted.
    pub(crate) interrupted: bool,
    /// The host's devices to which a to-device event of the guests came damaged.
    pub(crate) damaged: BTreeSet<String>,
}

impl HostEvent {
    pub(crate) fn id(&self) -> &str {
        self.event["event_id"].as_str().unwrap()
    }
}

/// Takes over what ours reads.
pub(crate) fn take_items(
    events: &mut [HostEvent],
    items: &[Item],
    unaccepted: bool,
) -> Result<(), String> {
    for item in items {
        let Item::Text {
            event_id,
            sender,
            body,
            ..
        } = item
        else {
            continue;
        };
        let event = events
            .iter_mut()
            .find(|event| event.id() == event_id)
            .ok_or("an event that never was")?;
        if event.ours || *body != event.body || sender != crate::HOST {
            return Err(format!("ours reads {event_id} as {body:?} of {sender}"));
        }
        event.ours = true;
        event.contested = unaccepted;
    }
    Ok(())
}

/// Takes over what the twin reads.
pub(crate) fn take_verdict(event: &mut HostEvent, verdict: &Verdict) -> Result<(), String> {
    if let Verdict::Read { sender, body, .. } = verdict {
        if *body != event.body || sender != crate::HOST {
            return Err(format!("the twin reads {} as {body:?}", event.id()));
        }
        event.twin = true;
    }
    Ok(())
}

/// Compares what the guests made of the host's events.
pub(crate) fn compare_guests(
    events: &[HostEvent],
    now: &Now,
    grace: u64,
    tally: &mut Tally,
) -> Result<(), String> {
    for (first, event) in events.iter().enumerate() {
        if event.original != first {
            continue;
        }
        // The same ciphertext of the same sender in the same room, under one or more ids.
        let alike = |tamper| matches!(tamper, None | Some(Tamper::Id | Tamper::Device));
        let delivered = |e: &&HostEvent| e.original == first && e.delivered_at.is_some();
        let group: Vec<_> = events.iter().filter(delivered).collect();
        let (same, changed): (Vec<_>, Vec<_>) = group.into_iter().partition(|e| alike(e.tamper));
        for read in changed.iter().filter(|e| e.ours || e.twin) {
            if read.ours || read.tamper != Some(Tamper::Bit) {
                return Err(format!("{} was changed and is read", read.id()));
            }
            tally.note(Known::Encoding);
        }
        tally.for_guests += (same.len() + changed.len()) as u64;
        let ours = same.iter().filter(|e| e.ours).count();
        let twin = same.iter().filter(|e| e.twin).count();
        tally.read += twin as u64;
        if ours > 1 {
            return Err(format!("{} is read twice", event.id()));
        }
        if twin > 1 && ours == 1 {
            tally.note(Known::Replay);
        }
        if (ours > 0) == (twin > 0) {
            continue;
        }
        let late = same
            .iter()
            .filter_map(|e| e.delivered_at)
            .any(|at| at.saturating_sub(event.sent_at) > grace);
        let contested = same.iter().any(|e| e.contested);
        // Of a device that was gone before the word, or that the identity then has not signed,
        // nothing says any more whose it was.
        let device = event.event["content"]["device_id"]
            .as_str()
            .unwrap_or_default();
        let gone = !now.devices.iter().any(|known| known == device);
        let between = same.iter().any(|e| e.between);
        if twin > 0 && (now.unaccepted || between && gone) || ours > 0 && contested {
            tally.note(Known::UnacceptedIdentity);
        } else if ours > 0 && now.without_identity {
            tally.note(Known::FirstIdentity);
        } else if twin > 0 && now.without_identity && gone {
            tally.note(Known::GoneDevice);
        } else if now.healed {
            // The host gave its keys again to whoever began an Olm session last.
            tally.note(Known::Healed);
        } else if twin > 0 && late {
            tally.note(Known::Dropped);
        } else {
            return Err(format!("{}: ours {ours}, the twin {twin}", event.id()));
        }
    }
    Ok(())
}

/// An event of each guest, for the host.
pub(crate) struct Said {
    pub(crate) ours: Value,
    pub(crate) twin: Value,
    /// Whether anybody brings it to the host.
    pub(crate) delivered: bool,
    pub(crate) body: String,
    pub(crate) tamper: Option<Tamper>,
    /// What each device of the host made of it.
    pub(crate) verdicts: BTreeMap<String, [Verdict; 2]>,
}

/// Compares what the host's devices made of both guests' events.
pub(crate) fn compare_host(said: &[Said], now: &Now, tally: &mut Tally) -> Result<(), String> {
    for said in said {
        for (device, [ours, twin]) in &said.verdicts {
            tally.for_host += 1;
            tally.read += u64::from(ours.is_read());
            match (ours, twin) {
                (
                    Verdict::Read { body, state, .. },
                    Verdict::Read {
                        body: other,
                        state: shown,
                        ..
                    },
                ) => {
                    if body != other || *body != said.body || state != shown {
                        return Err(format!("{device}: {ours:?} and {twin:?}"));
                    }
                    // A host who doesn't exclude insecure devices is shown a false sender, and warned.
                    let warned = *state == MISMATCHED && said.tamper == Some(Tamper::Sender);
                    let changed = matches!(
                        said.tamper,
                        Some(Tamper::Sender | Tamper::Room | Tamper::Session)
                    );
                    if changed && !warned {
                        return Err(format!("{device} reads what was changed: {ours:?}"));
                    }
                }
                (Verdict::Refused(_), Verdict::Refused(_)) => {}
                // Each has its own bit turned over: which fault is found first is chance, and so is
                // whether it is one that matrix-sdk-crypto finds.
                _ if said.tamper == Some(Tamper::Bit) => {}
                (ours, twin) if ours == twin => {}
                // The keys came again for a new Olm session, which only one of them has.
                (Verdict::Read { .. }, Verdict::NoKey(None))
                | (Verdict::NoKey(None), Verdict::Read { .. })
                    if now.healed =>
                {
                    tally.note(Known::Healed);
                }
                // Which bit is turned over is the same, but not what stands there.
                (Verdict::Read { .. }, Verdict::NoKey(None))
                | (Verdict::NoKey(None), Verdict::Read { .. })
                    if now.damaged.contains(device) =>
                {
                    tally.note(Known::Encoding);
                }
                (Verdict::NoKey(_), Verdict::Read { .. })
                | (Verdict::NoKey(None), Verdict::NoKey(Some(_)))
                    if now.no_keys =>
                {
                    tally.note(Known::Unclaimed);
                }
                (Verdict::NoKey(None), Verdict::NoKey(Some(_))) if now.interrupted => {
                    tally.note(Known::StaleNotice);
                }
                (ours, twin) => {
                    let id = &said.ours["event_id"];
                    return Err(format!(
                        "{device}, {id}: ours {ours:?}, the twin's {twin:?}"
                    ));
                }
            }
        }
    }
    Ok(())
}
