//! The real bridge on ports and a store of its own. It runs in a runtime of its own too, so that it
//! can be torn away in the middle of whatever it does, as by `kill -9`.

mod process;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use vestibule::app::App;
use vestibule::clock::MockClock;
use vestibule::config::Config;
use vestibule::lifecycle::{self, Running, StartError};
use vestibule::store::OpenError;
use vestibule::watch::end_what_is_due;
use vestibule_bridge::time::Timestamp;

use crate::homeserver::PATIENCE;
use crate::homeserver::call::AS_TOKEN;
use crate::homeserver::state::SERVER;
use crate::web::{Answer, Web};
use process::Process;

/// The homeserver's token for the bridge.
pub const HS_TOKEN: &str = "hs-token-0123456789abcdef";
/// When every test begins, in milliseconds since the epoch.
pub const BEGINNING: Timestamp = Timestamp(1_795_364_370_566);

/// What of the configuration a test chooses.
#[derive(Clone)]
pub struct Setup {
    pub public_url: &'static str,
    /// More lines for the section `guests`.
    pub guests: &'static str,
}

impl Default for Setup {
    fn default() -> Self {
        // The clock stands still, so nobody's bucket fills up again by itself.
        Self {
            public_url: "https://chat.example.org",
            guests: "burst: 1000, address_tries: 100000, address_sockets: 100000",
        }
    }
}

/// How it runs.
enum Run {
    /// In this process.
    Here(Box<Running>, Runtime),
    /// As a process of its own, by the machine's clock.
    Apart(Process),
}

/// A bridge, running or not.
pub struct Bridge {
    pub clock: Arc<MockClock>,
    pub web: Web,
    pub origin: String,
    folder: TempDir,
    run: Option<Run>,
}

impl Bridge {
    /// A bridge for this homeserver, not started yet.
    pub fn new(homeserver: &str, setup: &Setup) -> Self {
        let folder = TempDir::new().unwrap();
        let yaml = format!(
            "homeserver: {{ address: '{homeserver}', domain: {SERVER} }}\n\
             appservice: {{ listen: '127.0.0.1:0', as_token: {AS_TOKEN}, hs_token: {HS_TOKEN} }}\n\
             guests: {{ listen: '127.0.0.1:0', public_url: '{}', {} }}\n\
             ops: {{ listen: '127.0.0.1:0' }}\n\
             store: {{ path: '{}' }}\n\
             permissions: {{ {SERVER}: host, '@nobody:{SERVER}': none, '@root:{SERVER}': admin }}\n",
            setup.public_url,
            setup.guests,
            folder.path().join("store").display(),
        );
        std::fs::write(folder.path().join("config.yaml"), yaml).unwrap();
        let origin: String = setup
            .public_url
            .splitn(4, '/')
            .take(3)
            .collect::<Vec<_>>()
            .join("/");
        let clock = Arc::new(MockClock::at(BEGINNING));
        Self {
            clock,
            web: Web::new(),
            origin,
            folder,
            run: None,
        }
    }

    /// Starts it, once whoever ran before on this store has let go of it.
    pub async fn start(&mut self) {
        assert!(self.run.is_none(), "it runs already");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let started = async {
            loop {
                let config = Config::load(&self.config_path()).unwrap();
                let clock = Arc::clone(&self.clock);
                let start = async move { lifecycle::start(&config, clock).await };
                match runtime.spawn(start).await.unwrap() {
                    Ok(running) => return running,
                    Err(StartError::Store(OpenError::InUse { .. })) => {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    Err(error) => panic!("the bridge didn't start: {error:?}"),
                }
            }
        };
        let running = tokio::time::timeout(PATIENCE, started)
            .await
            .expect("the store is let go of");
        self.run = Some(Run::Here(Box::new(running), runtime));
        self.web = Web::new();
    }

    /// Starts it as a process of its own.
    pub async fn start_apart(&mut self) {
        assert!(self.run.is_none(), "it runs already");
        let process = Process::start(&self.config_path(), &self.log_path()).await;
        self.run = Some(Run::Apart(process));
        self.web = Web::new();
    }

    /// Starts the program once more on the same configuration; how it ended, and its last words.
    pub async fn start_another(&self) -> (Option<i32>, String) {
        process::run_to_end(&self.config_path()).await
    }

    /// Ends it in good order.
    pub async fn stop(&mut self) {
        match self.run.take().expect("it runs") {
            Run::Here(running, runtime) => {
                runtime.spawn(running.stop()).await.unwrap();
                runtime.shutdown_background();
            }
            Run::Apart(_) => panic!("a process is killed"),
        }
    }

    /// Ends it wherever it is.
    pub fn crash(&mut self) {
        match self.run.take().expect("it runs") {
            Run::Here(running, runtime) => {
                runtime.shutdown_background();
                drop(running);
            }
            Run::Apart(process) => process.kill(),
        }
    }

    /// Waits until the store is let go of. RocksDB doesn't bear it when the whole process ends while
    /// another thread is closing a store.
    fn until_closed(&self) {
        let Ok(lock) = std::fs::File::open(self.store_path().join("vestibule.lock")) else {
            return;
        };
        for _ in 0..PATIENCE.as_millis() {
            if lock.try_lock().is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn run(&self) -> &Run {
        self.run.as_ref().expect("it runs")
    }

    /// Its parts, when it runs in this process.
    pub fn app(&self) -> &Arc<App> {
        match self.run() {
            Run::Here(running, _) => &running.app,
            Run::Apart(_) => panic!("another process has its own"),
        }
    }

    /// All that is in its memory, when it is a process of its own.
    pub fn memory(&self) -> Vec<u8> {
        match self.run() {
            Run::Here(..) => panic!("this process holds everybody's secrets"),
            Run::Apart(process) => process.memory(),
        }
    }

    /// Its number at the operating system, when it is a process of its own.
    pub fn pid(&self) -> u32 {
        match self.run() {
            Run::Here(..) => panic!("this process is the test's too"),
            Run::Apart(process) => process.id(),
        }
    }

    /// Where guests reach it.
    pub fn guests(&self) -> SocketAddr {
        match self.run() {
            Run::Here(running, _) => running.guests,
            Run::Apart(process) => process.guests,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.guests())
    }

    pub fn appservice_url(&self, path: &str) -> String {
        let address = match self.run() {
            Run::Here(running, _) => running.appservice,
            Run::Apart(process) => process.appservice,
        };
        format!("http://{address}{path}")
    }

    pub fn ops_url(&self, path: &str) -> String {
        let address = match self.run() {
            Run::Here(running, _) => running.ops.unwrap(),
            Run::Apart(process) => process.ops,
        };
        format!("http://{address}{path}")
    }

    /// What `/ready` answers.
    pub async fn ready(&self) -> Answer {
        self.web.get(&self.ops_url("/ready")).await
    }

    /// The value of a metric without labels.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = self.web.get(&self.ops_url("/metrics")).await.text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("vestibule_{name} ")));
        line.unwrap_or_else(|| panic!("{name} is counted: {text}"))
            .parse()
            .unwrap()
    }

    /// Pushes a transaction as the homeserver.
    pub async fn push(&self, id: &str, body: &Value) -> Answer {
        let url = self.appservice_url(&format!("/_matrix/app/v1/transactions/{id}"));
        let authorization = format!("Bearer {HS_TOKEN}");
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        self.web.ask("PUT", &url, &headers, body.to_string()).await
    }

    /// Looks at a link as the page does.
    pub async fn look(&self, token: &str) -> Answer {
        self.web
            .post(
                &self.url("/api/v1/link"),
                &serde_json::json!({ "token": token }),
            )
            .await
    }

    /// Has the deadlines looked at now, and not only at the next beat.
    pub async fn tick(&self) {
        end_what_is_due(self.app()).await.unwrap();
    }

    pub fn store_path(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }

    /// Changes its configuration, for the next start.
    pub fn edit_config(&self, from: &str, to: &str) {
        let path = self.config_path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    /// Where a process of its own logs to.
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        if self.run.is_some() {
            // A runtime can't be waited for inside another one.
            self.crash();
            self.until_closed();
        }
    }
}
