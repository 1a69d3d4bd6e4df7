//! Two homeservers that know each other, and a bridge beside the first.

use anyhow::Result;
use vestibule_lab::{Host, HostEvent, Lab, Neighbour, Options, PATIENCE, Site};

use crate::lab_with;

/// Users of the second homeserver may be hosts, except for mallory.
///
/// # Errors
/// When one of them does not come up.
pub fn neighbours(environment: &[(&'static str, &'static str)]) -> Result<(Lab, Neighbour)> {
    let site = Site::federated()?;
    let options = Options {
        federated: true,
        permissions: vec![
            (site.domain.clone(), "host"),
            (format!("@mallory:{}", site.domain), "none"),
        ],
        environment: environment.to_vec(),
        ..Options::default()
    };
    let lab = lab_with(&options)?;
    let neighbour = lab.neighbour(&site)?;
    Ok((lab, neighbour))
}

/// What this bot says in a room of the host's, as soon as it holds `part`.
///
/// # Panics
/// When it doesn't come.
#[expect(clippy::unwrap_used, reason = "for tests, where it is the failure")]
pub fn told_by(bot: &str, host: &mut impl Host, room: &str, part: &str) -> String {
    let said = |event: &HostEvent| match event {
        HostEvent::Message(message) if message.room_id == room && message.sender == bot => {
            let body = &message.body;
            body.contains(part).then(|| body.clone())
        }
        _ => None,
    };
    host.events().wait(part, PATIENCE, said).unwrap()
}
