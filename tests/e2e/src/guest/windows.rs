//! What a browser does around the page: windows, the network, the size of the screen.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::Guest;
use crate::Shape;

impl Guest {
    /// What the browser complained about.
    ///
    /// # Errors
    /// As [`crate::Browser::complaints`].
    pub fn complaints(&self) -> Result<Vec<String>> {
        self.browser.complaints()
    }

    /// Goes to an address in one more window of the same browser; gives the window that was in
    /// front, for [`Guest::look_at`].
    ///
    /// # Errors
    /// When the browser can't.
    pub fn open_another(&self, url: &str) -> Result<String> {
        let before = self.browser.another_window()?;
        self.browser.session().go(url)?;
        Ok(before)
    }

    /// The window that is looked at.
    ///
    /// # Errors
    /// When it is gone.
    pub fn window(&self) -> Result<String> {
        self.browser.session().window()
    }

    /// Looks at another window.
    ///
    /// # Errors
    /// When it is gone.
    pub fn look_at(&self, window: &str) -> Result<()> {
        self.browser.session().switch_to(window)
    }

    /// Closes the window that is looked at, and looks at another.
    ///
    /// # Errors
    /// When one of them is gone.
    pub fn close_for(&self, window: &str) -> Result<()> {
        self.browser.session().close_window()?;
        self.look_at(window)
    }

    /// Takes the network away from the browser, or gives it back.
    ///
    /// # Errors
    /// As [`crate::Browser::set_offline`].
    pub fn set_offline(&self, offline: bool) -> Result<()> {
        self.browser.set_offline(offline)
    }

    /// Waits until the strip above the messages shows this, a value of `data-banner`, and shows it;
    /// or until it shows nothing, for `none`.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait_banner(&self, name: &str) -> Result<()> {
        let script = "return document.querySelector('.banner')?.dataset.banner ?? ''";
        self.until(&format!("the banner {name}"), || {
            let shown = self.browser.session().run(script)?;
            Ok((shown == name).then_some(()))
        })
    }

    /// How many rows the page's databases hold, in all of its stores.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn stored_rows(&self) -> Result<u64> {
        // Nothing may be opened that isn't there: it would come into being.
        let script = "return (async () => {
            const done = (request) => new Promise((resolve, reject) => {
                request.onsuccess = () => resolve(request.result);
                request.onerror = () => reject(request.error);
            });
            let rows = 0;
            for (const { name } of await indexedDB.databases()) {
                const db = await done(indexedDB.open(name));
                for (const store of db.objectStoreNames)
                    rows += await done(db.transaction(store).objectStore(store).count());
                db.close();
            }
            return rows;
        })()";
        let rows = self.browser.session().run(script)?;
        rows.as_u64().context("no number")
    }

    /// Presses a button.
    ///
    /// # Errors
    /// When there is none of that name, or more than one.
    pub fn press_button(&self, name: &str) -> Result<()> {
        let button = self.named("button", name)?;
        self.browser.session().click(&button)
    }

    /// Ends the chat and erases it, as somebody would who means it.
    ///
    /// # Errors
    /// When the page does not offer it.
    pub fn end_and_erase(&self) -> Result<()> {
        self.toggle_menu()?;
        self.press_button("End and erase")?;
        let is_asked = "return document.querySelector('dialog[open]') !== null";
        self.until("the question", || {
            Ok((self.browser.session().run(is_asked)? == true).then_some(()))
        })?;
        // WebKit's driver finds what lies behind the question too.
        let button = self.named_in("dialog[open]", "button", "End and erase")?;
        self.browser.session().click(&button)
    }

    /// Shows the page on a screen of another shape.
    ///
    /// # Errors
    /// As [`crate::Browser::take_shape`].
    pub fn take_shape(&self, shape: Shape) -> Result<()> {
        self.browser.take_shape(shape)
    }

    /// That a screen of words can be read and used on a screen of this shape: one heading, a title,
    /// nothing beside the window.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn check_words(&self, shape: Shape) -> Result<()> {
        self.take_shape(shape)?;
        let layout = self.layout(shape)?;
        ensure!(
            matches!(layout.headings.as_slice(), [one] if !one.is_empty()),
            "there should be one heading: {layout:?}"
        );
        Ok(())
    }

    /// That the chat can be read and used: nothing beside the window, and the field inside it.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn check_chat(&self, shape: Shape) -> Result<()> {
        let layout = self.layout(shape)?;
        ensure!(
            layout.field,
            "the field is not inside the window: {layout:?}"
        );
        Ok(())
    }

    fn layout(&self, shape: Shape) -> Result<Layout> {
        let (width, _) = shape.size();
        let layout = self.until("the window's size", || {
            let layout: Layout = serde_json::from_value(self.browser.session().run(LAYOUT)?)?;
            Ok((layout.width == width).then_some(layout))
        })?;
        ensure!(!layout.title.is_empty(), "no title: {layout:?}");
        ensure!(!layout.overflows, "wider than the screen: {layout:?}");
        ensure!(layout.outside.is_empty(), "beside the screen: {layout:?}");
        Ok(layout)
    }
}

/// How the page lies in its window.
#[derive(Debug, Deserialize)]
struct Layout {
    width: u32,
    /// The texts of the headings of the first level that show.
    headings: Vec<String>,
    title: String,
    /// It can be moved sideways.
    overflows: bool,
    /// What reaches beyond the window on the left or on the right.
    outside: Vec<String>,
    /// The field to write in is inside the window.
    field: bool,
}

const LAYOUT: &str = "
    const shown = (element) => element.getClientRects().length > 0;
    const beyond = (element) => {
        const { left, right } = element.getBoundingClientRect();
        return left < -1 || right > innerWidth + 1;
    };
    const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
    const field = document.querySelector('#message')?.getBoundingClientRect();
    return {
        width: innerWidth,
        headings: all('h1').map((heading) => heading.textContent),
        title: document.title,
        overflows: document.documentElement.scrollWidth > innerWidth,
        outside: all('button, input, textarea, a, h1, h2, p').filter(beyond)
            .map((element) => element.outerHTML.slice(0, 100)),
        field: field !== undefined && field.height > 0 && field.top >= 0 && field.bottom <= innerHeight,
    }";
