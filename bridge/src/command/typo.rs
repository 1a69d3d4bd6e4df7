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

/// Levenshtein's distance: how many letters have to be put in, taken out or changed.
fn mistakes(from: &str, to: &str) -> usize {
    // No name is that long, and the work grows with the length.
    const LONGEST: usize = 30;
    if from.chars().count() > LONGEST {
        return usize::MAX;
    }
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        let mut next = vec![left];
        for (other, up) in to.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(letter != *other))
                .min(up + 1)
                .min(left + 1);
            diagonal = *up;
            next.push(left);
        }
        row = next;
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
    fn distances_are_those_of_levenshtein() {
        let table = [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abd", "abc", 1),
            ("kitten", "sitting", 3),
            ("abc", "", 3),
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
            ("hepl", None),
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
