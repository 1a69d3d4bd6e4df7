//! A host and a guest who found each other.

use anyhow::{Context as _, Result, ensure};
use vestibule_lab::{Host, Invite, Lab, Message};

use crate::{Browser, Guest, told_by};

/// One chat, open on both sides.
pub struct Meeting<H> {
    /// The host.
    pub host: H,
    /// The guest.
    pub guest: Guest,
    /// The invitation that the host accepted.
    pub invite: Invite,
    /// The link that was used.
    pub link: String,
    /// The host's chat with the bot.
    pub management_room: String,
}

impl<H: Host> Meeting<H> {
    /// The host asks for a link, the guest opens it as `name`, the host accepts the invitation.
    ///
    /// # Errors
    /// When any of it does not happen.
    pub fn arrange(host: H, name: &str) -> Result<Self> {
        Self::arrange_with(host, Lab::BOT, name)
    }

    /// The same with a bot of another name.
    ///
    /// # Errors
    /// When any of it does not happen.
    pub fn arrange_with(host: H, bot: &str, name: &str) -> Result<Self> {
        Self::arrange_in(host, bot, name, Browser::start()?)
    }

    /// The same in a browser that is there already.
    ///
    /// # Errors
    /// When any of it does not happen.
    pub fn arrange_in(mut host: H, bot: &str, name: &str, browser: Browser) -> Result<Self> {
        let (management_room, link) = host.ask_for_link(bot, name)?;
        let guest = Guest::open_in(browser, &link)?;
        guest.start_chat(name)?;
        let invite = host.next_invite()?;
        host.join(&invite.room_id)?;
        guest.named("textbox", "Message")?;
        Ok(Self {
            host,
            guest,
            invite,
            link,
            management_room,
        })
    }

    /// The token inside the link.
    #[must_use]
    pub fn token(&self) -> &str {
        self.link.split_once('#').map_or("", |(_, token)| token)
    }

    /// The chat's room.
    #[must_use]
    pub fn room(&self) -> &str {
        &self.invite.room_id
    }

    /// The host writes.
    ///
    /// # Errors
    /// When it can't be sent.
    pub fn host_says(&mut self, text: &str) -> Result<String> {
        let room = self.invite.room_id.clone();
        self.host.send(&room, text)
    }

    /// The next `count` messages of the guest, as the host's client has them.
    ///
    /// # Errors
    /// When fewer come, one is not encrypted, or one can't be decrypted.
    pub fn host_hears(&mut self, count: usize) -> Result<Vec<Message>> {
        let room = self.invite.room_id.clone();
        let mut heard = Vec::new();
        while heard.len() < count {
            let next = self.host.next_message(&room);
            let message = next.with_context(|| format!("the page: {:?}", self.guest.bubbles()))?;
            ensure!(
                message.sender == self.invite.inviter,
                "{} wrote",
                message.sender
            );
            ensure!(message.decrypted, "not encrypted: {message:?}");
            heard.push(message);
        }
        Ok(heard)
    }
}

/// `count` texts that differ: `hello 1`, `hello 2` and so on.
#[must_use]
pub fn numbered(what: &str, count: usize) -> Vec<String> {
    (1..=count)
        .map(|number| format!("{what} {number}"))
        .collect()
}

/// What the bot says in a room of the host's, as soon as it holds `part`.
///
/// # Panics
/// When it doesn't come.
pub fn told(host: &mut impl Host, room: &str, part: &str) -> String {
    told_by(Lab::BOT, host, room, part)
}

/// The link in what the bot said.
///
/// # Panics
/// When there is none.
#[expect(clippy::unwrap_used, reason = "for tests, where it is the failure")]
#[must_use]
pub fn link(words: &str) -> String {
    let mut words = words.split_whitespace();
    words.find(|word| word.contains("/#")).unwrap().to_owned()
}
