//! What a guest can cause at the homeserver is a closed list, and all of it concerns the guest's
//! own ghost, own host and own room.

use std::collections::BTreeMap;

use super::world::*;
use crate::effect::Effect;
use crate::id::{DeviceId, EventId, PortalId, UserId};
use crate::input::{Input, Outcome};
use crate::portal::Portal;
use crate::store::{Change, Changes, Facts};

/// Who can cause an effect. The match is exhaustive, so that a new effect has to be thought of.
#[derive(Debug, PartialEq, Eq)]
pub enum Cause {
    /// A guest's input, at once or as a later step of what it began.
    Guest,
    /// A host's or the homeserver's doing only.
    Host,
}

pub fn cause(effect: &Effect) -> Cause {
    match effect {
        Effect::RegisterGhost { .. }
        | Effect::NameGhost { .. }
        | Effect::PutDevice { .. }
        | Effect::UploadKeys { .. }
        | Effect::UploadCrossSigning { .. }
        | Effect::UploadSignatures { .. }
        | Effect::CreateRoom { .. }
        | Effect::GhostJoins(_)
        | Effect::BotLeaves(_)
        | Effect::InviteHost(_)
        | Effect::GiveUpPower(_)
        | Effect::VerifySeal(_)
        | Effect::SendEvent { .. }
        | Effect::Redact { .. }
        | Effect::SendToDevice { .. }
        | Effect::GhostLeaves { .. }
        | Effect::BotLeavesUnused { .. }
        | Effect::DeleteDevice { .. }
        | Effect::Deactivate { .. }
        // The bot tells the host that a link was opened, and how a chat ended.
        | Effect::Notice { .. } => Cause::Guest,
        Effect::RestoreProfile { .. }
        | Effect::BotJoins { .. }
        | Effect::BotDeclines { .. }
        | Effect::FetchHostName { .. }
        | Effect::Report { .. }
        | Effect::ShareLink { .. }
        // Never decided: the shell puts it in the place of what the bot says.
        | Effect::SendEncrypted { .. } => Cause::Host,
    }
}

/// Everything that an effect of a portal names, compared with the portal as it is after the
/// decision.
fn assert_own(effect: &Effect, portal: &Portal) {
    let own_device = &portal.visit.device;
    let ghost_is = |ghost: &UserId| assert_eq!(*ghost, portal.ghost);
    let device_is = |device: &DeviceId| assert_eq!(device, own_device);
    match effect {
        Effect::RegisterGhost { ghost, .. }
        | Effect::NameGhost { ghost, .. }
        | Effect::RestoreProfile { ghost, .. }
        | Effect::UploadCrossSigning { ghost, .. }
        | Effect::Deactivate { ghost, .. } => ghost_is(ghost),
        Effect::PutDevice { ghost, device, .. }
        | Effect::UploadKeys { ghost, device, .. }
        | Effect::UploadSignatures { ghost, device, .. }
        | Effect::DeleteDevice { ghost, device, .. } => {
            ghost_is(ghost);
            device_is(device);
        }
        Effect::CreateRoom { host, ghost, .. } => {
            ghost_is(ghost);
            assert_eq!(*host, portal.host);
        }
        Effect::GhostJoins(step)
        | Effect::BotLeaves(step)
        | Effect::InviteHost(step)
        | Effect::GiveUpPower(step)
        | Effect::VerifySeal(step) => {
            ghost_is(&step.ghost);
            assert_eq!(step.host, portal.host);
            assert_eq!(Some(&step.room), portal.room());
        }
        Effect::SendEvent {
            ghost,
            device,
            room,
            ..
        } => {
            ghost_is(ghost);
            device_is(device);
            assert_eq!(Some(room), portal.room());
        }
        Effect::SendToDevice {
            ghost,
            device,
            host,
            ..
        } => {
            ghost_is(ghost);
            device_is(device);
            assert_eq!(*host, portal.host);
        }
        Effect::GhostLeaves { ghost, room, .. } | Effect::Redact { ghost, room, .. } => {
            ghost_is(ghost);
            assert_eq!(Some(room), portal.room());
        }
        Effect::BotLeavesUnused { room, .. } => assert_eq!(Some(room), portal.room()),
        Effect::BotJoins { .. }
        | Effect::BotDeclines { .. }
        | Effect::FetchHostName { .. }
        | Effect::Notice { .. }
        | Effect::Report { .. }
        | Effect::SendEncrypted { .. }
        | Effect::ShareLink { .. } => panic!("{} is no effect of a portal", effect.name()),
    }
}

/// Checks every effect among these changes; `facts` are those after them.
pub fn assert_reach(changes: &Changes, facts: &dyn Facts) {
    for change in &changes.0 {
        let Change::PutEffect { effect, .. } = change else {
            continue;
        };
        if let crate::effect::Lane::Portal(id) = effect.lane() {
            match facts.portal(id).unwrap() {
                Some(portal) => assert_own(effect, &portal),
                // A room that was made after everything else of its portal was forgotten.
                None => assert_eq!(effect.name(), "bot_leaves_unused"),
            }
        }
    }
}

fn names(changes: &Changes) -> Vec<&'static str> {
    let effect = |change: &Change| match change {
        Change::PutEffect { effect, .. } => Some(effect.name()),
        _ => None,
    };
    changes.0.iter().filter_map(effect).collect()
}

#[test]
fn each_input_of_a_guest_causes_what_its_table_says() {
    let mut world = World::new();
    let token = world.invite();
    let join = Input::Join(Box::new(world.join_input(&token)));
    let opening = world.submit(join).unwrap();
    assert_eq!(
        names(&opening.changes),
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

    let mut world = World::new();
    let portal = world.open(1);
    let own = EventId::new("$own");
    world.send(portal, 1).unwrap();
    world.perform("send_event", Outcome::Sent(own.clone()));
    let table: [(Input, &[&str]); 6] = [
        (
            Input::Send {
                portal,
                n: 2,
                content: megolm("x"),
            },
            &["send_event"],
        ),
        (to_device(portal, 3), &["send_to_device"]),
        (
            Input::Redact {
                portal,
                n: 4,
                event: own,
            },
            &["redact"],
        ),
        (Input::Ack { portal, seq: 0 }, &[]),
        (Input::Recount { portal, last_n: 9 }, &[]),
        (
            Input::Leave { portal },
            &["ghost_leaves", "delete_device", "deactivate", "notice"],
        ),
    ];
    for (input, expected) in table {
        let stored = world.submit(input).unwrap();
        assert_eq!(names(&stored.changes), expected);
        assert_reach(&stored.changes, &world.store);
    }
}

fn to_device(portal: PortalId, n: u64) -> Input {
    let messages = BTreeMap::from([(DeviceId::new("HOSTDEVICE"), olm("x"))]);
    Input::SendToDevice {
        portal,
        n,
        event_type: "m.room.encrypted".to_owned(),
        messages,
    }
}
