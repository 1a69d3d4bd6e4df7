//! The name that a guest typed, made safe to show to a host.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::refusal::Refusal;

/// How many characters a name may have after trimming.
pub const NAME_LENGTH: usize = 40;

/// What follows every guest's name wherever a host sees it.
pub const LABEL: &str = " (Guest)";

/// A guest's name: 1 to 40 visible characters, composed (NFC), one space between words.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GuestName(String);

impl GuestName {
    /// Cleans what the guest typed. Characters that show nothing or turn the direction of the text
    /// are taken out, because they serve to imitate other names.
    pub fn parse(typed: &str) -> Result<Self, Refusal> {
        // A bound before any work: nobody types more, and normalising costs time.
        if typed.len() > 1024 {
            return Err(Refusal::BadName);
        }
        let name = visible_text(typed);
        let length = name.chars().count();
        if (1..=NAME_LENGTH).contains(&length) {
            Ok(Self(name))
        } else {
            Err(Refusal::BadName)
        }
    }

    /// The name without the label, for the guest's own page.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as the host sees it.
    #[must_use]
    pub fn labelled(&self) -> String {
        format!("{}{LABEL}", self.0)
    }
}

/// Names of persons stay out of logs.
impl fmt::Debug for GuestName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GuestName(…)")
    }
}

/// The text composed (NFC), without invisible characters, and with one space between words.
pub(crate) fn visible_text(text: &str) -> String {
    let visible: String = text
        .nfc()
        .map(blank_to_space)
        .filter(|c| is_visible(*c))
        .collect();
    visible
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn blank_to_space(c: char) -> char {
    if c.is_whitespace() { ' ' } else { c }
}

/// Leaves out control characters, bidirectional controls, and the characters of Unicode's
/// `Default_Ignorable_Code_Point` (UAX #44), which show nothing.
fn is_visible(c: char) -> bool {
    let ignorable = matches!(
        c,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    );
    let private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}');
    !c.is_control() && !ignorable && !private
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned() {
        let table = [
            ("Maya", "Maya"),
            ("  Maya  ", "Maya"),
            ("Maya \t\n van  Dyk", "Maya van Dyk"),
            ("Ma\u{200b}ya", "Maya"),
            ("\u{202e}ayaM\u{202c}", "ayaM"),
            ("Maya\u{0007}", "Maya"),
            ("Maya\u{00a0}\u{3000}Dyk", "Maya Dyk"),
            ("Maya\u{e001}", "Maya"),
            ("\u{feff}Maya", "Maya"),
            ("Maya\u{e0041}", "Maya"),
            ("Ame\u{0301}lie", "Amélie"),
            ("李小龍", "李小龍"),
            ("مايا", "مايا"),
            ("🦊", "🦊"),
            ("Maya (Guest)", "Maya (Guest)"),
        ];
        for (typed, expected) in table {
            let name = GuestName::parse(typed);
            assert_eq!(
                name.as_ref().map(GuestName::as_str),
                Ok(expected),
                "{typed:?}"
            );
        }
    }

    #[test]
    fn what_shows_nothing_or_too_much_is_no_name() {
        let table = [
            "",
            "   ",
            "\u{200b}\u{2060}",
            "\u{3164}",
            "\u{2800}",
            "\u{00ad}",
            "\u{202e}",
            "\n",
        ];
        for typed in table {
            assert_eq!(GuestName::parse(typed), Err(Refusal::BadName), "{typed:?}");
        }
        assert!(GuestName::parse(&"ä".repeat(NAME_LENGTH)).is_ok());
        assert_eq!(
            GuestName::parse(&"ä".repeat(NAME_LENGTH + 1)),
            Err(Refusal::BadName)
        );
        assert_eq!(GuestName::parse(&" ".repeat(2000)), Err(Refusal::BadName));
    }

    #[test]
    fn every_name_carries_the_label_and_stays_out_of_logs() {
        for typed in ["Maya", "Maya (Guest)", "Alice (admin)"] {
            let name = GuestName::parse(typed);
            assert_eq!(
                name.as_ref().map(GuestName::labelled),
                Ok(format!("{typed} (Guest)"))
            );
            assert!(!format!("{name:?}").contains(typed));
        }
    }
}
