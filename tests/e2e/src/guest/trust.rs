//! What the page says of who can read, and the safety code.

use anyhow::{Context as _, Result};

use super::Guest;

impl Guest {
    /// Waits until the line under the host's name has this in it.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait_readers(&self, words: &str) -> Result<()> {
        let script = "return document.querySelector('.promise')?.textContent ?? ''";
        self.until(&format!("“{words}” under the host's name"), || {
            let line = self.browser.session().run(script)?;
            Ok(line
                .as_str()
                .is_some_and(|line| line.contains(words))
                .then_some(()))
        })
    }

    /// The safety code that stands in the menu, as soon as there is one.
    ///
    /// # Errors
    /// When there is none.
    pub fn safety_code(&self) -> Result<String> {
        let script = "return document.querySelector('.safety .code')?.textContent ?? null";
        self.until("the safety code", || {
            Ok(self
                .browser
                .session()
                .run(script)?
                .as_str()
                .map(str::to_owned))
        })
    }

    /// What the menu says of the safety code.
    ///
    /// # Errors
    /// When the page is gone.
    pub fn safety_words(&self) -> Result<String> {
        let script = "return document.querySelector('.safety')?.textContent ?? ''";
        let words = self.browser.session().run(script)?;
        Ok(words.as_str().context("no text")?.to_owned())
    }

    /// Opens the menu, or closes it.
    ///
    /// # Errors
    /// When the page does not offer it.
    pub fn toggle_menu(&self) -> Result<()> {
        let session = self.browser.session();
        session.click(&self.named("button", "Menu")?)
    }

    /// Goes on with the host's new identity.
    ///
    /// # Errors
    /// When the page does not ask.
    pub fn accept_identity(&self) -> Result<()> {
        let session = self.browser.session();
        session.click(&self.named("button", "Go on")?)
    }
}
