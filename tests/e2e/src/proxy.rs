//! A proxy that fails when it is told to, and shows a witness what passes.

mod http;
mod socket;

use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::Witness;
use http::{Request, Response};

/// One kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `PUT` and so on; empty for any.
    pub method: &'static str,
    /// What its path holds.
    pub path: &'static str,
}

impl Call {
    /// Every request.
    pub const ANY: Self = Self {
        method: "",
        path: "",
    };

    /// A request whose path holds `path`.
    #[must_use]
    pub fn new(method: &'static str, path: &'static str) -> Self {
        Self { method, path }
    }

    fn fits(self, line: &str) -> bool {
        line.split_once(' ').is_some_and(|(method, path)| {
            (self.method.is_empty() || method == self.method) && path.contains(self.path)
        })
    }
}

/// What happens to a request that is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It arrives later.
    Delay(Duration),
    /// Its connection is closed, and the server never sees it.
    Drop,
    /// The server does it, and its connection is closed instead of the answer.
    Lose,
    /// It is answered 500, and the server never sees it.
    Refuse,
}

/// A direction of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the browser to the bridge.
    In,
    /// From the bridge to the browser.
    Out,
}

#[derive(Debug)]
struct Planned {
    call: Call,
    fault: Fault,
    left: usize,
    told: Option<Sender<()>>,
}

/// Waits for one frame.
#[derive(Debug)]
struct Snare {
    way: Way,
    kind: &'static str,
    swallows: bool,
    told: Sender<Value>,
}

#[derive(Debug, Default)]
struct State {
    /// Method and path of every request, without the query.
    seen: Vec<String>,
    /// What the server answered to each that got on.
    answered: Vec<(String, u16)>,
    planned: Vec<Planned>,
    /// Requests that never get on, and what they are answered.
    answers: Vec<(Call, String)>,
    connections: HashMap<u64, Vec<TcpStream>>,
    last_connection: u64,
    is_cut: bool,
    frame_delay: Duration,
    swallowed_ways: HashSet<Way>,
    /// Connections that a frame is missing from: they can't go on as if nothing had happened.
    torn: HashSet<u64>,
    snares: Vec<Snare>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    upstream: String,
    witness: Option<Arc<Witness>>,
}

/// Listens on 127.0.0.1 and hands each request and each socket on.
#[derive(Debug, Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: String,
}

impl Proxy {
    /// Starts it. The server may come up later: `upstream` is its `host:port`.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(upstream: &str, witness: Option<Arc<Witness>>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            upstream: upstream.to_owned(),
            witness,
        });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || {
                    if let Some(id) = shared.enter(&client) {
                        // A connection that breaks is what this is for.
                        let _ = shared.serve(id, &client);
                        shared.leave(id);
                    }
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Ok(Self { shared, address })
    }

    /// Where the server should be believed to be.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Has the next `count` requests of a kind fail.
    pub fn plan(&self, call: Call, fault: Fault, count: usize) {
        self.state().planned.push(Planned {
            call,
            fault,
            left: count,
            told: None,
        });
    }

    /// Has the next request of a kind fail, and tells when it did: of a lost answer, when the
    /// server has given it.
    #[must_use]
    pub fn trap(&self, call: Call, fault: Fault) -> Receiver<()> {
        let (told, receiver) = channel();
        self.state().planned.push(Planned {
            call,
            fault,
            left: 1,
            told: Some(told),
        });
        receiver
    }

    /// Whether something that was planned is still to come.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !self.state().planned.is_empty()
    }

    /// Answers all requests of a kind with 200 and this body instead of handing them on.
    pub fn answer(&self, call: Call, body: &Value) {
        self.state().answers.push((call, body.to_string()));
    }

    /// Hands on again what [`Proxy::answer`] kept back.
    pub fn answer_nothing(&self) {
        self.state().answers.clear();
    }

    /// Breaks all connections and takes no new ones.
    pub fn cut(&self) {
        let mut state = self.state();
        state.is_cut = true;
        for connection in state.connections.values() {
            close(connection);
        }
    }

    /// Breaks all connections that there are.
    pub fn tear(&self) {
        for connection in self.state().connections.values() {
            close(connection);
        }
    }

    /// Lets each frame of a socket pass only after a while.
    pub fn slow_frames(&self, delay: Duration) {
        self.state().frame_delay = delay;
    }

    /// Frames in this direction vanish: the connection is half open.
    pub fn swallow(&self, way: Way) {
        self.state().swallowed_ways.insert(way);
    }

    /// Tells of the next frame of a type, and swallows it if that is wanted.
    #[must_use]
    pub fn snare(&self, way: Way, kind: &'static str, swallows: bool) -> Receiver<Value> {
        let (told, receiver) = channel();
        self.state().snares.push(Snare {
            way,
            kind,
            swallows,
            told,
        });
        receiver
    }

    /// Takes connections again and lets frames pass; breaks connections that frames are missing
    /// from.
    pub fn mend(&self) {
        let mut state = self.state();
        state.is_cut = false;
        state.frame_delay = Duration::ZERO;
        state.swallowed_ways.clear();
        for id in std::mem::take(&mut state.torn) {
            if let Some(connection) = state.connections.get(&id) {
                close(connection);
            }
        }
    }

    /// The same, and nothing that was planned will happen any more. Only [`Proxy::answer`] stays.
    pub fn heal(&self) {
        self.mend();
        let mut state = self.state();
        state.planned.clear();
        state.snares.clear();
    }

    /// Method and path of every request so far, whatever became of them.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.state().seen.clone()
    }

    /// How many requests of a kind came so far.
    #[must_use]
    pub fn count(&self, call: Call) -> usize {
        let state = self.state();
        state.seen.iter().filter(|line| call.fits(line)).count()
    }

    /// How many requests of a kind the server answered with this status so far.
    #[must_use]
    pub fn count_answers(&self, call: Call, status: u16) -> usize {
        let state = self.state();
        let answered = state.answered.iter();
        answered
            .filter(|(line, found)| call.fits(line) && *found == status)
            .count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

fn close(connection: &[TcpStream]) {
    for stream in connection {
        // Closed already is closed too.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a new connection; none while everything is cut.
    fn enter(&self, client: &TcpStream) -> Option<u64> {
        let mut state = self.state();
        if state.is_cut {
            return None;
        }
        let client = client.try_clone().ok()?;
        state.last_connection += 1;
        let id = state.last_connection;
        state.connections.insert(id, vec![client]);
        Some(id)
    }

    fn leave(&self, id: u64) {
        let mut state = self.state();
        state.connections.remove(&id);
        state.torn.remove(&id);
    }

    fn serve(&self, id: u64, client: &TcpStream) -> Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        while let Some(request) = Request::read(&mut reader)? {
            if request.is_upgrade() {
                return self.relay(id, &request, client, reader);
            }
            if !self.exchange(&request, client)? {
                break;
            }
        }
        Ok(())
    }

    /// One request and its answer; whether the connection may be used again.
    fn exchange(&self, request: &Request, mut client: &TcpStream) -> Result<bool> {
        let line = request.line();
        let (fault, told, answer) = self.meet(&line);
        if let Some(witness) = &self.witness {
            witness.request(request.target(), &request.body);
        }
        if let Some(body) = answer {
            client.write_all(&Response::of("200 OK", &body).bytes())?;
            return Ok(true);
        }
        let tell = || told.map(|told| told.send(()));
        match fault {
            Some(Fault::Delay(delay)) => std::thread::sleep(delay),
            Some(Fault::Drop) => {
                tell();
                bail!("dropped");
            }
            Some(Fault::Refuse) => {
                tell();
                let body = r#"{"errcode":"M_UNKNOWN","error":"made to fail"}"#;
                let refusal = Response::of("500 Internal Server Error", body);
                client.write_all(&refusal.bytes())?;
                return Ok(true);
            }
            Some(Fault::Lose) | None => {}
        }
        let mut server = TcpStream::connect(&self.upstream)?;
        server.write_all(&request.bytes_closing())?;
        let response = Response::read(&mut server)?;
        self.state().answered.push((line.clone(), response.status));
        if let Some(witness) = &self.witness {
            witness.answer(&line, response.status, &response.body);
        }
        if fault == Some(Fault::Lose) {
            tell();
            bail!("lost");
        }
        client.write_all(&response.bytes())?;
        Ok(response.tells_its_end)
    }

    /// What is planned for a request.
    fn meet(&self, line: &str) -> (Option<Fault>, Option<Sender<()>>, Option<String>) {
        let mut state = self.state();
        state.seen.push(line.to_owned());
        let answer = state.answers.iter().find(|(call, _)| call.fits(line));
        if let Some((_, body)) = answer {
            return (None, None, Some(body.clone()));
        }
        let Some(place) = state.planned.iter().position(|plan| plan.call.fits(line)) else {
            return (None, None, None);
        };
        let Some(plan) = state.planned.get_mut(place) else {
            return (None, None, None);
        };
        plan.left = plan.left.saturating_sub(1);
        let (fault, told) = (plan.fault, plan.told.clone());
        if plan.left == 0 {
            state.planned.remove(place);
        }
        (Some(fault), told, None)
    }

    /// Whether a frame gets on, and after which delay.
    fn judge(&self, id: u64, way: Way, frame: Option<&Value>) -> (bool, Duration) {
        let mut state = self.state();
        let mut passes = !state.swallowed_ways.contains(&way);
        let kind = frame.and_then(|frame| frame.get("type")?.as_str());
        let snared = state
            .snares
            .iter()
            .position(|snare| snare.way == way && Some(snare.kind) == kind);
        if let Some((place, frame)) = snared.zip(frame) {
            let snare = state.snares.remove(place);
            passes &= !snare.swallows;
            // Nobody may wait for it any more.
            let _ = snare.told.send(frame.clone());
        }
        if !passes {
            state.torn.insert(id);
        }
        (passes, state.frame_delay)
    }
}

#[cfg(test)]
mod tests;
