//! `invite [label] [--expires 3d] [--passcode]`: make a link.

use std::time::Duration;

use super::scene::{Scene, Stop};
use super::{Command, Misuse, Place, Reader, Reads, Request, length, shorten};
use crate::audit::{Act, Actor, Target};
use crate::block;
use crate::book::Named;
use crate::bridge::Undecided;
use crate::draft::Draft;
use crate::effect::{Effect, Words};
use crate::ghost;
use crate::guest::visible_text;
use crate::id::LinkId;
use crate::link::{Link, LinkState, Token};
use crate::notice::{whom, whom_by_number};
use crate::passcode::Passcode;
use crate::policy::Role;
use crate::steering;
use crate::words::{escape, in_words, roughly};

/// How many characters a label may have.
pub const LABEL_LENGTH: usize = 60;

/// The span over which a host's new links are counted.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) const COMMAND: Command = Command {
    name: "invite",
    arguments: "[label] [--expires 3d] [--passcode]",
    summary: "make a link for one guest",
    details: "The label reminds you whom the link is for; the guest doesn't see it. \
              Send the link to one person: the first who opens it and presses Start chat is in, and then it works \
              for nobody else. You get an ordinary invitation as soon as they start.\n\
              With `--expires` you choose how long the link waits for them: m are minutes, h hours, d days, w weeks. \
              With `--passcode` they also need six digits, which you tell them some other way: on the telephone, \
              say.",
    role: Role::Host,
    place: Place::Hosts,
    reads: Reads::Own(parse),
};

/// Make a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invite {
    /// The host's reminder of whom it is for.
    pub label: Option<String>,
    /// How long it is to live; none means as the policy says.
    pub lives: Option<Duration>,
    /// Whether the guest must know a passcode.
    pub passcode: bool,
}

/// What a link is to be like.
pub(super) struct Wish {
    /// The label.
    pub label: Option<String>,
    /// How long it lives.
    pub lives: Duration,
    /// Whether it asks for a passcode.
    pub passcode: bool,
    /// The unused link that it takes the place of, which so doesn't count any more.
    pub replaces: Option<LinkId>,
}

fn parse(arguments: &str, _reader: Reader) -> Result<Request, Misuse> {
    let mut invite = Invite::default();
    let mut label = Vec::new();
    let mut words = arguments.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let Some(option) = option(word) else {
            label.push(word);
            continue;
        };
        let (name, value) = option
            .split_once('=')
            .map_or((option, None), |(name, value)| (name, Some(value)));
        match (name.to_lowercase().as_str(), value) {
            ("passcode", None) => invite.passcode = true,
            ("expires", value) => {
                let first = value.or_else(|| words.next_if(|next| self::option(next).is_none()));
                let mut typed = first.unwrap_or_default().to_owned();
                // "3 days" in two words.
                if !typed.is_empty() && typed.bytes().all(|byte| byte.is_ascii_digit()) {
                    let unit = words.next_if(|next| length::is_unit(next));
                    typed.push_str(unit.unwrap_or_default());
                }
                invite.lives = Some(length::parse(&typed).ok_or_else(|| Misuse::Length {
                    typed: shorten(&typed),
                })?);
            }
            _ => {
                return Err(Misuse::Option {
                    command: COMMAND.name,
                    typed: shorten(word),
                });
            }
        }
    }
    // A backtick would take part in the formatting of what the bot says.
    let label = visible_text(&label.join(" ").replace('`', "'"));
    if label.chars().count() > LABEL_LENGTH {
        return Err(Misuse::Label);
    }
    invite.label = Some(label).filter(|label| !label.is_empty());
    Ok(Request::Invite(invite))
}

/// `--word`, also as telephones write it: they turn two hyphens into a dash.
fn option(word: &str) -> Option<&str> {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('—'))?;
    name.starts_with(char::is_alphabetic).then_some(name)
}

pub(super) fn answer(invite: Invite, scene: Scene<'_>, draft: &mut Draft<'_>) -> Result<(), Stop> {
    let lives = invite.lives.unwrap_or(draft.policy.link_lifetime);
    let shortest = draft.policy.times.shortest_link;
    let longest = draft
        .policy
        .times
        .longest_link
        .max(draft.policy.link_lifetime);
    if invite.lives.is_some() && !(shortest..=longest).contains(&lives) {
        return Err(Stop::Because(format!(
            "A link can wait for a guest from {} up to {}. Write for example `--expires 3d`.",
            in_words(shortest),
            in_words(longest)
        )));
    }
    let wish = Wish {
        label: invite.label,
        lives,
        passcode: invite.passcode,
        replaces: None,
    };
    make(wish, scene, draft)
}

/// Makes a link and tells it.
pub(super) fn make(wish: Wish, scene: Scene<'_>, draft: &mut Draft<'_>) -> Result<(), Stop> {
    check(&wish, scene, draft)?;
    let author = scene.author;
    let token = Token::random(draft.rng);
    let passcode = wish.passcode.then(|| Passcode::random(draft.rng));
    let link = Link {
        id: LinkId::random(draft.rng),
        host: author.clone(),
        room: scene.room.room.clone(),
        label: wish.label,
        token_hash: token.hash(),
        ghost: ghost::random(&draft.policy.server_name, draft.rng),
        created_at: draft.now,
        expires_at: draft.now + wish.lives,
        state: LinkState::Open,
        number: draft.next_number(author)?,
        serial: draft.next_serial()?,
        passcode: passcode.as_ref().map(|passcode| passcode.hash(&token)),
        wrong_passcodes: 0,
        opened_at: None,
        chat_ended_at: None,
        alarm_at: None,
    };
    // The name first: whoever opens the link reads it.
    draft.effect(Effect::FetchHostName {
        room: link.room.clone(),
        host: link.host.clone(),
    });
    let lives = in_words(wish.lives);
    let words = sharing_words(&link, &token, passcode.as_ref(), &lives, draft);
    share(&link, words, draft);
    draft.counts()?.link_opened();
    draft.audit(Act::LinkMade, Actor::Host, Target::link(&link))?;
    draft.put_link(link);
    Ok(())
}

/// What stands against a new link, and what to do then.
fn check(wish: &Wish, scene: Scene<'_>, draft: &mut Draft<'_>) -> Result<(), Stop> {
    let author = scene.author;
    if draft.facts.steering()?.paused.is_some() {
        return Err(Stop::Because(
            "An administrator has paused this service for the moment, so I make no links. Chats go on. \
             Please try again later."
                .to_owned(),
        ));
    }
    if let Some(label) = &wish.label
        && let Some(block) = block::of_label(author, label, draft)?
    {
        return Err(Stop::Because(format!(
            "You blocked {}. Write {} first, or choose another label if this is somebody else.",
            whom_by_number(block.label(), block.number),
            scene.command("unblock", block.number)
        )));
    }
    let links = draft.facts.links_of_host(author)?;
    let open = links
        .iter()
        .filter(|link| link.usable(draft.now).is_ok() && wish.replaces != Some(link.id))
        .count();
    let quota = steering::host(author, draft)?.quota;
    if open >= quota.links.unwrap_or(draft.policy.open_links) {
        return Err(Stop::Because(format!(
            "You have {open} unused link{}, and more are not allowed. Please use one of them or take one back: \
             {} shows them.",
            if open == 1 { "" } else { "s" },
            scene.command("list", "")
        )));
    }
    if let Some(wait) = wait_for_tomorrow(&links, draft) {
        return Err(Stop::Because(format!(
            "You made {} links in 24 hours, and more are not allowed. You can make the next one in {}.",
            draft.policy.limits.links_a_day,
            roughly(wait)
        )));
    }
    let replaced = u64::from(wish.replaces.is_some());
    let everywhere = draft.counts()?.open_links.saturating_sub(replaced);
    if everywhere >= draft.policy.limits.bridge_links {
        return Err(Stop::Because(
            "There are as many unused links here as the server allows, yours and those of others. \
             Please try again later, or ask your administrator."
                .to_owned(),
        ));
    }
    Ok(())
}

/// When the host made as many links as a day allows: how long until the next.
fn wait_for_tomorrow(links: &[Link], draft: &Draft<'_>) -> Option<Duration> {
    // What lies in the future was made before the clock was set back, and says nothing.
    let is_recent =
        |link: &&Link| link.created_at <= draft.now && draft.now.since(link.created_at) < DAY;
    let mut made: Vec<_> = links.iter().filter(is_recent).collect();
    made.sort_by_key(|link| link.created_at);
    // Each counts for a day, so this is the one that has to fall out of it.
    let first = made.len().checked_sub(draft.policy.limits.links_a_day)?;
    let free = made.get(first).map_or(draft.now, |link| link.created_at) + DAY;
    Some(free.since(draft.now))
}

/// The words of a link were lost before it was known that they were said. We don't know the token
/// any more, so the link gets a new one, and a new passcode if it has one. The host may have the
/// first: they must not send that on.
pub(crate) fn share_again(link: LinkId, draft: &mut Draft<'_>) -> Result<(), Undecided> {
    let Some(link) = draft.link(link)? else {
        return Ok(());
    };
    if link.usable(draft.now).is_ok() {
        let token = Token::random(draft.rng);
        let passcode = link.passcode.map(|_| Passcode::random(draft.rng));
        let left = roughly(link.expires_at.since(draft.now));
        let mut words = sharing_words(&link, &token, passcode.as_ref(), &left, draft);
        let warning = Words::new(format!(
            "I was interrupted while I made your link for {}. Should you see two of them, this one works and the one \
             before does not.\n",
            whom(link.label.as_deref()),
        ));
        words.plain.insert_str(0, &warning.plain);
        words.html.insert_str(0, &warning.html);
        share(&link, words, draft);
        draft.put_link(Link {
            token_hash: token.hash(),
            passcode: passcode.map(|passcode| passcode.hash(&token)),
            ..link
        });
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

fn sharing_words(
    link: &Link,
    token: &Token,
    passcode: Option<&Passcode>,
    lives: &str,
    draft: &Draft<'_>,
) -> Words {
    let whom = whom(link.label.as_deref());
    let number = link.number;
    let url = format!("{}/#{}", draft.policy.public_url, token.reveal());
    let rules = format!(
        "It is for one person and one browser: the first who opens it and presses Start chat is in. \
         Unused, it works for {lives}. Its number is {number}."
    );
    let (whom_html, url_html) = (escape(whom), escape(&url));
    let (code, code_html) = passcode.map(Passcode::reveal).map_or_else(
        || (String::new(), String::new()),
        |code| {
            let how = "Tell them some other way than you send the link: on the telephone, say.";
            (
                format!("\nPasscode: {code}\n{how}"),
                format!("<br>Passcode: <strong>{code}</strong><br>{how}"),
            )
        },
    );
    Words {
        plain: format!("Here is your link for {whom}:\n{url}{code}\n{rules}"),
        html: format!(
            "Here is your link for <strong>{whom_html}</strong>:<br><a href=\"{url_html}\">{url_html}</a>{code_html}<br>{rules}"
        ),
    }
}
