//! What a Matrix user may do: by the configuration, by an admin's block, and by the deny lists that
//! the configuration names.

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use crate::bridge::Undecided;
use crate::draft::Draft;
use crate::ghost;
use crate::id::{RoomId, UserId};
use crate::policy::{Policy, Role};
use crate::steering::ListRead;
use crate::store::{Change, Facts, Read};

/// What this user may do.
///
/// Ghosts may do nothing, whatever is said of their server. Whom the configuration makes an admin is
/// one, whatever a list or a block says: the way to the switches must not be in somebody else's hand.
pub fn role(user: &UserId, facts: &dyn Facts, policy: &Policy) -> Read<Role> {
    let configured = policy.permissions.role(user);
    if ghost::is_ghost(user, &policy.server_name) {
        return Ok(Role::None);
    }
    if configured != Role::Host {
        return Ok(configured);
    }
    let blocked = facts.host(user)?.is_some_and(|host| host.blocked.is_some());
    if blocked || is_listed(user, facts)? {
        Ok(Role::None)
    } else {
        Ok(Role::Host)
    }
}

/// A rule of a deny list that counts: a recommendation to ban. Source: client-server API,
/// "Moderation policy lists".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rule {
    /// About what.
    pub about: RuleKind,
    /// A user id or a server name; `*` stands for anything, `?` for any character.
    pub entity: String,
    /// The list that it stands in.
    pub room: RoomId,
}

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// Users.
    User,
    /// Whole servers.
    Server,
}

/// Where a rule is kept: those that name one user or server are found by the name, and only those
/// with wildcards are tried one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleShelf {
    /// One user.
    User,
    /// One server.
    Server,
    /// Users by pattern.
    UserPattern,
    /// Servers by pattern.
    ServerPattern,
}

impl RuleShelf {
    /// All of them, in the order of the keys.
    pub const ALL: [Self; 4] = [
        Self::User,
        Self::Server,
        Self::UserPattern,
        Self::ServerPattern,
    ];
}

impl Rule {
    /// Where it is kept.
    #[must_use]
    pub fn shelf(&self) -> RuleShelf {
        let pattern = self.entity.contains(['*', '?']);
        match (self.about, pattern) {
            (RuleKind::User, false) => RuleShelf::User,
            (RuleKind::User, true) => RuleShelf::UserPattern,
            (RuleKind::Server, false) => RuleShelf::Server,
            (RuleKind::Server, true) => RuleShelf::ServerPattern,
        }
    }
}

/// Whether a deny list has this user, or their server.
fn is_listed(user: &UserId, facts: &dyn Facts) -> Read<bool> {
    let server = user.server_name();
    // A rule names servers as people know them, without a port.
    let host = without_port(server);
    let named = [
        (RuleShelf::User, user.as_str()),
        (RuleShelf::Server, server),
        (RuleShelf::Server, host),
    ];
    for (shelf, entity) in named {
        if !facts.rules(shelf, Some(entity))?.is_empty() {
            return Ok(true);
        }
    }
    let fits = |rule: &Rule, text: &str| WildMatch::new(&rule.entity).matches(text);
    let users = facts.rules(RuleShelf::UserPattern, None)?;
    let servers = facts.rules(RuleShelf::ServerPattern, None)?;
    Ok(users.iter().any(|rule| fits(rule, user.as_str()))
        || servers
            .iter()
            .any(|rule| fits(rule, server) || fits(rule, host)))
}

/// The name of a server without its port; an IPv6 address keeps its brackets.
fn without_port(server: &str) -> &str {
    let all_digits =
        |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match server.rsplit_once(':') {
        Some((host, port))
            if all_digits(port) && (host.ends_with(']') || !host.starts_with('[')) =>
        {
            host
        }
        _ => server,
    }
}

/// A deny list was read as a whole. What it no longer has is forgotten; a room that is no list any
/// more comes without rules.
pub(crate) fn list_read(
    room: RoomId,
    followed: bool,
    rules: Vec<Rule>,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    let mut known = Vec::new();
    for shelf in RuleShelf::ALL {
        let rules = draft.facts.rules(shelf, None)?;
        known.extend(rules.into_iter().filter(|rule| rule.room == room));
    }
    let mut rules: Vec<Rule> = rules.into_iter().filter(|rule| rule.room == room).collect();
    rules.sort();
    rules.dedup();
    known.sort();
    let mut steering = draft.facts.steering()?;
    let listed = steering.lists.contains_key(&room);
    if known == rules && listed == followed {
        return Ok(());
    }
    let count = rules.len();
    for gone in known
        .iter()
        .filter(|rule| rules.binary_search(rule).is_err())
    {
        draft.put(Change::DeleteRule(gone.clone()));
    }
    for new in rules
        .into_iter()
        .filter(|rule| known.binary_search(rule).is_err())
    {
        draft.put(Change::PutRule(new));
    }
    if followed {
        let read = ListRead {
            at: draft.now,
            rules: count,
        };
        steering.lists.insert(room, read);
    } else {
        steering.lists.remove(&room);
    }
    draft.put(Change::PutSteering(steering));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_told_from_addresses() {
        let table = [
            ("example.org", "example.org"),
            ("example.org:8448", "example.org"),
            ("[::1]", "[::1]"),
            ("[::1]:8448", "[::1]"),
            ("[2001:db8::7]", "[2001:db8::7]"),
            ("", ""),
        ];
        for (server, host) in table {
            assert_eq!(without_port(server), host, "{server}");
        }
    }
}
