//! One Synapse on this machine.

mod admin;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::lab::secret;
use crate::{Answer, Api, Process, Venv, free_port, last_lines, wait_for};

/// An account of the homeserver.
#[derive(Debug, Clone)]
pub struct Account {
    /// The full Matrix id.
    pub user_id: String,
    /// The part before the colon.
    pub localpart: String,
    /// The password.
    pub password: String,
}

/// Where a homeserver is found.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its name: the part of user ids after the colon.
    pub domain: String,
    /// The port of its clients, on 127.0.0.1.
    pub port: u16,
    /// The port of other homeservers, by TLS; none when it keeps to itself.
    pub federation: Option<u16>,
}

impl Site {
    /// One that other homeservers on this machine reach: a name with a port needs neither DNS nor
    /// anything else to be looked up.
    ///
    /// # Errors
    /// When no port is free.
    pub fn federated() -> Result<Self> {
        let federation = free_port()?;
        Ok(Self {
            domain: format!("localhost:{federation}"),
            port: free_port()?,
            federation: Some(federation),
        })
    }
}

/// A running Synapse with its database in a folder of its own.
#[derive(Debug)]
pub struct Synapse {
    python: PathBuf,
    dir: PathBuf,
    address: String,
    process: Process,
}

impl Synapse {
    /// Writes the configuration into `dir`, starts Synapse and waits for its first answer.
    /// `registrations` are the files of its application services, read once at start.
    ///
    /// # Errors
    /// When it can't be started or does not answer within a minute; its log is in `dir`.
    pub fn start(venv: &Venv, dir: &Path, site: &Site, registrations: &[&Path]) -> Result<Self> {
        fs::create_dir_all(dir)?;
        if site.federation.is_some() {
            venv.write_certificate(&dir.join("tls.crt"), &dir.join("tls.key"))?;
        }
        write_config(dir, site, registrations)?;
        let python = venv.python();
        let process = launch(&python, dir)?;
        let mut synapse = Self {
            python,
            dir: dir.to_owned(),
            address: format!("http://127.0.0.1:{}", site.port),
            process,
        };
        synapse.wait()?;
        Ok(synapse)
    }

    /// Its address, without a trailing slash.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Stops it, starts it again on the same database and waits for its first answer.
    ///
    /// # Errors
    /// As [`Synapse::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.process.stop();
        self.process = launch(&self.python, &self.dir)?;
        self.wait()
    }

    /// Kills it (SIGKILL); [`Synapse::restart`] brings it back.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// An error when it does not run.
    ///
    /// # Errors
    /// When it is gone.
    pub fn check(&mut self) -> Result<()> {
        self.process.check()
    }

    /// Stops it in good order; [`Synapse::restart`] brings it back.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Copies its database aside into `backup`, or from there back over it. Only while it is
    /// stopped.
    ///
    /// # Errors
    /// When a file can't be copied.
    pub fn copy_database(&mut self, backup: &Path, restore: bool) -> Result<()> {
        ensure!(!self.process.is_running(), "Synapse still runs");
        fs::create_dir_all(backup)?;
        let (from, to) = if restore {
            (backup, self.dir.as_path())
        } else {
            (self.dir.as_path(), backup)
        };
        // SQLite's log files belong to the database that they are beside.
        for suffix in ["", "-wal", "-shm"] {
            let name = format!("homeserver.db{suffix}");
            let (from, to) = (from.join(&name), to.join(&name));
            if from.exists() {
                fs::copy(&from, &to)?;
            } else if to.exists() {
                fs::remove_file(&to)?;
            }
        }
        Ok(())
    }

    /// Creates an account.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn register(&self, localpart: &str) -> Result<Account> {
        let password = secret()?;
        let body = json!({
            "auth": {"type": "m.login.dummy"},
            "username": localpart,
            "password": password,
            "inhibit_login": true,
        });
        let path = "/_matrix/client/v3/register";
        let answer = Api::new(&self.address, None).call("POST", path, Some(&body))?;
        let said = answer.json();
        let user_id = said.get("user_id").and_then(Value::as_str);
        let user_id = user_id.with_context(|| format!("not registered: {}", answer.text))?;
        Ok(Account {
            user_id: user_id.to_owned(),
            localpart: localpart.to_owned(),
            password,
        })
    }

    /// Sets the display name of an account.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn set_display_name(&self, account: &Account, name: &str) -> Result<()> {
        let (api, _) = Api::login(&self.address, &account.localpart, &account.password)?;
        let path = format!("/_matrix/client/v3/profile/{}/displayname", account.user_id);
        let answer = api.call("PUT", &path, Some(&json!({"displayname": name})))?;
        ensure!(answer.is_success(), "display name refused: {}", answer.text);
        let answer = api.call("POST", "/_matrix/client/v3/logout", Some(&json!({})))?;
        ensure!(answer.is_success(), "logout refused: {}", answer.text);
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        let versions = format!("{}/_matrix/client/versions", self.address);
        let process = &mut self.process;
        wait_for("Synapse to answer", Duration::from_secs(60), || {
            process.check()?;
            Ok(crate::get(&versions).as_ref().is_ok_and(Answer::is_success))
        })
        .with_context(|| last_lines(&self.dir.join("synapse.log")))
    }
}

fn launch(python: &Path, dir: &Path) -> Result<Process> {
    let config = dir.join("homeserver.yaml");
    let config = config.to_str().context("the path is not UTF-8")?;
    let arguments = ["-m", "synapse.app.homeserver", "--config-path", config];
    // Modules that a test has written beside the configuration are found there.
    let path = dir.to_str().context("the path is not UTF-8")?;
    let environment = [("PYTHONPATH", path)];
    let log = dir.join("synapse.out");
    Process::start("Synapse", python, &arguments, &environment, &log)
}

/// JSON is YAML, so the configuration needs no YAML writer.
fn write_config(dir: &Path, site: &Site, registrations: &[&Path]) -> Result<()> {
    // A new signing key, in the form of `ed25519 <id> <base64 of 32 bytes>`: hexadecimal digits are
    // base64 too, and `A` at the end keeps the unused bits zero.
    let seed: String = secret()?.chars().take(42).collect();
    fs::write(dir.join("signing.key"), format!("ed25519 a_lab {seed}A\n"))?;
    let log = json!({
        "version": 1,
        "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
        "handlers": {"file": {
            "class": "logging.FileHandler",
            "formatter": "plain",
            "filename": dir.join("synapse.log"),
        }},
        "root": {"level": "INFO", "handlers": ["file"]},
        "disable_existing_loggers": false,
    });
    fs::write(dir.join("log.yaml"), serde_json::to_string_pretty(&log)?)?;
    let plenty = json!({"per_second": 1000, "burst_count": 1000});
    let mut config = json!({
        "server_name": site.domain,
        "public_baseurl": format!("http://127.0.0.1:{}/", site.port),
        "pid_file": dir.join("synapse.pid"),
        "listeners": [{
            "port": site.port, "bind_addresses": ["127.0.0.1"], "type": "http", "tls": false,
            "resources": [{"names": ["client"], "compress": false}],
        }],
        "database": {"name": "sqlite3", "args": {"database": dir.join("homeserver.db")}},
        "log_config": dir.join("log.yaml"),
        "media_store_path": dir.join("media"),
        "signing_key_path": dir.join("signing.key"),
        "macaroon_secret_key": secret()?,
        "form_secret": secret()?,
        "registration_shared_secret": secret()?,
        "report_stats": false,
        // Only this machine reaches it, and it lives for one run.
        "enable_registration": true,
        "enable_registration_without_verification": true,
        "trusted_key_servers": [],
        "suppress_key_server_warning": true,
        "app_service_config_files": registrations,
        "experimental_features": {
            "msc2409_to_device_messages_enabled": true,
            "msc3202_transaction_extensions": true,
        },
        // Tests do in seconds what people do in days.
        "rc_message": plenty,
        "rc_registration": plenty,
        "rc_login": {"address": plenty, "account": plenty, "failed_attempts": plenty},
        "rc_joins": {"local": plenty, "remote": plenty},
        "rc_joins_per_room": plenty,
        "rc_invites": {"per_room": plenty, "per_user": plenty, "per_issuer": plenty},
        "rc_room_creation": plenty,
        "rc_key_requests": plenty,
    });
    if let Some(port) = site.federation {
        federate(&mut config, dir, port);
    }
    fs::write(
        dir.join("homeserver.yaml"),
        serde_json::to_string_pretty(&config)?,
    )?;
    Ok(())
}

/// Has it speak with other homeservers on this machine, whose certificates nobody signed.
fn federate(config: &mut Value, dir: &Path, port: u16) {
    let more = json!({
        "tls_certificate_path": dir.join("tls.crt"),
        "tls_private_key_path": dir.join("tls.key"),
        "federation_verify_certificates": false,
        // Addresses of this machine are refused otherwise.
        "ip_range_blacklist": [],
        "federation_ip_range_blacklist": [],
        // A server that was down is tried again after ten minutes otherwise, and calls that need
        // it are tried for most of one.
        "federation": {
            "destination_min_retry_interval": "1s",
            "destination_max_retry_interval": "2s",
            "max_short_retries": 1,
            "max_short_retry_delay": "1s",
            "max_long_retries": 1,
            "max_long_retry_delay": "1s",
        },
        "rc_federation": {
            "window_size": 1000, "sleep_limit": 1000, "sleep_delay": 1, "reject_limit": 1000,
            "concurrent": 100,
        },
    });
    let listener = json!({
        "port": port, "bind_addresses": ["127.0.0.1"], "type": "http", "tls": true,
        "resources": [{"names": ["federation"], "compress": false}],
    });
    if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
        config.extend(more);
        if let Some(listeners) = config.get_mut("listeners").and_then(Value::as_array_mut) {
            listeners.push(listener);
        }
    }
}
