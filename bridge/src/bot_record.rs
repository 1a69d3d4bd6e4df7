//! What is stored of the bot's own device.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A record of the bot's crypto machine, in the machine's own format. It holds private keys: it is
/// wiped when it is dropped, and not printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct BotRecord(pub Vec<u8>);

impl fmt::Debug for BotRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BotRecord(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_not_printed() {
        let record = BotRecord(b"a private key".to_vec());
        assert_eq!(format!("{record:?}"), "BotRecord(…)");
    }
}
