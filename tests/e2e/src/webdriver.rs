//! The few calls of the WebDriver protocol (W3C) that a guest needs.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
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

    /// Gives the browser's window a size; what the page gets of it depends on the browser.
    ///
    /// # Errors
    /// When the browser refuses.
    pub fn set_size(&self, width: u32, height: u32) -> Result<()> {
        let rect = json!({"x": 0, "y": 0, "width": width, "height": height});
        self.call("POST", "/window/rect", Some(&rect)).map(drop)
    }

    /// The name of the window, or tab, that is steered.
    ///
    /// # Errors
    /// When it is gone.
    pub fn window(&self) -> Result<String> {
        self.text("/window")
    }

    /// Opens one more `tab` or `window`, and gives its name.
    ///
    /// # Errors
    /// When the browser refuses.
    pub fn new_window(&self, kind: &str) -> Result<String> {
        let opened = self.call("POST", "/window/new", Some(&json!({"type": kind})))?;
        let name = opened.get("handle").and_then(Value::as_str);
        Ok(name.context("no window")?.to_owned())
    }

    /// Steers another window from now on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn switch_to(&self, window: &str) -> Result<()> {
        self.call("POST", "/window", Some(&json!({"handle": window})))
            .map(drop)
    }

    /// Closes the window that is steered; another must be switched to then.
    ///
    /// # Errors
    /// When it is gone.
    pub fn close_window(&self) -> Result<()> {
        self.call("DELETE", "/window", None).map(drop)
    }

    /// Replaces the window by one without any bars. A browser opens one only for somebody who
    /// clicks, so something is clicked.
    ///
    /// # Errors
    /// When the browser refuses.
    pub fn pop_up(&self) -> Result<()> {
        let before = self.windows()?;
        self.go("about:blank")?;
        self.run(
            "const button = document.createElement('button');
            button.textContent = 'Open';
            button.onclick = () => open('about:blank', '_blank', 'popup,width=390,height=844');
            document.body.append(button);",
        )?;
        let button = self.find("button")?.pop().context("no button")?;
        self.click(&button)?;
        for _ in 0..100 {
            let opened = self.windows()?;
            if let Some(opened) = opened.iter().find(|window| !before.contains(window)) {
                self.close_window()?;
                return self.switch_to(opened);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("no window opened")
    }

    fn windows(&self) -> Result<Vec<String>> {
        let names = self.call("GET", "/window/handles", None)?;
        let names = names.as_array().context("no list of windows")?;
        let names = names.iter().filter_map(Value::as_str);
        Ok(names.map(str::to_owned).collect())
    }

    /// Takes the network away from Chromium's window, or gives it back.
    ///
    /// # Errors
    /// When the browser refuses.
    pub fn chromium_network(&self, offline: bool) -> Result<()> {
        let body = json!({
            "cmd": "Network.emulateNetworkConditions",
            "params": {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1},
        });
        self.call("POST", "/goog/cdp/execute", Some(&body))
            .map(drop)
    }

    /// Runs a script with all the rights of Firefox itself, beside the page.
    ///
    /// # Errors
    /// When the script throws, or the browser was not started for it.
    pub fn run_in_firefox(&self, script: &str) -> Result<Value> {
        let enter = |context: &str| {
            let body = json!({"context": context});
            self.call("POST", "/moz/context", Some(&body))
        };
        enter("chrome")?;
        let said = self.run(script);
        enter("content")?;
        said
    }

    /// All elements that a CSS selector finds.
    ///
    /// # Errors
    /// When the selector is wrong.
    pub fn find(&self, css: &str) -> Result<Vec<Element>> {
        let body = json!({"using": "css selector", "value": css});
        let answer = self
            .driver
            .call("POST", &format!("{}/elements", self.path), Some(&body))?;
        // The page took one of them away just while they were gathered, says WebKit's driver.
        if answer.text.contains("stale element reference") {
            return Ok(Vec::new());
        }
        ensure!(answer.is_success(), "looking for {css}: {}", answer.text);
        let found = answer.json().get_mut("value").map(Value::take);
        let found = found.unwrap_or_default();
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

    /// Whether one sees it, or would if one moved to where it is.
    ///
    /// # Errors
    /// When the element is gone.
    pub fn is_shown(&self, element: &Element) -> Result<bool> {
        let path = format!("/element/{}/displayed", element.0);
        Ok(self.call("GET", &path, None)? == true)
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
