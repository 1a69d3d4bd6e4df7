//! The domain of Vestibule: what a link, a guest and a portal are, and what follows from what.
//!
//! Pure and synchronous: no network, no disk, no clock, no randomness of its own. The shell hands
//! in an [`Input`](input::Input), a view of what is stored ([`Facts`](store::Facts)), the
//! [`Policy`](policy::Policy), the time and a source of randomness; [`decide`](bridge::decide)
//! hands back what to store and what to do, or a [`Refusal`](refusal::Refusal) with words for the
//! person.

pub mod alarm;
pub mod audit;
pub mod block;
pub mod bot_record;
pub mod bridge;
pub mod command;
pub mod count;
pub mod effect;
pub mod frame;
pub mod ghost;
pub mod guest;
pub mod host;
pub mod id;
pub mod input;
pub mod link;
pub mod passcode;
pub mod permission;
pub mod policy;
pub mod portal;
pub mod refusal;
pub mod report;
pub mod steering;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
pub mod visit;

mod book;
mod content;
mod delay;
mod done;
mod draft;
mod end;
mod guest_input;
mod host_input;
mod join;
mod management;
mod notice;
mod opening;
// The targets of the fuzzer, which the tests replay, call this crate by its name.
#[cfg(test)]
extern crate self as vestibule_bridge;
#[cfg(test)]
mod tests;
mod upkeep;
mod words;

pub use host_input::was_relayed;
pub use management::reset_words;
