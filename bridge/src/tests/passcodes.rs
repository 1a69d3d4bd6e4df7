//! Links that ask for a passcode.

use super::world::*;
use crate::bridge::{Answer, Undecided};
use crate::input::{Input, Join, Outcome};
use crate::link::{LinkState, Token, look};
use crate::passcode::{PASSCODE_TRIES, Passcode};
use crate::refusal::Refusal;

/// The token and passcode of Alice's new link.
fn invite(world: &mut World) -> (Token, Passcode) {
    let said = world.write("invite Bob --passcode");
    said_in(&said.last().unwrap().plain)
}

fn said_in(words: &str) -> (Token, Passcode) {
    let (_, after) = words.split_once("Passcode: ").unwrap();
    (token_in(words), Passcode::parse(&after[..6]).unwrap())
}

fn join(world: &mut World, token: &Token, passcode: Option<&Passcode>) -> Result<Answer, Refusal> {
    let join = Join {
        passcode: passcode.map(|passcode| passcode.hash(token)),
        ..world.join_input(token)
    };
    world
        .submit(Input::Join(Box::new(join)))
        .map(|stored| stored.answer)
}

/// Another passcode than this one.
fn wrong(right: &Passcode) -> Passcode {
    let guesses = ["111111", "222222"].map(|code| Passcode::parse(code).unwrap());
    guesses.into_iter().find(|guess| guess != right).unwrap()
}

#[test]
fn a_link_with_passcode_needs_it() {
    let mut world = World::new();
    let (token, passcode) = invite(&mut world);
    let view = look(&world.store, &token.hash(), &world.policy, world.now).unwrap();
    assert!(view.passcode);
    assert_eq!(join(&mut world, &token, None), Err(Refusal::PasscodeNeeded));
    assert_eq!(world.link(&token).wrong_passcodes, 0);
    let joined = join(&mut world, &token, Some(&passcode));
    assert!(matches!(joined, Ok(Answer::Joined(_))), "{joined:?}");
    // The same browser again, which perhaps forgot the code meanwhile.
    assert_eq!(join(&mut world, &token, None), joined);
}

#[test]
fn a_link_without_passcode_minds_none() {
    let mut world = World::new();
    let token = world.invite();
    let view = look(&world.store, &token.hash(), &world.policy, world.now).unwrap();
    assert!(!view.passcode);
    let passcode = Passcode::parse("123456").unwrap();
    assert!(join(&mut world, &token, Some(&passcode)).is_ok());
}

#[test]
fn five_wrong_passcodes_take_the_link_back() {
    let mut world = World::new();
    let (token, passcode) = invite(&mut world);
    let wrong = wrong(&passcode);
    for left in (1..PASSCODE_TRIES).rev() {
        let refused = Ok(Answer::Refused(Refusal::PasscodeWrong { left }));
        assert_eq!(join(&mut world, &token, Some(&wrong)), refused);
        assert!(world.said().is_empty());
    }
    let spent = join(&mut world, &token, Some(&wrong));
    assert_eq!(spent, Ok(Answer::Refused(Refusal::PasscodeSpent)));
    let said = world.said();
    assert_eq!(said.len(), 1);
    assert_eq!(
        said[0].plain,
        "Somebody tried 5 wrong passcodes on your link for Bob (number 1), so I took the link back. \
         Write `renew 1` for a new one, with a new passcode."
    );
    assert!(matches!(
        world.link(&token).state,
        LinkState::Revoked { .. }
    ));
    for tried in [Some(&passcode), Some(&wrong), None] {
        assert_eq!(join(&mut world, &token, tried), Err(Refusal::LinkRevoked));
    }
    let renewed = world.write("renew 1");
    let (again, new) = said_in(&renewed[0].plain);
    assert_ne!(new, passcode);
    assert!(join(&mut world, &again, Some(&new)).is_ok());
}

#[test]
fn the_last_try_can_be_the_right_one() {
    let mut world = World::new();
    let (token, passcode) = invite(&mut world);
    for _ in 1..PASSCODE_TRIES {
        join(&mut world, &token, Some(&wrong(&passcode))).unwrap();
    }
    let joined = join(&mut world, &token, Some(&passcode));
    assert!(matches!(joined, Ok(Answer::Joined(_))), "{joined:?}");
}

#[test]
fn what_is_wrong_otherwise_costs_no_try() {
    let mut world = World::new();
    let (token, passcode) = invite(&mut world);
    let hash = wrong(&passcode).hash(&token);
    let nameless = Join {
        name: String::new(),
        passcode: Some(hash),
        ..world.join_input(&token)
    };
    assert_eq!(world.join_with(nameless), Err(Refusal::BadName));
    let strange = Join {
        ed25519: String::new(),
        passcode: Some(hash),
        ..world.join_input(&token)
    };
    assert_eq!(world.join_with(strange), Err(Refusal::BadKeys));
    assert_eq!(world.link(&token).wrong_passcodes, 0);
}

#[test]
fn the_passcode_is_never_stored() {
    let mut world = World::new();
    let decision = world.room_event(&management(), &alice(), text("invite Bob --passcode"));
    let (_, words) = &decision.unstored[0];
    let (token, passcode) = said_in(&words.plain);
    assert!(
        words
            .html
            .contains(&format!("<strong>{}</strong>", passcode.reveal()))
    );
    let link = serde_json::to_string(&world.link(&token)).unwrap();
    assert!(!link.contains(passcode.reveal()));
    for change in &decision.changes.0 {
        if let crate::store::Change::PutEffect { effect, .. } = change {
            let stored = serde_json::to_string(effect).unwrap();
            assert!(!stored.contains(passcode.reveal()));
        }
    }
    assert!(!format!("{decision:?}").contains(passcode.reveal()));
}

#[test]
fn lost_words_bring_a_new_passcode_too() {
    let mut world = World::new();
    world.room_event(&management(), &alice(), text("invite Bob --passcode"));
    let words = world.unstored.values().next().unwrap().plain.clone();
    let (lost, old) = said_in(&words);
    world.unstored.clear();
    world.perform("share_link", Outcome::WordsLost);
    let said = world.said();
    let (token, passcode) = said_in(&said.last().unwrap().plain);
    assert_eq!(
        join(&mut world, &lost, Some(&old)),
        Err(Refusal::LinkUnknown)
    );
    let refused = Ok(Answer::Refused(Refusal::PasscodeWrong { left: 4 }));
    assert_eq!(join(&mut world, &token, Some(&old)), refused);
    assert!(join(&mut world, &token, Some(&passcode)).is_ok());
}

#[test]
fn a_look_tells_that_a_link_is_gone_whatever_its_passcode() {
    let mut world = World::new();
    let (token, _) = invite(&mut world);
    world.write("revoke 1");
    let gone = look(&world.store, &token.hash(), &world.policy, world.now);
    assert!(matches!(
        gone,
        Err(Undecided::Refused(Refusal::LinkRevoked))
    ));
}
