//! `GET /api/v1/socket`: the chat of one browser. What it must not miss comes from the store, in
//! order; the hub only wakes it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use vestibule_bridge::frame::{ClientFrame, InboxFrame, ServerFrame};
use vestibule_bridge::id::PortalId;
use vestibule_bridge::input::Input;
use vestibule_bridge::portal::{Portal, PortalState};
use vestibule_bridge::refusal::Refusal;
use vestibule_bridge::store::{Facts, Store};
use vestibule_bridge::time::Timestamp;

use super::closing::{Closing, part};
use super::error::ApiError;
use super::greet::{Greeted, greet, welcome};
use super::relay::Relay;
use super::visitor::Visitor;
use crate::app::App;
use crate::clock::monotonic;
use crate::hub::{Seat, Signal};

/// The largest frame that is read, in bytes.
const FRAME: usize = 64 * 1024;
/// How often a silent browser is asked whether it is there.
const HEARTBEAT: Duration = Duration::from_secs(25);
/// After how many heartbeats the truth path is read again.
const CATCH_UP_EVERY: u32 = 4;
/// After how long a silent browser counts as gone.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a browser may take to accept one frame.
const SLOWEST: Duration = Duration::from_secs(20);
/// How long a browser that comes after the end of its chat has to acknowledge it.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long one has that was there when it ended: whoever is blocked must not hold a connection open.
/// What it didn't acknowledge comes again when it does.
const CUT: Duration = Duration::from_millis(600);
/// How long the last word may take then.
const LAST_WORD: Duration = Duration::from_millis(200);
/// How many frames are read from the store at a time.
const PAGE: usize = 32;

/// Accepts the connection of the page itself, and of no other site.
pub async fn open(
    State(app): State<Arc<App>>,
    Visitor(place): Visitor,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let origin = headers
        .get(header::ORIGIN)
        .and_then(|origin| origin.to_str().ok());
    if origin != Some(app.guests.origin.as_str()) {
        return ApiError::wrong_origin().into_response();
    }
    let Some(sitting) = app.crowd.sit(place) else {
        return ApiError::too_many_tries(HEARTBEAT).into_response();
    };
    upgrade
        .max_message_size(FRAME)
        .max_frame_size(FRAME)
        // The defaults hold 128 KiB for a connection that says a few hundred bytes a minute.
        .read_buffer_size(2048)
        .write_buffer_size(0)
        .on_upgrade(async move |socket| {
            let tasks = app.tasks.clone();
            tasks.spawn(async move {
                converse(socket, app).await;
                drop(sitting);
            });
        })
}

/// Sends one frame, or finds that the browser is gone or too slow.
pub async fn send<T: Serialize>(socket: &mut WebSocket, frame: &T) -> Result<(), Closing> {
    let Ok(text) = serde_json::to_string(frame) else {
        return Err(Closing::Unavailable);
    };
    match timeout(SLOWEST, socket.send(Message::Text(text.into()))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Closing::Gone),
        Err(_) => Err(Closing::TooSlow),
    }
}

async fn converse(mut socket: WebSocket, app: Arc<App>) {
    app.metrics.sockets.inc();
    let mut proven = None;
    let mut last_word = SLOWEST;
    let closing = match greet(&mut socket, &app).await {
        Ok(greeted) => {
            let portal = greeted.portal;
            proven = Some(portal);
            // Not awaited: whoever waits for the store waits long when its disk is slow.
            let noted = Arc::clone(&app);
            app.tasks
                .spawn(async move { note_presence(&noted, portal).await });
            let chat = Chat::new(Arc::clone(&app), &greeted);
            let over = chat.seat.over.clone();
            let cut = async {
                over.cancelled().await;
                sleep(CUT).await;
            };
            // Also in the middle of a question to the homeserver, or of a frame that the browser
            // doesn't take.
            let closing = tokio::select! {
                biased;
                closing = chat.run(&mut socket, greeted.last_n) => closing,
                () = cut => Closing::Gone,
            };
            if over.is_cancelled() {
                last_word = LAST_WORD;
            }
            closing
        }
        Err(closing) => closing,
    };
    part(&mut socket, &closing, &app, last_word).await;
    drop(socket);
    app.metrics.sockets.dec();
    if let Some(portal) = proven {
        app.moments.gone(portal);
        note_presence(&app, portal).await;
    }
}

/// Tells the domain that the guest is there, or was until now: the host hears of a long absence.
async fn note_presence(app: &App, portal: PortalId) {
    // When it can't be stored, the driver says so; at worst the host hears of an absence too early.
    let _answer = app.driver.submit(Input::Seen { portal }).await;
}

/// Which heartbeat a chat begins with: any, but always the same.
fn first_heartbeat(portal: PortalId) -> u32 {
    let heartbeats = u128::from(CATCH_UP_EVERY);
    u32::try_from(portal.as_u128() % heartbeats).unwrap_or_default()
}

struct Chat {
    app: Arc<App>,
    portal: PortalId,
    seat: Seat,
    relay: Relay,
    results: mpsc::Receiver<ServerFrame>,
    /// The last sequence number that was sent.
    cursor: u64,
    welcomed: bool,
    told_opening: bool,
    /// Whether the page was told that the host is typing.
    host_types: bool,
    heard: Instant,
    heartbeats: u32,
    /// Set when the end was sent: until then the browser may acknowledge it.
    farewell: Option<Instant>,
}

#[derive(Serialize)]
struct Numbered<'a> {
    seq: u64,
    #[serde(flatten)]
    frame: &'a InboxFrame,
}

impl Chat {
    fn new(app: Arc<App>, greeted: &Greeted) -> Self {
        let seat = app.hub.sit(greeted.portal);
        let (relay, results) = Relay::new(Arc::clone(&app), greeted.portal);
        Self {
            app,
            portal: greeted.portal,
            seat,
            relay,
            results,
            cursor: greeted.last_seq,
            welcomed: false,
            told_opening: false,
            host_types: false,
            heard: monotonic(),
            // After a restart all browsers come back at once; they needn't all be read at once.
            heartbeats: first_heartbeat(greeted.portal),
            farewell: None,
        }
    }

    async fn run(mut self, socket: &mut WebSocket, last_n: Option<u64>) -> Closing {
        // The hello acknowledges nothing: its numbers may be those of a store that this one is an
        // older copy of, and what this one has under them may be new. The page compares, then says.
        if let Some(last_n) = last_n {
            let portal = self.portal;
            let recount = Input::Recount { portal, last_n };
            if self.app.driver.submit(recount).await.is_err() {
                return Closing::Unavailable;
            }
        }
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.reset();
        loop {
            if let Err(closing) = self.catch_up_socket(socket).await {
                return closing;
            }
            if let Err(closing) = self.wait(socket, &mut heartbeat).await {
                return closing;
            }
        }
    }

    /// Sends whatever the store has and the browser hasn't.
    async fn catch_up_socket(&mut self, socket: &mut WebSocket) -> Result<(), Closing> {
        let stored = self
            .app
            .store
            .begin()
            .portal(self.portal)
            .map_err(Closing::Store)?;
        let stored = stored.ok_or(Closing::UnknownChat)?;
        match &stored.state {
            PortalState::Opening { .. } => {
                if !self.told_opening {
                    self.told_opening = true;
                    send(socket, &ServerFrame::Opening).await?;
                }
                Ok(())
            }
            PortalState::Open { room, host_joined } => {
                if !self.welcomed {
                    self.await_turn().await?;
                    let welcome = welcome(&self.app, &stored, room, *host_joined).await?;
                    send(socket, &welcome).await?;
                    self.welcomed = true;
                    self.app.presence.here(self.portal);
                }
                self.flush(socket).await.map(|_| ())
            }
            PortalState::Closed { .. } => self.say_farewell(socket, &stored).await,
        }
    }

    /// Waits until this chat may cost the homeserver another greeting. A connection that is replaced
    /// meanwhile costs nothing.
    async fn await_turn(&mut self) -> Result<(), Closing> {
        // Not the calendar's time, which can be set back.
        let now = || Timestamp(0) + self.app.started.elapsed();
        while let Err(refusal) = self.app.greetings.spend(self.portal, now()) {
            let pause = refusal.retry_after().unwrap_or(HEARTBEAT);
            tokio::select! {
                biased;
                signal = self.seat.signals.recv() => match signal {
                    Some(Signal::Replaced) | None => return Err(Closing::Replaced),
                    Some(Signal::Stopping) => return Err(Closing::Stopping),
                    // The welcome brings all of this anew, but for who is typing.
                    Some(
                        Signal::KeysChanged
                        | Signal::OneTimeKeys { .. }
                        | Signal::Typing(_)
                        | Signal::Read(_),
                    ) => {}
                },
                () = sleep(pause) => {}
            }
        }
        Ok(())
    }

    /// Sends the frames that are left, the end among them.
    async fn say_farewell(
        &mut self,
        socket: &mut WebSocket,
        stored: &Portal,
    ) -> Result<(), Closing> {
        let sent_end = self.flush(socket).await?;
        if sent_end || self.farewell.is_some() {
            self.farewell.get_or_insert(monotonic() + FAREWELL);
            return Ok(());
        }
        // The browser acknowledged the end before and asks again.
        let PortalState::Closed { reason, .. } = stored.state else {
            return Ok(());
        };
        let frame = InboxFrame::Ended { reason };
        send(
            socket,
            &Numbered {
                seq: stored.last_seq,
                frame: &frame,
            },
        )
        .await?;
        Err(Closing::Gone)
    }

    /// Sends the inbox from the cursor on; whether the end was among it.
    async fn flush(&mut self, socket: &mut WebSocket) -> Result<bool, Closing> {
        let mut ended = false;
        loop {
            let frames = self
                .app
                .store
                .begin()
                .frames(self.portal, self.cursor, PAGE)
                .map_err(Closing::Store)?;
            if frames.is_empty() {
                return Ok(ended);
            }
            for (seq, frame) in &frames {
                send(socket, &Numbered { seq: *seq, frame }).await?;
                ended |= matches!(frame, InboxFrame::Ended { .. });
                self.cursor = *seq;
            }
        }
    }

    /// Waits for whatever comes next, and deals with it.
    async fn wait(
        &mut self,
        socket: &mut WebSocket,
        heartbeat: &mut Interval,
    ) -> Result<(), Closing> {
        let farewell = self.farewell;
        tokio::select! {
            biased;
            signal = self.seat.signals.recv() => self.signalled(socket, signal).await,
            () = self.seat.wake.notified() => Ok(()),
            Some(result) = self.results.recv() => send(socket, &result).await,
            message = socket.recv() => self.received(socket, message).await,
            () = sleep_until(farewell.unwrap_or_else(monotonic)), if farewell.is_some() => Err(Closing::Gone),
            _ = heartbeat.tick() => self.beat(socket).await,
        }
    }

    async fn signalled(
        &mut self,
        socket: &mut WebSocket,
        signal: Option<Signal>,
    ) -> Result<(), Closing> {
        match signal {
            Some(Signal::KeysChanged) if self.welcomed => {
                send(socket, &ServerFrame::KeysChanged).await
            }
            Some(Signal::OneTimeKeys {
                count,
                fallback_unused,
            }) if self.welcomed => {
                send(
                    socket,
                    &ServerFrame::OneTimeKeys {
                        count,
                        fallback_unused,
                    },
                )
                .await
            }
            Some(Signal::Typing(typing)) if self.welcomed => {
                // The homeserver tells of each change of anybody's.
                if std::mem::replace(&mut self.host_types, typing) == typing {
                    return Ok(());
                }
                send(socket, &ServerFrame::Typing { typing }).await
            }
            Some(Signal::Read(event_id)) if self.welcomed => {
                send(socket, &ServerFrame::Read { event_id }).await
            }
            Some(
                Signal::KeysChanged
                | Signal::OneTimeKeys { .. }
                | Signal::Typing(_)
                | Signal::Read(_),
            ) => Ok(()),
            // The sender is gone when the place was given to another socket.
            Some(Signal::Replaced) | None => Err(Closing::Replaced),
            Some(Signal::Stopping) => Err(Closing::Stopping),
        }
    }

    async fn beat(&mut self, socket: &mut WebSocket) -> Result<(), Closing> {
        if self.heard.elapsed() > SILENCE {
            return Err(Closing::Gone);
        }
        self.heartbeats = self.heartbeats.wrapping_add(1);
        if self.welcomed {
            self.app.presence.here(self.portal);
        }
        if self.welcomed && self.heartbeats.is_multiple_of(CATCH_UP_EVERY) {
            self.app.catchup.read_later(self.portal);
        }
        match timeout(SLOWEST, socket.send(Message::Ping(Vec::new().into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Closing::Gone),
            Err(_) => Err(Closing::TooSlow),
        }
    }

    async fn received(
        &mut self,
        socket: &mut WebSocket,
        message: Option<Result<Message, axum::Error>>,
    ) -> Result<(), Closing> {
        self.heard = monotonic();
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Binary(_))) => return Err(Closing::BadFrame),
            Some(Ok(Message::Close(_))) | None => return Err(Closing::Gone),
            Some(Err(error)) => return Err(Closing::from_axum(&error)),
        };
        let frame: ClientFrame = serde_json::from_str(&text).map_err(|_| Closing::BadFrame)?;
        if let ClientFrame::Ack { seq } = frame {
            self.acknowledged(seq).await?;
        } else if let Some(result) = self.relay.take(frame).await? {
            send(socket, &result).await?;
        }
        Ok(())
    }

    async fn acknowledged(&mut self, seq: u64) -> Result<(), Closing> {
        if seq > self.cursor {
            return Err(Closing::BadFrame);
        }
        let stored = self
            .app
            .driver
            .submit(Input::Ack {
                portal: self.portal,
                seq,
            })
            .await;
        let Ok(stored) = stored else {
            // The frames stay in the inbox, and the next acknowledgement covers them.
            return Ok(());
        };
        match stored {
            Ok(_) => {}
            // The next look into the store says so itself.
            Err(Refusal::Damaged) => return Ok(()),
            Err(_) => return Err(Closing::BadFrame),
        }
        if self.farewell.is_some() && seq == self.cursor {
            Err(Closing::Gone)
        } else {
            Ok(())
        }
    }
}
