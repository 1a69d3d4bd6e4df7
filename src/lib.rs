//! The shell of Vestibule: all the input and output, and no decisions. What is decided, is decided
//! in `vestibule-bridge`; what the homeserver is told and tells, goes through
//! `vestibule-appservice`; ciphertext passes through here and is never opened.

pub mod app;
pub mod bot;
pub mod catchup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deny;
pub mod doctor;
pub mod drive;
pub mod homeserver;
pub mod http;
pub mod hub;
pub mod inbound;
pub mod lifecycle;
pub mod limits;
pub mod listener;
pub mod moments;
pub mod ops;
pub mod outbox;
pub mod presence;
pub mod qr;
pub mod reaper;
pub mod reports;
pub mod safety;
pub mod seal;
pub mod store;
pub mod sweep;
pub mod tasks;
pub mod telemetry;
pub mod verify_page;
pub mod watch;
