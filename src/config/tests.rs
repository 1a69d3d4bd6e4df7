#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::io::Write;
use std::time::Duration;

use vestibule_bridge::id::UserId;
use vestibule_bridge::policy::{GuestRate, Limits, Moments, Role, Times};

use super::*;

const GOOD: &str = r##"
homeserver: { address: "http://127.0.0.1:8008", domain: example.org }
appservice: { listen: "127.0.0.1:9000", as_token: 0123456789abcdef-as, hs_token: 0123456789abcdef-hs }
guests: { listen: "127.0.0.1:9001", public_url: "https://chat.example.org/guest/" }
store: { path: /data }
permissions: { "*": none, example.org: host, "@root:example.org": admin }
"##;

fn load(text: &str) -> Result<Config, ConfigError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Config::load(file.path())
}

#[test]
fn the_sample_is_valid_and_defaults_are_those_of_the_product() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/default.yaml");
    let config = Config::load(&sample).unwrap();
    let policy = config.policy().unwrap();
    assert_eq!(policy.link_lifetime, Duration::from_secs(7 * 86_400));
    assert_eq!(policy.idle_limit, Duration::from_secs(10 * 86_400));
    assert_eq!((policy.open_links, policy.open_chats), (20, 50));
    assert_eq!(
        policy.guest_rate,
        GuestRate {
            burst: 10,
            interval: Duration::from_secs(1)
        }
    );
    assert_eq!(policy.times, Times::default());
    assert_eq!(policy.limits, Limits::default());
    assert_eq!(policy.moments, Moments::default());
}

/// Each key of the sample that is commented out shows the default, and is understood.
#[test]
fn the_sample_names_every_default() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/default.yaml");
    let sample = std::fs::read_to_string(sample).unwrap();
    let guests = sample
        .split_once("\nguests:")
        .unwrap()
        .1
        .split_once("\nops:")
        .unwrap()
        .0;
    let keys: String = guests
        .lines()
        .filter_map(|line| line.strip_prefix("  # "))
        .filter(|line| {
            line.split_once(": ")
                .is_some_and(|(key, _)| !key.contains(' '))
        })
        .map(|line| format!("  {line}\n"))
        .collect();
    assert_eq!(keys.lines().count(), 25, "{keys}");
    let head = GOOD.replace("/guest/\" }", "/guest/\",");
    let inline = keys
        .lines()
        .map(|line| line.split('#').next().unwrap().trim())
        .collect::<Vec<_>>()
        .join(", ");
    let text = head.replace("/guest/\",", &format!("/guest/\", {inline} }}"));
    let (named, plain) = (
        load(&text).unwrap().policy().unwrap(),
        load(GOOD).unwrap().policy().unwrap(),
    );
    assert_eq!(format!("{named:?}"), format!("{plain:?}"));
}

/// The organisation of the sample is one that is accepted, and its texts are there to be replaced.
#[test]
fn the_samples_organisation_is_valid() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/default.yaml");
    let sample = std::fs::read_to_string(sample).unwrap();
    let (before, rest) = sample.split_once("  # organisation:\n").unwrap();
    let (section, after) = rest.split_once("\n\n").unwrap();
    let section: String = section
        .lines()
        .map(|line| format!("  {}\n", line.strip_prefix("  # ").unwrap()))
        .collect();
    let named = load(&format!("{before}  organisation:\n{section}\n{after}")).unwrap();
    let organisation = named.guests.organisation;
    assert_eq!(organisation.name.as_deref(), Some("Example Hospital"));
    assert_eq!(
        organisation.terms_url.as_deref(),
        Some("https://example.org/terms")
    );
    assert_eq!(organisation.texts["en"].len(), 1);
    let none = load(GOOD).unwrap().guests.organisation;
    assert_eq!(
        (none.name, none.terms_url, none.texts.len()),
        (None, None, 0)
    );
}

#[test]
fn times_and_limits_come_through() {
    let text = GOOD.replace(
        "/guest/\" }",
        "/guest/\", warning_hours: 1, absence_days: 2, keep_acknowledged_days: 3, keep_chat_days: 4, \
         keep_link_days: 5, shortest_link_minutes: 6, longest_link_days: 7, links_a_day: 8, \
         bridge_links: 9, bridge_chats: 10 }",
    );
    let policy = load(&text).unwrap().policy().unwrap();
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let times = Times {
        keep_audit: days(90),
        shortest_link: Duration::from_secs(360),
        longest_link: days(7),
        warning: Duration::from_secs(3600),
        absence: days(2),
        keep_acknowledged: days(3),
        keep_chat: days(4),
        keep_link: days(5),
    };
    assert_eq!(policy.times, times);
    let limits = Limits {
        links_a_day: 8,
        bridge_links: 9,
        bridge_chats: 10,
    };
    assert_eq!(policy.limits, limits);
}

#[test]
fn roles_and_urls_come_through() {
    let config = load(GOOD).unwrap();
    let policy = config.policy().unwrap();
    assert_eq!(policy.public_url, "https://chat.example.org/guest");
    assert_eq!(
        policy.permissions.role(&UserId::new("@a:example.org")),
        Role::Host
    );
    assert_eq!(
        policy.permissions.role(&UserId::new("@root:example.org")),
        Role::Admin
    );
    assert_eq!(
        policy.permissions.role(&UserId::new("@a:example.org:8448")),
        Role::None
    );
    assert_eq!(config.appservice_url(), "http://127.0.0.1:9000");
    assert_eq!(config.bot().as_str(), "@guestbot:example.org");
}

#[test]
fn permissions_that_can_mean_nobody_are_refused() {
    let with = |section: &str| {
        let (before, _) = GOOD.split_once("permissions:").unwrap();
        load(&format!("{before}permissions: {{ {section} }}\n"))
    };
    let config = with(
        r##""@A.b:example.org": admin, "[::1]:8448": host, deny_lists: ["#bans:example.org", "!room"]"##,
    );
    let config = config.unwrap();
    assert_eq!(
        config.permissions.deny_lists,
        ["#bans:example.org", "!room"]
    );
    let policy = config.policy().unwrap();
    let role = |user: &str| policy.permissions.role(&UserId::new(user));
    // Capitals of a localpart stay.
    assert_eq!(role("@A.b:example.org"), Role::Admin);
    assert_eq!(role("@a.b:example.org"), Role::None);
    assert_eq!(role("@x:[::1]:8448"), Role::Host);
    assert_eq!(role("@x:[::1]"), Role::None);
    for (section, part) in [
        (r#""example.org:": host"#, "“example.org:” has"),
        (r#""alice:example.org": host"#, "“alice:example.org” has"),
        (r#""Example.org": host"#, "capitals"),
        (
            r#"deny_lists: ["bans:example.org"]"#,
            "must be a room id or alias",
        ),
        (r#"example.org: owner"#, "owner"),
    ] {
        let problem = with(section).err().unwrap().to_string();
        assert!(problem.contains(part), "{section}: {problem}");
    }
}

#[test]
fn each_mistake_names_its_key() {
    for (from, to, key) in [
        (
            "http://127.0.0.1:8008",
            "127.0.0.1:8008",
            "homeserver.address",
        ),
        ("domain: example.org", "domain: \"\"", "homeserver.domain"),
        (
            "https://chat.example.org/guest/",
            "ftp://chat",
            "guests.public_url",
        ),
        ("0123456789abcdef-as", "short", "appservice.as_token"),
        (
            "as_token: 0123456789abcdef-as",
            "bot_localpart: _vestibule_bot, as_token: 0123456789abcdef-as",
            "appservice.bot_localpart",
        ),
        ("as_token: 0123456789abcdef-as, ", "", "appservice.as_token"),
        (
            "listen: \"127.0.0.1:9001\"",
            "listen: \"127.0.0.1:9001\", idle_days: 0",
            "guests.idle_days",
        ),
        (
            "listen: \"127.0.0.1:9001\"",
            "listen: \"127.0.0.1:9001\", burst: 0",
            "guests.burst",
        ),
        (
            "listen: \"127.0.0.1:9001\"",
            "listen: \"127.0.0.1:9001\", warning_hours: -1",
            "guests.warning_hours",
        ),
        (
            "listen: \"127.0.0.1:9001\"",
            "listen: \"127.0.0.1:9001\", shortest_link_minutes: 2880, longest_link_days: 1",
            "guests.shortest_link_minutes",
        ),
        (
            "listen: \"127.0.0.1:9001\"",
            "listen: \"127.0.0.1:9001\", links_a_day: 0",
            "guests.links_a_day",
        ),
        (
            "listen: \"127.0.0.1:9001\"",
            "listen: \"127.0.0.1:9001\", organisation: { name: \" \" }",
            "guests.organisation.name",
        ),
        (
            "listen: \"127.0.0.1:9001\"",
            "listen: \"127.0.0.1:9001\", organisation: { terms_url: example.org }",
            "guests.organisation.terms_url",
        ),
        (
            "listen: \"127.0.0.1:9001\"",
            "listen: \"127.0.0.1:9001\", organisation: { texts: { en: { no.such.key: x } } }",
            "guests.organisation.texts",
        ),
    ] {
        let error = load(&GOOD.replace(from, to))
            .err()
            .unwrap_or_else(|| panic!("{key} was accepted"));
        assert!(error.to_string().starts_with(key), "{key}: {error}");
    }
}

#[test]
fn an_unknown_key_is_refused() {
    let error = load(&format!("{GOOD}\nsurprise: 1\n")).unwrap_err();
    assert!(error.to_string().contains("surprise"), "{error}");
}

#[test]
fn a_secret_can_stand_in_a_file_and_is_never_shown() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "from-a-file-0123456789").unwrap();
    let text = GOOD.replace(
        "as_token: 0123456789abcdef-as",
        &format!("as_token_file: {}", file.path().display()),
    );
    let config = load(&text).unwrap();
    assert_eq!(
        config.tokens().unwrap().0.reveal(),
        "from-a-file-0123456789"
    );
    assert!(!format!("{:?}", load(GOOD).unwrap()).contains("0123456789abcdef"));
}
