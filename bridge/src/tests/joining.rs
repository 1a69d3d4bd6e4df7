//! A guest opens a link and presses *Start chat*.

use super::world::*;
use crate::bridge::Undecided;
use crate::effect::Effect;
use crate::id::{DeviceId, PortalId};
use crate::input::{Join, Outcome};
use crate::link::{LinkState, Token, look};
use crate::portal::PortalState;
use crate::refusal::Refusal;
use crate::store::{Change, Changes, Facts, Store, StoreTransaction};
use crate::testing::sample;
use crate::time::Timestamp;

fn set_state(world: &World, token: &Token, state: LinkState) {
    let mut transaction = world.store.begin();
    let link = crate::link::Link {
        state,
        ..world.link(token)
    };
    transaction
        .apply(&Changes(vec![Change::PutLink(link)]))
        .unwrap();
    transaction.commit().unwrap();
}

fn refusal(world: &World, token: &Token) -> Option<Refusal> {
    match look(&world.store, &token.hash(), &world.policy, world.now) {
        Err(Undecided::Refused(refusal)) => Some(refusal),
        Ok(_) => None,
        Err(Undecided::Store(error)) => panic!("{error}"),
    }
}

#[test]
fn a_join_uses_the_link_and_begins_the_opening() {
    let mut world = World::new();
    let token = world.invite();
    world.pass(DAY);
    let joined = world.join(&token).unwrap();
    assert_eq!(joined.name, "Maya (Guest)");
    assert_eq!(joined.host.user_id, alice());

    let link = world.link(&token);
    assert_eq!(
        link.state,
        LinkState::Used {
            portal: joined.portal,
            at: world.now
        }
    );
    let portal = world.portal(joined.portal);
    assert_eq!(
        portal.state,
        PortalState::Opening {
            room: None,
            host_joined: false
        }
    );
    assert_eq!(
        (portal.link, portal.host, portal.ghost),
        (link.id, alice(), link.ghost)
    );
    assert_eq!(portal.ends_at, world.now + 10 * DAY);
    assert_eq!((portal.last_seq, portal.visit.last_n), (0, 0));
    assert_eq!(
        world.waiting(),
        [
            "register_ghost",
            "name_ghost",
            "put_device",
            "upload_keys",
            "upload_cross_signing",
            "upload_signatures",
            "create_room"
        ]
    );
    assert_eq!(world.store.due(portal.ends_at, 10).unwrap(), [portal.id]);
}

#[test]
fn the_host_is_shown_by_name_and_without_one_by_localpart() {
    let mut world = World::new();
    let token = world.invite();
    let shown = |world: &World| {
        look(&world.store, &token.hash(), &world.policy, world.now)
            .unwrap()
            .host
            .display_name
    };
    assert_eq!(shown(&world), "alice");
    for (name, expected) in [
        (Some("  Alice\u{202e} \n Liddell "), "Alice Liddell"),
        (Some("\u{200b}"), "alice"),
        (None, "alice"),
    ] {
        world.room_event(&management(), &alice(), text("invite"));
        world.perform(
            "fetch_host_name",
            Outcome::HostName(name.map(str::to_owned)),
        );
        world.said();
        assert_eq!(shown(&world), expected);
    }
    let long = "x".repeat(1000);
    world.room_event(&management(), &alice(), text("invite"));
    world.perform("fetch_host_name", Outcome::HostName(Some(long)));
    assert_eq!(shown(&world).len(), 100);
    assert_eq!(world.join(&token).unwrap().host.display_name.len(), 100);
}

#[test]
fn looking_changes_nothing_and_says_what_the_page_needs() {
    let mut world = World::new();
    let token = world.invite();
    let view = look(&world.store, &token.hash(), &world.policy, world.now).unwrap();
    assert_eq!(view.ghost, world.link(&token).ghost);
    assert_eq!(view.expires_at, START + 7 * DAY);
    assert_eq!(view.idle_limit_ms, 864_000_000);
    assert_eq!(world.link(&token).state, LinkState::Open);
}

#[test]
fn a_link_lives_as_its_transition_table_says() {
    let mut world = World::new();
    let token = world.invite();
    let used = LinkState::Used {
        portal: PortalId::from_u128(1),
        at: START,
    };
    let revoked = LinkState::Revoked { at: START };
    let end = START + 7 * DAY;
    let table = [
        (LinkState::Open, START, None),
        (LinkState::Open, Timestamp(end.0 - 1), None),
        (LinkState::Open, end, Some(Refusal::LinkExpired)),
        (used, START, Some(Refusal::LinkUsed)),
        (used, end, Some(Refusal::LinkUsed)),
        (revoked, START, Some(Refusal::LinkRevoked)),
        (revoked, end, Some(Refusal::LinkRevoked)),
    ];
    for (state, now, expected) in table {
        set_state(&world, &token, state);
        world.now = now;
        assert_eq!(refusal(&world, &token), expected, "look at {state:?}");
        if let Some(expected) = expected {
            assert_eq!(world.join(&token), Err(expected), "join {state:?}");
            assert_eq!(world.link(&token).state, state);
        }
    }
    assert!(world.waiting().is_empty());
}

#[test]
fn a_token_that_nobody_made_is_unknown() {
    let mut world = World::new();
    let token = Token::parse("00000000000000000000000000").unwrap();
    assert_eq!(refusal(&world, &token), Some(Refusal::LinkUnknown));
    assert_eq!(world.join(&token), Err(Refusal::LinkUnknown));
}

#[test]
fn the_same_browser_gets_the_same_answer_again() {
    let mut world = World::new();
    let token = world.invite();
    let first = world.join(&token).unwrap();
    let waiting = world.waiting();
    world.pass(30 * DAY);
    let again = world
        .submit(crate::input::Input::Join(Box::new(
            world.join_input(&token),
        )))
        .unwrap();
    assert!(again.changes.is_empty());
    assert_eq!(again.answer, crate::bridge::Answer::Joined(first));
    assert_eq!(world.waiting(), waiting);
}

#[test]
fn another_browser_finds_the_link_used() {
    let mut world = World::new();
    let token = world.invite();
    world.join(&token).unwrap();
    let other_key = Join {
        ed25519: "other".to_owned(),
        ..world.join_input(&token)
    };
    let other_device = Join {
        device: DeviceId::new("OTHER"),
        ..world.join_input(&token)
    };
    assert_eq!(world.join_with(other_key), Err(Refusal::LinkUsed));
    assert_eq!(world.join_with(other_device), Err(Refusal::LinkUsed));
}

#[test]
fn of_a_thousand_joins_one_wins() {
    let mut world = World::new();
    let token = world.invite();
    let join = |number: u32, world: &World| Join {
        ed25519: format!("key{number}"),
        ..world.join_input(&token)
    };
    let results: Vec<_> = (0..1000)
        .map(|number| world.join_with(join(number, &world)))
        .collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(
        results
            .iter()
            .filter(|result| **result == Err(Refusal::LinkUsed))
            .count(),
        999
    );
    assert_eq!(world.store.portals_of_host(&alice()).unwrap().len(), 1);
}

#[test]
fn keys_of_another_ghost_and_strange_devices_are_refused() {
    let mut world = World::new();
    let token = world.invite();
    let sound = world.join_input(&token);
    let table = [
        Join {
            ghost: sample::ghost(7),
            ..sound.clone()
        },
        Join {
            device: DeviceId::new(""),
            ..sound.clone()
        },
        Join {
            device: DeviceId::new("a|b"),
            ..sound.clone()
        },
        Join {
            device: DeviceId::new("../x"),
            ..sound.clone()
        },
        Join {
            device: DeviceId::new("X".repeat(65)),
            ..sound.clone()
        },
        Join {
            ed25519: String::new(),
            ..sound.clone()
        },
    ];
    for join in table {
        assert_eq!(world.join_with(join), Err(Refusal::BadKeys));
    }
    let another = world.invite();
    let join = Join {
        device: DeviceId::new("Az-9_"),
        ..world.join_input(&another)
    };
    assert!(world.join_with(join).is_ok());
    assert_eq!(
        world.join_with(Join {
            name: " \u{200b} ".to_owned(),
            ..sound.clone()
        }),
        Err(Refusal::BadName)
    );
    for name in ["Alice", "\u{0410}lice", "alice"] {
        let name = name.to_owned();
        assert_eq!(
            world.join_with(Join {
                name,
                ..sound.clone()
            }),
            Err(Refusal::NameOfHost)
        );
    }
    assert_eq!(world.link(&token).state, LinkState::Open);
    assert!(world.join_with(sound).is_ok());
}

#[test]
fn a_host_has_no_more_chats_than_allowed() {
    let mut world = World::new();
    world.policy.open_chats = 2;
    let tokens = [world.invite(), world.invite(), world.invite()];
    let first = world.join(&tokens[0]).unwrap();
    world.join(&tokens[1]).unwrap();
    assert_eq!(world.join(&tokens[2]), Err(Refusal::HostBusy));
    world
        .submit(crate::input::Input::Leave {
            portal: first.portal,
        })
        .unwrap();
    assert!(world.join(&tokens[2]).is_ok());
}

#[test]
fn the_token_is_never_stored() {
    let mut world = World::new();
    let decision = world.room_event(&management(), &alice(), text("invite Bob"));
    let (_, words) = &decision.unstored[0];
    let token = token_in(&words.plain);
    assert!(!format!("{:?}", decision).contains(token.reveal()));
    for change in &decision.changes.0 {
        if let Change::PutEffect { effect, .. } = change {
            assert!(
                !serde_json::to_string(effect)
                    .unwrap()
                    .contains(token.reveal())
            );
        }
    }
    assert!(
        !serde_json::to_string(&world.link(&token))
            .unwrap()
            .contains(token.reveal())
    );
}

#[test]
fn a_link_whose_words_were_lost_gets_a_new_token() {
    let mut world = World::new();
    world.room_event(&management(), &alice(), text("invite Bob"));
    let lost = token_in(&world.unstored.values().next().unwrap().plain);
    let before = world.link(&lost);
    world.unstored.clear();
    world.perform("share_link", Outcome::WordsLost);

    let said = world.said();
    let token = token_in(&said.last().unwrap().plain);
    assert_eq!(world.join(&lost), Err(Refusal::LinkUnknown));
    let after = world.link(&token);
    assert_eq!(
        (after.id, after.ghost, after.expires_at),
        (before.id, before.ghost, before.expires_at)
    );
    assert!(world.join(&token).is_ok());
}

#[test]
fn lost_words_of_a_link_that_is_over_stay_lost() {
    let mut world = World::new();
    world.room_event(&management(), &alice(), text("invite Bob"));
    world.pass(8 * DAY);
    let decision = world.perform("share_link", Outcome::WordsLost);
    assert_eq!(decision.changes.0.len(), 1);
    assert!(decision.unstored.is_empty());
}

#[test]
fn the_steps_carry_what_the_homeserver_needs() {
    let mut world = World::new();
    let token = world.invite();
    let portal = world.join(&token).unwrap().portal;
    let ghost = world.link(&token).ghost;
    let device = DeviceId::new(DEVICE);
    let effects: Vec<Effect> = world
        .effects()
        .into_iter()
        .map(|(_, effect)| effect)
        .collect();
    let name = crate::guest::GuestName::parse("Maya").unwrap();
    assert_eq!(
        effects[0],
        Effect::RegisterGhost {
            portal,
            ghost: ghost.clone()
        }
    );
    assert_eq!(
        effects[1],
        Effect::NameGhost {
            portal,
            ghost: ghost.clone(),
            name
        }
    );
    assert_eq!(
        effects[2],
        Effect::PutDevice {
            portal,
            ghost: ghost.clone(),
            device: device.clone()
        }
    );
    let keys = Box::new(keys());
    let uploaded = Effect::UploadKeys {
        portal,
        ghost: ghost.clone(),
        device: device.clone(),
        keys: keys.clone(),
    };
    assert_eq!(effects[3], uploaded);
    let device_keys = keys.device_keys.clone();
    assert_eq!(
        effects[4],
        Effect::UploadCrossSigning {
            portal,
            ghost: ghost.clone(),
            keys
        }
    );
    assert_eq!(
        effects[5],
        Effect::UploadSignatures {
            portal,
            ghost: ghost.clone(),
            device,
            device_keys
        }
    );
    assert_eq!(
        effects[6],
        Effect::CreateRoom {
            portal,
            host: alice(),
            ghost
        }
    );
}
