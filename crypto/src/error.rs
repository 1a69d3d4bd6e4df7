//! What can go wrong, by who asked.

use thiserror::Error;

/// A call of the machine that couldn't be done. The state is as before, and the call may be made
/// again once its cause is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CryptoError {
    /// An argument isn't the JSON object that was expected.
    #[error("an argument is not the JSON that was expected")]
    BadInput,
    /// Something else must happen before a message can be encrypted: ask [`prepare`].
    ///
    /// [`prepare`]: crate::Machine::prepare
    #[error("prepare has more to do before a message can be encrypted")]
    NotReady,
    /// The text would make a ciphertext above the limit of a frame, 16 KiB.
    #[error("the text is longer than a message can be")]
    TooLong,
    /// The answer to a key query says nothing about anybody that this device has met.
    #[error("the answer holds no keys of a peer")]
    NoKeys,
    /// A user that this device never met.
    #[error("a user was named that was never met")]
    Stranger,
    /// State couldn't be written down; nothing may leave.
    #[error("the state could not be encoded")]
    Unencodable,
    /// A key couldn't be used although it was checked before.
    #[error("a key could not be used")]
    BadKey,
}

impl CryptoError {
    /// A stable name for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::BadInput => "bad_input",
            Self::NotReady => "not_ready",
            Self::TooLong => "too_long",
            Self::NoKeys => "no_keys",
            Self::Stranger => "stranger",
            Self::Unencodable => "unencodable",
            Self::BadKey => "bad_key",
        }
    }
}

/// Stored records that don't make a machine.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// A record that must be there is not.
    #[error("the record {0:?} is missing")]
    Missing(&'static str),
    /// A record of a kind this version doesn't know: the state was written by a later one.
    #[error("a record of an unknown kind")]
    Unknown,
    /// A record in a format this version doesn't know.
    #[error("a record of kind {kind:?} has the unknown format {version}")]
    Version {
        /// The kind of record.
        kind: &'static str,
        /// Its format number.
        version: u8,
    },
    /// A record that can't be read.
    #[error("a record of kind {0:?} is damaged")]
    Damaged(&'static str),
}

impl OpenError {
    /// A stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "records_missing",
            Self::Unknown | Self::Version { .. } => "records_newer",
            Self::Damaged(_) => "records_damaged",
        }
    }
}

/// Published keys that a bridge must not pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// A part is missing, has the wrong type, or is not among the parts that may be there.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// The keys name another user or device than the one they are for.
    #[error("{0} belongs to another user or device")]
    Mismatch(&'static str),
    /// A signature is missing or wrong.
    #[error("{0} is not signed as it must be")]
    Signature(&'static str),
    /// Too many or too few keys.
    #[error("{0} holds too many or too few keys")]
    Count(&'static str),
    /// More bytes than the keys of one device need.
    #[error("the keys are too large")]
    TooLarge,
}

/// Why an event that arrived was not used. None of these is the receiver's fault, and none changes
/// what was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its sender is nobody that this device has met.
    Stranger,
    /// Its type or algorithm isn't one that carries a room key here: forwarded keys, key requests,
    /// key bundles and anything unencrypted end here.
    Ignored,
    /// Not the shape it must have.
    Malformed,
    /// No Olm session decrypts it: damaged, repeated, or of a session that one side lost. A known
    /// device of a peer gets a new session then; see [`Machine::heal`].
    ///
    /// [`Machine::heal`]: crate::Machine::heal
    Olm,
    /// It holds no ciphertext for this device.
    NotForMe,
    /// The ids or keys inside the encryption disagree with those outside, or with this device.
    Mismatch,
    /// `sender_device_keys` are there and not valid.
    DeviceKeys,
    /// The sending device is not known or not signed by its owner. The key is held until its
    /// owner's keys are asked for again.
    UnknownDevice,
    /// The room key disagrees with one that is already there.
    Conflict,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page that is older than the machine, or newer, knows a failure by its code.
    #[test]
    fn codes_stay_what_they_are() {
        for (error, code) in [
            (CryptoError::BadInput, "bad_input"),
            (CryptoError::NotReady, "not_ready"),
            (CryptoError::TooLong, "too_long"),
            (CryptoError::NoKeys, "no_keys"),
            (CryptoError::Stranger, "stranger"),
            (CryptoError::Unencodable, "unencodable"),
            (CryptoError::BadKey, "bad_key"),
        ] {
            assert_eq!(error.code(), code);
        }
        let version = OpenError::Version {
            kind: "account",
            version: 3,
        };
        for (error, code) in [
            (OpenError::Missing("account"), "records_missing"),
            (OpenError::Unknown, "records_newer"),
            (version, "records_newer"),
            (OpenError::Damaged("account"), "records_damaged"),
        ] {
            assert_eq!(error.code(), code);
        }
    }
}
