//! Homeserver and bridge together, in the one order that works.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tempfile::TempDir;

use crate::{Account, Api, Bridge, Neighbour, NioHost, Site, Synapse, Venv, free_port};

/// The ports of one lab, all on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// Synapse.
    pub homeserver: u16,
    /// Where the bridge takes transactions.
    pub appservice: u16,
    /// The page and the guests' sockets.
    pub guests: u16,
    /// Health and metrics.
    pub ops: u16,
}

/// What may differ from one lab to the next.
#[derive(Debug, Default)]
pub struct Options {
    /// Synapse's port, when something must know it before.
    pub homeserver_port: Option<u16>,
    /// Where the bridge believes the homeserver to be, when something stands in between.
    pub homeserver_address: Option<String>,
    /// The bridge's port for transactions, when something must know it before.
    pub appservice_port: Option<u16>,
    /// Where the homeserver believes the bridge to be, when something stands in between.
    pub appservice_address: Option<String>,
    /// The port of the page and the sockets, when something must know it before.
    pub guests_port: Option<u16>,
    /// Where guests believe the bridge to be, when something stands in between: a URL without a
    /// path.
    pub guests_address: Option<String>,
    /// Has the bridge keep its store on a file system of its own of so many MiB, so that it can
    /// be filled; see [`Lab::store_seen_from_outside`].
    pub small_store_mib: Option<u32>,
    /// A path prefix of the page, such as `/chat`.
    pub public_path: String,
    /// Lets the homeserver federate with others on this machine, under a name that they can
    /// reach; see [`Lab::domain`] and [`Lab::neighbour`].
    pub federated: bool,
    /// More entries of the bridge's permissions, by domain or user id.
    pub permissions: Vec<(String, &'static str)>,
    /// More of the bridge's configuration, as the environment gives it: for example
    /// `VESTIBULE__TELEMETRY__FILTER` and `debug`.
    pub environment: Vec<(&'static str, &'static str)>,
}

/// A folder with the configuration of a homeserver and a bridge that know each other.
///
/// [`Lab::new`] writes everything; the two are started one by one, so that a test can leave one
/// out. [`Lab::start`] does all of it.
#[derive(Debug)]
pub struct Lab {
    /// Dropped first: the bridge ends before the homeserver does.
    bridge: Option<Bridge>,
    synapse: Option<Synapse>,
    venv: Venv,
    binary: PathBuf,
    ports: Ports,
    site: Site,
    as_token: String,
    hs_token: String,
    public_url: String,
    small_store_mib: Option<u32>,
    environment: Vec<(&'static str, &'static str)>,
    /// Dropped last, when nobody writes into it any more.
    dir: TempDir,
}

impl Lab {
    /// The domain of every lab's homeserver that doesn't federate.
    pub const DOMAIN: &str = "vestibule.test";
    /// The bot there.
    pub const BOT: &str = "@guestbot:vestibule.test";

    /// Picks the ports, writes the bridge's configuration and has `binary` write its registration.
    ///
    /// # Errors
    /// When the binary refuses the configuration.
    pub fn new(venv: Venv, binary: &Path, options: &Options) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("vestibule-lab-")
            .tempdir()?;
        let ports = Ports {
            homeserver: options.homeserver_port.map_or_else(free_port, Ok)?,
            appservice: options.appservice_port.map_or_else(free_port, Ok)?,
            guests: options.guests_port.map_or_else(free_port, Ok)?,
            ops: free_port()?,
        };
        let site = Site {
            port: ports.homeserver,
            ..if options.federated {
                Site::federated()?
            } else {
                Site {
                    domain: Self::DOMAIN.to_owned(),
                    port: ports.homeserver,
                    federation: None,
                }
            }
        };
        let guests = match &options.guests_address {
            Some(address) => address.clone(),
            None => format!("http://127.0.0.1:{}", ports.guests),
        };
        let lab = Self {
            bridge: None,
            synapse: None,
            venv,
            binary: binary.to_owned(),
            ports,
            site,
            as_token: secret()?,
            hs_token: secret()?,
            public_url: format!("{guests}{}", options.public_path),
            small_store_mib: options.small_store_mib,
            environment: options.environment.clone(),
            dir,
        };
        lab.write_config(options)?;
        Bridge::write_registration(binary, &lab.config(), &lab.registration())?;
        Ok(lab)
    }

    /// Everything: files, Synapse, bridge. When something else on the machine took one of the ports
    /// that were free, it is tried again with others.
    ///
    /// # Errors
    /// When one of the two does not come up.
    pub fn start(venv: Venv, binary: &Path, options: &Options) -> Result<Self> {
        const TRIES: usize = 3;
        let mut tries = 1;
        loop {
            match Self::try_start(venv.clone(), binary, options) {
                Err(error) if tries < TRIES && misses_a_port(&error) => {
                    eprintln!("a port was taken meanwhile, once more: {error:#}");
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    fn try_start(venv: Venv, binary: &Path, options: &Options) -> Result<Self> {
        let mut lab = Self::new(venv, binary, options)?;
        lab.start_synapse()?;
        lab.start_bridge()?
            .wait_ready(std::time::Duration::from_secs(60))?;
        Ok(lab)
    }

    /// Starts Synapse.
    ///
    /// # Errors
    /// As [`Synapse::start`].
    pub fn start_synapse(&mut self) -> Result<&mut Synapse> {
        let registration = self.registration();
        let dir = self.dir.path().join("synapse");
        let synapse = Synapse::start(&self.venv, &dir, &self.site, &[&registration])?;
        Ok(self.synapse.insert(synapse))
    }

    /// Starts the bridge.
    ///
    /// # Errors
    /// As [`Bridge::start`].
    pub fn start_bridge(&mut self) -> Result<&mut Bridge> {
        let ops = format!("http://127.0.0.1:{}", self.ports.ops);
        let (config, log) = (self.config(), self.bridge_log());
        let small = self.small_store_mib.map(|mib| (self.store(), mib));
        if let Some((store, _)) = &small {
            fs::create_dir_all(store)?;
        }
        let environment = &self.environment;
        let bridge = Bridge::start(&self.binary, &config, environment, &log, &ops, small)?;
        Ok(self.bridge.insert(bridge))
    }

    /// The homeserver.
    ///
    /// # Errors
    /// When it was not started.
    pub fn synapse(&mut self) -> Result<&mut Synapse> {
        self.synapse.as_mut().context("Synapse was not started")
    }

    /// The bridge.
    ///
    /// # Errors
    /// When it was not started.
    pub fn bridge(&mut self) -> Result<&mut Bridge> {
        self.bridge.as_mut().context("the bridge was not started")
    }

    /// A new account whose client is matrix-nio.
    ///
    /// # Errors
    /// When the homeserver refuses or the client can't be started.
    pub fn nio_host(&mut self, localpart: &str, display_name: &str) -> Result<NioHost> {
        let account = self.account(localpart, display_name)?;
        self.nio_device(&account, localpart)
    }

    /// A new device of an account, whose client is matrix-nio; `name` is for the folder of its
    /// keys.
    ///
    /// # Errors
    /// When the homeserver refuses or the client can't be started.
    pub fn nio_device(&self, account: &Account, name: &str) -> Result<NioHost> {
        let store = self.dir.path().join(format!("nio-{name}"));
        NioHost::login(&self.venv, &self.homeserver(), account, &store)
    }

    /// A new account with a display name.
    ///
    /// # Errors
    /// When the homeserver refuses.
    pub fn account(&mut self, localpart: &str, display_name: &str) -> Result<Account> {
        let synapse = self.synapse()?;
        let account = synapse.register(localpart)?;
        synapse.set_display_name(&account, display_name)?;
        Ok(account)
    }

    /// Another homeserver beside this one, which must be [`Options::federated`].
    ///
    /// # Errors
    /// As [`Synapse::start`].
    pub fn neighbour(&self, site: &Site) -> Result<Neighbour> {
        let name = site.domain.replace(':', "-");
        Neighbour::start(&self.venv, self.dir.path().join(name), site)
    }

    /// The homeserver's name.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.site.domain
    }

    /// The bot.
    #[must_use]
    pub fn bot(&self) -> String {
        format!("@guestbot:{}", self.site.domain)
    }

    /// The homeserver's own address, whatever the bridge was told.
    #[must_use]
    pub fn homeserver(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.homeserver)
    }

    /// Calls with the bridge's own token: with `?user_id=` in the path, as any ghost.
    #[must_use]
    pub fn as_appservice(&self) -> Api {
        Api::new(&self.homeserver(), Some(&self.as_token))
    }

    /// Calls to the guests' listener; paths begin below [`Lab::public_url`].
    #[must_use]
    pub fn guests(&self) -> Api {
        Api::new(&self.public_url, None)
    }

    /// The address of the page, without a trailing slash.
    #[must_use]
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// The ports.
    #[must_use]
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// The bridge's database.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// The same folder as the running bridge sees it: with [`Options::small_store_mib`] its file
    /// system is mounted for the bridge alone.
    ///
    /// # Errors
    /// When the bridge was not started.
    pub fn store_seen_from_outside(&mut self) -> Result<PathBuf> {
        let root = format!("/proc/{}/root", self.bridge()?.id());
        let store = self.store();
        Ok(Path::new(&root).join(store.strip_prefix("/").unwrap_or(&store)))
    }

    /// What the bridge writes to stdout and stderr.
    #[must_use]
    pub fn bridge_log(&self) -> PathBuf {
        self.dir.path().join("bridge.log")
    }

    /// Leaves the folder where it is when the lab is dropped.
    pub fn keep(&mut self) -> &Path {
        self.dir.disable_cleanup(true);
        self.dir.path()
    }

    /// The folder that holds all of this; gone when the lab is dropped.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("vestibule.yaml")
    }

    fn registration(&self) -> PathBuf {
        self.dir.path().join("registration.yaml")
    }

    /// JSON is YAML, so the configuration needs no YAML writer.
    fn write_config(&self, options: &Options) -> Result<()> {
        let here = |port: u16| format!("127.0.0.1:{port}");
        let homeserver = options
            .homeserver_address
            .clone()
            .unwrap_or_else(|| self.homeserver());
        let appservice = options
            .appservice_address
            .clone()
            .unwrap_or_else(|| format!("http://{}", here(self.ports.appservice)));
        let mut permissions = json!({
            "*": "none",
            (self.site.domain.as_str()): "host",
            (format!("@admin:{}", self.site.domain)): "admin",
        });
        if let Some(permissions) = permissions.as_object_mut() {
            let more = options.permissions.iter();
            permissions.extend(more.map(|(whom, role)| (whom.clone(), json!(role))));
        }
        let config = json!({
            "homeserver": {"address": homeserver, "domain": self.site.domain},
            "appservice": {
                "id": "vestibule",
                "listen": here(self.ports.appservice),
                "address": appservice,
                "as_token": self.as_token,
                "hs_token": self.hs_token,
                "bot_localpart": "guestbot",
            },
            "guests": {"listen": here(self.ports.guests), "public_url": self.public_url},
            "ops": {"listen": here(self.ports.ops)},
            "store": {"path": self.store()},
            "permissions": permissions,
        });
        fs::write(self.config(), serde_json::to_string_pretty(&config)?)?;
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // What the two wrote is what somebody needs who looks for the reason.
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("the lab's logs are left in {}", self.dir.path().display());
        }
    }
}

/// Whether a log that belongs to this error says that a port was taken, in the words of the system.
fn misses_a_port(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("Address already in use")
}

/// 64 hexadecimal digits from the system's generator.
///
/// # Errors
/// When `/dev/urandom` can't be read.
pub(crate) fn secret() -> Result<String> {
    let mut bytes = [0_u8; 32];
    let read = fs::File::open("/dev/urandom")?.read(&mut bytes)?;
    ensure!(read == bytes.len(), "/dev/urandom gave {read} bytes");
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
