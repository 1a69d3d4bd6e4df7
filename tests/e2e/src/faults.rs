//! A proxy in front of the homeserver that fails when it is told to.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};

/// What is counted and what is planned.
#[derive(Debug, Default)]
struct State {
    /// Method and path of every request, without the query.
    seen: Vec<String>,
    /// The request that fails next, and how.
    plan: Option<(Call, Fault)>,
}

/// One kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `PUT` and so on.
    pub method: &'static str,
    /// What its path holds.
    pub path: &'static str,
}

impl Call {
    /// A request whose path holds `path`.
    #[must_use]
    pub fn new(method: &'static str, path: &'static str) -> Self {
        Self { method, path }
    }

    fn fits(self, line: &str) -> bool {
        line.split_once(' ')
            .is_some_and(|(method, path)| method == self.method && path.contains(self.path))
    }
}

/// What happens to a request that is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The homeserver never sees it.
    Before,
    /// The homeserver does it, and its answer is lost.
    After,
}

/// Listens on 127.0.0.1 and hands each request on, one connection for each.
#[derive(Debug, Clone)]
pub struct Faults {
    state: Arc<Mutex<State>>,
    address: String,
}

impl Faults {
    /// Starts the proxy. The homeserver may come up later: `upstream` is its `host:port`.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(upstream: &str) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(Mutex::new(State::default()));
        let faults = Self { state, address };
        let (serving, upstream) = (faults.clone(), upstream.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (faults, upstream) = (serving.clone(), upstream.clone());
                // A connection that breaks is what this is for.
                std::thread::spawn(move || drop(faults.serve(client, &upstream)));
            }
        });
        Ok(faults)
    }

    /// Where the bridge should believe the homeserver to be.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Has the next request of a kind fail, once.
    pub fn plan(&self, call: Call, fault: Fault) {
        self.state().plan = Some((call, fault));
    }

    /// Whether what was planned is still to come.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.state().plan.is_some()
    }

    /// Method and path of every request so far, whatever became of them.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.state().seen.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault for a request, if it is its turn.
    fn fault(&self, line: &str) -> Option<Fault> {
        let mut state = self.state();
        state.seen.push(line.to_owned());
        state
            .plan
            .take_if(|(call, _)| call.fits(line))
            .map(|(_, fault)| fault)
    }

    fn serve(&self, client: TcpStream, upstream: &str) -> Result<()> {
        let mut reader = BufReader::new(client.try_clone()?);
        let request = Request::read(&mut reader)?;
        let fault = self.fault(&request.line());
        let mut client = client;
        if fault == Some(Fault::Before) {
            return refuse(&mut client);
        }
        let mut server = TcpStream::connect(upstream)?;
        server.write_all(&request.head)?;
        server.write_all(&request.body)?;
        if fault == Some(Fault::After) {
            // To its end, so that the homeserver is done with it.
            std::io::copy(&mut server, &mut std::io::sink())?;
            return refuse(&mut client);
        }
        std::io::copy(&mut server, &mut client)?;
        Ok(client.shutdown(Shutdown::Write)?)
    }
}

fn refuse(client: &mut TcpStream) -> Result<()> {
    let body = r#"{"errcode":"M_UNKNOWN","error":"made to fail"}"#;
    write!(
        client,
        "HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(client.shutdown(Shutdown::Write)?)
}

/// One HTTP/1.1 request as it came, made to close its connection.
struct Request {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    fn read(reader: &mut BufReader<TcpStream>) -> Result<Self> {
        let mut head = Vec::new();
        let mut length = 0_u64;
        loop {
            let mut line = Vec::new();
            reader.read_until(b'\n', &mut line)?;
            let text = String::from_utf8_lossy(&line).to_ascii_lowercase();
            if text.trim().is_empty() {
                break;
            }
            if let Some(value) = text.strip_prefix("content-length:") {
                length = value.trim().parse().context("content-length")?;
            }
            if !text.starts_with("connection:") {
                head.extend_from_slice(&line);
            }
        }
        anyhow::ensure!(!head.is_empty(), "the client went away");
        head.extend_from_slice(b"connection: close\r\n\r\n");
        let mut body = Vec::new();
        reader.take(length).read_to_end(&mut body)?;
        Ok(Self { head, body })
    }

    /// Method and path, without the query: `PUT /_matrix/…`.
    fn line(&self) -> String {
        let head = String::from_utf8_lossy(&self.head);
        let line = head.lines().next().unwrap_or_default();
        let mut words = line.split(' ');
        let (method, target) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let path = target.split('?').next().unwrap_or_default();
        format!("{method} {path}")
    }
}
