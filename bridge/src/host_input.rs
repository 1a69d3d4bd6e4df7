//! What the homeserver delivers: room events and to-device events.

use std::time::Duration;

use serde_json::{Value, json};

use crate::block;
use crate::bridge::{Answer, Decision, Undecided};
use crate::content::{ENCRYPTED, digest, sorted_json};
use crate::draft::Draft;
use crate::end;
use crate::frame::{HostEvent, InboxFrame, ToDeviceEvent};
use crate::id::{EventId, PortalId, UserId};
use crate::input::{Membership, RoomEvent, RoomEventKind, ToDevice};
use crate::management;
use crate::notice;
use crate::portal::{EndReason, HostRead, Portal, PortalState};
use crate::store::{Change, Digest, Facts, Read};
use crate::upkeep;

/// After which time a host is told again, of the same chat, that they write without encryption.
const TOLD_AGAIN: Duration = Duration::from_secs(60 * 60);

pub(crate) fn room_event(event: RoomEvent, mut draft: Draft<'_>) -> Result<Decision, Undecided> {
    match draft.facts.portal_by_room(&event.room)? {
        Some(portal) => in_portal(portal, event, false, &mut draft)?,
        None => management::room_event(event, &mut draft)?,
    }
    Ok(draft.answer(Answer::Stored))
}

/// An event that was found in a portal's past. In a management room nobody looks for such: an old
/// command must not be carried out.
pub(crate) fn past_event(event: RoomEvent, mut draft: Draft<'_>) -> Result<Decision, Undecided> {
    if let Some(portal) = draft.facts.portal_by_room(&event.room)? {
        in_portal(portal, event, true, &mut draft)?;
    }
    Ok(draft.answer(Answer::Stored))
}

fn in_portal(
    portal: Portal,
    event: RoomEvent,
    late: bool,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    if portal.is_closed() {
        return Ok(());
    }
    if let RoomEventKind::Member { target, membership } = &event.kind {
        return member(portal, &event.sender, target, *membership, draft);
    }
    if event.sender == portal.ghost {
        return Ok(());
    }
    // Bot and ghost set the state while the room was made; nobody can after that.
    let is_state = matches!(event.kind, RoomEventKind::State | RoomEventKind::Encryption);
    if is_state && event.sender != draft.policy.bot {
        let digest = digest(&["looked", event.event_id.as_str()]);
        let portal_id = portal.id;
        if !draft.facts.digest_seen(portal_id, digest)? && upkeep::look_again(&portal, draft) {
            draft.put(Change::RememberDigest {
                portal: portal_id,
                digest,
            });
        }
        return Ok(());
    }
    if event.sender != portal.host {
        return Ok(());
    }
    match event.kind.clone() {
        RoomEventKind::Encrypted { content } => {
            relay(portal, event, Relayed::Encrypted(content), late, draft)
        }
        RoomEventKind::Redaction { redacts } => {
            relay(portal, event, Relayed::Redaction(redacts), late, draft)
        }
        RoomEventKind::Message { .. } | RoomEventKind::Other => {
            relay(portal, event, Relayed::Unencrypted, late, draft)
        }
        // What the bot's device could not read was not in a portal.
        RoomEventKind::Member { .. }
        | RoomEventKind::State
        | RoomEventKind::Encryption
        | RoomEventKind::Unread { .. } => Ok(()),
    }
}

/// A membership changed.
fn member(
    portal: Portal,
    sender: &UserId,
    target: &UserId,
    membership: Membership,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    use Membership::{Ban, Invite, Join, Knock, Leave};
    if *target == draft.policy.bot {
        return Ok(());
    }
    let is_host = *target == portal.host;
    let is_ghost = *target == portal.ghost;
    match membership {
        // The bridge takes the ghost out of closed chats only, so this was the homeserver: its
        // admin closed the room or deactivated the ghost.
        Leave | Ban if is_ghost && *sender == portal.ghost => {
            end::close(portal, EndReason::Failed, draft)?;
        }
        Join if is_host => host_joined(portal, draft),
        // Nobody but the host has the power to put the ghost out.
        Leave | Ban if is_ghost && *sender == portal.host => {
            block::put_out(portal, membership, draft)?;
        }
        Leave | Ban if is_host || is_ghost => end::close(portal, EndReason::Host, draft)?,
        Invite | Join | Knock if !is_host && !is_ghost => {
            end::close(portal, EndReason::ThirdParty, draft)?;
        }
        Invite | Join | Knock | Leave | Ban => {}
    }
    Ok(())
}

fn host_joined(portal: Portal, draft: &mut Draft<'_>) {
    let mut edit = draft.edit(portal);
    let known = match &mut edit.portal.state {
        PortalState::Opening { host_joined, .. } | PortalState::Open { host_joined, .. } => {
            std::mem::replace(host_joined, true)
        }
        PortalState::Closed { .. } => true,
    };
    if !known {
        edit.frame(draft, InboxFrame::Host { joined: true });
        edit.save(draft);
    }
}

/// Whether an event of a host was put into the portal's inbox before. The push path and the truth
/// path both deliver events; whoever reads the room's past can stop at one that was.
pub fn was_relayed(facts: &dyn Facts, portal: PortalId, event: &EventId) -> Read<bool> {
    facts.digest_seen(portal, event_digest(event))
}

fn event_digest(event: &EventId) -> Digest {
    digest(&["event", event.as_str()])
}

/// What of the host's event reaches the page.
enum Relayed {
    /// All of it.
    Encrypted(Value),
    /// That it takes away another event.
    Redaction(EventId),
    /// That there was one: what came without encryption was read by others on the way.
    Unencrypted,
}

fn relay(
    portal: Portal,
    event: RoomEvent,
    relayed: Relayed,
    late: bool,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    if was_relayed(draft.facts, portal.id, &event.event_id)? {
        return Ok(());
    }
    let digest = event_digest(&event.event_id);
    draft.put(Change::RememberDigest {
        portal: portal.id,
        digest,
    });
    let mut edit = draft.edit(portal);
    if matches!(relayed, Relayed::Encrypted(_)) {
        edit.wrote(draft);
    }
    if matches!(relayed, Relayed::Unencrypted) {
        let told = edit.portal.told.unencrypted;
        // A burst is told once. A clock that was set back silences nothing.
        let quiet = |told| draft.now >= told && draft.now.since(told) < TOLD_AGAIN;
        if !told.is_some_and(quiet) {
            edit.portal.told.unencrypted = Some(draft.now);
            notice::not_encrypted(&edit.portal, draft)?;
        }
    }
    let deadline = edit.portal.ends_at;
    let (event_type, content, redacts, unencrypted) = match relayed {
        Relayed::Encrypted(content) => (ENCRYPTED, content, None, false),
        Relayed::Redaction(redacts) => ("m.room.redaction", json!({}), Some(redacts), false),
        Relayed::Unencrypted => ("m.room.message", json!({}), None, true),
    };
    let event = HostEvent {
        event_type: event_type.to_owned(),
        event_id: event.event_id,
        sender: event.sender,
        origin_server_ts: event.at,
        content,
        redacts,
        unencrypted,
        late,
    };
    edit.frame(draft, InboxFrame::Event { event, deadline });
    edit.save(draft);
    Ok(())
}

/// Only ever forwards, and only while the chat is open: it is there for the guest's next visit.
pub(crate) fn host_read(
    portal: PortalId,
    read: HostRead,
    mut draft: Draft<'_>,
) -> Result<Decision, Undecided> {
    let known = draft.facts.portal(portal)?;
    let is_news = |portal: &Portal| {
        matches!(portal.state, PortalState::Open { .. }) && read.is_after(portal.host_read.as_ref())
    };
    if let Some(portal) = known.filter(is_news) {
        let mut edit = draft.edit(portal);
        // A clock that runs ahead elsewhere must not make all later receipts old.
        let at = read.at.min(draft.now);
        edit.portal.host_read = Some(HostRead { at, ..read });
        edit.save(&mut draft);
    }
    Ok(draft.answer(Answer::Stored))
}

/// Any local user can send to a ghost's device; only the host's Olm messages reach the page.
pub(crate) fn to_device(event: ToDevice, mut draft: Draft<'_>) -> Result<Decision, Undecided> {
    let portal = draft.facts.portal_by_ghost(&event.ghost)?;
    let addressed = |portal: &Portal| {
        !portal.is_closed()
            && portal.visit.device == event.device
            && portal.host == event.sender
            && event.event_type == ENCRYPTED
    };
    let Some(portal) = portal.filter(addressed) else {
        return Ok(draft.answer(Answer::Stored));
    };
    // The truth path delivers again what was pushed before, and to-device events have no id.
    let parts = [
        "to_device",
        event.sender.as_str(),
        &event.event_type,
        &sorted_json(&event.content),
    ];
    let digest = digest(&parts);
    if !draft.facts.digest_seen(portal.id, digest)? {
        draft.put(Change::RememberDigest {
            portal: portal.id,
            digest,
        });
        let mut edit = draft.edit(portal);
        let event = ToDeviceEvent {
            event_type: event.event_type,
            sender: event.sender,
            content: event.content,
        };
        edit.frame(&mut draft, InboxFrame::ToDevice { event });
        edit.save(&mut draft);
    }
    Ok(draft.answer(Answer::Stored))
}
