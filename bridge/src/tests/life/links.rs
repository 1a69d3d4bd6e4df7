//! The states of a link.

use super::*;

/// A link that needs a passcode, of whose tries one is left.
struct Invited {
    id: LinkId,
    token: Token,
    passcode: Passcode,
}

fn open_link() -> Case<Invited> {
    let mut world = World::new();
    let said = world.write("invite Bob --passcode");
    let words = &said[0].plain;
    let (_, digits) = words.split_once("Passcode: ").unwrap();
    let (token, passcode) = (token_in(words), Passcode::parse(&digits[..6]).unwrap());
    let id = world.link(&token).id;
    let it = Invited {
        id,
        token,
        passcode,
    };
    let mut case = Case { world, it };
    for _ in 1..PASSCODE_TRIES {
        assert!(try_wrong(&mut case));
    }
    case
}

fn try_join(case: &mut Case<Invited>, passcode: &Passcode) -> bool {
    let join = Join {
        passcode: Some(passcode.hash(&case.it.token)),
        ..case.world.join_input(&case.it.token)
    };
    let _answer = case.world.submit(Input::Join(Box::new(join)));
    true
}

fn try_wrong(case: &mut Case<Invited>) -> bool {
    let guesses = ["111111", "222222"].map(|code| Passcode::parse(code).unwrap());
    let wrong = guesses.into_iter().find(|guess| *guess != case.it.passcode);
    try_join(case, &wrong.unwrap())
}

fn used_link() -> Case<Invited> {
    let mut case = open_link();
    let passcode = case.it.passcode.clone();
    try_join(&mut case, &passcode);
    case
}

fn written(case: &mut Case<Invited>, body: &str) -> bool {
    case.world.write(body);
    true
}

fn revoked_link() -> Case<Invited> {
    let mut case = open_link();
    written(&mut case, "revoke 1");
    case
}

fn expired_link() -> Case<Invited> {
    let mut case = open_link();
    case.world.pass(7 * DAY);
    case.world.settle();
    case
}

fn link_state(case: &Case<Invited>) -> String {
    let link = case.world.store.link(case.it.id).unwrap();
    let name = match link.map(|link| link.state) {
        Some(LinkState::Open) => "open",
        Some(LinkState::Used { .. }) => "used",
        Some(LinkState::Revoked { .. }) => "revoked",
        Some(LinkState::Expired { .. }) => "expired",
        None => "forgotten",
    };
    name.to_owned()
}

pub fn links() -> String {
    table(
        &[
            ("open", open_link),
            ("used", used_link),
            ("revoked", revoked_link),
            ("expired", expired_link),
        ],
        &[
            ("a browser looks at it", |case| {
                let token_hash = case.it.token.hash();
                case.world.submit(Input::Looked { token_hash }).is_ok()
            }),
            ("a guest joins", |case| {
                let passcode = case.it.passcode.clone();
                try_join(case, &passcode)
            }),
            ("the fifth wrong passcode", try_wrong),
            ("`revoke`", |case| written(case, "revoke 1")),
            ("`renew`", |case| written(case, "renew 1")),
            ("`end`", |case| written(case, "end 1")),
            ("`block`", |case| written(case, "block 1")),
            ("`unblock`", |case| written(case, "unblock 1")),
            ("an admin's `revoke`", |case| {
                steered(&mut case.world, "revoke 1")
            }),
            ("an admin's `block-host`", |case| {
                steered(&mut case.world, "block-host @alice:example.org")
            }),
            ("an admin's `pause --revoke`, and a tick", |case| {
                steered(&mut case.world, "pause --revoke");
                case.world.submit(tick()).is_ok()
            }),
        ],
        link_state,
    )
}
