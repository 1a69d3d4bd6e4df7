//! What a host reads of a chat's safety code.

use crate::command::shown;
use crate::effect::Words;
use crate::id::{PortalId, RoomId};
use crate::notice::whom_by_number;
use crate::portal::Portal;
use crate::store::{Facts, Read};

/// What was found out about the keys of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The code of the two identities.
    Code {
        /// The code.
        code: String,
        /// Whether the guest's key is the one that their browser gave when they joined; chats from
        /// before that was kept have the homeserver's word alone.
        given: bool,
    },
    /// The host's account has no cross-signing, so there is nothing to compare.
    HostUnsigned,
    /// The homeserver shows another key for the guest than their browser made, or none.
    GuestAltered,
    /// The homeserver could not tell.
    Unknown,
}

/// The chat that is asked about, while it is open.
///
/// # Errors
/// When a row can't be read.
pub fn asked_about(portal: PortalId, facts: &dyn Facts) -> Read<Option<Portal>> {
    Ok(facts.portal(portal)?.filter(Portal::is_open))
}

/// The bot's words. None when the bot is not in the room any more; `None` found: the chat is over.
///
/// # Errors
/// When a row can't be read.
pub fn words(
    portal: PortalId,
    room: &RoomId,
    found: Option<&Finding>,
    facts: &dyn Facts,
) -> Read<Option<Words>> {
    let Some(room) = facts.management_room(room)?.filter(|room| !room.admin) else {
        return Ok(None);
    };
    let link = match facts.portal(portal)? {
        Some(portal) => facts.link(portal.link)?,
        None => None,
    };
    let number = link.as_ref().map_or(0, |link| link.number);
    let label = link.as_ref().and_then(|link| link.label.as_deref());
    let who = whom_by_number(label, number);
    let command = |name: &str| {
        let written = format!("{name} {number}");
        format!("`{}`", shown(written.trim_end_matches(" 0"), room.direct))
    };
    Ok(Some(Words::new(match found {
        None => format!("The chat with {who} is over."),
        Some(Finding::Code { code, given }) => format!(
            "The safety code of your chat with {who}:\n`{code}`\n\
             Your guest finds theirs in the menu of their page. Read the codes to each other by phone or face to \
             face. The same code: the guest's browser and the homeserver agree on who you both are. Another code: \
             somebody may stand between you, so write nothing more there, and end the chat with {}.\n\
             The code is made of the keys that the homeserver shows for you and that {}. It can't find out a \
             homeserver that shows everybody the same wrong key. It changes when you reset your encryption \
             identity; your guest is told then.",
            command("end"),
            if *given {
                "the guest's browser gave me"
            } else {
                "it shows for your guest"
            }
        ),
        Some(Finding::HostUnsigned) => format!(
            "There is no safety code for the chat with {who}, because your account has no cross-signing. Until it \
             has, messages go to every device that your homeserver names as yours. Set it up in your client (in \
             Element under Settings, Encryption), and write {} again.",
            command("verify")
        ),
        Some(Finding::GuestAltered) => format!(
            "Stop: the homeserver shows another key for {who} than their browser made. Whoever runs the homeserver \
             may be pretending to be your guest. Write nothing more there, end the chat with {}, and tell your \
             admin.",
            command("end")
        ),
        Some(Finding::Unknown) => format!(
            "I could not find out the keys of the chat with {who}: a homeserver did not answer as it should. Write \
             {} again in a few minutes.",
            command("verify")
        ),
    })))
}
