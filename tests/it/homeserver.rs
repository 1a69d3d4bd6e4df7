//! A homeserver in memory behind wiremock that really keeps what it is told: users, devices, keys
//! that are used up when claimed, rooms with state, power and membership, inboxes. What it does is
//! what Synapse does, slips included. It remembers every call, and fails when it is told to.

pub mod call;
pub mod fault;
pub mod listed;
pub mod past;
pub mod room;
pub mod state;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use wiremock::{Match, Mock, MockServer, Request, Respond, ResponseTemplate};

use call::Call;
use fault::{Fault, Faults};
use state::State;

/// Longer than any test waits for something.
const FOR_EVER: Duration = Duration::from_secs(600);
/// How long a test waits for something to happen; only a test that fails waits that long.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Inner {
    state: State,
    faults: Faults,
    calls: Vec<Call>,
}

/// The homeserver.
pub struct Homeserver {
    server: MockServer,
    inner: Arc<Mutex<Inner>>,
}

/// Takes the calls whose connection breaks.
struct Breaking(Arc<Mutex<Inner>>);

impl Match for Breaking {
    fn matches(&self, request: &Request) -> bool {
        let mut call = Call::read(request);
        let inner = &mut *self.0.lock().unwrap();
        let fault = inner.faults.planned(&call);
        if !matches!(fault, Some(Fault::Broken | Fault::Unanswered)) {
            return false;
        }
        inner.faults.note(&call);
        if fault == Some(Fault::Unanswered) {
            call.act(&mut inner.state);
        }
        call.status = 0;
        inner.calls.push(call);
        true
    }
}

/// Answers all others.
struct Answering(Arc<Mutex<Inner>>);

impl Respond for Answering {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut call = Call::read(request);
        let inner = &mut *self.0.lock().unwrap();
        let fault = inner.faults.planned(&call);
        inner.faults.note(&call);
        let (status, body) = match fault {
            Some(Fault::Status(status, errcode)) => {
                (status, serde_json::json!({ "errcode": errcode }))
            }
            Some(Fault::Limited(millis)) => (
                429,
                serde_json::json!({ "errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": millis }),
            ),
            _ => call.act(&mut inner.state),
        };
        call.status = status;
        inner.calls.push(call);
        let answer = ResponseTemplate::new(status).set_body_json(body);
        if fault == Some(Fault::Hanging) {
            answer.set_delay(FOR_EVER)
        } else {
            answer
        }
    }
}

impl Homeserver {
    pub async fn start() -> Self {
        let inner = Arc::new(Mutex::new(Inner {
            state: State::new(),
            ..Inner::default()
        }));
        let server = MockServer::builder()
            .disable_request_recording()
            .start()
            .await;
        let broken = |_: &Request| std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        Mock::given(Breaking(Arc::clone(&inner)))
            .respond_with_err(broken)
            .with_priority(1)
            .mount(&server)
            .await;
        Mock::given(wiremock::matchers::any())
            .respond_with(Answering(Arc::clone(&inner)))
            .with_priority(2)
            .mount(&server)
            .await;
        Self { server, inner }
    }

    /// Its base URL.
    pub fn address(&self) -> String {
        self.server.uri()
    }

    /// Looks at what is kept, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.inner.lock().unwrap().state)
    }

    /// Plans what goes wrong.
    pub fn faults<T>(&self, plan: impl FnOnce(&mut Faults) -> T) -> T {
        plan(&mut self.inner.lock().unwrap().faults)
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        self.inner.lock().unwrap().calls.clone()
    }

    /// How often this call was made.
    pub fn count(&self, name: &str) -> usize {
        self.inner
            .lock()
            .unwrap()
            .calls
            .iter()
            .filter(|call| call.name == name)
            .count()
    }

    /// Waits until there is what is looked for.
    pub async fn until<T>(&self, what: &str, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        until(what, || self.with(&mut look)).await
    }
}

impl Drop for Homeserver {
    /// Whatever a test is about, no call went out that isn't on the list.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for call in self.calls() {
                listed::assert_listed(&call);
            }
        }
    }
}

/// The same for a look that takes its time.
pub async fn until_seen(what: &str, mut look: impl AsyncFnMut() -> bool) {
    let seen = async {
        while !look().await {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

/// Waits until there is what is looked for.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(3)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .unwrap_or_else(|_| panic!("waited in vain: {what}"))
}
