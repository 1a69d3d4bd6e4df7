//! Reading what hosts write.

use std::time::Duration;

use super::*;

const HOST: Reader = Reader {
    role: Role::Host,
    admin_room: false,
};

fn host(body: &str) -> Option<Result<Request, Misuse>> {
    parse(body, true, HOST)
}

fn invite(label: Option<&str>) -> Option<Result<Request, Misuse>> {
    wish(label, None, false)
}

fn wish(
    label: Option<&str>,
    lives: Option<Duration>,
    passcode: bool,
) -> Option<Result<Request, Misuse>> {
    Some(Ok(Request::Invite(invite::Invite {
        label: label.map(str::to_owned),
        lives,
        passcode,
    })))
}

fn length(typed: &str) -> Option<Result<Request, Misuse>> {
    Some(Err(Misuse::Length {
        typed: typed.to_owned(),
    }))
}

fn option(typed: &str) -> Option<Result<Request, Misuse>> {
    Some(Err(Misuse::Option {
        command: "invite",
        typed: typed.to_owned(),
    }))
}

#[test]
fn invite_takes_a_label_and_options_anywhere() {
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let days = |days: u32| Some(24 * days * HOUR);
    let table = [
        ("invite", invite(None)),
        ("invite   ", invite(None)),
        ("Invite Bob", invite(Some("Bob"))),
        (
            "invite  Bob\n the \t plumber\u{202e}",
            invite(Some("Bob the plumber")),
        ),
        ("!guest invite Bob", invite(Some("Bob"))),
        ("invite Bob - plumber", invite(Some("Bob - plumber"))),
        ("invite Bob — plumber", invite(Some("Bob — plumber"))),
        ("invite Bob --", invite(Some("Bob --"))),
        ("invite Bob `x`", invite(Some("Bob 'x'"))),
        ("invite --expires 3d", wish(None, days(3), false)),
        ("invite Bob --expires 3d", wish(Some("Bob"), days(3), false)),
        (
            "invite --expires 3 days Bob B",
            wish(Some("Bob B"), days(3), false),
        ),
        (
            "invite --expires=2w Bob",
            wish(Some("Bob"), days(14), false),
        ),
        (
            "invite Bob —expires 90m",
            wish(Some("Bob"), Some(HOUR * 3 / 2), false),
        ),
        ("invite Bob --passcode", wish(Some("Bob"), None, true)),
        (
            "invite —passcode Bob --expires 1h",
            wish(Some("Bob"), Some(HOUR), true),
        ),
        (
            "invite --passcode --expires 1h",
            wish(None, Some(HOUR), true),
        ),
        (
            "invite --EXPIRES 1H --Passcode",
            wish(None, Some(HOUR), true),
        ),
        ("invite Bob --expires", length("")),
        ("invite Bob --expires --passcode", length("")),
        ("invite Bob --expires soon", length("soon")),
        ("invite --expires 3 Bob", length("3")),
        ("invite --passcode=123456", option("--passcode=123456")),
        ("invite --label Bob", option("--label")),
        ("invite Bob —pass", option("—pass")),
    ];
    for (body, expected) in table {
        assert_eq!(host(body), expected, "{body}");
    }
    let longest = "ä".repeat(invite::LABEL_LENGTH);
    assert_eq!(host(&format!("invite {longest}")), invite(Some(&longest)));
    assert_eq!(
        host(&format!("invite {longest}ä")),
        Some(Err(Misuse::Label))
    );
}

#[test]
fn help_knows_every_command() {
    for command in permitted(HOST) {
        let expected = Request::Help(help::Help {
            command: Some(command.name),
        });
        assert_eq!(
            host(&format!("help {}", command.name)),
            Some(Ok(expected.clone()))
        );
        assert_eq!(
            host(&format!("help /{}", command.name.to_uppercase())),
            Some(Ok(expected))
        );
    }
    assert_eq!(
        host("help"),
        Some(Ok(Request::Help(help::Help { command: None })))
    );
    let meant = Misuse::Unknown {
        typed: "invit".to_owned(),
        meant: Some("invite"),
    };
    assert_eq!(host("help invit"), Some(Err(meant)));
}

#[test]
fn the_nearest_command_is_suggested() {
    let table = [
        ("invte", Some("invite")),
        ("Invites", Some("invite")),
        ("inivte", Some("invite")),
        ("in", Some("invite")),
        ("hlp", Some("help")),
        ("hepl", Some("help")),
        ("lsit", Some("list")),
        ("hello", None),
        ("hi", None),
        ("yes", None),
        ("exit", None),
        ("привет", None),
    ];
    for (typed, meant) in table {
        let expected = Misuse::Unknown {
            typed: typed.to_owned(),
            meant,
        };
        assert_eq!(host(typed), Some(Err(expected)), "{typed}");
    }
}

#[test]
fn the_commands_about_one_thing_need_to_know_which() {
    for command in ["revoke", "end", "block", "unblock", "renew"] {
        let misuse = Some(Err(Misuse::Which { command }));
        assert_eq!(host(command), misuse);
        assert_eq!(host(&format!("{command}  \u{200b} ")), misuse);
        for which in ["3", "#3", "Bob the plumber"] {
            let parsed = host(&format!("{command} {which}"));
            let Some(Ok(Request::Which(meant, read))) = parsed else {
                unreachable!("{command} {which}: {parsed:?}")
            };
            assert_eq!(meant.name, command);
            assert_eq!(Ok(read), which::parse(which, command));
        }
    }
    assert_eq!(host("list"), Some(Ok(Request::List)));
    assert_eq!(host("list everything"), Some(Ok(Request::List)));
}

#[test]
fn a_quotation_is_no_command() {
    for body in [
        "> invite",
        "> <@bob:example.org> invite\n\nend 3",
        "  >end 3",
        ">",
    ] {
        assert_eq!(host(body), None, "{body}");
        assert_eq!(parse(body, false, HOST), None, "{body}");
    }
}

#[test]
fn what_is_said_back_is_bounded() {
    let Some(Err(Misuse::Unknown { typed, meant })) = host(&"x".repeat(10_000)) else {
        unreachable!("a long word is no command")
    };
    assert_eq!((typed.chars().count(), meant), (31, None));
}

#[test]
fn a_command_does_not_exist_for_those_who_may_not_use_it() {
    assert!(matches!(
        parse(
            "invite",
            true,
            Reader {
                role: Role::None,
                ..HOST
            }
        ),
        Some(Err(Misuse::Unknown { meant: None, .. }))
    ));
}

#[test]
fn every_misuse_says_what_to_do() {
    let misuses = [
        Misuse::Empty,
        Misuse::Unknown {
            typed: "x".to_owned(),
            meant: None,
        },
        Misuse::Unknown {
            typed: "x".to_owned(),
            meant: Some("invite"),
        },
        Misuse::Option {
            command: "invite",
            typed: "--x".to_owned(),
        },
        Misuse::Which { command: "end" },
    ];
    for misuse in misuses {
        assert!(!misuse.in_words(true).contains(PREFIX));
        assert!(misuse.in_words(false).contains("`!guest "), "{misuse:?}");
    }
    assert!(Misuse::Label.in_words(true).contains("60"));
    for typed in ["", "soon"] {
        let words = Misuse::Length {
            typed: typed.to_owned(),
        };
        assert!(words.in_words(true).contains("`--expires 3d`"), "{typed}");
    }
}
