//! Which link or chat a command means: a number of the list, or a label.

use super::scene::{Scene, Stop};
use super::{Misuse, shorten};
use crate::block::same_label;
use crate::book::{Book, Entry, Named, Standing};
use crate::guest::visible_text;
use crate::notice::{whom, whom_by_number};

/// How many are named when none or several fit.
const NAMED: usize = 10;

/// A number or a label, as the host wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Which(String);

/// What fits.
pub(super) enum Found<'a, T> {
    One(&'a T),
    Several(Vec<&'a T>),
    None,
}

/// Reads what follows the command's name.
pub(super) fn parse(arguments: &str, command: &'static str) -> Result<Which, Misuse> {
    let text = visible_text(arguments);
    // People put a label between quotation marks, and telephones choose which.
    let text = text.trim_matches(|c: char| matches!(c, '"' | '\'' | '“' | '”' | '„' | '«' | '»'));
    if text.is_empty() {
        Err(Misuse::Which { command })
    } else {
        Ok(Which(text.to_owned()))
    }
}

impl Which {
    fn number(&self) -> Option<u32> {
        let digits = self.0.strip_prefix('#').unwrap_or(&self.0);
        digits.parse().ok().filter(|number| *number > 0)
    }

    /// A number means one; a label all that have it. A label that looks like a number is found when
    /// nothing has that number.
    pub(super) fn find<'a, T: Named>(&self, among: impl Iterator<Item = &'a T>) -> Found<'a, T> {
        let among: Vec<&T> = among.collect();
        let number = self.number();
        if let Some(one) = among.iter().find(|one| number == Some(one.number())) {
            return Found::One(one);
        }
        let mut fitting = among
            .into_iter()
            .filter(|one| one.label().is_some_and(|label| same_label(label, &self.0)))
            .peekable();
        match (fitting.next(), fitting.peek().is_some()) {
            (None, _) => Found::None,
            (Some(one), false) => Found::One(one),
            (Some(first), true) => Found::Several(std::iter::once(first).chain(fitting).collect()),
        }
    }

    /// The last of those that fit.
    pub(super) fn newest<'a, T: Named>(&self, among: impl Iterator<Item = &'a T>) -> Option<&'a T> {
        match self.find(among) {
            Found::One(one) => Some(one),
            Found::Several(several) => several.last().copied(),
            Found::None => None,
        }
    }

    /// Finds the one entry that is meant and that the command can do something with.
    ///
    /// Fails with what the host reads, which says what to write instead.
    pub(super) fn one<'a>(
        &self,
        command: &'static str,
        fits: impl Fn(&Entry) -> bool,
        book: &'a Book,
        scene: Scene<'_>,
    ) -> Result<&'a Entry, Stop> {
        let fitting = || book.entries.iter().filter(|entry| fits(entry));
        match self.find(fitting()) {
            Found::One(entry) => Ok(entry),
            Found::Several(entries) => Err(self.several(command, &entries, scene)),
            Found::None => match self.newest(book.entries.iter()) {
                Some(entry) => Err(instead(entry, scene)),
                None => Err(self.unknown(command, fitting(), scene)),
            },
        }
    }

    /// More than one has this label.
    pub(super) fn several<T: Named>(
        &self,
        command: &'static str,
        fitting: &[&T],
        scene: Scene<'_>,
    ) -> Stop {
        let numbers: Vec<String> = fitting.iter().map(|one| one.number().to_string()).collect();
        let first = numbers.first().map_or("", String::as_str);
        Stop::Because(format!(
            "Several are called “{}”: {}. Please write the number, for example {}.",
            shorten(&self.0),
            listed(&numbers),
            scene.command(command, first)
        ))
    }

    /// Nothing has this number or label. `fitting` are those that the command could be used with.
    pub(super) fn unknown<'a, T: Named + 'a>(
        &self,
        command: &'static str,
        fitting: impl Iterator<Item = &'a T>,
        scene: Scene<'_>,
    ) -> Stop {
        let typed = shorten(&self.0);
        let names: Vec<String> = fitting
            .map(|one| format!("{} ({})", one.number(), whom(one.label())))
            .collect();
        Stop::Because(if names.is_empty() {
            format!(
                "I find no “{typed}”, and there is nothing to {command} at the moment. Write {} to see what there is.",
                scene.command("list", "")
            )
        } else {
            format!("I find no “{typed}”. You can {command} {}.", listed(&names))
        })
    }
}

/// The entry is there, but for another command.
fn instead(entry: &Entry, scene: Scene<'_>) -> Stop {
    let number = entry.link.number;
    let who = capitalised_number(entry);
    Stop::Because(match entry.standing(scene.now) {
        Standing::Unused => format!(
            "{who} is a link that nobody used yet. Write {} to take it back.",
            scene.command("revoke", number)
        ),
        Standing::Chat => format!(
            "{who} is a chat that goes on. Write {} to end it.",
            scene.command("end", number)
        ),
        Standing::Over => format!(
            "{who} is over already. Write {} for a new link.",
            scene.command("renew", number)
        ),
    })
}

fn capitalised_number(entry: &Entry) -> String {
    format!(
        "Number {} ({})",
        entry.link.number,
        whom(entry.link.label.as_deref())
    )
}

/// The entry as the bot speaks of it.
pub(super) fn called<T: Named>(one: &T) -> String {
    whom_by_number(one.label(), one.number())
}

/// "3, 4 and 7", and how many more there are.
fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let shown: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    match (shown.split_last(), more) {
        (None, _) => String::new(),
        (Some((last, [])), 0) => (*last).to_owned(),
        (Some((last, before)), 0) => format!("{} and {last}", before.join(", ")),
        (Some(_), more) => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_meant_is_read_kindly() {
        for typed in ["Bob", " Bob ", "“Bob”", "\"Bob\"", "'Bob'", "Bob\u{200b}"] {
            assert_eq!(parse(typed, "end"), Ok(Which("Bob".to_owned())), "{typed}");
        }
        for typed in ["", "  ", "\"\"", "\u{200b}"] {
            assert_eq!(parse(typed, "end"), Err(Misuse::Which { command: "end" }));
        }
    }

    #[test]
    fn numbers_are_whole_and_above_zero() {
        let table = [
            ("3", Some(3)),
            ("#3", Some(3)),
            ("03", Some(3)),
            ("0", None),
            ("-3", None),
            ("3.5", None),
            ("99999999999", None),
            ("Bob", None),
        ];
        for (typed, number) in table {
            assert_eq!(parse(typed, "end").unwrap().number(), number, "{typed}");
        }
    }

    #[test]
    fn lists_end_with_and() {
        let names = |count: usize| -> Vec<String> { (1..=count).map(|n| n.to_string()).collect() };
        assert_eq!(listed(&names(1)), "1");
        assert_eq!(listed(&names(2)), "1 and 2");
        assert_eq!(listed(&names(3)), "1, 2 and 3");
        assert_eq!(
            listed(&names(12)),
            "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more"
        );
    }
}
