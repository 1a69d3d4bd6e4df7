//! The safety code that a host asks for: what the homeserver shows of the two in a chat, beside what
//! the guest's browser gave when it joined.

use serde_json::Value;
use vestibule_bridge::effect::Words;
use vestibule_bridge::id::{PortalId, RoomId};
use vestibule_bridge::portal::Portal;
use vestibule_bridge::report::safety::{Finding, asked_about, words};
use vestibule_bridge::store::{Read, Store};
use vestibule_crypto::safety_code;

use crate::app::App;

/// What an answer of `/keys/query` says of a user's cross-signing identity.
#[derive(Debug, PartialEq, Eq)]
enum Shown<'a> {
    /// This master key, unpadded base64.
    Master(&'a str),
    /// The user has none.
    Nothing,
    /// The user's homeserver did not answer, or the answer can't be read.
    Unreadable,
}

/// The bot's words. None when there is nobody to tell.
///
/// # Errors
/// When a row can't be read.
pub async fn in_words(app: &App, portal: PortalId, room: &RoomId) -> Read<Option<Words>> {
    let asked = asked_about(portal, &app.store.begin())?;
    let found = match &asked {
        Some(portal) => Some(find(app, portal).await),
        None => None,
    };
    words(portal, room, found.as_ref(), &app.store.begin())
}

async fn find(app: &App, portal: &Portal) -> Finding {
    let host = app.homeserver.host_keys(portal).await;
    let ghost = app.homeserver.ghost_keys(portal).await;
    match (host, ghost) {
        (Ok(host), Ok(ghost)) => compare(portal, &host, &ghost),
        (Err(error), _) | (_, Err(error)) => {
            tracing::warn!(portal = %portal.id, error = &error as &dyn std::error::Error, "the keys of a chat could not be asked for");
            Finding::Unknown
        }
    }
}

fn compare(portal: &Portal, host: &Value, ghost: &Value) -> Finding {
    let given = portal.visit.master.as_deref();
    let shown = match shown(ghost, portal.ghost.as_str()) {
        Shown::Master(shown) => Some(shown),
        Shown::Nothing => None,
        Shown::Unreadable => return Finding::Unknown,
    };
    let Some(guest) = shown.filter(|shown| given.is_none_or(|given| given == *shown)) else {
        return Finding::GuestAltered;
    };
    match self::shown(host, portal.host.as_str()) {
        Shown::Unreadable => Finding::Unknown,
        Shown::Nothing => Finding::HostUnsigned,
        Shown::Master(master) => {
            let (host, ghost) = (portal.host.as_str(), portal.ghost.as_str());
            safety_code((host, master), (ghost, guest)).map_or(Finding::Unknown, |code| {
                Finding::Code {
                    code,
                    given: given.is_some(),
                }
            })
        }
    }
}

fn shown<'a>(answer: &'a Value, user: &str) -> Shown<'a> {
    let of_user = |name: &str| answer.get(name).and_then(|users| users.get(user));
    // Without an entry for the user their own homeserver did not answer.
    if of_user("device_keys").is_none() {
        return Shown::Unreadable;
    }
    let Some(master) = of_user("master_keys") else {
        return Shown::Nothing;
    };
    let keys = master.get("keys").and_then(Value::as_object);
    let mut keys = keys.into_iter().flatten();
    match (keys.next(), keys.next()) {
        (Some((id, Value::String(key))), None) if id.strip_prefix("ed25519:") == Some(key) => {
            Shown::Master(key)
        }
        _ => Shown::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use serde_json::json;
    use vestibule_bridge::id::UserId;
    use vestibule_bridge::testing::sample;
    use vestibule_bridge::time::Timestamp;

    use super::*;

    const HOST: &str = "@alice:example.org";
    const HOST_KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const GUEST_KEY: &str = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw";

    fn chat(given: Option<&str>) -> Portal {
        let mut portal = sample::portal(1, &UserId::new(HOST), Timestamp(1)).unwrap();
        portal.visit.master = given.map(str::to_owned);
        portal
    }

    fn answer(user: &str, key: &str) -> Value {
        json!({
            "device_keys": { user: {} },
            "master_keys": { user: { "keys": { (format!("ed25519:{key}")): key } } },
        })
    }

    #[test]
    fn each_case_is_told_apart() {
        let new = chat(Some(GUEST_KEY));
        let ghost = new.ghost.as_str();
        let (host, guest) = (answer(HOST, HOST_KEY), answer(ghost, GUEST_KEY));
        let code = safety_code((HOST, HOST_KEY), (ghost, GUEST_KEY)).unwrap();
        let found = |code: &str, given| Finding::Code {
            code: code.to_owned(),
            given,
        };
        assert_eq!(compare(&new, &host, &guest), found(&code, true));
        assert_eq!(compare(&chat(None), &host, &guest), found(&code, false));

        // Another key for the guest, or none, is never a code.
        let other = answer(ghost, HOST_KEY);
        assert_eq!(compare(&new, &host, &other), Finding::GuestAltered);
        let none = json!({ "device_keys": { ghost: {} } });
        assert_eq!(compare(&new, &host, &none), Finding::GuestAltered);
        assert_eq!(compare(&chat(None), &host, &none), Finding::GuestAltered);

        let unsigned = json!({ "device_keys": { HOST: {} }, "master_keys": {} });
        assert_eq!(compare(&new, &unsigned, &guest), Finding::HostUnsigned);
        // A server that doesn't answer must not look like a host without cross-signing.
        let silent = json!({ "device_keys": {}, "failures": { "example.org": {} } });
        assert_eq!(compare(&new, &silent, &guest), Finding::Unknown);
        assert_eq!(compare(&new, &host, &silent), Finding::Unknown);
        let mut two = host.clone();
        two["master_keys"][HOST]["keys"]["ed25519:x"] = json!("x");
        let misnamed = json!({
            "device_keys": { HOST: {} },
            "master_keys": { HOST: { "keys": { "ed25519:x": HOST_KEY } } },
        });
        for bad in [two, misnamed, answer(HOST, "no key at all")] {
            assert_eq!(compare(&new, &bad, &guest), Finding::Unknown, "{bad}");
        }
    }
}
