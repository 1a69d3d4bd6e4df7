#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use super::*;

/// The sample registration belongs to the sample configuration. `UPDATE_SAMPLES=1` writes it anew.
#[test]
fn the_sample_registration_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = Config::load(&root.join("config/default.yaml")).unwrap();
    let current = registration(&config).unwrap().to_yaml().unwrap();
    let sample = root.join("registration.yaml");
    if std::env::var_os("UPDATE_SAMPLES").is_some() {
        std::fs::write(&sample, &current).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&sample).unwrap(), current);
}

#[test]
fn a_file_with_secrets_is_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registration.yaml");
    write_secret_file(&path, "as_token: secret\n").unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o007, 0, "{mode:o}");
}
