//! How links are made: their lives, their numbers, and what was made before there were any.

use super::commands::{HOUR, answer, invite_as};
use super::world::*;
use crate::host::Host;
use crate::link::Link;
use crate::store::{Change, Changes, Facts, Store, StoreTransaction};
use crate::testing::sample;

#[test]
fn numbers_are_never_given_to_somebody_else() {
    let mut world = World::new();
    for number in 1..=3 {
        let token = invite_as(&mut world, "Carol");
        assert_eq!(world.link(&token).number, number);
    }
    answer(&mut world, "revoke 3");
    let token = invite_as(&mut world, "Dave");
    assert_eq!(world.link(&token).number, 4);
    // Also when all is forgotten.
    world.pass(400 * DAY);
    world.settle();
    world.pass(400 * DAY);
    world.settle();
    world.said();
    assert!(world.store.links_of_host(&alice()).unwrap().is_empty());
    let token = invite_as(&mut world, "Eve");
    assert_eq!(world.link(&token).number, 5);
    // The host's name is another part of the same row.
    let said = world.write("list");
    assert!(said[0].plain.contains("5. Eve"));
}

#[test]
fn learning_a_hosts_name_keeps_their_numbers() {
    let mut world = World::new();
    world.room_event(&management(), &alice(), text("invite"));
    let name = crate::input::Outcome::HostName(Some("Alice".to_owned()));
    world.perform("fetch_host_name", name);
    let expected = Host {
        display_name: Some("Alice".to_owned()),
        last_number: 1,
        ..Host::new(alice())
    };
    assert_eq!(world.store.host(&alice()).unwrap(), Some(expected.clone()));
    world.said();
    world.invite();
    let host = world.store.host(&alice()).unwrap().unwrap();
    assert_eq!(
        (host.display_name, host.last_number),
        (expected.display_name, 2)
    );
}

#[test]
fn the_host_chooses_how_long_a_link_lives() {
    let table = [
        ("3d", 3 * DAY, "3 days"),
        ("90m", 90 * (HOUR / 60), "90 minutes"),
        ("2 weeks", 14 * DAY, "14 days"),
        ("10m", HOUR / 6, "10 minutes"),
        ("30d", 30 * DAY, "30 days"),
    ];
    for (typed, lives, words) in table {
        let mut world = World::new();
        let said = world.write(&format!("invite Bob --expires {typed}"));
        assert!(
            said[0].plain.contains(&format!("it works for {words}.")),
            "{}",
            said[0].plain
        );
        let link = world.link(&token_in(&said[0].plain));
        assert_eq!(link.expires_at, START + lives);
    }
    for typed in ["9m", "31d", "0d", "0m", "999999w"] {
        let mut world = World::new();
        let text = answer(&mut world, &format!("invite Bob --expires {typed}"));
        assert_eq!(
            text,
            "A link can wait for a guest from 10 minutes up to 30 days. Write for example `--expires 3d`."
        );
        assert!(world.store.links_of_host(&alice()).unwrap().is_empty());
    }
    // What the organisation chose as the usual life is always allowed.
    let mut world = World::new();
    world.policy.link_lifetime = 60 * DAY;
    assert!(
        world.write("invite --expires 60d")[0]
            .plain
            .contains("60 days")
    );
}

#[test]
fn links_from_before_there_were_numbers_get_theirs() {
    let mut world = World::new();
    let old = |number: u64| Link {
        created_at: START.before(number as u32 * HOUR),
        expires_at: START + DAY,
        room: management(),
        ..sample::link(number, &alice())
    };
    let mut transaction = world.store.begin();
    let rows = [1, 2].map(|number| Change::PutLink(old(number))).into();
    transaction.apply(&Changes(rows)).unwrap();
    transaction.commit().unwrap();
    // The older one first.
    assert!(world.write("list")[0].plain.contains("\n1. label 2: "));
    assert!(answer(&mut world, "revoke 2").contains("label 1"));
    let alarms = world.store.alarms(START + 100 * DAY, 10).unwrap();
    assert_eq!(alarms.len(), 2, "{alarms:?}");
    let again = invite_as(&mut world, "Carol");
    assert_eq!(world.link(&again).number, 3);
}

#[test]
fn old_rows_go_on_reading() {
    let link = r#"{"id":"00000000000000000000000001","host":"@alice:example.org","room":"!r:example.org",
        "label":"Bob","token_hash":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],
        "ghost":"@_vestibule_1:example.org","created_at":1,"expires_at":2,"state":{"state":"open"}}"#;
    let link: Link = serde_json::from_str(link).unwrap();
    assert_eq!((link.number, link.passcode, link.alarm_at), (0, None, None));
    let portal = r#"{"id":"00000000000000000000000001","link":"00000000000000000000000001",
        "host":"@alice:example.org","ghost":"@_vestibule_1:example.org","name":"Maya",
        "visit":{"device":"D","ed25519":"k","last_n":3,"rate":5},
        "state":{"state":"open","room":"!r:example.org","host_joined":true},
        "created_at":7,"last_message_at":8,"ends_at":9,"last_seq":4}"#;
    let portal: crate::portal::Portal = serde_json::from_str(portal).unwrap();
    assert_eq!(
        (portal.told, portal.alarm_at),
        (crate::portal::Told::default(), None)
    );
    assert_eq!(portal.last_sign(), portal.created_at);
    let host = r#"{"user":"@alice:example.org","display_name":null}"#;
    let host: Host = serde_json::from_str(host).unwrap();
    assert_eq!(host, Host::new(alice()));
}
