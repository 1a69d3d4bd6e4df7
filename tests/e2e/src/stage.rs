//! A lab with a proxy of ours in each place where something can fail.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use vestibule_lab::{Host, Lab, Options, Venv, free_port};

use crate::{Call, Proxy, Witness, bridge_binary};

/// More than a test needs: what people may do in an hour is not what is tested.
const PLENTY: [(&str, &str); 6] = [
    ("VESTIBULE__GUESTS__ADDRESS_TRIES", "100000"),
    ("VESTIBULE__GUESTS__OPEN_LINKS", "1000"),
    ("VESTIBULE__GUESTS__OPEN_CHATS", "1000"),
    ("VESTIBULE__GUESTS__LINKS_A_DAY", "1000"),
    ("VESTIBULE__GUESTS__BURST", "1000"),
    ("VESTIBULE__GUESTS__MESSAGES_PER_SECOND", "100"),
];

/// Homeserver and bridge, which reach each other and the browser through proxies only.
#[derive(Debug)]
pub struct Stage {
    /// Homeserver and bridge.
    pub lab: Lab,
    /// From the bridge to the homeserver.
    pub homeserver: Proxy,
    /// From the homeserver to the bridge.
    pub appservice: Proxy,
    /// From the browser to the bridge.
    pub page: Proxy,
    /// Sees all that passes.
    pub witness: Arc<Witness>,
}

impl Stage {
    /// Starts everything.
    ///
    /// # Errors
    /// When something does not come up.
    pub fn set(options: Options) -> Result<Self> {
        let witness = Arc::new(Witness::default());
        let between = || -> Result<(u16, Proxy)> {
            let port = free_port()?;
            let upstream = format!("127.0.0.1:{port}");
            Ok((port, Proxy::start(&upstream, Some(Arc::clone(&witness)))?))
        };
        let (homeserver_port, homeserver) = between()?;
        let (appservice_port, appservice) = between()?;
        let (guests_port, page) = between()?;
        let mut environment = PLENTY.to_vec();
        environment.extend(options.environment);
        let options = Options {
            homeserver_port: Some(homeserver_port),
            homeserver_address: Some(homeserver.address().to_owned()),
            appservice_port: Some(appservice_port),
            appservice_address: Some(appservice.address().to_owned()),
            guests_port: Some(guests_port),
            guests_address: Some(page.address().to_owned()),
            environment,
            ..options
        };
        let lab = Lab::start(Venv::shared()?, &bridge_binary()?, &options)?;
        Ok(Self {
            lab,
            homeserver,
            appservice,
            page,
            witness,
        })
    }

    /// The address under which a browser finds the chat that it has.
    #[must_use]
    pub fn chat_url(&self) -> String {
        format!("{}/", self.lab.public_url())
    }

    /// Switches the truth path off: whoever asks what a ghost missed is told that it was nothing.
    ///
    /// # Errors
    /// When the homeserver does not tell `host` where its stream stands now.
    pub fn hide_truth(&self, host: &mut impl Host) -> Result<()> {
        let path = "/_matrix/client/v3/sync?timeout=0&filter=%7B%22room%22:%7B%22rooms%22:[]%7D%7D";
        let (_, here) = host.request("GET", path, None)?;
        let here = here.get("next_batch").context("no place in the stream")?;
        let nothing = json!({
            "next_batch": here,
            "to_device": {"events": []},
            "device_lists": {"changed": [], "left": []},
            "device_one_time_keys_count": {"signed_curve25519": 50},
            "device_unused_fallback_key_types": ["signed_curve25519"],
        });
        self.homeserver
            .answer(Call::new("GET", "/client/v3/sync"), &nothing);
        Ok(())
    }

    /// Switches it on again.
    pub fn show_truth(&self) {
        self.homeserver.answer_nothing();
    }

    /// Ends all faults, and starts whatever was killed.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn heal(&mut self) -> Result<()> {
        for proxy in [&self.homeserver, &self.appservice, &self.page] {
            proxy.heal();
        }
        if self.lab.synapse()?.check().is_err() {
            self.lab.synapse()?.restart()?;
        }
        if self.lab.bridge()?.check().is_err() {
            self.lab.bridge()?.start_again()?;
        }
        self.lab.bridge()?.wait_ready(Duration::from_secs(60))
    }
}
