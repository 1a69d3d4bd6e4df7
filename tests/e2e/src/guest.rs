//! A guest: somebody in front of the page.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::Browser;
use crate::webdriver::Element;

mod messages;
mod trust;
mod windows;

/// How long the page may take for what normally takes a moment.
const PATIENCE: Duration = Duration::from_secs(60);

/// A message as it stands in the page.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Bubble {
    /// `me` or `host`.
    pub from: String,
    /// Of one's own: `waiting`, `sent`, `delivered`, `read` or `failed`.
    pub state: Option<String>,
    /// Of the host's: `text`, `removed`, `undecryptable` or `unsupported`; of one's own `removed`.
    #[serde(default)]
    pub says: Option<String>,
    /// The text.
    pub body: String,
}

/// A person with a browser.
#[derive(Debug)]
pub struct Guest {
    browser: Browser,
}

impl Guest {
    /// Opens a browser of its own and goes to a link.
    ///
    /// # Errors
    /// When the browser can't be started or the page can't be loaded.
    pub fn open(link: &str) -> Result<Self> {
        Self::open_in(Browser::start()?, link)
    }

    /// Goes to a link in a browser that is there already.
    ///
    /// # Errors
    /// When the page can't be loaded.
    pub fn open_in(browser: Browser, link: &str) -> Result<Self> {
        browser.session().go(link)?;
        Ok(Self { browser })
    }

    /// Goes to another address in the same browser.
    ///
    /// # Errors
    /// When it can't be loaded.
    pub fn go(&self, url: &str) -> Result<()> {
        // A change of the fragment alone would not load the page again.
        self.browser.session().go("about:blank")?;
        self.browser.session().go(url)
    }

    /// Types the name and presses *Start chat*; the chat may not be open yet afterwards.
    ///
    /// # Errors
    /// When the page does not offer it.
    pub fn start_chat(&self, name: &str) -> Result<()> {
        let session = self.browser.session();
        session.type_text(&self.named("textbox", "Your name")?, name)?;
        self.press_start()
    }

    /// Presses *Start chat*, with what stands in the fields.
    ///
    /// # Errors
    /// When the page does not offer it.
    pub fn press_start(&self) -> Result<()> {
        let button = self.named("button", "Start chat")?;
        self.browser.session().click(&button)
    }

    /// Types a passcode, in the place of what stood there.
    ///
    /// # Errors
    /// When the page asks for none.
    pub fn type_passcode(&self, digits: &str) -> Result<()> {
        // Control and A, then the keys are let go.
        let keys = format!("\u{e009}a\u{e000}{digits}");
        let field = self.named("textbox", "Passcode")?;
        self.browser.session().type_text(&field, &keys)
    }

    /// Types a message and presses *Send*.
    ///
    /// # Errors
    /// When the page does not offer it.
    pub fn say(&self, text: &str) -> Result<()> {
        let session = self.browser.session();
        session.type_text(&self.named("textbox", "Message")?, text)?;
        session.click(&self.named("button", "Send")?)
    }

    /// Has the page send a message after a moment, without asking it for each element first; false
    /// when there is no field to write in.
    ///
    /// # Errors
    /// When the page is gone.
    pub fn say_quickly(&self, text: &str) -> Result<bool> {
        let text = serde_json::to_string(text)?;
        // The answer is out before the page begins, so that a kill can meet it anywhere.
        let script = format!(
            "const field = document.querySelector('#message');
            if (field === null) return false;
            field.value = {text};
            field.dispatchEvent(new Event('input'));
            setTimeout(() => field.form.requestSubmit(), 0);
            return true;"
        );
        Ok(self.browser.session().run(&script)? == true)
    }

    /// Kills the browser with all of its processes.
    ///
    /// # Errors
    /// As [`Browser::kill`].
    pub fn kill(&self) -> Result<()> {
        self.browser.kill()
    }

    /// Starts the browser again after [`Guest::kill`], without a page.
    ///
    /// # Errors
    /// As [`Browser::revive`].
    pub fn revive(&mut self) -> Result<()> {
        self.browser.revive()
    }

    /// Puts the browser's clock forward for the pages to come.
    ///
    /// # Errors
    /// When the browser refuses.
    pub fn put_clock_forward(&self, by: Duration) -> Result<()> {
        let script = format!(
            "{{ const now = Date.now; Date.now = () => now() + {}; }}",
            by.as_millis()
        );
        self.browser.session().run_in_each_page(&script)
    }

    /// Loads the chat until it is there, as somebody would who sees that the page can't be loaded.
    ///
    /// # Errors
    /// When it does not come within a minute, or the page says that it can't go on.
    pub fn bring_back(&self, url: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Whatever is wrong, it shows below.
            let _ = self.browser.session().go(url);
            let patience = Instant::now() + Duration::from_secs(5);
            while Instant::now() < patience {
                match self.screen().unwrap_or_default().as_str() {
                    "chat" => return Ok(()),
                    "" | "loading" => std::thread::sleep(Duration::from_millis(20)),
                    _ => break,
                }
            }
            if Instant::now() > deadline {
                bail!("the chat does not come back: “{}”", self.text()?);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The same, unless the chat is there.
    ///
    /// # Errors
    /// As [`Guest::bring_back`].
    pub fn bring_back_if_gone(&self, url: &str) -> Result<()> {
        match self.screen() {
            Ok(screen) if screen == "chat" => Ok(()),
            _ => self.bring_back(url),
        }
    }

    /// Waits until one's own message stands in the page: then it is kept.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait_shown(&self, text: &str) -> Result<()> {
        self.until("one's own message", || {
            let shown = self.texts("me")?.iter().any(|own| own == text);
            Ok(shown.then_some(()))
        })
    }

    /// Loads the page anew.
    ///
    /// # Errors
    /// When it can't be loaded.
    pub fn reload(&self) -> Result<()> {
        self.browser.session().reload()
    }

    /// Closes the browser, opens it again with the same profile and goes to an address.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn come_back(&mut self, url: &str) -> Result<()> {
        self.browser.restart()?;
        self.browser.session().go(url)
    }

    /// What the page shows: the value of `data-screen`.
    ///
    /// # Errors
    /// When the page has none.
    pub fn screen(&self) -> Result<String> {
        let script = "return document.querySelector('[data-screen]')?.dataset.screen ?? ''";
        Ok(self
            .browser
            .session()
            .run(script)?
            .as_str()
            .context("no screen")?
            .to_owned())
    }

    /// Waits until the page shows a screen.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait_screen(&self, name: &str) -> Result<()> {
        self.until(&format!("the screen {name}"), || {
            // A page that is just being loaded has none.
            Ok(self.screen().is_ok_and(|shown| shown == name).then_some(()))
        })
    }

    /// Waits until the room is made and sealed, so that a message would leave at once.
    ///
    /// # Errors
    /// When it does not come to that.
    pub fn wait_open(&self) -> Result<()> {
        let script = "const banner = document.querySelector('.banner');
            return document.querySelector('[data-screen=chat]') !== null && banner !== null
                && !['connecting', 'opening', 'reconnecting', 'offline'].includes(banner.dataset.banner)";
        self.until("the open chat", || {
            Ok((self.browser.session().run(script)? == true).then_some(()))
        })
    }

    /// All the text of the page.
    ///
    /// # Errors
    /// When the page is gone.
    pub fn text(&self) -> Result<String> {
        let text = self
            .browser
            .session()
            .run("return document.body.innerText")?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until exactly these messages of one side stand there, then looks again after a moment:
    /// a duplicate would come late.
    ///
    /// # Errors
    /// When they do not, with what stands there instead.
    pub fn wait_for_texts(&self, from: &str, expected: &[impl AsRef<str>]) -> Result<()> {
        let same = |texts: &[String]| texts.iter().eq(expected.iter().map(AsRef::as_ref));
        let what = format!("the {} messages of {from}", expected.len());
        self.until(&what, || Ok(same(&self.texts(from)?).then_some(())))?;
        std::thread::sleep(Duration::from_millis(500));
        let texts = self.texts(from)?;
        ensure!(same(&texts), "there is more than {what}: {texts:?}");
        Ok(())
    }

    /// Waits until a message of the host stands in the page; the time of day it was seen at, in
    /// milliseconds since the epoch, by the page's own watch: asking from outside would be slower.
    ///
    /// # Errors
    /// When it does not come.
    pub fn seen_at(&self, text: &str) -> Result<u64> {
        let name = serde_json::to_string(text)?;
        let script = format!("return (window.__seen ?? {{}})[{name}] ?? null");
        self.until("the message", || {
            Ok(self.browser.session().run(&script)?.as_f64())
        })
        .map(|at| at as u64)
    }

    /// Has the page note when each message appears; see [`Guest::seen_at`].
    ///
    /// # Errors
    /// When there is no chat in the page.
    pub fn watch(&self) -> Result<()> {
        let script = "window.__seen = {};
            new MutationObserver(() => {
                for (const body of document.querySelectorAll('[role=log] .body'))
                    window.__seen[body.textContent] ??= Date.now();
            }).observe(document.querySelector('[role=log]'), {childList: true, subtree: true});";
        self.browser.session().run(script).map(drop)
    }

    /// The visible element with a role and a name, as a screen reader would find it.
    ///
    /// # Errors
    /// When there is none within a minute, or more than one.
    pub fn named(&self, role: &str, name: &str) -> Result<Element> {
        self.named_in("", role, name)
    }

    /// The same among what is inside of something, a CSS selector.
    fn named_in(&self, place: &str, role: &str, name: &str) -> Result<Element> {
        let mut found = self.until(&format!("the {role} “{name}”"), || {
            let found = self.all_named(place, role, name)?;
            Ok((!found.is_empty()).then_some(found))
        })?;
        ensure!(
            found.len() == 1,
            "{} elements are a {role} “{name}”",
            found.len()
        );
        found.pop().context("no element")
    }

    fn all_named(&self, place: &str, role: &str, name: &str) -> Result<Vec<Element>> {
        let session = self.browser.session();
        let mut found = Vec::new();
        let kinds = ["input", "textarea", "button", "[role]", "[contenteditable]"];
        for element in session.find(&kinds.map(|kind| format!("{place} {kind}")).join(", "))? {
            // The page may take an element away while it is looked at.
            let fits = session.role(&element).is_ok_and(|found| found == role)
                && session.label(&element).is_ok_and(|found| found == name)
                && session.is_shown(&element).is_ok_and(|is_shown| is_shown);
            if fits {
                found.push(element);
            }
        }
        Ok(found)
    }

    fn until<T>(&self, what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look().with_context(|| format!("while waiting for {what}"))? {
                return Ok(found);
            }
            if Instant::now() > deadline {
                bail!(
                    "the guest waited {} s for {what}; the page shows “{}”:\n{}\nconsole: {:?}",
                    PATIENCE.as_secs(),
                    self.screen().unwrap_or_default(),
                    self.text().unwrap_or_default(),
                    self.browser.session().console().unwrap_or_default(),
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
