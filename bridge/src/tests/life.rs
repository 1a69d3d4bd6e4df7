//! `docs/life.md` holds the transition tables of link and portal. They are made here by doing each
//! thing in each state, and compared.

use std::path::Path;

use super::admin;
use super::world::*;
use crate::effect::Effect;
use crate::frame::InboxFrame;
use crate::host::ManagementRoom;
use crate::id::{LinkId, PortalId};
use crate::input::{Input, Join, Membership, Outcome};
use crate::link::{LinkState, Token};
use crate::passcode::{PASSCODE_TRIES, Passcode};
use crate::policy::Role;
use crate::portal::PortalState;
use crate::store::Facts;
use crate::testing::sample;

/// Set to have the tables written anew.
const UPDATE: &str = "UPDATE_SAMPLES";
/// After so many days everything is forgotten.
const LONG: u32 = 60;

/// A thing that is in some state, and the world around it.
struct Case<T> {
    world: World,
    it: T,
}

/// How one comes into a state.
type Begin<T> = fn() -> Case<T>;
/// Something that happens; whether it can in this state.
type Happening<T> = fn(&mut Case<T>) -> bool;

/// Does everything in every state.
fn table<T>(
    states: &[(&str, Begin<T>)],
    happenings: &[(&str, Happening<T>)],
    state: fn(&Case<T>) -> String,
) -> String {
    let names: Vec<&str> = states.iter().map(|(name, _)| *name).collect();
    let mut text = format!(
        "| | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for (happens, happen) in happenings {
        let cells: Vec<String> = states
            .iter()
            .map(|(name, begin)| {
                let mut case = begin();
                assert_eq!(state(&case), *name);
                if happen(&mut case) {
                    Some(state(&case))
                        .filter(|after| after != name)
                        .unwrap_or("·".to_owned())
                } else {
                    "—".to_owned()
                }
            })
            .collect();
        text.push_str(&format!("| {happens} | {} |\n", cells.join(" | ")));
    }
    // The way of each when nobody does anything.
    let alone = states.iter().map(|(name, begin)| {
        let mut case = begin();
        let mut way: Vec<String> = Vec::new();
        for _ in 0..LONG {
            case.world.pass(DAY);
            case.world.settle();
            let now = state(&case);
            if now != way.last().map_or(*name, String::as_str) {
                way.push(now);
            }
        }
        way.join(", ")
    });
    let alone: Vec<String> = alone.collect();
    text.push_str(&format!("| time passes | {} |\n", alone.join(" | ")));
    text
}

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

fn links() -> String {
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

/// An admin writes in the admin room.
fn steered(world: &mut World, body: &str) -> bool {
    let admin = (admin::root().as_str().to_owned(), Role::Admin);
    world.policy.permissions.0.extend([admin]);
    world.put_room(ManagementRoom {
        room: admin::admin_room(),
        host: admin::root(),
        direct: true,
        encrypted: false,
        admin: true,
        looked: true,
        advised: true,
        unread_told: None,
    });
    world.room_event(&admin::admin_room(), &admin::root(), text(body));
    let answers: Vec<_> = world.effects().into_iter().filter(|(_, effect)| {
        matches!(effect, Effect::Notice { room, .. } if *room == admin::admin_room())
    }).collect();
    for (effect, _) in answers {
        let outcome = Outcome::Done;
        world.submit(Input::Done { effect, outcome }).unwrap();
    }
    true
}

fn begun(begin: fn(&mut World) -> PortalId) -> Case<PortalId> {
    let mut world = World::new();
    let it = begin(&mut world);
    Case { world, it }
}

fn closed_chat() -> Case<PortalId> {
    let mut case = begun(|world| world.open(1));
    let portal = case.it;
    case.world.submit(Input::Leave { portal }).unwrap();
    for step in ["ghost_leaves", "delete_device", "deactivate", "notice"] {
        case.world.perform(step, Outcome::Done);
    }
    case
}

/// An outcome of a step, if the step waits.
fn outcome(case: &mut Case<PortalId>, step: &str, outcome: Outcome) -> bool {
    let waits = case.world.waiting().contains(&step);
    if waits {
        case.world.perform(step, outcome);
    }
    waits
}

/// What happens in the room, if there is one.
fn member(case: &mut Case<PortalId>, who: &str, membership: Membership) -> bool {
    let portal = case.world.portal(case.it);
    let Some(room) = portal.room().cloned() else {
        return false;
    };
    let target = match who {
        "ghost" => portal.ghost,
        name => sample::user(name),
    };
    case.world.member(&room, &alice(), &target, membership);
    true
}

/// The room is looked at again, and this is what is found.
fn found(case: &mut Case<PortalId>, found: Outcome) -> bool {
    let portal = case.it;
    case.world.submit(Input::Doubted { portal }).unwrap();
    let open = chat_state(case) == "open";
    open && outcome(case, "verify_seal", found)
}

/// The homeserver has the ghost leave, as if by itself.
fn taken_out(case: &mut Case<PortalId>) -> bool {
    let portal = case.world.portal(case.it);
    portal.room().is_some_and(|room| {
        case.world
            .member(room, &portal.ghost, &portal.ghost, Membership::Leave);
        true
    })
}

fn input(case: &mut Case<PortalId>, input: fn(PortalId) -> Input) -> bool {
    let _refused = case.world.submit(input(case.it));
    true
}

fn command(case: &mut Case<PortalId>, body: &str) -> bool {
    case.world.room_event(&management(), &alice(), text(body));
    true
}

fn chat_state(case: &Case<PortalId>) -> String {
    let Some(portal) = case.world.store.portal(case.it).unwrap() else {
        return "forgotten".to_owned();
    };
    match portal.state {
        PortalState::Opening { room: None, .. } => "opening".to_owned(),
        PortalState::Opening { room: Some(_), .. } => "opening, with room".to_owned(),
        PortalState::Open { .. } => "open".to_owned(),
        PortalState::Closed { reason, .. } => {
            let reason = serde_json::to_value(reason).unwrap();
            format!("closed ({})", reason.as_str().unwrap())
        }
    }
}

fn chats() -> String {
    table(
        &[
            ("opening", || begun(World::opening)),
            ("opening, with room", || begun(|world| world.sealing(1))),
            ("open", || begun(|world| world.open(1))),
            ("closed (guest)", closed_chat),
        ],
        &[
            ("the homeserver made the room", |case| {
                outcome(case, "create_room", Outcome::RoomCreated(sealed(1)))
            }),
            ("the homeserver refuses a step", |case| {
                ["register_ghost", "ghost_joins"]
                    .into_iter()
                    .any(|step| outcome(case, step, refused()))
            }),
            ("the seal holds", |case| {
                outcome(case, "verify_seal", Outcome::Sealed { host_joined: true })
            }),
            ("the seal doesn't hold", |case| {
                outcome(case, "verify_seal", Outcome::SealBroken)
            }),
            ("the room is found to be changed", |case| {
                found(case, Outcome::SealBroken)
            }),
            ("the room is found to have a third", |case| {
                found(case, Outcome::ThirdParty)
            }),
            ("the guest is found to be out", |case| {
                found(case, Outcome::NotThere)
            }),
            ("the homeserver can't read it", |case| {
                found(case, refused())
            }),
            ("the homeserver takes the guest out", taken_out),
            ("the guest's device is gone", |case| {
                input(case, |portal| Input::CutOff { portal })
            }),
            ("the host joins", |case| {
                member(case, "alice", Membership::Join)
            }),
            ("the guest writes", |case| {
                input(case, |portal| Input::Send {
                    portal,
                    n: 1,
                    content: megolm("x"),
                })
            }),
            ("the host writes", |case| {
                let room = case.world.portal(case.it).room().cloned();
                room.is_some_and(|room| {
                    case.world.room_event(&room, &alice(), encrypted());
                    true
                })
            }),
            ("the guest is there", |case| {
                input(case, |portal| Input::Seen { portal })
            }),
            ("the guest ends it", |case| {
                input(case, |portal| Input::Leave { portal })
            }),
            ("the host leaves or declines", |case| {
                member(case, "alice", Membership::Leave)
            }),
            ("the host kicks the guest", |case| {
                member(case, "ghost", Membership::Leave)
            }),
            ("the host bans the guest", |case| {
                member(case, "ghost", Membership::Ban)
            }),
            ("somebody else comes", |case| {
                member(case, "eve", Membership::Join)
            }),
            ("`end`", |case| command(case, "end 1")),
            ("`block`", |case| command(case, "block 1")),
            ("`renew`", |case| command(case, "renew 1")),
            ("an admin's `end`", |case| steered(&mut case.world, "end 1")),
            ("an admin's `block-host`", |case| {
                steered(&mut case.world, "block-host @alice:example.org")
            }),
        ],
        chat_state,
    )
}

/// What both sides read at each end.
fn ends() -> String {
    let ends: [(&str, Happening<PortalId>); 10] = [
        ("the guest ends it", |case| {
            input(case, |portal| Input::Leave { portal })
        }),
        ("the host leaves", |case| {
            member(case, "alice", Membership::Leave)
        }),
        ("the host kicks the guest", |case| {
            member(case, "ghost", Membership::Leave)
        }),
        ("the host bans the guest", |case| {
            member(case, "ghost", Membership::Ban)
        }),
        ("`end`", |case| command(case, "end 1")),
        ("`block`", |case| command(case, "block 1")),
        ("an admin's `end`", |case| steered(&mut case.world, "end 1")),
        ("somebody else comes", |case| {
            member(case, "eve", Membership::Join)
        }),
        ("the homeserver takes the guest out", taken_out),
        ("nobody wrote", |case| {
            case.world.pass(10 * DAY);
            case.world.submit(tick()).is_ok()
        }),
    ];
    let mut text =
        "| why | the page | the host's client, as the guest's leaving | the bot |\n|---|---|---|---|\n"
            .to_owned();
    for (why, end) in ends {
        let mut case = begun(|world| world.open(1));
        assert!(end(&mut case));
        let frames = case.world.frames(case.it);
        let [InboxFrame::Ended { reason }] = frames.as_slice() else {
            panic!("{frames:?}")
        };
        let reason = serde_json::to_value(reason).unwrap();
        let leaving = case
            .world
            .effects()
            .into_iter()
            .find_map(|(_, effect)| match effect {
                Effect::GhostLeaves { reason, .. } => Some(reason),
                _ => None,
            });
        let said: Vec<String> = case
            .world
            .said()
            .into_iter()
            .map(|words| words.plain)
            .collect();
        text.push_str(&format!(
            "| {why} | `{}` | {} | {} |\n",
            reason.as_str().unwrap(),
            leaving.unwrap(),
            said.join(" ").replace('\n', " ")
        ));
    }
    text
}

/// Puts `table` between the mark and the next end.
fn put(page: &str, mark: &str, table: &str) -> String {
    let mark = format!("<!-- {mark} -->\n");
    let (before, rest) = page.split_once(&mark).unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    format!("{before}{mark}{table}<!-- end -->{after}")
}

#[test]
fn the_tables_of_the_documentation_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/life.md");
    let stored = std::fs::read_to_string(&path).unwrap();
    let tables = [("link", links()), ("chat", chats()), ("ends", ends())];
    let current = tables.iter().fold(stored.clone(), |page, (mark, table)| {
        put(&page, mark, table)
    });
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &current).unwrap();
        return;
    }
    assert!(
        stored == current,
        "docs/life.md is not current; {UPDATE}=1 cargo test writes it"
    );
}

#[test]
fn the_numbers_of_the_documentation_are_the_defaults() {
    let page = include_str!("../../../docs/life.md");
    let times = crate::policy::Times::default();
    let limits = crate::policy::Limits::default();
    let days = |time: std::time::Duration| crate::words::in_words(time);
    for said in [
        format!(
            "{} to {}",
            days(times.shortest_link),
            days(times.longest_link)
        ),
        format!("wasn't there for {}", days(times.absence)),
        format!("{} if the browser stored", days(times.keep_acknowledged)),
        format!("else {}", days(times.keep_chat)),
        format!("| {}, from the chat's end", days(times.keep_link)),
        format!("| {} |", limits.links_a_day),
        "100,000 each".to_owned(),
    ] {
        assert!(page.contains(&said), "{said}");
    }
    assert_eq!(
        (limits.bridge_links, limits.bridge_chats),
        (100_000, 100_000)
    );
    assert_eq!(times.warning, DAY);
}
