//! Lengths of time as hosts write them: `3d`, `12h`, `90 minutes`.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The seconds of a unit.
fn unit(name: &str) -> Option<u64> {
    match name {
        "m" | "min" | "mins" | "minute" | "minutes" => Some(MINUTE),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(HOUR),
        "d" | "day" | "days" => Some(DAY),
        "w" | "week" | "weeks" => Some(7 * DAY),
        _ => None,
    }
}

/// Whether this word is a unit, and so belongs to the number before it.
pub(super) fn is_unit(word: &str) -> bool {
    unit(&word.to_lowercase()).is_some()
}

/// Reads a whole number with its unit, written together or apart.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let text = text.to_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, name) = text.split_at_checked(digits)?;
    let seconds = number
        .parse::<u64>()
        .ok()?
        .checked_mul(unit(name.trim())?)?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_with_their_units() {
        let table = [
            ("3d", Some(3 * DAY)),
            ("3D", Some(3 * DAY)),
            ("1 day", Some(DAY)),
            ("12h", Some(12 * HOUR)),
            ("90m", Some(90 * MINUTE)),
            ("90 minutes", Some(90 * MINUTE)),
            ("2w", Some(14 * DAY)),
            ("0d", Some(0)),
            ("3", None),
            ("d", None),
            ("", None),
            ("-3d", None),
            ("1.5d", None),
            ("3 months", None),
            ("3d3", None),
            ("99999999999999999999d", None),
            ("9999999999999999999w", None),
            ("٣d", None),
        ];
        for (text, seconds) in table {
            assert_eq!(parse(text), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn units_are_known() {
        assert!(is_unit("Days") && is_unit("h") && is_unit("weeks"));
        assert!(!is_unit("Bob") && !is_unit("") && !is_unit("3d"));
    }
}
