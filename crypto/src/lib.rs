//! The crypto machine: Olm and Megolm for one device of one Matrix user, and the checks a bridge makes on keys that it is handed.
//!
//! It is synchronous and does no I/O. Time is an argument, in milliseconds since the Unix epoch;
//! randomness is drawn by vodozemac when it makes a key. Each call that changes state returns the
//! [`Changes`] with its result, and the caller stores them durably before anything leaves or is
//! shown: a ratchet step that was sent but not stored would be taken a second time after a restart.
//!
//! The same code runs in the browser, as the guest's device, and natively, as the bot's. The feature
//! `bot` adds what only the latter may do.

mod canonical;
mod compact;
mod content;
mod encoding;
mod error;
mod healing;
mod identity;
mod inbound;
mod keys;
mod machine;
mod message;
mod object;
mod olm;
mod outbound;
mod peer;
mod place;
mod published;
mod records;
mod safety;
mod signing;

pub use compact::to_json;
pub use content::{Item, Ring, TextKind, Undecryptable, Unsupported};
pub use encoding::{decode_base64, encode_base64};
pub use error::{CryptoError, KeyError, OpenError, Refused};
pub use identity::PublicKeys;
#[cfg(feature = "bot")]
pub use machine::{AnewError, Asked};
pub use machine::{
    Blocked, HostIdentity, KeysReceived, Machine, PeerKeys, Prepare, Received, Upload,
};
pub use message::Message;
pub use published::{
    VerifiedKeys, VerifiedOneTimeKeys, WrongHello, verify_hello, verify_one_time_keys,
    verify_public_keys,
};
pub use records::{Changes, Step};
pub use safety::safety_code;

/// The Olm algorithm, as Matrix names it.
pub(crate) const OLM: &str = "m.olm.v1.curve25519-aes-sha2";
/// The Megolm algorithm, as Matrix names it.
pub(crate) const MEGOLM: &str = "m.megolm.v1.aes-sha2";
