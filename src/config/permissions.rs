//! Section `permissions`: who may do what.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::Deserialize;
use vestibule_bridge::policy::Role;

use super::ConfigError;

/// Section `permissions`.
#[derive(Debug, Default, Deserialize)]
pub struct PermissionsSection {
    /// Rooms with policy lists, by id or alias: whom they ban may have no links.
    #[serde(default)]
    pub deny_lists: Vec<String>,
    /// `"*"`, a server name or a user id to `none`, `host` or `admin`.
    #[serde(flatten)]
    pub roles: BTreeMap<String, Role>,
}

impl PermissionsSection {
    /// Whether each key can ever mean somebody: one that can't is a slip that would go unnoticed.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        for key in self.roles.keys() {
            check_key(key).or_else(|problem| wrong(key, problem))?;
        }
        for list in &self.deny_lists {
            let sound = list
                .strip_prefix(['!', '#'])
                .is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace));
            if !sound {
                return wrong(
                    list,
                    "must be a room id or alias such as #bans:example.org".to_owned(),
                );
            }
        }
        Ok(())
    }
}

fn wrong<T>(key: &str, problem: String) -> Result<T, ConfigError> {
    Err(ConfigError::Invalid {
        key: "permissions",
        problem: format!("“{key}” {problem}"),
    })
}

fn check_key(key: &str) -> Result<(), String> {
    if key == "*" {
        return Ok(());
    }
    let Some(user) = key.strip_prefix('@') else {
        return check_server(key);
    };
    match user.split_once(':') {
        Some(("", _)) | None => Err("is no user id: write @name:server".to_owned()),
        Some((name, _)) if name.contains(|c: char| c.is_whitespace() || c.is_control()) => {
            Err("is no user id: there are spaces in it".to_owned())
        }
        Some((_, server)) => check_server(server),
    }
}

/// Source: specification, appendices, "Server name".
fn check_server(server: &str) -> Result<(), String> {
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => {
            let (address, rest) = rest
                .split_once(']')
                .ok_or("begins like an IPv6 address, and lacks the ]")?;
            if address.parse::<Ipv6Addr>().is_err() {
                return Err("holds no IPv6 address between the brackets".to_owned());
            }
            let port = match rest.strip_prefix(':') {
                None if rest.is_empty() => None,
                port => Some(port.ok_or("has something after the ] that is no port")?),
            };
            ("", port)
        }
        None => match server.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (server, None),
        },
    };
    if let Some(port) = port {
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || port.parse::<u16>().is_err() {
            return Err(format!(
                "has “{port}” where a port would stand: write a server name such as example.org or \
                 example.org:8448, or a user id such as @name:example.org"
            ));
        }
    }
    if server.starts_with('[') {
        return Ok(());
    }
    if host.is_empty() {
        return Err("lacks the server name".to_owned());
    }
    if host.contains(|c: char| c.is_ascii_uppercase()) {
        return Err(
            "has capitals in the server name: it is compared letter by letter, and servers are named \
             in small letters"
                .to_owned(),
        );
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if !host.chars().all(allowed) {
        return Err(
            "is neither \"*\", nor a server name such as example.org, nor a user id such as \
             @name:example.org"
                .to_owned(),
        );
    }
    let numbers = host.chars().all(|c| c.is_ascii_digit() || c == '.');
    if numbers && host.parse::<Ipv4Addr>().is_err() {
        return Err("is no IPv4 address".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_can_mean_somebody_are_taken() {
        for key in [
            "*",
            "example.org",
            "example.org:8448",
            "localhost",
            "localhost:8448",
            "1.2.3.4",
            "1.2.3.4:443",
            "[::1]",
            "[2001:db8::7]:8448",
            "@alice:example.org",
            "@alice:example.org:8448",
            "@alice:[::1]:8448",
            "@Old_Name/x=1:example.org",
        ] {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
    }

    #[test]
    fn slips_are_named() {
        for (key, part) in [
            ("", "lacks the server name"),
            ("example.org:", "where a port would stand"),
            ("alice:example.org", "or a user id such as"),
            ("example.org:99999", "where a port would stand"),
            ("@alice", "is no user id"),
            ("@:example.org", "is no user id"),
            ("@al ice:example.org", "spaces"),
            ("@alice:", "lacks the server name"),
            ("@alice:Example.org", "capitals"),
            ("Example.org", "capitals"),
            ("*.example.org", "is neither"),
            ("@*:example.org:x", "where a port would stand"),
            ("exämple.org", "is neither"),
            ("1.2.3", "no IPv4"),
            ("[::1", "lacks the ]"),
            ("[zz]", "no IPv6"),
            ("[::1]8448", "no port"),
            ("https://example.org", "where a port would stand"),
        ] {
            let problem = check_key(key).err().unwrap_or_default();
            assert!(problem.contains(part), "{key}: {problem}");
        }
    }
}
