//! The chat of one browser over its connection. What it must not miss comes from the store, in
//! order; the hub only wakes it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use vestibule_bridge::frame::{ClientFrame, InboxFrame, ServerFrame};
use vestibule_bridge::id::PortalId;
use vestibule_bridge::input::Input;
use vestibule_bridge::portal::{Portal, PortalState};
use vestibule_bridge::refusal::Refusal;
use vestibule_bridge::store::{Facts, Store};
use vestibule_bridge::time::Timestamp;

use super::closing::Closing;
use super::greet::{Greeted, welcome};
use super::relay::Relay;
use super::socket::{FRAME, HEARTBEAT, SLOWEST, send};
use crate::app::App;
use crate::clock::monotonic;
use crate::hub::{Seat, Signal};

/// After how many heartbeats the truth path is read again.
const CATCH_UP_EVERY: u32 = 4;
/// After how long a silent browser counts as gone.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a browser that comes after the end of its chat has to acknowledge it.
const FAREWELL: Duration = Duration::from_secs(10);
/// How many frames are read from the store at a time.
const PAGE: usize = 32;

/// Which heartbeat a chat begins with: any, but always the same.
fn first_heartbeat(portal: PortalId) -> u32 {
    let heartbeats = u128::from(CATCH_UP_EVERY);
    u32::try_from(portal.as_u128() % heartbeats).unwrap_or_default()
}

/// One greeted browser in its chat.
pub struct Chat {
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
    /// Takes the chat's seat, from which an earlier connection is put away.
    pub fn new(app: Arc<App>, greeted: &Greeted) -> Self {
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

    /// Cancelled when the chat ends while this browser is connected.
    pub fn over(&self) -> CancellationToken {
        self.seat.over.clone()
    }

    /// Goes on until there is a reason to part. `last_n` is what the browser knows to have been
    /// counted, where it named that.
    pub async fn run(mut self, socket: &mut WebSocket, last_n: Option<u64>) -> Closing {
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
            Some(Ok(Message::Text(text))) if text.len() > FRAME => return Err(Closing::TooLarge),
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
