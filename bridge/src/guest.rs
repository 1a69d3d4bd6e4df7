//! The name that a guest typed, made safe to show to a host.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_security::confusable_detection::skeleton;
use unicode_segmentation::UnicodeSegmentation as _;

use crate::id::UserId;
use crate::refusal::Refusal;

/// How many characters a name may have after trimming, as readers count them.
pub const NAME_LENGTH: usize = 40;
/// How many code points they may have together. An emoji or a letter with its marks has several.
const CODE_POINTS: usize = 120;
/// How many marks may follow one another. More are no writing but a smear over the lines above and
/// below (UTS #39, section 5.4).
const MARKS: usize = 4;
/// How many pictures a name may have. A row of them pushes the label out of view.
const PICTURES: usize = 8;

/// What follows every guest's name wherever a host sees it.
pub const LABEL: &str = " (Guest)";

/// A guest's name: 1 to 40 visible characters, composed (NFC), one space between words. Whatever it
/// is, the label follows it; one that looks like the label too is simply followed by the true one.
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
        let length = name.graphemes(true).count();
        let fits = (1..=NAME_LENGTH).contains(&length) && name.chars().count() <= CODE_POINTS;
        let pictures = name.chars().filter(|c| is_picture(*c)).count();
        // A mark at the beginning would sit on whatever a client shows before the name.
        let begins = !name.starts_with(is_combining_mark);
        if fits && begins && pictures <= PICTURES && marks_in_a_row(&name) <= MARKS && !is_id(&name)
        {
            Ok(Self(name))
        } else {
            Err(Refusal::BadName)
        }
    }

    /// Whether it can be taken for the name or id of this user.
    pub(crate) fn looks_like(&self, user: &UserId, display_name: &str) -> bool {
        let own = looks(&self.0);
        [display_name, user.localpart(), user.as_str()]
            .into_iter()
            .map(looks)
            .any(|other| own.iter().any(|look| other.contains(look)))
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

/// How a text looks to somebody who doesn't look closely, by UTS #39, without regard to case and to
/// what stands between the letters. Two ways, because of letters that look alike in one case only.
fn looks(text: &str) -> [String; 2] {
    let letters = |c: &char| c.is_alphanumeric() || is_combining_mark(*c);
    let bare = |look: String| {
        let letters: String = look.chars().filter(letters).collect();
        // Nothing but pictures: then they are the name.
        if letters.is_empty() { look } else { letters }
    };
    let text = visible_text(text);
    [
        bare(skeleton(&text.to_lowercase()).collect()),
        bare(skeleton(&text).collect::<String>().to_lowercase()),
    ]
}

/// Whether it reads as a Matrix id or alias, by which clients name others.
fn is_id(name: &str) -> bool {
    let skeleton: String = skeleton(name).collect();
    skeleton.starts_with(['@', '#', '!', '$']) && skeleton.contains(':')
}

fn marks_in_a_row(text: &str) -> usize {
    let row = |(row, longest): (usize, usize), c| {
        let row = if is_combining_mark(c) { row + 1 } else { 0 };
        (row, longest.max(row))
    };
    text.chars().fold((0, 0), row).1
}

/// The blocks of pictures, arrows and other signs that are no writing.
fn is_picture(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{2bff}' | '\u{fdfd}' | '\u{1f000}'..='\u{1fbff}' | '\u{12031}' | '\u{1242b}')
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
        assert_eq!(
            GuestName::parse(&"M".repeat(2 * 1024 * 1024)),
            Err(Refusal::BadName)
        );
    }

    #[test]
    fn hostile_names_are_refused() {
        let table = [
            // A smear over the neighbouring lines.
            format!("Z{}", "\u{0323}\u{0310}".repeat(3)),
            format!("Maya{}", "\u{20dd}".repeat(5)),
            // A mark that sits on whatever stands before the name.
            "\u{20e0}Maya".to_owned(),
            "\u{0338}".to_owned(),
            // So wide that the label is out of view.
            "🔥".repeat(PICTURES + 1),
            "\u{fdfd}".repeat(PICTURES + 1),
            "🇩🇪".repeat(5),
            // Few for the reader, many for the homeserver.
            format!("{}a", "e\u{0302}\u{0302}\u{0302}".repeat(40)),
            // Somebody's Matrix id.
            "@boss:example.org".to_owned(),
            "＠boss:example.org".to_owned(),
            "@boss\u{a789}example.org".to_owned(),
            "#hall:example.org".to_owned(),
        ];
        for typed in table {
            assert_eq!(GuestName::parse(&typed), Err(Refusal::BadName), "{typed:?}");
        }
    }

    #[test]
    fn names_of_all_the_world_are_names() {
        let family = "👨\u{200d}👩\u{200d}👧".to_owned();
        let table = [
            "Nguyễn Thị Hường",
            "ကျွန်ုပ်",
            "נְתַנְאֵל",
            "กำพล",
            "श्रीकृष्ण",
            "O’Brien-Łukasz, Jr.",
            "José 😀🇩🇪",
            "@maya",
            "Maya: later",
            &family,
            &"é".repeat(NAME_LENGTH),
            &"e\u{0332}".repeat(NAME_LENGTH),
        ];
        for typed in table {
            assert!(GuestName::parse(typed).is_ok(), "{typed:?}");
        }
    }

    #[test]
    fn whatever_looks_like_the_label_is_followed_by_the_label() {
        let table = [
            "Maya (Guest)",
            "Maya (Gu\u{0435}st)",
            "Maya （Ｇｕｅｓｔ）",
            "Maya ❨Guest❩",
            "Maya\u{00a0}(Guest)\u{200b}",
            "Maya (Gu\u{00ad}est)",
            "(tseuG) \u{202e}",
            "Maya (",
            "مايا (",
            "Maya (Host)",
            "Maya)",
        ];
        for typed in table {
            let name = GuestName::parse(typed);
            let labelled = name.as_ref().map(GuestName::labelled).unwrap_or_default();
            assert!(labelled.ends_with(LABEL), "{typed:?}");
            let rest = labelled.strip_suffix(LABEL).unwrap_or_default();
            assert_eq!(name.as_ref().map(GuestName::as_str), Ok(rest));
            assert!(
                !rest.is_empty() && rest.chars().all(is_visible),
                "{typed:?}"
            );
        }
    }

    #[test]
    fn the_hosts_own_name_is_known_in_every_disguise() {
        let host = UserId::new("@alice.smith:example.org");
        let like =
            |typed: &str| GuestName::parse(typed).map(|name| name.looks_like(&host, "Alice 🦊"));
        let table = [
            "Alice",
            "alice",
            "ALICE",
            "A l i c e",
            "Alice.",
            "Alice 🐻",
            "\u{0410}lice",
            "Al\u{0456}ce",
            "Ａｌｉｃｅ",
            "𝐀𝐥𝐢𝐜𝐞",
            "A1ice",
            "Ali\u{200b}ce",
            "alice.smith",
            "Alice Smith",
            "alice.smith_example.org",
        ];
        for typed in table {
            assert_eq!(like(typed), Ok(true), "{typed:?}");
        }
        for typed in [
            "Alicia",
            "Bob",
            "Alice Jones",
            "Smith",
            "Malice",
            "🦊",
            "Álice",
        ] {
            assert_eq!(like(typed), Ok(false), "{typed:?}");
        }
        // A name of pictures alone.
        let fox = |typed: &str| GuestName::parse(typed).map(|name| name.looks_like(&host, "🦊"));
        assert_eq!(fox("🦊"), Ok(true));
        assert_eq!(fox("🐻"), Ok(false));
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
