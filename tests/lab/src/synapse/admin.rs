//! Whoever runs the homeserver.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::Synapse;
use crate::Api;
use crate::lab::secret;

/// The admin's localpart.
const ADMIN: &str = "operator";

impl Synapse {
    /// Creates an account that may use Synapse's admin API, and logs it in. Once for each homeserver.
    ///
    /// # Errors
    /// When Synapse's own program for that fails.
    pub fn admin(&self) -> Result<Api> {
        let password = secret()?;
        let config = self.dir.join("homeserver.yaml");
        let made = Command::new(&self.python)
            .args(["-m", "synapse._scripts.register_new_matrix_user"])
            .args(["--user", ADMIN, "--password", &password, "--admin"])
            .arg("--config")
            .arg(config)
            .arg(&self.address)
            .output()
            .context("no admin")?;
        let said = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "no admin: {said}");
        let (api, _) = Api::login(&self.address, ADMIN, &password)?;
        Ok(api)
    }
}
