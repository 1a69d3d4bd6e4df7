//! Plain HTTP calls.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

/// What an HTTP call brought, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// The body as JSON; `null` when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into()
}

/// `GET` of one address.
///
/// # Errors
/// When there is no answer at all.
pub fn get(url: &str) -> Result<Answer> {
    let mut response = agent().get(url).call()?;
    Ok(Answer {
        status: response.status().as_u16(),
        text: response.body_mut().read_to_string()?,
    })
}

/// The client-server API of one homeserver with one access token.
#[derive(Debug, Clone)]
pub struct Api {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl Api {
    /// `base` is the homeserver's address without a trailing slash.
    #[must_use]
    pub fn new(base: &str, token: Option<&str>) -> Self {
        Self {
            agent: agent(),
            base: base.to_owned(),
            token: token.map(str::to_owned),
        }
    }

    /// One call; `path` begins with `/` and is percent-encoded by the caller.
    ///
    /// # Errors
    /// When there is no answer at all; a refusal is an answer.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let url = format!("{}{path}", self.base);
        let request = ureq::http::Request::builder().method(method).uri(url);
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let mut response = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_string())?)?
            }
            None => self.agent.run(request.body(())?)?,
        };
        Ok(Answer {
            status: response.status().as_u16(),
            text: response
                .body_mut()
                .with_config()
                .limit(64 << 20)
                .read_to_string()?,
        })
    }

    /// Logs in with a password, for the token and the device id.
    ///
    /// # Errors
    /// When the homeserver refuses or does not answer.
    pub fn login(base: &str, localpart: &str, password: &str) -> Result<(Self, Value)> {
        let body = json!({
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": localpart},
            "password": password,
        });
        let answer = Self::new(base, None).call("POST", "/_matrix/client/v3/login", Some(&body))?;
        let said = answer.json();
        let token = said.get("access_token").and_then(Value::as_str);
        anyhow::ensure!(token.is_some(), "login refused: {}", answer.text);
        Ok((Self::new(base, token), said))
    }
}
