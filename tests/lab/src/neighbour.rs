//! Another homeserver, on which there is no bridge.

use std::path::PathBuf;

use anyhow::Result;

use crate::{Account, NioHost, Site, Synapse, Venv};

/// A homeserver that reaches the lab's by federation, and its people.
#[derive(Debug)]
pub struct Neighbour {
    synapse: Synapse,
    site: Site,
    venv: Venv,
    dir: PathBuf,
}

impl Neighbour {
    /// Starts it with all its files in `dir`.
    ///
    /// # Errors
    /// As [`Synapse::start`].
    pub fn start(venv: &Venv, dir: PathBuf, site: &Site) -> Result<Self> {
        Ok(Self {
            synapse: Synapse::start(venv, &dir, site, &[])?,
            site: site.clone(),
            venv: venv.clone(),
            dir,
        })
    }

    /// The homeserver itself.
    pub fn synapse(&mut self) -> &mut Synapse {
        &mut self.synapse
    }

    /// Its address, without a trailing slash.
    #[must_use]
    pub fn address(&self) -> &str {
        self.synapse.address()
    }

    /// Its name.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.site.domain
    }

    /// A new account with a display name.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn account(&self, localpart: &str, display_name: &str) -> Result<Account> {
        let account = self.synapse.register(localpart)?;
        self.synapse.set_display_name(&account, display_name)?;
        Ok(account)
    }

    /// A new account whose client is matrix-nio.
    ///
    /// # Errors
    /// When the homeserver refuses or the client can't be started.
    pub fn nio_host(&self, localpart: &str, display_name: &str) -> Result<NioHost> {
        self.nio_device(&self.account(localpart, display_name)?)
    }

    /// The client of an account.
    ///
    /// # Errors
    /// When the client can't be started.
    pub fn nio_device(&self, account: &Account) -> Result<NioHost> {
        let store = self.dir.join(format!("nio-{}", account.localpart));
        NioHost::login(&self.venv, self.address(), account, &store)
    }
}
