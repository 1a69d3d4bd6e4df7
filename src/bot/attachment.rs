//! A file that only the room can open. Source: client-server API, "Sending encrypted attachments".

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ctr::Ctr64BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use rand::Rng as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::clock::seeded_rng;

/// An encrypted file.
pub struct File {
    /// What is uploaded.
    pub ciphertext: Vec<u8>,
    /// What opens it, without its `url`.
    pub description: Map<String, Value>,
}

/// Encrypts a file under a key that is used for nothing else.
pub fn encrypted(mut file: Vec<u8>) -> Result<File, rand::rngs::SysError> {
    let mut rng = seeded_rng()?;
    let mut key = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut key[..]);
    // The second half counts the blocks. It begins with 0, so that no client's counter overflows.
    let mut iv = [0; 16];
    if let Some(random) = iv.first_chunk_mut::<8>() {
        rng.fill_bytes(random);
    }
    Ctr64BE::<Aes256>::new((&*key).into(), (&iv).into()).apply_keystream(&mut file);
    let description = json!({
        "v": "v2",
        "key": {
            "kty": "oct",
            "key_ops": ["encrypt", "decrypt"],
            "alg": "A256CTR",
            "k": URL_SAFE_NO_PAD.encode(*key),
            "ext": true,
        },
        "iv": STANDARD_NO_PAD.encode(iv),
        "hashes": { "sha256": STANDARD_NO_PAD.encode(Sha256::digest(&file)) },
    });
    Ok(File {
        ciphertext: file,
        description: match description {
            Value::Object(description) => description,
            _ => Map::new(),
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn a_file_opens_with_its_description_alone() {
        let plain = b"a picture".repeat(100);
        let file = encrypted(plain.clone()).unwrap();
        assert_ne!(file.ciphertext, plain);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let hash = text(&file.description["hashes"]["sha256"]);
        let own = STANDARD_NO_PAD.encode(Sha256::digest(&file.ciphertext));
        assert_eq!(hash, own);
        let key = URL_SAFE_NO_PAD
            .decode(text(&file.description["key"]["k"]))
            .unwrap();
        let iv = STANDARD_NO_PAD
            .decode(text(&file.description["iv"]))
            .unwrap();
        assert_eq!(iv[8..], [0; 8]);
        let mut opened = file.ciphertext;
        let cipher = Ctr64BE::<Aes256>::new_from_slices(&key, &iv);
        cipher.unwrap().apply_keystream(&mut opened);
        assert_eq!(opened, plain);
        // Never the same key or counter twice.
        let other = encrypted(plain).unwrap();
        assert_ne!(other.description["key"], file.description["key"]);
        assert_ne!(other.description["iv"], file.description["iv"]);
    }
}
