//! A guest uses a link.

use crate::audit::{Act, Actor, Target};
use crate::bridge::{Answer, Decision, Joined, Undecided};
use crate::draft::{Draft, readable};
use crate::effect::Effect;
use crate::guest::GuestName;
use crate::host::Quota;
use crate::id::{DeviceId, PortalId, UserId};
use crate::input::{Join, JoinKeys};
use crate::link::{Link, LinkState, TokenHash};
use crate::notice;
use crate::passcode::PASSCODE_TRIES;
use crate::portal::{Portal, PortalState, Told};
use crate::refusal::Refusal;
use crate::steering;
use crate::visit::Visit;

/// How long a device id may be, in characters.
const DEVICE_ID_LENGTH: usize = 64;

pub(crate) fn join(join: Join, mut draft: Draft<'_>) -> Result<Decision, Undecided> {
    let link = draft
        .facts
        .link_by_token(&join.token_hash)?
        .ok_or(Refusal::LinkUnknown)?;
    if let Some(joined) = joined_before(&join, &link, &draft)? {
        return Ok(draft.answer(Answer::Joined(joined)));
    }
    // To a blocked browser none of this host's links exists.
    if draft.facts.block(&link.host, &join.ed25519)?.is_some() {
        return Err(Refusal::LinkUnknown.into());
    }
    link.usable(draft.now)?;
    steering::check_link(&link, draft.facts, draft.policy)?;
    steering::check_pause(draft.facts)?;
    check_keys(&join, &link)?;
    let name = GuestName::parse(&join.name)?;
    let host = draft.host_view(&link.host)?;
    if name.looks_like(&host.user_id, &host.display_name) {
        return Err(Refusal::NameOfHost.into());
    }
    match (link.passcode, join.passcode) {
        (Some(_), None) => return Err(Refusal::PasscodeNeeded.into()),
        (Some(expected), Some(tried)) if expected != tried => return wrong_passcode(link, draft),
        _ => {}
    }
    check_open_chats(&link.host, &mut draft)?;

    let portal = new_portal(&join, &link, name.clone(), &mut draft);
    let joined = Joined {
        portal: portal.id,
        name: name.labelled(),
        host,
    };
    let state = LinkState::Used {
        portal: portal.id,
        at: draft.now,
    };
    draft.counts()?.link_over();
    draft.counts()?.chat_opened();
    let target = Target::chat(&link.host, portal.id, Some(&link));
    draft.audit(Act::LinkUsed, Actor::Guest, target)?;
    draft.put_link(Link { state, ..link });
    open(&portal, join.device, join.keys, &mut draft);
    draft.put_new_portal(portal);
    Ok(draft.answer(Answer::Joined(joined)))
}

/// The answer that this very browser was given before, if its request came a second time.
fn joined_before(join: &Join, link: &Link, draft: &Draft<'_>) -> Result<Option<Joined>, Undecided> {
    let LinkState::Used { portal, .. } = link.state else {
        return Ok(None);
    };
    let Some(portal) = draft.facts.portal(portal)? else {
        return Ok(None);
    };
    let same_browser = portal.ghost == join.ghost
        && portal.visit.device == join.device
        && portal.visit.ed25519 == join.ed25519;
    if !same_browser {
        return Ok(None);
    }
    let host = draft.host_view(&portal.host)?;
    Ok(Some(Joined {
        portal: portal.id,
        name: portal.name.labelled(),
        host,
    }))
}

/// The ghost's id was reserved with the link; with another one these keys would be another user's.
fn check_keys(join: &Join, link: &Link) -> Result<(), Refusal> {
    let device = join.device.as_str();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    // The device id becomes part of paths at the homeserver and of the text that a hello signs.
    let sound_device = (1..=DEVICE_ID_LENGTH).contains(&device.len()) && device.bytes().all(plain);
    if join.ghost == link.ghost && sound_device && !join.ed25519.is_empty() {
        Ok(())
    } else {
        Err(Refusal::BadKeys)
    }
}

/// Counts a wrong passcode. The last one that is allowed takes the link back.
fn wrong_passcode(mut link: Link, mut draft: Draft<'_>) -> Result<Decision, Undecided> {
    link.wrong_passcodes = link.wrong_passcodes.saturating_add(1);
    let left = PASSCODE_TRIES.saturating_sub(link.wrong_passcodes);
    let refusal = if left == 0 {
        link.state = LinkState::Revoked { at: draft.now };
        draft.counts()?.link_over();
        draft.audit(Act::PasscodeSpent, Actor::Guest, Target::link(&link))?;
        notice::passcode_spent(&link, &mut draft)?;
        Refusal::PasscodeSpent
    } else {
        Refusal::PasscodeWrong { left }
    };
    draft.put_link(link);
    Ok(draft.answer(Answer::Refused(refusal)))
}

/// Tells the host, once, that their link arrived somewhere. Whether it was a person is not known.
pub(crate) fn looked(token: &TokenHash, mut draft: Draft<'_>) -> Result<Decision, Undecided> {
    let link = readable(draft.facts.link_by_token(token))?;
    let is_news = |link: &Link| link.opened_at.is_none() && link.usable(draft.now).is_ok();
    if let Some(mut link) = link.filter(is_news) {
        link.opened_at = Some(draft.now);
        draft.audit(Act::LinkOpened, Actor::Guest, Target::link(&link))?;
        notice::link_opened(&link, &mut draft)?;
        draft.put_link(link);
    }
    Ok(draft.answer(Answer::Stored))
}

fn check_open_chats(host: &UserId, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let portals = draft.facts.portals_of_host(host)?;
    let open = portals.iter().filter(|portal| !portal.is_closed()).count();
    let everywhere = draft.counts()?.open_chats;
    let quota = readable(draft.facts.host(host))?.map_or_else(Quota::default, |host| host.quota);
    if open < quota.chats.unwrap_or(draft.policy.open_chats)
        && everywhere < draft.policy.limits.bridge_chats
    {
        Ok(())
    } else {
        Err(Refusal::HostBusy.into())
    }
}

fn new_portal(join: &Join, link: &Link, name: GuestName, draft: &mut Draft<'_>) -> Portal {
    Portal {
        id: PortalId::random(draft.rng),
        link: link.id,
        host: link.host.clone(),
        ghost: link.ghost.clone(),
        name,
        visit: Visit {
            device: join.device.clone(),
            ed25519: join.ed25519.clone(),
            master: join.keys.master().map(str::to_owned),
            last_n: 0,
            rate: draft.now,
            seen_at: draft.now,
        },
        state: PortalState::Opening {
            room: None,
            host_joined: false,
        },
        created_at: draft.now,
        last_message_at: draft.now,
        ends_at: draft.now + draft.policy.idle_limit,
        last_seq: 0,
        told: Told::default(),
        alarm_at: None,
        host_read: None,
        put_back: None,
    }
}

/// The steps up to the room. The ghost is cross-signed before the room exists, because a client
/// that meets an unsigned device warns of it.
fn open(made: &Portal, device: DeviceId, keys: JoinKeys, draft: &mut Draft<'_>) {
    let portal = made.id;
    let ghost = made.ghost.clone();
    let device_keys = keys.device_keys.clone();
    let keys = Box::new(keys);
    draft.effect(Effect::RegisterGhost {
        portal,
        ghost: ghost.clone(),
    });
    draft.effect(Effect::NameGhost {
        portal,
        ghost: ghost.clone(),
        name: made.name.clone(),
    });
    draft.effect(Effect::PutDevice {
        portal,
        ghost: ghost.clone(),
        device: device.clone(),
    });
    draft.effect(Effect::UploadKeys {
        portal,
        ghost: ghost.clone(),
        device: device.clone(),
        keys: keys.clone(),
    });
    draft.effect(Effect::UploadCrossSigning {
        portal,
        ghost: ghost.clone(),
        keys,
    });
    draft.effect(Effect::UploadSignatures {
        portal,
        ghost: ghost.clone(),
        device,
        device_keys,
    });
    draft.effect(Effect::CreateRoom {
        portal,
        host: made.host.clone(),
        ghost,
    });
}
