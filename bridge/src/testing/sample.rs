//! Rows to test with. Each is made from a number, and the same number gives the same row.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::guest::GuestName;
use crate::host::ManagementRoom;
use crate::id::{DeviceId, LinkId, PortalId, RoomId, UserId};
use crate::link::{Link, LinkState, TokenHash};
use crate::policy::{GuestRate, Limits, Moments, Permissions, Policy, Role, Times};
use crate::portal::{Portal, PortalState, Told};
use crate::refusal::Refusal;
use crate::time::Timestamp;
use crate::visit::Visit;

/// The server of all samples.
pub const SERVER: &str = "example.org";

/// A user of the samples' server.
#[must_use]
pub fn user(localpart: &str) -> UserId {
    UserId::new(format!("@{localpart}:{SERVER}"))
}

/// The ghost of this number.
#[must_use]
pub fn ghost(number: u64) -> UserId {
    user(&format!("_vestibule_{number}"))
}

/// A room.
#[must_use]
pub fn room(number: u64) -> RoomId {
    RoomId::new(format!("!room{number}:{SERVER}"))
}

/// Where this host writes to the bot: known to be direct, and not encrypted.
#[must_use]
pub fn management_room(room: RoomId, host: UserId) -> ManagementRoom {
    ManagementRoom {
        room,
        host,
        direct: true,
        encrypted: false,
        admin: false,
        looked: true,
        advised: true,
        unread_told: None,
    }
}

/// A policy under which everybody of the samples' server may have links, and nobody is held up by a
/// rate.
#[must_use]
pub fn policy() -> Policy {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    Policy {
        bot: user("guestbot"),
        server_name: SERVER.to_owned(),
        public_url: "https://chat.example.org".to_owned(),
        link_lifetime: 7 * DAY,
        idle_limit: 10 * DAY,
        open_links: 20,
        open_chats: 50,
        message_bytes: 16 * 1024,
        guest_rate: GuestRate {
            burst: 1000,
            interval: Duration::from_millis(1),
        },
        permissions: Permissions(BTreeMap::from([(SERVER.to_owned(), Role::Host)])),
        times: Times::default(),
        limits: Limits::default(),
        moments: Moments::default(),
    }
}

/// An open link of this host.
#[must_use]
pub fn link(number: u64, host: &UserId) -> Link {
    let mut hash = [0u8; 32];
    hash.iter_mut()
        .zip(number.to_be_bytes())
        .for_each(|(to, from)| *to = from);
    Link {
        id: LinkId::from_u128(number.into()),
        host: host.clone(),
        room: room(1_000_000),
        label: Some(format!("label {number}")),
        token_hash: TokenHash(hash),
        ghost: ghost(number),
        created_at: Timestamp(1_000),
        expires_at: Timestamp(2_000),
        state: LinkState::Open,
        number: 0,
        serial: 0,
        passcode: None,
        wrong_passcodes: 0,
        opened_at: None,
        chat_ended_at: None,
        alarm_at: None,
    }
}

/// An open portal with its own room, which came from the link of the same number.
///
/// Fails never in truth; the name's rules are what could refuse it.
pub fn portal(number: u64, host: &UserId, ends_at: Timestamp) -> Result<Portal, Refusal> {
    Ok(Portal {
        id: PortalId::from_u128(number.into()),
        link: LinkId::from_u128(number.into()),
        host: host.clone(),
        ghost: ghost(number),
        name: GuestName::parse("Maya")?,
        visit: Visit {
            device: DeviceId::new("ABCDEFGHIJ"),
            ed25519: format!("key{number}"),
            master: None,
            last_n: 0,
            rate: Timestamp(0),
            seen_at: Timestamp(0),
        },
        state: PortalState::Open {
            room: room(number),
            host_joined: false,
        },
        created_at: Timestamp(1_000),
        last_message_at: Timestamp(1_000),
        ends_at,
        last_seq: 0,
        told: Told::default(),
        alarm_at: None,
        host_read: None,
        put_back: None,
    })
}
