//! What stands in the page's log, and pictures of it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;

use super::{Bubble, Guest};

impl Guest {
    /// The messages in the element with the role `log`, from top to bottom.
    ///
    /// # Errors
    /// When the page is gone.
    pub fn bubbles(&self) -> Result<Vec<Bubble>> {
        let script = "return [...document.querySelectorAll('[role=log] [data-from]:not([hidden])')].map(b => ({
            from: b.dataset.from,
            state: b.dataset.state ?? null,
            says: b.dataset.says ?? null,
            body: b.querySelector('.body')?.textContent ?? '',
        }))";
        Ok(serde_json::from_value(self.browser.session().run(script)?)?)
    }

    /// The texts of one side, from top to bottom.
    ///
    /// # Errors
    /// When the page is gone.
    pub fn texts(&self, from: &str) -> Result<Vec<String>> {
        let bubbles = self
            .bubbles()?
            .into_iter()
            .filter(|bubble| bubble.from == from);
        Ok(bubbles.map(|bubble| bubble.body).collect())
    }

    /// Waits until the messages of one side are these, whatever is said in their place.
    ///
    /// # Errors
    /// When they don't become these.
    pub fn wait_bubbles(&self, from: &str, wanted: &[(&str, &str)]) -> Result<()> {
        let mut last = Vec::new();
        let waited = self.until("the messages", || {
            last = self.bubbles()?;
            let side = last.iter().filter(|bubble| bubble.from == from);
            let found: Vec<_> = side
                .map(|bubble| (bubble.says.as_deref().unwrap_or(""), bubble.body.as_str()))
                .collect();
            Ok((found == wanted).then_some(()))
        });
        waited.with_context(|| format!("{last:#?}"))
    }

    /// Waits until the states of one's own messages are these, from top to bottom.
    ///
    /// # Errors
    /// When they don't become these.
    pub fn wait_states(&self, wanted: &[&str]) -> Result<()> {
        self.until(&format!("the states {wanted:?}"), || {
            let own = self
                .bubbles()?
                .into_iter()
                .filter(|bubble| bubble.from == "me");
            let states: Vec<String> = own.filter_map(|bubble| bubble.state).collect();
            Ok((states == wanted).then_some(()))
        })
    }

    /// Waits until words stand somewhere in the page, or until they don't.
    ///
    /// # Errors
    /// When it does not come to that.
    pub fn wait_text(&self, words: &str, there: bool) -> Result<()> {
        self.until(words, || {
            Ok((self.text()?.contains(words) == there).then_some(()))
        })
    }

    /// Types into the field, key by key, without sending it.
    ///
    /// # Errors
    /// When the page does not offer one.
    pub fn type_in(&self, keys: &str) -> Result<()> {
        let field = self.named("textbox", "Message")?;
        self.browser.session().type_text(&field, keys)
    }

    /// What stands quoted in the messages, with whom it quotes.
    ///
    /// # Errors
    /// When the page is gone.
    pub fn quotes(&self) -> Result<Vec<String>> {
        let script = "return [...document.querySelectorAll('.quote:not([hidden])')]
            .map((quote) => [...quote.children].map((child) => child.textContent).join(': '))";
        Ok(serde_json::from_value(self.browser.session().run(script)?)?)
    }

    /// Takes a message of one's own back, as somebody would: *Options*, then *Remove for both*.
    ///
    /// # Errors
    /// When there is no such message, or it can't be taken back.
    pub fn take_back(&self, text: &str) -> Result<()> {
        let text = serde_json::to_string(text)?;
        let script = format!(
            "const own = [...document.querySelectorAll('[data-from=me]')]
                .find((message) => message.querySelector('.body').textContent === {text});
            if (own?.querySelector('.more') == null) return false;
            own.querySelector('.more').click();
            own.querySelector('.choices button:last-of-type').click();
            return true;"
        );
        self.until("the button that takes a message back", || {
            Ok((self.browser.session().run(&script)? == true).then_some(()))
        })
    }

    /// Waits until all messages of the guest are delivered.
    ///
    /// # Errors
    /// When one is not.
    pub fn wait_delivered(&self) -> Result<()> {
        self.until("all messages to be delivered", || {
            let own = self
                .bubbles()?
                .into_iter()
                .filter(|bubble| bubble.from == "me");
            let states: Vec<Option<String>> = own.map(|bubble| bubble.state).collect();
            Ok(states
                .iter()
                .all(|state| matches!(state.as_deref(), Some("delivered" | "read")))
                .then_some(()))
        })
    }

    /// Writes a picture of the window as PNG.
    ///
    /// # Errors
    /// When it can't be made or written.
    pub fn picture(&self, file: &Path) -> Result<()> {
        let png = self.browser.session().screenshot()?;
        std::fs::write(file, base64::engine::general_purpose::STANDARD.decode(png)?)?;
        Ok(())
    }

    /// Pictures of the page on a phone and on a desk, light and dark, as `FOLDER/SIZE-COLOUR-NAME.png`.
    ///
    /// # Errors
    /// When one can't be made or written.
    pub fn pictures(&self, folder: &Path, name: &str) -> Result<()> {
        for (size, width, height) in [("phone", 390, 844), ("desk", 1280, 800)] {
            for dark in [false, true] {
                self.browser.session().look_as(width, height, dark)?;
                let colour = if dark { "dark" } else { "light" };
                // The messages move in when their colours change.
                std::thread::sleep(Duration::from_millis(300));
                self.picture(&folder.join(format!("{size}-{colour}-{name}.png")))?;
            }
        }
        self.browser.session().look_as(390, 844, false)
    }
}
