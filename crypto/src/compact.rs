//! Compact JSON: what is written here, and pickles, which are what vodozemac keeps of an account or a
//! ratchet.
//!
//! serde_json reads and writes the same, but compiles its whole parser, and words for every mistake,
//! into the code of each of the some forty types that a pickle is made of. That was a fifth of what a
//! guest downloads. Here every type shares the same few functions, and there is one mistake. What
//! comes from others is read by serde_json. Like it, this reader puts the bytes of a key straight
//! into the type that wipes them.

use serde::Serialize;

mod mistake;
mod reader;
mod writer;

pub(crate) use reader::read;
pub(crate) use writer::write;

/// The value as JSON; `None` if it holds a fraction.
#[must_use]
pub fn to_json(value: &impl Serialize) -> Option<String> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};
    use serde_json::json;
    use vodozemac::Curve25519PublicKey;
    use vodozemac::megolm::{GroupSession, GroupSessionPickle, InboundGroupSession};
    use vodozemac::olm::{Account, AccountPickle, SessionConfig, SessionPickle};

    use super::*;

    fn written(value: &impl Serialize) -> Vec<u8> {
        let mut out = Vec::new();
        write(value, &mut out).unwrap();
        out
    }

    /// serde_json writes the same, reads what was written here, and is read here.
    fn agrees<T: Serialize + serde::de::DeserializeOwned>(value: &T) {
        let text = serde_json::to_vec(value).unwrap();
        assert_eq!(written(value), text);
        let read: T = read(&text).unwrap();
        assert_eq!(serde_json::to_vec(&read).unwrap(), text);
        for end in 0..text.len() {
            assert!(super::read::<T>(text.get(..end).unwrap()).is_none());
        }
        let longer = [text.as_slice(), b" "].concat();
        assert!(super::read::<T>(&longer).is_none());
    }

    #[test]
    fn pickles_are_read_and_written_as_serde_json_does() {
        let mut alice = Account::new();
        alice.generate_one_time_keys(3);
        alice.generate_fallback_key();
        alice.mark_keys_as_published();
        alice.generate_one_time_keys(2);
        alice.generate_fallback_key();
        let mut bob = Account::new();
        agrees::<AccountPickle>(&bob.pickle());
        agrees::<AccountPickle>(&alice.pickle());
        bob.generate_one_time_keys(1);
        let one_time_key = *bob.one_time_keys().values().next().unwrap();
        let config = SessionConfig::version_1();
        let mut to_bob = alice
            .create_outbound_session(config, bob.curve25519_key(), one_time_key)
            .unwrap();
        agrees::<SessionPickle>(&to_bob.pickle());
        let first = to_bob.encrypt("first").unwrap();
        let vodozemac::olm::OlmMessage::PreKey(first) = first else {
            unreachable!("an answer comes before")
        };
        let created = bob.create_inbound_session(config, alice.curve25519_key(), &first);
        let mut to_alice = created.unwrap().session;
        agrees::<SessionPickle>(&to_alice.pickle());
        // Skipped messages, and a ratchet that went to and fro.
        for _ in 0..3 {
            let _ = to_bob.encrypt("lost").unwrap();
        }
        for _ in 0..3 {
            let message = to_bob.encrypt("x").unwrap();
            to_alice.decrypt(&message).unwrap();
            let message = to_alice.encrypt("y").unwrap();
            to_bob.decrypt(&message).unwrap();
        }
        agrees::<SessionPickle>(&to_alice.pickle());
        agrees::<SessionPickle>(&to_bob.pickle());
        let mut group = GroupSession::new(Default::default());
        group.encrypt("x");
        agrees::<GroupSessionPickle>(&group.pickle());
        let mut inbound = InboundGroupSession::new(&group.session_key(), Default::default());
        inbound.advance_to(300);
        agrees(&inbound.pickle());
        agrees(&group.session_key());
        agrees(&[vodozemac::Ed25519SecretKey::new()]);
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Unit,
        Newtype(u8),
        Tuple(bool, u16),
        Struct { a: Option<u32>, b: () },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        A { n: u64 },
        B { list: Vec<String>, extra: bool },
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nothing;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair(u8, u8);

    #[test]
    fn every_shape_that_serde_knows_comes_back() {
        for shape in [
            Shape::Unit,
            Shape::Newtype(255),
            Shape::Tuple(true, 65_535),
            Shape::Struct { a: None, b: () },
            Shape::Struct { a: Some(0), b: () },
        ] {
            agrees(&shape);
        }
        agrees(&Tagged::A { n: u64::MAX });
        let list = vec!["ä".to_owned(), String::new()];
        agrees(&Tagged::B { list, extra: false });
        agrees(&BTreeMap::from([(7u64, Pair(1, 2)), (10, Pair(3, 4))]));
        agrees(&BTreeMap::from([
            ("name".to_owned(), Some(Nothing)),
            (String::from("x"), None),
        ]));
        agrees(&(
            Vec::<u8>::new(),
            [[0u8; 2]; 2],
            BTreeMap::<String, u8>::new(),
        ));
        // What a later version adds is left alone.
        let more = br#"{"type":"A","later":[{"x":[null,true,"y"]},1],"n":5}"#;
        assert_eq!(read::<Tagged>(more), Some(Tagged::A { n: 5 }));
    }

    #[test]
    fn any_json_without_fractions_is_written_as_serde_json_does() {
        let all: String = (0..0x300u32).filter_map(char::from_u32).collect();
        for value in [
            json!({"b": [1, -1, i64::MIN, u64::MAX, null, true, false, {}, [], ""], "a": {"ä\n": 0}}),
            json!(all),
            json!({ all: "🙂" }),
            json!([i8::MIN, i16::MIN, i32::MIN]),
        ] {
            assert_eq!(to_json(&value).unwrap(), value.to_string());
        }
        assert_eq!(to_json(&[0i64, 1, -1]).unwrap(), "[0,1,-1]");
        assert_eq!(to_json(&json!([1.5])), None);
        assert_eq!(to_json(&f32::NAN), None);
        assert_eq!(to_json(&'c'), None);
    }

    #[test]
    fn what_nests_too_deep_is_refused_and_what_stands_side_by_side_is_not() {
        let read_any = |text: String| read::<serde::de::IgnoredAny>(text.as_bytes()).is_some();
        for (open, inside, close) in [("[", "", "]"), (r#"{"a":"#, "0", "}")] {
            let nested = |depth| [open.repeat(depth), inside.into(), close.repeat(depth)].concat();
            assert!(read_any(nested(32)));
            assert!(!read_any(nested(33)));
        }
        assert!(read_any(format!("[{}[]]", "[],".repeat(40))));
        assert!(read_any(format!("[{}{{}}]", "{},".repeat(40))));
        let shapes: Vec<Shape> = (0..40).map(Shape::Newtype).collect();
        agrees(&shapes);
    }

    #[test]
    fn what_no_pickle_holds_is_refused() {
        for text in ["a\"b", "a\\b", "a\nb", "\u{1}"] {
            assert_eq!(read::<String>(&serde_json::to_vec(text).unwrap()), None);
        }
        for text in [
            "",
            "256",
            "-1",
            "1.5",
            "1e3",
            "99999999999999999999",
            " 1",
            "1 ",
            "null",
            "[1",
            "\"1\"",
        ] {
            assert_eq!(read::<u8>(text.as_bytes()), None, "{text}");
        }
        for text in ["[1,2,3]", "[1]", "[1,,2]", "[1 2]", "[,1,2]", "{}", "[1,2}"] {
            assert_eq!(read::<Pair>(text.as_bytes()), None, "{text}");
        }
        for text in [
            r#"{"type":"C"}"#,
            r#"{"n":1}"#,
            r#"{"type":"A"}"#,
            r#"{"type":"A","n":1,}"#,
        ] {
            assert_eq!(read::<Tagged>(text.as_bytes()), None, "{text}");
        }
        for text in [
            r#""Other""#,
            r#"{"Unit":1}"#,
            r#"{"Newtype":1"#,
            r#"{"Newtype":1,"Unit":null}"#,
            "{}",
        ] {
            assert_eq!(read::<Shape>(text.as_bytes()), None, "{text}");
        }
        assert_eq!(read::<String>(b"\"\xff\""), None);
        assert!(read::<Curve25519PublicKey>(b"[1,2,3]").is_none());
        let deep = "[".repeat(100_000);
        assert!(read::<serde::de::IgnoredAny>(deep.as_bytes()).is_none());
        let deep = r#"{"a":"#.repeat(100_000);
        assert!(read::<serde::de::IgnoredAny>(deep.as_bytes()).is_none());
    }
}
