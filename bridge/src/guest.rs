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
