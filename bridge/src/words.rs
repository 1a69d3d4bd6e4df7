//! Helpers for what persons read.

use std::time::Duration;

use crate::effect::Words;

impl Words {
    /// Plain words; what stands between two backticks is set as code in the HTML.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let plain = text.into();
        let escaped = escape(&plain).replace('\n', "<br>");
        let parts: Vec<&str> = escaped.split('`').collect();
        // An even number of parts is an odd number of backticks: somebody's own.
        if parts.len().is_multiple_of(2) {
            return Self {
                html: escaped,
                plain,
            };
        }
        let set = |(place, part): (usize, &&str)| {
            if place % 2 == 1 {
                format!("<code>{part}</code>")
            } else {
                (*part).to_owned()
            }
        };
        Self {
            html: parts.iter().enumerate().map(set).collect(),
            plain,
        }
    }
}

/// Text as it must stand in HTML, attributes included.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// "1 link", "3 links".
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A length of time in the largest unit that says it exactly: "10 days", "1 hour".
pub(crate) fn in_words(duration: Duration) -> String {
    const UNITS: [(u64, &str); 3] = [(24 * 60 * 60, "day"), (60 * 60, "hour"), (60, "minute")];
    let seconds = duration.as_secs();
    let exact = UNITS
        .into_iter()
        .find(|(size, _)| seconds >= *size && seconds.is_multiple_of(*size));
    let (size, unit) = exact.unwrap_or((1, "second"));
    let count = seconds / size;
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// A length of time for people, to the nearest unit that says enough: "5 minutes", "24 hours",
/// "9 days".
pub(crate) fn roughly(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    // Each unit up to where the next one says it well.
    let seconds = duration.as_secs();
    let unit = match seconds {
        0..45 => return "less than a minute".to_owned(),
        45..3_570 => MINUTE,
        3_570..171_000 => HOUR,
        _ => DAY,
    };
    let rounded = seconds.saturating_add(unit / 2) / unit * unit;
    let (count, name) = match unit {
        MINUTE => (rounded / MINUTE, "minute"),
        HOUR => (rounded / HOUR, "hour"),
        _ => (rounded / DAY, "day"),
    };
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// A length of time for people, a little longer rather than shorter: tens of seconds, then minutes,
/// then hours.
pub(crate) fn about(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    let seconds = duration.as_secs().max(1);
    let unit = match seconds {
        ..=90 => 10,
        91..=5400 => MINUTE,
        _ => 60 * MINUTE,
    };
    in_words(Duration::from_secs(
        seconds.div_ceil(unit).saturating_mul(unit),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_the_largest_exact_unit() {
        let table = [
            (0, "0 seconds"),
            (1, "1 second"),
            (60, "1 minute"),
            (90, "90 seconds"),
            (3_600, "1 hour"),
            (36 * 3_600, "36 hours"),
            (24 * 3_600, "1 day"),
            (10 * 24 * 3_600, "10 days"),
        ];
        for (seconds, words) in table {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn rough_times_are_to_the_nearest_unit() {
        let table = [
            (0, "less than a minute"),
            (44, "less than a minute"),
            (45, "1 minute"),
            (89, "1 minute"),
            (90, "2 minutes"),
            (3_569, "59 minutes"),
            (3_570, "1 hour"),
            (5_399, "1 hour"),
            (5_400, "2 hours"),
            (24 * 3_600 - 5, "24 hours"),
            (47 * 3_600, "47 hours"),
            (171_000, "2 days"),
            (10 * 24 * 3_600 - 1, "10 days"),
        ];
        for (seconds, words) in table {
            assert_eq!(roughly(Duration::from_secs(seconds)), words, "{seconds}");
        }
        assert!(roughly(Duration::MAX).ends_with(" days"));
    }

    #[test]
    fn waiting_is_said_in_round_figures() {
        let table = [
            (0, "10 seconds"),
            (11, "20 seconds"),
            (59, "1 minute"),
            (61, "70 seconds"),
            (91, "2 minutes"),
            (3_600, "1 hour"),
            (5_401, "2 hours"),
        ];
        for (seconds, words) in table {
            assert_eq!(about(Duration::from_secs(seconds)), words, "{seconds}");
        }
    }

    #[test]
    fn html_says_the_same_as_the_plain_words() {
        let words = Words::new("<b>\"Tom & Jerry's\"</b>\nsecond");
        assert_eq!(
            words.html,
            "&lt;b&gt;&quot;Tom &amp; Jerry&#39;s&quot;&lt;/b&gt;<br>second"
        );
        assert_eq!(format!("{words:?}"), "Words(…)");
    }

    #[test]
    fn backticks_become_code_when_they_come_in_pairs() {
        assert_eq!(
            Words::new("write `help`, please").html,
            "write <code>help</code>, please"
        );
        assert_eq!(Words::new("one ` alone").html, "one ` alone");
    }
}
