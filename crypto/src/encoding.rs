//! Base64 and fixed-size keys.

use vodozemac::{Curve25519PublicKey, Ed25519PublicKey, Ed25519Signature};

/// Unpadded standard base64, as Matrix writes binary data.
#[must_use]
pub fn encode_base64(bytes: &[u8]) -> String {
    vodozemac::base64_encode(bytes)
}

/// Decodes standard base64, with or without padding; `None` if it isn't any.
#[must_use]
pub fn decode_base64(text: &str) -> Option<Vec<u8>> {
    vodozemac::base64_decode(text).ok()
}

/// 32 bytes from their one base64 form. Any other spelling of the same bytes is refused, because
/// keys are compared as text and used as parts of key ids.
fn key_bytes(text: &str) -> Option<[u8; 32]> {
    let bytes: [u8; 32] = decode_base64(text)?.try_into().ok()?;
    (encode_base64(&bytes) == text).then_some(bytes)
}

/// An Ed25519 key from base64. The length is checked here: `Ed25519PublicKey::from_base64` of
/// vodozemac 0.11 panics on 44 characters that decode to 33 bytes.
pub(crate) fn ed25519(text: &str) -> Option<Ed25519PublicKey> {
    Ed25519PublicKey::from_slice(&key_bytes(text)?).ok()
}

/// A Curve25519 key from base64, refused if it is of small order (an exchange with such a key
/// yields the same secret whatever the other side holds) or not canonical.
pub(crate) fn curve25519(text: &str) -> Option<Curve25519PublicKey> {
    // A scalar is a multiple of eight, so any of them takes a key of small order to zero.
    const PROBE: [u8; 32] = [8; 32];
    let key = Curve25519PublicKey::from_bytes(key_bytes(text)?);
    let probe = vodozemac::Curve25519SecretKey::from_slice(&PROBE);
    (is_canonical(&key) && probe.diffie_hellman(&key).is_some()).then_some(key)
}

/// Whether the key is written as the smallest number it stands for. X25519 takes a number modulo
/// 2^255 - 19 and drops the highest bit, so each key has others that act alike and compare unequal
/// (RFC 7748, section 5).
pub(crate) fn is_canonical(key: &Curve25519PublicKey) -> bool {
    let [low, middle @ .., high] = key.as_bytes();
    *high < 0x7f || (*high == 0x7f && (*low < 0xed || middle.iter().any(|byte| *byte != 0xff)))
}

/// An Ed25519 signature from base64.
pub(crate) fn signature(text: &str) -> Option<Ed25519Signature> {
    Ed25519Signature::from_base64(text).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn keys_of_a_wrong_length_are_refused_without_a_panic() {
        for length in [0, 1, 31, 33, 34, 64] {
            let text = encode_base64(&vec![9; length]);
            assert!(ed25519(&text).is_none(), "{length} bytes");
            assert!(curve25519(&text).is_none(), "{length} bytes");
        }
        assert!(ed25519(&"A".repeat(44)).is_none());
        assert!(ed25519("ä").is_none());
    }

    #[test]
    fn a_key_has_one_spelling() {
        let text = encode_base64(&[9; 32]);
        assert!(curve25519(&text).is_some());
        assert!(curve25519(&format!("{text}=")).is_none());
    }

    #[test]
    fn curve25519_keys_are_canonical() {
        let mut bytes = [0xff; 32];
        bytes[31] = 0x7f;
        for (low, canonical) in [(0xec, true), (0xed, false), (0xee, false), (0xff, false)] {
            bytes[0] = low;
            assert_eq!(
                is_canonical(&Curve25519PublicKey::from_bytes(bytes)),
                canonical
            );
        }
        let mut key = [9; 32];
        assert!(curve25519(&encode_base64(&key)).is_some());
        key[31] |= 0x80;
        assert!(curve25519(&encode_base64(&key)).is_none());
    }

    #[test]
    fn curve25519_keys_of_small_order_are_refused() {
        // The seven encodings listed in RFC 7748's security considerations and by libsodium.
        let hex = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ];
        for key in hex {
            let bytes: Vec<u8> = (0..32)
                .map(|i| u8::from_str_radix(&key[2 * i..2 * i + 2], 16).unwrap())
                .collect();
            assert!(curve25519(&encode_base64(&bytes)).is_none(), "{key}");
        }
    }
}
