//! The bridge as a whole, between a homeserver that is only a fake and people without browsers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod bridge;
mod flood;
mod front;
mod guest;
mod homeserver;
mod host;
mod web;
mod world;

mod admin;
mod bot;
mod bot_calls;
mod bot_device;
mod canary;
mod chat;
mod closed;
mod commands;
mod crash;
mod crowd;
mod damaged;
mod disk;
mod door;
mod encrypted;
mod end;
mod events;
mod files;
mod headers;
mod hello;
mod join;
mod links;
mod lost;
mod moments;
mod page;
mod qr;
mod questions;
mod reaper;
mod refused;
mod registration;
mod restored;
mod routes;
mod slow;
mod stop;
mod truth;
mod unread;
mod upkeep;
mod verify;
mod verify_page;
