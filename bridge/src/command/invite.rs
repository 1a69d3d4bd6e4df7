//! `invite [label]`: make a link.

use super::{Command, Misuse, Request};
use crate::bridge::Undecided;
use crate::draft::Draft;
use crate::effect::{Effect, Words};
use crate::ghost;
use crate::guest::visible_text;
use crate::host::ManagementRoom;
use crate::id::{LinkId, UserId};
use crate::link::{Link, LinkState, Token};
use crate::policy::{Policy, Role};
use crate::store::Change;
use crate::words::{escape, in_words};

/// How many characters a label may have.
pub const LABEL_LENGTH: usize = 60;

pub(super) const COMMAND: Command = Command {
    name: "invite",
    arguments: "[label]",
    summary: "make a link for one guest",
    details: "The label reminds you whom the link is for; the guest doesn't see it. \
              Send the link to one person: the first who opens it and presses Start chat is in, and then it works \
              for nobody else. You get an ordinary invitation as soon as they start.",
    role: Role::Host,
    parse,
};

/// Make a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// The host's reminder of whom it is for.
    pub label: Option<String>,
}

fn parse(arguments: &str, _role: Role) -> Result<Request, Misuse> {
    if let Some(typed) = arguments.split_whitespace().find(|word| is_option(word)) {
        return Err(Misuse::Option {
            command: COMMAND.name,
            typed: super::shorten(typed),
        });
    }
    let label = visible_text(arguments);
    if label.chars().count() > LABEL_LENGTH {
        return Err(Misuse::Label);
    }
    Ok(Request::Invite(Invite {
        label: Some(label).filter(|label| !label.is_empty()),
    }))
}

/// `--word`, also as telephones write it: they turn two hyphens into a dash.
fn is_option(word: &str) -> bool {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('—'));
    name.is_some_and(|name| name.starts_with(char::is_alphabetic))
}

pub(super) fn answer(
    invite: Invite,
    room: &ManagementRoom,
    author: &UserId,
    draft: &mut Draft<'_>,
) -> Result<(), Undecided> {
    let links = draft.facts.links_of_host(author)?;
    let open = links
        .iter()
        .filter(|link| link.usable(draft.now).is_ok())
        .count();
    if open >= draft.policy.open_links {
        draft.say(&room.room, too_many(open, draft.policy));
        return Ok(());
    }
    let token = Token::random(draft.rng);
    let link = Link {
        id: LinkId::random(draft.rng),
        host: author.clone(),
        room: room.room.clone(),
        label: invite.label,
        token_hash: token.hash(),
        ghost: ghost::random(&draft.policy.server_name, draft.rng),
        created_at: draft.now,
        expires_at: draft.now + draft.policy.link_lifetime,
        state: LinkState::Open,
    };
    // The name first: whoever opens the link reads it.
    draft.effect(Effect::FetchHostName {
        room: link.room.clone(),
        host: link.host.clone(),
    });
    let words = sharing_words(&link, &token, draft.policy);
    share(&link, words, draft);
    draft.put(Change::PutLink(link));
    Ok(())
}

/// The words of a link were lost before it was known that they were said. We don't know the token
/// any more, so the link gets a new one. The host may have the first: they must not send that on.
pub(crate) fn share_again(link: LinkId, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let Some(link) = draft.facts.link(link)? else {
        return Ok(());
    };
    if link.usable(draft.now).is_ok() {
        let token = Token::random(draft.rng);
        let mut words = sharing_words(&link, &token, draft.policy);
        let warning = Words::new(format!(
            "I was interrupted while I made your link for {}. Should you see two of them, this one works and the one \
             before does not.\n",
            whom(link.label.as_deref()),
        ));
        words.plain.insert_str(0, &warning.plain);
        words.html.insert_str(0, &warning.html);
        share(&link, words, draft);
        draft.put(Change::PutLink(Link {
            token_hash: token.hash(),
            ..link
        }));
    }
    Ok(())
}

fn share(link: &Link, words: Words, draft: &mut Draft<'_>) {
    let effect = draft.effect(Effect::ShareLink {
        room: link.room.clone(),
        link: link.id,
    });
    draft.hand_over(effect, words);
}

/// Whom a link is for, as the bot speaks of them.
pub(crate) fn whom(label: Option<&str>) -> &str {
    label.unwrap_or("a guest")
}

fn sharing_words(link: &Link, token: &Token, policy: &Policy) -> Words {
    let whom = whom(link.label.as_deref());
    let url = format!("{}/#{}", policy.public_url, token.reveal());
    let lives = in_words(policy.link_lifetime);
    let rules = format!(
        "It is for one person and one browser: the first who opens it and presses Start chat is in. \
         Unused, it works for {lives}."
    );
    let (whom_html, url_html) = (escape(whom), escape(&url));
    Words {
        plain: format!("Here is your link for {whom}:\n{url}\n{rules}"),
        html: format!(
            "Here is your link for <strong>{whom_html}</strong>:<br><a href=\"{url_html}\">{url_html}</a><br>{rules}"
        ),
    }
}

fn too_many(open: usize, policy: &Policy) -> Words {
    let lives = in_words(policy.link_lifetime);
    Words::new(format!(
        "You have {open} unused links, and more are not allowed. Please use one of them; each ends by itself \
         {lives} after it was made."
    ))
}
