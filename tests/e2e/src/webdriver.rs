//! The few calls of the WebDriver protocol (W3C) that a guest needs.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use vestibule_lab::Api;

/// The key under which WebDriver hides an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One browser window under remote control.
#[derive(Debug)]
pub struct Session {
    driver: Api,
    path: String,
}

/// An element of the page that is shown now.
#[derive(Debug, Clone)]
pub struct Element(String);

impl Session {
    /// Opens a window; `driver` is the address of a running WebDriver server.
    ///
    /// # Errors
    /// When the browser can't be started.
    pub fn open(driver: &str, capabilities: &Value) -> Result<Self> {
        let driver = Api::new(driver, None);
        let body = json!({"capabilities": {"alwaysMatch": capabilities}});
        let said = ask(&driver, "POST", "/session", Some(&body))?;
        let id = said
            .get("sessionId")
            .and_then(Value::as_str)
            .context("no session id")?;
        Ok(Self {
            path: format!("/session/{id}"),
            driver,
        })
    }

    /// Closes the window and ends the browser.
    ///
    /// # Errors
    /// When it was gone already.
    pub fn close(&self) -> Result<()> {
        self.call("DELETE", "", None).map(drop)
    }

    /// Goes to an address and waits until the page is loaded.
    ///
    /// # Errors
    /// When it can't be loaded.
    pub fn go(&self, url: &str) -> Result<()> {
        self.call("POST", "/url", Some(&json!({"url": url})))
            .map(drop)
    }

    /// Loads the page anew.
    ///
    /// # Errors
    /// When it can't be loaded.
    pub fn reload(&self) -> Result<()> {
        self.call("POST", "/refresh", Some(&json!({}))).map(drop)
    }

    /// Runs a script in the page; what it returns.
    ///
    /// # Errors
    /// When the script throws.
    pub fn run(&self, script: &str) -> Result<Value> {
        self.call(
            "POST",
            "/execute/sync",
            Some(&json!({"script": script, "args": []})),
        )
    }

    /// Runs a script at the beginning of each page from now on; a command of Chromium's own.
    ///
    /// # Errors
    /// When the browser refuses.
    pub fn run_in_each_page(&self, script: &str) -> Result<()> {
        let body = json!({
            "cmd": "Page.addScriptToEvaluateOnNewDocument",
            "params": {"source": script},
        });
        self.call("POST", "/goog/cdp/execute", Some(&body))
            .map(drop)
    }

    /// Has the page look as on another screen; commands of Chromium's own.
    ///
    /// # Errors
    /// When the browser refuses.
    pub fn look_as(&self, width: u32, height: u32, dark: bool) -> Result<()> {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        let phone = width < 600;
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone});
        for (command, parameters) in [
            ("Emulation.setDeviceMetricsOverride", size),
            ("Emulation.setEmulatedMedia", json!({"features": features})),
        ] {
            let body = json!({"cmd": command, "params": parameters});
            self.call("POST", "/goog/cdp/execute", Some(&body))?;
        }
        Ok(())
    }

    /// All elements that a CSS selector finds.
    ///
    /// # Errors
    /// When the selector is wrong.
    pub fn find(&self, css: &str) -> Result<Vec<Element>> {
        let body = json!({"using": "css selector", "value": css});
        let found = self.call("POST", "/elements", Some(&body))?;
        let found = found.as_array().context("no list of elements")?;
        let ids = found
            .iter()
            .filter_map(|element| element.get(ELEMENT)?.as_str());
        Ok(ids.map(|id| Element(id.to_owned())).collect())
    }

    /// The role that a screen reader is told.
    ///
    /// # Errors
    /// When the element is gone.
    pub fn role(&self, element: &Element) -> Result<String> {
        self.text(&format!("/element/{}/computedrole", element.0))
    }

    /// The name that a screen reader is told.
    ///
    /// # Errors
    /// When the element is gone.
    pub fn label(&self, element: &Element) -> Result<String> {
        self.text(&format!("/element/{}/computedlabel", element.0))
    }

    /// Presses an element.
    ///
    /// # Errors
    /// When it is gone, hidden or covered.
    pub fn click(&self, element: &Element) -> Result<()> {
        self.call(
            "POST",
            &format!("/element/{}/click", element.0),
            Some(&json!({})),
        )
        .map(drop)
    }

    /// Types into an element.
    ///
    /// # Errors
    /// When it is gone or takes no text.
    pub fn type_text(&self, element: &Element, text: &str) -> Result<()> {
        let path = format!("/element/{}/value", element.0);
        self.call("POST", &path, Some(&json!({"text": text})))
            .map(drop)
    }

    /// What the page wrote to the console since the last call.
    ///
    /// # Errors
    /// When the browser does not tell.
    pub fn console(&self) -> Result<Vec<Value>> {
        let log = self.call("POST", "/se/log", Some(&json!({"type": "browser"})))?;
        Ok(log.as_array().cloned().unwrap_or_default())
    }

    /// A picture of the window, as PNG in base64.
    ///
    /// # Errors
    /// When the browser can't make one.
    pub fn screenshot(&self) -> Result<String> {
        self.text("/screenshot")
    }

    fn text(&self, path: &str) -> Result<String> {
        let said = self.call("GET", path, None)?;
        Ok(said.as_str().context("no text")?.to_owned())
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        ask(&self.driver, method, &format!("{}{path}", self.path), body)
    }
}

fn ask(driver: &Api, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let answer = driver.call(method, path, body)?;
    ensure!(answer.is_success(), "{method} {path}: {}", answer.text);
    Ok(answer
        .json()
        .get_mut("value")
        .map(Value::take)
        .unwrap_or_default())
}
