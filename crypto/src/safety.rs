//! The safety code: what two people read to each other to know that nobody sits between them.

use sha2::{Digest, Sha256};

use crate::encoding;

/// Keeps these hashes apart from all others.
const DOMAIN: &[u8] = b"vestibule-safety-code-v1";
/// Whoever sits between the two chooses a key for each side and looks for two pairs with the same
/// code, which takes about the square root of all codes in tries. So each try is made this much
/// dearer; and since the guest's keys are made when the link is opened, the search can't begin before.
const ROUNDS: usize = 4096;
/// Digits of a code: 80 bits but for a fifth of one.
const DIGITS: usize = 24;
/// Digits that stand together.
const GROUP: usize = 4;

/// The code of two identities, each a user id and their master key as unpadded base64: 24 decimal
/// digits in six groups of four, separated by spaces. Both sides get the same, whichever they name
/// first; another key or another user on either side gives another code. `None` if a key isn't an
/// Ed25519 key.
#[must_use]
pub fn safety_code(a: (&str, &str), b: (&str, &str)) -> Option<String> {
    let mut sides = [side(a)?, side(b)?];
    sides.sort_unstable();
    let mut hash = Sha256::new_with_prefix(DOMAIN);
    for side in &sides {
        hash.update(side);
    }
    let mut digest = hash.finalize();
    for _ in 1..ROUNDS {
        digest = Sha256::new_with_prefix(DOMAIN)
            .chain_update(digest)
            .finalize();
    }
    let (first, _) = digest.split_first_chunk::<16>()?;
    Some(decimal(*first))
}

/// The last digits of a number of 16 bytes, the highest first, in groups.
fn decimal(mut number: [u8; 16]) -> String {
    let mut code = String::new();
    for place in 0..DIGITS {
        // As on paper; the compiler's division of numbers of this size is a kilobyte of code.
        let mut rest = 0;
        for byte in &mut number {
            let part = rest << 8 | u16::from(*byte);
            *byte = (part / 10) as u8;
            rest = part % 10;
        }
        if place > 0 && place % GROUP == 0 {
            code.insert(0, ' ');
        }
        code.insert(0, char::from(b'0' + rest as u8));
    }
    code
}

/// One side as bytes: the length of the id first, so that no two sides read alike.
fn side((user_id, master): (&str, &str)) -> Option<Vec<u8>> {
    let key = encoding::ed25519(master)?;
    let length = u32::try_from(user_id.len()).ok()?;
    Some([&length.to_be_bytes(), user_id.as_bytes(), key.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const ALICE: &str = "@alice:example.org";
    const GHOST: &str = "@_vestibule_1:example.org";
    /// The public keys of the first two tests of RFC 8032.
    const ONE: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const TWO: &str = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw";

    #[test]
    fn known_answer() {
        // Worked out by another program, after the description above.
        let code = "0940 4974 9083 8483 3862 3777";
        assert_eq!(safety_code((ALICE, ONE), (GHOST, TWO)).unwrap(), code);
        assert_eq!(safety_code((GHOST, TWO), (ALICE, ONE)).unwrap(), code);
    }

    #[test]
    fn the_digits_are_those_of_the_number() {
        for (number, code) in [
            (0, "0000 0000 0000 0000 0000 0000"),
            (1, "0000 0000 0000 0000 0000 0001"),
            (10u128.pow(24) + 10, "0000 0000 0000 0000 0000 0010"),
            (
                123_456_789_012_345_678_901_234u128,
                "1234 5678 9012 3456 7890 1234",
            ),
            (u128::MAX, "4634 6337 4607 4317 6821 1455"),
        ] {
            assert_eq!(decimal(number.to_be_bytes()), code);
        }
    }

    #[test]
    fn every_part_counts() {
        let code = safety_code((ALICE, ONE), (GHOST, TWO));
        for (a, b) in [
            ((ALICE, TWO), (GHOST, TWO)),
            ((ALICE, ONE), (GHOST, ONE)),
            ((ALICE, TWO), (GHOST, ONE)),
            (("@alicf:example.org", ONE), (GHOST, TWO)),
            ((ALICE, ONE), ("@_vestibule_2:example.org", TWO)),
        ] {
            let other = safety_code(a, b);
            assert!(other.is_some() && other != code);
        }
    }

    #[test]
    fn what_is_no_key_has_no_code() {
        for key in ["", "A", "AAAA", &"A".repeat(44), &format!("{ONE}=")] {
            assert_eq!(safety_code((ALICE, key), (GHOST, TWO)), None);
            assert_eq!(safety_code((ALICE, ONE), (GHOST, key)), None);
        }
    }
}
