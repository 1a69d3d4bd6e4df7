#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::{Value, json};

use super::{Transaction, TransactionError};

fn parse(body: &Value) -> Transaction {
    Transaction::parse("7", body.to_string().as_bytes()).unwrap()
}

fn message(event_id: &str) -> Value {
    json!({
        "room_id": "!r:example.org", "event_id": event_id, "sender": "@alice:example.org",
        "type": "m.room.encrypted", "origin_server_ts": 1_795_364_370_566_u64, "content": { "ciphertext": "SECRET" },
    })
}

/// As Synapse sends it today.
fn unstable() -> Value {
    json!({
        "events": [message("$1")],
        "ephemeral": [{ "type": "m.typing", "room_id": "!r:example.org", "content": { "user_ids": [] } }],
        "de.sorunome.msc2409.to_device": [{
            "type": "m.room.encrypted", "sender": "@alice:example.org", "to_user_id": "@_vestibule_1:example.org",
            "to_device_id": "BROWSER1", "content": { "ciphertext": "SECRET" },
        }],
        "org.matrix.msc3202.device_lists": { "changed": ["@alice:example.org"], "left": ["@bob:example.org"] },
        "org.matrix.msc3202.device_one_time_keys_count": {
            "@_vestibule_1:example.org": { "BROWSER1": { "signed_curve25519": 49 }, "base64/master+key": {} },
            "@guestbot:example.org": { "GUESTBOT": {} },
        },
        "org.matrix.msc3202.device_one_time_key_counts": {},
        "org.matrix.msc3202.device_unused_fallback_key_types": {
            "@_vestibule_1:example.org": { "BROWSER1": ["signed_curve25519"], "base64/master+key": [] },
        },
    })
}

fn stable() -> Value {
    let Value::Object(fields) = unstable() else {
        unreachable!()
    };
    let renamed = fields.into_iter().map(|(name, value)| {
        let name = name
            .trim_start_matches("de.sorunome.msc2409.")
            .trim_start_matches("org.matrix.msc3202.");
        (name.to_owned(), value)
    });
    Value::Object(renamed.collect())
}

#[test]
fn stable_and_unstable_names_read_alike() {
    for body in [stable(), unstable()] {
        let transaction = parse(&body);
        assert_eq!(transaction.id, "7");
        assert_eq!(transaction.skipped, 0);
        assert_eq!(transaction.events.len(), 1);
        assert_eq!(transaction.events[0].origin_server_ts, 1_795_364_370_566);
        assert_eq!(transaction.events[0].content["ciphertext"], "SECRET");
        assert_eq!(transaction.ephemeral[0].event_type, "m.typing");
        assert_eq!(
            transaction.ephemeral[0].room_id.as_deref(),
            Some("!r:example.org")
        );
        let to_device = &transaction.to_device[0];
        assert_eq!(
            (
                to_device.to_user_id.as_str(),
                to_device.to_device_id.as_str()
            ),
            ("@_vestibule_1:example.org", "BROWSER1")
        );
        assert_eq!(transaction.device_lists_changed, ["@alice:example.org"]);
        assert_eq!(transaction.device_lists_left, ["@bob:example.org"]);
        let ghost = &transaction.one_time_keys["@_vestibule_1:example.org"];
        assert_eq!((ghost["BROWSER1"], ghost["base64/master+key"]), (49, 0));
        assert_eq!(
            transaction.one_time_keys["@guestbot:example.org"]["GUESTBOT"],
            0
        );
        assert_eq!(
            transaction.unused_fallback["@_vestibule_1:example.org"]["BROWSER1"],
            ["signed_curve25519"]
        );
    }
}

#[test]
fn the_second_spelling_of_counts_is_enough() {
    let counts = json!({ "@g:example.org": { "D": { "signed_curve25519": 3 } } });
    for name in [
        "device_one_time_key_counts",
        "org.matrix.msc3202.device_one_time_key_counts",
    ] {
        assert_eq!(
            parse(&json!({ name: counts })).one_time_keys["@g:example.org"]["D"],
            3,
            "{name}"
        );
    }
}

#[test]
fn the_unstable_name_of_ephemeral_reads() {
    let body = json!({ "de.sorunome.msc2409.ephemeral": [{ "type": "m.presence", "sender": "@a:b", "content": {} }] });
    let transaction = parse(&body);
    assert_eq!(transaction.ephemeral[0].sender.as_deref(), Some("@a:b"));
    assert_eq!(transaction.ephemeral[0].room_id, None);
}

#[test]
fn stable_names_count_before_unstable_ones() {
    let body = json!({ "to_device": [], "de.sorunome.msc2409.to_device": unstable()["de.sorunome.msc2409.to_device"] });
    assert_eq!(parse(&body).to_device, []);
    let body = json!({ "to_device": null, "de.sorunome.msc2409.to_device": unstable()["de.sorunome.msc2409.to_device"] });
    assert_eq!(parse(&body).to_device.len(), 1);
}

#[test]
fn nothing_at_all_is_a_transaction() {
    for body in [
        json!({}),
        json!({ "events": null, "something": { "else": 1 } }),
    ] {
        let transaction = parse(&body);
        assert_eq!(
            (
                transaction.events.len(),
                transaction.to_device.len(),
                transaction.skipped
            ),
            (0, 0, 0)
        );
    }
}

#[test]
fn a_bad_event_is_left_out_and_counted() {
    let mut without_sender = message("$2");
    without_sender.as_object_mut().unwrap().remove("sender");
    let mut odd_state_key = message("$3");
    odd_state_key["state_key"] = json!(5);
    let body = json!({ "events": [message("$1"), without_sender, 5, null, odd_state_key, message("$4")], "to_device": [{}, "x"] });
    let transaction = parse(&body);
    let ids: Vec<&str> = transaction
        .events
        .iter()
        .map(|event| event.event_id.as_str())
        .collect();
    assert_eq!(ids, ["$1", "$4"]);
    assert_eq!(transaction.skipped, 6);
}

/// serde_json reads to a depth of 128, and neither lone surrogates nor numbers beyond a double; a
/// homeserver passes all three on.
#[test]
fn an_event_that_no_parser_likes_does_not_stop_the_others() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for content in [deep.as_str(), r#""\ud800""#, "1e999"] {
        let odd = message("$odd").to_string().replace(r#""SECRET""#, content);
        let body = format!(
            r#"{{"events":[{},{odd},{}],"device_lists":{deep}}}"#,
            message("$1"),
            message("$2")
        );
        let transaction = Transaction::parse("1", body.as_bytes()).unwrap();
        let ids: Vec<&str> = transaction
            .events
            .iter()
            .map(|event| event.event_id.as_str())
            .collect();
        assert_eq!(ids, ["$1", "$2"]);
        assert_eq!(transaction.skipped, 2);
    }
}

#[test]
fn odd_times_are_no_times() {
    for time in [json!(-5), json!("soon"), json!(1.5), json!(null)] {
        let mut event = message("$1");
        event["origin_server_ts"] = time;
        assert_eq!(
            parse(&json!({ "events": [event] })).events[0].origin_server_ts,
            0
        );
    }
}

#[test]
fn state_redactions_and_what_the_homeserver_adds_are_read() {
    let mut invite = message("$1");
    invite["type"] = json!("m.room.member");
    invite["state_key"] = json!("@guestbot:example.org");
    invite["unsigned"] = json!({ "invite_room_state": [{ "type": "m.room.create" }] });
    let mut redaction = message("$2");
    redaction["redacts"] = json!("$1");
    let events = parse(&json!({ "events": [invite, redaction] })).events;
    assert_eq!(
        events[0].state_key.as_deref(),
        Some("@guestbot:example.org")
    );
    assert_eq!(
        events[0].unsigned["invite_room_state"][0]["type"],
        "m.room.create"
    );
    assert_eq!(events[1].state_key, None);
    assert_eq!(events[1].redacts.as_deref(), Some("$1"));
}

#[test]
fn what_is_no_transaction_is_refused() {
    let refused = |body: &str| Transaction::parse("1", body.as_bytes()).unwrap_err();
    for body in ["", "{", "{\"events\":[}", "\u{feff}{}"] {
        assert_eq!(refused(body), TransactionError::NotJson, "{body}");
    }
    for body in ["[]", "5", "null"] {
        assert_eq!(
            refused(body),
            TransactionError::WrongForm { what: "the body" },
            "{body}"
        );
    }
    assert_eq!(
        refused(r#"{"events":{}}"#),
        TransactionError::WrongForm { what: "events" }
    );
    assert_eq!(
        refused(r#"{"de.sorunome.msc2409.to_device":5}"#),
        TransactionError::WrongForm { what: "to_device" }
    );
}

#[test]
fn debug_shows_no_content() {
    let shown = format!("{:?}", parse(&stable()));
    assert!(shown.contains("@alice:example.org"));
    assert!(!shown.contains("SECRET"), "{shown}");
}
