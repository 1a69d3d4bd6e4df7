//! The command that was probably meant.

use super::{Reader, permitted};

/// The command that is at most two typing mistakes away, or of which this is the beginning.
pub(super) fn nearest(typed: &str, reader: Reader) -> Option<&'static str> {
    const MISTAKES: usize = 2;
    let begun = permitted(reader).find(|command| command.name.starts_with(typed));
    let near = || {
        permitted(reader)
            .map(|command| (mistakes(typed, command.name), command))
            .filter(|(mistakes, command)| {
                *mistakes <= MISTAKES && *mistakes * 2 < command.name.len()
            })
            .min_by_key(|(mistakes, _)| *mistakes)
            .map(|(_, command)| command)
    };
    begun.or_else(near).map(|command| command.name)
}

/// How many letters have to be put in, taken out or changed, or exchanged with their neighbour
/// (Damerau and Levenshtein's distance, no part changed twice).
fn mistakes(from: &str, to: &str) -> usize {
    // No name is that long, and the work grows with the length.
    const LONGEST: usize = 30;
    if from.chars().count() > LONGEST {
        return usize::MAX;
    }
    let to: Vec<char> = to.chars().collect();
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    let mut before = None;
    for (number, letter) in from.chars().enumerate() {
        let mut next = vec![number + 1];
        let mut left_other = None;
        for (place, other) in to.iter().enumerate() {
            let at = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX);
            let least = at(&row, place)
                .saturating_add(usize::from(letter != *other))
                .min(at(&row, place + 1).saturating_add(1))
                .min(at(&next, place).saturating_add(1));
            let exchanged = before == Some(*other) && left_other == Some(letter);
            let least = match place.checked_sub(1) {
                Some(place) if exchanged => least.min(at(&above, place).saturating_add(1)),
                _ => least,
            };
            left_other = Some(*other);
            next.push(least);
        }
        before = Some(letter);
        above = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Role;

    fn host(role: Role) -> Reader {
        Reader {
            role,
            admin_room: false,
        }
    }

    #[test]
    fn distances_are_those_of_damerau_and_levenshtein() {
        let table = [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abd", "abc", 1),
            ("kitten", "sitting", 3),
            ("abc", "", 3),
            ("ab", "ba", 1),
            ("lsit", "list", 1),
            ("abcd", "badc", 2),
            // No part is changed twice.
            ("ca", "abc", 3),
        ];
        for (from, to, distance) in table {
            assert_eq!(mistakes(from, to), distance, "{from} {to}");
        }
        // A word without end is no command, and costs nothing.
        assert_eq!(nearest(&"x".repeat(1_000_000), host(Role::Host)), None);
    }

    #[test]
    fn the_nearest_command_is_found() {
        let table = [
            ("invte", Some("invite")),
            ("invites", Some("invite")),
            ("inivte", Some("invite")),
            ("in", Some("invite")),
            ("lst", Some("list")),
            ("revok", Some("revoke")),
            ("ende", Some("end")),
            ("blok", Some("block")),
            ("unblok", Some("unblock")),
            ("renw", Some("renew")),
            ("hlp", Some("help")),
            ("hepl", Some("help")),
            ("lsit", Some("list")),
            ("edn", Some("end")),
            ("rneew", Some("renew")),
            ("hello", None),
            ("hi", None),
            ("yes", None),
            ("thanks", None),
            ("exit", None),
            ("привет", None),
        ];
        for (typed, meant) in table {
            assert_eq!(nearest(typed, host(Role::Host)), meant, "{typed}");
        }
        assert_eq!(nearest("invite", host(Role::None)), None);
    }
}
