//! What a browser's frames lead to. Numbered frames go through the domain; the three questions
//! about keys are asked at the homeserver at once, and only about this chat's own two users.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use vestibule_bridge::bridge::Answer;
use vestibule_bridge::frame::{ClientFrame, ErrorBody, ResultFrame, ServerFrame};
use vestibule_bridge::id::PortalId;
use vestibule_bridge::input::Input;
use vestibule_bridge::portal::{Portal, PortalState};
use vestibule_bridge::refusal::Refusal;
use vestibule_bridge::store::{Facts, Store};
use vestibule_crypto::verify_one_time_keys;

use super::closing::Closing;
use super::error::refusal_body;
use crate::app::App;

/// How many questions of one browser are asked at the homeserver at once.
const QUESTIONS: usize = 4;
/// How many devices of a host are served; more than any person has.
const DEVICES: usize = 100;

/// Deals with the frames of one socket.
pub struct Relay {
    app: Arc<App>,
    portal: PortalId,
    results: mpsc::Sender<ServerFrame>,
    asking: Arc<AtomicUsize>,
}

/// A question about keys.
enum Question {
    HostKeys,
    Claim(Vec<vestibule_bridge::id::DeviceId>),
    Upload {
        one_time_keys: Value,
        fallback_keys: Value,
    },
}

impl Relay {
    /// The relay, and where answers come out that took a homeserver call.
    pub fn new(app: Arc<App>, portal: PortalId) -> (Self, mpsc::Receiver<ServerFrame>) {
        let (results, answers) = mpsc::channel(QUESTIONS);
        (
            Self {
                app,
                portal,
                results,
                asking: Arc::default(),
            },
            answers,
        )
    }

    /// Deals with one frame; what it gives back is the answer, unless that comes later or never.
    pub async fn take(&mut self, frame: ClientFrame) -> Result<Option<ServerFrame>, Closing> {
        let portal = self.portal;
        match frame {
            ClientFrame::Send { n, content } => {
                self.numbered(n, Input::Send { portal, n, content }).await
            }
            ClientFrame::ToDevice {
                n,
                event_type,
                messages,
            } => {
                self.numbered(
                    n,
                    Input::SendToDevice {
                        portal,
                        n,
                        event_type,
                        messages,
                    },
                )
                .await
            }
            ClientFrame::Redact { n, event_id: event } => {
                self.numbered(n, Input::Redact { portal, n, event }).await
            }
            ClientFrame::KeysQuery { id } => self.question(id, Question::HostKeys),
            ClientFrame::KeysClaim { id, devices } => self.question(id, Question::Claim(devices)),
            ClientFrame::KeysUpload {
                id,
                one_time_keys,
                fallback_keys,
            } => self.question(
                id,
                Question::Upload {
                    one_time_keys,
                    fallback_keys,
                },
            ),
            ClientFrame::Typing { typing } => {
                self.app.moments.typing(portal, typing);
                Ok(None)
            }
            ClientFrame::Read { event_id } => {
                self.app.moments.read(portal, event_id);
                Ok(None)
            }
            ClientFrame::Leave {} => {
                let stored = self.app.driver.submit(Input::Leave { portal }).await;
                // Leaving twice is no mistake; the end is told by its own frame.
                stored.map(|_| None).map_err(|_| Closing::Unavailable)
            }
            ClientFrame::Ack { .. } | ClientFrame::Hello { .. } => Err(Closing::BadFrame),
        }
    }

    async fn numbered(&self, n: u64, input: Input) -> Result<Option<ServerFrame>, Closing> {
        let mut result = ResultFrame {
            n: Some(n),
            ..ResultFrame::default()
        };
        match self.app.driver.submit(input).await {
            Ok(Ok(answer)) => {
                result.ok = true;
                if let Answer::Counted { deadline } = answer {
                    result.deadline = deadline;
                }
            }
            Ok(Err(refusal)) => result.error = Some(refusal_body(&refusal)),
            Err(_) => result.error = Some(unavailable()),
        }
        Ok(Some(ServerFrame::Result(result)))
    }

    fn question(&mut self, id: u64, question: Question) -> Result<Option<ServerFrame>, Closing> {
        let refused = |error| Ok(Some(answer(id, Err(error))));
        if let Err(refusal) = self.app.asked.spend(self.portal, self.app.clock.now()) {
            return refused(refusal_body(&refusal));
        }
        if self.asking.load(Ordering::Relaxed) >= QUESTIONS {
            return refused(refusal_body(&Refusal::RateLimited {
                retry_after: Duration::from_secs(1),
            }));
        }
        let stored = self
            .app
            .store
            .begin()
            .portal(self.portal)
            .map_err(Closing::Store)?;
        let stored = stored.ok_or(Closing::UnknownChat)?;
        match stored.state {
            PortalState::Open { .. } => {}
            PortalState::Opening { .. } => return refused(refusal_body(&Refusal::NotOpen)),
            PortalState::Closed { .. } => return refused(refusal_body(&Refusal::Ended)),
        }
        self.asking.fetch_add(1, Ordering::Relaxed);
        let (app, results, asking) = (
            Arc::clone(&self.app),
            self.results.clone(),
            Arc::clone(&self.asking),
        );
        self.app.tasks.spawn(async move {
            let body = ask(&app, &stored, question).await;
            asking.fetch_sub(1, Ordering::Relaxed);
            let _gone = results.send(answer(id, body)).await;
        });
        Ok(None)
    }
}

async fn ask(app: &App, portal: &Portal, question: Question) -> Result<Value, ErrorBody> {
    let publishes = matches!(question, Question::Upload { .. });
    let asked = match question {
        Question::HostKeys => app.homeserver.host_keys(portal).await,
        Question::Claim(devices) => {
            if devices.is_empty() || devices.len() > DEVICES {
                return Err(refusal_body(&Refusal::BadRequest));
            }
            app.homeserver.claim_host_keys(portal, &devices).await
        }
        Question::Upload {
            one_time_keys,
            fallback_keys,
        } => {
            let visit = &portal.visit;
            let checked = verify_one_time_keys(
                &visit.ed25519,
                portal.ghost.as_str(),
                visit.device.as_str(),
                &one_time_keys,
                &fallback_keys,
            );
            if checked.is_err() {
                return Err(refusal_body(&Refusal::BadKeys));
            }
            let count = app
                .homeserver
                .upload_ghost_keys(portal, one_time_keys, fallback_keys)
                .await;
            count.map(|count| json!({ "one_time_keys": count }))
        }
    };
    asked.map_err(|error| {
        tracing::warn!(portal = %portal.id, error = &error as &dyn std::error::Error, "a question about keys failed");
        // Keys that hold and are refused all the same: others stand under their ids, because the
        // browser's storage was set back. The page makes new ones then.
        if publishes && error.is_refused() {
            refusal_body(&Refusal::BadKeys)
        } else {
            unavailable()
        }
    })
}

fn answer(id: u64, body: Result<Value, ErrorBody>) -> ServerFrame {
    let id = Some(id);
    ServerFrame::Result(match body {
        Ok(body) => ResultFrame {
            id,
            ok: true,
            body: Some(body),
            ..ResultFrame::default()
        },
        Err(error) => ResultFrame {
            id,
            error: Some(error),
            ..ResultFrame::default()
        },
    })
}

fn unavailable() -> ErrorBody {
    let message = "This does not work at the moment.".to_owned();
    ErrorBody {
        code: "unavailable",
        message,
        retry_after_ms: Some(1000),
        tries_left: None,
    }
}
