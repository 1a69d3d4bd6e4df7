//! A port that nobody can close by taking all connections: at most so many at once, silent ones are
//! closed, and when the operating system has no more files it is tried again until it has.

pub mod unread;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::clock::monotonic;

/// The pause after the operating system refused a connection: files come back when others close.
const PAUSE: Duration = Duration::from_millis(200);
/// How long ago a refusal may be to count as now: as long as somebody waits, there is a new one with
/// each try.
const RECENT: Duration = Duration::from_secs(2);
/// How many of all connections are nearly all of them, in percent.
const NEARLY: usize = 95;

/// Who may connect.
#[derive(Clone, Debug)]
pub struct Admission {
    places: Arc<Semaphore>,
    all: usize,
    refused: Arc<Mutex<Option<Instant>>>,
    silence: Option<Duration>,
    cut: CancellationToken,
}

impl Admission {
    /// So many connections at once; each is closed as soon as `cut` is cancelled.
    #[must_use]
    pub fn new(connections: usize, cut: CancellationToken) -> Self {
        let all = connections.min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(all)),
            all,
            refused: Arc::default(),
            silence: None,
            cut,
        }
    }

    /// Also closes connections on which nothing comes for so long.
    #[must_use]
    pub fn silent_for(mut self, silence: Duration) -> Self {
        self.silence = Some(silence);
        self
    }

    /// How many connections there may be, when nearly all of them are taken.
    #[must_use]
    pub fn nearly_full(&self) -> Option<usize> {
        let taken = self.all - self.places.available_permits().min(self.all);
        (taken.saturating_mul(100) >= self.all.saturating_mul(NEARLY)).then_some(self.all)
    }

    /// Whether the operating system refused a connection just now, for lack of files.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.last_refused()
            .is_some_and(|refused| refused.elapsed() < RECENT)
    }

    fn last_refused(&self) -> MutexGuard<'_, Option<Instant>> {
        // Nothing in here can be left half-done by a panic.
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port, and who may connect to it.
#[derive(Debug)]
pub struct Listener {
    port: TcpListener,
    admission: Admission,
}

impl Listener {
    /// Lets them in here.
    #[must_use]
    pub fn new(port: TcpListener, admission: Admission) -> Self {
        Self { port, admission }
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed. Whoever finds no place waits in the operating system's queue.
        let place = Arc::clone(&self.admission.places).acquire_owned().await;
        loop {
            match self.port.accept().await {
                Ok((stream, address)) => {
                    let silence = self.admission.silence;
                    let connection = Connection {
                        stream,
                        silence: silence.map(|time| (time, Box::pin(sleep(time)))),
                        cut: Box::pin(self.admission.cut.clone().cancelled_owned()),
                        _place: place.ok(),
                    };
                    return (connection, address);
                }
                Err(error) if of_the_other_side(&error) => {}
                Err(_) => {
                    *self.admission.last_refused() = Some(monotonic());
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.port.local_addr()
    }
}

/// Whether the connection that was to be accepted is gone already.
fn of_the_other_side(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// A connection that gives its place up when it ends.
pub struct Connection {
    stream: TcpStream,
    silence: Option<(Duration, Pin<Box<Sleep>>)>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Whether this connection is to end now.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let silent = match &mut self.silence {
            Some((_, silence)) => silence.as_mut().poll(cx).is_ready(),
            None => false,
        };
        silent || self.cut.as_mut().poll(cx).is_ready()
    }

    /// The other side showed that it is there.
    fn heard(&mut self) {
        if let Some((time, silence)) = &mut self.silence {
            silence.as_mut().reset(monotonic() + *time);
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.heard();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.heard();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices))?;
        self.heard();
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
