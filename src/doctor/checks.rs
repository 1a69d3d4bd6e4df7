//! One look after the other, from the homeserver's address to the page.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::json;
use vestibule_appservice::error::{CallError, CallErrorKind};
use vestibule_appservice::intent::{Homeserver, Site};
use vestibule_bridge::ghost::LOCALPART_PREFIX;
use vestibule_bridge::id::UserId;

use super::probe::{EVENT, Probe, Pushed};
use super::{Finding, Grade, TIMEOUT};
use crate::clock::Clock;

/// The first version of Synapse with all that is needed: devices for application services (MSC4190)
/// without a switch.
const FLOOR: (u32, u32) = (1, 141);
/// A version that must not be used.
const BROKEN: &str = "1.156.0";
/// How far the clocks of homeserver and bridge may be apart.
const SKEW: Duration = Duration::from_secs(30);
/// How long the homeserver has to push what was sent a moment ago, before it is sent once more.
const PUSH: Duration = Duration::from_secs(2);
/// How often it is sent. While Synapse recovers from a push that failed it forgets what is for devices.
const TRIES: u32 = 4;
/// The name of a ghost of the doctor's own, which no guest ever is, and of its device.
const GHOST: &str = "doctor";
const DEVICE: &str = "DOCTOR";

/// All that is looked at.
pub(super) struct Patient<'a> {
    pub client: &'a Homeserver,
    pub address: &'a str,
    pub bot: &'a UserId,
    pub server_name: &'a str,
    pub appservice_id: &'a str,
    pub public_url: &'a str,
    /// The page as it should be served; none when the program was built without it.
    pub page: Option<&'a [u8]>,
    pub clock: &'a dyn Clock,
    /// Random, for one event.
    pub marker: &'a str,
    /// Sees what the homeserver pushes; none when another process listens for it.
    pub probe: Option<&'a Probe>,
}

#[derive(Deserialize)]
struct Version {
    server_version: String,
}

impl Patient<'_> {
    /// Everything, in order; what builds on something that is wrong isn't looked at.
    pub(super) async fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.examine(&mut findings).await;
        findings.push(self.page().await);
        findings
    }

    async fn examine(&self, findings: &mut Vec<Finding>) {
        let site = match Site::new(self.address, TIMEOUT) {
            Ok(site) => site,
            Err(error) => return findings.push(wrong(format!("homeserver.address: {error}."))),
        };
        match site.get("/_matrix/client/versions").await {
            Ok(page) => {
                findings.push(well(format!("The homeserver answers at {}.", self.address)));
                findings.extend(self.clock(page.date.as_deref()));
            }
            Err(error) => {
                return findings.push(wrong(format!(
                    "The homeserver doesn't answer at {}: {error}. Does it run, and is `homeserver.address` right?",
                    self.address
                )));
            }
        }
        findings.push(version(&site).await);
        findings.push(accounts(&site).await);
        let known = self.token().await;
        let is_known = known.grade == Grade::Well;
        findings.push(known);
        if !is_known {
            return;
        }
        let namespace = self.namespace().await;
        let is_ours = namespace.grade == Grade::Well;
        findings.push(namespace);
        let Some(probe) = self.probe else {
            return findings.push(note(
                "Another process listens in the bridge's place, the running bridge I suppose. What the homeserver \
                 pushes can't be seen from here; write `doctor` in the admin room for that.",
            ));
        };
        let ping = self.ping().await;
        let is_reached = ping.grade == Grade::Well;
        findings.push(ping);
        if is_ours && is_reached {
            findings.extend(self.pushes(probe).await);
        }
    }

    fn clock(&self, date: Option<&str>) -> Option<Finding> {
        let theirs = httpdate::parse_http_date(date?).ok()?;
        let ours = UNIX_EPOCH + Duration::from_millis(self.clock.now().0);
        let apart = difference(theirs, ours);
        Some(if apart > SKEW {
            wrong(format!(
                "The clocks of homeserver and bridge are {} seconds apart. Deadlines need the right time: let both \
                 machines take it from a time server (NTP).",
                apart.as_secs()
            ))
        } else {
            well("The clocks of homeserver and bridge agree.")
        })
    }

    async fn token(&self) -> Finding {
        match self.client.as_user(self.bot.as_str()).whoami().await {
            Ok(user) if user == self.bot.as_str() => {
                well(format!("The homeserver knows the as_token, and the bot {user}."))
            }
            Ok(user) => wrong(format!(
                "The homeserver takes the bot for {user}, and the configuration for {}. Are \
                 `appservice.bot_localpart` and `homeserver.domain` those of the registration?",
                self.bot
            )),
            Err(error) => wrong(match error.kind() {
                CallErrorKind::Unauthorized => "The homeserver doesn't know the as_token. Write the registration with \
                     `vestibule registration`, name the file under `app_service_config_files` in homeserver.yaml, and \
                     restart the homeserver."
                    .to_owned(),
                CallErrorKind::Refused { errcode } => format!(
                    "The homeserver refuses the bot {} ({errcode}). Are `homeserver.domain` and \
                     `appservice.bot_localpart` right? If they changed, write the registration anew.",
                    self.bot
                ),
                CallErrorKind::Later { .. } => {
                    format!("The homeserver could not say whether it knows the as_token: {error}.")
                }
            }),
        }
    }

    fn ghost(&self) -> UserId {
        UserId::new(format!("@{LOCALPART_PREFIX}{GHOST}:{}", self.server_name))
    }

    async fn namespace(&self) -> Finding {
        let registered = self.client.register(self.ghost().localpart()).await;
        match registered {
            Ok(()) => well("Guests can be registered."),
            Err(error) if error.errcode() == Some("M_USER_IN_USE") => {
                well("Guests can be registered.")
            }
            Err(error) => wrong(format!(
                "The homeserver doesn't let the bridge register {}: {error}. The registration's namespace doesn't fit: \
                 write it anew with `vestibule registration`, and restart the homeserver.",
                self.ghost()
            )),
        }
    }

    async fn ping(&self) -> Finding {
        let bot = self.client.as_user(self.bot.as_str());
        let Err(error) = bot.ping(self.appservice_id, self.marker).await else {
            return well("The homeserver reaches the bridge.");
        };
        wrong(match error.errcode() {
            Some("M_URL_NOT_SET") => "The registration has no URL. Write it anew with `vestibule registration`, and \
                 restart the homeserver."
                .to_owned(),
            Some("M_CONNECTION_FAILED" | "M_CONNECTION_TIMEOUT") => {
                "The homeserver doesn't reach the bridge. Is `appservice.address` the URL under which the homeserver \
                 sees it, and is nothing in between? After a change write the registration anew, and restart the \
                 homeserver."
                    .to_owned()
            }
            Some("M_BAD_STATUS") => "Something else than this bridge answers the homeserver, or the hs_token of the \
                 registration is another one. Write the registration anew, and restart the homeserver."
                .to_owned(),
            _ => format!(
                "The homeserver could not try to reach the bridge: {error}. Is `appservice.id` that of the registration?"
            ),
        })
    }

    /// Sends an event to a device of the doctor's, and looks how it comes back.
    async fn pushes(&self, probe: &Probe) -> Vec<Finding> {
        let ghost = self.ghost();
        let before = probe.pushed().transactions;
        let pushed = match self.sent_and_seen(&ghost, probe).await {
            Ok(pushed) => pushed,
            Err(error) => {
                return vec![wrong(format!(
                    "A device for a guest can't be made or written to: {error}. Is Synapse older than {}.{}?",
                    FLOOR.0, FLOOR.1
                ))];
            }
        };
        let device = self.client.as_user(ghost.as_str());
        // What is left of it harms nobody.
        let _left = device.delete_device(DEVICE).await;
        if pushed.marker.as_deref() != Some(self.marker) {
            let came = pushed.transactions > before;
            return vec![if (came || before > 0) && !pushed.refused {
                wrong(
                    "Room keys are not pushed. Set `msc2409_to_device_messages_enabled: true` under \
                     `experimental_features` in homeserver.yaml, see to it that the registration says \
                     `receive_ephemeral: true`, and restart the homeserver.",
                )
            } else {
                note(
                    "Whether room keys are pushed could not be seen: the homeserver held other things back for the \
                     bridge, as after a while in which it didn't reach it. Start the bridge, and write `doctor` in the \
                     admin room.",
                )
            }];
        }
        let counts = if pushed.counts {
            well("Counts of keys are pushed.")
        } else {
            wrong(
                "Changes of devices and counts of keys are not pushed. Set `msc3202_transaction_extensions: true` \
                 under `experimental_features` in homeserver.yaml, see to it that the registration says \
                 `org.matrix.msc3202: true`, and restart the homeserver.",
            )
        };
        vec![well("Room keys are pushed."), counts]
    }

    /// Sends the event until it is seen, or often enough; gives what was pushed by then.
    async fn sent_and_seen(&self, ghost: &UserId, probe: &Probe) -> Result<Pushed, CallError> {
        let user = self.client.as_user(ghost.as_str());
        user.put_device(DEVICE, "Vestibule doctor").await?;
        let device = self.client.as_user(ghost.as_str()).with_device(DEVICE);
        let messages = json!({ ghost.as_str(): { DEVICE: { "marker": self.marker } } });
        for number in 0..TRIES {
            let transaction = format!("{}-{number}", self.marker);
            device
                .send_to_device(EVENT, &transaction, &messages)
                .await?;
            let pushed = probe.wait(self.marker, PUSH).await;
            if pushed.marker.as_deref() == Some(self.marker) {
                return Ok(pushed);
            }
        }
        Ok(probe.pushed())
    }

    async fn page(&self) -> Finding {
        let Some(page) = self.page else {
            return wrong(
                "The program was built without its page; run `cargo xtask page`, then build it again.",
            );
        };
        let site = match Site::new(self.public_url, TIMEOUT) {
            Ok(site) => site,
            Err(error) => return wrong(format!("guests.public_url: {error}.")),
        };
        match site.get("/").await {
            Ok(found) if found.body == page => well(format!("The page is at {}.", self.public_url)),
            Ok(_) => wrong(format!(
                "There is something else than this bridge's page at {}. Is `guests.public_url` right, and does the \
                 proxy lead to `guests.listen`, path included?",
                self.public_url
            )),
            Err(error) => note(format!(
                "The page can't be reached from here at {}: {error}. If the bridge runs: is `guests.public_url` right, \
                 and does the proxy lead to `guests.listen`? A machine may also not reach its own public address.",
                self.public_url
            )),
        }
    }
}

async fn version(site: &Site) -> Finding {
    let Ok(page) = site.get("/_synapse/admin/v1/server_version").await else {
        return note(format!(
            "The homeserver's version could not be seen. Synapse must be {}.{} or later, and not {BROKEN}.",
            FLOOR.0, FLOOR.1
        ));
    };
    match serde_json::from_slice::<Version>(&page.body) {
        Ok(Version { server_version }) => judge(&server_version),
        Err(_) => note("The homeserver's version could not be read."),
    }
}

/// What a version of Synapse means.
fn judge(version: &str) -> Finding {
    let number = version.split_whitespace().next().unwrap_or_default();
    let mut parts = number.split('.');
    let mut next = || -> Option<u32> { parts.next()?.parse().ok() };
    let Some(known) = next().zip(next()) else {
        return note(format!(
            "The homeserver has the version {version}, which I don't understand."
        ));
    };
    if known < FLOOR {
        wrong(format!(
            "Synapse is {number}, and must be {}.{} or later.",
            FLOOR.0, FLOOR.1
        ))
    } else if number == BROKEN {
        wrong(format!(
            "Synapse is {BROKEN}, which doesn't work with bridges that have devices. Please update it."
        ))
    } else {
        well(format!("Synapse is {number}."))
    }
}

/// Under Matrix Authentication Service nobody but it deactivates accounts.
async fn accounts(site: &Site) -> Finding {
    match site.get("/_matrix/client/v1/auth_metadata").await {
        Ok(_) => note(
            "Accounts are kept by Matrix Authentication Service. It lets no bridge deactivate them, so the accounts of \
             guests stay after a chat, without devices and rooms.",
        ),
        Err(_) => well("The accounts of guests are deactivated after a chat."),
    }
}

fn difference(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other)
        .or_else(|_| other.duration_since(one))
        .unwrap_or_default()
}

fn well(words: impl Into<String>) -> Finding {
    Finding::new(Grade::Well, words)
}

fn note(words: impl Into<String>) -> Finding {
    Finding::new(Grade::Note, words)
}

fn wrong(words: impl Into<String>) -> Finding {
    Finding::new(Grade::Wrong, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_synapse_are_judged() {
        for (version, grade) in [
            ("1.163.2", Grade::Well),
            ("1.141.0", Grade::Well),
            ("1.141.0rc1", Grade::Well),
            ("2.0.0", Grade::Well),
            ("1.140.9", Grade::Wrong),
            ("0.99.5", Grade::Wrong),
            ("1.156.0", Grade::Wrong),
            ("1.156.1", Grade::Well),
            ("1.163.2 (b=develop,1234567)", Grade::Well),
            ("unknown", Grade::Note),
            ("", Grade::Note),
        ] {
            assert_eq!(judge(version).grade, grade, "{version}");
        }
    }
}
