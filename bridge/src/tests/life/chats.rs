//! The states of a chat.

use super::*;

pub fn begun(begin: fn(&mut World) -> PortalId) -> Case<PortalId> {
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
pub fn member(case: &mut Case<PortalId>, who: &str, membership: Membership) -> bool {
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
pub fn taken_out(case: &mut Case<PortalId>) -> bool {
    let portal = case.world.portal(case.it);
    portal.room().is_some_and(|room| {
        case.world
            .member(room, &portal.ghost, &portal.ghost, Membership::Leave);
        true
    })
}

pub fn input(case: &mut Case<PortalId>, input: fn(PortalId) -> Input) -> bool {
    let _refused = case.world.submit(input(case.it));
    true
}

pub fn command(case: &mut Case<PortalId>, body: &str) -> bool {
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

pub fn chats() -> String {
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
