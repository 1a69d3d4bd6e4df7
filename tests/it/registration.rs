//! The commands about the registration file and the configuration.

use std::process::Command;

use crate::bridge::{Bridge, Setup};

/// Runs the program, and gives whether it succeeded and what it wrote.
fn vestibule(arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_vestibule"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_command_writes_it_and_serve_checks_it() {
    let bridge = Bridge::new("http://127.0.0.1:1", &Setup::default());
    let config = bridge.config_path();
    let config = config.to_str().unwrap();
    let (ok, yaml, _) = vestibule(&["registration", "--config", config]);
    assert!(ok);
    assert!(
        yaml.contains("sender_localpart: guestbot") && yaml.contains("exclusive: true"),
        "{yaml}"
    );

    let file = bridge.config_path().with_file_name("registration.yaml");
    let out = file.to_str().unwrap();
    let (ok, _, errors) = vestibule(&["registration", "--config", config, "--out", out]);
    assert!(ok, "{errors}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), yaml);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o007, 0, "it holds secrets");

    let broken = [
        (
            yaml.replace("sender_localpart: guestbot", "sender_localpart: other"),
            "sender_localpart",
        ),
        (
            yaml.replace(crate::bridge::HS_TOKEN, "another-token-0123456789"),
            "hs_token",
        ),
        (
            yaml.replace("org.matrix.msc3202: true", "org.matrix.msc3202: false"),
            "org.matrix.msc3202",
        ),
        (
            yaml.replace("exclusive: true", "exclusive: false"),
            "namespaces.users",
        ),
    ];
    for (text, named) in broken {
        assert_ne!(text, yaml, "{named}");
        std::fs::write(&file, text).unwrap();
        let (ok, _, errors) = vestibule(&["serve", "--config", config, "--registration", out]);
        assert!(!ok && errors.contains(named), "{named}: {errors}");
        assert!(
            errors.contains("vestibule registration"),
            "it says what to do: {errors}"
        );
        for token in [
            crate::bridge::HS_TOKEN,
            crate::homeserver::call::AS_TOKEN,
            "another-token",
        ] {
            assert!(!errors.contains(token), "{named}: {errors}");
        }
    }
    let (ok, _, errors) = vestibule(&[
        "serve",
        "--config",
        config,
        "--registration",
        "/nowhere/at/all",
    ]);
    assert!(!ok && errors.contains("/nowhere/at/all"), "{errors}");
}

#[test]
fn a_configuration_that_doesnt_fit_is_named() {
    let bridge = Bridge::new("http://127.0.0.1:1", &Setup::default());
    let (ok, said, _) = vestibule(&[
        "config",
        "check",
        "--config",
        bridge.config_path().to_str().unwrap(),
    ]);
    assert!(ok && said.contains("is valid"), "{said}");
    let file = bridge.config_path();
    let good = std::fs::read_to_string(&file).unwrap();
    let broken = [
        (
            good.replace("public_url: 'https://", "public_url: 'ftp://"),
            "guests.public_url",
        ),
        (
            good.replace(crate::bridge::HS_TOKEN, "short"),
            "appservice.hs_token",
        ),
        (good.replace("burst: 1000", "burst: 0"), "guests.burst"),
        (good.replace("burst: 1000", "brust: 1000"), "brust"),
        (good.replace("homeserver:", "homeservers:"), "homeserver"),
    ];
    for (text, named) in broken {
        assert_ne!(text, good, "{named}");
        std::fs::write(&file, text).unwrap();
        for command in [
            ["config", "check"].as_slice(),
            &["serve"],
            &["registration"],
        ] {
            let arguments = [command, &["--config", file.to_str().unwrap()]].concat();
            let (ok, _, errors) = vestibule(&arguments);
            assert!(!ok && errors.contains(named), "{command:?}: {errors}");
            assert!(
                !errors.contains("token-0123456789"),
                "{command:?}: {errors}"
            );
        }
    }
}
