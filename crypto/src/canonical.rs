//! Canonical JSON (Matrix specification, appendices, "Canonical JSON"): the one byte form of an
//! object that is signed.

use serde_json::{Map, Value};

use crate::compact::to_json;

/// Integers beyond this have no exact place in JSON numbers.
const LARGEST: i64 = (1 << 53) - 1;

/// Writes an object without its `signatures` and `unsigned` members; `None` if it holds a number
/// that canonical JSON doesn't know.
pub(crate) fn for_signing(object: &Map<String, Value>) -> Option<String> {
    let mut out = String::new();
    let members = object
        .iter()
        .filter(|(name, _)| *name != "signatures" && *name != "unsigned");
    write_object(members, &mut out)?;
    Some(out)
}

fn write_object<'a>(
    members: impl Iterator<Item = (&'a String, &'a Value)>,
    out: &mut String,
) -> Option<()> {
    // Sorted here, since the order of serde_json's map depends on a feature that any crate in the
    // build may switch on. Byte order of UTF-8 is the order of code points.
    let mut sorted: Vec<(&String, &Value)> = Vec::new();
    for member in members {
        let place = sorted.partition_point(|(name, _)| *name < member.0);
        sorted.insert(place, member);
    }
    out.push('{');
    for (position, (name, value)) in sorted.into_iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write_string(name, out)?;
        out.push(':');
        write_value(value, out)?;
    }
    out.push('}');
    Some(())
}

fn write_value(value: &Value, out: &mut String) -> Option<()> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => {
            let number = number.as_i64().filter(|n| n.abs() <= LARGEST)?;
            out.push_str(&to_json(&number)?);
        }
        Value::String(text) => write_string(text, out)?,
        Value::Array(values) => {
            out.push('[');
            for (position, value) in values.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write_value(value, out)?;
            }
            out.push(']');
        }
        Value::Object(members) => write_object(members.iter(), out)?,
    }
    Some(())
}

/// Compact JSON escapes exactly what canonical JSON asks for: quotes, backslashes and controls, the
/// latter in the short form where there is one.
fn write_string(text: &str, out: &mut String) -> Option<()> {
    out.push_str(&to_json(&text)?);
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn canonical(text: &str) -> Option<String> {
        for_signing(
            serde_json::from_str::<Value>(text)
                .unwrap()
                .as_object()
                .unwrap(),
        )
    }

    #[test]
    fn the_examples_of_the_specification() {
        for (input, expected) in [
            ("{}", "{}"),
            (r#"{ "one": 1, "two": "Two" }"#, r#"{"one":1,"two":"Two"}"#),
            (r#"{ "b": "2", "a": "1" }"#, r#"{"a":"1","b":"2"}"#),
            (
                r#"{"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"medium":"email","address":"john.doe@example.org"},{"medium":"msisdn","address":"123456789"}]}}}"#,
                r#"{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}"#,
            ),
            (r#"{"a":"日本語"}"#, r#"{"a":"日本語"}"#),
            (r#"{"本":2,"日":1}"#, r#"{"日":1,"本":2}"#),
            (r#"{"a":"\u65E5"}"#, r#"{"a":"日"}"#),
            (r#"{"a":null}"#, r#"{"a":null}"#),
        ] {
            assert_eq!(canonical(input).unwrap(), expected);
        }
    }

    #[test]
    fn signatures_and_unsigned_stay_out_only_at_the_top() {
        assert_eq!(
            canonical(r#"{"signatures":{"a":1},"unsigned":{},"x":{"signatures":1}}"#).unwrap(),
            r#"{"x":{"signatures":1}}"#
        );
    }

    #[test]
    fn numbers_outside_canonical_json_are_refused() {
        for number in ["1.5", "1e3", "-0", "9007199254740992", "-9007199254740992"] {
            assert_eq!(canonical(&format!("{{\"a\":{number}}}")), None, "{number}");
        }
        assert!(canonical(r#"{"a":-9007199254740991}"#).is_some());
    }

    #[test]
    fn controls_are_escaped_in_their_short_form() {
        assert_eq!(
            canonical(r#"{"a":"\u0008\u0009\u000a\u000c\u000d\u0001\u007f\"\\\/"}"#).unwrap(),
            "{\"a\":\"\\b\\t\\n\\f\\r\\u0001\u{7f}\\\"\\\\/\"}"
        );
    }
}
