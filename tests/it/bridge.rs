//! The real bridge on ports and a store of its own. It runs in a runtime of its own too, so that it
//! can be torn away in the middle of whatever it does, as by `kill -9`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use vestibule::clock::MockClock;
use vestibule::config::Config;
use vestibule::lifecycle::{self, Running, StartError};
use vestibule::store::{OpenError, RocksStore};
use vestibule_bridge::input::Input;
use vestibule_bridge::time::Timestamp;

use crate::homeserver::PATIENCE;
use crate::homeserver::call::AS_TOKEN;
use crate::homeserver::state::SERVER;
use crate::web::{Answer, Web};

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
            guests: "burst: 1000",
        }
    }
}

/// A bridge, running or not.
pub struct Bridge {
    pub clock: Arc<MockClock>,
    pub web: Web,
    pub origin: String,
    folder: TempDir,
    running: Option<(Running, Runtime)>,
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
             permissions: {{ {SERVER}: host, '@nobody:{SERVER}': none }}\n",
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
            running: None,
        }
    }

    /// Starts it, once whoever ran before on this store has let go of it.
    pub async fn start(&mut self) {
        assert!(self.running.is_none(), "it runs already");
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
        self.running = Some((running, runtime));
        self.web = Web::new();
    }

    /// Ends it in good order.
    pub async fn stop(&mut self) {
        let (running, runtime) = self.running.take().expect("it runs");
        runtime.spawn(running.stop()).await.unwrap();
        runtime.shutdown_background();
    }

    /// Ends it wherever it is.
    pub fn crash(&mut self) {
        let (running, runtime) = self.running.take().expect("it runs");
        runtime.shutdown_background();
        drop(running);
    }

    pub fn running(&self) -> &Running {
        &self.running.as_ref().expect("it runs").0
    }

    /// The path of the public URL and what is below it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running().guests)
    }

    pub fn appservice_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running().appservice)
    }

    pub fn ops_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running().ops.unwrap())
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
        let driver = self.running().app.driver.clone();
        driver.submit(Input::Tick).await.unwrap().unwrap();
    }

    pub fn store_path(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }

    /// Opens the store of a bridge that doesn't run.
    pub async fn open_store(&self) -> RocksStore {
        open_store(&self.store_path()).await
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // A runtime can't be waited for inside another one.
        if let Some((_, runtime)) = self.running.take() {
            runtime.shutdown_background();
        }
    }
}

/// Opens a store once whoever ran on it has let go of it.
async fn open_store(path: &Path) -> RocksStore {
    crate::homeserver::until("the store is let go of", || match RocksStore::open(path) {
        Ok(store) => Some(store),
        Err(OpenError::InUse { .. }) => None,
        Err(error) => panic!("the store doesn't open: {error:?}"),
    })
    .await
}
