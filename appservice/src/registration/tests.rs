#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write as _;

use super::{Registration, RegistrationError, escaped};

const AS_TOKEN: &str = "as-token-0123456789";
const HS_TOKEN: &str = "hs-token-0123456789";

fn sample() -> Registration {
    Registration::new(
        "vestibule",
        "http://127.0.0.1:29300",
        AS_TOKEN,
        HS_TOKEN,
        "guestbot",
        "example.org",
        "_vestibule_",
    )
}

fn load(text: &str) -> Result<Registration, RegistrationError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    Registration::load(file.path())
}

#[test]
fn the_file() {
    insta::assert_snapshot!(sample().to_yaml().unwrap(), @r"
    # Written by `vestibule registration`. It holds two secrets: only the homeserver may read it.
    # Synapse wants it listed in homeserver.yaml, and two features that are off by default:
    #   app_service_config_files: [/path/to/this/file]
    #   experimental_features:
    #     msc2409_to_device_messages_enabled: true
    #     msc3202_transaction_extensions: true
    id: vestibule
    url: http://127.0.0.1:29300
    as_token: as-token-0123456789
    hs_token: hs-token-0123456789
    sender_localpart: guestbot
    rate_limited: false
    namespaces:
      users:
      - exclusive: true
        regex: ^@_vestibule_.*:example\.org$
      aliases: []
      rooms: []
    receive_ephemeral: true
    de.sorunome.msc2409.push_ephemeral: true
    org.matrix.msc3202: true
    io.element.msc4190: true
    ");
}

#[test]
fn what_was_written_is_read_and_fits() {
    let read = load(&sample().to_yaml().unwrap()).unwrap();
    assert_eq!(read.check(&sample()), []);
}

#[test]
fn every_difference_is_named() {
    let other = Registration::new(
        "other",
        "http://127.0.0.1:1",
        "as-other",
        "hs-other",
        "bot",
        "example.com",
        "_x_",
    );
    insta::assert_snapshot!(words(&other.check(&sample())), @r#"
    `id` is "other", but must be "vestibule"
    `url` is "http://127.0.0.1:1", but must be "http://127.0.0.1:29300"
    `as_token` is not the one of the configuration
    `hs_token` is not the one of the configuration
    `sender_localpart` is "bot", but must be "guestbot"
    `namespaces.users` must list `^@_vestibule_.*:example\.org$` with `exclusive: true`
    "#);
}

#[test]
fn what_is_missing_is_named() {
    insta::assert_snapshot!(words(&load("url: null\n").unwrap().check(&sample())), @r#"
    `id` is missing; it must be "vestibule"
    `url` is missing; it must be "http://127.0.0.1:29300"
    `as_token` is not the one of the configuration
    `hs_token` is not the one of the configuration
    `sender_localpart` is missing; it must be "guestbot"
    `rate_limited` must be false
    `namespaces.users` must list `^@_vestibule_.*:example\.org$` with `exclusive: true`
    `receive_ephemeral` must be true
    `org.matrix.msc3202` must be true
    `io.element.msc4190` must be true
    "#);
}

#[test]
fn a_namespace_that_others_may_use_is_refused() {
    let shared = sample()
        .to_yaml()
        .unwrap()
        .replace("exclusive: true", "exclusive: false");
    assert_eq!(load(&shared).unwrap().check(&sample()).len(), 1);
}

#[test]
fn the_old_name_of_ephemeral_is_enough() {
    let old = sample()
        .to_yaml()
        .unwrap()
        .replace("receive_ephemeral: true\n", "");
    assert_eq!(load(&old).unwrap().check(&sample()), []);
}

#[test]
fn unknown_keys_are_left_alone() {
    let more = format!("{}protocols: [guests]\n", sample().to_yaml().unwrap());
    assert_eq!(load(&more).unwrap().check(&sample()), []);
}

#[test]
fn no_token_is_ever_shown() {
    let shown = format!("{:?}", sample());
    assert!(
        !shown.contains(AS_TOKEN) && !shown.contains(HS_TOKEN),
        "{shown}"
    );
    let other = Registration::new(
        "vestibule",
        "http://127.0.0.1:29300",
        "1",
        "2",
        "guestbot",
        "example.org",
        "_vestibule_",
    );
    let mismatches = sample().check(&other);
    assert_eq!(mismatches.len(), 2);
    let shown = format!("{}{mismatches:?}", words(&mismatches));
    assert!(
        !shown.contains(AS_TOKEN) && !shown.contains(HS_TOKEN),
        "{shown}"
    );
}

#[test]
fn a_broken_file_is_not_quoted() {
    let cases = [
        "id vestibule as_token SECRET",
        "id: x\nas_token: 7355608",
        "as_token: [SECRET]",
        "hs_token: 'SECRET",
        "rate_limited: SECRET",
    ];
    for case in cases {
        let error = load(case).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("is no registration file"), "{shown}");
        assert!(
            !shown.contains("SECRET") && !shown.contains("7355608"),
            "{shown}"
        );
    }
    let error = load("id: x\nreceive_ephemeral: perhaps\n")
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("is no registration file: line 2 doesn't fit"),
        "{error}"
    );
}

#[test]
fn an_absent_file_is_named() {
    let error = Registration::load(std::path::Path::new("/nowhere/registration.yaml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the registration /nowhere/registration.yaml can't be read"
    );
}

#[test]
fn what_regular_expressions_mean_is_quoted() {
    assert_eq!(escaped("a.b-c_d"), r"a\.b-c_d");
    assert_eq!(escaped("[2001:db8::1]:8448"), r"\[2001:db8::1\]:8448");
    assert_eq!(escaped(r"\+*?()|{}^$"), r"\\\+\*\?\(\)\|\{\}\^\$");
}

fn words(mismatches: &[super::Mismatch]) -> String {
    let lines: Vec<String> = mismatches.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
