//! Section `guests`: how guests reach the bridge, and the rules for them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use vestibule_bridge::policy::{GuestRate, Limits, Moments, Times};

use super::{ConfigError, Organisation, invalid, is_http_url};
use crate::http::crowd::Allowance;
use crate::http::visitor::ForwardedHeader;

const MINUTE: f64 = 60.0;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;
/// Ten years.
const LONGEST: f64 = 3650.0 * DAY;

/// Section `guests`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guests {
    /// Where the bridge listens for guests, usually behind a proxy that adds TLS.
    pub listen: SocketAddr,
    /// The URL under which guests reach it; links are `<public_url>/#<token>`.
    pub public_url: String,
    /// How many days an unused link lives.
    #[serde(default = "Defaults::link_days")]
    pub link_days: f64,
    /// The shortest life that a host may choose for a link, in minutes.
    #[serde(default = "Defaults::shortest_link_minutes")]
    pub shortest_link_minutes: f64,
    /// The longest one, in days.
    #[serde(default = "Defaults::longest_link_days")]
    pub longest_link_days: f64,
    /// After how many days without a message a chat ends.
    #[serde(default = "Defaults::idle_days")]
    pub idle_days: f64,
    /// How many hours before that both sides are warned; at most half of `idle_days`.
    #[serde(default = "Defaults::warning_hours")]
    pub warning_hours: f64,
    /// After how many days a host is told that a guest didn't come for a message.
    #[serde(default = "Defaults::absence_days")]
    pub absence_days: f64,
    /// How many days the rows of an ended chat stay when its browser heard of the end.
    #[serde(default = "Defaults::keep_acknowledged_days")]
    pub keep_acknowledged_days: f64,
    /// How many days they stay when it didn't.
    #[serde(default = "Defaults::keep_chat_days")]
    pub keep_chat_days: f64,
    /// How many days a link that is over stays known, for `renew`.
    #[serde(default = "Defaults::keep_link_days")]
    pub keep_link_days: f64,
    /// How many unused links a host may have.
    #[serde(default = "Defaults::open_links")]
    pub open_links: usize,
    /// How many chats a host may have at once.
    #[serde(default = "Defaults::open_chats")]
    pub open_chats: usize,
    /// How many links a host may make in 24 hours.
    #[serde(default = "Defaults::links_a_day")]
    pub links_a_day: usize,
    /// How many unused links there may be on the whole bridge.
    #[serde(default = "Defaults::bridge_links")]
    pub bridge_links: u64,
    /// How many chats there may be on the whole bridge at once.
    #[serde(default = "Defaults::bridge_chats")]
    pub bridge_chats: u64,
    /// Proxies in front of the bridge, as addresses or networks: only they are believed when they
    /// say from where a visitor comes.
    #[serde(default)]
    pub trusted_proxies: Vec<String>,
    /// The header in which they say it.
    #[serde(default)]
    pub forwarded_header: ForwardedHeader,
    /// How often links may be tried from one address at once.
    #[serde(default = "Defaults::address_tries")]
    pub address_tries: u32,
    /// How often per minute after that.
    #[serde(default = "Defaults::address_tries_per_minute")]
    pub address_tries_per_minute: f64,
    /// How many chats may be connected from one address at once.
    #[serde(default = "Defaults::address_sockets")]
    pub address_sockets: usize,
    /// Whether the bot also gives a link as a QR code.
    #[serde(default = "Defaults::qr_code")]
    pub qr_code: bool,
    /// The longest encrypted message, in bytes.
    #[serde(default = "Defaults::message_bytes")]
    pub message_bytes: usize,
    /// How many messages a guest may send at once.
    #[serde(default = "Defaults::burst")]
    pub burst: u32,
    /// How many messages a guest may send per second after that.
    #[serde(default = "Defaults::messages_per_second")]
    pub messages_per_second: f64,
    /// Whether host and guest see each other type.
    #[serde(default = "Defaults::typing")]
    pub typing: bool,
    /// Whether host and guest see how far the other has read.
    #[serde(default = "Defaults::read_receipts")]
    pub read_receipts: bool,
    /// Whether hosts see, where their homeserver has presence, that a guest's page is open.
    #[serde(default = "Defaults::presence")]
    pub presence: bool,
    /// Who runs this, as guests read it.
    #[serde(default)]
    pub organisation: Organisation,
}

/// The values of keys that aren't given.
struct Defaults;

impl Defaults {
    fn link_days() -> f64 {
        7.0
    }
    fn shortest_link_minutes() -> f64 {
        Times::default().shortest_link.as_secs_f64() / MINUTE
    }
    fn longest_link_days() -> f64 {
        Times::default().longest_link.as_secs_f64() / DAY
    }
    fn idle_days() -> f64 {
        10.0
    }
    fn warning_hours() -> f64 {
        Times::default().warning.as_secs_f64() / HOUR
    }
    fn absence_days() -> f64 {
        Times::default().absence.as_secs_f64() / DAY
    }
    fn keep_acknowledged_days() -> f64 {
        Times::default().keep_acknowledged.as_secs_f64() / DAY
    }
    fn keep_chat_days() -> f64 {
        Times::default().keep_chat.as_secs_f64() / DAY
    }
    fn keep_link_days() -> f64 {
        Times::default().keep_link.as_secs_f64() / DAY
    }
    fn open_links() -> usize {
        20
    }
    fn open_chats() -> usize {
        50
    }
    fn links_a_day() -> usize {
        Limits::default().links_a_day
    }
    fn bridge_links() -> u64 {
        Limits::default().bridge_links
    }
    fn bridge_chats() -> u64 {
        Limits::default().bridge_chats
    }
    fn address_tries() -> u32 {
        100
    }
    fn address_tries_per_minute() -> f64 {
        60.0
    }
    fn address_sockets() -> usize {
        200
    }
    fn qr_code() -> bool {
        true
    }
    fn message_bytes() -> usize {
        16 * 1024
    }
    fn burst() -> u32 {
        10
    }
    fn messages_per_second() -> f64 {
        1.0
    }
    fn typing() -> bool {
        Moments::default().typing
    }
    fn read_receipts() -> bool {
        Moments::default().receipts
    }
    fn presence() -> bool {
        Moments::default().presence
    }
}

impl Guests {
    /// Checks what doesn't depend on other sections.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if !is_http_url(&self.public_url) || self.public_url.contains(['#', '?']) {
            return invalid(
                "guests.public_url",
                "must be a URL such as https://chat.example.org, without # and ?",
            );
        }
        self.link_lifetime()?;
        self.idle_limit()?;
        let times = self.times()?;
        if times.shortest_link > times.longest_link {
            return invalid(
                "guests.shortest_link_minutes",
                "must not be longer than guests.longest_link_days",
            );
        }
        if self.links_a_day == 0 {
            return invalid("guests.links_a_day", "must be at least 1");
        }
        if self.bridge_links == 0 {
            return invalid("guests.bridge_links", "must be at least 1");
        }
        if self.bridge_chats == 0 {
            return invalid("guests.bridge_chats", "must be at least 1");
        }
        self.proxies()?;
        if self.address_tries == 0 {
            return invalid("guests.address_tries", "must be at least 1");
        }
        if !(self.address_tries_per_minute > 0.0 && self.address_tries_per_minute <= 60_000.0) {
            return invalid(
                "guests.address_tries_per_minute",
                "must be above 0 and at most 60000",
            );
        }
        if self.address_sockets == 0 {
            return invalid("guests.address_sockets", "must be at least 1");
        }
        if self.burst == 0 {
            return invalid("guests.burst", "must be at least 1");
        }
        if !(self.messages_per_second > 0.0 && self.messages_per_second <= 1000.0) {
            return invalid(
                "guests.messages_per_second",
                "must be above 0 and at most 1000",
            );
        }
        if !(1024..=60_000).contains(&self.message_bytes) {
            return invalid("guests.message_bytes", "must be from 1024 to 60000");
        }
        self.organisation.validate()
    }

    pub(super) fn link_lifetime(&self) -> Result<Duration, ConfigError> {
        time("guests.link_days", self.link_days, DAY)
    }

    pub(super) fn idle_limit(&self) -> Result<Duration, ConfigError> {
        time("guests.idle_days", self.idle_days, DAY)
    }

    pub(super) fn rate(&self) -> GuestRate {
        GuestRate {
            burst: self.burst,
            interval: Duration::from_secs_f64(1.0 / self.messages_per_second),
        }
    }

    pub(super) fn times(&self) -> Result<Times, ConfigError> {
        Ok(Times {
            shortest_link: time(
                "guests.shortest_link_minutes",
                self.shortest_link_minutes,
                MINUTE,
            )?,
            longest_link: time("guests.longest_link_days", self.longest_link_days, DAY)?,
            warning: time("guests.warning_hours", self.warning_hours, HOUR)?,
            absence: time("guests.absence_days", self.absence_days, DAY)?,
            keep_acknowledged: time(
                "guests.keep_acknowledged_days",
                self.keep_acknowledged_days,
                DAY,
            )?,
            keep_chat: time("guests.keep_chat_days", self.keep_chat_days, DAY)?,
            keep_link: time("guests.keep_link_days", self.keep_link_days, DAY)?,
            ..Times::default()
        })
    }

    pub(super) fn moments(&self) -> Moments {
        Moments {
            typing: self.typing,
            receipts: self.read_receipts,
            presence: self.presence,
        }
    }

    /// How much one address may.
    pub(crate) fn allowance(&self) -> Allowance {
        Allowance {
            tries: self.address_tries,
            interval: Duration::from_secs_f64(MINUTE / self.address_tries_per_minute),
            sockets: self.address_sockets,
        }
    }

    /// Who is believed when they say from where a visitor comes.
    pub(crate) fn proxies(&self) -> Result<Vec<IpNet>, ConfigError> {
        let network = |text: &String| {
            let address = text.parse().map(|address: IpAddr| IpNet::from(address));
            let network = address.ok().or_else(|| text.parse().ok());
            network.map_or_else(
                || {
                    let problem = "must be addresses or networks such as 10.0.0.0/8";
                    invalid("guests.trusted_proxies", problem)
                },
                Ok,
            )
        };
        self.trusted_proxies.iter().map(network).collect()
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            links_a_day: self.links_a_day,
            bridge_links: self.bridge_links,
            bridge_chats: self.bridge_chats,
        }
    }
}

/// The same, given in days.
pub(super) fn days(key: &'static str, amount: f64) -> Result<Duration, ConfigError> {
    time(key, amount, DAY)
}

/// A length of time, given in units of so many seconds.
fn time(key: &'static str, amount: f64, unit: f64) -> Result<Duration, ConfigError> {
    let seconds = amount * unit;
    if seconds > 0.0 && seconds <= LONGEST {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        invalid(key, "must be above 0 and at most ten years")
    }
}
