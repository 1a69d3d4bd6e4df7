//! The protocol between the bridge and its homeserver, in both directions and with no opinion on
//! what is said: the registration file, the transactions that the homeserver pushes
//! ([`http`], [`transaction`]), and a client that acts as the bot or a ghost ([`intent`]).
//!
//! Ids are plain strings and contents are JSON here. Paths, methods and authentication come from
//! ruma; answers are read leniently, so that one id which ruma finds odd can't make the rest of an
//! answer unreadable.

pub mod auth;
pub mod error;
pub mod http;
pub mod intent;
pub mod registration;
pub mod transaction;
